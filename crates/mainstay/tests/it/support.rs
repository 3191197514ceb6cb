//! A node as a process, and a client that sends exactly what a test writes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Long enough for anything on a loaded machine; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node. Killed when dropped.
pub struct Node {
    child: Child,
    lines: BufReader<ChildStderr>,
    /// Where its API listens.
    pub api: SocketAddr,
    /// The line that told that it is ready.
    pub ready: Value,
    folder: tempfile::TempDir,
}

impl Node {
    /// Starts a node on a free port with `yaml` as its configuration, and waits until it is ready.
    pub fn start(yaml: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), yaml)
    }

    /// The same with an existing folder, which holds the configuration and the data directory.
    pub fn start_in(folder: tempfile::TempDir, yaml: &str) -> Self {
        std::fs::write(folder.path().join("mainstay.yaml"), yaml).expect("a file");
        let mut child = Self::command(folder.path()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let api = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut node = Self { child, lines, api, ready: Value::Null, folder };
        let ready = node.wait_for("ready");
        node.api = ready["api"].as_str().expect("an address").parse().expect("an address");
        node.ready = ready;
        node
    }

    /// The command that starts a node in `folder`.
    pub fn command(folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
        command.args(["up", "--set", "listen.api=127.0.0.1:0"]).current_dir(folder).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// The configuration file of the node.
    pub fn write_config(&self, yaml: &str) {
        std::fs::write(self.folder.path().join("mainstay.yaml"), yaml).expect("a file");
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next log line with this message.
    #[track_caller]
    pub fn wait_for(&mut self, message: &str) -> Value {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("a pipe");
            assert!(read > 0, "the log ended before `{message}`:\n{seen}");
            seen.push_str(&line);
            if let Ok(line) = serde_json::from_str::<Value>(&line)
                && line["message"] == message
            {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the node runs");
    }

    /// Waits until all of its parts are ready. What is asked for before that may be answered 503.
    pub fn serving(self) -> Self {
        let mut client = self.connect();
        while client.request("GET", "/v1/health/ready", &[], "").status != 200 {}
        self
    }

    /// Waits for the process to end; returns its status and the rest of its log.
    pub fn ended(mut self) -> (ExitStatus, String, tempfile::TempDir) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("a pipe");
        let status = self.child.wait().expect("it was started");
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"));
        (status, rest, folder)
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.api)
    }

    /// The answer to a request without a body.
    pub fn get(&self, path: &str) -> Answer {
        self.connect().request("GET", path, &[], "")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary; returns its exit code and what it prints on both streams, the result before the diagnostics.
pub fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    run_with(folder, arguments, "")
}

/// The same with something to read.
pub fn run_with(folder: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.args(arguments).current_dir(folder).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    // Whoever does not read it has ended, or closes the pipe.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it was started");
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).expect("UTF-8"))
}

/// One connection.
pub struct Client {
    stream: BufReader<Box<dyn Duplex>>,
    address: SocketAddr,
}

/// What can be spoken over.
pub trait Duplex: Read + Write + Send {}

impl<T: Read + Write + Send> Duplex for T {}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("it listens")
    }

    /// The same for a node that may have been killed.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::over(stream, address))
    }

    /// Over a connection that was made otherwise.
    pub fn over(stream: impl Duplex + 'static, address: SocketAddr) -> Self {
        Self { stream: BufReader::new(Box::new(stream)), address }
    }

    /// On a connection that is there.
    pub fn of(stream: TcpStream) -> Self {
        let address = stream.peer_addr().expect("it is connected");
        Self::over(stream, address)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, text: &str) {
        self.try_send(text).expect("the connection is open");
    }

    /// The same for a node that may have been killed.
    pub fn try_send(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    /// Sends a request and reads its answer. `Host` and `Content-Length` are added unless given.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.try_request(method, path, headers, body).expect("an answer")
    }

    /// The same for a node that may be killed before it has answered.
    pub fn try_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        let given = |name: &str| headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
        if !given("host") {
            text.push_str(&format!("Host: {}\r\n", self.address));
        }
        if !body.is_empty() && !given("content-length") {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        self.try_send(&format!("{text}\r\n{body}"))?;
        self.try_answer(method == "HEAD")
    }

    /// Reads one answer.
    pub fn answer(&mut self, head_only: bool) -> Answer {
        self.try_answer(head_only).expect("an answer")
    }

    /// The same for a node that may be killed before it has answered.
    pub fn try_answer(&mut self, head_only: bool) -> io::Result<Answer> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: String::new() };
        let length = answer.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        if !head_only {
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body)?;
            answer.body = String::from_utf8(body).expect("UTF-8");
        }
        Ok(answer)
    }

    /// A whole line, of an answer's head or of what comes in parts.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        if line.ends_with('\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// What the next event of a stream is called, whose fields are the next lines; none when the stream has ended in order.
    pub fn event(&mut self) -> Option<String> {
        loop {
            let line = self.line().expect("it does not break off");
            if line == "0\r\n" {
                return None;
            }
            // Between events stand the sizes of parts.
            if let Some(kind) = line.strip_prefix("event: ") {
                return Some(kind.trim_end().to_owned());
            }
        }
    }

    /// Reads whatever comes until the other side closes the connection.
    #[track_caller]
    pub fn read_to_end(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
                panic!("still open: {error}")
            }
            _ => {}
        }
    }

    /// Waits until the other side has closed the connection without sending more.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a whole problem document with this code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let document = self.json();
        assert_eq!((self.status, document["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(document["status"], status);
        assert_eq!(document["type"], format!("urn:mainstay:problem:{code}"));
        assert_eq!(document["request_id"].as_str(), self.header("mainstay-request-id"));
        assert!(
            document["title"].is_string() && document["detail"].is_string() && document["retry"].is_string()
        );
        document
    }
}

/// The value of the metric with this name and these labels in Prometheus's text.
#[track_caller]
pub fn metric(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let line = text.lines().find(|line| {
        let whole_name = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        whole_name && wanted.iter().all(|label| line.contains(label))
    });
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("{name} {labels:?} in\n{text}"))
}
