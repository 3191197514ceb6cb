//! The audit finds each thing that can be wrong, and nothing in a shop in which nothing is.

use std::collections::{BTreeMap, BTreeSet};

use shop::audit::{Audit, Rule, Shown, Sight, audit};
use shop::inventory::stock::{Reservation, Standing};
use shop::money::Currency::{self, Eur, Usd};
use shop::orders::order::State;
use shop::payments::ledger::{Account, BANK, Kind, MERCHANT, Transfer};

use crate::little_shop::{LittleShop, WELCOME};

fn lines(lines: &[(&str, u64)]) -> BTreeMap<String, u64> {
    lines.iter().map(|(sku, quantity)| ((*sku).to_owned(), *quantity)).collect()
}

/// Orders of each fate, all final, and shown at every step.
fn sound() -> LittleShop {
    let mut shop = LittleShop::new(&[("tea", 450, 1000), ("lamp", 7900, 1000), ("rare", 100, 10)]);
    for (customer, currency) in [("c-1", Eur), ("c-2", Usd), ("c-3", Eur)] {
        for name in ["shipped", "voided", "poor", "sold-out"] {
            let id = format!("{customer}-{name}");
            let bought = match name {
                "poor" => lines(&[("lamp", 7)]),
                "sold-out" => lines(&[("rare", 11), ("tea", 1)]),
                _ => lines(&[("lamp", 1), ("rare", 1), ("tea", 2)]),
            };
            // Its page was looked for before it was there.
            shop.look(customer, Sight::Missing(id.clone()));
            shop.place(customer, &id, currency, &bought);
            shop.acknowledge(&id);
            shop.show(&id);
            let of = shop.books.orders.iter().filter(|placed| placed.customer == customer);
            let all = of.map(|placed| placed.id.clone()).collect();
            shop.look(customer, Sight::Listed(all));
            if name == "voided" {
                shop.go_on_to(&id, State::Reserved);
                shop.pending(currency.code(), &format!("{id}-pay"), (customer, MERCHANT), 8900);
                shop.becomes(&id, State::Failing);
            }
            shop.go_on_to(&id, State::Shipped);
        }
    }
    // Asked for before the last state was shown, and answered later: it may show an earlier one.
    shop.show_as("c-1-shipped", State::Placed);
    shop.show_as("c-1-voided", State::Reserved);
    // A stream that was opened before all.
    for state in [State::Placed, State::Reserved, State::Charging, State::Paid, State::Shipped] {
        shop.show_as("c-3-shipped", state).request = 7_000_000;
    }
    shop
}

fn found(audit: &Audit) -> BTreeSet<Rule> {
    audit.counts.iter().filter(|count| count.violations > 0).map(|count| count.rule).collect()
}

#[test]
fn a_sound_shop_has_no_findings_and_every_rule_is_applied_to_something() {
    let shop = sound();
    let audit = audit(&shop.books, &shop.told);
    assert!(audit.is_clean(), "{audit}");
    assert_eq!(audit.findings, []);
    for count in &audit.counts {
        assert!(count.checked > 0, "{:?} is applied to nothing", count.rule);
    }
    assert!(shop.books.orders.iter().any(|placed| placed.order.state == State::Shipped));
    let text = audit.to_string();
    assert!(text.contains("no_double_charge") && text.ends_with("no violation"), "{text}");
}

/// Something wrong: what, the rules that find it, and how it is made. There are several rules only where one cannot be violated alone.
type Planted = (&'static str, &'static [Rule], fn(&mut LittleShop));

/// Each is found by its rules, and by no other.
fn check(plants: &[Planted]) {
    for (what, rules, plant) in plants {
        let mut shop = sound();
        plant(&mut shop);
        let audit = audit(&shop.books, &shop.told);
        let must: BTreeSet<_> = rules.iter().copied().collect();
        assert_eq!(found(&audit), must, "{what}: {:#?}", audit.findings);
        assert!(audit.findings.iter().all(|finding| !finding.subject.is_empty()), "{what}");
        assert!(audit.to_string().contains("VIOLATIONS"), "{what}");
    }
}

/// An order that is placed, and goes no further by itself.
fn placed(shop: &mut LittleShop, id: &str) {
    shop.place("c-1", id, Eur, &lines(&[("lamp", 1), ("tea", 1)]));
}

