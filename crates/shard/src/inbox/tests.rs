//! Bounds, turns, and what goes when it is full.

use mainstay_base::id::Name;
use proptest::prelude::*;

use super::*;

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const ALL: Take = Take { commands_max: usize::MAX, bytes_max: usize::MAX };

fn tenant(number: usize) -> Tenant {
    Tenant::new(["a", "b", "c", "d"].map(Name::from_static)[number].clone())
}

fn entry(of: usize, bytes: usize, item: u32) -> Entry<(usize, u32)> {
    Entry { tenant: tenant(of), bytes, deadline: None, item: (of, item) }
}

fn inbox(waiting_max: usize, bytes_max: u64) -> Inbox<(usize, u32)> {
    Inbox::new(Bounds { waiting_max, size_max: Size::from_bytes(bytes_max) })
}

fn items(entries: Vec<Entry<(usize, u32)>>) -> Vec<(usize, u32)> {
    entries.into_iter().map(|entry| entry.item).collect()
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000_000 + millis * 1_000_000)
}

#[test]
fn a_full_inbox_puts_out_what_came_last_of_who_has_most() {
    let mut inbox = inbox(4, 4_000);
    for item in 0..4 {
        assert_eq!(inbox.push(entry(0, 10, item), NOW), []);
    }
    let refused = inbox.push(entry(0, 10, 4), NOW);
    assert_eq!((refused[0].item, refused[0].waiting), ((0, 4), 4), "nobody puts itself out");
    let put_out: Vec<_> =
        (0..3).flat_map(|item| inbox.push(entry(1, 10, item), NOW)).map(|out| out.item).collect();
    assert_eq!(put_out, [(0, 3), (0, 2), (1, 2)], "up to its share, and no further");
    assert_eq!(items(inbox.take(ALL, NOW)).len(), 4);
}

#[test]
fn a_large_request_counts_as_many_small_ones() {
    let mut inbox = inbox(100, 10_000);
    assert_eq!(inbox.push(entry(0, 6_000, 0), NOW), []);
    assert_eq!(inbox.push(entry(1, 3_000, 0), NOW), []);
    let out = inbox.push(entry(1, 2_000, 1), NOW);
    assert_eq!(out[0].item, (0, 0), "of two, who has more than half");
    assert_eq!(
        inbox.push(entry(2, 50_000, 0), NOW)[0].item,
        (2, 0),
        "one that is too large waits for an empty inbox"
    );
    inbox.clear();
    assert_eq!(inbox.push(entry(2, 50_000, 0), NOW), []);
    assert_eq!(
        items(inbox.take(Take { commands_max: 1, bytes_max: 1 }, NOW)),
        [(2, 0)],
        "and is taken alone"
    );
}

#[test]
fn turns_are_worth_bytes() {
    let mut inbox = inbox(1_000, 10 << 20);
    for item in 0..8 {
        let _ = inbox.push(entry(0, 64 * 1_024, item), NOW);
    }
    for item in 0..8 {
        let _ = inbox.push(entry(1, 32 * 1_024, item), NOW);
    }
    let taken = items(inbox.take(Take { commands_max: 9, bytes_max: usize::MAX }, NOW));
    let of_first = taken.iter().filter(|(of, _)| *of == 0).count();
    assert_eq!(of_first, 3, "one large for two small: {taken:?}");
}

#[test]
fn a_batch_is_bounded_in_number_and_bytes() {
    let mut inbox = inbox(100, 1 << 20);
    for item in 0..10 {
        let _ = inbox.push(entry(0, 1_000, item), NOW);
    }
    assert_eq!(inbox.take(Take { commands_max: 3, bytes_max: usize::MAX }, NOW).len(), 3);
    assert_eq!(inbox.take(Take { commands_max: 100, bytes_max: 2_500 }, NOW).len(), 2);
    assert_eq!((inbox.waiting(), inbox.bytes()), (5, 5_000));
}

#[test]
fn what_is_past_its_deadline_is_taken_out() {
    let mut inbox = inbox(100, 1 << 20);
    for (item, deadline) in [(0, Some(at(20))), (1, None), (2, Some(at(10)))] {
        let _ = inbox.push(Entry { deadline, ..entry(0, 10, item) }, NOW);
    }
    assert_eq!(inbox.deadline_min(), Some(at(10)));
    assert_eq!(items(inbox.expire(at(9))), []);
    assert_eq!(items(inbox.expire(at(10))), [(0, 2)]);
    assert_eq!(inbox.deadline_min(), Some(at(20)));
    assert_eq!(items(inbox.take(ALL, at(11))), [(0, 0), (0, 1)]);
    assert_eq!(inbox.deadline_min(), None);
}

