//! Retries: what failed is tried again if that is safe, in time, and within a budget.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use mainstay_base::error::{Code, Retry};
use mainstay_base::units::{Duration, Ratio};
use mainstay_resilience::deadline::TryLayer;
use mainstay_resilience::retry::{Allowance, Backoff, Config, Handle, Jitter, Layer};
use mainstay_resilience::{Call, Classified, Decision, Error, Facts, Rejection, Verdict, deadline};
use tower::{Layer as _, Service, ServiceExt, service_fn};

use crate::world::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config() -> Config {
    let attempts = 3.try_into().expect("it is above zero");
    Config { attempts, base: ms(50), jitter: Jitter::None, backoff: Backoff::Constant, ..Config::default() }
}

/// A budget of so many retries in a second.
fn retries(count: u32) -> Allowance {
    Allowance { ratio: Ratio::ZERO, floor_per_s: count, window: ms(1_000) }
}

/// What a service does with its calls in turn, and the facts of those that it was given.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Option<Code>>>>,
    seen: Arc<Mutex<Vec<Facts>>>,
}

impl Script {
    /// Fails with these; succeeds when there are none left.
    fn new(codes: impl IntoIterator<Item = Code>) -> Self {
        let answers = codes.into_iter().map(Some).collect();
        Self { answers: Arc::new(Mutex::new(answers)), seen: Arc::default() }
    }

    fn seen(&self) -> Vec<Facts> {
        self.seen.lock().expect("nothing panics while it holds this").clone()
    }

    fn count(&self) -> usize {
        self.seen().len()
    }

    fn attempts(&self) -> Vec<u32> {
        self.seen().iter().map(|facts| facts.attempt).collect()
    }

    fn next(&self, facts: Facts) -> Result<&'static str, Error<Failed>> {
        self.seen.lock().expect("nothing panics while it holds this").push(facts);
        let answer = self.answers.lock().expect("nothing panics while it holds this").pop_front();
        answer.flatten().map_or(Ok("done"), |code| Err(Error::Service(Failed(code))))
    }

    fn service(
        &self,
    ) -> impl Service<Call<()>, Response = &'static str, Error = Error<Failed>, Future: Send> + Clone + use<>
    {
        let script = self.clone();
        service_fn(move |call: Call<()>| {
            let script = script.clone();
            async move { script.next(call.facts) }
        })
    }
}

