//! Mainstay's API, as far as the shop uses it: items, commits and listings, over plain HTTP.
//!
//! There is no SDK behind this, only requests that `curl` can make as well. A request that was not done is sent again while
//! there is time; one whose outcome is not known is the caller's to judge, since only the caller knows whether the state can tell.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::{self, Answer, Call, Client, Deadline, encoded};

/// The first pause between two tries; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state or the request is against it: nothing was changed.
    #[error("refused ({status}, {code}): {detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The problem's code, such as `condition_failed`.
        code: String,
        /// What is wrong.
        detail: String,
        /// The whole problem, with its facts.
        problem: Value,
    },
    /// Nothing was changed, since there was no way to: overloaded, starting, stopping, no space.
    #[error("not possible now: {0}")]
    Unavailable(String),
    /// It may have happened, or may yet.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
    /// What was answered is not what was asked for: a defect, or another program at this address.
    #[error("{0}")]
    Unexpected(String),
}

impl Error {
    /// The place of the condition that a commit failed by.
    #[must_use]
    pub fn condition(&self) -> Option<usize> {
        let Self::Refused { status: StatusCode::PRECONDITION_FAILED, problem, .. } = self else {
            return None;
        };
        usize::try_from(problem["condition"].as_u64()?).ok()
    }

    /// The place of the increment that a commit failed by, since it would have left its bounds.
    #[must_use]
    pub fn operation(&self) -> Option<usize> {
        let Self::Refused { status: StatusCode::PRECONDITION_FAILED, problem, .. } = self else {
            return None;
        };
        usize::try_from(problem["operation"].as_u64()?).ok()
    }

    /// The key of the item that has what a commit would have given to another one, in a unique index.
    #[must_use]
    pub fn held_by(&self) -> Option<&str> {
        let Self::Refused { status: StatusCode::CONFLICT, problem, .. } = self else { return None };
        problem["held_by"].as_str()
    }

    /// This error, or that it is in doubt if an earlier try of the same change has had no answer.
    #[must_use]
    pub fn doubtful(self, was_tried: bool) -> Self {
        if was_tried { self.in_doubt() } else { self }
    }

    /// This error, for a caller whose change may have been done before: that more was not possible does not say that nothing was.
    #[must_use]
    pub fn in_doubt(self) -> Self {
        match self {
            Self::Unavailable(reason) => Self::Unknown(reason),
            known => known,
        }
    }

    fn refused(answer: &Answer) -> Self {
        let problem: Value = answer.json().unwrap_or_default();
        let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
        Self::Refused { status: answer.status, code: text("code"), detail: text("detail"), problem }
    }
}

/// An item as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Item<T> {
    /// Its key.
    pub key: String,
    /// Its version: what `If-Match` and conditions compare.
    pub version: String,
    /// Its document.
    pub value: T,
}

/// Some items, and where to go on.
#[derive(Debug, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<Item<T>>,
    /// The cursor of the next page; none on the last.
    #[serde(default)]
    pub next: Option<String>,
}

/// A node's API. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Mainstay {
    client: Client,
}

