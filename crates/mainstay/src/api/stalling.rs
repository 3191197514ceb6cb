//! Connections whose callers take nothing: an answer that cannot be sent for too long ends its connection.
//!
//! Without it a caller that stops reading keeps an answer, and what it is made from, for as long as it likes. Only what waits to
//! be sent counts: a connection without an answer may be silent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A connection that fails when it takes nothing for a while.
pub struct Stalling<S> {
    stream: S,
    timeout: Duration,
    /// Made when it is needed first: most connections take what they are sent.
    alarm: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl<S> Stalling<S> {
    /// The connection, which may take nothing for `timeout`.
    pub fn new(stream: S, timeout: Duration) -> Self {
        Self { stream, timeout, alarm: None, is_waiting: false }
    }

    /// What a write has come to, unless it has waited for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_waiting = false;
            return written;
        }
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        if !std::mem::replace(&mut self.is_waiting, true) {
            alarm.as_mut().reset(Instant::now() + self.timeout);
        }
        std::task::ready!(alarm.as_mut().poll(context));
        let why = format!("the caller has taken nothing for {:?}", self.timeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_let_go_and_who_is_slow_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut ours = Stalling::new(ours, TIMEOUT);
        let slow = async {
            let mut byte = [0];
            for _ in 0..8 {
                sleep(TIMEOUT - Duration::from_secs(1)).await;
                theirs.read_exact(&mut byte).await.expect("a byte");
            }
        };
        let (written, ()) = tokio::join!(ours.write_all(&[7; 12]), slow);
        written.expect("it is taken, slowly");
        let begun = Instant::now();
        let error = ours.write_all(&[7; 12]).await.expect_err("nobody reads");
        assert_eq!((error.kind(), begun.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_not_stalled() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut ours = Stalling::new(ours, TIMEOUT);
        sleep(TIMEOUT * 9).await;
        ours.write_all(&[7; 4]).await.expect("there is room");
        theirs.write_all(&[8]).await.expect("there is room");
        let mut byte = [0];
        ours.read_exact(&mut byte).await.expect("a byte");
        assert_eq!(byte, [8]);
    }
}
