//! A protocol of numbered lines against a server that answers out of order.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::LocalSet;

use super::*;

/// A request is its client's number, an answer the same with a text; `hello` opens a connection.
struct Lines {
    address: SocketAddr,
    clients: AtomicUsize,
}

impl Protocol for Lines {
    type Memory = usize;

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn memory(&self) -> usize {
        self.clients.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self, numbers: &[usize], out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(format!("hello {}\n", numbers.len()).as_bytes());
        1
    }

    fn request(&self, number: &mut usize, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{number}\n").as_bytes());
    }

    fn read(&self, _: &mut usize, input: &[u8]) -> Read {
        let end = input.iter().position(|byte| *byte == b'\n');
        end.map_or(Read::Part, |end| Read::Answer(end + 1, Answer { status: 200, body_bytes: end as u64 }))
    }
}

impl Multiplexed for Lines {
    fn whose(&self, input: &[u8], oldest: usize) -> usize {
        match input.first() {
            Some(b'!') => oldest,
            digit => digit.map_or(usize::MAX, |digit| usize::from(digit.wrapping_sub(b'0'))),
        }
    }
}

/// Serves one connection: reads so many lines for each text, then writes that. Keeps it open until the client closes it.
fn serve(script: &'static [(usize, &str)]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for (asked, said) in script {
            for _ in 0..*asked {
                lines.next().unwrap().unwrap();
            }
            stream.write_all(said.as_bytes()).unwrap();
        }
        assert!(lines.next().is_none_or(|line| line.is_err()), "nothing more is asked");
    };
    (address, std::thread::Builder::new().spawn(serve).unwrap())
}

/// What three clients of one connection are told, each of one call, by their places.
fn fates(script: &'static [(usize, &str)], patience: Duration) -> Vec<Result<u64, Failure>> {
    let (address, server) = serve(script);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fates = LocalSet::new().block_on(&runtime, async {
        let protocol = Lines { address, clients: AtomicUsize::new(0) };
        let mut tasks = JoinSet::new();
        for (place, mut client) in Arc::new(Shared { protocol, share: 3 }).clients(3).into_iter().enumerate()
        {
            client.connect().await.unwrap();
            tasks.spawn_local(async move {
                let called = tokio::time::timeout(patience, client.call()).await;
                let fate = called.unwrap_or(Err(Failure::TimedOut)).map(|answer| answer.body_bytes);
                assert_eq!(client.is_open(), fate.is_ok());
                (place, fate)
            });
        }
        let mut fates = tasks.join_all().await;
        fates.sort_by_key(|(place, _)| *place);
        fates.into_iter().map(|(_, fate)| fate).collect()
    });
    server.join().unwrap();
    fates
}

#[test]
fn everyone_gets_its_own_answer_on_one_connection() {
    let script = &[(1, "welcome\n"), (3, "2--\n1-\n0"), (0, "\n")];
    assert_eq!(fates(script, Duration::from_secs(20)), [Ok(1), Ok(2), Ok(3)]);
}

#[test]
fn answers_in_order_are_for_the_oldest_request() {
    let script = &[(1, "welcome\n"), (3, "!\n!-\n!--\n")];
    assert_eq!(fates(script, Duration::from_secs(20)), [Ok(1), Ok(2), Ok(3)]);
}

#[test]
fn an_answer_that_is_nobodys_ends_the_connection_for_all() {
    assert_eq!(fates(&[(1, "welcome\n"), (3, "7\n")], Duration::from_secs(20)), [Err(Failure::Malformed); 3]);
}

#[test]
fn a_client_that_gives_up_ends_the_connection_for_all() {
    let fates = fates(&[(1, "welcome\n"), (3, "")], Duration::from_millis(50));
    assert!(fates.iter().all(|fate| matches!(fate, Err(Failure::TimedOut | Failure::Closed))), "{fates:?}");
}

#[test]
fn clients_that_connect_at_once_open_one_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let greet = move || {
        let mut stream = listener.accept().unwrap().0;
        // The other one connects as well before this one is greeted, if it does not wait.
        listener.set_nonblocking(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        while stream.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        assert_eq!(listener.accept().map_err(|error| error.kind()).unwrap_err(), ErrorKind::WouldBlock);
        stream.write_all(b"welcome\n").unwrap();
    };
    let server = std::thread::Builder::new().spawn(greet).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let protocol = Lines { address, clients: AtomicUsize::new(0) };
        let mut clients = Arc::new(Shared { protocol, share: 2 }).clients(2);
        let [one, two] = &mut clients[..] else { panic!("two were asked for") };
        let (first, second) = tokio::join!(one.connect(), two.connect());
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert!(Rc::ptr_eq(one.open.as_ref().unwrap(), two.open.as_ref().unwrap()));
    });
    server.join().unwrap();
}
