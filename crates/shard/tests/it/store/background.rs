//! Background threads that die.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mainstay_base::time::{Clock, Instant, Timestamp};

use super::*;

/// A clock that panics for a background thread: when it is asked for this time.
struct Panicking {
    thread: &'static str,
    at: usize,
    asked: AtomicUsize,
}

impl Clock for Panicking {
    fn now(&self) -> Instant {
        if thread::current().name() == Some(self.thread) {
            assert!(self.asked.fetch_add(1, Ordering::Relaxed) + 1 != self.at, "the clock is broken");
        }
        Instant::from_nanos(0)
    }

    fn wall(&self) -> Timestamp {
        unreachable!("a store does not ask for it")
    }
}

fn panicking_pool(thread: &'static str, at: usize) -> Pool {
    let clock = Panicking { thread, at, asked: AtomicUsize::new(0) };
    let options = Options { memtables_max: Size::from_kib(128), ..small() };
    Pool::new(&options, Arc::new(clock)).expect("threads can be started")
}

/// Applies until it is refused.
fn until_refused(store: &Store) -> (u64, Error) {
    let next = store.applied().get() + 1;
    let refused = (next..).find_map(|index| {
        store.apply(batch(index).iter(), &applied(index)).err().map(|error| (index, error))
    });
    refused.expect("it does not go on for ever")
}

#[test]
fn nobody_waits_for_a_thread_that_has_died() {
    let (pool, directory) = (panicking_pool("store-flush", 1), folder());
    let [one, other] = ["one", "other"].map(|name| open(&pool, &directory.path().join(name)));
    let (index, error) = until_refused(&one);
    let says = error.to_string();
    assert!(matches!(error, Error::Broken { .. }), "{says}");
    assert!(says.contains("one") && says.contains("store-flush") && says.contains("start again"), "{says}");
    assert!(matches!(until_refused(&other).1, Error::Broken { .. }), "the thread was its own too");
    for error in [one.flush().unwrap_err(), one.settle().unwrap_err()] {
        assert!(matches!(error, Error::Broken { .. }), "{error}");
    }
    assert_shows(&one.view(), index - 1, &rows_at(index - 1));
    one.close().expect("nothing holds it");
}

#[test]
fn a_bug_stops_its_store_alone() {
    // It is asked for the time before and after each step.
    let (pool, directory) = (panicking_pool("store-flush", 2), folder());
    let [one, other] = ["one", "other"].map(|name| open(&pool, &directory.path().join(name)));
    let (told, outcome) = std::sync::mpsc::sync_channel(1);
    let (index, error) = until_refused(&one);
    let says = error.to_string();
    assert!(says.contains("a bug of this program: the clock is broken"), "{says}");
    assert_eq!(one.stats().last_error.as_deref(), Some("it met a bug of this program: the clock is broken"));
    one.delete_range(every_row(), move |outcome| told.send(outcome).expect("somebody listens"));
    assert!(matches!(outcome.recv(), Ok(Err(Error::Broken { .. }))));
    assert_shows(&one.view(), index - 1, &rows_at(index - 1));
    apply_all(&other, 1..=300);
    other.settle().expect("it has all the memory");
    assert_shows(&other.view(), 300, &rows_at(300));
    one.close().expect("nothing holds it");
}

#[test]
fn a_bug_in_a_compaction_is_told_too() {
    let (pool, directory) = (panicking_pool("store-compact", 4), folder());
    let store = open(&pool, directory.path());
    let (_, error) = until_refused(&store);
    assert!(matches!(error, Error::Broken { .. }), "{error}");
}
