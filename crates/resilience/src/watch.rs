//! What policies decide, told to whoever counts it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a policy has decided. Letting a call pass as it is is no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decision {
    /// A breaker let nothing through any more.
    BreakerOpened,
    /// A breaker began to let probes through.
    BreakerHalfOpened,
    /// A breaker let everything through again.
    BreakerClosed,
    /// An open breaker rejected a call.
    BreakerRejected,
    /// A call was not begun, since its deadline had passed.
    DeadlinePassed,
    /// A call was given up, since its deadline passed while it was running.
    GivenUp,
    /// A try was given up, since it took too long.
    TimedOut,
    /// A call was tried again.
    Retried,
    /// A call was not tried again, since the budget of retries was spent.
    RetryBudgetSpent,
    /// A call was not tried again, since it had all of its tries, or no time for another.
    RetriesSpent,
    /// A call had to wait for its turn.
    BulkheadQueued,
    /// A call was rejected, since too many were waiting, or it had waited too long.
    BulkheadRejected,
    /// A call was rejected, since its caller had used up the rate.
    RateLimited,
    /// A caller shared the rate of others, since there was no room to count it alone.
    RateLimitShared,
    /// A call was shed for the sake of more critical ones.
    Shed,
    /// More calls are shed from now on: a step of the lowest class that is not shed whole yet.
    SheddingRaised,
    /// Fewer calls are shed from now on, by a step.
    SheddingLowered,
    /// A call was rejected by an adaptive limit.
    LimitReached,
    /// A second try was begun beside the first.
    Hedged,
    /// The answer of the second try was taken.
    HedgeWon,
    /// A second try was not begun, since the budget of hedges was spent.
    HedgeBudgetSpent,
    /// A call was answered by a step of the ladder below the first.
    FellBack,
    /// The ladder begins one step lower from now on.
    LadderLowered,
    /// The ladder begins one step higher again.
    LadderRaised,
    /// A call was given the answer of another one that was on its way.
    Coalesced,
    /// A fault was injected.
    FaultInjected,
}

impl Decision {
    /// All, each at the place of its number.
    pub const ALL: [Self; 26] = [
        Self::BreakerOpened,
        Self::BreakerHalfOpened,
        Self::BreakerClosed,
        Self::BreakerRejected,
        Self::DeadlinePassed,
        Self::GivenUp,
        Self::TimedOut,
        Self::Retried,
        Self::RetryBudgetSpent,
        Self::RetriesSpent,
        Self::BulkheadQueued,
        Self::BulkheadRejected,
        Self::RateLimited,
        Self::RateLimitShared,
        Self::Shed,
        Self::SheddingRaised,
        Self::SheddingLowered,
        Self::LimitReached,
        Self::Hedged,
        Self::HedgeWon,
        Self::HedgeBudgetSpent,
        Self::FellBack,
        Self::LadderLowered,
        Self::LadderRaised,
        Self::Coalesced,
        Self::FaultInjected,
    ];

    /// The name, as in metrics and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpened => "breaker_opened",
            Self::BreakerHalfOpened => "breaker_half_opened",
            Self::BreakerClosed => "breaker_closed",
            Self::BreakerRejected => "breaker_rejected",
            Self::DeadlinePassed => "deadline_passed",
            Self::GivenUp => "given_up",
            Self::TimedOut => "timed_out",
            Self::Retried => "retried",
            Self::RetryBudgetSpent => "retry_budget_spent",
            Self::RetriesSpent => "retries_spent",
            Self::BulkheadQueued => "bulkhead_queued",
            Self::BulkheadRejected => "bulkhead_rejected",
            Self::RateLimited => "rate_limited",
            Self::RateLimitShared => "rate_limit_shared",
            Self::Shed => "shed",
            Self::SheddingRaised => "shedding_raised",
            Self::SheddingLowered => "shedding_lowered",
            Self::LimitReached => "limit_reached",
            Self::Hedged => "hedged",
            Self::HedgeWon => "hedge_won",
            Self::HedgeBudgetSpent => "hedge_budget_spent",
            Self::FellBack => "fell_back",
            Self::LadderLowered => "ladder_lowered",
            Self::LadderRaised => "ladder_raised",
            Self::Coalesced => "coalesced",
            Self::FaultInjected => "fault_injected",
        }
    }
}

/// Hears what is decided. Called where the call is, so it must not wait.
pub trait Watch: Send + Sync {
    /// Hears of a decision.
    fn decided(&self, decision: Decision);
}

/// Counts decisions, and makes each an event of the span that it is made in.
#[derive(Debug)]
pub struct Counts {
    of: String,
    counts: [AtomicU64; Decision::ALL.len()],
}

impl Counts {
    /// None yet, of the policies of what has this name.
    pub fn new(of: impl Into<String>) -> Self {
        Self { of: of.into(), counts: [const { AtomicU64::new(0) }; Decision::ALL.len()] }
    }

    /// How often this was decided.
    pub fn get(&self, decision: Decision) -> u64 {
        self.counts[decision as usize].load(Ordering::Relaxed)
    }
}

impl Watch for Counts {
    fn decided(&self, decision: Decision) {
        self.counts[decision as usize].fetch_add(1, Ordering::Relaxed);
        tracing::debug!(target: "mainstay::resilience", of = %self.of, decision = decision.as_str(), "policy decided");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_has_its_own_place_and_name() {
        let counts = Counts::new("payments");
        for (number, decision) in Decision::ALL.into_iter().enumerate() {
            assert_eq!(decision as usize, number);
            counts.decided(decision);
            assert_eq!(counts.get(decision), 1);
            assert!(Decision::ALL[..number].iter().all(|other| other.as_str() != decision.as_str()));
        }
    }
}
