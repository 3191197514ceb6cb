//! The decoders behind one face, with bounds on what comes out.

use std::mem;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::zstd_safe::{self, DCtx, InBuffer, OutBuffer, zstd_sys::ZSTD_ErrorCode};

use super::PIECE_BYTES_MAX;
use super::background::Work;
use super::config::{Coding, Decompression};
use super::error::Refusal;

/// A body may become so long whatever its ratio is: a few repeated lines have a high one and hurt nobody.
const RATIO_FREE_BYTES: u64 = 64 << 10;
/// What of a piece is set aside for what comes out is at least this.
const OUTPUT_BYTES_MIN: usize = 1 << 10;
/// How many times as much is set aside as goes in, until that was too little: documents come to little more.
const OUTPUT_RATIO: usize = 8;
/// The largest windows: of gzip 32 KiB, by its format; of zstd 8 MiB (RFC 9659); of brotli 16 MiB, as RFC 7932 has it.
const GZIP_WINDOW_BITS: u8 = 15;
const ZSTD_WINDOW_BITS: u32 = 23;

/// A body being decoded.
pub(super) struct Decoding {
    coding: Coding,
    limits: Decompression,
    /// Made by the first piece.
    decoder: Option<Decoder>,
    /// What has not gone in yet.
    pub(super) input: Bytes,
    /// The most that the next piece brings out.
    pub(super) room: usize,
    output: Vec<u8>,
    refused: Option<Refusal>,
    taken_bytes: u64,
    given_bytes: u64,
    place: Place,
    /// All that can come out of what went in has.
    is_drained: bool,
}

/// Where in a body a decoder is. Members follow each other in gzip (RFC 1952, section 2.2), frames in zstd (RFC 8878, section 3.1); brotli has one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    /// In one; `given_bytes` when it began, if others were before it.
    Within {
        after: Option<u64>,
    },
    /// At the end of one.
    Between,
}

enum Decoder {
    Gzip(Decompress),
    Br(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(DCtx<'static>),
}

/// What a step came to.
struct Step {
    read: usize,
    is_end: bool,
}

/// Why there is no more.
enum Fault {
    Corrupt,
    Window,
}

impl Decoder {
    fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(Decompress::new_gzip(GZIP_WINDOW_BITS)),
            Coding::Br => {
                let alloc = StandardAlloc::default;
                // Strict: without windows of a GiB, which are no part of the coding.
                Self::Br(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())))
            }
            Coding::Zstd => {
                let mut context = DCtx::create();
                let window = zstd_safe::DParameter::WindowLogMax(ZSTD_WINDOW_BITS);
                context.set_parameter(window).expect("it is a window that every build of zstd takes");
                Self::Zstd(context)
            }
        }
    }

    /// Takes in what it can and fills what `output` has room for.
    fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<Step, Fault> {
        match self {
            Self::Gzip(decoder) => {
                let before = decoder.total_in();
                let status = decoder
                    .decompress_vec(input, output, FlushDecompress::None)
                    .map_err(|_| Fault::Corrupt)?;
                let read = usize::try_from(decoder.total_in() - before).expect("it is within the input");
                Ok(Step { read, is_end: status == Status::StreamEnd })
            }
            Self::Br(state) => {
                let mut given = output.len();
                output.resize(output.capacity(), 0);
                let (mut left, mut read, mut room) = (input.len(), 0, output.len() - given);
                let result = BrotliDecompressStream(
                    &mut left, &mut read, input, &mut room, &mut given, output, &mut 0, state,
                );
                output.truncate(given);
                match result {
                    BrotliResult::ResultFailure => Err(Fault::Corrupt),
                    result => Ok(Step { read, is_end: matches!(result, BrotliResult::ResultSuccess) }),
                }
            }
            Self::Zstd(context) => {
                let given = output.len();
                let mut from = InBuffer::around(input);
                let hint = context
                    .decompress_stream(&mut OutBuffer::around_pos(output, given), &mut from)
                    .map_err(|code| {
                        let window = ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge;
                        if zstd_safe::is_error_kind(code, window) { Fault::Window } else { Fault::Corrupt }
                    })?;
                Ok(Step { read: from.pos(), is_end: hint == 0 })
            }
        }
    }
}

impl Decoding {
    pub(super) const fn new(coding: Coding, limits: Decompression) -> Self {
        Self {
            coding,
            limits,
            decoder: None,
            input: Bytes::new(),
            room: PIECE_BYTES_MAX,
            output: Vec::new(),
            refused: None,
            taken_bytes: 0,
            given_bytes: 0,
            place: Place::Before,
            is_drained: true,
        }
    }

