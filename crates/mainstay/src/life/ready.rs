//! Whether the node is ready: every part that was asked for is up, and none is draining.

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
}

/// One part and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The part's name.
    pub name: &'static str,
    /// Its state.
    pub state: State,
}

/// The board on which parts report. Cloning gives another handle to the same board.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<Mutex<Vec<Part>>>,
}

impl Readiness {
    /// A board on which every part that was asked for is still starting.
    pub fn expecting(names: &[&'static str]) -> Self {
        let parts = names.iter().map(|name| Part { name, state: State::Starting }).collect();
        Self { parts: Arc::new(Mutex::new(parts)) }
    }

    /// Sets the state of a part.
    ///
    /// # Panics
    /// If the part was not expected: readiness must not depend on who happens to report.
    pub fn set(&self, name: &str, state: State) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.iter_mut().find(|it| it.name == name);
        part.expect("every part is expected from the start").state = state;
    }

    /// Every part is draining.
    pub fn drain(&self) {
        for part in self.parts.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
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
        board.set("data", State::Ready);
        assert!(!board.report().0);
        board.set("api", State::Ready);
        assert!(board.report().0);
        board.drain();
        let (ready, parts) = board.report();
        assert!(!ready);
        assert_eq!(parts[0], Part { name: "data", state: State::Draining });
    }
}
