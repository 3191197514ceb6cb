//! Mainstay from outside: the built binary, its files, its signals and its listener.

mod api;
mod backup;
mod bench;
mod certs;
mod changes;
mod check;
mod collections;
mod definitions;
mod docs;
mod gateway;
mod guide;
mod h2;
mod holds;
mod inspect;
mod items;
mod kills;
mod life;
mod log;
mod logs;
mod output;
mod overload;
mod reference;
mod references;
mod support;