/// A call that may be done twice.
fn call(world: &World) -> Call<()> {
    let call = world.call(());
    Call { facts: Facts { is_idempotent: true, ..call.facts }, ..call }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_with_its_number_and_moment_until_it_succeeds() {
    let (world, script) = (World::new(), Script::new([Code::BadGateway; 2]));
    let handle = Handle::new(Allowance::default(), world.env.clone());
    let service = Layer::new(config(), handle, Classified).layer(script.service());
    let begun = world.now();
    assert_eq!(service.oneshot(call(&world)).await, Ok("done"));
    let [first, second, third] = script.seen()[..] else { panic!("{:?}", script.seen()) };
    assert_eq!(script.attempts(), [1, 2, 3]);
    assert_eq!(first.now, begun);
    for (facts, from) in [(second, first), (third, second)] {
        let waited = facts.now.saturating_since(from.now);
        assert!((ms(50)..=ms(52)).contains(&waited), "{waited}");
    }
    assert_eq!(world.count(Decision::Retried), 2);
    assert_eq!(world.count(Decision::RetriesSpent) + world.count(Decision::RetryBudgetSpent), 0);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_done_twice_only_if_it_may_be() {
    let with_retry = |retry| move |_: Result<&&'static str, &Failed>| Verdict::Failure(retry);
    let world = World::new();
    for (retry, is_idempotent, count) in [
        (Retry::WithIdempotencyKey, false, 1),
        (Retry::WithIdempotencyKey, true, 3),
        (Retry::Safe, false, 3),
        (Retry::Never, true, 1),
        (Retry::After(ms(10)), false, 3),
    ] {
        let script = Script::default();
        let handle = Handle::new(Allowance::default(), world.env.clone());
        let service = Layer::new(config(), handle, with_retry(retry)).layer(script.service());
        let mut call = world.call(());
        call.facts.is_idempotent = is_idempotent;
        assert_eq!(
            service.oneshot(call).await,
            Ok("done"),
            "an answer may be a failure too, and is returned"
        );
        assert_eq!(script.count(), count, "{retry:?}");
    }
    assert_eq!(world.count(Decision::RetriesSpent), 3);
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_asks_to_wait_is_waited_unless_the_deadline_comes_first() {
    let world = World::new();
    for (rest_ms, count) in [(1_500, 2), (1_050, 1)] {
        // It asks for a second; the usual wait comes on top, and a try takes 5ms at least.
        let script = Script::new([Code::Unavailable]);
        let handle = Handle::new(Allowance::default(), world.env.clone());
        let service = Layer::new(config(), handle, Classified).layer(script.service());
        let mut call = call(&world);
        call.facts = call.facts.due(world.now().checked_add(ms(rest_ms)).unwrap());
        let begun = world.now();
        let answer = service.oneshot(call).await;
        assert_eq!((answer.is_ok(), script.count()), (count == 2, count));
        let took = world.now().saturating_since(begun);
        let expected = if count == 2 { ms(1_050)..=ms(1_052) } else { Duration::ZERO..=Duration::ZERO };
        assert!(expected.contains(&took), "{took}: what cannot be in time is not waited for");
    }
    assert_eq!(world.count(Decision::RetriesSpent), 1);
}

#[tokio::test(start_paused = true)]
async fn everything_with_one_handle_has_one_budget_and_only_first_tries_fill_it() {
    let world = World::new();
    let allowance = Allowance { ratio: Ratio::new(0.5).unwrap(), floor_per_s: 0, window: ms(1_000) };
    let handle = Handle::new(allowance, world.env.clone());
    let script = Script::new([Code::BadGateway; 100]);
    let layer = Layer::new(config(), handle, Classified);
    let services = [layer.layer(script.service()), layer.layer(script.service())];
    for number in 0..8_usize {
        assert!(services[number % 2].clone().oneshot(call(&world)).await.is_err());
    }
    assert_eq!(script.count(), 12, "8 first tries make room for 4 more");
    assert_eq!(world.count(Decision::Retried), 4);
    for _ in 0..8 {
        let mut call = call(&world);
        call.facts.attempt = 2;
        assert!(services[0].clone().oneshot(call).await.is_err());
    }
    assert_eq!(script.count(), 20, "those that are themselves retries make room for none");
}

#[tokio::test(start_paused = true)]
async fn the_number_of_a_try_goes_on_from_that_of_the_one_above() {
    let (world, script) = (World::new(), Script::new([Code::BadGateway]));
    let handle = Handle::new(Allowance::default(), world.env.clone());
    let service = Layer::new(config(), handle, Classified).layer(script.service());
    let mut call = call(&world);
    call.facts.attempt = 2;
    assert_eq!(service.oneshot(call).await, Ok("done"));
    assert_eq!(script.attempts(), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_caller_goes_away_is_given_back() {
    let (world, script) = (World::new(), Script::new([Code::BadGateway; 3]));
    let handle = Handle::new(retries(1), world.env.clone());
    let service = Layer::new(config(), handle, Classified).layer(script.service());
    let gone = tokio::time::timeout(ms(20).as_std(), service.clone().oneshot(call(&world))).await;
    assert!(gone.is_err() && script.count() == 1, "it waits for its retry");
    assert!(service.clone().oneshot(call(&world)).await.is_err());
    assert_eq!(script.count(), 3, "the one retry there is was left to it");
    assert_eq!((world.count(Decision::Retried), world.count(Decision::RetryBudgetSpent)), (1, 1));
    // One that has begun is spent, whatever becomes of it.
    assert_eq!(service.oneshot(call(&world)).await, Ok("done"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_has_begun_is_not_given_back() {
    let (world, script) = (World::new(), Script::new([]));
    let handle = Handle::new(retries(1), world.env.clone());
    let hangs_second = service_fn(async |call: Call<()>| match call.facts.attempt {
        1 => Err::<&str, _>(Error::Service(Failed(Code::BadGateway))),
        _ => std::future::pending().await,
    });
    let layer = Layer::new(config(), handle, Classified);
    let gone = tokio::time::timeout(ms(80).as_std(), layer.layer(hangs_second).oneshot(call(&world))).await;
    assert!(gone.is_err());
    script.answers.lock().unwrap().push_back(Some(Code::BadGateway));
    assert!(layer.layer(script.service()).oneshot(call(&world)).await.is_err());
    assert_eq!(world.count(Decision::RetryBudgetSpent), 1);
}

#[tokio::test(start_paused = true)]
async fn tries_that_time_out_are_tried_again_but_not_beyond_the_deadline() {
    let world = World::new();
    let times = deadline::Config { timeout: ms(500), try_timeout: ms(200) };
    let handle = Handle::new(Allowance::default(), world.env.clone());
    let script = Script::default();
    let seen = script.clone();
    let hangs = service_fn(move |call: Call<()>| {
        let _ = seen.next(call.facts);
        std::future::pending::<Result<&'static str, Error<Failed>>>()
    });
    let tries = TryLayer::new(times, world.env.clone()).layer(hangs);
    let retries = Layer::new(Config { attempts: 9.try_into().unwrap(), ..config() }, handle, Classified);
    let service = deadline::Layer::new(times, world.env.clone()).layer(retries.layer(tries));
    let begun = world.now();
    let timed_out = Rejection::TimedOut { limit: ms(200) };
    assert_eq!(service.oneshot(call(&world)).await, Err(Error::Rejected(timed_out)));
    let took = world.now().saturating_since(begun);
    assert!((ms(450)..=ms(453)).contains(&took), "{took}");
    assert_eq!(script.count(), 2, "at 0 and 250ms; the next one would begin at 500ms, when it is due");
    assert_eq!((world.count(Decision::TimedOut), world.count(Decision::RetriesSpent)), (2, 1));
}

/// Takes its first call at once, and further ones only after a while.
struct Slow {
    script: Script,
    wait_ms: u64,
    ready: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Clone for Slow {
    /// A clone has to become ready by itself.
    fn clone(&self) -> Self {
        Self { script: self.script.clone(), wait_ms: self.wait_ms, ready: None }
    }
}

impl Service<Call<()>> for Slow {
    type Response = &'static str;
    type Error = Error<Failed>;
    type Future = std::future::Ready<Result<&'static str, Error<Failed>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let wait_ms = if self.script.count() == 0 { 0 } else { self.wait_ms };
        let wait = || Box::pin(tokio::time::sleep(ms(wait_ms).as_std()));
        self.ready.get_or_insert_with(wait).as_mut().poll(context).map(Ok)
    }

    fn call(&mut self, call: Call<()>) -> Self::Future {
        assert!(self.ready.take().is_some_and(|ready| ready.is_elapsed()), "it was ready before");
        std::future::ready(self.script.next(call.facts))
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_asks_whether_it_is_taken_and_is_not_begun_if_that_takes_too_long() {
    let world = World::new();
    for (wait_ms, count) in [(100, 2), (500, 1)] {
        let script = Script::new([Code::BadGateway]);
        let inner = Slow { script: script.clone(), wait_ms, ready: None };
        let handle = Handle::new(retries(1), world.env.clone());
        let service = Layer::new(config(), handle, Classified).layer(inner);
        let mut call = call(&world);
        call.facts = call.facts.due(world.now().checked_add(ms(400)).unwrap());
        let answer = service.oneshot(call).await;
        let given_up = Err(Error::Rejected(Rejection::GivenUp));
        assert_eq!(answer, if count == 2 { Ok("done") } else { given_up });
        assert_eq!(script.count(), count);
    }
    assert_eq!((world.count(Decision::Retried), world.count(Decision::GivenUp)), (1, 1));
}
