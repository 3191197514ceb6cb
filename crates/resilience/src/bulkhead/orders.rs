//! Who runs and who waits, in every order of the steps of several threads.

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Poll;

use loom::future::block_on;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use mainstay_base::time::{Instant, ManualClock, SeededEntropy};

use super::layer::{Admitted, Held, Waiter};
use super::{Config, Handle};
use crate::call::Facts;
use crate::env::Env;
use crate::watch::Counts;

/// A bulkhead in which one runs at a time, and how many do.
#[derive(Clone)]
struct Scene {
    handle: Handle,
    running: Arc<AtomicU32>,
}

impl Scene {
    fn new(queue: u32) -> Self {
        let clock = Arc::new(ManualClock::default());
        let env = Env::new(clock, Arc::new(SeededEntropy::new(1)), Arc::new(Counts::new("orders")));
        let config = Config { concurrent: NonZeroU32::MIN, queue, ..Config::default() };
        Self { handle: Handle::new(config, env), running: Arc::new(AtomicU32::new(0)) }
    }

    fn ask(&self) -> Option<Admitted> {
        self.handle.ask(&Facts::new(Instant::from_nanos(0))).ok()
    }

    /// Runs alone, and then no more.
    fn run(&self, held: Held) {
        assert_eq!(self.running.fetch_add(1, Ordering::Relaxed), 0, "one runs at a time");
        self.running.fetch_sub(1, Ordering::Relaxed);
        drop(held);
    }

    /// Runs, in its turn if it has to wait, unless it is turned away.
    fn call(&self) -> bool {
        let held = match self.ask() {
            Some(Admitted::Held(held)) => held,
            Some(Admitted::Waits(waiter, _)) => wait(waiter),
            None => return false,
        };
        self.run(held);
        true
    }

    /// Asks, looks once at most, and goes away.
    fn leave(&self) {
        match self.ask() {
            Some(Admitted::Held(held)) => self.run(held),
            Some(Admitted::Waits(mut waiter, _)) => {
                let look = poll_fn(|context| Poll::Ready(waiter.look(false, context.waker())));
                if let Some(turn) = block_on(look) {
                    self.run(turn.expect("no time passes"));
                }
            }
            None => {}
        }
    }

    fn assert_empty(&self) {
        assert_eq!((self.handle.running(), self.handle.waiting()), (0, 0));
        assert!(matches!(self.ask(), Some(Admitted::Held(_))), "nobody waits, and nothing runs");
    }
}

fn wait(mut waiter: Waiter) -> Held {
    let turn = poll_fn(|context| waiter.look(false, context.waker()).map_or(Poll::Pending, Poll::Ready));
    block_on(turn).expect("no time passes")
}

/// Has two do this and that at the same time as a third one, who ran before, ends.
fn beside(queue: u32, one: fn(&Scene), two: fn(&Scene)) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let scene = Scene::new(queue);
        let Some(Admitted::Held(held)) = scene.ask() else { panic!("nothing else runs") };
        let threads = [one, two].map(|act| {
            let scene = scene.clone();
            thread::spawn(move || act(&scene))
        });
        drop(held);
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        scene.assert_empty();
    });
}

#[test]
fn in_every_order_all_who_wait_have_their_turn_and_nobody_overtakes_the_limit() {
    let call = |scene: &Scene| assert!(scene.call(), "there is room to wait");
    beside(2, call, call);
}

#[test]
fn in_every_order_one_who_goes_away_leaves_its_turn_to_the_next() {
    let call = |scene: &Scene| assert!(scene.call(), "there is room to wait");
    beside(2, call, Scene::leave);
    beside(2, Scene::leave, Scene::leave);
}

#[test]
fn in_every_order_one_who_is_turned_away_takes_nothing() {
    let call = |scene: &Scene| {
        scene.call();
    };
    beside(0, call, call);
    beside(1, call, call);
}
