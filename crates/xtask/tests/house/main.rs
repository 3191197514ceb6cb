//! The house rules: what every file, crate and page of this repository must hold to, checked as tests.
//!
//! Each rule is a pure function from text to [`Finding`]s, tested here with input that breaks it, and one test that
//! runs it over the repository. A finding names the place and what to do about it.

mod answers;
mod cargo;
mod examples;
mod figures;
mod finding;
mod headers;
mod invocation;
mod lengths;
mod markdown;
mod mentions;
mod picture;
mod purity;
mod repo;
mod rooms;
mod shipped;
mod words;

use finding::Finding;
