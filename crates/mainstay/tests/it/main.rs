//! Mainstay from outside: the built binary, its files, its signals and its listener.

mod api;
mod check;
mod docs;
mod life;
mod reference;
mod support;
