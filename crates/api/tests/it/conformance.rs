//! The shards in memory pass the suite of their port, and the suite finds what is wrong with others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use mainstay_base::id::{Name, Tenant};
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_machine::command::{Command, Commit, Request};
use mainstay_machine::feed::{Events, Follow};
use mainstay_machine::item::Item;
use mainstay_machine::position::EventId;
use mainstay_machine::purge::{Purging, Stock};
use mainstay_machine::query::Standing;
use mainstay_machine::shards::{
    Active, Answer, BoxFuture, Consistency, Cursor, Error, Get, List, Page, Reading, Rehearsed, Shards,
    conformance,
};
use mainstay_machine::usage::Usage;
use mainstay_machine::{Definition, Definitions, Outcome, Position};

use crate::shards::Mem;
use crate::world::World;

fn world() -> World {
    let world = World::new();
    world.shards.declare(conformance::collections());
    world
}

#[tokio::test]
async fn the_shards_in_memory_pass() {
    conformance::all(&*world().shards, Some(Mem::ended())).await;
}

/// What is wrong with an implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    ReadsNothingInSessions,
    StaysAtOnePosition,
    ShowsOldStateAsFresh,
    MakesHistoryUpAgain,
    CommitsInParts,
    DropsWhatLooksTheSame,
    TakesWhatIsLate,
    DoesWhatIsLate,
    ReadsWhatIsLate,
    ForgetsKeys,
    ForgetsRefusals,
    CallsNothingReplayed,
    IgnoresTheLimit,
    IgnoresTheBytesMax,
    IgnoresThePrefix,
    IgnoresTheCursor,
    EndsAfterOnePage,
    HasAlwaysMore,
    ReversesPages,
    DefinesNothing,
    KnowsOldDefinitions,
    RehearsesForReal,
    ForgetsHistory,
    LeavesEventsOut,
    TellsEventsTwice,
    ReversesEvents,
    IgnoresTheFilter,
    FollowsOtherKeys,
    BeginsFeedsAtTheStart,
    NeverWaits,
    MakesOldFeedsUpAgain,
}

const FLAWS: [Flaw; 31] = [
    Flaw::ReadsNothingInSessions,
    Flaw::StaysAtOnePosition,
    Flaw::ShowsOldStateAsFresh,
    Flaw::MakesHistoryUpAgain,
    Flaw::CommitsInParts,
    Flaw::DropsWhatLooksTheSame,
    Flaw::TakesWhatIsLate,
    Flaw::DoesWhatIsLate,
    Flaw::ReadsWhatIsLate,
    Flaw::ForgetsKeys,
    Flaw::ForgetsRefusals,
    Flaw::CallsNothingReplayed,
    Flaw::IgnoresTheLimit,
    Flaw::IgnoresTheBytesMax,
    Flaw::IgnoresThePrefix,
    Flaw::IgnoresTheCursor,
    Flaw::EndsAfterOnePage,
    Flaw::HasAlwaysMore,
    Flaw::ReversesPages,
    Flaw::DefinesNothing,
    Flaw::KnowsOldDefinitions,
    Flaw::RehearsesForReal,
    Flaw::ForgetsHistory,
    Flaw::LeavesEventsOut,
    Flaw::TellsEventsTwice,
    Flaw::ReversesEvents,
    Flaw::IgnoresTheFilter,
    Flaw::FollowsOtherKeys,
    Flaw::BeginsFeedsAtTheStart,
    Flaw::NeverWaits,
    Flaw::MakesOldFeedsUpAgain,
];

/// The shards in memory with a flaw.
struct Flawed {
    flaw: Flaw,
    shards: Arc<Mem>,
    last: Mutex<Option<(Command, Answer)>>,
    old: Arc<Definitions>,
}

impl Flawed {
    fn reading_deadline(&self, deadline: Option<Instant>) -> Option<Instant> {
        deadline.filter(|_| self.flaw != Flaw::ReadsWhatIsLate)
    }

    fn asked(&self, asked: Consistency) -> Consistency {
        match asked {
            Consistency::Session(_) if self.flaw == Flaw::MakesHistoryUpAgain => Consistency::Linearizable,
            asked => asked,
        }
    }

    /// Each operation for itself.
    async fn submit_in_parts(&self, command: Command) -> Result<Answer, Error> {
        let Request::Commit(Commit { operations, .. }) = &command.request else { panic!("a commit") };
        for operation in operations.clone() {
            let request = Request::Commit(Commit { conditions: vec![], operations: vec![operation] });
            self.shards.submit(Command { request, idempotency: None, ..command.clone() }, None).await?;
        }
        self.shards.submit(command, None).await
    }
}

impl Shards for Flawed {
    fn submit(
        &self,
        mut command: Command,
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(async move {
            let Request::Commit(commit) = &command.request else { panic!("a commit") };
            let (has_conditions, asked) = (!commit.conditions.is_empty(), command.clone());
            let mut deadline = deadline;
            match self.flaw {
                Flaw::ForgetsKeys => command.idempotency = None,
                Flaw::ForgetsRefusals if has_conditions => command.idempotency = None,
                Flaw::TakesWhatIsLate => deadline = None,
                Flaw::DoesWhatIsLate if deadline.is_some() => {
                    self.shards.submit(command, None).await?;
                    return Err(Error::Deadline);
                }
                Flaw::CommitsInParts => return self.submit_in_parts(command).await,
                Flaw::DropsWhatLooksTheSame => match &*self.last.lock().unwrap() {
                    Some((last, answer)) if *last == command => return Ok(answer.clone()),
                    _ => {}
                },
                _ => {}
            }
            let mut answer = self.shards.submit(command, deadline).await?;
            match self.flaw {
                Flaw::StaysAtOnePosition => answer.position = Position::default(),
                Flaw::CallsNothingReplayed => answer.replayed = false,
                _ => {}
            }
            if matches!(answer.outcome, Outcome::Committed(_)) {
                *self.last.lock().unwrap() = Some((asked, answer.clone()));
            }
            Ok(answer)
        })
    }