#[test]
fn the_wait_that_is_asked_for_follows_how_fast_requests_are_taken() {
    let wait_at = |taken_per_10_ms: usize| {
        let mut inbox = inbox(1_000, 1_000_000);
        let mut item = 0;
        let mut now = 0;
        for _ in 0..500 {
            now += 10;
            while inbox.waiting() < 1_000 {
                item += 1;
                let _ = inbox.push(entry(0, 1_000, item), at(now));
            }
            let _ = inbox.take(Take { commands_max: taken_per_10_ms, bytes_max: usize::MAX }, at(now));
        }
        while inbox.waiting() < 1_000 {
            let _ = inbox.push(entry(0, 1_000, 0), at(now));
        }
        let soon = inbox.push(entry(0, 1_000, 0), at(now))[0].after;
        let stuck = inbox.push(entry(0, 1_000, 0), at(now + 9_000))[0].after;
        assert!(stuck > soon, "while nothing is taken, the wait grows: {soon} {stuck}");
        soon.as_std().as_millis()
    };
    // Half of 1,000 requests at 1,000 a second, and at 10,000.
    let (slow, fast) = (wait_at(10), wait_at(100));
    assert!((400..=650).contains(&slow) && (40..=65).contains(&fast), "{slow} {fast}");
    let new = inbox(1, 10).push(entry(0, 1, 0), NOW).len();
    assert_eq!(new, 0);
}

#[test]
fn an_inbox_from_which_nothing_was_taken_asks_for_the_longest_wait() {
    let mut inbox = inbox(1, 10);
    let _ = inbox.push(entry(0, 1, 0), NOW);
    assert_eq!(inbox.push(entry(0, 1, 1), NOW)[0].after, AFTER.1);
}

#[derive(Debug, Clone)]
enum Step {
    Push { of: usize, bytes: usize, deadline: Option<u64> },
    Take { commands_max: usize, bytes_max: usize },
    Expire(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let deadline = proptest::option::of(0u64..50);
    prop_oneof![
        6 => (0usize..4, 0usize..300, deadline).prop_map(|(of, bytes, deadline)| Step::Push { of, bytes, deadline }),
        2 => (1usize..6, 1usize..900).prop_map(|(commands_max, bytes_max)| Step::Take { commands_max, bytes_max }),
        1 => (0u64..50).prop_map(Step::Expire),
    ]
}

proptest! {
    #[test]
    fn bounds_hold_nothing_is_lost_and_each_tenant_is_first_in_first_out(
        steps in proptest::collection::vec(step(), 1..120),
        waiting_max in 1usize..12,
        bytes_max in 300u64..1_500,
    ) {
        let mut inbox = inbox(waiting_max, bytes_max);
        let mut model: [VecDeque<(u32, usize)>; 4] = Default::default();
        for (item, step) in (0u32..).zip(steps) {
            match step {
                Step::Push { of, bytes, deadline } => {
                    model[of].push_back((item, bytes));
                    for out in inbox.push(Entry { deadline: deadline.map(at), ..entry(of, bytes, item) }, NOW) {
                        let (tenant, gone) = out.item;
                        prop_assert_eq!(model[tenant].pop_back().map(|(item, _)| item), Some(gone), "the last goes");
                    }
                }
                Step::Take { commands_max, bytes_max } => {
                    let taken = inbox.take(Take { commands_max, bytes_max }, NOW);
                    prop_assert!(taken.len() <= commands_max);
                    let bytes: usize = taken.iter().map(|entry| entry.bytes).sum();
                    prop_assert!(taken.len() <= 1 || bytes <= bytes_max);
                    prop_assert!(!taken.is_empty() || model.iter().all(VecDeque::is_empty));
                    for entry in taken {
                        let (tenant, item) = entry.item;
                        prop_assert_eq!(model[tenant].pop_front(), Some((item, entry.bytes)), "first in, first out");
                    }
                }
                Step::Expire(now) => {
                    for entry in inbox.expire(at(now)) {
                        prop_assert!(entry.deadline.is_some_and(|deadline| deadline <= at(now)));
                        let (tenant, item) = entry.item;
                        model[tenant].retain(|(other, _)| *other != item);
                    }
                }
            }
            let bytes: usize = model.iter().flatten().map(|(_, bytes)| bytes).sum();
            let waiting: usize = model.iter().map(VecDeque::len).sum();
            prop_assert_eq!((inbox.waiting(), inbox.bytes()), (waiting, bytes));
            prop_assert!(waiting <= waiting_max && bytes as u64 <= bytes_max, "{} of {}", waiting, bytes);
        }
    }

    /// Whoever asks for no more than its part of what is taken gets all of it, whatever others send.
    #[test]
    fn no_tenant_starves(
        bursts in proptest::collection::vec((0usize..3, 1usize..40, 1usize..2_000), 50..120),
        taken_at_once in 4usize..8,
    ) {
        let mut inbox = inbox(64, 64 * 2_000);
        let mut modest = 0;
        for (of, count, bytes) in bursts {
            for item in 0..count as u32 {
                let _ = inbox.push(entry(of, bytes, item), NOW);
            }
            if modest == 0 {
                let out = inbox.push(entry(3, 1_000, 0), NOW);
                prop_assert!(out.iter().all(|out| out.item.0 != 3), "one that has nothing waiting is let in");
                modest = 1;
            } else {
                modest += 1;
            }
            // A request here counts as 2,000 bytes: each of the three others has its turn before.
            let before = 3 * (QUANTUM as usize / 2_000 + 1);
            for entry in inbox.take(Take { commands_max: taken_at_once, bytes_max: usize::MAX }, NOW) {
                if entry.item.0 == 3 {
                    modest = 0;
                }
            }
            prop_assert!(modest <= before / taken_at_once + 2, "it has waited for {} batches", modest);
        }
    }
}
