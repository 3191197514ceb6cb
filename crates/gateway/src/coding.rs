//! Content codings of bodies, and how long bodies may be.
//!
//! Three bodies around a body: [`Compressed`] is what a client is sent, coded as it accepts it ([`Negotiated`]); [`Decoded`] is what a client has sent, with its coding undone;
//! [`Bounded`] ends with an error when it gets longer than it may. Each passes trailers on and holds at most one piece of work.
//!
//! What keeps a worker's thread free: a piece that takes about 100 µs at most is coded where it is, a longer one goes to the [`Background`], where so many run at a time and a
//! body has one at most; it asks for no more of its inner body meanwhile. A piece is at most 64 KiB of what goes in and, when decoded, of what comes out, whatever a client
//! sends.
//!
//! Where a piece is coded was measured in µs for one piece with a new encoder, medians of 41, on one core of the target machine while others used it; for JSON of orders and
//! for English prose, which is slower. The windows are 256 KiB.
//!
//! | | 1 KiB | 4 KiB | 16 KiB | 64 KiB | ratio of 1 MiB | memory |
//! |---|---|---|---|---|---|---|
//! | zstd 1 | 26 to 28 | 35 to 39 | 59 to 78 | 156 to 247 | 4.9, 3.1 | 1.3 MiB |
//! | zstd 3 | 42 to 46 | 52 to 63 | 89 to 126 | 221 to 393 | 4.8, 3.4 | 1.8 MiB |
//! | zstd 6 | 128 to 231 | 169 to 174 | 356 to 373 | 1,029 to 1,054 | 5.2, 3.7 | 3.5 MiB |
//! | br 1 | 19 to 24 | 38 to 62 | 111 to 188 | 388 to 611 | 3.7, 2.5 | 0.7 MiB |
//! | br 4 | 53 to 69 | 101 to 159 | 248 to 424 | 861 to 1,460 | 4.7, 3.5 | 3.6 MiB |
//! | br 6 | 112 to 169 | 196 to 362 | 512 to 844 | 1,822 to 2,597 | 4.5, 3.8 | 5 MiB |
//! | gzip 1 | 14 to 16 | 23 to 33 | 56 to 89 | 208 to 319 | 3.1, 2.2 | 0.3 MiB |
//! | gzip 4 | 28 to 31 | 49 to 72 | 137 to 208 | 544 to 875 | 4.9, 3.3 | 0.3 MiB |
//! | gzip 6 | 28 to 42 | 52 to 102 | 157 to 334 | 803 to 1,136 | 5.1, 3.3 | 0.3 MiB |
//!
//! 16 KiB are decoded in 26 (gzip), 57 (br) and 56 µs (zstd), 64 KiB in 105, 157 and 80.
//!
//! It knows headers and bodies of HTTP, and neither routes nor services.

use std::task::Poll;

use bytes::Bytes;
use http_body::Frame;

mod accept;
mod answer;
mod background;
mod bounded;
mod compressed;
mod config;
mod decode;
mod decoded;
mod digest;
mod encode;
mod error;
mod media;

pub use accept::Negotiated;
pub use answer::compress;
pub use background::Background;
pub use bounded::{Bounded, bound};
pub use compressed::Compressed;
pub use config::{BodyLimit, Coding, Compression, Decompression, Levels};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use decode::pieces;
pub use decoded::{Decoded, decode};
pub use error::{Error, Refusal};
pub use media::{MediaError, MediaRange};

/// What polling a body comes to.
type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

/// The most bytes of a body that are worked on in one piece, and that one piece of a decoded body has.
pub const PIECE_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests;
