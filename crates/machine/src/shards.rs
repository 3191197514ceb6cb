//! The port to what is committed: how other rooms submit commands and read items, wherever the shard is.
//!
//! Object-safe, its futures are boxed, and it names no runtime. Who implements it owns shards, forwards to who does, or
//! simulates both; all of them pass one suite, `conformance`.

use std::fmt::{self, Display, Formatter};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_base::error::{Classify, Code, Fault, Retry};
use mainstay_base::id::{Name, Tenant};
use mainstay_base::key::{Key, Partition, Slot};
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use crate::command::{Command, ItemName};
use crate::definition::{Definition, Definitions};
use crate::expression::Expression;
use crate::feed::{Events, Follow};
use crate::item::{Item, Listed};
use crate::json::Pointer;
use crate::outcome::{Outcome, Refusal};
use crate::position::Position;
use crate::purge::{Purging, Stock};
use crate::query::Standing;
use crate::sample::Sample;
use crate::usage::Usage;

#[cfg(feature = "conformance")]
pub mod conformance;
mod page;

pub use page::PageBuilder;

/// What an operation of the port returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// All shards of a space, as one.
///
/// Futures do nothing until they are polled. A deadline is a reading of the clock that the implementation was given; what has
/// not begun by then is not begun, and what has begun is [`Error::OutcomeUnknown`] for whoever waits.
pub trait Shards: Send + Sync {
    /// Evaluates a command in its partition's shard, and answers when its outcome is durable. A refusal is an answer.
    ///
    /// A repetition by its idempotency key is answered with the outcome of the first, and waits for it if need be.
    ///
    /// Errors: [`Error`]. Not cancel-safe: to drop the future once it was polled is an unknown outcome.
    fn submit(&self, command: Command, deadline: Option<Instant>) -> BoxFuture<'_, Result<Answer, Error>>;

    /// Reads an item of a partition; none if there is none. Errors: [`Error`], never [`Error::OutcomeUnknown`]. Cancel-safe.
    fn get(&self, get: Get, deadline: Option<Instant>)
    -> BoxFuture<'_, Result<Reading<Option<Item>>, Error>>;

    /// Lists items of a collection, page by page ([`PageBuilder`]).
    ///
    /// Errors: [`Error`], never [`Error::OutcomeUnknown`]. Cancel-safe.
    fn list(&self, list: List, deadline: Option<Instant>) -> BoxFuture<'_, Result<Reading<Page>, Error>>;

    /// The next changes of items of a collection, from where the last page ended ([`EventsBuilder`](crate::feed::EventsBuilder)). Waits
    /// for the first one as long as is asked for, and no longer than until the deadline; then the page has none, and where to go on.
    ///
    /// Errors: [`Error`], never [`Error::OutcomeUnknown`]; [`Error::Trimmed`] when the records after that place are not kept any
    /// more, also when it is of a history that a restore has ended. Cancel-safe.
    fn changes(&self, follow: Follow, deadline: Option<Instant>) -> BoxFuture<'_, Result<Events, Error>>;

    /// The definitions of the last revision that is known here.
    fn definitions(&self) -> Arc<Definitions>;

    /// How many shards have the definitions of this revision or a later one.
    fn active(&self, revision: u64) -> Active;

    /// Evaluates a command that [defines](crate::command::Request::Define), and answers when its outcome is durable and every
    /// shard has it, or the deadline has come: then it goes on to the others.
    ///
    /// Errors and cancellation as [`Shards::submit`].
    fn define(&self, command: Command, deadline: Option<Instant>) -> BoxFuture<'_, Result<Answer, Error>>;