/// Its lines have gone out, whatever was paid.
fn all_shipped(shop: &mut LittleShop, id: &str) {
    for line in shop.order(id).order.lines.clone() {
        shop.reserve(&line.sku, id, line.quantity);
        shop.ship(&line.sku, id);
    }
    shop.becomes(id, State::Shipped);
}

fn charged(shop: &mut LittleShop, id: &str, currency: Currency, debit: &str, amount: u64) {
    let ledger = currency.code();
    let pay = format!("{id}-pay");
    shop.pending(ledger, &pay, (debit, MERCHANT), amount);
    shop.post(ledger, &format!("{id}-post"), &pay, amount);
}

const ORDERS: &[Planted] = &[
    ("an item that cannot be read", &[Rule::Readable], |shop| {
        shop.books.strange.push("orders c-1/x: missing field `state`".to_owned());
    }),
    ("an order that is only placed", &[Rule::Final], |shop| placed(shop, "o-1")),
    ("one that is charging", &[Rule::Final], |shop| {
        placed(shop, "o-1");
        shop.go_on_to("o-1", State::Charging);
    }),
    ("one that is paid", &[Rule::Final], |shop| {
        placed(shop, "o-1");
        shop.go_on_to("o-1", State::Paid);
    }),
    ("one that is failing", &[Rule::Final], |shop| {
        shop.place("c-1", "o-1", Eur, &lines(&[("rare", 11)]));
        shop.step("o-1");
    }),
    ("a final order that is marked as open", &[Rule::OpenMarked], |shop| {
        shop.order("c-1-shipped").order.open = Some(true);
    }),
    (
        "an open order that is not marked, which nothing would find",
        &[Rule::Final, Rule::OpenMarked],
        |shop| {
            placed(shop, "o-1");
            shop.order("o-1").order.open = None;
        },
    ),
    ("an order of two customers", &[Rule::OrderOfOne], |shop| {
        let mut copy = shop.order("c-1-sold-out").clone();
        copy.customer = "c-3".to_owned();
        shop.books.orders.insert(0, copy);
    }),
    ("a total that is too much", &[Rule::TotalAddsUp], |shop| {
        shop.order("c-1-sold-out").order.total += 1;
        for shown in &mut shop.told.shown {
            shown.total += u64::from(shown.order == "c-1-sold-out");
        }
    }),
    ("a product in two lines", &[Rule::TotalAddsUp], |shop| {
        let order = &mut shop.order("c-1-sold-out").order;
        let twice = order.lines[0].clone();
        let more = twice.quantity * twice.price;
        order.lines.push(twice);
        order.total += more;
        for shown in &mut shop.told.shown {
            shown.total += if shown.order == "c-1-sold-out" { more } else { 0 };
        }
    }),
    ("a line that costs more than its product", &[Rule::PriceOfProduct], |shop| {
        shop.books.products.get_mut("rare").unwrap().prices.insert(Usd, 99);
    }),
    ("a line of what is not sold in the order's currency", &[Rule::PriceOfProduct], |shop| {
        shop.books.products.get_mut("rare").unwrap().prices.remove(&Usd);
    }),
    ("a receipt of an order that failed", &[Rule::ReceiptOfShipped], |shop| {
        shop.books.receipts.insert(("c-1".to_owned(), "c-1-voided".to_owned()));
    }),
    ("a receipt of an order that is not there", &[Rule::ReceiptOfShipped], |shop| {
        shop.books.receipts.insert(("c-1".to_owned(), "ghost".to_owned()));
    }),
    ("a receipt for another customer", &[Rule::ReceiptOfShipped], |shop| {
        shop.books.receipts.insert(("c-3".to_owned(), "c-1-shipped".to_owned()));
    }),
];

#[test]
fn what_is_wrong_with_orders_is_found() {
    check(ORDERS);
}

