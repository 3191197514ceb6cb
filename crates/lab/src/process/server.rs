//! A server that an experiment starts, watches and stops.
//!
//! It is a child in this process's own session, so that the scheduler treats it and the load alike. Dropping its
//! guard, also while a panic unwinds, ends the process and its known descendants by their ids. What ends this
//! process without unwinding it, such as a SIGKILL or a SIGTERM, leaves them running.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Signal, kill_process};

use super::proc::{Identity, Pid, tree};
use crate::clock::{Moment, poll_until};
use crate::fetch;

/// How often a starting or ending process is looked at.
const INTERVAL: Duration = Duration::from_millis(1);

/// How long a dropped server may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How to tell that a server is ready.
#[derive(Debug, Clone)]
pub enum Probe {
    /// It accepts TCP connections at the address.
    Connect(SocketAddr),
    /// It answers `GET` of the path at the address with 200.
    Http(SocketAddr, String),
}

impl Probe {
    /// Asks once.
    #[must_use]
    pub fn holds(&self) -> bool {
        let timeout = Duration::from_secs(1);
        match self {
            Self::Connect(address) => TcpStream::connect_timeout(address, timeout).is_ok(),
            Self::Http(address, path) => {
                fetch::get(*address, path, timeout).is_ok_and(|got| got.status == 200)
            }
        }
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Its exit status.
    pub status: ExitStatus,
    /// How long it took from the signal on.
    pub after: Duration,
    /// Whether it had to be killed.
    pub killed: bool,
}

/// A running child process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    spawned: Moment,
    log: PathBuf,
    ended: Option<ExitStatus>,
    /// It and its descendants, as last looked at; orphans can't be found by their parent any more.
    family: Vec<Identity>,
}

impl Server {
    /// Starts `command` with nothing on its standard input and both outputs appended to the file `log`.
    ///
    /// Errors: the file can't be written or the program can't be started.
    pub fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let name = command.get_program().display().to_string();
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        let open = || File::options().create(true).append(true).open(log);
        let output = open().and_then(|file| Ok((file.try_clone()?, file)));
        let (stdout, stderr) = output.with_context(|| format!("open {}", log.display()))?;
        let spawned = Moment::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { child, spawned, log: log.to_owned(), ended: None, family: Vec::new() })
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.child.id()
    }

    /// The moment just before it was started.
    #[must_use]
    pub const fn spawned(&self) -> Moment {
        self.spawned
    }

    /// Waits until `probe` holds; returns the time since the process was started.
    ///
    /// Errors: the process has ended, or `deadline` has passed since it was started; both with the end of its log.
    pub fn wait_ready(&mut self, probe: &Probe, deadline: Duration) -> Result<Duration> {
        let by = self.spawned.plus(deadline);
        let spawned = self.spawned;
        let ready = poll_until(by, INTERVAL, || match self.poll_end() {
            Some(status) => Some(Err(status)),
            None => probe.holds().then(|| Ok(Moment::now().since(spawned))),
        });
        match ready {
            Some(Ok(after)) => {
                self.remember_family();
                Ok(after)
            }
            Some(Err(status)) => {
                bail!("the server ended with {status} before it was ready\n{}", self.log_end())
            }
            None => bail!("the server was not ready within {deadline:?}\n{}", self.log_end()),
        }
    }

    /// Sends a signal. Errors: the process has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.remember_family();
        if let Some(status) = self.poll_end() {
            bail!("the server has ended with {status}\n{}", self.log_end());
        }
        kill_process(self.id(), signal).with_context(|| format!("send {signal:?} to process {}", self.pid()))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.poll_end().is_none()
    }

    /// Waits for its end. Errors: `deadline` has passed.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.remember_family();
        poll_until(Moment::now().plus(deadline), INTERVAL, || self.poll_end()).with_context(|| {
            format!("process {} still runs after {deadline:?}\n{}", self.pid(), self.log_end())
        })
    }

    /// SIGTERM, then, after `grace`, SIGKILL; descendants that are left then are killed in any case. If the process
    /// had ended already, those are killed that lived when it became ready, was sent a signal or was waited for.
    pub fn stop(mut self, grace: Duration) -> Result<Stopped> {
        self.end(grace)
    }

    fn end(&mut self, grace: Duration) -> Result<Stopped> {
        let asked = Moment::now();
        self.remember_family();
        if let Some(status) = self.poll_end() {
            self.kill_family();
            return Ok(Stopped { status, after: Duration::ZERO, killed: false });
        }
        let _ = kill_process(self.id(), Signal::TERM);
        let ended = poll_until(asked.plus(grace), INTERVAL, || self.poll_end());
        self.kill_family();
        let status = match ended {
            Some(status) => status,
            None => self.child.wait().context("wait for a killed process")?,
        };
        self.ended = Some(status);
        Ok(Stopped { status, after: Moment::now().since(asked), killed: ended.is_none() })
    }

    /// Notes who belongs to it now. Does nothing after its end, when its id may be another's.
    fn remember_family(&mut self) {
        if self.poll_end().is_some() {
            return;
        }
        self.family.retain(|process| process.is_current());
        for process in tree(&[self.pid()]).into_iter().filter_map(Identity::of) {
            if !self.family.contains(&process) {
                self.family.push(process);
            }
        }
    }

    fn kill_family(&self) {
        for left in self.family.iter().filter(|process| process.is_current()) {
            // It may end by itself meanwhile.
            let _ = rustix_pid(left.pid).map(|pid| kill_process(pid, Signal::KILL));
        }
    }

    fn poll_end(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    fn id(&self) -> rustix::process::Pid {
        rustix_pid(self.pid()).expect("a child's id is a positive number")
    }

    /// The last lines of its output, at most 4 KiB.
    #[must_use]
    pub fn log_end(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error| format!("(its log {} can't be read: {error})", self.log.display()))
    }
}

