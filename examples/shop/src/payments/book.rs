//! One ledger, as one request sees it: accounts are opened and transfers entered, each by one commit that can happen only once.
//!
//! A commit is sent until its outcome is known. What then stands in its way is read and told: a transfer that is there already is done
//! if it is the same, whoever has sent it.

use serde_json::{Value, json};

use super::entry::{Entry, Hindrance, Wanted};
use super::ledger::{ACCOUNTS, Account, Kind, TRANSFERS, Transfer, account_key, transfer_key};
use crate::http::Deadline;
use crate::mainstay::{Error, Mainstay, absent, put};
use crate::money::Currency;
use crate::service::Problem;
use axum::http::StatusCode;

/// A ledger.
#[derive(Debug, Clone, Copy)]
pub struct Book<'a> {
    api: &'a Mainstay,
    currency: Currency,
    deadline: Deadline,
}

impl<'a> Book<'a> {
    /// The ledger of a currency, for as long as an answer is of use.
    #[must_use]
    pub const fn new(api: &'a Mainstay, currency: Currency, deadline: Deadline) -> Self {
        Self { api, currency, deadline }
    }

    /// Opens an account; tells whether it was not there before.
    pub async fn open(&self, id: &str, may_overdraw: bool) -> Result<(bool, Account), Problem> {
        let key = account_key(self.ledger(), id);
        let account = Account { may_overdraw, ..Account::default() };
        let conditions = [absent(ACCOUNTS, &key)];
        let operations = [put(ACCOUNTS, &key, &account)];
        let done = self.api.commit_until_known(self.ledger(), &conditions, &operations, self.deadline).await;
        match done {
            Ok(()) => return Ok((true, account)),
            Err(error) if error.condition().is_some() => {}
            Err(error) => return Err(error.into()),
        }
        let found = self.find_account(id).await.map_err(Error::in_doubt)?;
        let found = found.ok_or_else(|| self.no_account(id))?;
        if found.may_overdraw == may_overdraw {
            return Ok((false, found));
        }
        let detail = format!("the account {id} is there with `may_overdraw` {}", found.may_overdraw);
        Err(Problem::conflict("different", detail))
    }

    /// An account.
    pub async fn account(&self, id: &str) -> Result<Account, Problem> {
        self.find_account(id).await?.ok_or_else(|| self.no_account(id))
    }

    async fn find_account(&self, id: &str) -> Result<Option<Account>, Error> {
        let found = self.api.get(ACCOUNTS, &account_key(self.ledger(), id), self.deadline).await?;
        Ok(found.map(|item| item.value))
    }

    /// A transfer, if there is one.
    pub async fn transfer(&self, id: &str) -> Result<Option<Transfer>, Error> {
        let found = self.api.get(TRANSFERS, &transfer_key(self.ledger(), id), self.deadline).await?;
        Ok(found.map(|item| item.value))
    }

    /// Enters a transfer; tells whether it was not there before.
    pub async fn enter(&self, id: &str, wanted: &Wanted) -> Result<(bool, Transfer), Problem> {
        wanted.check(id)?;
        loop {
            let entry = self.entry(id, wanted).await?;
            let Err(error) = self.commit(&entry).await else { return Ok((true, entry.transfer)) };
            let failed = error.condition().and_then(|place| entry.conditions.get(place));
            match failed.map(|(_, hindrance)| hindrance) {
                Some(Hindrance::Taken) => {
                    return Ok((false, self.already(id, &entry.transfer).await?));
                }
                Some(Hindrance::NoAccount(account)) => return Err(self.no_account(account)),
                Some(Hindrance::NoFunds(account)) => {
                    return Err(self.no_funds(account, entry.transfer.amount).await?);
                }
                // It never goes away again: this happens once.
                Some(Hindrance::Came) => {}
                None => match error.held_by().and_then(|key| key.rsplit('/').next()) {
                    Some(by) => return Err(self.resolved(&entry.transfer, by).await?),
                    None => return Err(error.into()),
                },
            }
        }
    }

