//! How large a head may be, and what of it is a matter of taste.

use mainstay_base::units::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How large the heads of HTTP/1 requests may be, and what they may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request's head, from its request line to its empty line: `1KiB` to `1MiB`; more is answered 431. By default 32KiB: as much as four
    /// buffers of nginx, and twice what browsers with many cookies send.
    pub head_size_max: Size,
    /// Bytes of a request line: `256B` to `32KiB`, and no more than a head; more is answered 414. By default 8KiB: RFC 9112 asks for 8,000 at least,
    /// and browsers and proxies in front are made for little more.
    pub request_line_size_max: Size,
    /// Bytes of one header: `256B` to `1MiB`, and no more than a head; more is answered 431. By default 16KiB: Kerberos tickets and large tokens fit.
    pub header_size_max: Size,
    /// How many headers a request may have, from 8 to 1,000; more is answered 431. By default 100: browsers send 20, and what services are made with
    /// often takes no more than 100.
    pub headers_max: u32,
    /// Bytes of the trailers of a body, with the line of the last chunk: `64B` to `16KiB`; more is answered 431. By default 4KiB: a checksum and a signature fit, and
    /// trailers are held until they are complete.
    pub trailers_size_max: Size,
    /// How many trailers a body may have, at most 100; more is answered 431. By default 16: known clients send one or two.
    pub trailers_max: u32,
    /// How many requests of a connection may be ahead of their answers, from 1 to 1,000; what comes after them waits. By default 16: more makes no
    /// client faster.
    pub pipelined_max: u32,
    /// What to do about underscores in names of headers. By default `refuse_colliding`.
    pub underscores: Underscores,
    /// Whether CONNECT is let through. Not by default: it makes the gateway a proxy to anywhere.
    pub connect: bool,
}

/// What to do about underscores in names of headers, which CGI and its heirs read as hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Underscores {
    /// A request is refused when a header with hyphens in their place would be one that others depend on, such as `content_length` or `x_forwarded_for`.
    #[default]
    RefuseColliding,
    /// A request is refused when any header has one.
    Refuse,
    /// They are letters like others.
    Pass,
}

impl Limits {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub fn check(&self) -> Result<(), String> {
        let kib = Size::from_kib;
        let (small, mib) = (Size::from_bytes(256), Size::from_mib(1));
        let head = self.head_size_max;
        let sizes = [
            ("head_size_max", head, kib(1), mib),
            ("request_line_size_max", self.request_line_size_max, small, kib(32)),
            ("header_size_max", self.header_size_max, small, mib),
            ("trailers_size_max", self.trailers_size_max, Size::from_bytes(64), kib(16)),
        ];
        for (name, size, least, most) in sizes {
            if size < least || size > most {
                return Err(format!("has a `{name}` of {size}: make it from {least} to {most}"));
            }
        }
        for (name, size) in
            [("request_line_size_max", self.request_line_size_max), ("header_size_max", self.header_size_max)]
        {
            if size > head {
                return Err(format!(
                    "has a `{name}` of {size}, which no head of {head} has room for: make it smaller, or `head_size_max` larger"
                ));
            }
        }
        let counts = [
            ("headers_max", self.headers_max, 8, 1_000),
            ("trailers_max", self.trailers_max, 0, 100),
            ("pipelined_max", self.pipelined_max, 1, 1_000),
        ];
        for (name, count, least, most) in counts {
            if count < least || count > most {
                return Err(format!("has `{name}` of {count}: make it from {least} to {most}"));
            }
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_size_max: Size::from_kib(32),
            request_line_size_max: Size::from_kib(8),
            header_size_max: Size::from_kib(16),
            headers_max: 100,
            trailers_size_max: Size::from_kib(4),
            trailers_max: 16,
            pipelined_max: 16,
            underscores: Underscores::default(),
            connect: false,
        }
    }
}
