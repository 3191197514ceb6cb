//! Payments: money moves exactly once, whoever asks for it how often, and whatever gets lost on the way.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::{Value, json};
use shop::customers::dice::Dice;
use shop::http::{Answer, Call, Client, Deadline, TIMEOUT};
use shop::mainstay::Mainstay;
use shop::payments;
use shop::payments::ledger::{ACCOUNTS, Account, Kind, TRANSFERS, Transfer};
use tokio::task::JoinSet;

use crate::lossy::{self, Fault, Lossy};
use crate::node::{self, Node, PATIENCE, body, get, insist, problem, send};

/// Payments before a node, with the accounts of the shop.
async fn payments(api: Mainstay) -> Client {
    payments::prepare(&api, Deadline::after(PATIENCE)).await.expect("the accounts of the shop");
    node::serve(payments::routes(api)).await
}

fn account_call(id: &str, may_overdraw: bool) -> Call {
    let body = json!({"may_overdraw": may_overdraw});
    Call::new(Method::PUT, format!("/payments/eur/accounts/{id}")).json(&body)
}

fn transfer_call(id: &str, body: &Value) -> Call {
    Call::new(Method::PUT, format!("/payments/eur/transfers/{id}")).json(body)
}

fn transfer(debit: &str, credit: &str, amount: u64) -> Value {
    json!({"kind": "transfer", "debit": debit, "credit": credit, "amount": amount})
}

fn pending(debit: &str, credit: &str, amount: u64) -> Value {
    json!({"kind": "pending", "debit": debit, "credit": credit, "amount": amount})
}

fn post(pending: &str) -> Value {
    json!({"kind": "post", "pending": pending})
}

fn void(pending: &str) -> Value {
    json!({"kind": "void", "pending": pending})
}

async fn put(client: &Client, id: &str, body: &Value) -> Answer {
    send(client, transfer_call(id, body)).await
}

/// A new account into which the bank pays.
async fn fund(client: &Client, id: &str, amount: u64) {
    body(&insist(client, account_call(id, false)).await, 201);
    body(&insist(client, transfer_call(&format!("{id}-fund"), &transfer("bank", id, amount))).await, 201);
}

/// The four sums of an account: debits pending and posted, credits pending and posted.
async fn sums(client: &Client, id: &str) -> [u64; 4] {
    let account = body(&get(client, &format!("/payments/eur/accounts/{id}")).await, 200);
    ["debits_pending", "debits_posted", "credits_pending", "credits_posted"]
        .map(|sum| account[sum].as_u64().expect("a sum"))
}

#[tokio::test]
async fn an_account_is_opened_once_and_keeps_its_setting() {
    let node = Node::start().await;
    let client = payments(node.api()).await;
    let opened = body(&send(&client, account_call("c-1", false)).await, 201);
    assert_eq!(
        opened,
        json!({"id": "c-1", "may_overdraw": false, "debits_pending": 0, "debits_posted": 0,
            "credits_pending": 0, "credits_posted": 0, "available": 0})
    );
    body(&put(&client, "t-1", &transfer("bank", "c-1", 700)).await, 201);
    let found = body(&send(&client, account_call("c-1", false)).await, 200);
    assert_eq!((&found["credits_posted"], &found["available"]), (&json!(700), &json!(700)));
    problem(&send(&client, account_call("c-1", true)).await, 409, "different");
    assert_eq!(body(&get(&client, "/payments/eur/accounts/c-1").await, 200), found);

    // A ledger for each currency, with the accounts of the shop in it, however often it is started.
    payments::prepare(&node.api(), Deadline::after(PATIENCE)).await.expect("they are there");
    let bank = body(&get(&client, "/payments/usd/accounts/bank").await, 200);
    let merchant = body(&get(&client, "/payments/usd/accounts/merchant").await, 200);
    assert_eq!((&bank["may_overdraw"], &merchant["may_overdraw"]), (&json!(true), &json!(false)));
    assert_eq!(sums(&client, "bank").await, [0, 700, 0, 0], "what was there is kept");
    problem(&get(&client, "/payments/usd/accounts/c-1").await, 404, "no_account");
    problem(&get(&client, "/payments/gbp/accounts/bank").await, 404, "not_found");
}

