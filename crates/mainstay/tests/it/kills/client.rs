//! A client that sends one operation after the other, notes what it is answered, and repeats what is not.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;

use mainstay_log::faulty::Random;
use mainstay_machine::{Position, Version};
use serde_json::{Value, json};

use super::model::{self, ACCOUNTS, BALANCE, BANK, Change, Operation, PAIR, Reading, Seen, Told};
use crate::support::{Answer, Client as Connection};

/// Answers of one request that ask to send it again; more would be a node that does not recover.
const TRIES_MAX: usize = 100_000;
const ITEMS: &str = "/v1/collections/kv/items";
/// How much larger each document is than the one before, until it begins anew.
const DOCUMENT_STEP: u64 = 700;
const DOCUMENT_STEPS: u64 = 60;

pub struct Client {
    number: u64,
    random: Random,
    made: u64,
    /// What was sent and not answered.
    pub unanswered: Option<Operation>,
    /// What was answered, in order, until it is taken.
    pub answered: Vec<(Operation, Told)>,
    last: Option<(Operation, Told)>,
    versions: BTreeMap<String, Version>,
    position: Position,
}

impl Client {
    pub fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            random: Random::new(seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            made: 0,
            unanswered: None,
            answered: Vec::new(),
            last: None,
            versions: BTreeMap::new(),
            position: Position::default(),
        }
    }

    /// Opens the accounts.
    pub fn opens(&mut self) {
        let changes = (0..ACCOUNTS).map(|it| (format!("{BANK}a{it}"), Change::Set(BALANCE.to_string())));
        self.unanswered = Some(Operation { key: "open".into(), changes: changes.collect() });
    }

    /// Sends without pause until the node is gone; tells of each acknowledgement. What must not be is an error.
    pub fn work(&mut self, api: SocketAddr, acknowledged: &SyncSender<()>) -> Result<(), String> {
        let Ok(mut connection) = Connection::try_connect(api) else { return Ok(()) };
        loop {
            if self.random.one_in(10) && self.unanswered.is_none() {
                match look(&mut connection, &self.position) {
                    Ok(seen) => seen?,
                    Err(_) => return Ok(()),
                }
            }
            if self.unanswered.is_none() {
                self.unanswered = Some(self.next());
            }
            match self.answered(&mut connection) {
                Ok(told) => drop(told?),
                Err(_) => return Ok(()),
            }
            // Nobody counts any more when the node has been killed.
            let _ = acknowledged.send(());
        }
    }

    /// What was answered last is answered again and done once; what was not answered is done. Returns whether that had
    /// happened before, if there was anything.
    pub fn repeat(&mut self, api: SocketAddr) -> Result<Option<bool>, String> {
        let mut connection = Connection::connect(api);
        if let Some((operation, before)) = &self.last {
            let again = send(&mut connection, operation).map_err(|error| error.to_string())??;
            let is_same = again.versions == before.versions && again.replayed;
            if !is_same {
                return Err(format!("{} was answered {before:?}, and then {again:?}", operation.key));
            }
        }
        if self.unanswered.is_none() {
            return Ok(None);
        }
        let told = self.answered(&mut connection).map_err(|error| error.to_string())??;
        Ok(Some(told.replayed))
    }

    /// Sends the unanswered operation and takes note of the answer.
    fn answered(&mut self, connection: &mut Connection) -> io::Result<Result<Told, String>> {
        let operation = self.unanswered.as_ref().expect("there is one to be sent");
        let told = match send(connection, operation)? {
            Ok(told) => told,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let operation = self.unanswered.take().expect("it was just looked at");
        for (shard, place) in told.position.places() {
            let before = self.position.get(shard);
            let is_later = if told.replayed { before <= Some(place) } else { before < Some(place) };
            if !is_later {
                return Ok(Err(format!("{}: position {place:?} after {before:?}", operation.key)));
            }
        }
        for ((item, _), version) in operation.changes.iter().zip(&told.versions) {
            if let Some(before) = self.versions.insert(item.clone(), *version)
                && before >= *version
            {
                return Ok(Err(format!("{}: {item} has version {version} after {before}", operation.key)));
            }
        }
        self.position.merge(&told.position);
        self.last = Some((operation.clone(), told.clone()));
        self.answered.push((operation, told.clone()));
        Ok(Ok(told))
    }

    fn next(&mut self) -> Operation {
        self.made += 1;
        let own = |item: &str| format!("w{}/{item}", self.number);
        let changes = match self.random.below(8) {
            0..=2 => {
                vec![(
                    own("count"),
                    Change::Add(i64::try_from(self.random.between(1, 1 << 20)).expect("it is small")),
                )]
            }
            3 | 4 => self.transfer(),
            5 | 6 => {
                let value = format!("{{\"n\":{},\"of\":{}}}", self.made, self.number);
                PAIR.map(|item| (own(item), Change::Set(value.clone()))).into()
            }
            _ => {
                let large = usize::try_from(self.made % DOCUMENT_STEPS * DOCUMENT_STEP).expect("it is small");
                let value = format!("{}-{}", self.made, "x".repeat(large));
                vec![(own(&format!("doc-{}", self.made % 4)), Change::Set(value))]
            }
        };
        Operation { key: format!("{}-{}", self.number, self.made), changes }
    }

    fn transfer(&self) -> Vec<(String, Change)> {
        let from = self.random.below(ACCOUNTS);
        let to = (from + self.random.between(1, ACCOUNTS)) % ACCOUNTS;
        let by = i64::try_from(self.random.between(1, 300)).expect("it is small");
        [(from, -by), (to, by)].map(|(account, by)| (format!("{BANK}a{account}"), Change::Add(by))).into()
    }
}

