//! Hedges: a second try beside a slow first one.