    /// What has come out since it was asked last.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let output = mem::take(&mut self.output);
        (!output.is_empty()).then(|| output.into())
    }

    /// Why no more comes out, once.
    pub(super) const fn refused(&mut self) -> Option<Refusal> {
        self.refused.take()
    }

    /// Whether nothing is left to do before more goes in.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_drained && self.input.is_empty()
    }

    /// Whether the body may end here: at the end of what is coded, or without a byte.
    pub(super) fn end(&self) -> Result<(), Refusal> {
        match self.place {
            Place::Before | Place::Between => Ok(()),
            Place::Within { .. } => Err(Refusal::Truncated { coding: self.coding }),
        }
    }

    /// A piece: until the output is full, or a piece of input has gone in.
    fn try_run(&mut self) -> Result<(), Refusal> {
        let mut left = self.input.len().min(PIECE_BYTES_MAX);
        let wanted = if self.is_drained { left * OUTPUT_RATIO } else { self.room };
        self.output = Vec::with_capacity(wanted.clamp(OUTPUT_BYTES_MIN, self.room));
        while !(self.is_drained && left == 0) && self.output.len() < self.output.capacity() {
            let mut decoder = self.enter()?;
            let before = self.output.len();
            let step = decoder.step(&self.input[..left], &mut self.output).map_err(|it| self.fault(&it))?;
            self.input.advance(step.read);
            left -= step.read;
            self.taken_bytes += step.read as u64;
            self.given_bytes += (self.output.len() - before) as u64;
            self.is_drained = step.is_end || self.output.len() < self.output.capacity();
            if step.is_end {
                self.place = Place::Between;
            }
            self.decoder = Some(decoder);
            self.check()?;
        }
        Ok(())
    }

    /// The decoder for what comes next: the one that there is, or another for what follows the end of a member.
    fn enter(&mut self) -> Result<Decoder, Refusal> {
        let decoder = self.decoder.take();
        let after = match self.place {
            Place::Within { .. } => return Ok(decoder.unwrap_or_else(|| Decoder::new(self.coding))),
            Place::Before => None,
            Place::Between if self.coding == Coding::Br => {
                return Err(Refusal::Trailing { coding: self.coding });
            }
            Place::Between => Some(self.given_bytes),
        };
        self.place = Place::Within { after };
        Ok(match decoder {
            // It goes on to the next frame by itself, in the memory that it has.
            Some(Decoder::Zstd(context)) => Decoder::Zstd(context),
            _ => Decoder::new(self.coding),
        })
    }

    fn fault(&self, fault: &Fault) -> Refusal {
        let coding = self.coding;
        match (fault, self.place) {
            (Fault::Window, _) => Refusal::Window,
            (Fault::Corrupt, Place::Within { after: Some(given) }) if given == self.given_bytes => {
                Refusal::Trailing { coding }
            }
            (Fault::Corrupt, _) => Refusal::Corrupt { coding },
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        let ratio = self.limits.ratio_max.get();
        if self.given_bytes > self.limits.max.bytes() {
            return Err(Refusal::Expanded { max: self.limits.max });
        }
        if self.given_bytes > RATIO_FREE_BYTES
            && self.given_bytes > self.taken_bytes.saturating_mul(ratio.into())
        {
            return Err(Refusal::Ratio { max: ratio });
        }
        Ok(())
    }
}

/// A body that comes in parts, decoded in pieces of at most so much: what came out, the largest piece, and how it ended.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn pieces<'a>(
    (coding, limits, room): (Coding, Decompression, usize),
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, usize, Result<(), Refusal>) {
    let mut decoding = Decoding::new(coding, limits);
    let (mut text, mut largest) = (Vec::new(), 0);
    for part in parts {
        decoding.input = Bytes::copy_from_slice(part);
        while !decoding.is_waiting() {
            decoding.room = room;
            decoding.run();
            let piece = decoding.take().unwrap_or_default();
            largest = largest.max(piece.len());
            text.extend_from_slice(&piece);
            if let Some(refusal) = decoding.refused() {
                return (text, largest, Err(refusal));
            }
        }
    }
    let end = decoding.end();
    (text, largest, end)
}

impl Work for Decoding {
    fn run(&mut self) {
        if let Err(refusal) = self.try_run() {
            self.refused = Some(refusal);
            self.output = Vec::new();
            self.input = Bytes::new();
            self.decoder = None;
        }
    }
}
