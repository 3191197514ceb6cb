//! The connection on which appends of other processes are heard of, and this process's are announced.
//!
//! Announcements have a connection of their own and follow the append: a transaction that notifies takes a lock of
//! the whole server at its commit, under which no two could be synced together. What is announced while one
//! is sent goes into the next.

use std::sync::Arc;
use std::time::Duration;

use mainstay_base::time::Entropy;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::bell::Bell;
use super::failure::{Failure, describe};
use super::session::{Connector, Link};
use super::sql::Sql;
use super::stats::{Counters, count};

/// The pause after the first failure; it doubles with each to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What it takes to listen.
pub(super) struct Listener {
    pub connector: Arc<Connector>,
    pub sql: Arc<Sql>,
    pub bell: Arc<Bell>,
    pub counters: Arc<Counters>,
    pub entropy: Arc<dyn Entropy>,
    pub answer_timeout: Duration,
    pub closing: CancellationToken,
}

impl Listener {
    /// Listens until the log is closed, over as many connections as it takes.
    pub async fn run(self) {
        let closing = self.closing.clone();
        let mut failures = 0;
        let listening = async {
            loop {
                if let Ok(link) = self.begin().await {
                    failures = 0;
                    self.counters.listens(true);
                    // Whatever was announced in between was missed.
                    self.bell.ring_all();
                    self.announce(&link).await;
                    self.counters.listens(false);
                }
                sleep(self.pause(failures)).await;
                failures += 1;
            }
        };
        closing.run_until_cancelled(listening).await;
        self.counters.listens(false);
    }

    async fn begin(&self) -> Result<Link, Failure> {
        let (bell, counters) = (Arc::clone(&self.bell), Arc::clone(&self.counters));
        let link = self.connector.connect(move |notification| {
            count(&counters.notified);
            bell.hear(notification.payload());
        });
        let link = link.await?;
        // An announcement that a crash of the server loses is no worse than one that comes late.
        let begin = format!("SET synchronous_commit = off; LISTEN {}", self.sql.channel);
        let begun = timeout(self.answer_timeout, link.client.batch_execute(&begin)).await;
        match begun {
            Ok(Ok(())) => Ok(link),
            Ok(Err(error)) => Err(Failure::NotSent(describe(&error))),
            Err(_) => Err(Failure::NotSent("listening did not begin in time".into())),
        }
    }

    /// Sends announcements until the connection ends.
    async fn announce(&self, link: &Link) {
        loop {
            let announcement = tokio::select! {
                announcement = self.bell.announcement() => announcement,
                () = link.ended() => return,
            };
            let sent = async {
                link.client.execute("SELECT pg_notify($1, $2)", &[&self.sql.channel, &announcement]).await
            };
            if !matches!(timeout(self.answer_timeout, sent).await, Ok(Ok(_))) {
                return;
            }
        }
    }

    /// A random time up to a limit that doubles with each failure, so that many nodes do not come back at once.
    fn pause(&self, failures: u32) -> Duration {
        let limit = PAUSE.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX);
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        limit.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
    }
}
