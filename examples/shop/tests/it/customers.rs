//! Shoppers before a shop that is slow, fails and lies: what they do, what they note, and what the program says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use shop::audit::{Acknowledged, Place, Rule, Sight, audit, read, read_at_rest, settle};
use shop::customers::plan::{Click, WALLET};
use shop::customers::record::{End, Record, Trouble};
use shop::customers::{Habits, Outcome, Plan, Progress, run};
use shop::mainstay::Mainstay;
use shop::money::Currency;
use shop::orders::order::State;

use crate::fake_shop::{Asked, FakeShop, Faults, states};
use crate::little_shop::LittleShop;

/// A plan of a second, with little thought.
fn plan(shop: &str) -> Plan {
    Plan { rate: 40.0, duration: Duration::from_secs(1), think: Duration::from_millis(20), ..Plan::new(shop) }
}

/// Habits of people who do nothing out of the ordinary.
fn plain() -> Habits {
    Habits {
        abandon: 0.0,
        double_click: 0.0,
        impatient: 0.0,
        come_back: 0.0,
        overspend: 0.0,
        dollars: 0.0,
        follow_events: 0.0,
        list_orders: 0.0,
    }
}

/// Long enough for every plan here: what takes longer never ends.
const END: Duration = Duration::from_secs(60);

async fn shopped(plan: &Plan) -> Outcome {
    timeout(END, run(plan, &watch::Sender::default(), pending())).await.unwrap().unwrap()
}

/// The baskets that were checked out by each customer, as often as it was tried.
fn checkouts(asked: &[Asked]) -> BTreeMap<String, Vec<String>> {
    let mut baskets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for asked in asked.iter().filter(|asked| asked.what == "POST /checkout") {
        baskets.entry(asked.customer.clone()).or_default().push(asked.form["basket"].clone());
    }
    baskets
}

async fn books_are_right(shop: &FakeShop, outcome: &Outcome) {
    let api = Mainstay::new(&shop.url());
    assert_eq!(settle(&api, Duration::from_secs(10)).await.unwrap(), 0);
    let audit = audit(&read(&api).await.unwrap(), &outcome.told);
    assert!(audit.is_clean(), "{audit}");
}

#[test]
fn a_seed_fixes_everything_that_shoppers_will_do() {
    let plan = Plan { rate: 100.0, ..Plan::new("") };
    let all = |plan: &Plan| plan.shoppers().collect::<Vec<_>>();
    let shoppers = all(&plan);
    assert_eq!(shoppers, all(&plan.clone()));
    assert_ne!(shoppers, all(&Plan { seed: 2, ..plan.clone() }));
    let draws = |plan: &Plan| -> Vec<_> {
        plan.shoppers()
            .take(9)
            .flat_map(|shopper| shopper.visits)
            .flat_map(|visit| visit.picks)
            .map(|pick| pick.draw)
            .collect()
    };
    assert_ne!(draws(&plan), draws(&Plan { seed: 2, ..plan.clone() }));
    let checkouts: usize = shoppers.iter().map(|shopper| shopper.checkouts().count()).sum();
    // 6000 are expected, with a standard deviation of about 80.
    assert!((5600..6400).contains(&checkouts), "{checkouts}");
    assert!(shoppers.is_sorted_by_key(|shopper| shopper.arrives));
    let visits = || shoppers.iter().flat_map(|shopper| &shopper.visits);
    for click in [Click::Never, Click::Once, Click::Double] {
        assert!(visits().any(|visit| visit.click == click), "{click:?}");
    }
    assert!(visits().any(|visit| matches!(visit.click, Click::Impatient(_))));
    let abandoned = visits().filter(|visit| visit.click == Click::Never).count();
    assert!(shoppers.len() / 20 < abandoned && abandoned < shoppers.len() / 5, "{abandoned}");
    for shopper in &shoppers {
        let mut at = shopper.arrives;
        for visit in &shopper.visits {
            let adds: Vec<_> = visit.picks.iter().map(|pick| pick.adds).collect();
            let times: Vec<_> =
                [visit.begins].into_iter().chain(adds).chain([visit.looks, visit.clicks]).collect();
            assert!(times.is_sorted() && at <= times[0], "{visit:?}");
            at = visit.clicks;
        }
    }
}

