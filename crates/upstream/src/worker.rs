//! What one thread has to call services with.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::hash::{BuildHasherDefault, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::Response;
use mainstay_base::time::Instant;
use mainstay_base::units::Duration;
use mainstay_resilience::bulkhead::Held;
use mainstay_resilience::fault::{self, Label};
use mainstay_resilience::policy::{Guard, Guarded};
use mainstay_resilience::{Call, Env, Error as Guardian};
use tower_layer::Layer as _;

use crate::balance::{Ask, Random};
use crate::body::AnswerBody;
use crate::config::Protocol;
use crate::dial::Dial;
use crate::endpoint::{Endpoint, Id, Load};
use crate::error::Error;
use crate::http1;
use crate::judge::judge;
use crate::picture::Picture;
use crate::pool::Pool;
use crate::request::Request;
use crate::room::{Placed, Room};
use crate::roster::Roster;
use crate::service::Service;
use crate::slow::Slower;
use crate::ticket::{Running, Ticket};

/// What one thread has to call services with: connections of its own. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Worker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    env: Env,
    pools: Mutex<HashMap<Place, Arc<Pool>>>,
}

/// Where a pool's connections lead, as the place in memory of what is counted there, and how.
type Place = (usize, Dial);

/// A service behind a guard, as one thread calls it.
pub struct Caller(Mutex<Guarded<Faulty, Judge>>);

/// Injected faults stand before the connection, so that policies see them as the service's.
type Faulty = fault::Service<Sender, Label, Slower>;
type Judge = fn(Result<&Response<AnswerBody>, &Error>) -> mainstay_resilience::Verdict;

/// What a call ends with.
pub type Answered = Result<Response<AnswerBody>, Guardian<Error>>;

impl Worker {
    /// Without connections.
    pub fn new(env: Env) -> Self {
        Self(Arc::new(Shared { env, pools: Mutex::default() }))
    }

    /// Stands before a service, as this thread calls it by way of a guard: its own, or that of who calls. Faults are injected whose rules are for `service:NAME`.
    pub fn caller(&self, service: Arc<Service>, guard: &Guard, faults: &fault::Handle) -> Caller {
        let label = Label(format!("service:{}", service.name()).into());
        let local = Local {
            picture: service.roster().picture(),
            pools: Pools::default(),
            random: Random::new(self.0.env.draw()),
        };
        let patience = guard.try_timeout();
        let of = Of { service, worker: self.clone(), patience, local: Mutex::new(local) };
        let sender = Sender(Arc::new(of));
        let faulty = fault::Layer::new(faults.clone(), label).slowing(Slower).layer(sender);
        Caller(Mutex::new(guard.guard(faulty, &(judge as Judge))))
    }

    /// Closes connections that nobody has used for long, and forgets endpoints that nobody calls any more. To be called every second or so.
    pub fn sweep(&self) {
        let mut pools = self.pools();
        pools.retain(|_, pool| Arc::strong_count(pool) > 1);
        let pools: Vec<_> = pools.values().cloned().collect();
        pools.iter().for_each(|pool| pool.sweep());
    }

    fn pool(&self, endpoint: &Endpoint, service: &Service) -> Arc<Pool> {
        let (address, load, dial) = (endpoint.instance().address, endpoint.load(), service.dial());
        let make = || {
            let pool = Pool::new(address, Arc::clone(load), dial.clone(), self.0.env.clone());
            let pool = Arc::new(pool);
            load.spot.join(&pool);
            pool
        };
        // Nobody else has that place as long as a pool counts there.
        let place = (Arc::as_ptr(load).addr(), dial.clone());
        Arc::clone(self.pools().entry(place).or_insert_with(make))
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<Place, Arc<Pool>>> {
        // Looking up leaves a valid map behind.
        self.0.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Sends a request by way of the guard.
    pub fn call(&self, call: Call<Request>) -> impl Future<Output = Answered> + Send + use<> {
        use tower_service::Service as _;
        // Policies and senders are always ready: what has to wait waits in the call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).call(call)
    }
}

/// Sends each call to an endpoint.
#[derive(Debug, Clone)]
struct Sender(Arc<Of>);

/// What all calls of one thread to a service share.
#[derive(Debug)]
pub(crate) struct Of {
    service: Arc<Service>,
    worker: Worker,
    /// How long a try waits for an endpoint.
    patience: Duration,
    local: Mutex<Local>,
}

/// What one thread has of a service.
#[derive(Debug)]
struct Local {
    /// As it was seen last.
    picture: Arc<Picture>,
    pools: Pools,
    random: Random,
}

/// Connections to endpoints of a service.
type Pools = HashMap<Id, Arc<Pool>, BuildHasherDefault<IdHasher>>;

/// Of what is a hash.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("an id is one number");
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}

impl Of {
    pub(crate) fn roster(&self) -> &Roster {
        self.service.roster()
    }

