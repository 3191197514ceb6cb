//! What the engine is told: the server, the log's name there, what must be durable, bounds and times.
//!
//! Everything is checked before a connection is made, and no message or `Debug` holds a password: what a URL
//! says is shown only after its parts are known, never as it was given.

use std::fmt::{self, Debug, Display, Formatter};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use mainstay_base::units::{Duration, Size};
use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::Durability;

/// How the engine reaches its server, and what it asks of it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server and the database.
    pub server: Server,
    /// The schema that holds this log's tables: its name in the database.
    pub schema: Schema,
    /// What an acknowledged record must survive: `written`, `synced` or `replicated`.
    pub durability: Durability,
    /// The largest record with its header: 1 KiB to 256 MiB. The server holds several copies of a record while it
    /// stores it.
    pub record_max: Size,
    /// Connections for appends, reads and trims: 2 to 512. One more listens.
    pub connections_max: usize,
    /// Operations that wait for a connection, beyond which the next is refused: 32 to 65,536.
    pub waiting_max: usize,
    /// The longest time to connect, with TLS, authentication and the session's settings. Of several hosts each gets an
    /// equal part of it.
    pub connect_timeout: Duration,
    /// The longest time that an operation waits for a free connection.
    pub acquire_timeout: Duration,
    /// The longest time that a statement waits for a lock.
    pub lock_timeout: Duration,
    /// The longest time that the server works on a statement; not less than `lock_timeout`. What waits for a
    /// replica is past this.
    pub statement_timeout: Duration,
    /// The longest time until an answer, after which the outcome is unknown; more than `statement_timeout`, so that
    /// the server's own answer, which is certain, comes first.
    pub answer_timeout: Duration,
    /// How often who waits for an append looks for it when no notification comes.
    pub poll_interval: Duration,
}

impl Options {
    /// The options for a server with everything else as a new installation wants it: synced, records up to 8 MiB,
    /// 8 connections, 1,024 waiting operations, 2 s for locks, 10 s for statements, 15 s for answers.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            schema: Schema::default(),
            durability: Durability::Synced,
            record_max: Size::from_mib(8),
            connections_max: 8,
            waiting_max: 1024,
            connect_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
            poll_interval: Duration::from_secs(1),
        }
    }

    /// Whether each value is within its range and fits the others.
    pub fn check(&self) -> Result<(), Invalid> {
        let refuse = |option, problem: &str| Err(Invalid { option, problem: problem.to_owned() });
        if self.durability == Durability::Memory {
            return refuse(
                "durability",
                "is `memory`: PostgreSQL keeps more, use `written`, `synced` or `replicated`",
            );
        }
        if !(Size::from_kib(1)..=Size::from_mib(256)).contains(&self.record_max) {
            return refuse("record_max", "must be from 1KiB to 256MiB");
        }
        if !(2..=512).contains(&self.connections_max) {
            return refuse("connections_max", "must be from 2 to 512");
        }
        if !(32..=65_536).contains(&self.waiting_max) {
            return refuse("waiting_max", "must be from 32 to 65536");
        }
        for (option, time) in [
            ("connect_timeout", self.connect_timeout),
            ("acquire_timeout", self.acquire_timeout),
            ("lock_timeout", self.lock_timeout),
            ("statement_timeout", self.statement_timeout),
            ("answer_timeout", self.answer_timeout),
            ("poll_interval", self.poll_interval),
        ] {
            // The server counts in milliseconds, and takes 0 for no limit.
            if !(Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&time) {
                return refuse(option, "must be from 1ms to 1h");
            }
        }
        if self.lock_timeout > self.statement_timeout {
            return refuse("lock_timeout", "must not be more than `statement_timeout`");
        }
        if self.statement_timeout >= self.answer_timeout {
            return refuse("answer_timeout", "must be more than `statement_timeout`");
        }
        Ok(())
    }
}

/// An option that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{option}` {problem}")]
pub struct Invalid {
    /// Which one.
    pub option: &'static str,
    /// What is wrong with it and what to do, continuing its name. Never a secret.
    pub problem: String,
}

