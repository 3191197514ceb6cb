//! A connection that is another than HTTP by now: both sides speak what they like until both have ended.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mainstay_upstream::Switched;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::line::Line;
use crate::prefixed::{Moved, Prefixed};
use crate::stream::Stream;

/// At a stop, a connection ends that is quiet for so long, and every one after so long: neither side can be told in words that the gateway knows.
const QUIET: Duration = Duration::from_secs(1);
const FAREWELL: Duration = Duration::from_secs(5);

/// Relays what a client and a service say, of which the client has said some already.
pub(super) async fn run(client: Stream, said: Bytes, line: &Line, closing: CancellationToken) {
    let Some(Switched { stream, said: answered, counted: _counted }) = line.take_switched() else { return };
    let mut early = BytesMut::from(said);
    early.extend_from_slice(&line.take_held());
    let client = Prefixed::new(early.freeze(), client);
    relay(client, Prefixed::new(answered, stream), closing).await;
}

async fn relay<C, S>(mut client: Prefixed<C>, mut service: Prefixed<S>, closing: CancellationToken)
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let moved = [client.moved(), service.moved()];
    tokio::select! {
        relayed = copy_bidirectional(&mut client, &mut service) => {
            if let Err(error) = relayed {
                tracing::debug!(target: "mainstay::gateway", %error, "a switched connection ended early");
            }
        }
        () = stopped(closing, || moved.each_ref().map(Moved::count)) => {}
    }
}

/// Ends after a stop, once nothing moves any more by this count or it has waited for long enough.
pub(crate) async fn stopped<C: PartialEq + Copy>(closing: CancellationToken, count: impl Fn() -> C) {
    closing.cancelled().await;
    let (end, mut before) = (Instant::now() + FAREWELL, count());
    while Instant::now() < end {
        sleep(QUIET).await;
        let now = count();
        if std::mem::replace(&mut before, now) == now {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A relay with a client's and a service's end.
    fn relayed(
        closing: &CancellationToken,
    ) -> (DuplexStream, DuplexStream, impl Future<Output = ()> + use<>) {
        let [(client, inner), (service, outer)] = [duplex(64), duplex(64)];
        let relay = relay(
            Prefixed::new(Bytes::from_static(b"early "), inner),
            Prefixed::new(Bytes::from_static(b"welcome "), outer),
            closing.clone(),
        );
        (client, service, relay)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_already_comes_first() {
        let (mut client, mut service, relay) = relayed(&CancellationToken::new());
        let ends = async {
            client.write_all(b"hello").await.expect("it is read");
            client.shutdown().await.expect("it ends");
            let mut said = String::new();
            service.read_to_string(&mut said).await.expect("it ends");
            assert_eq!(said, "early hello");
            drop(service);
            let mut told = String::new();
            client.read_to_string(&mut told).await.expect("it ends");
            assert_eq!(told, "welcome ");
        };
        tokio::join!(relay, ends);
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_stop_a_quiet_one_ends_soon_and_one_that_never_is_in_the_end() {
        for (every, within) in [(None, 1..=2), (Some(Duration::from_millis(300)), 5..=6)] {
            let closing = CancellationToken::new();
            let (client, mut service, relay) = relayed(&closing);
            let speaks = async {
                let Some(every) = every else { return std::future::pending().await };
                while service.write_all(b".").await.is_ok() {
                    sleep(every).await;
                }
            };
            let takes = async { tokio::io::copy(&mut { client }, &mut tokio::io::sink()).await };
            let begun = Instant::now();
            sleep(Duration::from_secs(60)).await;
            closing.cancel();
            tokio::select! {
                () = relay => {}
                () = speaks => {}
                _ = takes => {}
            }
            let taken = begun.elapsed().as_secs() - 60;
            assert!(within.contains(&taken), "{every:?}: {taken}");
        }
    }
}
