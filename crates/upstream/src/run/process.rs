//! One program that runs: started, told to end, waited for.

use std::fmt::{self, Display, Formatter};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{ExitStatus, Stdio};

use mainstay_base::id::Name;
use mainstay_base::units::Duration;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};

use super::fleet::Number;
use super::{Home, limits, output};
use crate::config::Run;

/// A program that runs, as the leader of its process group.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    address: SocketAddr,
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct End(io::Result<ExitStatus>);

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no such program.
    #[error("there is no program `{program}`: install it, or correct `run.command` (and `run.directory`)")]
    Missing { program: String },
    /// The system does not start it.
    #[error("`{program}` cannot be started: {source}")]
    Start { program: String, source: io::Error },
    /// There is no port left.
    #[error("there is no port for it to listen on: {0}")]
    Port(io::Error),
}

impl Error {
    pub(super) const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// Starts a program. Returns it, and what waits for its end; its process group has ended with it then.
pub(super) fn start(
    run: &Run,
    service: &Name,
    number: Number,
    home: &Home,
) -> Result<(Process, impl Future<Output = End> + Send + use<>), Error> {
    let address = free().map_err(Error::Port)?;
    let [program, arguments @ ..] = run.command.as_slice() else { unreachable!("it was checked") };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    // What configures Mainstay is nothing to it.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MAINSTAY_")) {
        command.env_remove(name);
    }
    command
        .envs(&run.env)
        .env("PORT", address.port().to_string())
        .env("MAINSTAY_API", &home.api)
        .env("MAINSTAY_INSTANCE", format!("{}/{service}/{}", home.marker, number.0));
    if let Some(gateway) = (home.gateway)(run.gateway.as_ref()) {
        command.env("MAINSTAY_GATEWAY", gateway);
    }
    if let Some(directory) = &run.directory {
        command.current_dir(directory);
    }
    let mut child = command.spawn().map_err(|source| {
        let program = program.clone();
        match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { program },
            _ => Error::Start { program, source },
        }
    })?;
    let pid = child
        .id()
        .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        .expect("it was not waited for yet");
    let tell = output::tell(service, number, (child.stdout.take(), child.stderr.take()));
    let patience = run.stop_timeout;
    let ended = async move {
        let mut tell = std::pin::pin!(tell);
        let mut end = std::pin::pin!(wait(&mut child, pid, patience));
        let end = tokio::select! {
            end = &mut end => end,
            () = &mut tell => return end.await,
        };
        // What has left its group may hold its output open.
        let _ = tokio::time::timeout(OUTPUT_PATIENCE, tell).await;
        end
    };
    Ok((Process { pid, address }, ended))
}

/// How long is read what was written, after the program has ended.
const OUTPUT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// How often it is looked whether a group has ended.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(10);

/// Waits for a program, and for what it has started, which is told to end and has some time for it.
async fn wait(child: &mut Child, pid: Pid, patience: Duration) -> End {
    let end = End(child.wait().await);
    let _ = kill_process_group(pid, Signal::TERM);
    let is_over = async {
        while test_kill_process_group(pid).is_ok() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(patience.as_std(), is_over).await.is_err() {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    end
}

/// An address on loopback that nobody listens on. Somebody else may take it before the program does: then that ends, and is started again with another.
fn free() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

impl Process {
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Has its processes open so many files at most. Errors: the system refuses.
    pub(super) fn limit_files(&self, files: u32) -> io::Result<()> {
        limits::files(self.pid, files)
    }

    /// Tells the group to end. One that has ended already is nothing to tell.
    pub(super) fn terminate(&self) {
        let _ = kill_process_group(self.pid, Signal::TERM);
    }

    /// Ends the group.
    pub(super) fn kill(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(status) => write!(f, "{status}"),
            Err(error) => write!(f, "it cannot be waited for: {error}"),
        }
    }
}
