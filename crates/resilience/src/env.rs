//! What layers get from outside: a clock, chance, and whoever watches what is decided.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use mainstay_base::id::RequestId;
use mainstay_base::time::{Clock, Entropy, Instant, Timestamp};
use mainstay_base::units::Ratio;

use crate::chance::{happens, unit};
use crate::watch::{Decision, Watch};

/// What layers get from outside. Clones share it.
#[derive(Clone)]
pub struct Env(Arc<Parts>);

struct Parts {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    watch: Arc<dyn Watch>,
}

impl Env {
    /// With these. The clock's time must pass as tokio's does: [`TokioClock`], or the machine's own.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, watch: Arc<dyn Watch>) -> Self {
        Self(Arc::new(Parts { clock, entropy, watch }))
    }

    /// The moment.
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// The time of day.
    pub fn wall(&self) -> Timestamp {
        self.0.clock.wall()
    }

    /// A number by chance.
    pub fn draw(&self) -> u64 {
        let mut bytes = [0; 8];
        self.0.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number by chance from 0 to 1, without 1.
    pub fn unit(&self) -> f64 {
        unit(&*self.0.entropy)
    }

    /// Whether something happens that does in this share of all cases.
    pub fn happens(&self, share: Ratio) -> bool {
        happens(share, &*self.0.entropy)
    }

    /// The id of a request that comes now.
    pub fn request_id(&self) -> RequestId {
        let mut random = [0; 10];
        self.0.entropy.fill(&mut random);
        RequestId::new(self.wall(), random)
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }

    /// Tells what was decided.
    pub(crate) fn decided(&self, decision: Decision) {
        self.0.watch.decided(decision);
    }

    /// A timer that ends at a moment.
    pub(crate) fn sleep_until(&self, moment: Instant) -> tokio::time::Sleep {
        tokio::time::sleep(moment.saturating_since(self.now()).as_std())
    }
}

impl Debug for Env {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

/// The clock of tokio's timers, which tests can stop.
#[derive(Debug)]
pub struct TokioClock {
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).expect("a process lives under 584 years");
        Instant::from_nanos(nanos)
    }

    fn wall(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is a clock")]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros())
            .ok()
            .and_then(Timestamp::checked_from_micros)
            .unwrap_or(Timestamp::MAX)
    }
}