const LEDGERS: &[Planted] = &[
    ("a transfer from an account to none", &[Rule::LedgerBalanced], |shop| {
        shop.account("eur", "c-1").debits_posted += 5;
        shop.transfer("eur", "half", ("c-1", "c-3"), 0);
        let half = shop.books.transfers.get_mut(&("eur".to_owned(), "half".to_owned())).unwrap();
        (half.credit, half.amount) = (None, 5);
    }),
    ("sums that no transfer has made", &[Rule::SumsRecomputed], |shop| {
        shop.account("eur", BANK).debits_posted += 5;
        shop.account("eur", "c-1").credits_posted += 5;
    }),
    ("a transfer between accounts that are not there", &[Rule::SumsRecomputed], |shop| {
        shop.transfer("eur", "x", ("c-1", "c-3"), 0);
        let lost = shop.books.transfers.get_mut(&("eur".to_owned(), "x".to_owned())).unwrap();
        let (debit, credit) = (Some("nobody".to_owned()), Some("no-one".to_owned()));
        *lost = Transfer { debit, credit, amount: 5, ..lost.clone() };
    }),
    ("more spent than there was", &[Rule::NoOverdraft], |shop| {
        shop.transfer("eur", "x", ("c-1", "c-3"), 50_000);
    }),
    ("a void of nothing", &[Rule::ResolvesAPending], |shop| {
        shop.block("eur", "x-void", "x");
        shop.books.transfers.remove(&("eur".to_owned(), "x".to_owned()));
    }),
    ("an id that is blocked by no void", &[Rule::ResolvesAPending], |shop| {
        shop.block("eur", "x-void", "x");
        shop.books.transfers.remove(&("eur".to_owned(), "x-void".to_owned()));
    }),
    ("a post of more than was set aside", &[Rule::ResolvesAPending], |shop| {
        shop.pending("eur", "x", ("c-1", "c-3"), 5);
        shop.post("eur", "x-post", "x", 6);
    }),
    ("a post to another account than was set aside for", &[Rule::ResolvesAPending], |shop| {
        shop.pending("eur", "x", ("c-1", "c-3"), 5);
        shop.post("eur", "x-post", "x", 5);
        let post = shop.books.transfers.get_mut(&("eur".to_owned(), "x-post".to_owned())).unwrap();
        post.credit = Some(BANK.to_owned());
    }),
    ("a void that frees too little", &[Rule::ResolvesAPending], |shop| {
        shop.pending("eur", "x", ("c-1", "c-3"), 5);
        shop.void("eur", "x-void", "x");
        shop.books.transfers.get_mut(&("eur".to_owned(), "x-void".to_owned())).unwrap().amount = 4;
    }),
    ("a post of what is not pending", &[Rule::ResolvesAPending], |shop| {
        shop.transfer("eur", "x", ("c-1", "c-3"), 5);
        shop.transfer("eur", "x-post", ("c-1", "c-3"), 5);
        let post = shop.books.transfers.get_mut(&("eur".to_owned(), "x-post".to_owned())).unwrap();
        (post.kind, post.pending) = (Kind::Post, Some("x".to_owned()));
    }),
    ("a pending transfer that is voided twice", &[Rule::ResolvedOnce], |shop| {
        shop.pending("eur", "x", ("c-1", "c-3"), 0);
        shop.void("eur", "x-void", "x");
        shop.void("eur", "x-again", "x");
    }),
    ("a pending transfer of a failed order", &[Rule::NoPendingLeft], |shop| {
        shop.books.transfers.remove(&("eur".to_owned(), "c-1-voided-void".to_owned()));
        shop.account("eur", "c-1").debits_pending += 8900;
        shop.account("eur", MERCHANT).credits_pending += 8900;
    }),
    ("a pending transfer of no order", &[Rule::NoPendingLeft], |shop| {
        shop.pending("eur", "x", ("c-1", "c-3"), 5);
    }),
    ("a welcome of too much", &[Rule::BankPaysWelcome], |shop| {
        shop.books.accounts.insert(("usd".to_owned(), "c-1".to_owned()), Account::default());
        shop.transfer("usd", "c-1-welcome", (BANK, "c-1"), WELCOME + 1);
    }),
    ("a second welcome", &[Rule::BankPaysWelcome], |shop| {
        shop.transfer("eur", "c-1-more", (BANK, "c-1"), WELCOME);
    }),
    ("another customer's welcome", &[Rule::BankPaysWelcome], |shop| {
        shop.transfer("eur", "c-2-welcome", (BANK, "c-1"), WELCOME);
    }),
];

#[test]
fn what_customers_give_each_other_is_nothing_wrong() {
    let mut shop = sound();
    shop.transfer("eur", "gift-1", ("c-1", "c-3"), 5);
    assert!(audit(&shop.books, &shop.told).is_clean());
}

