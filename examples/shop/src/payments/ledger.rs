//! What a ledger holds: accounts with their sums, and transfers that never change.
//!
//! A ledger is one partition of Mainstay, so that a transfer and the sums of both its accounts change in one commit. Amounts are whole
//! numbers of minor units. Names are those of double-entry bookkeeping as TigerBeetle has them
//! (<https://docs.tigerbeetle.com/coding/data-modeling/>): a debit is what goes out of an account, a credit what comes in.

use serde::{Deserialize, Serialize};

/// The collection of accounts: `<ledger>/accounts/<id>`.
pub const ACCOUNTS: &str = "accounts";

/// The collection of transfers: `<ledger>/transfers/<id>`.
pub const TRANSFERS: &str = "transfers";

/// The account of the world outside, which all money comes from. It may be overdrawn.
pub const BANK: &str = "bank";

/// The account of the shop.
pub const MERCHANT: &str = "merchant";

/// The most that one transfer moves.
pub const AMOUNT_MAX: u64 = 1_000_000_000_000;

/// The name of the hold that keeps each transfer as it was written.
pub const HOLD: &str = "ledger";

/// The key of an account.
#[must_use]
pub fn account_key(ledger: &str, id: &str) -> String {
    format!("{ledger}/accounts/{id}")
}

/// The key of a transfer.
#[must_use]
pub fn transfer_key(ledger: &str, id: &str) -> String {
    format!("{ledger}/transfers/{id}")
}

/// An account: four sums, which only transfers change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whether more may go out than has come in. Otherwise pending and posted debits together never exceed posted credits.
    #[serde(default)]
    pub may_overdraw: bool,
    /// What is set aside to go out.
    #[serde(default)]
    pub debits_pending: u64,
    /// What has gone out.
    #[serde(default)]
    pub debits_posted: u64,
    /// What is set aside to come in.
    #[serde(default)]
    pub credits_pending: u64,
    /// What has come in.
    #[serde(default)]
    pub credits_posted: u64,
}

impl Account {
    /// What may still go out, if it may not be overdrawn.
    #[must_use]
    pub const fn available(&self) -> u64 {
        self.credits_posted.saturating_sub(self.debits_posted).saturating_sub(self.debits_pending)
    }
}

/// What a transfer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Moves money at once.
    Transfer,
    /// Sets money aside, until it is posted or voided.
    Pending,
    /// Moves what a pending transfer has set aside, or a part of it; the rest is free again.
    Post,
    /// Frees what a pending transfer has set aside.
    Void,
    /// Takes an id, so that a pending transfer that is still on its way under it is refused: what a void leaves of a transfer that is not there.
    Blocked,
}

/// A transfer as it is kept. It is written once, held, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// What it does.
    pub kind: Kind,
    /// The account that money goes out of; of a post or void that of its pending transfer, of what is blocked none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debit: Option<String>,
    /// The account that it comes into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<String>,
    /// Minor units: what is moved or set aside; of a void what was freed, of what is blocked 0.
    pub amount: u64,
    /// The pending transfer that a post or void is of. At most one transfer is of it, by a unique index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
}

impl Transfer {
    /// Whether asking for the one is asking for the other. Of a void only what it is of counts: what it frees depends on what it finds.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let are_voids = self.kind == Kind::Void && other.kind == Kind::Void;
        self == other || (are_voids && self.pending == other.pending)
    }
}

/// An account with its id, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredAccount {
    /// Its id.
    pub id: String,
    /// The account.
    #[serde(flatten)]
    pub account: Account,
    /// What may still go out, if it may not be overdrawn.
    pub available: u64,
}

/// A transfer with its id, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredTransfer {
    /// Its id.
    pub id: String,
    /// The transfer.
    #[serde(flatten)]
    pub transfer: Transfer,
}