    /// What is to be done, as things are now.
    async fn entry(&self, id: &str, wanted: &Wanted) -> Result<Entry, Problem> {
        let (kind, pending, amount) = match wanted {
            Wanted::Transfer { debit, credit, amount } => {
                return Ok(self.move_of(id, Kind::Transfer, (debit, credit, *amount)));
            }
            Wanted::Pending { debit, credit, amount } => {
                return Ok(self.move_of(id, Kind::Pending, (debit, credit, *amount)));
            }
            Wanted::Post { pending, amount } => (Kind::Post, pending, *amount),
            Wanted::Void { pending } => (Kind::Void, pending, None),
        };
        let found = self.transfer(pending).await?;
        let all = found.as_ref().map_or(0, |found| found.amount);
        let transfer = Transfer {
            kind,
            debit: found.as_ref().and_then(|found| found.debit.clone()),
            credit: found.as_ref().and_then(|found| found.credit.clone()),
            amount: amount.unwrap_or(all),
            pending: Some(pending.clone()),
        };
        match found {
            Some(found) if found.kind == Kind::Pending && transfer.amount > found.amount => {
                let detail = format!("{pending} set {all} aside: {} cannot be posted of it", transfer.amount);
                Err(Problem::invalid(detail))
            }
            Some(found) if matches!(found.kind, Kind::Pending | Kind::Blocked) => {
                Ok(Entry::of_resolution(self.currency, id, transfer, &found))
            }
            None if kind == Kind::Void => Ok(Entry::of_block(self.currency, id, transfer, pending)),
            found => Err(self.no_pending(pending, found.is_some())),
        }
    }

    fn move_of(&self, id: &str, kind: Kind, (debit, credit, amount): (&str, &str, u64)) -> Entry {
        let (debit, credit) = (Some(debit.to_owned()), Some(credit.to_owned()));
        Entry::of_move(self.currency, id, Transfer { kind, debit, credit, amount, pending: None })
    }

    async fn commit(&self, entry: &Entry) -> Result<(), Error> {
        let conditions: Vec<Value> =
            entry.conditions.iter().map(|(condition, _)| condition.clone()).collect();
        self.api.commit_until_known(self.ledger(), &conditions, &entry.operations, self.deadline).await
    }

    /// The transfer that has the id, if it is the same. It may be what this very request has done, in a try without an answer.
    async fn already(&self, id: &str, wanted: &Transfer) -> Result<Transfer, Problem> {
        let found = self.transfer(id).await.map_err(Error::in_doubt)?;
        let found = found.ok_or_else(|| gone(id))?;
        if found.is_same(wanted) {
            return Ok(found);
        }
        let detail = match found.kind {
            Kind::Blocked => format!("{id} was voided before it came: use another id"),
            _ => format!("the transfer {id} is there and another one: use another id"),
        };
        Err(Problem::conflict("different", detail).with(json!({"kind": found.kind})))
    }

    /// That a pending transfer has ended otherwise.
    async fn resolved(&self, wanted: &Transfer, by: &str) -> Result<Problem, Problem> {
        let found = self.transfer(by).await.map_err(Error::in_doubt)?.ok_or_else(|| gone(by))?;
        let pending = wanted.pending.as_deref().unwrap_or_default();
        let detail = format!("the pending transfer {pending} is resolved by {by} already");
        Ok(Problem::conflict("resolved", detail).with(json!({"by": by, "kind": found.kind})))
    }

    async fn no_funds(&self, id: &str, amount: u64) -> Result<Problem, Problem> {
        let found = self.find_account(id).await.map_err(Error::in_doubt)?;
        let available = found.as_ref().map_or(0, Account::available);
        let detail =
            format!("the account {id} had not enough for {amount} when it was tried: it has {available} now");
        Ok(Problem::conflict("insufficient_funds", detail).with(json!({"available": available})))
    }

    fn no_account(&self, id: &str) -> Problem {
        let detail =
            format!("there is no account {id} in the ledger {}: make it by PUT first", self.currency);
        Problem::new(StatusCode::NOT_FOUND, "no_account", detail).with(json!({"account": id}))
    }

    fn no_pending(&self, id: &str, is_there: bool) -> Problem {
        let what = if is_there { "is no pending transfer" } else { "is not there" };
        let detail = format!("{id} {what} in the ledger {}: nothing is set aside by it", self.currency);
        Problem::new(StatusCode::NOT_FOUND, "no_pending", detail)
    }

    const fn ledger(&self) -> &'static str {
        self.currency.code()
    }
}

fn gone(id: &str) -> Error {
    Error::Unexpected(format!("the transfer {id} was there and is not any more, though it is held"))
}
