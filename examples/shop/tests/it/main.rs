//! The shop as it runs: services behind a real node.
