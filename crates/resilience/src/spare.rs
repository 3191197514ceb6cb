//! A service for tries after the first one.

use std::sync::{Mutex, PoisonError};

/// What is cloned for a call that needs another try: few do, so that a service is not cloned for each. A lock, since services need not be shared between threads.
#[derive(Debug)]
pub(crate) struct Spare<S>(Mutex<S>);

impl<S> Spare<S> {
    pub(crate) const fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }
}

impl<S: Clone> Spare<S> {
    /// A service that has not said yet that it is ready.
    pub(crate) fn service(&self) -> S {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
