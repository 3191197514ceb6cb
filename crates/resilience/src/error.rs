//! What a guarded call ends with instead of an answer.

use mainstay_base::error::{Classify, Code, Fault, Retry};
use mainstay_base::units::Duration;
use thiserror::Error as ThisError;

use crate::call::Criticality;
use crate::judge::Verdict;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum Error<E> {
    /// The service's own error.
    #[error(transparent)]
    Service(E),
    /// A policy did not let it through, or gave it up.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// Why a policy did not let a call through, or gave it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Rejection {
    /// The deadline had passed before it was begun, or passed while it waited.
    #[error("the deadline of the call has passed: nothing was sent")]
    DeadlinePassed,
    /// The deadline has passed while it was running, or was too near for another try.
    #[error("the deadline of the call came before its end: it may have been done")]
    GivenUp,
    /// A try took longer than it may.
    #[error("no answer within {limit}: it may have been done")]
    TimedOut {
        /// How long it might have taken.
        limit: Duration,
    },
    /// As many as may be are running, and as many as may wait are waiting.
    #[error(
        "{concurrent} calls are running and {waiting} are waiting for them, the most there may be: send fewer at a time"
    )]
    BulkheadFull {
        /// How many are running.
        concurrent: u32,
        /// How many are waiting.
        waiting: u32,
    },
    /// It has waited for its turn as long as it may.
    #[error("waited {limit} for its turn among {concurrent} running calls: send fewer at a time")]
    BulkheadWaited {
        /// How many were running.
        concurrent: u32,
        /// How long it waited.
        limit: Duration,
    },
    /// Its caller has used up the rate.
    #[error("the limit of {quota} in {window} is used up: try again in {}", after.up_to_millis())]
    RateLimited {
        /// How many units there are in a window.
        quota: u32,
        /// The window.
        window: Duration,
        /// How many units are left: fewer than it takes.
        remaining: u32,
        /// How long until all units are back.
        reset: Duration,
        /// When there are enough units again.
        after: Duration,
    },
    /// It takes more units at once than its caller can ever have.
    #[error("it takes {cost} units, and there are never more than {burst} at once: make it smaller")]
    CostAboveBurst {
        /// How many it takes.
        cost: u32,
        /// How many there are at most.
        burst: u32,
    },
    /// It was shed for the sake of more critical ones.
    #[error("overloaded: calls of the class `{}` are not taken now: try again in {}", criticality.as_str(), after.up_to_millis())]
    Shed {
        /// Its class.
        criticality: Criticality,
        /// When to try again; with a spread, so that not all come back at once.
        after: Duration,
    },
    /// As many are running as what is guarded can bear by now.
    #[error("{limit} calls are running, as many as are borne well by now: try again later")]
    LimitReached {
        /// The limit by now.
        limit: u32,
    },
    /// The call whose answer it was to share has panicked.
    #[error("the call that it shared was lost to a defect: it may have been done")]
    FlightLost,
    /// A fault was injected.
    #[error("injected fault")]
    Injected {
        /// What it stands for.
        code: Code,
    },
    /// A fault was injected that stands for a connection which was dropped: whoever has one drops it instead of an answer.
    #[error("injected fault: the connection is dropped, and it may have been done")]
    Aborted,
    /// The breaker is open.
    #[error("the breaker is open after failures of what it guards: try again in {}", after.up_to_millis())]
    BreakerOpen {
        /// When it may be asked again; with a spread, so that not all come back at once.
        after: Duration,
    },
}

impl Rejection {
    /// What it says of the health of the service that was not asked, or not to the end.
    pub(crate) const fn verdict(self) -> Verdict {
        match self {
            Self::TimedOut { .. } | Self::FlightLost | Self::Aborted => {
                Verdict::Failure(Retry::WithIdempotencyKey)
            }
            Self::Injected { code } => Verdict::Failure(code.retry()),
            // A caller that leaves it little time must not have breakers open for others.
            Self::DeadlinePassed
            | Self::GivenUp
            | Self::BulkheadFull { .. }
            | Self::BulkheadWaited { .. }
            | Self::RateLimited { .. }
            | Self::CostAboveBurst { .. }
            | Self::Shed { .. }
            | Self::LimitReached { .. }
            | Self::BreakerOpen { .. } => Verdict::Neutral,
        }
    }
}

impl Classify for Rejection {
    fn code(&self) -> Code {
        match self {
            Self::DeadlinePassed | Self::GivenUp | Self::TimedOut { .. } => Code::Deadline,
            Self::RateLimited { .. } | Self::CostAboveBurst { .. } => Code::RateLimited,
            Self::BulkheadFull { .. }
            | Self::BulkheadWaited { .. }
            | Self::Shed { .. }
            | Self::LimitReached { .. } => Code::Overloaded,
            Self::FlightLost => Code::Internal,
            Self::Injected { code } => *code,
            Self::Aborted => Code::BadGateway,
            Self::BreakerOpen { .. } => Code::Unavailable,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { after, .. } | Self::Shed { after, .. } | Self::BreakerOpen { after } => {
                Retry::After(after.up_to_millis())
            }
            Self::DeadlinePassed
            | Self::BulkheadFull { .. }
            | Self::BulkheadWaited { .. }
            | Self::LimitReached { .. } => Retry::Safe,
            Self::GivenUp | Self::TimedOut { .. } | Self::FlightLost | Self::Aborted => {
                Retry::WithIdempotencyKey
            }
            Self::CostAboveBurst { .. } => Retry::Never,
            Self::Injected { code } => code.retry(),
        }
    }
}

impl<E: Classify> Classify for Error<E> {
    fn code(&self) -> Code {
        match self {
            Self::Service(error) => error.code(),
            Self::Rejected(rejection) => rejection.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Service(error) => error.fault(),
            Self::Rejected(rejection) => rejection.fault(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Service(error) => error.retry(),
            Self::Rejected(rejection) => rejection.retry(),
        }
    }
}
