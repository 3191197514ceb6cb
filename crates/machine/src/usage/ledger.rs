//! The counts of all collections of a shard, as of its last record.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Part, Rows};
use crate::overlay::Mutation;
use crate::row::{FORMAT, RowKey, RowRange, counted};
use crate::state::{Error, State};

/// Rows that are read at once.
const READ_MAX: usize = 256;

/// The counts of all collections of a shard.
///
/// An account is named by tenant, 0 and collection, as its row is. Accounts in which nothing is are not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    accounts: BTreeMap<Vec<u8>, Rows>,
    /// Whether the store does not have them yet, so that the next record brings all.
    is_new: bool,
}

impl Ledger {
    /// The counts that are in the rows; none if these were never counted. Errors: [`Error`].
    pub fn load(state: &dyn State) -> Result<Option<Self>, Error> {
        let mark = RowKey::is_counted();
        if state.get(&mark)?.is_none() {
            return Ok(None);
        }
        let mut accounts = BTreeMap::new();
        let mut range = RowRange::usages().after(&mark);
        loop {
            let page = state.scan(&range, READ_MAX)?;
            for (row, value) in &page {
                let rows = Rows::decode(value).map_err(|error| Error::damaged(row, &error))?;
                accounts.insert(row[mark.len()..].to_vec(), rows);
            }
            match page.last() {
                Some((row, _)) if page.len() == READ_MAX => range = range.after(row),
                _ => return Ok(Some(Self { accounts, is_new: false })),
            }
        }
    }

    /// Counts all rows, of which none may change meanwhile. Errors: the first of the rows.
    pub fn count<E>(rows: impl Iterator<Item = Result<(Bytes, Bytes), E>>) -> Result<Self, E> {
        let mut ledger = Self { accounts: BTreeMap::new(), is_new: true };
        let mut account = Vec::new();
        for row in rows {
            let (key, value) = row?;
            if let Some(part) = account_of(&key, &mut account) {
                ledger.rows(&account).add(part, bytes(&key, &value));
            }
        }
        Ok(ledger)
    }

    /// Takes note of changes that are about to be made to these rows, in their order. Returns the rows of the counts that change with them.
    ///
    /// Costs a look for each row that is counted. Errors: [`Error`]; then the counts are not to be used any more.
    pub fn note(&mut self, mutations: &[Mutation], state: &dyn State) -> Result<Vec<Mutation>, Error> {
        let mut written: BTreeMap<&[u8], Option<u64>> = BTreeMap::new();
        let mut changed: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut account = Vec::new();
        for mutation in mutations {
            let key = mutation.key();
            let Some(part) = account_of(key, &mut account) else { continue };
            let after = mutation.value().map(|value| bytes(key, value));
            let before = match written.insert(key, after) {
                Some(before) => before,
                None => state.get(key)?.map(|value| bytes(key, &value)),
            };
            if before == after {
                continue;
            }
            if !changed.contains(&account) {
                changed.insert(account.clone());
            }
            let rows = self.rows(&account);
            // In this order, so that the last row of a part is not missed between the two.
            after.into_iter().for_each(|bytes| rows.add(part, bytes));
            before.into_iter().for_each(|bytes| rows.remove(part, bytes));
        }
        let mut out = Vec::new();
        if std::mem::take(&mut self.is_new) {
            changed.extend(self.accounts.keys().cloned());
            let key = RowKey::is_counted().into_bytes();
            out.push(Mutation::Put { key, value: Bytes::from_static(&[FORMAT]) });
        }
        out.extend(changed.into_iter().map(|account| self.row(&account)));
        Ok(out)
    }

    /// The counts of all collections, by tenant, 0 and collection.
    pub fn accounts(&self) -> impl Iterator<Item = (&[u8], &Rows)> {
        self.accounts.iter().map(|(account, rows)| (&account[..], rows))
    }

    /// The counts of an account; none of anything if it was not there.
    fn rows(&mut self, account: &[u8]) -> &mut Rows {
        if !self.accounts.contains_key(account) {
            self.accounts.insert(account.to_vec(), Rows::default());
        }
        self.accounts.get_mut(account).expect("it is there by now")
    }

    /// What the row of an account is from now on.
    fn row(&mut self, account: &[u8]) -> Mutation {
        let key = RowKey::usage_of(account).into_bytes();
        match self.accounts.get(account) {
            Some(rows) if !rows.is_empty() => Mutation::Put { key, value: rows.encode() },
            _ => {
                self.accounts.remove(account);
                Mutation::Delete { key }
            }
        }
    }
}

/// Where a row is counted; the account's name comes into `account`.
fn account_of(key: &[u8], account: &mut Vec<u8>) -> Option<Part> {
    let counted = counted(key)?;
    account.clear();
    [counted.tenant, &[0], counted.collection].iter().for_each(|part| account.extend_from_slice(part));
    Some(counted.part)
}

fn bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}