    fn get(
        &self,
        mut get: Get,
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Option<Item>>, Error>> {
        Box::pin(async move {
            let is_session = matches!(get.consistency, Consistency::Session(_));
            let is_eventual = get.consistency == Consistency::Eventual;
            get.consistency = self.asked(get.consistency);
            let mut reading = self.shards.get(get, self.reading_deadline(deadline)).await?;
            match self.flaw {
                Flaw::ReadsNothingInSessions if is_session => reading.value = None,
                Flaw::ShowsOldStateAsFresh if is_eventual => {
                    (reading.value, reading.consistency) = (None, Consistency::Linearizable);
                }
                Flaw::StaysAtOnePosition => reading.position = Position::default(),
                _ => {}
            }
            Ok(reading)
        })
    }

    fn list(&self, mut list: List, deadline: Option<Instant>) -> BoxFuture<'_, Result<Reading<Page>, Error>> {
        Box::pin(async move {
            list.consistency = self.asked(list.consistency);
            match self.flaw {
                Flaw::IgnoresTheLimit => list.limit = usize::MAX,
                Flaw::IgnoresTheBytesMax => list.bytes_max = usize::MAX,
                Flaw::IgnoresThePrefix => list.prefix.clear(),
                Flaw::IgnoresTheCursor => list.after = None,
                _ => {}
            }
            let mut reading = self.shards.list(list, self.reading_deadline(deadline)).await?;
            let page = &mut reading.value;
            match self.flaw {
                Flaw::EndsAfterOnePage => page.next = None,
                Flaw::ReversesPages => page.items.reverse(),
                Flaw::HasAlwaysMore => {
                    let last = page.items.last().map(|it| it.key.clone());
                    let slot = mainstay_base::key::Slot::all().last().unwrap();
                    page.next = page.next.take().or(last.map(|key| Cursor::Key { slot, key }));
                }
                Flaw::StaysAtOnePosition => reading.position = Position::default(),
                _ => {}
            }
            Ok(reading)
        })
    }

    fn changes(&self, mut follow: Follow, deadline: Option<Instant>) -> BoxFuture<'_, Result<Events, Error>> {
        Box::pin(async move {
            match self.flaw {
                Flaw::IgnoresTheFilter => follow.filter = None,
                Flaw::FollowsOtherKeys => follow.prefix.clear(),
                Flaw::BeginsFeedsAtTheStart => follow.after = follow.after.or(Some(EventId::default())),
                Flaw::NeverWaits => follow.wait = Duration::ZERO,
                Flaw::MakesOldFeedsUpAgain => follow.after = Some(EventId::default()),
                _ => {}
            }
            let mut page = self.shards.changes(follow, deadline).await?;
            match self.flaw {
                Flaw::LeavesEventsOut if page.events.len() > 1 => drop(page.events.remove(0)),
                Flaw::TellsEventsTwice => {
                    if let [.., before, _] = &page.events[..] {
                        page.next = before.id.clone();
                    }
                }
                Flaw::ReversesEvents => page.events.reverse(),
                _ => {}
            }
            Ok(page)
        })
    }

    fn definitions(&self) -> Arc<Definitions> {
        if self.flaw == Flaw::KnowsOldDefinitions { Arc::clone(&self.old) } else { self.shards.definitions() }
    }

    fn active(&self, revision: u64) -> Active {
        self.shards.active(revision)
    }

    fn define(&self, command: Command, deadline: Option<Instant>) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(async move {
            if self.flaw != Flaw::DefinesNothing {
                return self.shards.define(command, deadline).await;
            }
            let told = self.shards.rehearse(command, deadline).await?;
            let Reading { value: Rehearsed { outcome, .. }, position, durability, .. } = told;
            Ok(Answer { outcome, replayed: false, position, durability })
        })
    }

    fn rehearse(
        &self,
        command: Command,
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Rehearsed>, Error>> {
        Box::pin(async move {
            let told = self.shards.rehearse(command.clone(), deadline).await?;
            if self.flaw == Flaw::RehearsesForReal {
                self.shards.define(command, deadline).await?;
            }
            Ok(told)
        })
    }

    fn standing(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Standing, Error>> {
        self.shards.standing(of, deadline)
    }

    fn stock(&self, of: (Tenant, Name), deadline: Option<Instant>) -> BoxFuture<'_, Result<Stock, Error>> {
        self.shards.stock(of, deadline)
    }

    fn purge(&self, of: (Tenant, Name), deadline: Option<Instant>) -> BoxFuture<'_, Result<Purging, Error>> {
        self.shards.purge(of, deadline)
    }

    fn purging(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Option<Purging>, Error>> {
        self.shards.purging(of, deadline)
    }

    fn usage(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Usage>, Error>> {
        self.shards.usage(of, deadline)
    }

    fn history(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Vec<Definition>>, Error>> {
        Box::pin(async move {
            let mut reading = self.shards.history(of, deadline).await?;
            if self.flaw == Flaw::ForgetsHistory {
                reading.value.truncate(1);
            }
            Ok(reading)
        })
    }
}

#[test]
fn the_suite_finds_every_flaw() {
    let passed = FLAWS.into_iter().filter(|flaw| {
        let shards = world().shards;
        let old = shards.definitions();
        let shards = Flawed { flaw: *flaw, shards, last: Mutex::default(), old };
        let suite = conformance::all(&shards, Some(Mem::ended()));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(suite))).is_ok()
    });
    assert_eq!(passed.collect::<Vec<_>>(), []);
}
