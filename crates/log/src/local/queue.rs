//! A bounded queue between callers and a thread, and the answers that come back.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What waits for a thread. Callers never block: what does not fit is given back.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    /// As many as there are items, for who only looks.
    count: AtomicUsize,
    count_max: usize,
    bytes_max: usize,
}

struct State<T> {
    items: VecDeque<T>,
    /// Of what waits; only taking all of it gives them back.
    bytes: usize,
    /// Threads that wait: nobody else has to be woken.
    idle: usize,
    is_closed: bool,
}

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    Full,
    Closed,
}

impl<T> Queue<T> {
    /// A queue for this many items, and this many bytes of them; one item always fits an empty one.
    pub(crate) fn new(count_max: usize, bytes_max: usize) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, idle: 0, is_closed: false };
        let count = AtomicUsize::new(0);
        Self { state: Mutex::new(state), filled: Condvar::new(), count, count_max, bytes_max }
    }

    /// Adds an item of so many bytes.
    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), Rejected> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Rejected::Closed);
        }
        let is_full = state.items.len() >= self.count_max || state.bytes + bytes > self.bytes_max;
        if is_full && !state.items.is_empty() {
            return Err(Rejected::Full);
        }
        state.items.push_back(item);
        state.bytes += bytes;
        self.count.store(state.items.len(), Relaxed);
        let is_awaited = state.idle > 0;
        drop(state);
        if is_awaited {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// How many items wait, as of a moment ago, if nobody takes single ones.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Waits for items and takes all of them. Returns false when the queue is closed and empty.
    pub(crate) fn take_all(&self, into: &mut VecDeque<T>) -> bool {
        self.take(self.wait(), into);
        !into.is_empty()
    }

    /// Takes all that wait. Returns false when there are none.
    pub(crate) fn take_waiting(&self, into: &mut VecDeque<T>) -> bool {
        if self.len() > 0 {
            self.take(self.state(), into);
        }
        !into.is_empty()
    }

    fn take(&self, mut state: MutexGuard<'_, State<T>>, into: &mut VecDeque<T>) {
        std::mem::swap(&mut state.items, into);
        state.bytes = 0;
        self.count.store(0, Relaxed);
    }

    /// Waits for an item; none when the queue is closed and empty.
    pub(crate) fn take_one(&self) -> Option<T> {
        self.wait().items.pop_front()
    }

    /// Adds an item, however many there are, and takes no more after it.
    pub(crate) fn push_last(&self, item: T) -> Result<(), Rejected> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Rejected::Closed);
        }
        state.items.push_back(item);
        state.is_closed = true;
        drop(state);
        self.filled.notify_all();
        Ok(())
    }

    /// Takes no more, and drops what waits.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let items = std::mem::take(&mut state.items);
        drop(state);
        self.filled.notify_all();
        drop(items);
    }

    fn wait(&self) -> MutexGuard<'_, State<T>> {
        let mut state = self.state();
        while state.items.is_empty() && !state.is_closed {
            state.idle += 1;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        state
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No code that can panic runs between changes of items and bytes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the answer, once. Dropped without, it says so.
pub(crate) struct Answer<T>(Arc<Mutex<Slot<T>>>);

/// Waits for an answer; none when there will not be one.
pub(crate) struct Answered<T>(Arc<Mutex<Slot<T>>>);

enum Slot<T> {
    Waiting(Option<Waker>),
    Given(T),
    Gone,
}

/// The two ends of one answer.
pub(crate) fn answer<T>() -> (Answer<T>, Answered<T>) {
    let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
    (Answer(Arc::clone(&slot)), Answered(slot))
}

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    // It is only ever assigned whole.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Answer<T> {
    /// Gives the answer and wakes who waits.
    pub(crate) fn give(self, value: T) {
        self.set(Slot::Given(value));
    }

    fn set(&self, new: Slot<T>) {
        let mut slot = lock(&self.0);
        if let Slot::Waiting(waker) = &mut *slot {
            let waker = waker.take();
            *slot = new;
            drop(slot);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.set(Slot::Gone);
    }
}

impl<T> Future for Answered<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = lock(&self.0);
        match std::mem::replace(&mut *slot, Slot::Gone) {
            Slot::Given(value) => Poll::Ready(Some(value)),
            Slot::Gone => Poll::Ready(None),
            Slot::Waiting(waker) => {
                let waker = match waker {
                    Some(waker) if waker.will_wake(context.waker()) => waker,
                    _ => context.waker().clone(),
                };
                *slot = Slot::Waiting(Some(waker));
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on::block_on;

    #[test]
    fn a_full_queue_takes_nothing_and_one_item_always_fits() {
        let queue = Queue::new(2, 10);
        assert_eq!(queue.push('a', 100), Ok(()));
        assert_eq!(queue.push('b', 1), Err(Rejected::Full), "the bytes are used up");
        let mut items = VecDeque::new();
        assert!(queue.take_all(&mut items));
        assert_eq!(items, ['a']);
        items.clear();
        assert_eq!((queue.push('b', 1), queue.push('c', 1)), (Ok(()), Ok(())));
        assert_eq!(queue.push('d', 1), Err(Rejected::Full), "so are the places");
        assert_eq!(queue.take_one(), Some('b'));
        assert_eq!(queue.push_last('z'), Ok(()));
        assert_eq!(queue.push('e', 1), Err(Rejected::Closed));
        assert!(queue.take_all(&mut items), "what waits is taken after the last was added");
        assert_eq!(items, ['c', 'z']);
        items.clear();
        assert!(!queue.take_all(&mut items));
        assert_eq!(queue.take_one(), None);
    }

    #[test]
    fn what_waits_can_be_dropped_on_closing() {
        let queue = Queue::new(2, 10);
        let (answer, answered) = answer::<()>();
        queue.push(answer, 1).unwrap();
        queue.close();
        assert_eq!(block_on(answered), None);
    }

    #[test]
    fn an_answer_arrives_or_is_known_to_be_lost() {
        let (give, wait) = answer();
        give.give(7);
        assert_eq!(block_on(wait), Some(7));
        let (give, wait) = answer::<u8>();
        drop(give);
        assert_eq!(block_on(wait), None);
        let (give, wait) = answer();
        std::thread::scope(|scope| {
            scope.spawn(|| give.give(8));
            assert_eq!(block_on(wait), Some(8));
        });
    }
}
