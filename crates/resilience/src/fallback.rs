//! Fallbacks: a ladder of answers, each less than the one above it.
