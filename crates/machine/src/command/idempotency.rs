//! What makes a command safe to send again: its caller's key, and hashes of where it counts and of what was asked.
//!
//! Both hashes are XXH3 with 128 bits and seed 0 of fields, each after its length, and are stored: they may never change. They
//! guard against accidents, not against forgery: whoever could make two commands collide could do so only with keys
//! of its own tenant.
//!
//! Source: <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Tenant;
use mainstay_base::key::Partition;
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use super::{Caller, Change, Commit, Condition, Define, Expected, ItemName, Operation, Request};
use crate::row::Scope;
use crate::text::shown;
use crate::version::Version;

/// A key that a caller gives to a request, and repeats when it sends the request again: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

/// A text that is not an [`IdempotencyKey`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{} is not an idempotency key: use 1 to {} visible ASCII characters, such as a UUID",
    shown(.0),
    IdempotencyKey::BYTES_MAX
)]
pub struct KeyError(String);

/// Which outcome a command shares with its repetitions.
///
/// A repetition that comes while the first is still under way waits behind it in their shard's queue, as every command of
/// the shard does, and is answered with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    scope: Scope,
    fingerprint: [u8; 16],
}

impl IdempotencyKey {
    /// The longest key, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let is_good =
            (1..=Self::BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_good { Ok(Self(text.into())) } else { Err(KeyError(text.to_owned())) }
    }
}

impl Display for IdempotencyKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Classify for KeyError {
    fn code(&self) -> Code {
        Code::Invalid
    }
}

impl Idempotency {
    /// What a key means for this request. Cost: one pass over the request's bytes.
    pub fn new(
        key: &IdempotencyKey,
        tenant: &Tenant,
        caller: &Caller,
        partition: &Partition<'_>,
        request: &Request,
    ) -> Self {
        let mut scope = Hash::default();
        for part in
            [tenant.name().as_str(), caller.as_str(), request.kind(), partition.as_str(), key.as_str()]
        {
            scope.text(part);
        }
        let mut fingerprint = Hash::default();
        match request {
            Request::Commit(commit) => fingerprint.commit(commit),
            Request::Define(define) => fingerprint.define(define),
        }
        Self { scope: scope.end(), fingerprint: fingerprint.end() }
    }

    /// Tenant, caller, kind of request, partition and key.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Everything that the request asks, as it is written: of two JSON texts that mean the same, only equal bytes are the
    /// same request.
    pub fn fingerprint(&self) -> &[u8; 16] {
        &self.fingerprint
    }
}

#[derive(Default)]
struct Hash(Xxh3);