#[tokio::test]
async fn a_transfer_moves_money_once() {
    let node = Node::start().await;
    let client = payments(node.api()).await;
    fund(&client, "a", 1000).await;
    fund(&client, "b", 1).await;

    let made = body(&put(&client, "t-1", &transfer("a", "b", 400)).await, 201);
    assert_eq!(made, json!({"id": "t-1", "kind": "transfer", "debit": "a", "credit": "b", "amount": 400}));
    assert_eq!(body(&put(&client, "t-1", &transfer("a", "b", 400)).await, 200), made);
    assert_eq!(body(&get(&client, "/payments/eur/transfers/t-1").await, 200), made);
    for other in [transfer("a", "b", 401), transfer("b", "a", 400), pending("a", "b", 400), void("a-fund")] {
        if other["kind"] == "void" {
            problem(&put(&client, "t-1", &other).await, 404, "no_pending");
        } else {
            problem(&put(&client, "t-1", &other).await, 409, "different");
        }
    }
    assert_eq!((sums(&client, "a").await, sums(&client, "b").await), ([0, 400, 0, 1000], [0, 0, 0, 401]));

    let refused = problem(&put(&client, "t-2", &transfer("a", "b", 601)).await, 409, "insufficient_funds");
    assert_eq!(refused["available"], 600);
    for (debit, credit, missing) in [("a", "x", "x"), ("x", "a", "x")] {
        let refused = problem(&put(&client, "t-2", &transfer(debit, credit, 1)).await, 404, "no_account");
        assert_eq!(refused["account"], missing);
    }
    problem(&get(&client, "/payments/eur/transfers/t-2").await, 404, "not_found");
    body(&put(&client, "t-2", &transfer("a", "b", 600)).await, 201);
    assert_eq!(sums(&client, "a").await, [0, 1000, 0, 1000], "to the last cent");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_with_what_is_wrong() {
    let node = Node::start().await;
    let client = payments(node.api()).await;
    let wrong = [
        (json!({"kind": "transfer", "debit": "bank", "credit": "merchant", "amount": 0}), "use 1 to"),
        (transfer("bank", "merchant", 1_000_000_000_001), "use 1 to 1000000000000"),
        (transfer("bank", "bank", 1), "two accounts"),
        (transfer("bank", "a/b", 1), "is no id"),
        (json!({"kind": "transfer", "debit": "bank", "credit": "merchant", "amount": 1, "x": 1}), "`x`"),
        (json!({"kind": "blocked"}), "unknown variant"),
        (json!({"kind": "post"}), "missing field `pending`"),
        (json!({"kind": "post", "pending": "p", "amount": 0}), "use 1 to"),
        (void("t-1"), "of itself"),
    ];
    for (wrong, reason) in wrong {
        let answer = put(&client, "t-1", &wrong).await;
        let detail = problem(&answer, 422, "invalid")["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.contains(reason), "{wrong}: {detail}");
    }
    let not_json = Call::new(Method::PUT, "/payments/eur/accounts/a").bytes("application/json", "{");
    problem(&send(&client, not_json).await, 422, "invalid");
    problem(&send(&client, account_call("a%20b", false)).await, 422, "invalid");
    problem(&get(&client, "/payments/eur").await, 404, "not_found");
    let method = Call::new(Method::DELETE, "/payments/eur/accounts/bank");
    problem(&send(&client, method).await, 405, "method_not_allowed");
}

#[tokio::test]
async fn what_is_set_aside_is_posted_or_freed_once() {
    let node = Node::start().await;
    let client = payments(node.api()).await;
    fund(&client, "a", 1000).await;

    body(&put(&client, "p-1", &pending("a", "merchant", 600)).await, 201);
    assert_eq!(sums(&client, "a").await, [600, 0, 0, 1000]);
    let refused =
        problem(&put(&client, "p-2", &pending("a", "merchant", 401)).await, 409, "insufficient_funds");
    assert_eq!(refused["available"], 400, "what is set aside is not there for others");
    body(&put(&client, "p-2", &pending("a", "merchant", 400)).await, 201);

    // A part of the first: the rest is free again.
    let part = json!({"kind": "post", "pending": "p-1", "amount": 250});
    problem(
        &put(&client, "o", &json!({"kind": "post", "pending": "p-1", "amount": 601})).await,
        422,
        "invalid",
    );
    let posted = body(&put(&client, "o-1", &part).await, 201);
    let expected = json!({"id": "o-1", "kind": "post", "debit": "a", "credit": "merchant", "amount": 250, "pending": "p-1"});
    assert_eq!(posted, expected);
    assert_eq!(body(&put(&client, "o-1", &part).await, 200), expected);
    problem(&put(&client, "o-1", &post("p-1")).await, 409, "different");
    for (id, other) in [("o-2", post("p-1")), ("v-1", void("p-1"))] {
        let refused = problem(&put(&client, id, &other).await, 409, "resolved");
        assert_eq!((&refused["by"], &refused["kind"]), (&json!("o-1"), &json!("post")));
    }
    assert_eq!(sums(&client, "a").await, [400, 250, 0, 1000]);
    assert_eq!(sums(&client, "merchant").await, [0, 0, 400, 250]);

    // The second is freed.
    let freed = body(&put(&client, "v-2", &void("p-2")).await, 201);
    assert_eq!((&freed["amount"], &freed["debit"]), (&json!(400), &json!("a")));
    assert_eq!(body(&put(&client, "v-2", &void("p-2")).await, 200), freed);
    let refused = problem(&put(&client, "o-3", &post("p-2")).await, 409, "resolved");
    assert_eq!((&refused["by"], &refused["kind"]), (&json!("v-2"), &json!("void")));
    assert_eq!(sums(&client, "a").await, [0, 250, 0, 1000]);
    assert_eq!(sums(&client, "merchant").await, [0, 0, 0, 250]);

    // A whole one, and what is no pending transfer.
    body(&put(&client, "p-3", &pending("a", "merchant", 750)).await, 201);
    assert_eq!(body(&put(&client, "o-4", &post("p-3")).await, 201)["amount"], 750);
    assert_eq!(sums(&client, "a").await, [0, 1000, 0, 1000]);
    for nothing in ["p-9", "a-fund", "o-4"] {
        problem(&put(&client, "o-9", &post(nothing)).await, 404, "no_pending");
    }
    problem(&put(&client, "v-9", &void("a-fund")).await, 404, "no_pending");
}

#[tokio::test]
async fn a_void_that_comes_first_keeps_the_pending_transfer_from_coming() {
    let node = Node::start().await;
    let client = payments(node.api()).await;
    fund(&client, "a", 1000).await;
    let voided = body(&put(&client, "v-1", &void("p-1")).await, 201);
    assert_eq!(voided, json!({"id": "v-1", "kind": "void", "amount": 0, "pending": "p-1"}));
    assert_eq!(body(&put(&client, "v-1", &void("p-1")).await, 200), voided);
    let late = problem(&put(&client, "p-1", &pending("a", "merchant", 600)).await, 409, "different");
    assert_eq!(late["kind"], "blocked");
    for (id, other) in [("o-1", post("p-1")), ("v-2", void("p-1"))] {
        let refused = problem(&put(&client, id, &other).await, 409, "resolved");
        assert_eq!((&refused["by"], &refused["kind"]), (&json!("v-1"), &json!("void")), "{id}");
    }
    assert_eq!(sums(&client, "a").await, [0, 0, 0, 1000]);
}

#[tokio::test]
async fn a_transfer_cannot_be_changed_by_anybody() {
    let node = Node::start().await;
    let client = payments(node.api()).await;
    fund(&client, "a", 1000).await;
    body(&put(&client, "v-1", &void("p-1")).await, 201);
    let api = node.client();
    for transfer in ["a-fund", "v-1", "p-1"] {
        let path = format!("/v1/collections/{TRANSFERS}/items/eur/transfers/{transfer}");
        let before = get(&api, &path).await;
        assert_eq!(before.header("mainstay-holds"), Some("ledger"));
        let changed = json!({"kind": "transfer", "debit": "bank", "credit": "a", "amount": 2});
        let patch = Call::new(Method::PATCH, &*path);
        let calls = [
            Call::new(Method::PUT, &*path).json(&changed),
            patch.bytes("application/merge-patch+json", r#"{"amount":2}"#),
            Call::new(Method::DELETE, &*path),
        ];
        for call in calls {
            let refused = problem(&send(&api, call).await, 409, "conflict");
            assert_eq!(refused["holds"], json!(["ledger"]));
        }
        assert_eq!(get(&api, &path).await.body, before.body);
    }
}

#[tokio::test]
async fn the_schemas_refuse_what_no_ledger_has() {
    let node = Node::start().await;
    let account = json!({"may_overdraw": false, "debits_pending": 0, "debits_posted": 0,
        "credits_pending": 0, "credits_posted": 0});
    let with = |member: &str, value: Value| {
        let mut document = account.clone();
        document[member] = value;
        document
    };
    let wrong = [
        ("accounts/a", with("debits_posted", json!(-1))),
        ("accounts/a", with("credits_posted", json!(1.5))),
        ("accounts/a", with("limit", json!(1))),
        ("accounts/a", json!({"may_overdraw": true})),
        ("transfers/t", json!({"kind": "transfer", "debit": "a", "amount": 1})),
        ("transfers/t", json!({"kind": "transfer", "debit": "a", "credit": "b", "amount": 0})),
        ("transfers/t", json!({"kind": "pending", "debit": "a", "credit": "b", "amount": 1, "pending": "p"})),
        ("transfers/t", json!({"kind": "post", "debit": "a", "credit": "b", "amount": 1})),
        ("transfers/t", json!({"kind": "blocked", "amount": 1})),
        ("transfers/t", json!({"kind": "gift", "amount": 1})),
    ];
    for (place, document) in wrong {
        let collection = place.split('/').next().expect("a collection");
        let path = format!("/v1/collections/{collection}/items/eur/{place}");
        let refused = send(&node.client(), Call::new(Method::PUT, path).json(&document)).await;
        let violations = problem(&refused, 422, "invalid")["violations"].clone();
        assert!(violations.as_array().is_some_and(|list| !list.is_empty()), "{document}: {violations}");
    }
}

/// What the sums of accounts must be by the transfers that there are.
fn by_transfers(transfers: &BTreeMap<String, Transfer>) -> BTreeMap<String, [i128; 4]> {
    let mut sums = BTreeMap::<String, [i128; 4]>::new();
    let mut add = |account: &Option<String>, sum: usize, amount: u64| {
        if let Some(account) = account {
            sums.entry(account.clone()).or_default()[sum] += i128::from(amount);
        }
    };
    let mut freed = Vec::new();
    for it in transfers.values() {
        match it.kind {
            Kind::Transfer | Kind::Post => {
                add(&it.debit, 1, it.amount);
                add(&it.credit, 3, it.amount);
            }
            Kind::Pending => {
                add(&it.debit, 0, it.amount);
                add(&it.credit, 2, it.amount);
            }
            Kind::Void | Kind::Blocked => {}
        }
        // Of a pending transfer all is free once it has ended, whatever was posted.
        let ended = it.pending.as_ref().map(|pending| &transfers[pending]);
        freed.extend(ended.filter(|ended| ended.kind == Kind::Pending));
    }
    for ended in freed {
        for (account, sum) in [(&ended.debit, 0), (&ended.credit, 2)] {
            let account = account.as_ref().expect("pending transfers have accounts");
            sums.get_mut(account).expect("it was counted")[sum] -= i128::from(ended.amount);
        }
    }
    sums
}

/// Checks the ledger `eur` as it is, and as it was after each commit. Returns its transfers.
async fn audit(node: &Node) -> BTreeMap<String, Transfer> {
    let deadline = Deadline::after(PATIENCE);
    let items = node.api().all::<Transfer>(TRANSFERS, "prefix=eur/", deadline).await.expect("a list");
    let id = |key: &str| key.rsplit('/').next().expect("an id").to_owned();
    let transfers: BTreeMap<_, _> = items.into_iter().map(|item| (id(&item.key), item.value)).collect();
    let mut resolved = BTreeSet::new();
    for (id, transfer) in &transfers {
        let Some(pending) = &transfer.pending else { continue };
        assert!(resolved.insert(pending.clone()), "{pending} is resolved by {id} and by another");
    }
    let expected = by_transfers(&transfers);
    let items = node.api().all::<Account>(ACCOUNTS, "prefix=eur/", deadline).await.expect("a list");
    for item in items {
        let it = item.value;
        let sums = [it.debits_pending, it.debits_posted, it.credits_pending, it.credits_posted];
        let expected = expected.get(&id(&item.key)).copied().unwrap_or_default();
        assert_eq!(sums.map(i128::from), expected, "{}: as its transfers say", item.key);
    }
    for (key, value) in node.history(ACCOUNTS).await {
        let it: Account = serde_json::from_value(value).expect("an account");
        let covered = it.debits_pending + it.debits_posted <= it.credits_posted;
        assert!(it.may_overdraw || covered, "{key} was overdrawn: {it:?}");
    }
    transfers
}

/// Requests for transfers between few accounts, with what depends on each other: pending ones, posts and voids of them, also two of one.
fn requests(dice: &mut Dice, count: u64) -> Vec<(String, Value)> {
    let mut requests = Vec::new();
    for number in 0..count {
        let debit = dice.below(4);
        let credit = (debit + 1 + dice.below(3)) % 4;
        let (debit, credit) = (format!("w-{debit}"), format!("w-{credit}"));
        let amount = 1 + dice.below(400);
        if dice.below(2) == 0 {
            requests.push((format!("t-{number}"), transfer(&debit, &credit, amount)));
            continue;
        }
        let id = format!("p-{number}");
        let part = json!({"kind": "post", "pending": id, "amount": 1 + dice.below(amount)});
        let ends = [post(&id), part, void(&id)];
        for end in 0..1 + dice.below(2) {
            let which = usize::try_from(dice.below(3)).expect("small");
            requests.push((format!("e-{number}-{end}"), ends[which].clone()));
        }
        requests.push((id, pending(&debit, &credit, amount)));
    }
    requests
}

/// What was answered to each request, by its id.
type Answers = BTreeMap<String, Vec<(u16, Value)>>;

/// Sends each request two or three times, all in an order of chance and by many at once.
async fn storm(clients: &[Client], dice: &mut Dice, requests: &[(String, Value)]) -> Answers {
    let mut plan: Vec<_> = requests.iter().chain(requests).cloned().collect();
    plan.extend(requests.iter().filter(|_| dice.below(2) == 0).cloned());
    dice.shuffle(&mut plan);
    let mut tasks = JoinSet::new();
    for (place, share) in plan.chunks(plan.len().div_ceil(12)).enumerate() {
        let (client, share) = (clients[place % clients.len()].clone(), share.to_vec());
        tasks.spawn(async move {
            let mut answers = Vec::new();
            for (id, wanted) in share {
                let answer = insist(&client, transfer_call(&id, &wanted)).await;
                answers.push((id, (answer.status.as_u16(), answer.json().expect("JSON"))));
            }
            answers
        });
    }
    let mut answers = Answers::new();
    while let Some(share) = tasks.join_next().await {
        for (id, answer) in share.expect("no panic") {
            answers.entry(id).or_default().push(answer);
        }
    }
    answers
}

/// Checks that what was answered is what is there. Without faults exactly one answer says that it was made by it.
fn check_answers(
    requests: &[(String, Value)],
    answers: &Answers,
    transfers: &BTreeMap<String, Transfer>,
    faults: bool,
) {
    let mut seen = BTreeSet::new();
    for (id, wanted) in requests {
        let answers = &answers[id];
        let made = answers.iter().filter(|(status, _)| *status == 201).count();
        let done = answers.iter().filter(|(status, _)| *status < 300).count();
        seen.extend(answers.iter().map(|(_, body)| body["code"].as_str().unwrap_or("done").to_owned()));
        let there = transfers.get(id).filter(|it| it.kind != Kind::Blocked);
        assert!(made <= 1, "{id} was made twice: {answers:?}");
        if faults {
            // One that was refused may have come late; nothing that was told to be done is missing.
            assert!(done == 0 || there.is_some(), "{id}: {answers:?}");
        } else {
            assert_eq!(
                (made, done > 0),
                (usize::from(there.is_some()), there.is_some()),
                "{id}: {answers:?}"
            );
        }
        let Some(there) = there else { continue };
        let there = serde_json::to_value(there).expect("JSON");
        for (member, value) in wanted.as_object().expect("an object") {
            assert_eq!(there[member], *value, "{id} is what was asked for: {member}");
        }
        for (_, answer) in answers.iter().filter(|(status, _)| *status < 300) {
            assert_eq!(answer["amount"], there["amount"], "{id}: every answer tells the same");
        }
    }
    for code in ["done", "insufficient_funds", "resolved", "no_pending", "different"] {
        assert!(seen.contains(code), "the storm is wild enough for {code}: {seen:?}");
    }
}

async fn a_storm_of_transfers(node: &Node, apis: [Mainstay; 2], seed: u64, faults: bool) {
    let [one, two] = apis;
    let clients = [payments(one).await, payments(two).await];
    for wallet in 0..4 {
        fund_insisting(&clients[0], &format!("w-{wallet}"), 600).await;
    }
    let mut dice = Dice::new(seed, 0);
    let requests = requests(&mut dice, 80);
    let answers = storm(&clients, &mut dice, &requests).await;
    let transfers = audit(node).await;
    check_answers(&requests, &answers, &transfers, faults);
}

/// As [`fund`], where it may have been done by a try before.
async fn fund_insisting(client: &Client, id: &str, amount: u64) {
    let opened = insist(client, account_call(id, false)).await;
    let funded = insist(client, transfer_call(&format!("{id}-fund"), &transfer("bank", id, amount))).await;
    assert!(opened.status.is_success() && funded.status.is_success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_transfers_at_once_with_duplicates_move_what_they_say_and_overdraw_nothing() {
    let node = Node::start().await;
    a_storm_of_transfers(&node, [node.api(), node.api()], 1, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_while_requests_and_answers_are_lost_and_late() {
    let node = Node::start().await;
    let lossy = Lossy::before(&node, 3, &lossy::ALL).await;
    a_storm_of_transfers(&node, [lossy.api(), lossy.api()], 2, true).await;
    assert!(lossy.settle().await > 40, "all faults were met many times");
    audit(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_post_and_a_void_at_the_same_time_exactly_one_wins() {
    let node = Node::start().await;
    let clients = [payments(node.api()).await, payments(node.api()).await];
    fund(&clients[0], "a", 1000).await;
    let mut won = BTreeMap::<String, u64>::new();
    for round in 0..40 {
        let p = format!("p-{round}");
        body(&put(&clients[0], &p, &pending("a", "merchant", 10)).await, 201);
        let ends = [(format!("o-{round}"), post(&p)), (format!("v-{round}"), void(&p))];
        // Each twice, one of each at either service.
        let [(o, post), (v, void)] = &ends;
        let (o1, v1, o2, v2) = tokio::join!(
            put(&clients[round % 2], o, post),
            put(&clients[1 - round % 2], v, void),
            put(&clients[1], o, post),
            put(&clients[0], v, void),
        );
        let (winners, losers) =
            if o1.status.is_success() { ([o1, o2], [v1, v2]) } else { ([v1, v2], [o1, o2]) };
        let mut statuses = winners.each_ref().map(|answer| answer.status.as_u16());
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201], "made once: {}", node::text(&winners[0]));
        let winner = body(&winners[0], winners[0].status.as_u16());
        for loser in &losers {
            let refused = problem(loser, 409, "resolved");
            assert_eq!((&refused["by"], &refused["kind"]), (&winner["id"], &winner["kind"]));
        }
        *won.entry(winner["kind"].as_str().expect("a kind").to_owned()).or_default() += 1;
    }
    audit(&node).await;
    let posted = won.get("post").copied().unwrap_or_default();
    assert_eq!(sums(&clients[0], "a").await, [0, posted * 10, 0, 1000], "{won:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_transfer_and_its_void_at_the_same_time_leave_nothing_set_aside() {
    let node = Node::start().await;
    let lossy = Lossy::before(&node, 4, &[Fault::Late, Fault::AnswerLost]).await;
    let (direct, disturbed) = (payments(node.api()).await, payments(lossy.api()).await);
    fund(&direct, "a", 1000).await;
    for round in 0..40 {
        let (p, v) = (format!("p-{round}"), format!("v-{round}"));
        let (pending, void) = (pending("a", "merchant", 10), void(&p));
        // The same void twice: one may find the pending transfer, and the other not.
        let (made, one, other) = tokio::join!(
            insist(&disturbed, transfer_call(&p, &pending)),
            insist(&direct, transfer_call(&v, &void)),
            insist(&disturbed, transfer_call(&v, &void)),
        );
        assert!(
            one.status.is_success() && other.status.is_success(),
            "{} {}",
            node::text(&one),
            node::text(&other)
        );
        if !made.status.is_success() {
            problem(&made, 409, "different");
        }
    }
    lossy.settle().await;
    audit(&node).await;
    assert_eq!(sums(&direct, "a").await, [0, 0, 0, 1000]);
    assert_eq!(sums(&direct, "merchant").await, [0, 0, 0, 0]);
}

/// A transfer whose caller waits only so long.
async fn put_in(client: &Client, id: &str, wait: &str) -> Answer {
    send(client, transfer_call(id, &transfer("bank", "merchant", 5)).header(TIMEOUT, wait)).await
}

#[tokio::test]
async fn an_answer_says_whether_nothing_was_done_or_it_is_not_known() {
    let node = Node::start().await;
    let calm = payments(node.api()).await;
    let through = |every: usize, faults: &'static [Fault]| {
        let node = &node;
        async move { node::serve(payments::routes(Lossy::before(node, every, faults).await.api())).await }
    };

    // The second commit gets no answer: the third tells that it was done.
    let client = through(2, &[Fault::AnswerLost]).await;
    body(&put_in(&client, "t-0", "10s").await, 201);
    assert_eq!(body(&put_in(&client, "t-1", "10s").await, 200)["amount"], 5);

    // No commit gets one.
    let client = through(1, &[Fault::AnswerLost]).await;
    problem(&put_in(&client, "t-4", "500ms").await, 504, "outcome_unknown");
    assert_eq!(body(&put_in(&calm, "t-4", "10s").await, 200)["amount"], 5);

    // Never arrives, and nobody knows until it can be asked again.
    let client = through(1, &[Fault::RequestLost]).await;
    problem(&put_in(&client, "t-2", "500ms").await, 504, "outcome_unknown");
    assert_eq!(body(&put_in(&calm, "t-2", "10s").await, 201)["amount"], 5);

    // Surely not done; but not if a try before may have been.
    let client = through(1, &[Fault::Busy]).await;
    problem(&put_in(&client, "t-3", "500ms").await, 503, "unavailable");
    const LOST_THEN_BUSY: [Fault; 16] = {
        let mut faults = [Fault::Busy; 16];
        faults[0] = Fault::RequestLost;
        faults
    };
    let client = through(1, &LOST_THEN_BUSY).await;
    problem(&put_in(&client, "t-3", "500ms").await, 504, "outcome_unknown");
    problem(&get(&calm, "/payments/eur/transfers/t-3").await, 404, "not_found");

    // Late: it arrives after the try that was done, and does nothing.
    let lossy = Lossy::before(&node, 2, &[Fault::Late]).await;
    let client = node::serve(payments::routes(lossy.api())).await;
    for number in 0..4 {
        body(&put_in(&client, &format!("late-{number}"), "10s").await, 201);
    }
    assert!(lossy.settle().await >= 3);
    assert_eq!(sums(&calm, "merchant").await, [0, 0, 0, 40]);
    audit(&node).await;
}
