//! What must be true of a run: of the log, of the stores, and of what clients were told.

use mainstay_base::hlc::HybridTime;
use mainstay_base::position::Index;
use mainstay_log::accept::{Acceptance, Verdict};
use mainstay_log::record::{Kind, Record};
use mainstay_machine::batch::Batch;
use mainstay_machine::row::RowRange;
use mainstay_machine::usage::Ledger;
use mainstay_machine::{Mutation, state};

use super::model::{self, MONEY, Shape};
use super::node::{self, Rows};
use super::{Checked, SHARD, World, linear};

impl World {
    /// Takes note of what is durable by now.
    pub(super) fn look(&mut self) -> Checked {
        let from = Index::new(self.records.len() as u64 + 1);
        let (records, durable) = self.engine.peek(SHARD, from).map_err(|error| error.to_string())?;
        let is_durable = |record: &Record| record.head().index < durable;
        self.records.extend(records.into_iter().filter(is_durable));
        Ok(())
    }

    /// What the log makes of its durable records below an index, by the same rule for everyone.
    fn replay(&self, end: Index) -> Result<(state::Memory, HybridTime), String> {
        let (mut rows, mut time) = (self.first.rows.clone(), HybridTime::from_bits(0));
        let mut acceptance = Acceptance::new(SHARD);
        for record in self.records.iter().take_while(|record| record.head().index < end) {
            match acceptance.offer(record) {
                Verdict::Accepted if record.head().kind == Kind::Data => {
                    let batch = Batch::decode(record.payload()).map_err(|error| error.to_string())?;
                    if batch.time <= time {
                        return Err(format!("time goes back to {} after {time}", batch.time));
                    }
                    time = batch.time;
                    batch.entries.iter().for_each(|entry| rows.apply(&entry.mutations));
                }
                Verdict::Accepted | Verdict::Skipped(_) => {}
                Verdict::Damaged { place, damage } => return Err(format!("damage at {place}: {damage}")),
            }
        }
        Ok((rows, time))
    }

    /// Every store is what the log makes of it.
    pub(super) fn check_stores(&mut self) -> Checked {
        self.look()?;
        self.replay(Index::new(u64::MAX))?;
        for node in &self.nodes {
            for rows in [&node.store.current, &node.store.durable] {
                let at = rows.applied().cursor.next;
                if self.replay(at)?.0 != without_counts(&rows.rows) {
                    return Err(format!(
                        "the store of node {} is not what the log says below {at}",
                        node.number
                    ));
                }
                check_counts(rows)
                    .map_err(|why| format!("the store of node {} below {at}: {why}", node.number))?;
            }
        }
        Ok(())
    }

    /// There is an order that explains what everyone saw, and no money was made or lost.
    pub(super) fn check_histories(&self) -> Checked {
        for (place, calls) in self.clients.histories.iter().enumerate() {
            for call in calls {
                if let Some(model::Result::Seen([left, right, ..])) = &call.what.result {
                    let money: i64 = [left, right].into_iter().flatten().map(|(_, value)| value).sum();
                    if left.is_some() != right.is_some() || (left.is_some() && money != MONEY) {
                        return Err(format!("half of a transfer was seen at place {place}: {call:?}"));
                    }
                }
            }
            if let Err(explained) = linear::check(calls, Shape::default(), Shape::after) {
                let lines: Vec<String> = calls
                    .iter()
                    .enumerate()
                    .map(|(at, call)| format!("{} {call:?}", if explained.contains(&at) { ' ' } else { '!' }))
                    .collect();
                return Err(format!("no order explains place {place}:\n{}", lines.join("\n")));
            }
        }
        Ok(())
    }
}

/// What the rows take is what is told of it.
fn check_counts(Rows { rows, .. }: &Rows) -> Checked {
    let found = node::counted(rows);
    match Ledger::load(rows).map_err(|error| error.to_string())? {
        None if found.accounts().next().is_none() => Ok(()),
        None => Err(format!("nothing is counted, and there are {found:?}")),
        Some(told) if told.accounts().eq(found.accounts()) => Ok(()),
        Some(told) => Err(format!("counted are {told:?}, and there are {found:?}")),
    }
}

fn without_counts(rows: &state::Memory) -> state::Memory {
    let range = RowRange::usages();
    let counts = rows.rows().filter(|(row, _)| range.contains(row));
    let deleted: Vec<_> = counts.map(|(row, _)| Mutation::Delete { key: row.clone() }).collect();
    let mut rows = rows.clone();
    rows.apply(&deleted);
    rows
}
