//! One connection: made within a bounded time, with the settings that the engine rests on, and driven by a task.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::Host;
use tokio_postgres::error::Severity;
use tokio_postgres::tls::{MakeTlsConnect, TlsStream};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Notification, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::failure::{Failure, describe};
use super::options::{Invalid, Options};
use super::sql::{FORMAT, Sql};
use super::tls;

type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Makes connections, and owns the tasks that drive them.
pub(super) struct Connector {
    /// One for each host, in the URL's order.
    hosts: Vec<Config>,
    /// Which of them was connected to last.
    reached: AtomicUsize,
    tls: MakeRustlsConnect,
    settings: String,
    connect_timeout: Duration,
    handle: Handle,
    tasks: TaskTracker,
    /// Ends every connection at once.
    kill: CancellationToken,
}

/// A connection with its settings made. Dropping it ends it once what was asked is answered, or when no answer
/// comes in the time that it may take to connect.
pub(super) struct Link {
    pub client: Client,
    /// Dropped with the link.
    _held: DropGuard,
    /// Whether the server has warned of something since this was last asked.
    warned: Arc<AtomicBool>,
    /// Cancelled to end the connection at once, and when it has ended.
    end: CancellationToken,
}

/// A link to the log that the engine was opened on, with its statements.
pub(super) struct Session {
    link: Link,
    pub append: Statement,
    pub head: Statement,
    pub create_head: Statement,
    pub tail: Statement,
    pub read: Statement,
    pub trim_head: Statement,
    pub trim_records: Statement,
}

impl Connector {
    /// For these options, with tasks on this runtime.
    pub fn new(options: &Options, handle: Handle) -> Result<Self, Invalid> {
        Ok(Self {
            hosts: each_host(options.server.config()),
            reached: AtomicUsize::new(0),
            tls: tls::connector(&options.server)?,
            settings: settings(options),
            connect_timeout: options.connect_timeout.as_std(),
            handle,
            tasks: TaskTracker::new(),
            kill: CancellationToken::new(),
        })
    }

    /// Starts a task that is joined by [`Connector::close`].
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.handle);
    }

    /// Waits for all tasks to end, and from the patience's end on ends the connections that are left. None is made
    /// afterwards. Cancel-safe.
    pub async fn close(&self, patience: Duration) {
        self.tasks.close();
        // Connections that are being made have no task yet.
        let _ = timeout(patience, self.tasks.wait()).await;
        self.kill.cancel();
        self.tasks.wait().await;
    }

    /// Connects. Notifications go to `hear`. Everything that can fail here has sent no statement of the log's.
    pub async fn connect(&self, hear: impl FnMut(&Notification) + Send + 'static) -> Result<Link, Failure> {
        match timeout(self.connect_timeout, self.link(hear)).await {
            _ if self.kill.is_cancelled() => Err(Failure::Closed),
            Ok(linked) => linked,
            Err(_) => Err(no_connection(self.connect_timeout)),
        }
    }

    /// Connects to the first host that lets it, beginning with the one that did last. Each has its share of the time, so
    /// that one that is gone without a word does not keep the others from being asked.
    async fn reach(&self) -> Result<(Client, Connection<Socket, Stream>), Failure> {
        let share = self.connect_timeout.div_f64(self.hosts.len() as f64);
        let first = self.reached.load(Ordering::Relaxed);
        let mut failed = no_connection(share);
        for at in (first..self.hosts.len()).chain(0..first) {
            failed = match timeout(share, self.hosts[at].connect(self.tls.clone())).await {
                Ok(Ok(connected)) => {
                    self.reached.store(at, Ordering::Relaxed);
                    return Ok(connected);
                }
                Ok(Err(error)) => Failure::NotSent(describe(&error)),
                Err(_) => no_connection(share),
            };
        }
        Err(failed)
    }

    async fn link(&self, hear: impl FnMut(&Notification) + Send + 'static) -> Result<Link, Failure> {
        let (client, connection) = self.reach().await?;
        let (warned, end) = (Arc::new(AtomicBool::new(false)), self.kill.child_token());
        let driven = drive(connection, Arc::clone(&warned), hear);
        let (token, dropped) = (end.clone(), CancellationToken::new());
        let (held, patience) = (dropped.clone().drop_guard(), self.connect_timeout);
        let driver = async move {
            let forsaken = async {
                dropped.cancelled().await;
                sleep(patience).await;
            };
            tokio::select! {
                () = driven => {}
                () = token.cancelled() => {}
                () = forsaken => {}
            }
            token.cancel();
        };
        self.spawn(driver);
        // To give up in between is to end it at once.
        let given_up = end.clone().drop_guard();
        let set = client.batch_execute(&self.settings).await;
        set.map_err(|error| Failure::NotSent(describe(&error)))?;
        given_up.disarm();
        Ok(Link { client, _held: held, warned, end })
    }
}

fn no_connection(limit: Duration) -> Failure {
    Failure::NotSent(format!("no connection was made in {} ms", limit.as_millis()))
}