#[test]
fn what_is_wrong_with_ledgers_is_found() {
    check(LEDGERS);
}

const CHARGES: &[Planted] = &[
    ("a charge for an order that is not there", &[Rule::ChargeHasOrder], |shop| {
        charged(shop, "ghost", Eur, "c-1", 5);
    }),
    ("money that goes to the shop past all orders", &[Rule::ChargeHasOrder], |shop| {
        shop.transfer("eur", "tip", ("c-1", MERCHANT), 5);
    }),
    ("a charge of too much", &[Rule::ChargeFitsOrder], |shop| {
        placed(shop, "o-1");
        charged(shop, "o-1", Eur, "c-1", 8351);
        all_shipped(shop, "o-1");
    }),
    ("a charge of another customer", &[Rule::ChargeFitsOrder], |shop| {
        placed(shop, "o-1");
        charged(shop, "o-1", Eur, "c-3", 8350);
        all_shipped(shop, "o-1");
    }),
    ("a charge in another currency", &[Rule::ChargeFitsOrder], |shop| {
        placed(shop, "o-1");
        shop.customer("usd", "c-1");
        charged(shop, "o-1", Usd, "c-1", 8350);
        all_shipped(shop, "o-1");
    }),
    ("a post of a part only", &[Rule::ChargeFitsOrder], |shop| {
        placed(shop, "o-1");
        shop.pending("eur", "o-1-pay", ("c-1", MERCHANT), 8350);
        shop.post("eur", "o-1-post", "o-1-pay", 8349);
        all_shipped(shop, "o-1");
    }),
    ("an order that is charged in both ledgers", &[Rule::NoDoubleCharge], |shop| {
        placed(shop, "o-1");
        shop.customer("usd", "c-1");
        charged(shop, "o-1", Eur, "c-1", 8350);
        charged(shop, "o-1", Usd, "c-1", 8350);
        all_shipped(shop, "o-1");
    }),
    ("a charge that is posted twice", &[Rule::NoDoubleCharge, Rule::ResolvedOnce, Rule::Final], |shop| {
        // What another order has set aside is what the second post takes.
        placed(shop, "o-2");
        shop.go_on_to("o-2", State::Charging);
        placed(shop, "o-1");
        charged(shop, "o-1", Eur, "c-1", 8350);
        shop.post("eur", "o-1-again", "o-1-pay", 8350);
        all_shipped(shop, "o-1");
    }),
    ("an order that went out unpaid", &[Rule::PaidIsCharged], |shop| {
        placed(shop, "o-1");
        all_shipped(shop, "o-1");
    }),
    ("a failed order that was charged", &[Rule::FailedNotCharged], |shop| {
        placed(shop, "o-1");
        charged(shop, "o-1", Eur, "c-1", 8350);
        shop.order("o-1").order.open = None;
        shop.order("o-1").order.state = State::Failed;
    }),
];

#[test]
fn what_is_wrong_with_charges_is_found() {
    check(CHARGES);
}

