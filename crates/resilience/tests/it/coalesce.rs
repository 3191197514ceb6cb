//! Coalescing: of equal calls at one time, one is made.
