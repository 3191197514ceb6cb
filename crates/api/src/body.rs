//! Request bodies: within the limits of size and time, and JSON that says where it is wrong.

use std::fmt::Write;
use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_base::units::{Duration, Size};

/// How large a body may be, and how long it may take to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, which the configuration knows as `api.body_max`.
    pub size_max: Size,
    /// How long a body may take to arrive, which the configuration knows as `api.body_timeout`.
    pub timeout: Duration,
}

/// A body came for which there is no room beside those of other requests. Whoever gives out the room yields it as the body's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("request bodies take all of {limit}, which they may take together")]
pub struct NoRoom {
    /// What all bodies may take, which the configuration knows as `api.bodies_max`.
    pub limit: Size,
}

/// Reads a whole body. `left` is the time until the request's deadline, if that is sooner than the limit.
///
/// Errors: [`Code::TooLarge`], [`Code::RequestTimeout`], [`Code::Deadline`], [`Code::Overloaded`] for [`NoRoom`],
/// [`Code::Malformed`] when it breaks off.
pub async fn read(body: Body, limits: &Limits, left: Option<Duration>) -> Result<Bytes, Problem> {
    let Limits { size_max, timeout } = *limits;
    let bytes_max = usize::try_from(size_max.bytes()).unwrap_or(usize::MAX);
    let whole = Limited::new(body, bytes_max).collect();
    let patience = left.map_or(timeout, |left| left.min(timeout));
    let Ok(whole) = tokio::time::timeout(patience.as_std(), whole).await else {
        return Err(if patience < timeout {
            let detail = "the deadline passed before the body had arrived: allow the request more time";
            Problem::new(Code::Deadline, detail).retry_with(mainstay_base::error::Retry::Safe)
        } else {
            let detail = format!("the body did not arrive within {timeout}, the limit `api.body_timeout`");
            Problem::new(Code::RequestTimeout, detail)
        });
    };
    match whole {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(size_max)),
        Err(error) => Err(match no_room(&*error) {
            Some(NoRoom { limit }) => {
                let detail = format!(
                    "request bodies take all of {limit}, the limit `api.bodies_max`: send it again later"
                );
                Problem::new(Code::Overloaded, detail).fact("limit_bytes", limit.bytes())
            }
            None => Problem::new(Code::Malformed, format!("the body broke off: {error}")),
        }),
    }
}

fn no_room<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e NoRoom> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.find_map(|error| error.downcast_ref())
}

/// The problem of a body over the limit.
pub fn too_large(limit: Size) -> Problem {
    let detail = format!("the body is over {limit}, the limit `api.body_max`; send less or raise the limit");
    Problem::new(Code::TooLarge, detail).fact("limit_bytes", limit.bytes())
}

/// Reads a JSON object as a `T`. Texts within `T` may borrow from the bytes.
///
/// Errors: [`Code::Malformed`] when it is not JSON, with line and column; [`Code::Invalid`] when it is not a `T`, with the
/// JSON Pointer of the first member that does not fit as well.
pub fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    // Places are only kept track of when there is something wrong.
    serde_json::from_slice::<Object<T>>(bytes).map(|Object(body)| body).or_else(|_| explain(bytes))
}

/// Reads members of JSON as a `T`. Errors: [`Code::Invalid`] with the JSON Pointer of the first member that does not fit.
pub fn of_members<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Value::Object(members)).map_err(|error| {
        let pointer = pointer(error.path());
        let shown = if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") };
        let detail = format!("the body does not fit{shown}: {}", error.into_inner());
        Problem::new(Code::Invalid, detail).fact("pointer", pointer)
    })
}

#[cold]
fn explain<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let (error, at) = match serde_path_to_error::deserialize::<_, Object<T>>(&mut from) {
        Ok(Object(body)) => match from.end() {
            Ok(()) => return Ok(body),
            Err(error) => (error, None),
        },
        Err(error) => {
            let at = pointer(error.path());
            (error.into_inner(), Some(at))
        }
    };
    let is_data = error.is_data();
    let code = if is_data { Code::Invalid } else { Code::Malformed };
    let place = at.filter(|_| is_data);
    let what = if is_data { "does not fit" } else { "is not JSON" };
    let why = error.to_string();
    let (why, shown) = match place.as_deref() {
        None => (&*why, String::new()),
        Some(place) => {
            let line_and_column = format!(" at line {} column {}", error.line(), error.column());
            let shown = if place.is_empty() { String::new() } else { format!(" at `{place}`") };
            (why.strip_suffix(&*line_and_column).unwrap_or(&why), shown)
        }
    };
    let detail = format!("the body {what}{shown}: {why}");
    let problem = Problem::new(code, detail).fact("line", error.line()).fact("column", error.column());
    Err(match place {
        Some(place) => problem.fact("pointer", place),
        None => problem,
    })
}

/// A JSON Pointer (RFC 6901) as far as the path is known.
fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |mut pointer, segment| {
        match segment {
            Segment::Seq { index } => write!(pointer, "/{index}").expect("writing to a string does not fail"),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
        pointer
    })
}

/// A `T` that is written as a JSON object and in no other way: serde would take a list of its members' values as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Gives a wrapper the schema of what it wraps, name and all. (A derived one would be a schema of its own, for the wrapper's
/// documentation.)
macro_rules! same_schema {
    ($wrapper:ident) => {
        impl<T: schemars::JsonSchema> schemars::JsonSchema for $wrapper<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                T::schema_name()
            }

            fn schema_id() -> std::borrow::Cow<'static, str> {
                T::schema_id()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                T::json_schema(generator)
            }
        }
    };
}
pub(crate) use same_schema;

same_schema!(Object);
