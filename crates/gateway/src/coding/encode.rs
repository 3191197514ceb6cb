//! The encoders behind one face.

use std::io::{self, Write};
use std::mem;

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::write::GzEncoder;
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::background::Work;
use super::config::{Coding, Levels};

/// The largest window is 2 to this: 256 KiB, since every answer that is on its way has one. Larger ones make answers at the default levels 3% smaller at most, and those of br from level 5
/// on an eighth.
const WINDOW_BITS_MAX: u32 = 18;
/// brotli has up to 34 MiB of tables for windows of less than 2 to this, from level 5 on.
const BROTLI_WINDOW_BITS_MIN: u32 = 17;
/// The least that zstd has.
const ZSTD_WINDOW_BITS_MIN: u32 = 10;
const BROTLI_BUFFER_BYTES: usize = 4 << 10;

/// What is done after the bytes of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// More follows at once: what of it comes out may wait.
    More,
    /// All that went in comes out, in a form that is decoded without more.
    Flush,
    /// The coding ends.
    End,
}

/// A body being coded.
pub(super) struct Encoding {
    how: How,
    /// Made by the first piece, in its place: that takes as long as a KiB does.
    encoder: Option<Encoder>,
    /// What the next piece takes in.
    pub(super) input: Vec<Bytes>,
    pub(super) then: Then,
    output: Vec<u8>,
}

/// How an answer is coded.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) coding: Coding,
    pub(super) level: u32,
    /// How many bytes it has, where that is known. A hint.
    pub(super) length: Option<u64>,
}

enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Br(Box<CompressorWriter<Vec<u8>>>),
    Zstd(Box<ZstdEncoder<'static, Vec<u8>>>),
}

impl How {
    pub(super) const fn new(coding: Coding, levels: Levels, length: Option<u64>) -> Self {
        let level = match coding {
            Coding::Gzip => levels.gzip,
            Coding::Br => levels.br,
            Coding::Zstd => levels.zstd,
        };
        Self { coding, level, length }
    }

    /// How many bytes are coded in at most about 100 µs, by the table above the module.
    pub(super) const fn short_bytes_max(self) -> usize {
        match (self.coding, self.level) {
            (Coding::Gzip, 0..=1) | (Coding::Zstd, 0..=2) => 16 << 10,
            (Coding::Zstd, 3) => 8 << 10,
            (Coding::Gzip, 2..=4) | (Coding::Br, 0..=1) => 4 << 10,
            (Coding::Gzip, _) | (Coding::Br, 2..=3) => 2 << 10,
            (Coding::Br, 4..=5) => 1 << 10,
            (Coding::Br | Coding::Zstd, _) => 0,
        }
    }

    fn window_bits(self, least: u32) -> u32 {
        let length = self.length.unwrap_or(u64::MAX).clamp(1, 1 << WINDOW_BITS_MAX);
        length.next_power_of_two().trailing_zeros().max(least)
    }

    fn encoder(self) -> io::Result<Encoder> {
        Ok(match self.coding {
            Coding::Gzip => {
                let encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(self.level));
                Encoder::Gzip(Box::new(encoder))
            }
            Coding::Br => {
                let window = self.window_bits(BROTLI_WINDOW_BITS_MIN);
                let encoder = CompressorWriter::new(Vec::new(), BROTLI_BUFFER_BYTES, self.level, window);
                Encoder::Br(Box::new(encoder))
            }
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), self.level.cast_signed())?;
                encoder.set_parameter(CParameter::WindowLog(self.window_bits(ZSTD_WINDOW_BITS_MIN)))?;
                Encoder::Zstd(Box::new(encoder))
            }
        })
    }
}

impl Encoder {
    fn write(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Br(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }

    /// What has come out so far.
    fn take(&mut self) -> Vec<u8> {
        mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Br(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
    }

    fn end(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Br(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Encoding {
    pub(super) const fn new(how: How) -> Self {
        Self { how, encoder: None, input: Vec::new(), then: Then::More, output: Vec::new() }
    }

    /// What has come out since it was asked last.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let output = mem::take(&mut self.output);
        (!output.is_empty()).then(|| output.into())
    }

    fn try_run(&mut self) -> io::Result<()> {
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => self.how.encoder()?,
        };
        for bytes in self.input.drain(..) {
            encoder.write().write_all(&bytes)?;
        }
        if self.then == Then::End {
            self.output = encoder.end()?;
            return Ok(());
        }
        if self.then == Then::Flush {
            encoder.write().flush()?;
        }
        self.output = encoder.take();
        self.encoder = Some(encoder);
        Ok(())
    }
}

impl Work for Encoding {
    fn run(&mut self) {
        self.try_run().expect("checked levels are taken, and memory takes all that is written");
    }
}
