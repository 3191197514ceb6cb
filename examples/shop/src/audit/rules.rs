//! The rules of the audit, each with a name and a sentence, and how often each was applied and violated.

pub(super) mod charges;
pub(super) mod goods;
pub(super) mod money;
pub(super) mod orders;
pub(super) mod receipts;
pub(super) mod shown;
pub(super) mod stays;
pub(super) mod view;

use serde::Serialize;

use super::{Count, FINDINGS_MAX, Finding};

/// What must be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is said by its sentence, below")]
pub enum Rule {
    Readable,
    Final,
    OpenMarked,
    OrderOfOne,
    TotalAddsUp,
    PriceOfProduct,
    LedgerBalanced,
    SumsRecomputed,
    NoOverdraft,
    ResolvesAPending,
    ResolvedOnce,
    NoPendingLeft,
    BankPaysWelcome,
    ChargeHasOrder,
    ChargeFitsOrder,
    NoDoubleCharge,
    PaidIsCharged,
    FailedNotCharged,
    ProductHasStock,
    StockAddsUp,
    StockAsReserved,
    ReservationHasOrder,
    GoodsFollowOrder,
    FailedHoldsNothing,
    ReceiptOfShipped,
    AcknowledgedExists,
    ShownExists,
    ShownPaid,
    ShownFailed,
    ShownReserved,
    ShownTotal,
    ShownInOrder,
    ShownStays,
}

/// Each rule with its name and what it says.
const WORDS: [(Rule, &str, &str); 33] = [
    (Rule::Readable, "readable", "every item is of the shape and has the key that its collection is for"),
    (Rule::Final, "final", "every order is shipped or failed"),
    (Rule::OpenMarked, "open_marked", "an order is marked `open` exactly as long as it is not final"),
    (Rule::OrderOfOne, "order_of_one", "an order's id is of one customer"),
    (
        Rule::TotalAddsUp,
        "total_adds_up",
        "an order has lines, each of another product, and its total is their sum",
    ),
    (
        Rule::PriceOfProduct,
        "price_of_product",
        "a line of an order costs what its product costs in the order's currency",
    ),
    (
        Rule::LedgerBalanced,
        "ledger_balanced",
        "in every ledger the debits of all accounts are the credits, posted and pending",
    ),
    (Rule::SumsRecomputed, "sums_recomputed", "an account's sums are what all transfers together make of it"),
    (Rule::NoOverdraft, "no_overdraft", "only an account that may be overdrawn is"),
    (
        Rule::ResolvesAPending,
        "resolves_a_pending",
        "every post and void is of one pending transfer, of its accounts and its amount, and what is blocked is so by a void",
    ),
    (Rule::ResolvedOnce, "resolved_once", "a pending transfer has at most one post or void"),
    (Rule::NoPendingLeft, "no_pending_left", "a pending transfer waits only as long as its order is open"),
    (
        Rule::BankPaysWelcome,
        "bank_pays_welcome",
        "what the bank pays out is a customer's welcome, of its name, to that customer and of its amount",
    ),
    (Rule::ChargeHasOrder, "charge_has_order", "nothing is charged, or set aside to be, without an order"),
    (Rule::ChargeFitsOrder, "charge_fits_order", "a charge is of the order's total, currency and customer"),
    (Rule::NoDoubleCharge, "no_double_charge", "an order is charged at most once"),
    (Rule::PaidIsCharged, "paid_is_charged", "an order that is paid or shipped is charged"),
    (
        Rule::FailedNotCharged,
        "failed_not_charged",
        "an order is charged only if that was decided, and never if it failed",
    ),
    (Rule::ProductHasStock, "product_has_stock", "every product has stock, and stock is of a product"),
    (Rule::StockAddsUp, "stock_adds_up", "what was received is available, reserved or shipped"),
    (
        Rule::StockAsReserved,
        "stock_as_reserved",
        "of a product as much is reserved and shipped as its reservations say",
    ),
    (
        Rule::ReservationHasOrder,
        "reservation_has_order",
        "a reservation is of an order's line, and of its quantity",
    ),
    (
        Rule::GoodsFollowOrder,
        "goods_follow_order",
        "of an order that is reserved, charging or paid every line is set aside, of one that is shipped every line went out, and nothing goes out before it is paid",
    ),
    (
        Rule::FailedHoldsNothing,
        "failed_holds_nothing",
        "of an order that failed nothing is set aside, and nothing went out",
    ),
    (
        Rule::ReceiptOfShipped,
        "receipt_of_shipped",
        "a receipt is of an order that is shipped, and of its customer",
    ),
    (
        Rule::AcknowledgedExists,
        "acknowledged_exists",
        "an order that a checkout was redirected to is there, and is that customer's",
    ),
    (
        Rule::ShownExists,
        "shown_exists",
        "an order that a customer was shown is there, and is that customer's",
    ),
    (
        Rule::ShownPaid,
        "shown_paid",
        "an order that was shown as charging, paid or shipped came to be shipped",
    ),
    (Rule::ShownFailed, "shown_failed", "an order that was shown as failing or failed came to fail"),
    (
        Rule::ShownReserved,
        "shown_reserved",
        "of an order that was shown as reserved or further every line was set aside",
    ),
    (Rule::ShownTotal, "shown_total", "an order was shown with the total and currency that it has"),
    (
        Rule::ShownInOrder,
        "shown_in_order",
        "an answer that was asked for after another had come does not show an earlier state",
    ),
    (
        Rule::ShownStays,
        "shown_stays",
        "an order that was acknowledged or shown is not missing, by its page or the list, in what was asked for afterwards",
    ),
];