impl Invalid {
    pub(super) fn new(option: &'static str, problem: impl Into<String>) -> Self {
        Self { option, problem: problem.into() }
    }
}

/// The name of a log in its database, which is a schema of its own: 1 to 40 lower-case letters, digits and `_`,
/// beginning with a letter, and not with `pg_`, which is the server's. `mainstay_log` by default.
///
/// Needs quotes only where it is a word of SQL, such as `user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema(String);

impl Schema {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self("mainstay_log".to_owned())
    }
}

impl FromStr for Schema {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_name = text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.len() <= 40
            && !text.starts_with("pg_");
        if is_name {
            return Ok(Self(text.to_owned()));
        }
        let problem =
            "must be 1 to 40 lower-case letters, digits and `_`, begin with a letter, and not with `pg_`";
        Err(Invalid::new("schema", problem))
    }
}

impl Display for Schema {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How far the connection is protected, with the meaning that PostgreSQL's own clients give to `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never TLS.
    Disable,
    /// TLS if the server offers it, without looking at its certificate: no protection from who can change traffic.
    Prefer,
    /// TLS, without looking at the certificate unless `sslrootcert` is given; then as `verify-ca`.
    Require,
    /// TLS with a certificate that a known authority has signed, for whatever name.
    VerifyCa,
    /// TLS with a certificate that a known authority has signed for the host's name.
    VerifyFull,
}

/// A server and a database, from a URL: `postgres://user:password@host:port/database?sslmode=verify-full`.
///
/// Several hosts are separated by commas; the first that takes writes is used. A folder of Unix sockets is
/// written `postgres://user@%2Frun%2Fpostgresql/database`. Other parameters than [`Server::PARAMETERS`] are refused.
/// Without `sslmode` it is `verify-full`; `prefer` when every host, and every `hostaddr`, is this machine by address or
/// the name `localhost`. `sslrootcert` names a PEM file of authorities; without it those of the system count.
///
/// `Debug` and `Display` show everything but the password.
#[derive(Clone)]
pub struct Server {
    config: Config,
    tls: TlsMode,
    root_certificates: Option<PathBuf>,
}

impl Server {
    /// The parameters that may follow the `?` of the URL.
    pub const PARAMETERS: [&str; 13] = [
        "application_name",
        "channel_binding",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_retries",
        "load_balance_hosts",
        "port",
        "sslmode",
        "sslrootcert",
        "tcp_user_timeout",
    ];

    /// The same server with this password, which then needs no encoding as in a URL.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// How far the connection is protected.
    pub fn tls_mode(&self) -> TlsMode {
        self.tls
    }

    pub(super) fn root_certificates(&self) -> Option<&PathBuf> {
        self.root_certificates.as_ref()
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The URL without its parameters and without the password.
    fn masked(&self) -> String {
        let ports = self.config.get_ports();
        let hosts: Vec<String> = (self.config.get_hosts().iter().enumerate())
            .map(|(at, host)| {
                let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
                match host {
                    Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
                    Host::Tcp(name) => format!("{name}:{port}"),
                    Host::Unix(folder) => format!("{}:{port}", folder.display()),
                }
            })
            .collect();
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or_default();
        format!("postgres://{user}@{}/{database}", hosts.join(","))
    }
}

impl Display for Server {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&self.masked())
    }
}

impl Debug for Server {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.masked())
            .field("tls", &self.tls)
            .field("root_certificates", &self.root_certificates)
            .finish_non_exhaustive()
    }
}

impl FromStr for Server {
    type Err = Invalid;

