//! The node of a demonstration, on ports and data of its own, with the shop that it runs.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::clock::sleep;
use mainstay_lab::process::{Pid, Probe, Server, tree};
use rustix::process::{Signal, kill_process};

/// Long enough for a slow machine; a start that takes longer is a failed one.
const READY: Duration = Duration::from_secs(60);

/// How often other ports are tried.
const TRIES: u32 = 5;

/// Ports that connections do not get by themselves: what is killed finds them free when it is started again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What a node is started from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The folder with the programs `mainstay` and `shop`.
    pub programs: PathBuf,
    /// The folder with the shop's `mainstay.yaml`.
    pub shop: PathBuf,
    /// Where its data and log go.
    pub folder: PathBuf,
    /// A layer over the configuration; none for the shop as it is.
    pub environment: Option<&'static str>,
}

/// A node that runs.
#[derive(Debug)]
pub struct Node {
    setup: Setup,
    server: Server,
    /// Its API.
    pub api: SocketAddr,
    /// Where customers come.
    pub public: SocketAddr,
    /// Where services reach each other.
    pub inside: SocketAddr,
}

impl Node {
    /// Starts it, and waits until it and the shop are ready. Errors: it did not become ready, with the end of its log.
    pub fn start(setup: &Setup) -> Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            let [api, public, inside] = ports()?;
            let server = spawned(setup, [api, public, inside])?;
            let mut node = Self { setup: setup.clone(), server, api, public, inside };
            match node.wait_ready() {
                Ok(()) => return Ok(node),
                // Somebody was quicker: there are other ports.
                Err(error) if tries < TRIES && error.to_string().contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Kills it with all that it has in memory, and starts it again after `pause`. Returns once it is ready.
    pub fn kill_and_restart(&mut self, pause: Duration) -> Result<()> {
        self.server.signal(Signal::KILL)?;
        self.server.wait(READY)?;
        sleep(pause);
        self.server = spawned(&self.setup, [self.api, self.public, self.inside])?;
        self.wait_ready()
    }

    /// Kills one instance of a service; tells whether one runs, which one that is optional need not.
    pub fn kill_one_of(&mut self, service: &str) -> Result<bool> {
        let Some(pid) = self.instances(service).first().copied() else { return Ok(false) };
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).context("a process id")?;
        kill_process(pid, Signal::KILL).with_context(|| format!("kill an instance of {service}"))?;
        Ok(true)
    }

    /// The processes of a service, by what they were started as.
    fn instances(&self, service: &str) -> Vec<Pid> {
        let program = match service {
            "fraud" => "fraud.py".to_owned(),
            "receipts" => "receipts.js".to_owned(),
            role => role.to_owned(),
        };
        let is_of = |pid: &Pid| {
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.split(|byte| *byte == 0).skip(1).any(|argument| argument == program.as_bytes())
        };
        tree(&[self.server.pid()]).into_iter().filter(is_of).collect()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// Stops it, and waits until all of it has ended. Errors: it had to be killed, or something was cut off.
    pub fn stop(self) -> Result<()> {
        let stopped = self.server.stop(READY)?;
        ensure!(!stopped.killed && stopped.status.success(), "the node ended with {}", stopped.status);
        Ok(())
    }

    fn wait_ready(&mut self) -> Result<()> {
        let probe = Probe::Http(self.api, "/v1/health/ready".to_owned());
        self.server.wait_ready(&probe, READY).map(drop)
    }
}

/// Three that nobody listens on.
fn ports() -> Result<[SocketAddr; 3]> {
    let count = u32::from(PORTS.end - PORTS.start);
    // Processes that look at the same time begin at different ones.
    let begin = std::process::id().wrapping_mul(7) % count;
    let numbers = (0..count).map(|nth| PORTS.start + ((begin + nth) % count) as u16);
    let held: Vec<_> =
        numbers.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).take(3).collect();
    let addresses: Vec<_> = held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    addresses.try_into().ok().context("there are no three free ports")
}

fn spawned(setup: &Setup, [api, public, inside]: [SocketAddr; 3]) -> Result<Server> {
    let mut command = Command::new(setup.programs.join("mainstay"));
    let listeners = format!(
        "listen.gateway=[{{address: \"{public}\", name: public}}, {{address: \"{inside}\", name: inside}}]"
    );
    command
        .args(["up", "mainstay.yaml", "--set"])
        .arg(format!("listen.api={api}"))
        .args(["--set", &listeners, "--set"])
        .arg(format!("data={}", setup.folder.join("data").display()))
        .current_dir(&setup.shop)
        .env("PATH", path_with(&setup.programs)?);
    if let Some(environment) = setup.environment {
        command.args(["--env", environment]);
    }
    Server::spawn(command, &setup.folder.join("mainstay.log"))
}

/// `PATH` with a folder of programs before all others: the shop's configuration names its program without one.
pub fn path_with(programs: &Path) -> Result<std::ffi::OsString> {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let folders = [programs.to_owned()].into_iter().chain(std::env::split_paths(&rest));
    std::env::join_paths(folders).context("put the folder of programs before PATH")
}

/// The folder of this program, which has to have `mainstay` as well.
pub fn programs() -> Result<PathBuf> {
    let this = std::env::current_exe().context("find this program")?;
    let folder = this.parent().context("this program has no folder")?.to_owned();
    let mainstay = folder.join("mainstay");
    ensure!(
        mainstay.exists(),
        "there is no {}: build it with `cargo build --package mainstay`",
        mainstay.display()
    );
    Ok(folder)
}
