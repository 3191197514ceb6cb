//! A PostgreSQL server in a temporary folder, reached by a Unix socket there, and by TCP if asked for.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// The line that a server writes when it can be connected to.
const READY: &str = "ready to accept";

/// How a new server's data is made. A first segment of 16 MiB would be half of the work.
const NEW: [&str; 6] =
    ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"];

/// How long a test waits for what must happen before it fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    /// Ends before its folder goes.
    running: Option<Running>,
    folder: tempfile::TempDir,
    settings: Vec<String>,
    port: u16,
    /// What its clients' connections are driven by.
    drivers: Mutex<JoinSet<()>>,
}

struct Running {
    child: Child,
    /// The last lines that it wrote.
    lines: Arc<Mutex<VecDeque<String>>>,
    drain: Option<JoinHandle<()>>,
}

impl Server {
    /// A new server with these settings, such as `fsync=off`.
    pub fn start(settings: &[&str]) -> Self {
        let server = Self::at_folder(settings);
        let (data, kept) = (server.data(), server.kept());
        if kept.exists() {
            copy(&kept, &data);
        } else {
            server.run(server.command("initdb").arg("--pgdata").arg(&data).args(NEW));
            keep(&data, &kept);
        }
        server.started()
    }

    /// Where the data of a new server of this version is kept for other tests: to make it takes longer than most of them.
    fn kept(&self) -> PathBuf {
        let version = self.command("postgres").arg("--version").output().expect("the program runs");
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        let name = format!("{version} {} {:?}", NEW.join(" "), other_user());
        let name = name.replace(|it: char| !it.is_ascii_alphanumeric() && it != '.', "_");
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
    }

    /// A standby of the primary, with settings of its own.
    pub fn standby_of(primary: &Self, settings: &[&str]) -> Self {
        let server = Self::at_folder(settings);
        let mut backup = server.command("pg_basebackup");
        backup.arg("--pgdata").arg(server.data()).args([
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        ]);
        server.run(backup.arg("--username=postgres").arg("--host").arg(primary.folder.path()));
        server.started()
    }

    fn at_folder(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a folder can be made");
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = Self { running: None, folder, settings, port: 5432, drivers: Mutex::default() };
        server.give(server.folder.path());
        server
    }

    fn started(mut self) -> Self {
        self.resume();
        self
    }

