//! What is asked for, and the one commit that does it: the transfer, its hold, and the sums of its accounts.
//!
//! Each condition of the commit is kept with what it means if it fails. All of it is a function of what is asked for and, of a post or
//! void, of the pending transfer as it was read; since transfers never change, what was read stays true.

use serde::Deserialize;
use serde_json::Value;

use super::ledger::{ACCOUNTS, AMOUNT_MAX, HOLD, Kind, TRANSFERS, Transfer, account_key, transfer_key};
use crate::mainstay::{absent, check, hold, increment, present, put};
use crate::money::Currency;
use crate::service::{self, Problem};

/// A transfer as a caller asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Wanted {
    /// Move money at once.
    Transfer {
        /// The account that it goes out of.
        debit: String,
        /// The account that it comes into.
        credit: String,
        /// Minor units.
        amount: u64,
    },
    /// Set money aside.
    Pending {
        /// The account that it will go out of.
        debit: String,
        /// The account that it will come into.
        credit: String,
        /// Minor units.
        amount: u64,
    },
    /// Move what was set aside.
    Post {
        /// The pending transfer.
        pending: String,
        /// Not more than was set aside; without it, all of that.
        amount: Option<u64>,
    },
    /// Free what was set aside.
    Void {
        /// The pending transfer.
        pending: String,
    },
}

impl Wanted {
    /// Whether it can be asked for under this id, whatever is there.
    pub fn check(&self, id: &str) -> Result<(), Problem> {
        service::id("transfer", id)?;
        match self {
            Self::Transfer { debit, credit, amount } | Self::Pending { debit, credit, amount } => {
                service::id("debit", debit)?;
                service::id("credit", credit)?;
                if debit == credit {
                    return Err(Problem::invalid(format!("{debit} is debit and credit: name two accounts")));
                }
                check_amount(*amount)
            }
            Self::Post { pending, amount } => {
                check_pending(id, pending)?;
                amount.map_or(Ok(()), check_amount)
            }
            Self::Void { pending } => check_pending(id, pending),
        }
    }
}

fn check_amount(amount: u64) -> Result<(), Problem> {
    if (1..=AMOUNT_MAX).contains(&amount) {
        return Ok(());
    }
    Err(Problem::invalid(format!("the amount is {amount}: use 1 to {AMOUNT_MAX} minor units")))
}

fn check_pending(id: &str, pending: &str) -> Result<(), Problem> {
    service::id("pending", pending)?;
    if id == pending {
        return Err(Problem::invalid(format!(
            "{id} cannot be of itself: use another id than that of `pending`"
        )));
    }
    Ok(())
}

/// Why an entry was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// There is a transfer with this id, perhaps this very one.
    Taken,
    /// There is no such account.
    NoAccount(String),
    /// More would go out of this account than has come in.
    NoFunds(String),
    /// The pending transfer was not there when it was read, and is now.
    Came,
}

/// A transfer, and the commit that makes it.
#[derive(Debug)]
pub struct Entry {
    /// What is written.
    pub transfer: Transfer,
    /// Under what conditions, and what it means if one fails.
    pub conditions: Vec<(Value, Hindrance)>,
    /// What is done.
    pub operations: Vec<Value>,
    currency: Currency,
}

impl Entry {
    /// Money that moves at once, or is set aside.
    #[must_use]
    pub fn of_move(currency: Currency, id: &str, transfer: Transfer) -> Self {
        let sums = match transfer.kind {
            Kind::Pending => ["/debits_pending", "/credits_pending"],
            _ => ["/debits_posted", "/credits_posted"],
        };
        let amount = transfer.amount;
        let accounts = [transfer.debit.clone(), transfer.credit.clone()].map(Option::unwrap_or_default);
        let mut entry = Self::new(currency, id, transfer);
        for account in &accounts {
            let condition = present(ACCOUNTS, &account_key(currency.code(), account));
            entry.conditions.push((condition, Hindrance::NoAccount(account.clone())));
        }
        let [debit, _] = &accounts;
        let enough = format!(
            "value.may_overdraw || value.credits_posted - value.debits_posted - value.debits_pending >= {amount}"
        );
        let condition = check(ACCOUNTS, &account_key(currency.code(), debit), &enough);
        entry.conditions.push((condition, Hindrance::NoFunds(debit.clone())));
        for (account, sum) in accounts.iter().zip(sums) {
            entry.add(account, sum, signed(amount));
        }
        entry
    }

