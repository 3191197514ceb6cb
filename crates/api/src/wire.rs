//! What goes over the wire as JSON, apart from the commands that it becomes and the outcomes that it comes from.
//!
//! Names of members and kinds are promises to callers. Values stay the bytes that they were sent or stored as.

mod commit;
mod definition;
mod event;
mod kind;
mod page;
mod purge;
mod usage;

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::Serializer;

pub use commit::{CommitAnswer, CommitBody};
pub use definition::{CollectionBody, CollectionsBody, HistoryBody, RehearsalBody, RollbackBody, SampleBody};
pub use event::{EventBody, EventsBody};
pub use page::{ExplainBody, ItemBody, PageBody};
pub use purge::{PurgeBody, PurgingBody, StockBody};
pub use usage::UsageBody;

/// Reads what is written as a text.
fn parsed<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let Text(text) = Text::deserialize(from)?;
    text.parse().map_err(D::Error::custom)
}

/// Reads an optional member that, when it is there, is written as a text.
fn parsed_if_there<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    parsed(from).map(Some)
}

/// Writes as a text.
fn text<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// A text that is borrowed unless it has escapes.
#[derive(Debug, serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
