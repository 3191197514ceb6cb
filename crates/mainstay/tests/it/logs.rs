//! Log lines: nobody waits for whoever reads them, and they look as their reader needs.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::support::{Client, Node, metric};

const DEBUG: &str = "telemetry: { logs: { rooms: { api: debug } } }";
const DROPPED: &str = "mainstay_telemetry_lines_dropped_total";

/// A process that must end by itself. Killed when dropped.
struct Run(Child);

impl Run {
    /// `mainstay up` with its stderr where the test wants it.
    fn up(folder: &tempfile::TempDir, stderr: impl Into<Stdio>, more: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Node::command(folder.path());
        command.args(more).envs(env.iter().copied()).stderr(stderr);
        Self(command.spawn().expect("the binary runs"))
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it runs");
    }

    /// The exit code. Does not wait for ever, and reads nothing.
    fn ended(mut self) -> Option<i32> {
        ends(Pid::from_child(&self.0));
        self.0.wait().expect("it was started").code()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a process has ended.
#[track_caller]
fn ends(pid: Pid) {
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("a child that is not yet waited for");
    let patience = Timespec::try_from(Duration::from_secs(20)).expect("a duration");
    let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience)).expect("a descriptor");
    assert_eq!(ended, 1, "the process has not ended");
}

fn dropped(client: &mut Client) -> f64 {
    metric(&client.request("GET", "/metrics", &[], "").body, DROPPED, &[])
}

/// A node whose log nobody reads any more, and that has dropped lines for it.
fn stuck() -> Node {
    let node = Node::start(DEBUG);
    let mut client = node.connect();
    let path = format!("/{}", "x".repeat(2000));
    for _ in 0..1000 {
        for _ in 0..100 {
            assert_eq!(client.request("GET", &path, &[], "").status, 404);
        }
        if dropped(&mut client) > 0.0 {
            return node;
        }
    }
    panic!("a queue without bound");
}

/// A pipe that takes nothing more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let flags = fcntl_getfl(&writer).expect("a pipe");
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("a pipe");
    let error = loop {
        if let Err(error) = writer.write(&[b'\n'; 1024]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    fcntl_setfl(&writer, flags).expect("a pipe");
    (reader, writer)
}

/// Both ends of a terminal: what a person sees, and what a process writes to.
fn terminal() -> (File, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&person).expect("a terminal");
    unlockpt(&person).expect("a terminal");
    let name = ptsname(&person, Vec::new()).expect("a terminal").into_string().expect("UTF-8");
    let process = File::options().read(true).write(true).open(name).expect("a terminal");
    (person.into(), process)
}

/// The lines up to the one that contains `last`.
#[track_caller]
fn lines_until(reader: impl Read, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(reader).lines() {
        lines.push(line.expect("text"));
        if lines[lines.len() - 1].contains(last) {
            return lines;
        }
    }
    panic!("no `{last}` in {lines:?}");
}

/// What a terminal shows of a node that starts and stops.
fn shown(more: &[&str], env: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (person, process) = terminal();
    let run = Run::up(&folder, process, more, env);
    let lines = lines_until(&person, "ready");
    run.terminate();
    lines_until(&person, "stopped");
    assert_eq!(run.ended(), Some(0));
    lines.join("\n")
}

/// A variable that sets nothing because an underscore is missing: a warning.
const ODD: (&str, &str) = ("MAINSTAY_SHUTDOWN_DRAIN", "5s");

