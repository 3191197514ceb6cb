//! Memory that is bounded while the disk stands still, and is given back.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};
use std::thread;

use mainstay_base::time::{Clock, Instant, Timestamp};
use mainstay_base::units::Duration;

use super::*;

/// A clock that stops for the threads that flush, and stops them.
#[derive(Default)]
struct Stopping {
    is_stopped: Mutex<bool>,
    goes_on: Condvar,
}

impl Stopping {
    fn set(&self, is_stopped: bool) {
        *self.is_stopped.lock().expect("nobody panics with it") = is_stopped;
        self.goes_on.notify_all();
    }
}

impl Clock for Stopping {
    fn now(&self) -> Instant {
        if thread::current().name() == Some("store-flush") {
            let is_stopped = self.is_stopped.lock().expect("nobody panics with it");
            drop(self.goes_on.wait_while(is_stopped, |is_stopped| *is_stopped));
        }
        Instant::from_nanos(0)
    }

    fn wall(&self) -> Timestamp {
        unreachable!("a store does not ask for it")
    }
}

#[test]
fn memory_stays_bounded_while_the_disk_stands_still() {
    let clock = Arc::new(Stopping::default());
    let options = Options { memtables_max: Size::from_mib(1), ..small() };
    let (pool, directory) = (Pool::new(&options, clock.clone()).expect("threads can be started"), folder());
    let store = open(&pool, directory.path());
    assert_eq!(store.apply([].iter(), &applied(1)), Ok(Duration::ZERO), "nobody waits while there is room");
    clock.set(true);
    thread::scope(|scope| {
        let applying = scope.spawn(|| {
            let mut delays = VecDeque::new();
            for index in 2..=400 {
                let delay = store
                    .apply(batch(index).iter(), &applied(index))
                    .expect("it is applied, sooner or later");
                assert!(pool.memtables_ratio() < 1.3, "a batch above the bound: {}", pool.memtables_ratio());
                assert!(store.stats().sealed <= 8, "{:?}", store.stats());
                delays.push_back(delay);
            }
            delays
        });
        while pool.memtables_ratio() < 1.0 && !applying.is_finished() {
            thread::yield_now();
        }
        // It waits now, or is about to; reading goes on.
        let shown = store.view().applied();
        clock.set(false);
        let shown = shown.expect("it can be read").expect("some were applied").index.get();
        assert!(shown < 400, "it waits for the disk");
        let delays = applying.join().expect("it goes on");
        let longest = delays.iter().max().expect("there were some");
        assert!(*longest > Duration::from_millis(15) && *longest <= Duration::from_millis(20), "{longest}");
        assert!(delays[0].is_zero(), "nobody waits while there is room");
    });
    store.flush().expect("there is room");
    assert_eq!(pool.memtables_ratio(), 0.0);
}

#[test]
fn stores_that_share_too_little_memory_do_not_wait_for_each_other() {
    let options = Options { memtable: Size::from_kib(16), memtables_max: Size::from_kib(64), ..small() };
    let (pool, directory) = (pool(&options), folder());
    let open = |number: usize| open(&pool, &directory.path().join(number.to_string()));
    let stores: Vec<_> = (0..10).map(open).collect();
    for index in 1..=20 {
        for store in &stores {
            apply(store, index);
        }
    }
    for store in stores {
        assert_shows(&store.view(), 20, &rows_at(20));
        store.close().expect("nothing holds it");
    }
    assert_eq!(pool.stats().stores, 0);
    assert_eq!(pool.stats().memtables, Size::ZERO);
}
