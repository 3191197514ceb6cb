//! The check that a history is linearizable: that each call can be given one moment between its begin and its end, such that
//! the results are those of the calls made one after another at these moments.
//!
//! A search over orders: of the calls that could be next, each that fits is tried, and no pair of calls made and state
//! reached is tried twice. A call that fits and changes nothing is taken at once, since to take it later explains no more. A
//! call whose end nobody saw may have happened at any time after its begin, or never; of equal ones the first comes first.
//!
//! Source: Wing, Gong, "Testing and Verifying Concurrent Objects", 1993, with the memory of Lowe, "Testing for
//! Linearizability", 2017.

use std::collections::HashSet;
use std::hash::Hash;

/// A call that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<C> {
    /// When it was made: before its effect.
    pub begin: u64,
    /// When its result was seen: after its effect. None if no result ever was.
    pub end: Option<u64>,
    /// What was called, and the result.
    pub what: C,
}

/// The most calls of one history.
pub const CALLS_MAX: usize = 128;

struct Frame<S> {
    done: u128,
    state: S,
    /// The first call that was not tried here.
    next: usize,
}

/// Whether the calls are linearizable. `apply` gives the state after a call, or none if the call would not have had that
/// result. Otherwise returns the largest set of calls for which there was an order, as their places in `calls`.
///
/// A result must say whether its call has changed the state: a call that fits both where it changes nothing and where it
/// changes something is taken for the former. Panics when there are more than [`CALLS_MAX`] calls. Cost: exponential in the calls that overlap, at worst.
pub fn check<S: Clone + Eq + Hash, C: PartialEq>(
    calls: &[Call<C>],
    start: S,
    apply: impl Fn(&S, &C) -> Option<S>,
) -> Result<(), Vec<usize>> {
    assert!(calls.len() <= CALLS_MAX, "a history has at most {CALLS_MAX} calls");
    let is_done = |done: u128, call: usize| done & (1 << call) != 0;
    let mut by_begin: Vec<usize> = (0..calls.len()).collect();
    by_begin.sort_by_key(|call| calls[*call].begin);
    // What somebody has seen the end of comes first: the rest is only there to explain it.
    let (ended, open): (Vec<usize>, Vec<usize>) =
        by_begin.iter().partition(|call| calls[**call].end.is_some());
    let order = [ended, open].concat();
    let mut seen = HashSet::from([(0, start.clone())]);
    let mut stack = vec![Frame { done: 0, state: start, next: 0 }];
    let mut best = 0_u128;
    while let Some(Frame { done, state, next }) = stack.last_mut() {
        let (done, from) = (*done, *next);
        // Whatever ends first of what is not done yet comes before all that begins later.
        let left = (0..calls.len()).filter(|call| !is_done(done, *call));
        let Some(first_end) = left.filter_map(|call| calls[call].end).min() else { return Ok(()) };
        if done.count_ones() > best.count_ones() {
            best = done;
        }
        let may_be_next = |call: usize| calls[call].begin < first_end && !is_done(done, call);
        let idle = by_begin.iter().find(|call| {
            calls[**call].end.is_some()
                && may_be_next(**call)
                && apply(state, &calls[**call].what).is_some_and(|after| after == *state)
        });
        let candidates: &[usize] = idle.map_or(&order, std::slice::from_ref);
        let mut candidates = candidates.iter().enumerate().skip(from).filter(|(_, call)| may_be_next(**call));
        let found = candidates.find_map(|(place, call)| {
            let after = apply(state, &calls[*call].what)?;
            // An unseen call that changes nothing may as well not have been made, and of equal ones the first is as good.
            let is_open = calls[*call].end.is_none();
            let is_equal =
                |other: &usize| calls[*other].end.is_none() && calls[*other].what == calls[*call].what;
            let mut before = by_begin.iter().take_while(|other| *other != call);
            if is_open && (after == *state || before.any(|other| is_equal(other) && !is_done(done, *other))) {
                return None;
            }
            let done = done | 1 << call;
            seen.insert((done, after.clone())).then_some((place, done, after))
        });
        match found {
            Some((place, done, after)) => {
                *next = place + 1;
                stack.push(Frame { done, state: after, next: 0 });
            }
            None => drop(stack.pop()),
        }
    }
    Err((0..calls.len()).filter(|call| is_done(best, *call)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Register {
        Write(u32),
        Read(u32),
    }
    use Register::{Read, Write};

    fn is_good(calls: &[(u64, Option<u64>, Register)]) -> bool {
        let calls: Vec<_> =
            calls.iter().map(|(begin, end, what)| Call { begin: *begin, end: *end, what: *what }).collect();
        let apply = |state: &u32, what: &Register| match what {
            Write(value) => Some(*value),
            Read(value) => (value == state).then_some(*state),
        };
        check(&calls, 0, apply).is_ok()
    }

    #[test]
    fn good_histories_pass() {
        assert!(is_good(&[]));
        assert!(is_good(&[(1, Some(2), Read(0)), (3, Some(4), Write(1)), (5, Some(6), Read(1))]));
        // While a write runs, reads may see it or not, but not in turn.
        assert!(is_good(&[(1, Some(9), Write(1)), (2, Some(3), Read(0)), (4, Some(5), Read(1))]));
        assert!(is_good(&[(1, Some(9), Write(1)), (2, Some(6), Read(1)), (3, Some(5), Read(0))]));
        // Whose result nobody saw may happen late, or never.
        assert!(is_good(&[(1, None, Write(1)), (2, Some(3), Read(0)), (8, Some(9), Read(1))]));
        assert!(is_good(&[(1, None, Write(1)), (2, Some(3), Write(2)), (8, Some(9), Read(2))]));
        // Two writes at once: whichever order explains the reads.
        assert!(is_good(&[(1, Some(4), Write(1)), (2, Some(3), Write(2)), (5, Some(6), Read(1))]));
        assert!(is_good(&[(1, Some(4), Write(1)), (2, Some(3), Write(2)), (5, Some(6), Read(2))]));
    }

    #[test]
    fn bad_histories_are_found() {
        // A stale read.
        assert!(!is_good(&[(1, Some(2), Write(1)), (3, Some(4), Read(0))]));
        // A value that nobody wrote.
        assert!(!is_good(&[(1, Some(2), Read(7))]));
        // A read before its write began.
        assert!(!is_good(&[(1, Some(2), Read(1)), (3, Some(4), Write(1))]));
        // New, then old again, while the write runs.
        assert!(!is_good(&[(1, Some(9), Write(1)), (2, Some(3), Read(1)), (4, Some(5), Read(0))]));
        // A write that happens twice.
        assert!(!is_good(&[
            (1, None, Write(1)),
            (2, Some(3), Read(1)),
            (4, Some(5), Write(2)),
            (6, Some(7), Read(1)),
        ]));
        // Two readers who disagree about the order of two writes.
        assert!(!is_good(&[
            (1, Some(9), Write(1)),
            (1, Some(9), Write(2)),
            (10, Some(11), Read(1)),
            (12, Some(13), Read(2)),
        ]));
    }

    #[test]
    fn it_says_how_far_an_order_goes() {
        let calls = [(1, Some(2), 5), (3, Some(4), 6), (5, Some(6), 9)].map(|(begin, end, what)| Call {
            begin,
            end,
            what,
        });
        let apply = |state: &u32, what: &u32| (*what == state + 1).then_some(*what);
        assert_eq!(check(&calls, 4, apply), Err(vec![0, 1]));
    }

    #[test]
    fn long_histories_with_much_at_once_are_checked_in_time() {
        let calls = |wrong: u32| -> Vec<_> {
            let write = |n: u32| (u64::from(n / 4 * 10), Some(u64::from(n / 4 * 10 + 9)), Write(n));
            let mut calls: Vec<_> = (0..120).map(write).collect();
            calls.push((2_000, Some(2_001), Read(wrong)));
            calls
        };
        assert!(is_good(&calls(118)));
        assert!(!is_good(&calls(3)));
    }
}
