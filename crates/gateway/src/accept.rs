//! Connections as the system hands them over.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Pause after an accept that failed for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// Hands over connections until it is told to close, those included that wait in the kernel's queue by then: closing a listener resets them.
pub async fn accept(
    listener: TcpListener,
    closing: CancellationToken,
    mut admit: impl FnMut(TcpStream, SocketAddr),
) {
    let mut is_failing = false;
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                is_failing = false;
                prepare(&stream);
                admit(stream, peer);
            }
            Err(error) if is_of_connection(&error) => {
                tracing::debug!(target: "mainstay::accept", %error, "connection lost before it was accepted");
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    let address = listener.local_addr().ok();
                    tracing::warn!(target: "mainstay::accept", ?address, %error, "cannot accept connections, trying on");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    while let Some(Ok((stream, peer))) = waiting(&listener).await {
        prepare(&stream);
        admit(stream, peer);
    }
}

fn prepare(stream: &TcpStream) {
    // An error leaves Nagle's delay on, which is slower and not wrong.
    let _ = stream.set_nodelay(true);
}

/// The next connection in the queue; none when it is empty.
async fn waiting(listener: &TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    poll_fn(|context| match listener.poll_accept(context) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Errors of `accept` that concern the one connection, by `accept(2)`.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}
