//! A stop while streams over HTTP/2 are half open: their client is told to begin no more, and what has begun ends well.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::process::Signal;

use super::{Echo, config, start};

const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The kind, flags and payload of the next frame of this connection; none at its end.
pub(super) fn next(stream: &mut TcpStream) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((head[3], head[4], payload))
}

/// A head by literals alone (RFC 7541, section 6.2.2).
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("it is short")], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A connection over HTTP/2 on which the body of a request to this path has begun, and its client has the gateway's settings.
pub(super) fn half_open(gateway: SocketAddr, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(gateway).expect("it listens");
    client.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a time");
    let post = block(&[(":method", "POST"), (":scheme", "http"), (":authority", "shop"), (":path", path)]);
    let begun = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, b""),
        frame(HEADERS, END_HEADERS, 1, &post),
        frame(DATA, 0, 1, b"hel"),
    ];
    client.write_all(&begun.concat()).expect("it reads");
    // The settings of the gateway come when it has read the preface, and its acknowledgement with what is behind that.
    while next(&mut client).expect("its settings") != (SETTINGS, ACK, Vec::new()) {}
    client
}

/// Ends the body, and reads to the connection's end. Returns what the answer was, which came to its end.
fn ended(client: &mut TcpStream, acknowledges: bool) -> String {
    client.write_all(&frame(DATA, END_STREAM, 1, b"lo")).expect("it reads");
    let (mut told, mut is_over) = (Vec::new(), false);
    while let Some((kind, flags, payload)) = next(client) {
        match kind {
            // By this the gateway knows that its client has heard of the end.
            PING if flags & ACK == 0 && acknowledges => {
                client.write_all(&frame(PING, ACK, 0, &payload)).expect("it reads");
            }
            DATA => {
                told.extend(payload);
                is_over |= flags & END_STREAM != 0;
            }
            _ => {}
        }
    }
    assert!(is_over, "the answer has no end");
    String::from_utf8_lossy(&told).into_owned()
}

#[test]
fn streams_that_are_half_open_at_a_stop_end_well() {
    let echo = Echo::start();
    let (node, gateway) = start(&config(echo.0, "/{rest...}"));
    let mut clients = [true, false].map(|acknowledges| (half_open(gateway, "/"), acknowledges));
    node.signal(Signal::TERM);
    for (client, _) in &mut clients {
        while next(client).expect("it says that it goes").0 != GOAWAY {}
    }
    for (client, acknowledges) in &mut clients {
        let told = ended(client, *acknowledges);
        assert!(told.starts_with("POST / HTTP/1.1\r\n"), "{told}");
        assert!(told.contains("hel") && told.contains("lo"), "{told}");
    }
    let (status, log, _folder) = node.ended();
    assert_eq!(status.code(), Some(0), "{log}");
}
