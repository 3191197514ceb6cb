//! The demonstration: a minute of customers while services are killed, slowed and made to fail, and Mainstay is killed twice; then the
//! audit, and a report.

pub mod drill;
pub mod node;
pub mod watch;
