//! What tests of layers have in common: an environment whose time is tokio's, and services that do as they are told.

use std::sync::Arc;

use mainstay_base::error::{Classify, Code};
use mainstay_base::time::{Instant, SeededEntropy};
use mainstay_resilience::{Call, Counts, Decision, Env, Facts, TokioClock};

/// An error that says what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed(pub Code);

impl Classify for Failed {
    fn code(&self) -> Code {
        self.0
    }
}

/// An environment, and what was decided in it.
pub struct World {
    pub env: Env,
    counts: Arc<Counts>,
}

impl World {
    pub fn new() -> Self {
        let counts = Arc::new(Counts::new("test"));
        let clock = Arc::new(TokioClock::new());
        let env = Env::new(clock, Arc::new(SeededEntropy::new(1)), counts.clone());
        Self { env, counts }
    }

    pub fn now(&self) -> Instant {
        self.env.now()
    }

    /// A call that comes in now.
    pub fn call<R>(&self, request: R) -> Call<R> {
        Call { request, facts: Facts::new(self.now()) }
    }

    /// How often this was decided.
    pub fn count(&self, decision: Decision) -> u64 {
        self.counts.get(decision)
    }
}

pub async fn pass(ms: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}