    pub(crate) fn now(&self) -> Instant {
        self.worker.0.env.now()
    }

    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// The endpoint that a call goes to, where it runs from now on, and this thread's connections there. Errors: there is none, or none with room.
    fn choose(
        &self,
        call: &Call<Request>,
        mut turn: Option<(Held, &Arc<Room>)>,
    ) -> Result<(Running, Arc<Pool>), Missed> {
        // A picture, its pools and a number are themselves at any time.
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        let roster = self.service.roster();
        if !roster.is_newest(&local.picture) && roster.way() == self.service.way() {
            local.see(roster.picture());
            self.service.fit();
        }
        let Local { picture, pools, random } = &mut *local;
        let (choice, now) = (&call.request.head.choice, call.facts.now);
        let room = turn.as_ref().map_or(u32::MAX, |(_, room)| room.of_each());
        let mut is_full = false;
        let running = choice.try_another(|tried| {
            for _ in 0..LOOKS_MAX {
                let key = choice.key.unwrap_or_else(|| random.draw());
                let endpoint = picture.choose(choice.kept_to, &mut Ask { key, now, tried, room, random })?;
                if let Some(running) = begin(endpoint, &mut turn) {
                    return Some((endpoint.id(), running));
                }
                is_full = true;
            }
            None
        });
        let nobody = || Missed::Nobody(Error::NoEndpoint { service: self.service.name().clone() });
        let running = running.ok_or_else(|| if is_full { Missed::Full } else { nobody() })?;
        let endpoint = running.endpoint();
        let pool = pools.entry(endpoint.id()).or_insert_with(|| self.worker.pool(endpoint, &self.service));
        let pool = Arc::clone(pool);
        Ok((running, pool))
    }
}

/// Why no endpoint is chosen.
enum Missed {
    /// There is none.
    Nobody(Error),
    /// There is none with room.
    Full,
}

/// How often an endpoint is chosen where another thread has taken the last room at the one before. There is some at one of them: no more calls are let through.
const LOOKS_MAX: u32 = 64;

/// Has a call run at an endpoint, if there is room for it there.
fn begin(endpoint: &Arc<Endpoint>, turn: &mut Option<(Held, &Arc<Room>)>) -> Option<Running> {
    let Some((held, room)) = turn.take() else { return Some(Running::new(Arc::clone(endpoint))) };
    match Placed::new(endpoint.load(), room, held) {
        Ok(placed) => Some(Running::in_room(Arc::clone(endpoint), placed)),
        Err(held) => {
            *turn = Some((held, room));
            None
        }
    }
}

impl Local {
    /// Goes by another picture from now on.
    fn see(&mut self, picture: Arc<Picture>) {
        // One that has gone and come back is another, though its address is the same.
        let there: HashMap<Id, &Arc<Load>, BuildHasherDefault<IdHasher>> =
            picture.endpoints().map(|endpoint| (endpoint.id(), endpoint.load())).collect();
        self.pools.retain(|id, pool| there.get(id).is_some_and(|load| pool.counts_at(load)));
        self.picture = picture;
    }
}

impl tower_service::Service<Call<Request>> for Sender {
    type Response = Response<AnswerBody>;
    type Error = Guardian<Error>;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<Request>) -> Self::Future {
        if let Some(room) = self.0.service.room() {
            return Box::pin(in_room(Arc::clone(&self.0), Arc::clone(room), call));
        }
        let (running, pool) = match self.0.choose(&call, None) {
            Ok(chosen) => chosen,
            Err(Missed::Nobody(error)) => return Box::pin(ready(Err(Guardian::Service(error)))),
            Err(Missed::Full) => unreachable!("there is room where it is not bounded"),
        };
        let ticket = Ticket::new(Arc::clone(&self.0), running, &call.facts);
        Box::pin(async move {
            let answered = send(pool, &call).await;
            ticket.end(answered).map_err(Guardian::Service)
        })
    }
}

/// How often a call waits for room again that was let through and found none.
const ROOM_LOOKS_MAX: u32 = 8;

/// Sends a call once there is room for it.
async fn in_room(of: Arc<Of>, room: Arc<Room>, mut call: Call<Request>) -> Answered {
    // As it came: what it waits is bounded from then on.
    let (facts, mut looks) = (call.facts, 0);
    let (running, pool) = loop {
        let held = room.hold(&facts).await?;
        // What its service is told and what its endpoint is judged by begins now.
        call.facts.now = of.now();
        match of.choose(&call, Some((held, &room))) {
            Ok(chosen) => break chosen,
            Err(Missed::Nobody(error)) => return Err(Guardian::Service(error)),
            Err(Missed::Full) if looks == ROOM_LOOKS_MAX => return Err(room.full().into()),
            // Calls have ended at endpoints that take none: there was less room than was known.
            Err(Missed::Full) => {
                of.service.fit();
                looks += 1;
            }
        }
    };
    let ticket = Ticket::new(of, running, &call.facts);
    let answered = send(pool, &call).await;
    ticket.end(answered).map_err(Guardian::Service)
}

/// Sends a call over a connection of a pool.
pub(crate) async fn send(pool: Arc<Pool>, call: &Call<Request>) -> Result<Response<AnswerBody>, Error> {
    match pool.protocol() {
        Protocol::Http1 => http1::send(pool.client().await?, call, pool).await,
        // In a box: it is large, and what a call over HTTP/1 would be otherwise.
        Protocol::Http2 => Box::pin(send_http2(pool, call)).await,
    }
}

async fn send_http2(pool: Arc<Pool>, call: &Call<Request>) -> Result<Response<AnswerBody>, Error> {
    let mut client = pool.shared().await?;
    let (answer, carried) = client.send(call, &pool).await?;
    Ok(answer.map(|body| AnswerBody::http2(body, carried)))
}
