//! Connections of TCP listeners: passed on as they are, whatever they speak.
//!
//! A connection begins as its listener says: with the PROXY protocol, with TLS that is ended here, or with TLS of which nothing is read but the name that the client asks for, and which is passed on
//! byte by byte. That name, if names are told apart, says which service it is for; it is connected to an endpoint of it, and then each side is given what the other one says until both have ended.
//!
//! Nothing can be told a client in words that it would know. What goes wrong before it is passed on closes it, with an alert where it speaks TLS, and is counted with its reason.

mod begin;
mod config;
mod hello;
mod meters;
mod passage;
mod record;
mod relay;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use mainstay_resilience::{Env, Key};
use mainstay_upstream::Connection;
use mainstay_upstream::tcp::{Connected, connect};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

pub use config::Config;
pub(crate) use meters::Meters;
pub use passage::Passage;

use crate::connection::{farewell, stopped};
use crate::listener::{Greeting, Listener};
use crate::network;
use crate::proxy_protocol;
use crate::server::Shared;
use crate::stream::{Stream, socket};
use begin::{Begun, Failed};
use record::Record;
use relay::{Relay, Scratch};

/// The alert of TLS by which a client knows that nobody has the name that it asks for (RFC 6066, section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What one worker has for the connections of TCP listeners.
pub(crate) struct Local {
    shared: Shared,
    scratch: Scratch,
}

impl Local {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared, scratch: Scratch::new() }
    }

    const fn env(&self) -> &Env {
        &self.shared.env
    }
}

/// Passes a connection on until it ends.
pub(crate) async fn run(
    (stream, peer): (TcpStream, SocketAddr),
    (listener, greeting): (Listener, Arc<Greeting>),
    passage: Arc<Passage>,
    local: Arc<Local>,
) {
    let Some(counted) = passage.count() else {
        local.shared.meters.refused(Failed::Full.reason());
        return passage.meters().ended(Failed::Full.reason());
    };
    let settings = Arc::clone(&local.shared.snapshot.load().settings);
    let access = passage.config().access_log.unwrap_or(settings.access_log);
    let mut record = Record::new(local.env(), passage.meters(), access, (listener.address(), peer));
    // In a box, which is gone while it is passed on.
    let opening = Box::pin(async {
        let counted = (&*local, &*settings, counted);
        let begun = begin::begin((stream, peer), &greeting, &passage, counted).await?;
        open(begun, &passage, &local, &mut record).await
    });
    let opened = tokio::select! {
        opened = opening => opened,
        () = stopped(listener.stop().closing.clone(), || ()) => Err(Failed::Stopped),
    };
    let Opened { client, connected, read, counted: _counted } = match opened {
        Ok(opened) => opened,
        Err(failed) => {
            local.shared.meters.refused(failed.reason());
            tracing::debug!(target: "mainstay::gateway", %peer, error = %failed, "a connection is not passed on");
            return record.fails(&failed);
        }
    };
    record.relays();
    let Connected { stream: service, running: _running } = connected;
    let mut sides = (client, service);
    // Who sees a connection end in order takes it for whole: until it is known to be, it ends with a reset, also if it is cut off.
    linger((&sides.0, &sides.1), [true; 2]);
    let relay = Relay::new(&local.scratch, record.progress(), read, passage.config().idle_timeout);
    let end = relay.run((&mut sides.0, &mut sides.1), listener.stop().closing.clone()).await;
    linger((&sides.0, &sides.1), end.resets());
    record.ends(&end);
}

/// Whether each side is reset when it is closed, or ends in order.
#[expect(deprecated, reason = "what is deprecated is to wait while it is closed, and neither of these does")]
fn linger((client, service): (&Stream, &Connection), resets: [bool; 2]) {
    for (socket, resets) in [socket(client), service.socket()].into_iter().zip(resets) {
        // It fails for a socket that is no more, which ends nothing in order.
        let _ = if resets { socket.set_zero_linger() } else { socket.set_linger(None) };
    }
}

/// A connection that is to be passed on.
struct Opened {
    client: Stream,
    connected: Connected,
    /// What the client has said already.
    read: Bytes,
    counted: crate::census::Counted,
}

/// Connects to an endpoint of the service that a connection is for.
async fn open(begun: Begun, passage: &Passage, local: &Local, record: &mut Record) -> Result<Opened, Failed> {
    let Begun { stream: client, from, to, name, read, counted } = begun;
    record.is_from(from, name.as_deref());
    let Some(service) = passage.service(name.as_deref(), &local.shared.snapshot.load()) else {
        // Without TLS there are no names: whoever has one, or could have had, speaks it.
        let alert = matches!(client, Stream::Plain(_)).then(|| Bytes::from_static(&UNRECOGNIZED_NAME));
        farewell(client, alert).await;
        return Err(Failed::Name { name });
    };
    record.is_for(service.name());
    // The same as of a request by this client.
    let key = Key::of(0, network::text_of_host(from.ip()).as_bytes()).bits() as u64;
    let mut connected = connect(&service, Some(key), local.env()).await.map_err(Failed::Service)?;
    let endpoint = connected.running.endpoint().instance().address;
    record.goes_to(endpoint);
    if passage.config().send_proxy_protocol {
        let header = proxy_protocol::header(from, to);
        connected.stream.write_all(&header).await.map_err(|source| Failed::Lost { endpoint, source })?;
    }
    Ok(Opened { client, connected, read, counted })
}