    /// Starts it again after [`Server::crash`].
    pub fn resume(&mut self) {
        assert!(self.running.is_none(), "it does not run");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        let fixed =
            ["listen_addresses=", "max_connections=200", "shared_buffers=32MB", "log_min_messages=warning"];
        for setting in fixed.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.arg("-c").arg(setting);
        }
        let mut child =
            command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("postgres starts");
        let mut written = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let is_ready = written.by_ref().map_while(Result::ok).any(|line| {
            lines.lock().expect("nobody panics with it").push_back(line.clone());
            line.contains(READY)
        });
        let drain = Some(drain(written, Arc::clone(&lines)));
        self.running = Some(Running { child, lines, drain });
        assert!(is_ready, "the server did not start:\n{}", self.log());
    }

    /// Stops it without letting it finish or write anything, as its crash would.
    pub fn crash(&mut self) {
        self.running = None;
    }

    /// Puts a setting into its configuration and lets it take effect.
    pub async fn set(&self, setting: &str) {
        self.sql(&format!("ALTER SYSTEM SET {setting}")).await;
        self.sql("SELECT pg_reload_conf()").await;
        let (name, value) = setting.split_once(" = ").expect("a setting is `name = value`");
        // A session that begins now may still be given the old one.
        while self.sql(&format!("SHOW {name}")).await[0][0] != value.trim_matches('\'') {}
    }

    /// The URL with its Unix socket.
    pub fn url(&self) -> String {
        let folder = self.folder.path().to_str().expect("the path is UTF-8").replace('/', "%2F");
        format!("postgres://postgres@{folder}/postgres")
    }

    /// The Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{}", self.port))
    }

    /// A file in its folder that it can read.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("a file can be written");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is ours");
        self.give(&path);
        path
    }

    /// Gives a file or a folder to the user that it runs as.
    pub fn give(&self, path: &Path) {
        if let Some((user, group)) = other_user() {
            chown(path, Some(user), Some(group)).expect("root may give anything away");
        }
    }

    /// Has it listen on a TCP port of this machine, and returns the port.
    pub fn listen(&mut self, settings: &[&str]) -> u16 {
        self.crash();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let port = free.expect("a port is free").port();
        self.port = port;
        self.add(&format!("port={port}"));
        self.add("listen_addresses=127.0.0.1");
        settings.iter().for_each(|setting| self.add(setting));
        self.resume();
        port
    }

    /// Adds a setting for the next start.
    pub fn add(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// A connection that is no engine's.
    pub async fn client(&self) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.user("postgres").dbname("postgres").host_path(self.folder.path()).port(self.port);
        let (client, connection) = config.connect(NoTls).await.expect("the server can be connected to");
        self.drivers.lock().expect("nobody panics with it").spawn(async move {
            let _ = connection.await;
        });
        client
    }

    /// What a statement returns, as text.
    pub async fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        let messages = self.client().await.simple_query(statement).await;
        let messages = messages.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect())
            }
            _ => None,
        });
        rows.collect()
    }

    /// Asks again until the first value that the statement returns is this.
    pub async fn until(&self, statement: &str, value: &str) {
        let client = self.client().await;
        let asking = async {
            loop {
                let messages = client.simple_query(statement).await.expect("the statement is right");
                let first = messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default()),
                    _ => None,
                });
                if first == Some(value) {
                    return;
                }
            }
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{statement} never returns {value}"));
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        let Some(running) = &self.running else { return String::new() };
        running.lines.lock().expect("nobody panics with it").iter().map(|line| format!("{line}\n")).collect()
    }

    /// One of its programs, as a user that may run it, in its folder and with nothing of our environment.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(programs().join(program));
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("PATH", "/usr/bin:/bin")
            .current_dir(&self.folder);
        if let Some((user, group)) = other_user() {
            command.uid(user).gid(group);
        }
        command
    }

    fn run(&self, command: &mut Command) {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Keeps the data of a server that never ran, whole or not at all.
fn keep(data: &Path, kept: &Path) {
    let folder = kept.parent().expect("it is in a folder");
    let making = tempfile::tempdir_in(folder).expect("a folder can be made");
    let whole = making.path().join("data");
    copy(data, &whole);
    rustix::fs::syncfs(fs::File::open(&whole).expect("it is there")).expect("it can be synced");
    // Another test may have been first.
    let _ = fs::rename(&whole, kept);
}

/// With its owner.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} can be copied", from.display());
}

fn drain(written: Lines<BufReader<ChildStderr>>, lines: Arc<Mutex<VecDeque<String>>>) -> JoinHandle<()> {
    let drain = move || {
        for line in written.map_while(Result::ok) {
            let mut lines = lines.lock().expect("nobody panics with it");
            if lines.len() == 100 {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    };
    thread::Builder::new().name("drain".into()).spawn(drain).expect("a thread can be started")
}

/// Ends the server at once, and waits until it and all its processes are gone.
impl Drop for Running {
    #[expect(
        clippy::print_stderr,
        reason = "what the server said belongs to the output of a test that fails"
    )]
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::QUIT).expect("the server is ours");
        self.child.wait().expect("the server is ours");
        if let Some(drain) = self.drain.take() {
            drain.join().expect("reading lines does not panic");
        }
        if thread::panicking() {
            let lines = self.lines.lock().expect("nobody panics with it");
            eprintln!("the server wrote last:\n{}", Vec::from_iter(lines.iter().cloned()).join("\n"));
        }
    }
}

/// PostgreSQL refuses to run as root; then it runs as the user of its package, or as nobody.
fn other_user() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("a system has users");
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(|id| id.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).expect("there is a user `nobody`"))
}

/// Where the server's programs are.
fn programs() -> PathBuf {
    let named = Command::new("pg_config").arg("--bindir").output().ok();
    let named = named.and_then(|output| String::from_utf8(output.stdout).ok()).map(|path| path.trim().into());
    let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<PathBuf> = packaged.map(|version| version.path().join("bin")).collect();
    packaged.sort();
    let has_programs =
        |folder: &PathBuf| ["initdb", "postgres", "pg_basebackup"].iter().all(|it| is_program(folder, it));
    named.into_iter().chain(packaged.into_iter().rev()).find(has_programs).expect(
        "these tests need a PostgreSQL server, 13 or later: `apt-get install postgresql`, or put its pg_config on the PATH",
    )
}

fn is_program(folder: &Path, name: &str) -> bool {
    folder.join(name).is_file()
}
