//! The inbox of a shard: what waits to be taken, bounded, and fair between tenants.
//!
//! Every tenant has a queue of its own, first in first out. They take turns by deficit round robin: each turn is worth so many
//! bytes, so who sends much and who sends large waits behind itself, not before others. One number bounds it all: a request
//! costs its bytes, but at least the share of one in `waiting_max`, so that what the costs bound is bounded in bytes and in
//! number. When it is full, what came last of the tenant with the most goes, as long as that is not who wants to come in;
//! so nobody fills it against others, and nothing is reserved for who does not come.
//!
//! Source: Shreedhar, Varghese, "Efficient Fair Queuing using Deficit Round Robin", SIGCOMM 1995.

use std::collections::{BTreeMap, VecDeque};

use mainstay_base::id::Tenant;
use mainstay_base::time::Instant;
use mainstay_base::units::{Duration, Size};

use crate::owner::Take;

/// How much may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Requests.
    pub waiting_max: usize,
    /// Bytes of all requests. One that is larger waits alone.
    pub size_max: Size,
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// Whose turn it is taken in.
    pub tenant: Tenant,
    /// How large it is.
    pub bytes: usize,
    /// Until when it is worth doing.
    pub deadline: Option<Instant>,
    /// The request.
    pub item: T,
}

/// A request that was not taken in, or was put out for another tenant's. It was not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overloaded<T> {
    /// The request.
    pub item: T,
    /// How many wait.
    pub waiting: usize,
    /// When there will be room, by how fast requests were taken lately.
    pub after: Duration,
}

/// Requests that wait.
#[derive(Debug)]
pub struct Inbox<T> {
    bounds: Bounds,
    queues: BTreeMap<Tenant, Queue<T>>,
    /// The tenants with requests, in the order of their turns.
    turns: VecDeque<Tenant>,
    waiting: usize,
    bytes: usize,
    cost: u64,
    /// Not after any deadline.
    deadline_min: Option<Instant>,
    drain: Drain,
}

#[derive(Debug)]
struct Queue<T> {
    entries: VecDeque<Entry<T>>,
    cost: u64,
    /// What it may still take in this turn.
    deficit: u64,
}

/// How much cost is taken per second, smoothed over about [`Drain::OVER`].
#[derive(Debug)]
struct Drain {
    per_second: f64,
    last: Option<Instant>,
}

/// What a turn is worth, in bytes.
const QUANTUM: u64 = 64 * 1024;

/// The shortest and the longest wait that is asked for.
const AFTER: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));

impl Default for Bounds {
    /// 4,096 requests and 8 MiB: with 16 shards at most 128 MiB of a node's memory.
    fn default() -> Self {
        Self { waiting_max: 4_096, size_max: Size::from_mib(8) }
    }
}

impl Bounds {
    fn cost_max(&self) -> u64 {
        self.size_max.bytes().max(self.unit())
    }

    /// What the smallest request costs.
    fn unit(&self) -> u64 {
        self.size_max.bytes().div_ceil(self.waiting_max.max(1) as u64).max(1)
    }

    fn cost(&self, bytes: usize) -> u64 {
        (bytes as u64).clamp(self.unit(), self.cost_max())
    }
}

