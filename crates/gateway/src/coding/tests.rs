//! What is compressed, decoded and refused.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::Read;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use mainstay_base::error::Classify as _;
use mainstay_base::units::Size;
use proptest::prelude::*;

use super::encode::How;
use super::*;

mod acceptance;
mod answers;
mod bodies;
mod bombs;
mod configuration;
mod decoding;
mod encoding;
mod guide;
mod work;

/// A body that comes as it is told, and then ends.
#[derive(Default)]
struct Script {
    steps: VecDeque<Step>,
    length: Option<u64>,
    /// How many bytes were asked for.
    given: u64,
}

#[derive(Clone)]
enum Step {
    Data(Bytes),
    /// Nothing is ready, once.
    Pause,
    Trailers(HeaderMap),
    Error,
}

/// The error of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it broke")]
struct Broke;

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }

    /// In frames of so many bytes.
    fn cut(bytes: &[u8], size: usize) -> Self {
        Self::new(bytes.chunks(size).map(|part| Step::Data(Bytes::copy_from_slice(part))))
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Broke;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<Broke> {
        Poll::Ready(match self.steps.pop_front() {
            None => None,
            Some(Step::Data(bytes)) => {
                self.given += bytes.len() as u64;
                Some(Ok(Frame::data(bytes)))
            }
            Some(Step::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Step::Error) => Some(Err(Broke)),
            Some(Step::Pause) => {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What a body came to.
#[derive(Debug, Default)]
struct Outcome<E> {
    bytes: Vec<u8>,
    largest: usize,
    trailers: Option<HeaderMap>,
    error: Option<E>,
}

/// All of a body, which ends once and stays so.
async fn all<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Outcome<B::Error> {
    let mut outcome = Outcome { bytes: Vec::new(), largest: 0, trailers: None, error: None };
    while let Some(frame) = next(body).await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => {
                assert!(outcome.trailers.is_none() && outcome.error.is_none(), "the end is the end");
                assert!(!data.is_empty(), "a frame has something in it");
                outcome.largest = outcome.largest.max(data.len());
                outcome.bytes.extend_from_slice(&data);
            }
            Ok(Err(frame)) => outcome.trailers = frame.into_trailers().ok(),
            Err(error) => outcome.error = Some(error),
        }
    }
    assert!(next(body).await.is_none());
    outcome
}

async fn next<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Option<Result<Frame<Bytes>, B::Error>> {
    poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn background() -> Background {
    Background::new(NonZeroUsize::new(2).unwrap())
}

fn coded(body: Script, coding: Coding, level: u32) -> Compressed<Script> {
    let length = body.length;
    Compressed::coded(body, How { coding, level, length }, &background())
}

/// By the decoders of the crates, whole: the other direction of what is tested.
fn undo(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match coding {
        Coding::Gzip => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut text).unwrap(),
        Coding::Br => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut text).unwrap(),
        Coding::Zstd => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut text).unwrap(),
    };
    text
}

/// What can be decoded of a body that has not ended.
fn undo_part(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    let mut reader: Box<dyn Read> = match coding {
        Coding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
        Coding::Br => Box::new(brotli::Decompressor::new(bytes, 4096)),
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
    };
    while let Ok(read @ 1..) = reader.read(&mut part) {
        text.extend_from_slice(&part[..read]);
    }
    text
}

/// Coded whole, by the encoders of the crates.
fn code(coding: Coding, text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    match coding {
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Br => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
            encoder.write_all(text).unwrap();
            encoder.into_inner()
        }
        Coding::Zstd => zstd::stream::encode_all(text, 3).unwrap(),
    }
}

/// Every level of every coding.
fn levels() -> Vec<(Coding, u32)> {
    let of = |coding, levels: std::ops::RangeInclusive<u32>| levels.map(move |level| (coding, level));
    of(Coding::Gzip, 1..=9).chain(of(Coding::Br, 0..=7)).chain(of(Coding::Zstd, 1..=9)).collect()
}

/// Texts that compress, and bytes that do not.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let words =
        prop::collection::vec(prop::sample::select(vec!["order ", "{\"id\":", "17,", "\n", "é"]), 0..3000);
    prop_oneof![
        words.prop_map(|words| words.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..2000),
        (0..300_000_usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ]
}

/// Bytes that nothing makes smaller: the high ones of Marsaglia's xorshift.
fn noise(bytes: usize) -> Vec<u8> {
    let next = |state: &u32| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 17);
        Some(state ^ (state << 5))
    };
    std::iter::successors(Some(1_u32), next).take(bytes).map(|state| (state >> 24) as u8).collect()
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}