    /// What would become of a command that defines, now. Nothing does. Errors as [`Shards::get`]. Cancel-safe.
    fn rehearse(
        &self,
        command: Command,
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Rehearsed>, Error>>;

    /// How far what is done beside the traffic of a collection is; nothing if it is not defined. Errors as [`Shards::get`]. Cancel-safe.
    fn standing(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Standing, Error>>;

    /// What a purge of a collection would remove. Cost: one pass over the collection. Errors as [`Shards::get`], and
    /// [`Error::Refused`] when it cannot be purged. Cancel-safe.
    fn stock(&self, of: (Tenant, Name), deadline: Option<Instant>) -> BoxFuture<'_, Result<Stock, Error>>;

    /// Begins to remove all items of a retired collection, beside the traffic, where that has not begun; answers how far it is.
    ///
    /// Errors as [`Shards::stock`], and [`Error::Refused`] when items are held. Not cancel-safe: it may have begun in some shards, and
    /// can be asked for again.
    fn purge(&self, of: (Tenant, Name), deadline: Option<Instant>) -> BoxFuture<'_, Result<Purging, Error>>;

    /// How far a purge is; none if there is none. Errors as [`Shards::get`]. Cancel-safe.
    fn purging(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Option<Purging>, Error>>;

    /// What a collection takes and what is done to it; nothing, if there never was one. Errors as [`Shards::get`]. Cancel-safe.
    fn usage(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Usage>, Error>>;

    /// What a definition was, the latest first. Errors as [`Shards::get`]. Cancel-safe.
    fn history(
        &self,
        of: (Tenant, Name),
        deadline: Option<Instant>,
    ) -> BoxFuture<'_, Result<Reading<Vec<Definition>>, Error>>;
}

/// What would become of a command that defines.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// The outcome.
    pub outcome: Outcome,
    /// What items that are there would be under another version of their schema, if it were one.
    pub sample: Option<Sample>,
}

/// How many shards have the definitions of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// So many,
    pub shards: u32,
    /// of these.
    pub of: u32,
}

/// What became of a command, and how safe that is.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What became of it.
    pub outcome: Outcome,
    /// Whether that was answered before, to a command with the same idempotency key.
    pub replayed: bool,
    /// Who reads here or later sees it.
    pub position: Position,
    /// What it survives.
    pub durability: Durability,
}

/// What an answered outcome, or the state that was read, survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: it is lost with the process.
    Memory,
    /// The end of the process, but not the loss of power.
    Written,
    /// The loss of power, but not of the machine.
    Synced,
    /// The loss of the machine.
    Replicated,
}

/// How fresh a reading must be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Consistency {
    /// It shows everything that was answered before it was asked for.
    #[default]
    Linearizable,
    /// It shows everything up to a position.
    Session(Position),
    /// It shows everything that was answered this long before.
    Bounded(Duration),
    /// It shows some earlier state.
    Eventual,
}

/// An item to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// Whose item.
    pub tenant: Tenant,
    /// Its partition.
    pub partition: Partition<'static>,
    /// The item.
    pub item: ItemName,
    /// How fresh.
    pub consistency: Consistency,
}

/// Items to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Whose items.
    pub tenant: Tenant,
    /// Of which collection.
    pub collection: Name,
    /// The one partition that all keys with this prefix are of, if there is only one: nothing else is looked at.
    pub partition: Option<Partition<'static>>,
    /// What their keys begin with.
    pub prefix: String,
    /// Where the page before it ended.
    pub after: Option<Cursor>,
    /// How many at most; a page takes one nonetheless.
    pub limit: usize,
    /// How many bytes their keys and values have at most together; a page takes one item nonetheless.
    pub bytes_max: usize,
    /// Which of them, in which order, and what that may cost.
    pub search: Search,
    /// How fresh.
    pub consistency: Consistency,
}

/// Which items are to be listed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What must hold for an item. One for which it cannot be evaluated is left out.
    pub filter: Option<Expression>,
    /// The fields by which they are ordered; none: any order that all pages share.
    pub order: Vec<Pointer>,
    /// Whether the order is reversed.
    pub is_descending: bool,
    /// The index to be used; none: the best one, if one helps.
    pub index: Option<Name>,
    /// How many entries and items may be looked at for a page.
    pub reads_max: u64,
    /// Whether a page may have fewer items, or none, when so much was looked at. Otherwise that is refused.
    pub may_scan: bool,
}

impl Default for Search {
    /// Every item, by slot and key.
    fn default() -> Self {
        Self {
            filter: None,
            order: Vec::new(),
            is_descending: false,
            index: None,
            reads_max: u64::MAX,
            may_scan: false,
        }
    }
}

/// A place in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// In one that goes through the slots in their order, and in each slot through the keys in theirs.
    Key {
        /// The slot.
        slot: Slot,
        /// The last key that was looked at there.
        key: Key,
    },
    /// In one that goes through an index.
    Entry {
        /// The index's number.
        number: u32,
        /// Whether it goes backwards.
        is_back: bool,
        /// The last entry that was looked at: its tuple, and the item's key behind it.
        entry: Bytes,
    },
}

/// Some of the items that were to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The items, in the order of slots and keys, or of the index that was used.
    pub items: Vec<Listed>,
    /// Where to go on; none at the end.
    pub next: Option<Cursor>,
    /// What it took to find them.
    pub work: Work,
}

