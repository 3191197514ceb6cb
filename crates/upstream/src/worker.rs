//! What one thread has to call services with.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::Response;
use mainstay_resilience::policy::Guarded;
use mainstay_resilience::{Call, Env, Error as Guardian};

use crate::body::AnswerBody;
use crate::config::Protocol;
use crate::error::Error;
use crate::http1;
use crate::judge::judge;
use crate::pool::Pool;
use crate::request::Request;
use crate::service::{Dial, Service};

/// What one thread has to call services with: connections of its own. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Worker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    env: Env,
    pools: Mutex<HashMap<(SocketAddr, Dial), Arc<Pool>>>,
}

/// A service behind its policy, as one thread calls it.
pub struct Caller(Mutex<Guarded<Sender, Judge>>);

type Judge = fn(Result<&Response<AnswerBody>, &Error>) -> mainstay_resilience::Verdict;

/// What a call ends with.
pub type Answered = Result<Response<AnswerBody>, Guardian<Error>>;

impl Worker {
    /// Without connections.
    pub fn new(env: Env) -> Self {
        Self(Arc::new(Shared { env, pools: Mutex::default() }))
    }

    /// Stands before a service, as this thread calls it.
    pub fn caller(&self, service: Arc<Service>) -> Caller {
        let guard = service.guard().clone();
        let sender = Sender { service, worker: self.clone() };
        Caller(Mutex::new(guard.guard(sender, &(judge as Judge))))
    }

    /// Closes connections that nobody has used for long. To be called every second or so.
    pub fn sweep(&self) {
        let pools: Vec<_> = self.pools().values().cloned().collect();
        pools.iter().for_each(|pool| pool.sweep());
    }

    fn pool(&self, service: &Service) -> Arc<Pool> {
        let key = (service.next(), service.dial());
        let make = || Arc::new(Pool::new(key.0, key.1, service.idle(), self.0.env.clone()));
        Arc::clone(self.pools().entry(key).or_insert_with(make))
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<(SocketAddr, Dial), Arc<Pool>>> {
        // Looking up leaves a valid map behind.
        self.0.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Sends a request by way of the service's policy.
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
    worker: Worker,
}

impl tower_service::Service<Call<Request>> for Sender {
    type Response = Response<AnswerBody>;
    type Error = Guardian<Error>;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<Request>) -> Self::Future {
        let pool = self.worker.pool(&self.service);
        Box::pin(async move { send(pool, &call).await.map_err(Guardian::Service) })
    }
}

async fn send(pool: Arc<Pool>, call: &Call<Request>) -> Result<Response<AnswerBody>, Error> {
    let endpoint = pool.endpoint();
    match pool.protocol() {
        Protocol::Http1 => http1::send(pool.client().await?, call, pool).await,
        Protocol::Http2 => {
            let mut client = pool.shared().await?;
            let answer = client.send(call.request.over_http2(&call.facts)?, endpoint).await?;
            Ok(answer.map(AnswerBody::http2))
        }
    }
}
