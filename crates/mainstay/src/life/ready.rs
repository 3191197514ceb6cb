//! Whether the node is ready: every part that was asked for is up, and none has failed or is draining.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// The state of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not up yet.
    Starting,
    /// Up.
    Ready,
    /// Finishing what it has; takes nothing new.
    Draining,
    /// Not able to do its work until the node is started again.
    Failed,
}

/// One part and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The part's name.
    pub name: &'static str,
    /// Its state.
    pub state: State,
    /// Why it has failed; present exactly when it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The board on which parts report. Cloning gives another handle to the same board.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<Mutex<Vec<Part>>>,
}

impl Readiness {
    /// A board on which every part that was asked for is still starting.
    pub fn expecting(names: &[&'static str]) -> Self {
        let parts = names.iter().map(|name| Part { name, state: State::Starting, reason: None }).collect();
        Self { parts: Arc::new(Mutex::new(parts)) }
    }

    /// The part is up.
    ///
    /// # Panics
    /// If the part was not expected: readiness must not depend on who happens to report.
    pub fn up(&self, name: &str) {
        self.set(name, State::Ready, None);
    }

    /// The part has failed and stays so: nothing but a new start makes the node ready again.
    ///
    /// # Panics
    /// As [`Readiness::up`].
    pub fn fail(&self, name: &str, reason: impl Into<String>) {
        self.set(name, State::Failed, Some(reason.into()));
    }

    fn set(&self, name: &str, state: State, reason: Option<String>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.iter_mut().find(|it| it.name == name);
        let part = part.expect("every part is expected from the start");
        *part = Part { name: part.name, state, reason };
    }

    /// Every part is draining, but those that have failed.
    pub fn drain(&self) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        for part in parts.iter_mut().filter(|part| part.state != State::Failed) {
            part.state = State::Draining;
        }
    }

    /// Whether all are ready, and the state of each.
    pub fn report(&self) -> (bool, Vec<Part>) {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (parts.iter().all(|it| it.state == State::Ready), parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_every_part() {
        let board = Readiness::expecting(&["data", "api"]);
        assert!(!board.report().0);
        board.up("data");
        assert!(!board.report().0);
        board.up("api");
        assert!(board.report().0);
        board.drain();
        let (ready, parts) = board.report();
        assert!(!ready);
        assert_eq!(parts[0], Part { name: "data", state: State::Draining, reason: None });
    }

    #[test]
    fn a_part_that_has_failed_says_why_to_the_end() {
        let board = Readiness::expecting(&["log", "api"]);
        board.up("log");
        board.up("api");
        board.fail("log", "the disk");
        assert!(!board.report().0);
        board.drain();
        let failed = Part { name: "log", state: State::Failed, reason: Some("the disk".into()) };
        assert_eq!(board.report().1[0], failed);
    }
}