#[test]
fn the_first_shoppers_do_the_same_in_a_longer_run() {
    let short = Plan { duration: Duration::from_secs(5), ..Plan::new("") };
    let long = Plan { duration: Duration::from_secs(50), ..Plan::new("") };
    let few: Vec<_> = short.shoppers().collect();
    assert!(!few.is_empty());
    assert_eq!(few, long.shoppers().take(few.len()).collect::<Vec<_>>());
}

#[test]
fn latency_is_counted_from_when_the_click_was_due() {
    let record = Record::start();
    let second = Duration::from_secs;
    for due in 1..=100 {
        let end = if due == 1 { End::Failed { as_meant: true } } else { End::Shipped };
        record.ended(end, second(due), second(due + 3));
    }
    record.ended(End::GaveUp, second(1), second(31));
    let outcome = record.finish();
    assert_eq!((outcome.completed, outcome.failed, outcome.failed_as_meant, outcome.gave_up), (100, 1, 1, 1));
    assert!((outcome.click_to_end.p50 / 3000.0 - 1.0).abs() < 0.002, "{:?}", outcome.click_to_end);
    assert_eq!(outcome.click_to_end.count, 100, "who gave up is counted beside");
    let slice = &outcome.series[16];
    assert_eq!((slice.second, slice.completed, slice.failed), (4.0, 1, 1));
    assert_eq!(slice.click_to_end.p99, 3000.0);
    assert_eq!((slice.due_completed, outcome.series[400].due_completed), (1, 1), "under when they were due");
    assert_eq!((outcome.series[412].completed, outcome.series[412].due_completed), (1, 0));
    assert_eq!(outcome.series[124].gave_up, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_who_shops_in_a_shop_that_works_is_served() {
    let shop = FakeShop::start(Faults { looks: 1, ..Faults::default() });
    let habits = Habits { come_back: 0.2, overspend: 0.2, list_orders: 0.5, ..Habits::default() };
    let plan = Plan { habits, ..plan(&shop.url()) };
    let outcome = shopped(&plan).await;
    let shoppers: Vec<_> = plan.shoppers().collect();
    let visits = || shoppers.iter().flat_map(|shopper| &shopper.visits);
    let count = |of: fn(&&shop::customers::plan::Visit) -> bool| visits().filter(of).count() as u64;
    let meant = count(|visit| visit.is_too_much);
    assert_eq!(outcome.offered, count(|visit| visit.click != Click::Never));
    assert_eq!((outcome.completed, outcome.gave_up, outcome.not_sent), (outcome.offered, 0, 0), "{outcome}");
    assert_eq!(
        (outcome.failed, outcome.failed_as_meant),
        (meant, meant),
        "what was meant to fail, and nothing else"
    );
    assert_eq!(outcome.abandoned_baskets, count(|visit| visit.click == Click::Never));
    assert_eq!(outcome.click_to_end.count, outcome.completed);
    let sum = |of: fn(&shop::customers::outcome::Slice) -> u64| outcome.series.iter().map(of).sum::<u64>();
    assert_eq!(
        (sum(|s| s.offered), sum(|s| s.completed), sum(|s| s.failed)),
        (outcome.offered, outcome.completed, meant)
    );
    let places: BTreeSet<_> = outcome.told.shown.iter().map(|shown| shown.place).collect();
    assert_eq!(places, [Place::Order, Place::Orders, Place::Events].into());
    assert_eq!(shop.little().books.orders.len() as u64, outcome.offered);
    let totals = shop.little().books.orders.iter().map(|placed| placed.order.total).max();
    assert!(totals > Some(WALLET));
    let acknowledged: BTreeSet<_> = outcome.told.acknowledged.iter().map(|one| one.order.clone()).collect();
    assert_eq!(acknowledged.len() as u64, outcome.offered, "each was led to its order");
    let lists = outcome
        .told
        .looked
        .iter()
        .filter(|looked| matches!(&looked.sight, Sight::Listed(orders) if !orders.is_empty()));
    assert!(lists.count() > 0);
    books_are_right(&shop, &outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_tried_again_with_the_same_basket() {
    let faults = Faults {
        without_basket: 10,
        unavailable_every: 5,
        limited_every: 11,
        cut_every: 7,
        looks: 1,
        ..Faults::default()
    };
    let shop = FakeShop::start(faults);
    let outcome = shopped(&Plan { habits: plain(), ..plan(&shop.url()) }).await;
    assert_eq!((outcome.completed, outcome.shipped), (outcome.offered, outcome.offered), "{outcome}");
    for trouble in [Trouble::Unavailable, Trouble::Limited, Trouble::NoAnswer] {
        assert!(outcome.troubles[&trouble] > 0, "{trouble:?} in {outcome}");
    }
    assert!(outcome.retries > 0);
    let checkouts = checkouts(&shop.asked());
    assert_eq!(checkouts.len() as u64, outcome.offered);
    assert!(checkouts.values().any(|baskets| baskets.len() > 1), "some checkout was tried again");
    for (customer, baskets) in checkouts {
        assert!(baskets.iter().all(|basket| *basket == baskets[0]), "{customer}: {baskets:?}");
    }
    assert_eq!(shop.little().books.orders.len() as u64, outcome.offered, "one order each");
    books_are_right(&shop, &outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn double_clicks_are_two_checkouts_of_a_basket_at_once() {
    let shop = FakeShop::start(Faults { checkout_takes: Duration::from_secs(1), ..Faults::default() });
    let habits = Habits { double_click: 1.0, ..plain() };
    let outcome = shopped(&Plan { habits, rate: 15.0, ..plan(&shop.url()) }).await;
    assert_eq!((outcome.shipped, outcome.retries), (outcome.offered, 0), "{outcome}");
    for (basket, most) in shop.most_under_way() {
        assert_eq!(most, 2, "{basket}");
    }
    let checkouts = checkouts(&shop.asked());
    assert!(
        !checkouts.is_empty()
            && checkouts.values().all(|baskets| baskets.len() == 2 && baskets[0] == baskets[1])
    );
    assert_eq!(shop.little().books.orders.len() as u64, outcome.offered);
    assert_eq!(outcome.checkout_answer.count, outcome.offered * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_patience_breaks_off_and_clicks_again() {
    let shop = FakeShop::start(Faults { checkout_takes: Duration::from_secs(1), ..Faults::default() });
    let habits = Habits { impatient: 1.0, ..plain() };
    let outcome = shopped(&Plan { habits, rate: 15.0, ..plan(&shop.url()) }).await;
    assert_eq!(outcome.shipped, outcome.offered, "{outcome}");
    assert_eq!(outcome.troubles[&Trouble::BrokenOff], outcome.offered);
    assert_eq!(outcome.retries, outcome.offered);
    assert_eq!(shop.little().books.orders.len() as u64, outcome.offered);
    books_are_right(&shop, &outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_is_away_is_waited_for_and_the_waiting_counts() {
    let shop = FakeShop::away(Faults::default());
    let plan = Plan { habits: plain(), ..plan(&shop.url()) };
    let last = plan.shoppers().flat_map(|shopper| shopper.checkouts().collect::<Vec<_>>()).max().unwrap();
    let late = last + Duration::from_millis(400);
    let (sender, mut receiver) = watch::channel(Progress::default());
    let opens = async {
        let is_late = |progress: &Progress| progress.retries > 0 && progress.elapsed >= late;
        let waited = receiver.wait_for(is_late).await.unwrap().offered;
        shop.open();
        waited
    };
    let both = async { tokio::join!(run(&plan, &sender, pending()), opens) };
    let (outcome, offered) = timeout(END, both).await.unwrap();
    let outcome = outcome.unwrap();
    assert_eq!(offered, outcome.offered, "what is offered does not depend on whether the shop is there");
    assert_eq!(outcome.shipped, outcome.offered, "{outcome}");
    assert!(outcome.troubles[&Trouble::NotReached] >= outcome.offered);
    assert!(
        outcome.click_to_end.p50 >= 400.0,
        "each click was due that long before the shop was there: {outcome}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patience_ends() {
    let shop = FakeShop::start(Faults { looks: u64::MAX, ..Faults::default() });
    let plan = Plan { habits: plain(), patience: Duration::from_millis(200), ..plan(&shop.url()) };
    let outcome = shopped(&plan).await;
    assert_eq!((outcome.completed, outcome.click_to_end.count), (0, 0));
    assert_eq!((outcome.gave_up, outcome.not_sent), (outcome.offered, 0), "{outcome}");
    assert!(!outcome.is_enough());
    // However quick anybody was, there is an open order.
    shop.change(|little| little.place("c-1", "o-1", Currency::Eur, &[("tea".to_owned(), 1)].into()));
    let books = read_at_rest(&Mainstay::new(&shop.url()), Duration::ZERO).await.unwrap();
    let audit = audit(&books, &outcome.told);
    assert!(audit.open > 0 && audit.orders > 0);
    let found: BTreeSet<_> = audit.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!((audit.violations(), found), (audit.orders, [Rule::Final].into()), "{audit}");
    assert!(audit.to_string().contains("were still open"), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_ends() {
    let shop = FakeShop::start(Faults { looks: u64::MAX, ..Faults::default() });
    // All come long before the patience of the first ones ends.
    let (rate, duration) = (10_000.0, Duration::from_millis(10));
    let patience = Duration::from_secs(5);
    let outcome =
        shopped(&Plan { habits: plain(), rate, duration, patience, at_once: 3, ..plan(&shop.url()) }).await;
    assert_eq!((outcome.completed, outcome.gave_up), (0, 3), "{outcome}");
    assert_eq!(outcome.offered, outcome.gave_up + outcome.not_sent);
    assert!(outcome.to_string().contains(&format!("{} not sent", outcome.not_sent)), "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_of_a_page_that_is_cut_off_are_read_as_far_as_they_came() {
    let shop = FakeShop::start(Faults { cut_orders: true, ..Faults::default() });
    let patience = Duration::from_secs(3);
    let outcome = shopped(&Plan { habits: plain(), rate: 10.0, patience, ..plan(&shop.url()) }).await;
    assert_eq!(outcome.completed, 0, "no page was there as a whole: {outcome}");
    assert!(outcome.troubles[&Trouble::NoAnswer] > 0 && outcome.unreadable() == 0, "{outcome}");
    let shown = |order: &str| states(&outcome.told.shown, order);
    assert!(!outcome.told.acknowledged.is_empty());
    let is_shown = |one: &Acknowledged| shown(&one.order).contains(&State::Shipped);
    assert!(outcome.told.acknowledged.iter().any(is_shown), "{:?}", outcome.told);
    books_are_right(&shop, &outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_show_each_state_of_an_order() {
    let shop = FakeShop::start(Faults { looks: u64::MAX, ..Faults::default() });
    let habits = Habits { follow_events: 1.0, ..plain() };
    let outcome = shopped(&Plan { habits, ..plan(&shop.url()) }).await;
    assert_eq!(outcome.shipped, outcome.offered, "{outcome}");
    let all = [State::Placed, State::Placed, State::Reserved, State::Charging, State::Paid, State::Shipped];
    for placed in &shop.little().books.orders {
        assert_eq!(states(&outcome.told.shown, &placed.id), all, "its page once, then its events");
    }
    books_are_right(&shop, &outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_the_shop_goes_on_when_nobody_comes_any_more() {
    let shop = FakeShop::start(Faults::default());
    let plan = Plan { habits: plain(), duration: Duration::from_secs(3600), ..plan(&shop.url()) };
    let (sender, mut receiver) = watch::channel(Progress::default());
    let stop = async {
        receiver.wait_for(|progress| progress.completed >= 5).await.unwrap();
    };
    let outcome = timeout(END, run(&plan, &sender, stop)).await.unwrap().unwrap();
    assert!((5..1000).contains(&outcome.offered), "{outcome}");
    assert_eq!(outcome.shipped, outcome.offered);
    books_are_right(&shop, &outcome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_are_read_whole_and_what_is_none_of_them_is_told() {
    let shop = FakeShop::start(Faults::default());
    let outcome = shopped(&Plan { habits: plain(), ..plan(&shop.url()) }).await;
    let api = Mainstay::new(&shop.url());
    let mut books = read(&api).await.unwrap();
    assert!(books.orders.len() > 7 && books.transfers.len() > 14, "several pages of {outcome}");
    books.orders.sort_by(|one, other| one.id.cmp(&other.id));
    let mut must = shop.little().books;
    must.orders.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(books, must);
    shop.change(|little| {
        let stock = little.books.stock["tea"];
        little.books.stock.insert("a/b".to_owned(), stock);
    });
    let strange = read(&api).await.unwrap().strange;
    assert_eq!(strange, ["stock a/b: its key is none of this collection"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_moved_while_they_were_read_are_read_again() {
    let shop = FakeShop::start(Faults { moves: 3, ..Faults::default() });
    let books = read(&Mainstay::new(&shop.url())).await.unwrap();
    assert_eq!(books, shop.little().books);
    assert_eq!(books.orders.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_are_open_are_waited_for() {
    let shop = FakeShop::start(Faults::default());
    let order =
        |little: &mut LittleShop| little.place("c-1", "o-1", Currency::Eur, &[("tea".to_owned(), 1)].into());
    shop.change(order);
    let api = Mainstay::new(&shop.url());
    assert_eq!(settle(&api, Duration::from_millis(10)).await.unwrap(), 1, "it has not ended by then");
    let looked = shop.listed_open();
    let goes_on = async {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while shop.listed_open() == looked {
            assert!(tokio::time::Instant::now() < deadline, "nobody asks");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        shop.change(|little| little.go_on_to("o-1", State::Shipped));
    };
    let (open, ()) = tokio::join!(settle(&api, Duration::from_secs(60)), goes_on);
    assert_eq!(open.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_never_rest_are_told() {
    let shop = FakeShop::start(Faults { moves: u64::MAX, ..Faults::default() });
    assert!(read(&Mainstay::new(&shop.url())).await.unwrap().is_moving);
    let (output, report) = program(&["audit", "--api", &shop.url()]).await;
    assert_eq!((output.status.code(), &report["is_moving"]), (Some(1), &true.into()), "{report}");
}

/// `shop` with these arguments, to its end.
async fn program(args: &[&str]) -> (Output, Value) {
    program_as_it_is(&[args, &["--output", "json"]].concat()).await
}

async fn program_as_it_is(args: &[&str]) -> (Output, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.args(args);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, report)
}

const SHORT: [&str; 8] = ["customers", "--rate", "40", "--duration", "1s", "--think", "20ms", "--settle=1s"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_is_0_if_all_is_well() {
    let shop = FakeShop::start(Faults { looks: 1, ..Faults::default() });
    let at = ["--shop", &shop.url(), "--api", &shop.url()];
    let (output, report) = program(&[&SHORT[..], &at].concat()).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(report["passed"], true);
    assert_eq!(report["outcome"]["completed"], report["outcome"]["offered"]);
    assert_eq!(report["audit"]["findings"], serde_json::json!([]));
    assert!(report["audit"]["shown"].as_u64() > Some(20) && report["outcome"]["series"][0]["second"] == 0.0);
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(progress.contains("offered") && progress.contains("p99"), "{progress}");
    let (output, report) = program(&["audit", "--api", &shop.url()]).await;
    assert!(output.status.success() && report["orders"].as_u64() > Some(10), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lie_makes_the_exit_code_1() {
    let shop = FakeShop::start(Faults { lies: true, ..Faults::default() });
    let at = ["--shop", &shop.url(), "--api", &shop.url()];
    let (output, report) = program(&[&SHORT[..], &at].concat()).await;
    assert_eq!((output.status.code(), &report["passed"]), (Some(1), &Value::Bool(false)), "{output:?}");
    assert_eq!(report["outcome"]["completed"], report["outcome"]["offered"], "each was shown that it failed");
    let counts = report["audit"]["counts"].as_array().unwrap();
    let of = |rule: &str| {
        counts.iter().find(|count| count["rule"] == rule).unwrap()["violations"].as_u64().unwrap()
    };
    assert!(of("shown_paid") >= report["outcome"]["offered"].as_u64().unwrap() / 2, "{counts:?}");
    assert!(of("shown_in_order") > 0 && of("ledger_balanced") == 0);
    let (output, _) = program(&["audit", "--api", &shop.url()]).await;
    assert!(output.status.success(), "its books alone are right");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_acknowledged_and_is_lost_makes_the_exit_code_1() {
    let shop = FakeShop::start(Faults { loses: true, ..Faults::default() });
    let at = ["--shop", &shop.url(), "--api", &shop.url()];
    let (output, report) = program(&[&SHORT[..], &at].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let findings = report["audit"]["findings"].as_array().unwrap();
    for rule in ["acknowledged_exists", "shown_stays"] {
        assert!(findings.iter().any(|finding| finding["rule"] == rule), "{rule}: {findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_declines_everything_makes_the_exit_code_1() {
    let shop = FakeShop::start(Faults { declines: true, ..Faults::default() });
    let at = ["--shop", &shop.url(), "--api", &shop.url()];
    let (output, report) = program(&[&SHORT[..], &at].concat()).await;
    assert_eq!((output.status.code(), &report["passed"]), (Some(1), &Value::Bool(false)), "{output:?}");
    assert_eq!(report["outcome"]["completed"], report["outcome"]["offered"], "each was told that it failed");
    assert_eq!(report["audit"]["findings"], serde_json::json!([]), "its books are right");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_offers_nothing_makes_the_exit_code_1() {
    let shop = FakeShop::start(Faults::default());
    let at = ["--shop", &shop.url(), "--api", &shop.url(), "--rate", "0.01", "--duration", "1ms"];
    let (output, report) = program(&[&["customers"], &at[..]].concat()).await;
    assert_eq!((&report["outcome"]["offered"], output.status.code()), (&0.into(), Some(1)), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_that_cannot_be_read_make_the_exit_code_1() {
    let shop = FakeShop::start(Faults { garbles: true, ..Faults::default() });
    let at = ["--shop", &shop.url(), "--api", &shop.url()];
    let (output, report) = program(&[&SHORT[..], &at].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let count = |what: &str| report["outcome"][what].as_u64().unwrap();
    assert_eq!(count("shipped") + count("failed_as_meant"), count("offered"), "all else is well");
    assert_eq!(report["audit"]["findings"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_can_be_kept_is_refused() {
    for role in ["customers", "demo"] {
        let (output, _) = program_as_it_is(&[role, "--rate", "1001", "--duration", "1000s"]).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{role}: {error}");
        assert!(error.contains("1001000") && error.contains("use a lower --rate"), "{role}: {error}");
        let (output, _) = program_as_it_is(&[role, "--rate", "NaN"]).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains("no rate"), "{role}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_are_wrong_and_a_shop_that_does_not_work_make_the_exit_code_1() {
    let shop = FakeShop::start(Faults::default());
    let at = ["--shop", &shop.url(), "--api", &shop.url()];
    let (output, report) = program(&[&SHORT[..], &at, &["--at-once", "0"]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "nobody was sent in");
    assert_eq!(
        (&report["outcome"]["completed"], &report["audit"]["findings"]),
        (&0.into(), &serde_json::json!([]))
    );
    shop.change(|little| little.stock("tea").available -= 1);
    let (output, report) = program(&["audit", "--api", &shop.url()]).await;
    assert_eq!((output.status.code(), &report["findings"][0]["rule"]), (Some(1), &"stock_adds_up".into()));
    let no_api = format!("{}/elsewhere", shop.url());
    let (output, report) = program(&[&SHORT[..], &["--shop", &shop.url(), "--api", &no_api]].concat()).await;
    assert_eq!((output.status.code(), &report["audit"]), (Some(1), &Value::Null));
    assert_eq!(
        report["outcome"]["completed"], report["outcome"]["offered"],
        "figures are told without an audit"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("the books cannot be read"), "{output:?}");
    let (output, _) = program(&["customers", "--shop", "https://127.0.0.1"]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("use one such as"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_arrivals_and_leads_to_the_audit() {
    let shop = FakeShop::start(Faults::default());
    let child = Command::new(env!("CARGO_BIN_EXE_shop"))
        .args(["customers", "--duration", "60m", "--rate", "40", "--think", "20ms", "--output", "json"])
        .args(["--shop", &shop.url(), "--api", &shop.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while shop.little().books.orders.len() < 5 {
        assert!(tokio::time::Instant::now() < deadline, "nobody orders");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && report["passed"] == true, "{report}");
    assert_eq!(report["outcome"]["offered"], report["outcome"]["completed"]);
}
