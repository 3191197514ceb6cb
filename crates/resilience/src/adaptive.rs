//! Adaptive concurrency: how many calls at a time is learned from how they end.
