//! The connection of a client, with TLS or without.

use std::io;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The connection of a client, with TLS or without.
pub(crate) type Stream = mainstay_upstream::Stream<TlsStream<TcpStream>>;

/// The socket below.
pub(crate) fn socket(stream: &Stream) -> &TcpStream {
    match stream {
        Stream::Plain(stream) => stream,
        Stream::Tls(stream) => stream.get_ref().0,
    }
}

/// The name that the client has asked for by TLS, if that is ended here.
pub(crate) fn server_name(stream: &Stream) -> Option<&str> {
    match stream {
        Stream::Plain(_) => None,
        Stream::Tls(stream) => stream.get_ref().1.server_name(),
    }
}

/// Waits until something has come, or the connection's end.
pub(crate) async fn readable(stream: &mut Stream) -> io::Result<()> {
    match stream {
        Stream::Plain(stream) => stream.readable().await,
        Stream::Tls(stream) => {
            let (socket, session) = stream.get_mut();
            // What came with the end of the handshake, or behind another record, has left the socket already.
            let state = session.process_new_packets().map_err(io::Error::other)?;
            if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                return Ok(());
            }
            socket.readable().await
        }
    }
}