const GOODS: &[Planted] = &[
    ("a product without stock", &[Rule::ProductHasStock], |shop| {
        let product = shop.books.products["tea"].clone();
        shop.books.products.insert("new".to_owned(), product);
    }),
    ("stock of no product", &[Rule::ProductHasStock], |shop| {
        shop.books.stock.insert("new".to_owned(), shop::inventory::stock::Stock::default());
    }),
    ("a piece that is nowhere", &[Rule::StockAddsUp], |shop| shop.stock("tea").available -= 1),
    ("a piece that went out to nobody", &[Rule::StockAsReserved], |shop| {
        shop.stock("tea").available -= 1;
        shop.stock("tea").shipped += 1;
    }),
    ("a piece that is set aside for nobody", &[Rule::StockAsReserved], |shop| {
        shop.stock("tea").available -= 1;
        shop.stock("tea").reserved += 1;
    }),
    ("a reservation of an order that is not there", &[Rule::ReservationHasOrder], |shop| {
        shop.reserve("tea", "ghost", 2);
    }),
    ("a reservation of a product that was not ordered", &[Rule::ReservationHasOrder], |shop| {
        shop.release("rare", "c-1-poor");
    }),
    ("a line of which more went out", &[Rule::ReservationHasOrder], |shop| {
        shop.reservation("tea", "c-1-shipped").quantity += 1;
        shop.stock("tea").available -= 1;
        shop.stock("tea").shipped += 1;
    }),
    ("an order that is shipped, of which a line was freed", &[Rule::GoodsFollowOrder], |shop| {
        shop.reservation("tea", "c-1-shipped").standing = Standing::Released;
        shop.stock("tea").available += 2;
        shop.stock("tea").shipped -= 2;
    }),
    ("goods that went out before they were paid", &[Rule::GoodsFollowOrder, Rule::Final], |shop| {
        placed(shop, "o-1");
        shop.go_on_to("o-1", State::Reserved);
        shop.ship("tea", "o-1");
    }),
    ("a failed order with goods set aside", &[Rule::FailedHoldsNothing], |shop| {
        shop.reservation("tea", "c-1-voided").standing = Standing::Reserved;
        shop.stock("tea").available -= 2;
        shop.stock("tea").reserved += 2;
    }),
    ("a failed order whose goods went out", &[Rule::FailedHoldsNothing], |shop| {
        shop.reservation("tea", "c-1-voided").standing = Standing::Shipped;
        shop.stock("tea").available -= 2;
        shop.stock("tea").shipped += 2;
    }),
];

#[test]
fn what_is_wrong_with_goods_is_found() {
    check(GOODS);
}

const SHOWN: &[Planted] = &[
    ("an order that is not there", &[Rule::ShownExists], |shop| {
        shop.show_as("c-1-shipped", State::Shipped).order = "ghost".to_owned();
    }),
    ("another customer's order", &[Rule::ShownExists], |shop| {
        shop.show_as("c-1-shipped", State::Shipped).customer = "c-3".to_owned();
    }),
    ("paid, and it failed", &[Rule::ShownPaid], |shop| {
        shop.show_as("c-1-voided", State::Paid);
    }),
    ("charging, and it failed", &[Rule::ShownPaid], |shop| {
        shop.show_as("c-1-voided", State::Charging);
    }),
    ("failed, and it was shipped", &[Rule::ShownFailed], |shop| {
        shop.show_as("c-1-shipped", State::Failed);
    }),
    ("failing, and it was shipped", &[Rule::ShownFailed], |shop| {
        shop.show_as("c-1-shipped", State::Failing);
    }),
    ("reserved, and a line never was", &[Rule::ShownReserved], |shop| {
        shop.show_as("c-1-sold-out", State::Reserved);
    }),
    ("shipped, and a reservation is lost", &[Rule::ShownReserved, Rule::GoodsFollowOrder], |shop| {
        shop.books.reservations.remove(&("tea".to_owned(), "c-1-shipped".to_owned()));
        shop.stock("tea").available += 2;
        shop.stock("tea").shipped -= 2;
    }),
    ("another total", &[Rule::ShownTotal], |shop| shop.show_as("c-1-shipped", State::Shipped).total += 1),
    ("another currency", &[Rule::ShownTotal], |shop| {
        shop.show_as("c-1-shipped", State::Shipped).currency = Usd;
    }),
    ("placed, after shipped had been shown", &[Rule::ShownInOrder], |shop| {
        shop.show("c-1-shipped");
        shop.told.shown.last_mut().unwrap().state = State::Placed;
    }),
    ("a stream that goes back", &[Rule::ShownInOrder], |shop| {
        for state in [State::Paid, State::Charging] {
            shop.show_as("c-1-shipped", state).request = 8_000_000;
        }
    }),
    ("an order that was acknowledged is not there", &[Rule::AcknowledgedExists], |shop| {
        shop.acknowledge("c-1-shipped").order = "ghost".to_owned();
    }),
    ("another customer's order is acknowledged", &[Rule::AcknowledgedExists], |shop| {
        shop.acknowledge("c-1-shipped").customer = "c-3".to_owned();
    }),
    ("an order has no page after it was shown", &[Rule::ShownStays], |shop| {
        shop.told.acknowledged.clear();
        shop.acknowledge("c-3-shipped");
        shop.look("c-1", Sight::Missing("c-1-shipped".to_owned()));
    }),
    ("an order has no page after it was acknowledged", &[Rule::ShownStays], |shop| {
        shop.told.shown.retain(|shown| shown.order != "c-1-poor");
        shop.look("c-1", Sight::Missing("c-1-poor".to_owned()));
    }),
    ("a list without an order that was shown", &[Rule::ShownStays], |shop| {
        shop.look("c-2", Sight::Listed(vec!["c-2-shipped".to_owned(), "c-2-voided".to_owned()]));
    }),
];

