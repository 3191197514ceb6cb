//! The name that a client asks for by TLS, read without taking part in it.
//!
//! The first message of TLS, the ClientHello, is in the clear, and the name is in it (SNI, RFC 6066, section 3). With Encrypted Client Hello the name is the outer one, which is that of who is to take it apart. What was read
//! is kept as it came, to be passed on. It is read by rustls, which takes part in nothing either: its [`Acceptor`] wants a configuration only after this.

use bytes::{Bytes, BytesMut};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest that is read. Those of today have up to 2 KiB, with keys that withstand quantum computers.
pub(super) const BYTES_MAX: usize = 16 << 10;
/// About as long as they are.
const BYTES: usize = 2 << 10;

/// What a client says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    /// The name that it asks for, in lower case and without a dot at the end.
    pub(super) name: Option<String>,
    /// All that was read.
    pub(super) read: Bytes,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Error {
    #[error("it ended before its first message of TLS did")]
    Ended,
    #[error("its first message of TLS is longer than 16KiB")]
    TooLong,
    #[error("it does not begin with a message of TLS that can be read: {why}")]
    Unreadable { why: rustls::Error, alert: Vec<u8> },
}

impl Error {
    /// What its client is to be told.
    pub(super) fn alert(&self) -> Option<Bytes> {
        match self {
            Self::Ended | Self::TooLong => None,
            Self::Unreadable { alert, .. } => Some(Bytes::copy_from_slice(alert)),
        }
    }
}

/// Reads what a client says first, and not much of what follows it. Not cancel safe: what was read is lost.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Hello, Error> {
    let (mut reader, mut read) = (Reader::default(), BytesMut::with_capacity(BYTES));
    loop {
        let before = read.len();
        let mut some = (&mut *stream).take((BYTES_MAX - before) as u64);
        if some.read_buf(&mut read).await.map_err(|_| Error::Ended)? == 0 {
            return Err(if before == BYTES_MAX { Error::TooLong } else { Error::Ended });
        }
        if let Some(name) = reader.take(&read[before..])? {
            return Ok(Hello { name, read: read.freeze() });
        }
    }
}

/// Finds the name in bytes that come in parts.
#[derive(Default)]
pub(crate) struct Reader(Acceptor);

impl Reader {
    /// Takes the next bytes. Returns the name, or that there is none, once the message is complete. Errors: it is none, or cannot be read.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<Option<Option<String>>, Error> {
        while !bytes.is_empty() {
            // Its buffer is emptied after each piece, so that there is room.
            let taken = self.0.read_tls(&mut bytes).unwrap_or_default();
            assert!(taken > 0, "there is room for some");
            match self.0.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    let name =
                        hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
                    return Ok(Some(name));
                }
                Err((why, mut alert)) => {
                    let mut told = Vec::new();
                    alert.write_all(&mut told).expect("a Vec takes it");
                    return Err(Error::Unreadable { why, alert: told });
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