impl Rule {
    /// All rules.
    pub const ALL: [Self; WORDS.len()] = {
        let mut all = [Self::Readable; WORDS.len()];
        let mut place = 0;
        while place < WORDS.len() {
            all[place] = WORDS[place].0;
            place += 1;
        }
        all
    };

    /// As it stands in tables and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What must be so.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        let of_this = WORDS.iter().find(|(rule, ..)| *rule == self);
        let (_, name, sentence) = of_this.expect("each rule has its words");
        (name, sentence)
    }
}

/// The checks so far.
#[derive(Debug)]
pub(super) struct Checks {
    checked: [u64; Rule::ALL.len()],
    violations: [u64; Rule::ALL.len()],
    findings: Vec<Finding>,
}

impl Default for Checks {
    fn default() -> Self {
        let none = [0; Rule::ALL.len()];
        Self { checked: none, violations: none, findings: Vec::new() }
    }
}

impl Checks {
    /// Applies a rule to a subject. `explanation` says what is the case if it does not hold.
    pub(super) fn that(
        &mut self,
        rule: Rule,
        holds: bool,
        subject: impl FnOnce() -> String,
        explanation: impl FnOnce() -> String,
    ) {
        let place = rule as usize;
        self.checked[place] += 1;
        if holds {
            return;
        }
        self.violations[place] += 1;
        if self.violations[place] <= FINDINGS_MAX as u64 {
            self.findings.push(Finding { rule, subject: subject(), explanation: explanation() });
        }
    }

    /// Counts things that a rule was applied to, and that follow it.
    pub(super) fn follow(&mut self, rule: Rule, count: u64) {
        self.checked[rule as usize] += count;
    }

    /// What was counted, and what was found, by rules.
    pub(super) fn into_parts(mut self) -> (Vec<Count>, Vec<Finding>) {
        let count = |rule: Rule| Count {
            rule,
            checked: self.checked[rule as usize],
            violations: self.violations[rule as usize],
        };
        let counts = Rule::ALL.into_iter().map(count).collect();
        self.findings.sort_by_key(|finding| finding.rule);
        (counts, self.findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_place_and_the_name_that_programs_read() {
        for (place, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule as usize, place, "{rule:?}");
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
            assert!(!rule.sentence().ends_with('.'), "{rule:?}");
        }
    }
}
