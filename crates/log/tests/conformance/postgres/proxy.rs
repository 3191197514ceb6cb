//! A connection to a server that can be cut at chosen places.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

/// What is in a record whose append is to be cut.
pub const MARK: &[u8] = b"cut this one";

/// Where the connection that carries the mark is cut, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Before the request reaches the server.
    Request,
    /// After half of the request.
    HalfRequest,
    /// After the server has answered, of which nothing comes through.
    Answer,
    /// After all of the answer but its last message, which says that the commit is done.
    LastMessage,
    /// The connection stays, and nothing comes through any more.
    Silence,
    /// Every connection that wants to listen, for ever.
    Listening,
}

pub struct Proxy {
    port: u16,
    cut: Arc<Mutex<Option<Cut>>>,
    open: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// In front of the server with this Unix socket.
    pub async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let cut = Arc::new(Mutex::new(None));
        let open = Arc::new(AtomicUsize::new(0));
        let (shared, counted) = (Arc::clone(&cut), Arc::clone(&open));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (cut, open, socket) = (Arc::clone(&shared), Arc::clone(&counted), socket.clone());
                open.fetch_add(1, Ordering::Relaxed);
                connections.spawn(async move {
                    if let Ok(server) = UnixStream::connect(socket).await {
                        pump(client, server, &cut).await;
                    }
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, cut, open, _tasks: tasks }
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// How many connections its clients have.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Cuts the next connection that carries the mark.
    pub fn cut(&self, cut: Cut) {
        *self.cut.lock().expect("nobody panics with it") = Some(cut);
    }

    /// Whether what was to be cut was cut.
    pub fn has_cut(&self) -> bool {
        self.cut.lock().expect("nobody panics with it").is_none()
    }
}

/// Passes on until one side ends or the connection is cut.
async fn pump(mut client: TcpStream, mut server: UnixStream, cut: &Mutex<Option<Cut>>) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut armed = None;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let request = &up[..count];
                if holds(request, b"LISTEN") && *cut.lock().expect("nobody panics with it") == Some(Cut::Listening) {
                    return;
                }
                if holds(request, MARK) {
                    armed = cut.lock().expect("nobody panics with it").take_if(|cut| *cut != Cut::Listening);
                }
                let passed = match armed {
                    Some(Cut::Request) => return,
                    Some(Cut::HalfRequest) => &request[..count / 2],
                    _ => request,
                };
                if server.write_all(passed).await.is_err() || armed == Some(Cut::HalfRequest) {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                let answer = &down[..count];
                let passed = match armed {
                    Some(Cut::Answer) => return,
                    Some(Cut::Silence) => continue,
                    // `ReadyForQuery` has six bytes.
                    Some(Cut::LastMessage) => &answer[..count - 6],
                    _ => answer,
                };
                if client.write_all(passed).await.is_err() || armed == Some(Cut::LastMessage) {
                    return;
                }
            }
        }
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
