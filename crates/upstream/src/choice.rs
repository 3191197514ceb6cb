//! What a call's choice of an endpoint goes by, and what it was sent to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::endpoint::Id;

/// How many endpoints are remembered that a call was sent to: as many as there are tries, mostly.
const TRIED_MAX: usize = 4;

/// What a call's choice of an endpoint goes by. A clone is that of another call.
#[derive(Debug, Default)]
pub struct Choice {
    /// What it is recognised by, where that decides.
    pub key: Option<u64>,
    /// The endpoint that its client is kept to.
    pub kept_to: Option<Id>,
    tried: Mutex<Tried>,
}

/// The endpoints that a call was sent to, the last ones of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    ids: [Id; TRIED_MAX],
    count: usize,
}

impl Default for Tried {
    fn default() -> Self {
        Self { ids: [Id(0); TRIED_MAX], count: 0 }
    }
}

impl Clone for Choice {
    fn clone(&self) -> Self {
        Self::new(self.key, self.kept_to)
    }
}

impl Choice {
    /// That of a call which is recognised by this key, and whose client is kept to this endpoint.
    pub fn new(key: Option<u64>, kept_to: Option<Id>) -> Self {
        Self { key, kept_to, tried: Mutex::default() }
    }

    /// Those that it was sent to; it is sent to the one that `choose` names of them.
    pub(crate) fn try_another<T>(&self, choose: impl FnOnce(&[Id]) -> Option<(Id, T)>) -> Option<T> {
        let mut tried = self.tried();
        let known = tried.count.min(TRIED_MAX);
        let (id, chosen) = choose(&tried.ids[..known])?;
        let place = tried.count % TRIED_MAX;
        tried.ids[place] = id;
        tried.count += 1;
        Some(chosen)
    }

    fn tried(&self) -> MutexGuard<'_, Tried> {
        // A list of ids is one at any time.
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_and_not_by_copies() {
        let choice = Choice::new(Some(1), None);
        let tried = |choice: &Choice| {
            let mut seen = Vec::new();
            let none = choice.try_another(|tried| {
                seen.extend(tried.iter().map(|id| id.0));
                None::<(Id, ())>
            });
            assert!(none.is_none());
            seen
        };
        for id in 1..=5 {
            assert_eq!(choice.try_another(|_| Some((Id(id), id))), Some(id));
        }
        assert_eq!(tried(&choice), [5, 2, 3, 4]);
        let copy = choice.clone();
        assert_eq!((copy.key, tried(&copy)), (Some(1), vec![]));
    }
}