impl Hash {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_le_bytes());
    }

    fn number(&mut self, number: Option<i64>) {
        self.0.update(&[u8::from(number.is_some())]);
        self.0.update(&number.unwrap_or(0).to_le_bytes());
    }

    fn item(&mut self, kind: &str, item: &ItemName) {
        self.text(kind);
        self.text(item.collection.as_str());
        self.text(item.key.as_str());
    }

    fn commit(&mut self, commit: &Commit) {
        self.count(commit.conditions.len());
        for condition in &commit.conditions {
            self.item(condition.kind(), condition.item());
            match condition {
                Condition::Version { is, .. } => self.version(is),
                Condition::Check { cel, .. } => self.text(cel.source()),
                Condition::Absent { .. } | Condition::Present { .. } => {}
            }
        }
        self.count(commit.operations.len());
        for operation in &commit.operations {
            self.item(operation.kind(), operation.item());
            match operation {
                Operation::Put { value, ttl, .. } => {
                    self.text(value.content_type().as_str());
                    self.bytes(value.bytes());
                    if let Some(ttl) = ttl {
                        self.text(&ttl.to_string());
                    }
                }
                Operation::MergePatch { patch, .. } => self.bytes(patch.bytes()),
                Operation::Delete { .. } => {}
                Operation::Hold { name, .. } | Operation::Release { name, .. } => self.text(name.as_str()),
                Operation::Increment { path, by, min, max, .. } => {
                    self.text(path.as_str());
                    self.number(Some(*by));
                    self.number(*min);
                    self.number(*max);
                }
            }
        }
    }

    fn version(&mut self, version: &Version) {
        self.0.update(&version.timeline.to_le_bytes());
        self.0.update(&version.sequence.to_le_bytes());
    }

    fn define(&mut self, define: &Define) {
        self.text(define.change.kind());
        self.text(define.name.as_str());
        match &define.change {
            Change::Put(collection) => {
                self.bytes(&serde_json::to_vec(collection).expect("a definition is plain data"));
            }
            Change::Rollback(version) => self.version(version),
            Change::Retire => {}
        }
        match &define.expected {
            Expected::Anything => self.text("anything"),
            Expected::Absent => self.text("absent"),
            Expected::Present => self.text("present"),
            Expected::Version(version) => self.version(version),
            Expected::Impossible => self.text("impossible"),
        }
    }

    fn end(self) -> [u8; 16] {
        self.0.digest128().to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mainstay_base::id::Name;
    use mainstay_base::key::PartitionBy;

    use super::*;
    use crate::content::{ContentType, Value};
    use crate::expression::Expression;
    use crate::json::Json;

    fn item(key: &str) -> ItemName {
        ItemName { collection: Name::from_static("orders"), key: key.parse().unwrap() }
    }

    fn json(text: &'static str) -> Json {
        Json::new(Bytes::from_static(text.as_bytes())).unwrap()
    }

    fn of(key: &str, tenant: &str, caller: &str, partition: &str, commit: Commit) -> Idempotency {
        let partition = PartitionBy::WholeKey.parse(partition).unwrap();
        Idempotency::new(
            &key.parse().unwrap(),
            &tenant.parse().unwrap(),
            &caller.parse().unwrap(),
            &partition,
            &Request::Commit(commit),
        )
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// One of everything that a request can ask.
    fn requests() -> Vec<Commit> {
        let (a, b) = (|| item("u7"), || item("u7/b"));
        let increment = |path: &str, by, min, max| Operation::Increment {
            item: a(),
            path: path.parse().unwrap(),
            by,
            min,
            max,
        };
        let png: ContentType = "image/png".parse().unwrap();
        let operations = [
            Operation::Put { item: a(), value: json("1").into(), ttl: None },
            Operation::Put { item: b(), value: json("1").into(), ttl: None },
            Operation::Put { item: a(), value: json("1 ").into(), ttl: None },
            Operation::Put {
                item: a(),
                value: Value::new(png, Bytes::from_static(b"1")).unwrap(),
                ttl: None,
            },
            Operation::MergePatch { item: a(), patch: json("1") },
            Operation::Delete { item: a() },
            increment("", 0, None, None),
            increment("/a", 0, None, None),
            increment("", 1, None, None),
            increment("", 0, Some(0), None),
            increment("", 0, None, Some(0)),
            Operation::Hold { item: a(), name: Name::from_static("x") },
            Operation::Hold { item: a(), name: Name::from_static("y") },
            Operation::Release { item: a(), name: Name::from_static("x") },
        ];
        let conditions = [
            Condition::Absent { item: a() },
            Condition::Present { item: a() },
            Condition::Version { item: a(), is: Version { timeline: 1, sequence: 2 } },
            Condition::Version { item: a(), is: Version { timeline: 1, sequence: 3 } },
            Condition::Check { item: a(), cel: Expression::parse("exists").unwrap() },
            Condition::Check { item: a(), cel: Expression::parse("!exists").unwrap() },
        ];
        let operations =
            operations.map(|operation| Commit { conditions: vec![], operations: vec![operation] });
        let conditions =
            conditions.map(|condition| Commit { conditions: vec![condition], operations: vec![] });
        [vec![Commit::default()], operations.to_vec(), conditions.to_vec()].concat()
    }

    #[test]
    fn every_difference_between_requests_is_in_the_fingerprint() {
        let prints: Vec<_> = requests()
            .into_iter()
            .map(|commit| *of("k", "default", "anonymous", "u7", commit).fingerprint())
            .collect();
        for (place, print) in prints.iter().enumerate() {
            assert!(!prints[..place].contains(print), "request {place}");
        }
    }

    #[test]
    fn every_part_of_the_scope_counts_and_the_request_does_not() {
        let commit = || requests().remove(1);
        let scope = *of("k", "default", "anonymous", "u7", commit()).scope();
        assert_eq!(scope, *of("k", "default", "anonymous", "u7", Commit::default()).scope());
        for other in [
            of("l", "default", "anonymous", "u7", commit()),
            of("k", "other", "anonymous", "u7", commit()),
            of("k", "default", "someone", "u7", commit()),
            of("k", "default", "anonymous", "u8", commit()),
            of("7k", "default", "anonymous", "u", commit()),
        ] {
            assert_ne!(scope, *other.scope());
        }
    }

    /// Computed with another implementation of XXH3, from the fields as they are documented.
    #[test]
    fn golden_hashes() {
        let of = |commit| of("7e0c", "default", "anonymous", "u7", commit);
        let requests = requests();
        assert_eq!(hex(of(requests[1].clone()).scope()), "3eb0a8ed632332e064f9e2f8a80062ca");
        assert_eq!(hex(of(requests[1].clone()).fingerprint()), "b460aadb3e28aaf80b10798d1e4dbd7e");
        assert_eq!(hex(of(requests[5].clone()).fingerprint()), "155ecc14a1ea63455383eb7cb850f9e4");
        assert_eq!(hex(of(requests[17].clone()).fingerprint()), "81558ad4766361307ce2036bcdb968eb");
    }

    #[test]
    fn keys_are_visible_ascii() {
        for good in ["a", "7e0c8a52-0f4b-4d4e-9d3f-000000000000", &"x".repeat(255)] {
            assert_eq!(good.parse::<IdempotencyKey>().unwrap().as_str(), good);
        }
        for wrong in ["", " ", "a b", "é", "a\n", &"x".repeat(256)] {
            assert!(wrong.parse::<IdempotencyKey>().is_err(), "{wrong:?}");
        }
    }
}
