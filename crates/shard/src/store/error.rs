//! What can go wrong with a store, and what to do about it.

use std::path::PathBuf;

use mainstay_base::error::{Classify, Code, Retry};
use mainstay_base::position::Index;
use mainstay_base::units::Size;
use thiserror::Error;

/// A failed operation on a store. Nothing that the log holds is lost by any of them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// An option is out of its range.
    #[error("the store's option {field} is {found}: use {allowed}")]
    Options {
        /// The option.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// The background threads cannot be started.
    #[error("a thread for the stores cannot be started: {reason}")]
    Threads {
        /// Why not.
        reason: String,
    },
    /// The directory cannot be read or written, or its tables cannot.
    #[error("the store in {directory} cannot be opened: {reason}")]
    Open {
        /// The store's directory.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
    /// What is in the directory is not what was written there.
    #[error(
        "the store in {directory} is damaged: {what}; remove the directory, it is made again from the snapshot and the log"
    )]
    Damaged {
        /// The store's directory.
        directory: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The store is open already, or something still reads it.
    #[error("the store in {directory} is in use: let go of its handles, views and walks first")]
    InUse {
        /// The store's directory.
        directory: PathBuf,
    },
    /// A row that the store does not take. Nothing of its batch was applied.
    #[error("a row with a key of {key_bytes} bytes and a value of {value_bytes} is refused: {why}")]
    Row {
        /// The key's length.
        key_bytes: usize,
        /// The value's length.
        value_bytes: usize,
        /// Why.
        why: &'static str,
    },
    /// The batch is not after the last one that was applied. Nothing of it was applied.
    #[error("the record at index {given} is refused: the store has applied up to {last}")]
    Order {
        /// The refused batch.
        given: Index,
        /// The last applied one.
        last: Index,
    },
    /// Memory is full, and so is the disk. Nothing was applied; reading works, and it heals by itself when there is room.
    #[error(
        "there is no room for what is applied: {size} wait in memory for the disk, which is full: {reason}"
    )]
    Full {
        /// How much memory all memtables may take.
        size: Size,
        /// What the disk says.
        reason: String,
    },
    /// Rows cannot be read. Others may be readable.
    #[error("the store in {directory} cannot be read: {reason}")]
    Unreadable {
        /// The store's directory.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
    /// It could not write, and to try again could make it worse. What it holds stays readable.
    #[error(
        "the store in {directory} has stopped writing: {reason}; mend the disk and start again, and if it fails again, remove the \
         directory: it is made again from the snapshot and the log"
    )]
    Broken {
        /// The store's directory.
        directory: PathBuf,
        /// What failed.
        reason: String,
    },
    /// Only an empty store is loaded.
    #[error("the store in {directory} has rows already: close and remove it before a snapshot is loaded")]
    NotEmpty {
        /// The store's directory.
        directory: PathBuf,
    },
    /// A snapshot's rows are not in the order of their keys.
    #[error(
        "row {row} of what is loaded does not come after the one before it: the snapshot is damaged, use another"
    )]
    Unsorted {
        /// Its number, from 1.
        row: u64,
    },
    /// A snapshot could not be loaded. The store is not to be used.
    #[error("the store in {directory} cannot be loaded: {reason}; remove the directory and load it again")]
    Load {
        /// The store's directory.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Too many ranges wait for their deletion.
    #[error("{waiting} ranges wait for their deletion: wait until some are deleted")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The directory could not be removed.
    #[error("the store in {directory} cannot be removed: {reason}")]
    Remove {
        /// The store's directory.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The store, or what all stores share, was closed.
    #[error("the store in {directory} is closed")]
    Closed {
        /// The store's directory.
        directory: PathBuf,
    },
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Options { .. } => Code::Invalid,
            Self::Full { .. } => Code::StorageFull,
            Self::Busy { .. } => Code::Overloaded,
            Self::InUse { .. } | Self::Closed { .. } => Code::Unavailable,
            _ => Code::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self.code() {
            // The same bytes are refused, or found, again.
            Code::Internal => Retry::Never,
            code => code.retry(),
        }
    }
}