#[test]
fn a_log_that_nobody_reads_holds_up_neither_requests_nor_the_stop() {
    let node = stuck();
    assert_eq!(node.get("/v1/health/live").status, 200, "new connections are served");
    node.signal(Signal::TERM);
    ends(Pid::from_raw(node.pid().cast_signed()).expect("a process"));
    let (status, _rest, _folder) = node.ended();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_reader_that_comes_back_is_told_how_many_lines_are_missing() {
    let mut node = stuck();
    let known = dropped(&mut node.connect());
    let line = node.wait_for("log lines dropped");
    assert_eq!((&line["level"], &line["target"]), (&"WARN".into(), &"mainstay::telemetry".into()));
    assert!(line["lines"].as_f64().expect("a number") >= known, "{line} {known}");
    node.get("/v1/health/live");
    assert_eq!(node.wait_for("request answered")["status"], 200, "and lines come again");
}

#[test]
fn a_reader_that_is_gone_costs_lines_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let run = Run::up(&folder, writer, &["--set", "telemetry.logs.rooms.api=debug"], &[]);
    let ready = lines_until(reader, "\"ready\"").pop().expect("a line");
    let ready: Value = serde_json::from_str(&ready).expect("JSON");
    let api: SocketAddr = ready["api"].as_str().and_then(|it| it.parse().ok()).expect("an address");
    let mut client = Client::connect(api);
    for _ in 0..1000 {
        assert_eq!(client.request("GET", "/v1/health/live", &[], "").status, 200);
        if dropped(&mut client) > 0.0 {
            break;
        }
    }
    assert!(dropped(&mut client) > 0.0);
    drop(client);
    run.terminate();
    assert_eq!(run.ended(), Some(0));
}

#[test]
fn an_end_with_an_error_waits_for_no_reader() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("listen.api={}", taken.local_addr().expect("an address"));
    let folder = tempfile::tempdir().expect("a folder");
    let (mut reader, writer) = full_pipe();
    let run = Run::up(&folder, writer, &["--set", &address], &[ODD]);
    assert_eq!(run.ended(), Some(1));
    let mut rest = String::new();
    reader.read_to_string(&mut rest).expect("text");
    assert_eq!(rest.trim(), "", "nothing fitted");
}

#[test]
fn elsewhere_than_on_a_terminal_every_line_is_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("listen.api={}", taken.local_addr().expect("an address"));
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let env = [ODD, ("TERM", "xterm")];
    assert_eq!(Run::up(&folder, writer, &["--set", &address], &env).ended(), Some(1));
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("text");
    let lines: Vec<Value> = log.lines().map(|it| serde_json::from_str(it).expect(it)).collect();
    let warning = lines.iter().find(|it| it["message"] == "configuration warning").expect(&log);
    assert_eq!((&warning["level"], &warning["target"]), (&"WARN".into(), &"mainstay::config".into()));
    assert!(warning["warning"].as_str().expect("text").contains(ODD.0), "{warning}");
    let error = lines.last().expect("a line");
    assert_eq!(error["level"], "ERROR");
    assert!(error["error"].as_str().expect("text").contains("`listen.api`"), "{error}");
}

#[test]
fn a_person_at_a_terminal_gets_colours_unless_refused() {
    let coloured = shown(&[], &[("TERM", "xterm"), ODD]);
    assert!(coloured.contains("\x1b[") && coloured.contains("INFO") && !coloured.contains('{'), "{coloured}");
    assert!(coloured.contains("help") && coloured.contains(ODD.0), "rendered: {coloured}");
    for refused in [[("TERM", "xterm"), ("NO_COLOR", "1")], [("TERM", "dumb"), ("NO_COLOR", "")]] {
        let plain = shown(&[], &refused);
        assert!(!plain.contains('\x1b') && plain.contains("INFO") && !plain.contains('{'), "{plain}");
    }
}

#[test]
fn json_can_be_asked_for_on_a_terminal() {
    let env = [("TERM", "xterm"), ODD];
    let shown = shown(&["--set", "telemetry.logs.format=json"], &env);
    let lines: Vec<Value> = shown.lines().map(|it| serde_json::from_str(it).expect(it)).collect();
    assert_eq!(lines[0]["message"], "configuration warning");
}

#[test]
fn a_terminal_that_is_held_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (person, process) = terminal();
    let held = process.try_clone().expect("a terminal");
    rustix::termios::tcflow(held.as_fd(), rustix::termios::Action::OOff).expect("a terminal");
    let mut command = Node::command(folder.path());
    command.stdout(process).stderr(Stdio::piped());
    let mut run = Run(command.spawn().expect("the binary runs"));
    lines_until(run.0.stderr.take().expect("a pipe"), "\"ready\"");
    run.terminate();
    assert_eq!(run.ended(), Some(0));
    drop(person);
}