#[test]
fn who_asked_before_an_order_was_known_may_be_told_that_it_is_not_there() {
    let mut shop = sound();
    let first = shop.told.acknowledged.iter().find(|one| one.order == "c-1-poor").unwrap().ended;
    let sights = [
        Sight::Missing("c-1-poor".to_owned()),
        Sight::Listed(vec!["c-1-shipped".to_owned(), "c-1-voided".to_owned()]),
    ];
    for sight in &sights {
        let looked = shop.look("c-1", sight.clone());
        (looked.began, looked.ended) = (first, first * 100);
    }
    assert!(audit(&shop.books, &shop.told).is_clean(), "asked for at the moment at which the other came");
    for looked in shop.told.looked.iter_mut().rev().take(2) {
        looked.began += std::time::Duration::from_nanos(1);
    }
    let audit = audit(&shop.books, &shop.told);
    assert_eq!((found(&audit), audit.violations()), ([Rule::ShownStays].into(), 2), "{audit}");
}

#[test]
fn a_list_that_is_full_leaves_older_orders_out() {
    let mut shop = sound();
    let others = |count| Sight::Listed((0..count).map(|nth| format!("other-{nth}")).collect());
    shop.look("c-1", others(50));
    assert!(audit(&shop.books, &shop.told).is_clean());
    shop.look("c-1", others(49));
    assert_eq!(found(&audit(&shop.books, &shop.told)), [Rule::ShownStays].into());
}

#[test]
fn books_that_do_not_rest_are_not_clean() {
    let mut shop = sound();
    (shop.books.is_moving, shop.books.open) = (true, 7);
    let audit = audit(&shop.books, &shop.told);
    assert!(!audit.is_clean() && audit.violations() == 0);
    let text = audit.to_string();
    assert!(text.contains("7 orders were still open") && text.contains("NOT AT REST"), "{text}");
    assert!(!text.ends_with("audit: no violation"), "{text}");
}

#[test]
fn what_was_shown_and_is_not_so_is_found() {
    check(SHOWN);
}

#[test]
fn each_rule_is_violated_by_something_alone() {
    let planted = [ORDERS, LEDGERS, CHARGES, GOODS, SHOWN].concat();
    let alone: BTreeSet<_> =
        planted.iter().filter(|(_, rules, _)| rules.len() == 1).map(|(_, rules, _)| rules[0]).collect();
    assert_eq!(alone, Rule::ALL.into());
}

#[test]
fn an_answer_may_show_an_earlier_state_only_if_it_was_asked_for_before_the_later_one_came() {
    let mut shop = sound();
    let mut last = shop
        .told
        .shown
        .iter()
        .filter(|shown| shown.order == "c-1-shipped" && shown.place == shop::audit::Place::Order);
    let shipped = last.rfind(|shown| shown.state == State::Shipped).unwrap().clone();
    let stale = |began| Shown {
        state: State::Paid,
        request: 9_000_000,
        began,
        ended: shipped.ended * 2,
        ..shipped.clone()
    };
    shop.told.shown.push(stale(shipped.ended));
    assert!(audit(&shop.books, &shop.told).is_clean(), "asked for at the moment at which the other came");
    shop.told.shown.pop();
    shop.told.shown.push(stale(shipped.ended + std::time::Duration::from_nanos(1)));
    assert_eq!(found(&audit(&shop.books, &shop.told)), [Rule::ShownInOrder].into());
}

#[test]
fn of_many_findings_all_are_counted_and_the_first_ones_kept() {
    let mut shop = sound();
    for number in 0..250 {
        *shop.reservation("tea", &format!("ghost-{number}")) =
            Reservation { quantity: 1, standing: Standing::Released };
    }
    let audit = audit(&shop.books, &shop.told);
    assert_eq!((audit.violations(), audit.findings.len()), (250, 100));
    assert!(audit.to_string().contains("250 VIOLATIONS, of which the first 20 are above"));
}
