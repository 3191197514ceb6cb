//! Connections to a service over which anything is spoken: each is chosen an endpoint as a call is, and counts there as one call for as long as it lasts.
//!
//! The service's policy has no part in it. A bulkhead bounds calls that end within seconds, and connections that stay for hours would take its places from them; a breaker leaves alone a service whose
//! answers fail, and what is answered here nobody reads. An endpoint that cannot be connected to is passed over by everybody all the same.

use mainstay_resilience::Env;

use crate::balance::{Ask, Random};
use crate::choice::Choice;
use crate::connection::Connection;
use crate::error::Error;
use crate::service::Service;
use crate::ticket::{Running, is_of_endpoint};

/// To how many endpoints a connection is tried.
const TRIES_MAX: usize = 3;

/// A connection to an endpoint of a service.
#[derive(Debug)]
pub struct Connected {
    /// The connection, with TLS where the service has it.
    pub stream: Connection,
    /// What it counts as at its endpoint, until it is dropped.
    pub running: Running,
}

/// Connects to an endpoint of a service; to another one at once if the first takes no connection within the service's `connect_timeout` or this machine cannot connect to it, and then to a third. `key` is
/// what the client is recognised by, where that decides. Errors: there is no endpoint, or none of those that were tried could be connected to. Cancel safe: a connection that is being made is given up.
pub async fn connect(service: &Service, key: Option<u64>, env: &Env) -> Result<Connected, Error> {
    let (choice, mut random) = (Choice::new(key, None), Random::new(env.draw()));
    let roster = service.roster();
    let mut tries = roster.picture().endpoints().count().min(TRIES_MAX);
    loop {
        let (picture, begun) = (roster.picture(), env.now());
        let chosen = choice.try_another(|tried| {
            let key = key.unwrap_or_else(|| random.draw());
            let ask = &mut Ask { key, now: begun, tried, room: u32::MAX, random: &mut random };
            let endpoint = picture.choose(None, ask)?;
            Some((endpoint.id(), endpoint.clone()))
        });
        let endpoint = chosen.ok_or_else(|| Error::NoEndpoint { service: service.name().clone() })?;
        let running = Running::new(endpoint);
        let connected = service.dial().connect_for_bytes(running.endpoint().instance().address).await;
        let now = env.now();
        let made = |made| roster.connected(running.endpoint(), made, now);
        let error = match connected {
            Ok(stream) => {
                made(Ok(now.saturating_since(begun)));
                return Ok(Connected { stream, running });
            }
            Err(error) => error,
        };
        match &error {
            // This machine has no ports or files left, or no way to this one: another may be nearer.
            Error::Connect { source, endpoint } if !is_of_endpoint(source, *endpoint) => {}
            _ => made(Err(&error.why())),
        }
        tries = tries.saturating_sub(1);
        if tries == 0 {
            return Err(error);
        }
    }
}
