//! What threads share: that of the standard library, or that of a model that tries every order of steps.

#[cfg(not(mainstay_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

#[cfg(mainstay_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