impl<T> Inbox<T> {
    /// An empty inbox.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            queues: BTreeMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            bytes: 0,
            cost: 0,
            deadline_min: None,
            drain: Drain { per_second: 0.0, last: None },
        }
    }

    /// Puts a request at the end of its tenant's queue. Returns what does not fit: this request, or the last ones of the
    /// tenant that has the most.
    ///
    /// Cost: O(1) while there is room, else O(tenants) for each request that is put out.
    pub fn push(&mut self, entry: Entry<T>, now: Instant) -> Vec<Overloaded<T>> {
        let cost = self.bounds.cost(entry.bytes);
        let mut out = Vec::new();
        if !self.make_room(&entry.tenant, cost, now, &mut out) {
            let after = self.after(cost, now);
            out.push(Overloaded { item: entry.item, waiting: self.waiting, after });
            return out;
        }
        (self.waiting, self.bytes, self.cost) =
            (self.waiting + 1, self.bytes + entry.bytes, self.cost + cost);
        self.deadline_min = [self.deadline_min, entry.deadline].into_iter().flatten().min();
        if let Some(queue) = self.queues.get_mut(&entry.tenant) {
            queue.cost += cost;
            queue.entries.push_back(entry);
        } else {
            let tenant = entry.tenant.clone();
            self.turns.push_back(tenant.clone());
            self.queues.insert(tenant, Queue { entries: VecDeque::from([entry]), cost, deficit: QUANTUM });
        }
        out
    }

    /// Takes requests in turns until there are as many as wanted, or the next would be too much; at least one if any waits.
    pub fn take(&mut self, take: Take, now: Instant) -> Vec<Entry<T>> {
        let (mut taken, mut bytes, mut cost) = (Vec::new(), 0_usize, 0);
        while taken.len() < take.commands_max.max(1) {
            let Some(tenant) = self.turns.front() else { break };
            let queue = self.queues.get_mut(tenant).expect("who has a turn has a queue");
            let head = queue.entries.front().expect("who has a queue has requests");
            let next_cost = self.bounds.cost(head.bytes);
            if queue.deficit < next_cost {
                queue.deficit += QUANTUM;
                self.turns.rotate_left(1);
                continue;
            }
            if !taken.is_empty() && bytes.saturating_add(head.bytes) > take.bytes_max {
                break;
            }
            (bytes, cost) = (bytes.saturating_add(head.bytes), cost + next_cost);
            queue.deficit -= next_cost;
            queue.cost -= next_cost;
            taken.extend(queue.entries.pop_front());
            if queue.entries.is_empty() {
                let tenant = self.turns.pop_front().expect("it is the first");
                self.queues.remove(&tenant);
            }
        }
        self.forget(taken.len(), bytes, cost);
        self.drain.note(cost, self.waiting == 0, now);
        taken
    }

    /// Takes out what has waited past its deadline. Cost: O(1) before the first deadline, else O(requests).
    pub fn expire(&mut self, now: Instant) -> Vec<Entry<T>> {
        if self.deadline_min.is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        self.remove(|entry| entry.deadline.is_some_and(|deadline| deadline <= now))
    }

    /// Takes out everything.
    pub fn clear(&mut self) -> Vec<Entry<T>> {
        self.remove(|_| true)
    }

    /// When [`Inbox::expire`] may have something to do. It may be early.
    pub fn deadline_min(&self) -> Option<Instant> {
        self.deadline_min
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Puts out requests of others until the cost fits. Nothing is put out if that is not enough.
    fn make_room(&mut self, tenant: &Tenant, cost: u64, now: Instant, out: &mut Vec<Overloaded<T>>) -> bool {
        let cost_max = self.bounds.cost_max();
        let fits = |inbox: &Self| inbox.cost + cost <= cost_max;
        if fits(self) {
            return true;
        }
        let after_push = self.queues.get(tenant).map_or(0, |queue| queue.cost) + cost;
        // What others have beyond that is what can be given.
        let spare: u64 = self.queues.values().map(|queue| queue.cost.saturating_sub(after_push)).sum();
        if self.cost + cost > cost_max.saturating_add(spare) {
            return false;
        }
        while !fits(self) {
            let most =
                self.queues.iter().max_by_key(|(_, queue)| queue.cost).map(|(tenant, _)| tenant.clone());
            let Some(most) = most.filter(|most| self.queues[most].cost > after_push) else { return false };
            out.extend(self.put_out_last(&most, now));
        }
        true
    }

    fn put_out_last(&mut self, tenant: &Tenant, now: Instant) -> Option<Overloaded<T>> {
        let queue = self.queues.get_mut(tenant)?;
        let entry = queue.entries.pop_back()?;
        let cost = self.bounds.cost(entry.bytes);
        queue.cost -= cost;
        if queue.entries.is_empty() {
            self.queues.remove(tenant);
            self.turns.retain(|turn| turn != tenant);
        }
        self.forget(1, entry.bytes, cost);
        Some(Overloaded { item: entry.item, waiting: self.waiting, after: self.after(cost, now) })
    }

    fn remove(&mut self, goes: impl Fn(&Entry<T>) -> bool) -> Vec<Entry<T>> {
        let mut gone = Vec::new();
        for queue in self.queues.values_mut() {
            let (out, kept): (Vec<_>, Vec<_>) = queue.entries.drain(..).partition(&goes);
            queue.cost = kept.iter().map(|entry| self.bounds.cost(entry.bytes)).sum();
            queue.entries = kept.into();
            gone.extend(out);
        }
        self.queues.retain(|_, queue| !queue.entries.is_empty());
        self.turns.retain(|tenant| self.queues.contains_key(tenant));
        let bytes = gone.iter().map(|entry| entry.bytes).sum();
        let cost = gone.iter().map(|entry| self.bounds.cost(entry.bytes)).sum();
        self.forget(gone.len(), bytes, cost);
        let entries = self.queues.values().flat_map(|queue| &queue.entries);
        self.deadline_min = entries.filter_map(|entry| entry.deadline).min();
        gone
    }

    fn forget(&mut self, count: usize, bytes: usize, cost: u64) {
        (self.waiting, self.bytes, self.cost) = (self.waiting - count, self.bytes - bytes, self.cost - cost);
        if self.waiting == 0 {
            self.deadline_min = None;
        }
    }

    /// When a request of this cost may fit: half of what waits should be gone by then, and it at least.
    fn after(&self, cost: u64, now: Instant) -> Duration {
        let goal = cost.max(self.cost / 2) as f64;
        let seconds = goal / self.drain.per_second_at(now).max(f64::MIN_POSITIVE);
        let after = std::time::Duration::try_from_secs_f64(seconds).unwrap_or(AFTER.1.as_std());
        Duration::from(after).clamp(AFTER.0, AFTER.1)
    }
}

impl Drain {
    const OVER: f64 = 1.0;

    /// Takes note of what was taken. Time in which nothing waited does not count.
    fn note(&mut self, cost: u64, is_empty: bool, now: Instant) {
        if let Some(last) = self.last {
            // What comes in quick succession counts as one.
            let seconds = now.saturating_since(last).as_std().as_secs_f64().max(1e-6);
            let weight = seconds / (seconds + Self::OVER);
            self.per_second += (cost as f64 / seconds - self.per_second) * weight;
        }
        self.last = (!is_empty).then_some(now);
    }

    /// The rate by now: it falls while nothing is taken.
    fn per_second_at(&self, now: Instant) -> f64 {
        let seconds = self.last.map_or(0.0, |last| now.saturating_since(last).as_std().as_secs_f64());
        self.per_second * Self::OVER / (seconds + Self::OVER)
    }
}

#[cfg(test)]
mod tests;