    /// The end of a pending transfer, as it was read: what is posted moves, all that was set aside is free. Of one that is blocked nothing
    /// moves, and the index refuses it: the void that blocked it has that place.
    #[must_use]
    pub fn of_resolution(currency: Currency, id: &str, transfer: Transfer, pending: &Transfer) -> Self {
        let posted = if transfer.kind == Kind::Post { transfer.amount } else { 0 };
        let mut entry = Self::new(currency, id, transfer);
        let sides = [
            (&pending.debit, "/debits_pending", "/debits_posted"),
            (&pending.credit, "/credits_pending", "/credits_posted"),
        ];
        for (account, set_aside, moved) in sides {
            let Some(account) = account else { continue };
            entry.add(account, set_aside, -signed(pending.amount));
            if posted > 0 {
                entry.add(account, moved, signed(posted));
            }
        }
        entry
    }

    /// The void of a pending transfer that is not there: its id is taken, so that it cannot come any more.
    #[must_use]
    pub fn of_block(currency: Currency, id: &str, void: Transfer, pending: &str) -> Self {
        let mut entry = Self::new(currency, id, void);
        let condition = absent(TRANSFERS, &transfer_key(currency.code(), pending));
        entry.conditions.push((condition, Hindrance::Came));
        let blocked = Transfer { kind: Kind::Blocked, debit: None, credit: None, amount: 0, pending: None };
        entry.write(pending, &blocked);
        entry
    }

    fn new(currency: Currency, id: &str, transfer: Transfer) -> Self {
        let condition = absent(TRANSFERS, &transfer_key(currency.code(), id));
        let conditions = vec![(condition, Hindrance::Taken)];
        let mut entry = Self { transfer, conditions, operations: Vec::new(), currency };
        let transfer = entry.transfer.clone();
        entry.write(id, &transfer);
        entry
    }

    /// Written, and held in the same commit: there is no moment in which it could be changed.
    fn write(&mut self, id: &str, transfer: &Transfer) {
        let key = transfer_key(self.currency.code(), id);
        self.operations.push(put(TRANSFERS, &key, transfer));
        self.operations.push(hold(TRANSFERS, &key, HOLD));
    }

    fn add(&mut self, account: &str, sum: &str, by: i64) {
        let key = account_key(self.currency.code(), account);
        self.operations.push(increment(ACCOUNTS, &key, sum, by));
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).expect("amounts are at most AMOUNT_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_strictly() {
        let read = |text: &str| serde_json::from_str::<Wanted>(text).map_err(|error| error.to_string());
        assert_eq!(
            read(r#"{"kind":"post","pending":"p"}"#),
            Ok(Wanted::Post { pending: "p".to_owned(), amount: None })
        );
        let refused = [
            (r#"{"kind":"post","pending":"p","amont":1}"#, "unknown field `amont`"),
            (r#"{"kind":"transfer","debit":"a","credit":"b","amount":1.5}"#, "floating point"),
            (r#"{"kind":"transfer","debit":"a","credit":"b","amount":-1}"#, "integer `-1`"),
            (r#"{"kind":"transfer","debit":"a","amount":1}"#, "missing field `credit`"),
            (r#"{"kind":"blocked"}"#, "unknown variant `blocked`"),
            (r#"{"pending":"p"}"#, "missing field `kind`"),
        ];
        for (text, reason) in refused {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
