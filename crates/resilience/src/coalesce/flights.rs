//! The flights that are on their way, by their keys.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use super::flight::{Flight, Lost};
use crate::sync::{Mutex, MutexGuard};

/// The flights that are on their way.
pub(super) struct Flights<K, F: Future> {
    /// The last that was begun of each key. One that is over is taken out by whoever ended it, or replaced by the next.
    by_key: Mutex<HashMap<K, Arc<Flight<F>>>>,
    followers_max: u32,
}

/// A place in a flight. Dropped, it is left.
pub(super) struct Passenger<K: Hash + Eq, F: Future> {
    flights: Arc<Flights<K, F>>,
    key: K,
    flight: Arc<Flight<F>>,
    seat: usize,
}

impl<K: Hash + Eq + Clone, F: Future> Flights<K, F> {
    pub(super) fn new(followers_max: u32) -> Self {
        Self { by_key: Mutex::new(HashMap::new()), followers_max }
    }

    /// Takes a place in the flight with this key; in a new one, which is begun, if there is none, or if it is full. Returns whether it was there already.
    pub(super) fn board(self: &Arc<Self>, key: K, begin: impl FnOnce() -> F) -> (Passenger<K, F>, bool) {
        let passenger = |flight, seat, key| Passenger { flights: self.clone(), key, flight, seat };
        let mut by_key = self.by_key();
        if let Some(flight) = by_key.get(&key)
            && let Some(seat) = flight.board(self.followers_max.saturating_add(1))
        {
            return (passenger(flight.clone(), seat, key), true);
        }
        let (flight, seat) = Flight::boarding();
        let flight = Arc::new(flight);
        let replaced = by_key.insert(key.clone(), flight.clone());
        drop(by_key);
        drop(replaced);
        let passenger = passenger(flight, seat, key);
        // Outside of the lock: others may board meanwhile, and wait until it is launched.
        let future = passenger.flight.attempt(begin);
        passenger.flight.launch(future);
        (passenger, false)
    }
}

impl<K: Hash + Eq, F: Future> Flights<K, F> {
    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.by_key().len()
    }

    /// Takes a flight out that is over, unless another one has its place.
    fn remove(&self, key: &K, flight: &Arc<Flight<F>>) {
        let mut by_key = self.by_key();
        if by_key.get(key).is_some_and(|last| Arc::ptr_eq(last, flight)) {
            let removed = by_key.remove(key);
            drop(by_key);
            drop(removed);
        }
    }

    fn by_key(&self) -> MutexGuard<'_, HashMap<K, Arc<Flight<F>>>> {
        // Each method leaves a valid map behind, whatever panics after it.
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, F: Future<Output: Clone>> Passenger<K, F> {
    /// Drives the flight.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<F::Output, Lost>> {
        self.flight.poll(self.seat, context)
    }
}

impl<K: Hash + Eq, F: Future> Drop for Passenger<K, F> {
    fn drop(&mut self) {
        // What is left behind is dropped after that, so that nothing is kept of a flight whose end panics.
        let left = self.flight.leave(self.seat);
        if left.is_over {
            self.flights.remove(&self.key, &self.flight);
        }
    }
}

// A flight's future is in a box, and the key is never pinned.
impl<K: Hash + Eq, F: Future> Unpin for Passenger<K, F> {}
