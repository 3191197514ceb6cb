//! Books through changes of callers and files, and as text.

use mainstay_base::error::{Classify, Code};
use mainstay_base::units::Duration;
use mainstay_machine::command::Expected;
use serde_json::json;

use super::*;

const KEEP: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn route(path: &str) -> Said {
    let members = json!({ "match": { "path": path }, "to": { "service": "s" } });
    let Value::Object(members) = members else { unreachable!("it is an object") };
    Said::read(Kind::Route, &name("r"), members).expect("a route")
}

fn change(of: &str, what: What) -> Change {
    let (kind, name, caller) = (Kind::Route, name(of), "anonymous".to_owned());
    Change { kind, name, what, expected: Expected::Anything, caller, idempotency_key: None }
}

fn put(of: &str, path: &str) -> Change {
    change(of, What::Put(route(path)))
}

/// The book after changes, a second after each other.
fn after(book: &Book, changes: &[Change]) -> Book {
    let changed = |book: Book, (second, change): (u64, &Change)| {
        book.change(change, at(second), KEEP).expect("it can be done").book
    };
    (0..).zip(changes).fold(book.clone(), changed)
}

fn declared(routes: &[(&str, &str, u32)]) -> BTreeMap<(Kind, Name), Declared> {
    let source = |line| Source { file: "mainstay.yaml".to_owned(), line: Some(line) };
    let one = |(of, path, line): &(&str, &str, u32)| {
        ((Kind::Route, name(of)), Declared { definition: route(path).written(), source: source(*line) })
    };
    routes.iter().map(one).collect()
}

fn told(book: &Book, of: &str) -> Vec<(u64, bool, Value)> {
    let versions = book.history(Kind::Route, &name(of)).iter();
    versions.map(|it| (it.version.sequence, it.retired, it.definition["match"]["path"].clone())).collect()
}

#[test]
fn a_definition_keeps_what_it_was_and_goes_back_to_it() {
    let first = after(&Book::default(), &[put("a", "/1"), put("b", "/b"), put("a", "/2")]);
    assert_eq!(told(&first, "a"), [(1, false, json!("/1")), (3, false, json!("/2"))]);
    let to = Version { timeline: 1, sequence: 1 };
    let back = after(&first, &[change("a", What::Retire), change("a", What::Rollback(to))]);
    let versions = [(1, false, "/1"), (3, false, "/2"), (4, true, "/2"), (5, false, "/1")];
    assert_eq!(told(&back, "a"), versions.map(|(number, retired, path)| (number, retired, json!(path))));
    let same = back.change(&put("a", "/1"), at(9), KEEP).expect("it can be");
    assert!(!same.is_change && !same.is_new && same.book == back, "the same again is no version");
    let error = back.change(&change("a", What::Rollback(Version { timeline: 1, sequence: 2 })), at(9), KEEP);
    assert_eq!(error.expect_err("that is b's").code(), Code::NotFound);
    let gone = after(&back, &[change("a", What::Retire)]);
    for what in [What::Retire, What::Rollback(Version { timeline: 1, sequence: 4 })] {
        let error = gone.change(&change("a", what), at(9), KEEP).expect_err("it is not in force");
        assert!(matches!(error, Error::Retired { .. }), "{error}");
    }
    let never = gone.change(&change("c", What::Retire), at(9), KEEP).expect_err("it never was");
    assert!(matches!(never, Error::Missing { .. }), "{never}");
}

#[test]
fn what_must_hold_before_is_looked_at() {
    let book = after(&Book::default(), &[put("a", "/1")]);
    let with = |of: &str, expected| book.change(&Change { expected, ..put(of, "/2") }, at(9), KEEP);
    let version = |sequence| Expected::Version(Version { timeline: 1, sequence });
    for good in [("a", Expected::Present), ("b", Expected::Absent), ("a", version(1))] {
        assert!(with(good.0, good.1).is_ok(), "{good:?}");
    }
    for (of, expected) in [
        ("a", Expected::Absent),
        ("b", Expected::Present),
        ("a", version(2)),
        ("b", version(1)),
        ("a", Expected::Impossible),
    ] {
        assert_eq!(with(of, expected).expect_err("it does not hold").code(), Code::ConditionFailed);
    }
}