/// The configuration with one of its hosts each; all that a URL can say is in it.
fn each_host(config: &Config) -> Vec<Config> {
    let ports = config.get_ports();
    let only = |(at, host): (usize, &Host)| {
        let mut only = Config::new();
        match host {
            Host::Tcp(name) => only.host(name),
            Host::Unix(folder) => only.host_path(folder),
        };
        config.get_hostaddrs().get(at).map(|address| only.hostaddr(*address));
        ports.get(at).or(ports.first()).map(|port| only.port(*port));
        config.get_user().map(|user| only.user(user));
        config.get_password().map(|password| only.password(password));
        config.get_dbname().map(|name| only.dbname(name));
        config.get_application_name().map(|name| only.application_name(name));
        config.get_tcp_user_timeout().map(|limit| only.tcp_user_timeout(*limit));
        config.get_keepalives_interval().map(|interval| only.keepalives_interval(interval));
        config.get_keepalives_retries().map(|retries| only.keepalives_retries(retries));
        only.keepalives(config.get_keepalives())
            .keepalives_idle(config.get_keepalives_idle())
            .ssl_mode(config.get_ssl_mode())
            .channel_binding(config.get_channel_binding())
            .target_session_attrs(config.get_target_session_attrs())
            .load_balance_hosts(config.get_load_balance_hosts());
        only
    };
    config.get_hosts().iter().enumerate().map(only).collect()
}

/// What every session of the engine runs under, whatever the server's defaults are.
///
/// Warnings are let through, since a cancelled wait for a replica is told by one. A second writer that waited for
/// the head row must see what the first made of it, hence `read committed`.
fn settings(options: &Options) -> String {
    format!(
        "SET synchronous_commit = on; SET default_transaction_isolation = 'read committed'; \
         SET search_path = pg_catalog; SET client_min_messages = warning; \
         SET plan_cache_mode = force_generic_plan; SET jit = off; \
         SET lock_timeout = {}; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        millis(options.lock_timeout.as_std()),
        millis(options.statement_timeout.as_std()),
        millis(options.answer_timeout.as_std()),
    )
}

/// At least one: zero would mean no limit.
fn millis(duration: Duration) -> u128 {
    duration.as_millis().max(1)
}

/// Reads and writes until the connection ends. What was in flight then ends as closed.
async fn drive<S: TlsStream + Unpin>(
    mut connection: Connection<Socket, S>,
    warned: Arc<AtomicBool>,
    mut hear: impl FnMut(&Notification),
) {
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => hear(&notification),
            // Warnings come before the answer that they belong to, and are noted before it is passed on.
            Some(Ok(AsyncMessage::Notice(notice))) if notice.parsed_severity() == Some(Severity::Warning) => {
                warned.store(true, Ordering::Release);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}

impl Link {
    /// Whether the server has warned since this was last asked.
    pub fn take_warned(&self) -> bool {
        self.warned.swap(false, Ordering::AcqRel)
    }

    /// Completes when the connection has ended. Cancel-safe.
    pub async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Ends the connection at once, whatever is in flight.
    pub fn kill(&self) {
        self.end.cancel();
    }
}

impl Session {
    /// Makes sure that the link leads to a server that takes writes, and there to the log with this id; then
    /// prepares the statements.
    pub async fn prepare(link: Link, sql: &Sql, id: &str) -> Result<Self, Failure> {
        let not_sent = |error: tokio_postgres::Error| Failure::NotSent(describe(&error));
        let row = link.client.query_one(&sql.identity, &[]).await.map_err(not_sent)?;
        let (is_standby, format, found) =
            (row.get::<_, bool>(0), row.get::<_, i32>(1), row.get::<_, &str>(2));
        if is_standby {
            return Err(Failure::NotSent("the server is a standby: connect to the primary".into()));
        }
        if format != FORMAT || found != id {
            let reason = format!(
                "the tables are now those of another log ({found} in format {format}, and not {id} in format \
                 {FORMAT}): restart to use them"
            );
            return Err(Failure::NotSent(reason));
        }
        let client = &link.client;
        let (append, head, create_head, tail, read, trim_head, trim_records) = tokio::try_join!(
            client.prepare_typed(&sql.append, &[Type::INT8, Type::INT8, Type::INT8, Type::BYTEA]),
            client.prepare_typed(&sql.head, &[Type::INT8]),
            client.prepare_typed(&sql.create_head, &[Type::INT8]),
            client.prepare_typed(&sql.tail, &[Type::INT8]),
            client.prepare_typed(&sql.read, &[Type::INT8, Type::INT8, Type::INT8, Type::INT8]),
            client.prepare_typed(&sql.trim_head, &[Type::INT8, Type::INT8]),
            client.prepare_typed(&sql.trim_records, &[Type::INT8, Type::INT8, Type::INT8]),
        )
        .map_err(not_sent)?;
        Ok(Self { link, append, head, create_head, tail, read, trim_head, trim_records })
    }

    pub fn client(&self) -> &Client {
        &self.link.client
    }

    pub fn link(&self) -> &Link {
        &self.link
    }
}
