//! Words with a server before it is measured, and what its answers are taken apart with.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::load::Answer;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes `question` to a connection of its own and reads until `answer` finds one. Blocks.
pub(super) fn ask<T>(address: SocketAddr, question: &[u8], answer: impl Fn(&[u8]) -> Option<T>) -> Result<T> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).context("connect")?;
    stream.set_read_timeout(Some(TIMEOUT)).context("limit the wait for an answer")?;
    stream.write_all(question).context("ask")?;
    let mut input = Vec::new();
    loop {
        if let Some(answer) = answer(&input) {
            return Ok(answer);
        }
        let mut part = [0; 4096];
        let bytes = stream.read(&mut part).context("read the answer")?;
        ensure!(bytes > 0, "closed after {:?}", String::from_utf8_lossy(&input));
        input.extend_from_slice(&part[..bytes]);
    }
}

/// The first line without its end, and what follows.
pub(super) fn line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&input[..end], &input[end + 2..]))
}

/// A decimal number.
pub(super) fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// An answer without a value.
pub(super) const fn bare(status: u16) -> Answer {
    Answer { status, body_bytes: 0 }
}