/// What it took to find the items of a page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    /// The index that was gone through.
    pub index: Option<Name>,
    /// Entries of it that were read.
    pub entries: u64,
    /// Items that were read.
    pub items: u64,
}

/// What was read, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<T> {
    /// What was read.
    pub value: T,
    /// The state that it shows: everything up to here.
    pub position: Position,
    /// How fresh it really is: as was asked, or fresher.
    pub consistency: Consistency,
    /// How old that state may be.
    pub age: Duration,
    /// What that state survives.
    pub durability: Durability,
}

/// A command that has no outcome here, or a reading that was not made.
///
/// Except after [`Error::OutcomeUnknown`], nothing was changed and nothing will be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is too much work already.
    #[error("{what} has {waiting} requests waiting, and takes no more: send again in {after}")]
    Overloaded {
        /// Where the work waits.
        what: String,
        /// How much of it.
        waiting: usize,
        /// When there will be room.
        after: Duration,
    },
    /// The deadline passed before it was begun.
    #[error("the deadline passed before the request was begun: allow it more time")]
    Deadline,
    /// It was begun, and whether it happens is not known.
    #[error(
        "whether the request happened is not known: {reason}; send it again with the same idempotency key"
    )]
    OutcomeUnknown {
        /// Why.
        reason: String,
    },
    /// The shard, or the state that was asked for, is not to be had now.
    #[error("the shard is not available: {reason}")]
    Unavailable {
        /// Why not.
        reason: String,
    },
    /// There is no room for what is to be written. Reading still works.
    #[error("there is no room to write: {reason}")]
    StorageFull {
        /// What is full.
        reason: String,
    },
    /// It asks for what cannot be found, or not at this cost.
    #[error("{}", .0.detail())]
    Refused(Box<Refusal>),
    /// The position that was to be read at is of a history that a restore has ended.
    #[error("the position is of an earlier history, which a restore has ended: begin anew without it")]
    Gone,
    /// The changes that were to be followed are not to be had any more.
    #[error(
        "the changes after this place are not kept any more: {reason}; read the collection, and follow from the position that \
         reading answers"
    )]
    Trimmed {
        /// Why not.
        reason: String,
    },
    /// The rows cannot be read.
    #[error("the shard's rows cannot be read: {reason}")]
    Broken {
        /// What is wrong.
        reason: String,
    },
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Overloaded { .. } => Code::Overloaded,
            Self::Deadline => Code::Deadline,
            Self::OutcomeUnknown { .. } => Code::OutcomeUnknown,
            Self::Unavailable { .. } => Code::Unavailable,
            Self::StorageFull { .. } => Code::StorageFull,
            Self::Gone | Self::Trimmed { .. } => Code::Gone,
            Self::Refused(refusal) => refusal.code(),
            Self::Broken { .. } => Code::Internal,
        }
    }

    fn fault(&self) -> Fault {
        self.code().fault()
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Overloaded { after, .. } => Retry::After(*after),
            // Nothing was begun, so the key is not needed.
            Self::Deadline => Retry::Safe,
            Self::Broken { .. } => Retry::Never,
            _ => self.code().retry(),
        }
    }
}

impl Durability {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Written => "written",
            Self::Synced => "synced",
            Self::Replicated => "replicated",
        }
    }
}

impl Active {
    /// Whether all have them.
    pub fn is_everywhere(self) -> bool {
        self.shards == self.of
    }
}

impl Display for Active {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shards, self.of)
    }
}

impl Display for Durability {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_what_happened_and_whether_to_send_again() {
        let (reason, after) = (|| "why".to_owned(), Duration::from_millis(250));
        for (error, status, retry) in [
            (Error::Overloaded { what: "shard 3".into(), waiting: 9, after }, 503, Retry::After(after)),
            (Error::Deadline, 504, Retry::Safe),
            (Error::OutcomeUnknown { reason: reason() }, 504, Retry::WithIdempotencyKey),
            (Error::Unavailable { reason: reason() }, 503, Code::Unavailable.retry()),
            (Error::StorageFull { reason: reason() }, 507, Retry::Never),
            (Error::Gone, 410, Retry::Never),
            (Error::Trimmed { reason: reason() }, 410, Retry::Never),
            (Error::Broken { reason: reason() }, 500, Retry::Never),
        ] {
            assert_eq!((error.code().status(), error.retry()), (status, retry), "{error}");
        }
    }

    #[test]
    fn the_port_is_object_safe() {
        fn takes(_: Option<&dyn Shards>) {}
        takes(None);
    }
}
