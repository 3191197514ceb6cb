//! Calls to services that do as they are told, over sockets.

mod dns;
mod endpoints;
mod http1;
mod http2;
mod pools;
mod tcp;
mod tls;
mod world;
