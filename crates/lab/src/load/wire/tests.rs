//! A protocol of lines against a server that says what it is told to.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::JoinHandle;

use super::*;

/// `hello` opens a connection and is answered; `?` asks for `!`; `#` begins a remark; everything else answers.
struct Lines(SocketAddr);

impl Protocol for Lines {
    type Memory = u8;

    fn address(&self) -> SocketAddr {
        self.0
    }

    fn memory(&self) -> u8 {
        b'0'
    }

    fn open(&self, _: &[u8], out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(b"hello\n");
        1
    }

    fn request(&self, number: &mut u8, out: &mut Vec<u8>) {
        *number += 1;
        out.extend_from_slice(&[*number, b'\n']);
    }

    fn read(&self, _: &mut u8, input: &[u8]) -> Read {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Read::Part };
        match input[0] {
            b'#' => Read::Other(end + 1),
            b'?' => Read::Asked(end + 1, b"!\n"),
            b'x' => Read::Malformed,
            _ => Read::Answer(end + 1, Answer { status: 200, body_bytes: end as u64 }),
        }
    }
}

/// Serves one connection: expects each left side and writes the right one, then closes.
fn serve(script: &'static [(&str, &str)]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        for (expected, said) in script {
            let mut heard = vec![0; expected.len()];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(heard, expected.as_bytes());
            stream.write_all(said.as_bytes()).unwrap();
        }
    };
    (address, std::thread::Builder::new().spawn(serve).unwrap())
}

/// What a client is told that connects and calls so often.
fn fates(script: &'static [(&str, &str)], calls: usize) -> Vec<Result<u64, Failure>> {
    let (address, server) = serve(script);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fates = runtime.block_on(async {
        let mut client = Arc::new(Wire(Lines(address))).clients(1).remove(0);
        assert!(!client.is_open());
        client.connect().await.unwrap();
        let mut fates = Vec::new();
        for _ in 0..calls {
            fates.push(client.call().await.map(|answer| answer.body_bytes));
        }
        fates
    });
    server.join().unwrap();
    fates
}

#[test]
fn answers_come_in_parts_between_remarks_and_questions() {
    let script =
        &[("hello\n", "#\nwelcome\n"), ("1\n", "#re"), ("", "mark\n?\n"), ("!\n", "one\n"), ("2\n", "2\n")];
    assert_eq!(fates(script, 2), [Ok(3), Ok(1)]);
}

#[test]
fn a_broken_answer_ends_the_connection() {
    assert_eq!(fates(&[("hello\n", "hi\n"), ("1\n", "")], 2), [Err(Failure::Closed), Err(Failure::Unsent)]);
    assert_eq!(fates(&[("hello\n", "hi\n"), ("1\n", "half")], 1), [Err(Failure::Truncated)]);
    assert_eq!(fates(&[("hello\n", "hi\n"), ("1\n", "x\n")], 1), [Err(Failure::Malformed)]);
}