/// Sends an operation, again while the node asks for that. An error within is an answer that must not be.
fn send(connection: &mut Connection, operation: &Operation) -> io::Result<Result<Told, String>> {
    let key = ("Idempotency-Key", &*operation.key);
    for _ in 0..TRIES_MAX {
        let answer = match &operation.changes[..] {
            // A value by itself goes by the way of single items.
            [(item, Change::Set(value))] => {
                let headers = [key, ("Content-Type", "text/plain")];
                connection.try_request("PUT", &format!("{ITEMS}/{item}"), &headers, value)?
            }
            changes => {
                let headers = [key, ("Content-Type", "application/json")];
                connection.try_request("POST", "/v1/commits", &headers, &commit(changes))?
            }
        };
        match answer.status {
            200 | 201 | 204 | 412 => return Ok(told(&answer, operation)),
            429 | 503 | 504 => {}
            _ => return Ok(Err(format!("{} was answered {answer:?}", operation.key))),
        }
    }
    panic!("{} was refused {TRIES_MAX} times", operation.key)
}

fn commit(changes: &[(String, Change)]) -> String {
    let partition = changes[0].0.split('/').next().expect("a text has a first part");
    let operations = changes.iter().map(|(key, change)| match change {
        Change::Add(by) if *by < 0 => {
            json!({ "increment": { "collection": "kv", "key": key, "by": by, "min": 0 } })
        }
        Change::Add(by) => json!({ "increment": { "collection": "kv", "key": key, "by": by } }),
        Change::Set(value) => {
            let value: Value = serde_json::from_str(value).expect("what is set with others is JSON");
            json!({ "put": { "collection": "kv", "key": key, "value": value } })
        }
    });
    json!({ "partition": partition, "do": operations.collect::<Vec<_>>() }).to_string()
}

fn told(answer: &Answer, operation: &Operation) -> Result<Told, String> {
    let position = position(answer)?;
    let replayed = answer.header("idempotency-replayed") == Some("true");
    let versions = match answer.status {
        412 if !operation.is_private() => Vec::new(),
        200 => {
            let results = answer.json()["results"].as_array().cloned().unwrap_or_default();
            results.iter().filter_map(|it| it["version"].as_str()?.parse().ok()).collect()
        }
        201 | 204 => vec![version(answer)?],
        _ => return Err(format!("{} was refused: {answer:?}", operation.key)),
    };
    if answer.status != 412 && versions.len() != operation.changes.len() {
        return Err(format!("{} has a version missing: {answer:?}", operation.key));
    }
    Ok(Told { versions, position, replayed })
}

fn position(answer: &Answer) -> Result<Position, String> {
    let text = answer.header("mainstay-position");
    text.and_then(|it| it.parse().ok()).ok_or_else(|| format!("no position: {answer:?}"))
}

fn version(answer: &Answer) -> Result<Version, String> {
    let text = answer.header("etag").map(|it| it.trim_matches('"'));
    text.and_then(|it| it.parse().ok()).ok_or_else(|| format!("no version: {answer:?}"))
}

/// Looks at what others change at the same time: sums are constant and pairs whole whenever they are read.
fn look(connection: &mut Connection, after: &Position) -> io::Result<Result<(), String>> {
    let answer = connection.try_request("GET", &format!("{ITEMS}?prefix={BANK}"), &[], "")?;
    if answer.status != 200 {
        return Ok(Ok(()));
    }
    Ok((|| {
        let position = position(&answer)?;
        for (shard, place) in position.places() {
            if after.get(shard).is_some_and(|after| place < after) {
                return Err(format!("a listing shows {place:?} after {after}"));
            }
        }
        let page = answer.json();
        let items = page["items"].as_array().into_iter().flatten().map(|item| {
            let version = item["version"].as_str()?.parse().ok()?;
            Some((item["key"].as_str()?.to_owned(), Seen { value: item["value"].to_string(), version }))
        });
        let items: Option<BTreeMap<_, _>> = items.collect();
        model::conserved(&items.ok_or_else(|| format!("not a page: {page}"))?)
    })())
}

/// Reads everything back: the listing, and each item by itself, half of them at the position that was told last.
pub fn read_back(api: SocketAddr, told: &Position) -> Result<Reading, String> {
    let mut connection = Connection::connect(api);
    let mut listed: Vec<(String, Version)> = Vec::new();
    let mut reading = Reading::default();
    let mut cursor = String::new();
    loop {
        let answer = connection.request("GET", &format!("{ITEMS}?limit=10{cursor}"), &[], "");
        let page = answer.json();
        let items = page["items"].as_array().ok_or_else(|| format!("not a page: {answer:?}"))?;
        for item in items {
            let version = item["version"].as_str().and_then(|it| it.parse().ok()).expect("a version");
            listed.push((item["key"].as_str().expect("a key").to_owned(), version));
        }
        reading.position.merge(&position(&answer)?);
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let session = told.to_string();
    for (place, (item, listed)) in listed.into_iter().enumerate() {
        let at = [("Mainstay-Consistency", "session"), ("Mainstay-Position", &*session)];
        let headers = if place % 2 == 0 { &at[..] } else { &[] };
        let answer = connection.request("GET", &format!("{ITEMS}/{item}"), headers, "");
        if answer.status != 200 || version(&answer)? != listed {
            return Err(format!("{item} is listed with {listed}, and read as {answer:?}"));
        }
        reading.items.insert(item, Seen { version: listed, value: answer.body });
    }
    Ok(reading)
}
