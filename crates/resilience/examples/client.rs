//! Retries within a budget, a breaker, a bulkhead and deadlines before whatever is called.

use std::sync::Arc;

use mainstay_base::error::{Classify, Code};
use mainstay_base::time::SeededEntropy;
use mainstay_resilience::policy::{Guard, Policy};
use mainstay_resilience::{Classified, Counts, Env, Facts, TokioClock};
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// Sends one request.
#[tokio::main(flavor = "current_thread")]
pub async fn main() {
    let (clock, entropy) = (Arc::new(TokioClock::new()), Arc::new(SeededEntropy::new(7)));
    let env = Env::new(clock, entropy, Arc::new(Counts::new("prices")));
    let guard = Guard::new(&Policy::default(), env.clone());
    let facts = move |_: &String| Facts { is_idempotent: true, ..Facts::new(env.now()) };
    let client = ServiceBuilder::new().layer(guard.layer(facts, Classified)).service(service_fn(fetch));
    let answer = client.oneshot("http://prices/7".to_owned()).await;
    assert_eq!(answer.expect("it is there"), "what is at http://prices/7");
}

/// What is called: any function or tower service.
async fn fetch(address: String) -> Result<String, Failed> {
    if address.is_empty() { Err(Failed) } else { Ok(format!("what is at {address}")) }
}

#[derive(Debug)]
struct Failed;

impl Classify for Failed {
    fn code(&self) -> Code {
        Code::BadGateway
    }
}