fn rustix_pid(pid: Pid) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        // The one thing that matters more than a quiet drop: no process is left behind.
        let _ = self.end(GRACE);
    }
}

/// A port on the loopback address that was free a moment ago, for servers that must be told theirs.
pub fn free_port() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    listener.local_addr().context("find a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Server, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        (Server::spawn(command, &folder.path().join("logs/out")).unwrap(), folder)
    }

    fn is_alive(pid: Pid) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_server_that_ends_early_says_what_it_printed() {
        let (mut server, _folder) = shell("echo no such option >&2; exit 3");
        let never = Probe::Connect(free_port().unwrap());
        let error = server.wait_ready(&never, Duration::from_secs(10)).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no such option"), "{error}");
        assert!(server.signal(Signal::HUP).is_err());
    }

    #[test]
    fn a_server_that_ignores_the_request_is_killed_with_its_children() {
        let (mut server, folder) = shell("trap '' TERM; sleep 60 & echo $!; wait; sleep 60");
        let log = folder.path().join("logs/out");
        let child = poll_until(Moment::now().plus(Duration::from_secs(10)), INTERVAL, || {
            fs::read_to_string(&log).ok()?.trim().parse::<Pid>().ok()
        });
        let child = child.expect("the script prints its child");
        assert!(server.is_running());
        let stopped = server.stop(Duration::from_millis(20)).unwrap();
        assert!(stopped.killed && !stopped.status.success());
        let gone = poll_until(Moment::now().plus(Duration::from_secs(10)), INTERVAL, || {
            (!is_alive(child)).then_some(())
        });
        assert!(gone.is_some());
    }

    #[test]
    fn a_server_that_has_ended_leaves_no_orphan_behind() {
        let (mut server, folder) = shell("trap 'exit 0' TERM; sleep 47 & echo $!; wait");
        let log = folder.path().join("logs/out");
        let by = || Moment::now().plus(Duration::from_secs(10));
        let child = poll_until(by(), INTERVAL, || fs::read_to_string(&log).ok()?.trim().parse::<Pid>().ok());
        let child = child.expect("the script prints its child");
        server.signal(Signal::TERM).unwrap();
        assert!(server.wait(Duration::from_secs(10)).unwrap().success());
        assert!(is_alive(child));
        assert!(!server.stop(Duration::ZERO).unwrap().killed);
        assert!(poll_until(by(), INTERVAL, || (!is_alive(child)).then_some(())).is_some());
    }

    #[test]
    fn a_panic_leaves_no_process_behind() {
        let (server, _folder) = shell("exec sleep 60");
        let pid = server.pid();
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _guard = server;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err() && !is_alive(pid));
    }

    #[test]
    fn readiness_is_timed_from_the_start() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (mut server, _folder) = shell("exec sleep 60");
        let probe = Probe::Connect(listener.local_addr().unwrap());
        assert!(server.wait_ready(&probe, Duration::from_secs(10)).unwrap() < Duration::from_secs(10));
        let stopped = server.stop(Duration::from_secs(10)).unwrap();
        assert!(!stopped.killed);
    }
}
