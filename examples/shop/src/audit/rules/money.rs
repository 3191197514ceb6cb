//! Rules of ledgers: money is neither made nor lost, and nothing set aside is forgotten.

use std::collections::BTreeMap;

use super::view::{Entry, View, order_of};
use super::{Checks, Rule};
use crate::orders::calls::WELCOME;
use crate::payments::ledger::{Account, BANK, Kind, Transfer};

pub(crate) fn check(view: &View<'_>, checks: &mut Checks) {
    balanced(view, checks);
    recomputed(view, checks);
    for ((ledger, id), account) in &view.books.accounts {
        let out = u128::from(account.debits_posted) + u128::from(account.debits_pending);
        let holds = account.may_overdraw || out <= u128::from(account.credits_posted);
        checks.that(
            Rule::NoOverdraft,
            holds,
            || format!("account {ledger}/{id}"),
            || {
                format!(
                    "{out} went out of it or is set aside, and {} came in: it may not be overdrawn",
                    account.credits_posted
                )
            },
        );
    }
    for entry in view.entries() {
        match entry.transfer.kind {
            Kind::Post | Kind::Void => resolves(view, entry, checks),
            Kind::Pending => resolved(view, entry, checks),
            Kind::Blocked => {
                let holds = view.resolutions(entry).iter().any(|by| by.transfer.kind == Kind::Void);
                let explanation = || "it is blocked, and there is no void of it".to_owned();
                checks.that(Rule::ResolvesAPending, holds, || subject(entry), explanation);
            }
            Kind::Transfer if entry.transfer.debit.as_deref() == Some(BANK) => welcomes(entry, checks),
            Kind::Transfer => {}
        }
    }
}

/// An id is that of one transfer in its ledger, so each customer has at most one welcome in each.
fn welcomes(entry: Entry<'_>, checks: &mut Checks) {
    let Transfer { credit, amount, .. } = entry.transfer;
    let to = entry.id.strip_suffix("-welcome");
    checks.that(
        Rule::BankPaysWelcome,
        to.is_some() && to == credit.as_deref() && *amount == WELCOME,
        || subject(entry),
        || {
            let credit = credit.as_deref().unwrap_or("nobody");
            format!("{BANK} pays {amount} to {credit} by it; a welcome is {credit}-welcome, of {WELCOME}")
        },
    );
}

fn subject(entry: Entry<'_>) -> String {
    format!("transfer {}", entry.name())
}

/// Debits posted and pending, credits posted and pending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    debits_posted: i128,
    debits_pending: i128,
    credits_posted: i128,
    credits_pending: i128,
}

impl Sums {
    fn add(&mut self, account: &Account) {
        self.debits_posted += i128::from(account.debits_posted);
        self.debits_pending += i128::from(account.debits_pending);
        self.credits_posted += i128::from(account.credits_posted);
        self.credits_pending += i128::from(account.credits_pending);
    }

    fn told(self) -> String {
        format!(
            "debits {} and {} pending, credits {} and {} pending",
            self.debits_posted, self.debits_pending, self.credits_posted, self.credits_pending
        )
    }
}

fn balanced(view: &View<'_>, checks: &mut Checks) {
    let mut ledgers: BTreeMap<&str, Sums> = BTreeMap::new();
    for ((ledger, _), account) in &view.books.accounts {
        ledgers.entry(ledger).or_default().add(account);
    }
    for (ledger, sums) in ledgers {
        let holds = sums.debits_posted == sums.credits_posted && sums.debits_pending == sums.credits_pending;
        let explanation = || format!("all accounts together have {}", sums.told());
        checks.that(Rule::LedgerBalanced, holds, || format!("ledger {ledger}"), explanation);
    }
}

fn recomputed(view: &View<'_>, checks: &mut Checks) {
    let mut made: BTreeMap<(&str, &str), Sums> = BTreeMap::new();
    for entry in view.entries() {
        move_money(view, entry, &mut made);
    }
    for ((ledger, id), account) in &view.books.accounts {
        let mut kept = Sums::default();
        kept.add(account);
        let should = made.remove(&(ledger.as_str(), id.as_str())).unwrap_or_default();
        let explanation = || format!("it has {}; its transfers make {}", kept.told(), should.told());
        checks.that(Rule::SumsRecomputed, kept == should, || format!("account {ledger}/{id}"), explanation);
    }
    for ((ledger, id), sums) in made {
        let explanation = || format!("there is no such account; transfers make {} of it", sums.told());
        checks.that(Rule::SumsRecomputed, false, || format!("account {ledger}/{id}"), explanation);
    }
}