#[test]
fn a_file_takes_over_what_it_says_and_what_it_says_no_more_is_retired() {
    let mine = after(&Book::default(), &[put("a", "/api"), put("b", "/b")]);
    let taken = mine.declare(&declared(&[("a", "/file", 3), ("c", "/c", 4)]), at(10)).expect("a change");
    assert_eq!(told(&taken, "a"), [(1, false, json!("/api")), (3, false, json!("/file"))]);
    let refused = taken.change(&put("a", "/2"), at(11), KEEP).expect_err("it is the file's");
    assert_eq!(refused.code(), Code::OwnedByFile);
    assert!(refused.to_string().contains("mainstay.yaml:3"), "{refused}");
    assert_eq!(taken.declare(&declared(&[("a", "/file", 3), ("c", "/c", 4)]), at(12)), None);
    let moved = taken.declare(&declared(&[("a", "/file", 5), ("c", "/c", 4)]), at(12)).expect("another line");
    assert_eq!(told(&moved, "a"), told(&taken, "a"), "which is no version");
    let left = moved.declare(&declared(&[("c", "/c", 4)]), at(13)).expect("a change");
    assert_eq!(told(&left, "a").last(), Some(&(4, true, json!("/file"))));
    assert_eq!(told(&left, "b"), told(&mine, "b"), "what is the API's stays");
    let back = after(&left, &[change("a", What::Rollback(Version { timeline: 1, sequence: 1 }))]);
    assert_eq!(told(&back, "a").last(), Some(&(5, false, json!("/api"))));
}

#[test]
fn definitions_of_the_api_go_beside_those_of_the_file() {
    let file = Definitions::default();
    let mine = after(&Book::default(), &[put("a", "/api"), put("b", "/b"), change("b", What::Retire)]);
    let book = mine.declare(&declared(&[("c", "/c", 4)]), at(10)).expect("a change");
    let merged = book.merged(&file).expect("all can be read");
    let names: Vec<_> = merged.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["a"], "those of the file are in it already");
}

#[test]
fn a_key_is_answered_as_before_and_only_for_its_request_and_time() {
    let keyed = |path: &str| Change { idempotency_key: Some("k".to_owned()), ..put("a", path) };
    let first = Book::default().change(&keyed("/1"), at(0), KEEP).expect("new");
    let later = after(&first.book, &[put("a", "/2")]);
    let again = later.change(&keyed("/1"), at(59), KEEP).expect("a repetition");
    assert!(again.is_replayed && again.is_new && again.book == later);
    assert_eq!(again.record.version.sequence, 1, "as it was answered");
    assert_eq!(later.change(&keyed("/3"), at(59), KEEP), Err(Error::Mismatch));
    let other = Change { name: name("b"), ..keyed("/3") };
    assert!(later.change(&other, at(59), KEEP).is_ok(), "another definition's key");
    let late = later.change(&keyed("/1"), at(60), KEEP).expect("a change");
    assert!(late.is_change && !late.is_replayed);
}

