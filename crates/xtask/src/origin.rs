//! A service that answers each request with the same bytes, whatever it asks: what proxies are measured in front of.
//!
//! It is a thread of this process, so that what it takes counts as the load's. It parses nothing: it looks for the ends of heads, and takes requests to have no bodies.
//! So it takes a fraction of what any proxy does, and is not what limits one.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};

/// How long a body is.
pub(crate) const BODY_BYTES: usize = 1024;

/// What ends a head.
const END: &[u8] = b"\r\n\r\n";

/// The most that is read at once: more than any head that proxies send.
const READ_BYTES: usize = 16_384;

/// A service that runs until this is dropped.
pub(crate) struct Origin {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Starts one on a free port of the loopback address. Errors: the system has no port or no thread.
    pub(crate) fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
        listener.set_nonblocking(true).context("listen")?;
        let address = listener.local_addr().context("listen")?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.context("start a runtime for the origin")?;
        let run = move || {
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    () = serve(listener) => {}
                    // Also when what would stop it is gone.
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("origin".to_owned()).spawn(run);
        Ok(Self { address, stop: Some(stop), thread: Some(thread.context("start the origin")?) })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic was already printed by the thread.
            drop(thread.join());
        }
    }
}

/// Serves until it is dropped; ends by itself only if nothing can be accepted any more.
async fn serve(listener: std::net::TcpListener) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let answer: std::rc::Rc<[u8]> = answer().into();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let answer = std::rc::Rc::clone(&answer);
        connections.spawn_local(async move {
            // Whoever asked sees for himself that it broke.
            drop(converse(stream, &answer).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = vec![0; READ_BYTES];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut input[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let (requests, taken) = heads(&input[..filled]);
        input.copy_within(taken..filled, 0);
        filled -= taken;
        for _ in 0..requests {
            stream.write_all(answer).await?;
        }
    }
}

/// How many whole heads there are, and how many bytes they have.
fn heads(mut input: &[u8]) -> (usize, usize) {
    let (mut heads, mut taken) = (0, 0);
    while let Some(at) = input.windows(END.len()).position(|bytes| bytes == END) {
        let bytes = at + END.len();
        heads += 1;
        taken += bytes;
        input = &input[bytes..];
    }
    (heads, taken)
}

fn answer() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    );
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + BODY_BYTES, b'x');
    answer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay_lab::fetch;

    use super::*;

    #[test]
    fn whole_heads_are_counted_and_the_rest_stays() {
        assert_eq!(heads(b""), (0, 0));
        assert_eq!(heads(b"GET / HTTP/1.1\r\nHost: a\r\n"), (0, 0));
        assert_eq!(heads(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET"), (2, 36));
    }

    #[test]
    fn it_answers_until_it_is_dropped() {
        let origin = Origin::start().unwrap();
        let address = origin.address();
        let ask = || fetch::get(address, "/any", Duration::from_secs(10));
        let got = ask().unwrap();
        assert_eq!((got.status, got.body.len()), (200, BODY_BYTES));
        drop(origin);
        assert!(ask().is_err());
    }
}
