//! A PostgreSQL server in a duel's folder, with what its speed and its promises depend on.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mainstay_lab::clock::{Moment, poll_until};
use mainstay_lab::duel::{Load, Started};
use mainstay_lab::process::{Probe, Server, free_port};

use crate::{peers, shell};

/// How its data is made.
const NEW: [&str; 5] = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];

/// What differs from its defaults: room for the clients, and memory and log space in which a working set of this size never
/// waits for a checkpoint.
const SETTINGS: [&str; 3] = ["max_connections=300", "shared_buffers=512MB", "max_wal_size=4GB"];

const TABLE: &str = "CREATE TABLE kv (key text PRIMARY KEY, value bytea NOT NULL)";

/// What decides its speed and what it promises, asked of the running one.
const TELLING: [&str; 11] = [
    "fsync",
    "synchronous_commit",
    "wal_sync_method",
    "full_page_writes",
    "commit_delay",
    "shared_buffers",
    "max_connections",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
    "default_transaction_isolation",
];

/// How long it may take to start, and how often it is asked.
const START: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(20);

/// Starts it with an empty table; `load` fills it.
pub(super) fn start(folder: &Path, load: impl Fn(SocketAddr) -> Result<Load>) -> Result<Started> {
    let postgresql = peers::named("postgresql")?.require()?;
    let programs = postgresql.program.parent().context("a program lies in a folder")?;
    let address = free_port()?;
    let owner = other_user()?;
    if let Some((user, group)) = owner {
        chown(folder, Some(user), Some(group)).context("give the folder to the server's user")?;
    }
    let program = |name: &str| {
        let mut command = Command::new(programs.join(name));
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir(folder);
        if let Some((user, group)) = owner {
            command.uid(user).gid(group);
        }
        command
    };
    let data = folder.join("data");
    shell::read(program("initdb").args(NEW).arg("--pgdata").arg(&data))?;
    let mut command = program("postgres");
    command.arg("-D").arg(&data).arg("-k").arg(folder);
    command.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]);
    command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
    let mut server = Server::spawn(command, &folder.join("log"))?;
    server.wait_ready(&Probe::Connect(address), START)?;
    let client = |name: &str| {
        let mut command = program(name);
        command.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-U", "postgres"]);
        command
    };
    // It accepts connections before it serves them.
    let is_ready = || shell::succeeds(&mut client("pg_isready")).then_some(());
    poll_until(Moment::now().plus(START), INTERVAL, is_ready)
        .with_context(|| format!("the server does not get ready\n{}", server.log_end()))?;
    let sql = |statement: &str| {
        let mut psql = client("psql");
        shell::read(psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement]))
    };
    sql(TABLE)?;
    let show = |name: &&str| Ok(((*name).to_owned(), sql(&format!("SHOW {name}"))?.trim().to_owned()));
    let settings = TELLING.iter().map(show).collect::<Result<Vec<_>>>()?;
    ensure!(settings[..2].iter().all(|(_, value)| value == "on"), "it does not sync: {settings:?}");
    let load = load(address)?;
    // Once after the filling, as after any bulk load: statistics, and a visibility map.
    sql("VACUUM ANALYZE kv")?;
    Ok(Started { servers: vec![server], version: postgresql.version, settings, load })
}

/// PostgreSQL refuses to run as root; then it runs as the user of its package, or as nobody.
fn other_user() -> Result<Option<(u32, u32)>> {
    if shell::read(Command::new("id").arg("-u"))?.trim() != "0" {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("read the system's users")?;
    let found = ids(&users, "postgres").or_else(|| ids(&users, "nobody"));
    Ok(Some(found.context("there is neither a user `postgres` nor `nobody`")?))
}

/// User and group of a name (passwd(5)).
fn ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2).map(|id| id.parse().ok());
    Some((fields.next()??, fields.next()??))
}

#[test]
fn users_are_found_by_their_whole_name() {
    let users = "root:x:0:0:root:/:/bin/sh\npostgres2:x:5:6::/:/bin/sh\npostgres:x:110:118::/:/bin/sh\n";
    assert_eq!(ids(users, "postgres"), Some((110, 118)));
    assert_eq!(ids(users, "nobody"), None);
}