#[test]
fn text_is_read_as_it_was_written_and_other_text_is_refused() {
    let keyed = Change { idempotency_key: Some("k".to_owned()), ..put("a", "/1") };
    let mine = after(&Book::default(), &[keyed, put("b", "/b"), change("b", What::Retire)]);
    let book = mine.declare(&declared(&[("c", "/c", 4)]), at(10)).expect("a change");
    let text = book.to_text();
    assert_eq!(Book::of_text(&text), Ok(book));
    let cut = text.trim_end().rsplit_once('\n').expect("lines").0;
    assert_eq!(Book::of_text(cut), Err(TextError::Length { found: 4, expected: 5 }));
    let newer = text.replacen("\"format\":1", "\"format\":2,\"more\":1", 1);
    assert_eq!(Book::of_text(&newer), Err(TextError::Format { found: 2 }));
    let damaged = text.replacen("\"changed\"", "\"changes\"", 1);
    assert!(matches!(Book::of_text(&damaged), Err(TextError::Line { line: 2, .. })));
    assert!(matches!(Book::of_text(""), Err(TextError::Line { line: 1, .. })));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut book = Book::default();
    for number in 0..=HISTORY_MAX {
        book = after(&book, &[put("a", &format!("/{number}"))]);
    }
    let kept = told(&book, "a");
    assert_eq!((kept.len(), kept[0].0), (HISTORY_MAX, 2));
    let long = put("b", &format!("/{}", "x".repeat(Change::DEFINITION_BYTES_MAX)));
    assert_eq!(book.change(&long, at(0), KEEP).expect_err("too much").code(), Code::TooLarge);
    let many: Vec<_> = (1..Change::NAMES_MAX).map(|number| put(&format!("r{number}"), "/")).collect();
    let full = after(&book, &many);
    assert_eq!(full.change(&put("b", "/"), at(0), KEEP), Err(Error::Full { kind: Kind::Route }));
    assert!(full.change(&put("a", "/"), at(0), KEEP).is_ok(), "what is there can change");
    let room = after(&full, &[change("r1", What::Retire), put("b", "/")]);
    assert_eq!(room.in_force(Kind::Route).count(), Change::NAMES_MAX);
}

#[test]
fn the_oldest_versions_go_when_all_together_take_too_much() {
    let long = |of: &str, number: usize| {
        put(of, &format!("/{number}/{}", "x".repeat(Change::DEFINITION_BYTES_MAX - 1_000)))
    };
    let mut book =
        after(&Book::default(), &[put("old", "/old"), change("old", What::Retire), put("a", "/a")]);
    for number in 0..100 {
        book = after(&book, &[long(&format!("r{}", number % 5), number)]);
    }
    assert_eq!(told(&book, "old"), [], "it is not in force");
    assert_eq!(told(&book, "a").len(), 1, "it is");
    let past: usize = book.entries.values().flat_map(|it| &it[..it.len() - 1]).map(|it| it.bytes()).sum();
    assert!(past <= HISTORY_BYTES_MAX && past > HISTORY_BYTES_MAX / 2, "{past}");
    let kept: Vec<_> = (0..5).map(|number| told(&book, &format!("r{number}")).len()).collect();
    assert!(kept.iter().all(|it| it.abs_diff(kept[0]) <= 1), "from all alike: {kept:?}");
}

#[test]
fn what_is_written_is_short_and_says_the_same() {
    let route = json!({
        "match": { "host": ["a.example"], "methods": ["GET"], "headers": { "x": "present" }, "priority": 3 },
        "to": { "split": [{ "service": "s", "weight": 1 }, { "service": "t", "weight": 0 }] },
        "criticality": "sheddable",
        "limit": [{ "key": "client.address", "rate": "5/s", "keys_max": 65_536 }],
        "compression": false,
        "headers": { "answer": { "remove": ["x-a"] } },
        "security_headers": true,
    });
    let service = json!({ "endpoints": ["127.0.0.1:1"], "protocol": "http2", "idle": { "max": 0 } });
    for (kind, written) in [(Kind::Route, route), (Kind::Service, service)] {
        let Value::Object(members) = written.clone() else { unreachable!("it is an object") };
        let said = Said::read(kind, &name("r"), members).expect("a definition");
        let short = said.written();
        assert_eq!(Said::read(kind, &name("r"), short.clone()).expect("a definition"), said);
        let keys =
            |members: &Value| members.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&short.clone().into()), keys(&written), "nothing that was not said");
        if kind == Kind::Route {
            assert_eq!((&short["headers"], &short["match"]["priority"]), (&written["headers"], &json!(3)));
        } else {
            assert_eq!(short["idle"], json!({ "max": 0 }));
        }
    }
}
