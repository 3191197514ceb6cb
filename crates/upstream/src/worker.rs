//! What one thread has to call services with.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::Response;
use mainstay_resilience::fault::{self, Label};
use mainstay_resilience::policy::{Guard, Guarded};
use mainstay_resilience::{Call, Env, Error as Guardian};
use tower_layer::Layer as _;

use crate::body::AnswerBody;
use crate::config::{Idle, Protocol};
use crate::error::Error;
use crate::http1;
use crate::judge::judge;
use crate::pool::Pool;
use crate::request::Request;
use crate::service::{Dial, Service};
use crate::slow::Slower;

/// What one thread has to call services with: connections of its own. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Worker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    env: Env,
    pools: Mutex<HashMap<Place, Arc<Pool>>>,
}

/// Where a pool's connections lead, and how.
type Place = (SocketAddr, Dial, Idle);

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
        let pools = service.endpoints().map(|endpoint| self.pool(endpoint, &service)).collect();
        let sender = Sender { service, pools };
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

    fn pool(&self, endpoint: SocketAddr, service: &Service) -> Arc<Pool> {
        let (dial, idle) = (service.dial(), service.idle());
        let make = || Arc::new(Pool::new(endpoint, dial, idle, self.0.env.clone()));
        Arc::clone(self.pools().entry((endpoint, dial, idle)).or_insert_with(make))
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

/// Sends calls to the endpoint whose turn it is.
#[derive(Debug, Clone)]
struct Sender {
    service: Arc<Service>,
    /// In the order of the service's endpoints.
    pools: Arc<[Arc<Pool>]>,
}

impl tower_service::Service<Call<Request>> for Sender {
    type Response = Response<AnswerBody>;
    type Error = Guardian<Error>;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<Request>) -> Self::Future {
        let pool = Arc::clone(&self.pools[self.service.next()]);
        Box::pin(async move { send(pool, &call).await.map_err(Guardian::Service) })
    }
}

async fn send(pool: Arc<Pool>, call: &Call<Request>) -> Result<Response<AnswerBody>, Error> {
    match pool.protocol() {
        Protocol::Http1 => http1::send(pool.client().await?, call, pool).await,
        // In a box: it is large, and what a call over HTTP/1 would be otherwise.
        Protocol::Http2 => Box::pin(send_http2(pool, call)).await,
    }
}

async fn send_http2(pool: Arc<Pool>, call: &Call<Request>) -> Result<Response<AnswerBody>, Error> {
    let mut client = pool.shared().await?;
    let answer = client.send(call, &pool).await?;
    Ok(answer.map(AnswerBody::http2))
}