/// What a transfer does to the sums of its accounts.
fn move_money<'a>(view: &View<'a>, entry: Entry<'a>, made: &mut BTreeMap<(&'a str, &'a str), Sums>) {
    let Entry { ledger, transfer, .. } = entry;
    let mut both = |of: &'a Transfer, posted: i128, pending: i128| {
        if let Some(debit) = &of.debit {
            let sums = made.entry((ledger, debit)).or_default();
            sums.debits_posted += posted;
            sums.debits_pending += pending;
        }
        if let Some(credit) = &of.credit {
            let sums = made.entry((ledger, credit)).or_default();
            sums.credits_posted += posted;
            sums.credits_pending += pending;
        }
    };
    let amount = i128::from(transfer.amount);
    let pending = view.pending_of(entry).filter(|of| of.kind == Kind::Pending);
    let freed = |of: &Transfer| -i128::from(of.amount);
    match (transfer.kind, pending) {
        (Kind::Transfer, _) => both(transfer, amount, 0),
        (Kind::Pending, _) => both(transfer, 0, amount),
        (Kind::Post, Some(of)) => both(of, amount, freed(of)),
        (Kind::Post, None) => both(transfer, amount, 0),
        (Kind::Void, Some(of)) => both(of, 0, freed(of)),
        (Kind::Void, None) | (Kind::Blocked, _) => {}
    }
}

/// A post or void fits what it is of.
fn resolves(view: &View<'_>, entry: Entry<'_>, checks: &mut Checks) {
    let transfer = entry.transfer;
    let of = transfer.pending.as_deref().unwrap_or_default();
    let wrong = match view.pending_of(entry) {
        None => Some(format!("it is of {of:?}, and there is no such transfer")),
        Some(blocked) if blocked.kind == Kind::Blocked => (transfer.kind == Kind::Post
            || transfer.amount != 0)
            .then(|| format!("it moves money of {of:?}, which was blocked before it was made")),
        Some(pending) if pending.kind != Kind::Pending => {
            Some(format!("it is of {of:?}, which is not pending but {:?}", pending.kind))
        }
        Some(pending) if (&pending.debit, &pending.credit) != (&transfer.debit, &transfer.credit) => {
            Some(format!("its accounts are not those of {of:?}"))
        }
        Some(pending) if transfer.amount > pending.amount => {
            Some(format!("it is of {}, and {of:?} is of {}", transfer.amount, pending.amount))
        }
        Some(pending) if transfer.kind == Kind::Void && transfer.amount != pending.amount => {
            Some(format!("it frees {} of {} of {of:?}", transfer.amount, pending.amount))
        }
        Some(_) => None,
    };
    checks.that(
        Rule::ResolvesAPending,
        wrong.is_none(),
        || subject(entry),
        || wrong.clone().unwrap_or_default(),
    );
}

/// A pending transfer is resolved once, and at the latest when its order is final.
fn resolved<'a>(view: &View<'a>, entry: Entry<'a>, checks: &mut Checks) {
    let by = view.resolutions(entry);
    let names = || by.iter().map(Entry::name).collect::<Vec<_>>().join(", ");
    checks.that(
        Rule::ResolvedOnce,
        by.len() <= 1,
        || subject(entry),
        || format!("it is resolved by {}", names()),
    );
    let order = order_of(entry.id, entry.transfer).and_then(|order| view.order(order));
    let waits = order.is_some_and(|placed| !placed.order.state.is_final());
    let explanation = || match order {
        Some(placed) => format!(
            "{} is still set aside, and its order {} is {}",
            entry.transfer.amount,
            placed.id,
            placed.order.state.name()
        ),
        None => format!("{} is still set aside, for no order", entry.transfer.amount),
    };
    checks.that(Rule::NoPendingLeft, !by.is_empty() || waits, || subject(entry), explanation);
}
