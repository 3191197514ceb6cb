//! What an instance of a program may take of the machine, in the configuration.

use std::num::NonZeroU32;

use mainstay_base::units::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Cores;

/// What each instance may take of the machine, with whatever it starts. By default as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How many cores. It takes a control group that Mainstay may divide (version 2, as a systemd service with `Delegate=cpu` has); where there is none that is told in the log, and the program runs without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cores>,
    /// How much memory, from 1MiB. Mainstay looks once a second: an instance that has more in three looks in a row is replaced, and one that has half as much again is ended at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// How many files each of its processes may have open, connections included, from 16 to what Mainstay itself may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16))]
    pub files: Option<NonZeroU32>,
}

const FILES_MIN: u32 = 16;

impl Limits {
    /// What the types cannot state. Errors: what is wrong and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.memory.is_some_and(|memory| memory < Size::from_mib(1)) {
            return Err("has `memory` below 1MiB: make it more, such as 512MiB".to_owned());
        }
        if self.files.is_some_and(|files| files.get() < FILES_MIN) {
            return Err(format!("has `files` below {FILES_MIN}: make it more, such as 1024"));
        }
        Ok(())
    }

    /// There are none.
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}
