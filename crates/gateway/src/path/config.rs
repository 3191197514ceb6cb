//! What is done with paths that two parsers may read differently.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done with paths that two parsers may read differently. By default they are refused: a service that reads a path otherwise than the gateway did
/// answers a request that was matched, limited and authorized as another one.
///
/// Not to be chosen, and always refused: a NUL, a line feed or a carriage return in any form; a `#`; UTF-8 that is longer than it need be (`%C0%AF` for `/`); a `.` or
/// `..` with something behind it that some parsers cut off or take for a slash (`..;x`, `..%5C`); and what leads above the root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Segments of no text, as in `/a//b`. By default `merge`: most services do, and with `keep` a route for `/admin` would not be that of `//admin`, which they serve as
    /// the same. `keep` is for services whose keys have empty segments.
    pub empty_segments: EmptySegments,
    /// `%2F`. By default `refuse`: many services decode it before they look for slashes. With `pass` it is part of its segment, and sent on as `%2F`.
    pub encoded_slash: Handling,
    /// `\` and `%5C`. By default `refuse`: some services take it for a slash. With `pass` it is part of its segment, and sent on as `%5C`.
    pub backslash: Handling,
    /// Segments that are `.` or `..` when they are decoded, and were not before, such as `%2e%2e`. By default `refuse`: nobody writes them but to get past
    /// a filter. With `pass` they are what `.` and `..` are, and not sent on. A dot elsewhere, as in `a%2Eb`, is always decoded.
    pub encoded_dots: Handling,
    /// Control characters (Unicode category Cc), encoded or not. By default `refuse`: they end up in logs, and some parsers drop them. With `pass` they are
    /// sent on encoded.
    pub control: Handling,
    /// A `%` without two hexadecimal digits. By default `refuse`: parsers skip it, keep it or fail. With `pass` it is sent on as `%25`, which is what
    /// those that keep it understand.
    pub invalid_encoding: Handling,
    /// Bytes that are not UTF-8 when they are decoded, such as `%FF`. By default `refuse`: parsers replace them or fail. `pass`, which sends them on as they are, is for services
    /// whose paths are in another encoding.
    pub invalid_utf8: Handling,
}

/// What is done with something in a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Handling {
    /// The request is answered 400.
    #[default]
    Refuse,
    /// The request goes on, with the one form of it that is documented.
    Pass,
}

/// What is done with segments of no text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmptySegments {
    /// Slashes that follow each other are one.
    #[default]
    Merge,
    /// They stay.
    Keep,
}

impl Config {
    /// Refuses nothing that can be chosen, and keeps empty segments.
    pub const PERMISSIVE: Self = Self {
        empty_segments: EmptySegments::Keep,
        encoded_slash: Handling::Pass,
        backslash: Handling::Pass,
        encoded_dots: Handling::Pass,
        control: Handling::Pass,
        invalid_encoding: Handling::Pass,
        invalid_utf8: Handling::Pass,
    };
}