    fn from_str(url: &str) -> Result<Self, Invalid> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(Invalid::new("url", "must begin with `postgres://`"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        // Otherwise what follows the first, a part of the password, is taken for a host, and shown.
        if base.matches('@').count() > 1 {
            let problem =
                "has more than one `@` before its parameters: one in a user or a password is written `%40`";
            return Err(Invalid::new("url", problem));
        }
        let Parameters { tls, root_certificates, rest } = Parameters::parse(query)?;
        // What the parser says may quote the URL, so it is not passed on.
        let problem = "is not a URL such as `postgres://user@host:5432/database`: a port is a number, parameters have \
             the values that PostgreSQL documents, and `%`, `@`, `:`, `/`, `?`, `#` and `&` in a user or a \
             password are written `%25`, `%40`, `%3A`, `%2F`, `%3F`, `%23` and `%26`";
        let mut config =
            Config::from_str(&format!("{base}?{rest}")).map_err(|_| Invalid::new("url", problem))?;
        for (part, is_missing) in [
            ("a user", config.get_user().is_none_or(str::is_empty)),
            ("a host", config.get_hosts().is_empty()),
            ("a database", config.get_dbname().is_none_or(str::is_empty)),
        ] {
            if is_missing {
                let problem = format!("names no {}: write `postgres://user@host:5432/database`", &part[2..]);
                return Err(Invalid::new("url", problem));
            }
        }
        let hosts = config.get_hosts().len();
        for (part, count) in
            [("`hostaddr`", config.get_hostaddrs().len()), ("port", config.get_ports().len())]
        {
            // One port is for all hosts.
            if count != 0 && count != hosts && (part, count) != ("port", 1) {
                return Err(Invalid::new(
                    "url",
                    format!("has {count} of {part} for {hosts} of hosts: give each one"),
                ));
            }
        }
        let tls = tls_mode(&config, tls)?;
        settle(&mut config, tls);
        Ok(Self { config, tls, root_certificates })
    }
}

/// What a URL's parameters say, apart from those that the client library reads itself.
struct Parameters {
    tls: Option<TlsMode>,
    root_certificates: Option<PathBuf>,
    rest: String,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, Invalid> {
        let mut parameters = Self { tls: None, root_certificates: None, rest: String::new() };
        for (at, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            match pair.split_once('=') {
                Some(("sslmode", mode)) => parameters.tls = Some(mode.parse()?),
                Some(("sslrootcert", path)) => {
                    let path = percent_decoded(path)
                        .ok_or_else(|| Invalid::new("url", "has an `sslrootcert` that is not UTF-8"))?;
                    parameters.root_certificates = Some(path.into());
                }
                Some((name, _)) if Server::PARAMETERS.contains(&name) => {
                    parameters.rest.push_str(pair);
                    parameters.rest.push('&');
                }
                // A `?` in a password that is not encoded puts the rest of the password here.
                _ => {
                    let known = Server::PARAMETERS.join(", ");
                    let problem = format!(
                        "has an unknown parameter at place {} after `?`; known are {known}; a `?` in a password is \
                         written `%3F`",
                        at + 1
                    );
                    return Err(Invalid::new("url", problem));
                }
            }
        }
        Ok(parameters)
    }
}

impl FromStr for TlsMode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                let problem =
                    "has an unknown `sslmode`: use disable, prefer, require, verify-ca or verify-full";
                return Err(Invalid::new("url", problem));
            }
        })
    }
}

/// The mode that holds for these hosts; Unix sockets know no TLS.
fn tls_mode(config: &Config, chosen: Option<TlsMode>) -> Result<TlsMode, Invalid> {
    let hosts = config.get_hosts();
    let sockets = hosts.iter().filter(|host| matches!(host, Host::Unix(_))).count();
    if sockets > 0 && sockets < hosts.len() {
        return Err(Invalid::new("url", "names Unix sockets and other hosts: use one of the two"));
    }
    if sockets > 0 {
        return Ok(TlsMode::Disable);
    }
    let is_local = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    };
    let is_here = hosts.iter().all(is_local) && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    let default = if is_here { TlsMode::Prefer } else { TlsMode::VerifyFull };
    Ok(chosen.unwrap_or(default))
}

/// What the engine decides itself.
fn settle(config: &mut Config, tls: TlsMode) {
    config.ssl_mode(match tls {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    });
    if config.get_hosts().len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    if config.get_application_name().is_none() {
        config.application_name("mainstay");
    }
    // The default of two hours is longer than anyone waits for a server that is gone.
    if config.get_keepalives_idle() > std::time::Duration::from_secs(60) {
        config.keepalives_idle(std::time::Duration::from_secs(15));
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let hex = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).ok()?);
                rest = &tail[2..];
            }
            (b'%', ..) => return None,
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