impl Mainstay {
    /// The API at `base`, such as `http://127.0.0.1:7070`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self { client: Client::new(base) }
    }

    /// The client below, for streams.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// An item; none if it is not there.
    pub async fn get<T: DeserializeOwned>(
        &self,
        collection: &str,
        key: &str,
        deadline: Deadline,
    ) -> Result<Option<Item<T>>, Error> {
        let found = self.get_at(collection, key, deadline).await?;
        Ok(found.map(|(item, _)| item))
    }

    /// An item with the position at which it was read, from which its changes can be followed; none if it is not there.
    pub async fn get_at<T: DeserializeOwned>(
        &self,
        collection: &str,
        key: &str,
        deadline: Deadline,
    ) -> Result<Option<(Item<T>, String)>, Error> {
        let answer = self.send(Call::new(Method::GET, path_of(collection, key)), deadline).await?;
        match answer.status {
            StatusCode::OK => {}
            // A collection that is missing is 404 as well, and a mistake.
            StatusCode::NOT_FOUND
                if answer.json::<Value>().is_some_and(|problem| problem["key"].is_string()) =>
            {
                return Ok(None);
            }
            _ => return Err(Error::refused(&answer)),
        }
        let header = |name| answer.header(name).unwrap_or_default();
        let version = header("etag").trim_matches('"').to_owned();
        let value = serde_json::from_slice(&answer.body)
            .map_err(|error| Error::Unexpected(format!("the item {collection}/{key}: {error}")))?;
        let item = Item { key: key.to_owned(), version, value };
        Ok(Some((item, header("mainstay-position").to_owned())))
    }

    /// Does all operations under all conditions, or nothing. Refusals tell the failed condition's or operation's place.
    ///
    /// What was surely not done is tried again while there is time. After [`Error::Unknown`] the caller sends the same again only
    /// if its conditions tell whether it happened.
    pub async fn commit(
        &self,
        partition: &str,
        conditions: &[Value],
        operations: &[Value],
        deadline: Deadline,
    ) -> Result<(), Error> {
        let body = json!({"partition": partition, "if": conditions, "do": operations});
        let answer = self.send(Call::new(Method::POST, "/v1/commits").json(&body), deadline).await?;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(Error::refused(&answer)) }
    }

    /// The same for what can happen only once by its conditions: it is sent again until it is known whether it happened, while there
    /// is time. A condition may then fail because a try before was done; reading tells.
    pub async fn commit_until_known(
        &self,
        partition: &str,
        conditions: &[Value],
        operations: &[Value],
        deadline: Deadline,
    ) -> Result<(), Error> {
        let (mut pause, mut in_doubt) = (PAUSE_MIN, false);
        loop {
            let error = match self.commit(partition, conditions, operations, deadline).await {
                Err(error @ Error::Unknown(_)) => error,
                Err(error) if in_doubt => return Err(error.in_doubt()),
                known => return known,
            };
            if deadline.left() <= pause {
                return Err(error);
            }
            in_doubt = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// A page of a collection's items. `query` is that of a listing, already encoded: `prefix=u7/&limit=100`.
    pub async fn page<T: DeserializeOwned>(
        &self,
        collection: &str,
        query: &str,
        deadline: Deadline,
    ) -> Result<Page<T>, Error> {
        let path = format!("/v1/collections/{collection}/items?{query}");
        let answer = self.send(Call::new(Method::GET, path), deadline).await?;
        if answer.status != StatusCode::OK {
            return Err(Error::refused(&answer));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| Error::Unexpected(format!("a page of {collection}: {error}")))
    }

    /// All items that a listing has, page by page.
    pub async fn all<T: DeserializeOwned>(
        &self,
        collection: &str,
        query: &str,
        deadline: Deadline,
    ) -> Result<Vec<Item<T>>, Error> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.page(collection, &format!("limit=1000&{query}{cursor}"), deadline).await?;
            items.extend(page.items);
            let Some(next) = page.next else { return Ok(items) };
            cursor = format!("&cursor={}", encoded(&next));
        }
    }

    /// Sends a request, and again while it was surely not done, or only reads, and there is time.
    async fn send(&self, call: Call, deadline: Deadline) -> Result<Answer, Error> {
        let is_reading = call.is_reading();
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.client.send(call.clone(), deadline).await {
                Ok(answer) => match judged(answer) {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                },
                Err(error @ http::Error::NotSent { .. }) => Error::Unavailable(error.to_string()),
                Err(error @ http::Error::NoAnswer { .. }) => Error::Unknown(error.to_string()),
            };
            let again = matches!(error, Error::Unavailable(_)) || is_reading;
            if !again || deadline.left() <= pause {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// An answer that says something of the state, or what else it is. The table is in Mainstay's page on commits.
fn judged(answer: Answer) -> Result<Answer, Error> {
    match answer.status.as_u16() {
        200..=299 | 400..=499 => Ok(answer),
        503 | 507 => Err(Error::Unavailable(answer.code())),
        504 if answer.code() == "deadline" => Err(Error::Unavailable(answer.code())),
        _ => Err(Error::Unknown(format!("{} {}", answer.status, answer.code()))),
    }
}

/// The path of an item: `/` is literal in keys, what else means something in a path is encoded.
fn path_of(collection: &str, key: &str) -> String {
    let key: Vec<_> = key.split('/').map(encoded).collect();
    format!("/v1/collections/{collection}/items/{}", key.join("/"))
}

/// `{"absent": ...}`: there is no such item.
#[must_use]
pub fn absent(collection: &str, key: &str) -> Value {
    json!({"absent": {"collection": collection, "key": key}})
}

/// `{"present": ...}`: there is such an item.
#[must_use]
pub fn present(collection: &str, key: &str) -> Value {
    json!({"present": {"collection": collection, "key": key}})
}

/// `{"version": ...}`: the item has this version.
#[must_use]
pub fn version(collection: &str, key: &str, is: &str) -> Value {
    json!({"version": {"collection": collection, "key": key, "is": is}})
}

/// `{"check": ...}`: the expression holds for the item.
#[must_use]
pub fn check(collection: &str, key: &str, cel: &str) -> Value {
    json!({"check": {"collection": collection, "key": key, "cel": cel}})
}

/// `{"put": ...}`: sets the item.
#[must_use]
pub fn put(collection: &str, key: &str, value: &impl serde::Serialize) -> Value {
    json!({"put": {"collection": collection, "key": key, "value": value}})
}

/// `{"delete": ...}`: removes the item, if it is there.
#[must_use]
pub fn delete(collection: &str, key: &str) -> Value {
    json!({"delete": {"collection": collection, "key": key}})
}

/// `{"merge_patch": ...}`: changes what the patch names.
#[must_use]
pub fn merge_patch(collection: &str, key: &str, patch: &Value) -> Value {
    json!({"merge_patch": {"collection": collection, "key": key, "patch": patch}})
}

/// `{"increment": ...}`: adds to a whole number that must not fall below zero.
#[must_use]
pub fn increment(collection: &str, key: &str, path: &str, by: i64) -> Value {
    json!({"increment": {"collection": collection, "key": key, "path": path, "by": by, "min": 0}})
}

/// `{"hold": ...}`: keeps the item as it is.
#[must_use]
pub fn hold(collection: &str, key: &str, name: &str) -> Value {
    json!({"hold": {"collection": collection, "key": key, "name": name}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_whether_something_was_done() {
        let judge = |status: u16, code: &str| {
            let body = json!({"code": code}).to_string().into();
            let status = StatusCode::from_u16(status).unwrap();
            judged(Answer { status, headers: axum::http::HeaderMap::new(), body })
        };
        assert!(judge(200, "").is_ok() && judge(412, "condition_failed").is_ok());
        for (status, code) in [(503, "overloaded"), (507, "storage_full"), (504, "deadline")] {
            assert!(matches!(judge(status, code), Err(Error::Unavailable(_))), "{status} {code}");
        }
        for (status, code) in [(504, "outcome_unknown"), (500, "internal"), (502, "")] {
            assert!(matches!(judge(status, code), Err(Error::Unknown(_))), "{status} {code}");
        }
    }

    #[test]
    fn keys_keep_their_slashes_in_paths() {
        assert_eq!(
            path_of("transfers", "eur/transfers/a b"),
            "/v1/collections/transfers/items/eur/transfers/a%20b"
        );
    }
}
