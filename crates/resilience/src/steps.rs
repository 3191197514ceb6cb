//! A sliding window of time in steps: what is older than the window leaves it a step at a time.

use mainstay_base::time::Instant;

/// The last `N` steps of time, and what was noted in each.
#[derive(Debug, Clone)]
pub(crate) struct Steps<T, const N: usize> {
    steps: [T; N],
    step_ns: u64,
    /// The number of the last step, from the clock's origin.
    last: u64,
}

impl<T: Copy + Default, const N: usize> Steps<T, N> {
    /// Steps of so many nanoseconds, at least one, with nothing in them.
    pub(crate) fn new(step_ns: u64) -> Self {
        Self { steps: [T::default(); N], step_ns: step_ns.max(1), last: 0 }
    }

    /// Forgets the steps that have left the window. A moment before the last one, as another thread may have read it, is taken for that one.
    pub(crate) fn move_to(&mut self, now: Instant) {
        let current = now.as_nanos() / self.step_ns;
        for step in current.saturating_sub(N as u64 - 1).max(self.last + 1)..=current {
            self.steps[Self::place(step)] = T::default();
        }
        self.last = current.max(self.last);
    }

    /// The number of the step that is being filled.
    pub(crate) const fn number(&self) -> u64 {
        self.last
    }

    /// When it ends.
    pub(crate) const fn end(&self) -> Instant {
        Instant::from_nanos(self.last.saturating_add(1).saturating_mul(self.step_ns))
    }

    /// The step that is being filled.
    pub(crate) fn last(&mut self) -> &mut T {
        &mut self.steps[Self::place(self.last)]
    }

    /// The step that leaves the window next.
    pub(crate) fn oldest(&self) -> &T {
        &self.steps[Self::place(self.last + 1)]
    }

    /// The step of a number; none if it has left the window.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        (self.last - number < N as u64).then(|| &mut self.steps[Self::place(number)])
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.steps.iter()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.steps = [T::default(); N];
    }

    const fn place(number: u64) -> usize {
        (number % N as u64) as usize
    }
}
