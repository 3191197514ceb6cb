//! The engine on PostgreSQL against real servers: the suite of all engines, then what only a server can do to it. The
//! engine on local files when system calls fail and file systems fill up.
//!
//! Run by `make conformance`. Each test starts servers of its own, in a folder that goes away with it.

mod postgres;
mod process;
