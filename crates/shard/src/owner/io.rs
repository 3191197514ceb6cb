//! The one operation of the log that is under way: sent, given up, or waiting to be sent again.

use mainstay_base::position::Index;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_log::record::{Record, RecordId};

use super::{Action, Attempt, Options};

/// What is asked of the log.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Tail,
    Read { from: Index, bytes_max: usize },
    Append(Record),
}

/// By which an operation is known when it is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Tail,
    Read(Index),
    Append(Index, RecordId),
}

#[derive(Debug)]
struct Asked {
    operation: Operation,
    /// Sent: when it is given up. Not sent yet: when it is.
    due: Instant,
    is_sent: bool,
}

/// At most one operation is under way; answers to attempts that were given up are not looked at.
#[derive(Debug)]
pub(super) struct Io {
    timeout: Duration,
    delay_min: Duration,
    delay_max: Duration,
    attempt: u64,
    asked: Option<Asked>,
    last: Option<Name>,
    /// How often the last operation was repeated.
    repeats: u32,
}

impl Operation {
    fn name(&self) -> Name {
        match self {
            Self::Tail => Name::Tail,
            Self::Read { from, .. } => Name::Read(*from),
            Self::Append(record) => Name::Append(record.head().index, record.head().id),
        }
    }
}

impl Io {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            timeout: options.log_timeout,
            delay_min: options.retry_delay_min,
            delay_max: options.retry_delay_max,
            attempt: 0,
            asked: None,
            last: None,
            repeats: 0,
        }
    }

    /// Asks now, or after a while if the same was asked just before.
    pub(super) fn ask(&mut self, operation: Operation, now: Instant, out: &mut Vec<Action>) {
        let name = operation.name();
        if self.last != Some(name) {
            (self.last, self.repeats) = (Some(name), 0);
            return self.send(operation, now, out);
        }
        let due = now.saturating_add(self.delay());
        self.repeats = self.repeats.saturating_add(1);
        self.asked = Some(Asked { operation, due, is_sent: false });
    }

    /// How long to wait before the next repetition: twice as long each time.
    fn delay(&self) -> Duration {
        let factor = 1_u32 << self.repeats.min(20);
        self.delay_min.saturating_mul(factor).min(self.delay_max)
    }

    fn send(&mut self, operation: Operation, now: Instant, out: &mut Vec<Action>) {
        self.attempt += 1;
        let attempt = Attempt(self.attempt);
        out.push(match &operation {
            Operation::Tail => Action::Tail { attempt },
            Operation::Read { from, bytes_max } => {
                Action::ReadLog { attempt, from: *from, bytes_max: *bytes_max }
            }
            Operation::Append(record) => Action::Append { attempt, record: record.clone() },
        });
        self.asked = Some(Asked { operation, due: now.saturating_add(self.timeout), is_sent: true });
    }

    /// Whether this is the answer that is waited for; from then on nothing is.
    pub(super) fn is_answer(&mut self, attempt: Attempt) -> bool {
        let is_awaited = attempt.0 == self.attempt && self.asked.as_ref().is_some_and(|asked| asked.is_sent);
        if is_awaited {
            self.asked = None;
        }
        is_awaited
    }

    /// Sends what is due. Returns an operation that has waited too long for its answer, and is given up.
    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Action>) -> Option<Operation> {
        let asked = self.asked.take_if(|asked| asked.due <= now)?;
        if asked.is_sent {
            return Some(asked.operation);
        }
        self.send(asked.operation, now, out);
        None
    }

    /// When there is something to do next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.due)
    }

    /// Forgets what is under way.
    pub(super) fn cancel(&mut self) {
        self.asked = None;
    }
}
