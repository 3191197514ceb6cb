//! What an answer means to policies.

use mainstay_base::error::{Classify, Fault, Retry};
use mainstay_base::units::Duration;

use crate::error::Error;

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The service did what it was asked.
    Success,
    /// It did not, and that is not the caller's fault. Whether it may be asked again.
    Failure(Retry),
    /// It did not, since it is too busy for as long as it says. Whether it did something is not known.
    Busy(Duration),
    /// It says nothing of the service's health: the caller's fault, or a policy's.
    Neutral,
}

impl Verdict {
    /// Whether the service failed; none if that is not said.
    pub const fn is_failure(self) -> Option<bool> {
        match self {
            Self::Success => Some(false),
            Self::Failure(_) | Self::Busy(_) => Some(true),
            Self::Neutral => None,
        }
    }
}

/// Says what an answer means.
///
/// A function of `Result<&T, &E>` is one.
pub trait Judge<T, E> {
    /// What the answer means.
    fn judge(&self, answer: Result<&T, &E>) -> Verdict;
}

impl<T, E, F: Fn(Result<&T, &E>) -> Verdict> Judge<T, E> for F {
    fn judge(&self, answer: Result<&T, &E>) -> Verdict {
        self(answer)
    }
}

/// Goes by what errors say of themselves; an answer that is none is a success.
#[derive(Debug, Clone, Copy, Default)]
pub struct Classified;

impl<T, E: Classify> Judge<T, E> for Classified {
    fn judge(&self, answer: Result<&T, &E>) -> Verdict {
        match answer {
            Ok(_) => Verdict::Success,
            Err(error) if error.fault() == Fault::Caller => Verdict::Neutral,
            Err(error) => Verdict::Failure(error.retry()),
        }
    }
}

/// What the answer of a stack means: that of the service as the judge says, and a rejection as it says itself.
pub(crate) fn verdict<T, E>(judge: &impl Judge<T, E>, answer: Result<&T, &Error<E>>) -> Verdict {
    match answer {
        Ok(answer) => judge.judge(Ok(answer)),
        Err(Error::Service(error)) => judge.judge(Err(error)),
        Err(Error::Rejected(rejection)) => rejection.verdict(),
    }
}
