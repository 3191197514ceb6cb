//! Wakes who waits for an append: at once for appends of this process, by notification for those of others.
//!
//! A ring is a hint and nothing rests on it: whoever waits also looks from time to time, so a lost notification costs
//! time and a false one a look.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainstay_base::position::{Index, ShardId};
use tokio::sync::{Notify, watch};

/// More shards than this in one announcement are announced as all shards.
const ANNOUNCED_MAX: usize = 240;

/// Who waits for which shard, and what is to be announced to other processes.
#[derive(Default)]
pub(super) struct Bell {
    /// The next index that was last heard of, for each shard that is waited for. What it is when a wait begins
    /// means nothing, since the log may be another server's by now.
    heard: Mutex<BTreeMap<ShardId, watch::Sender<Index>>>,
    announced: Mutex<BTreeMap<ShardId, Index>>,
    has_announced: Notify,
}

/// One wait.
pub(super) struct Ear<'a> {
    bell: &'a Bell,
    shard: ShardId,
    /// There until the wait ends.
    receiver: Option<watch::Receiver<Index>>,
}

impl Bell {
    /// Begins to wait for rings for the shard.
    pub fn listen(&self, shard: ShardId) -> Ear<'_> {
        let mut heard = self.heard();
        let sender = heard.entry(shard).or_insert_with(|| watch::channel(Index::FIRST).0);
        Ear { bell: self, shard, receiver: Some(sender.subscribe()) }
    }

    /// Wakes who waits for the shard.
    pub fn ring(&self, shard: ShardId, next: Index) {
        if let Some(sender) = self.heard().get(&shard) {
            sender.send_replace(next);
        }
    }

    /// Wakes everyone, to look.
    pub fn ring_all(&self) {
        for sender in self.heard().values() {
            sender.send_replace(Index::FIRST);
        }
    }

    /// Rings here, and has it rung in other processes as well.
    pub fn announce(&self, shard: ShardId, next: Index) {
        self.ring(shard, next);
        let mut announced = self.announced();
        // One more than fits is kept: it stands for all.
        if announced.len() <= ANNOUNCED_MAX || announced.contains_key(&shard) {
            announced.insert(shard, next);
        }
        drop(announced);
        self.has_announced.notify_one();
    }

    /// What has to be announced, once there is something. Cancel-safe.
    pub async fn announcement(&self) -> String {
        loop {
            // Before looking, so that what is announced in between is not missed.
            let notified = self.has_announced.notified();
            let announced = std::mem::take(&mut *self.announced());
            if !announced.is_empty() {
                return encode(&announced);
            }
            notified.await;
        }
    }

    /// Rings as another process has announced. Anyone who may use the database can send anything: what is no
    /// announcement is ignored.
    pub fn hear(&self, announcement: &str) {
        if announcement == ALL {
            return self.ring_all();
        }
        for (shard, next) in announcement.split(' ').filter_map(|word| word.split_once(':')) {
            if let (Ok(shard), Ok(next)) = (shard.parse(), next.parse()) {
                self.ring(ShardId::new(shard), Index::new(next));
            }
        }
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<ShardId, watch::Sender<Index>>> {
        // Each change is one call on the map.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announced(&self) -> MutexGuard<'_, BTreeMap<ShardId, Index>> {
        // Each change is one call on the map.
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The announcement of every shard.
const ALL: &str = "*";

/// `shard:next`, separated by spaces. A notification carries less than 8,000 bytes.
fn encode(announced: &BTreeMap<ShardId, Index>) -> String {
    if announced.len() > ANNOUNCED_MAX {
        return ALL.to_owned();
    }
    let words: Vec<String> =
        announced.iter().map(|(shard, next)| format!("{}:{}", shard.get(), next.get())).collect();
    words.join(" ")
}

impl Ear<'_> {
    /// The next index that is rung with after the wait began or this was last called. Cancel-safe.
    pub async fn rung(&mut self) -> Index {
        let receiver = self.receiver.as_mut().expect("the wait goes on");
        receiver.changed().await.expect("the sender is kept while someone listens");
        *receiver.borrow_and_update()
    }
}

impl Drop for Ear<'_> {
    fn drop(&mut self) {
        let mut heard = self.bell.heard();
        self.receiver = None;
        if heard.get(&self.shard).is_some_and(|sender| sender.receiver_count() == 0) {
            heard.remove(&self.shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId::new(7);

    #[tokio::test]
    async fn an_announcement_rings_for_its_shards_here_and_elsewhere() {
        let (here, elsewhere) = (Bell::default(), Bell::default());
        let (mut ear, mut far, mut other) =
            (here.listen(SHARD), elsewhere.listen(SHARD), elsewhere.listen(ShardId::new(8)));
        here.announce(SHARD, Index::new(5));
        assert_eq!(ear.rung().await, Index::new(5));
        elsewhere.hear(&here.announcement().await);
        assert_eq!(far.rung().await, Index::new(5));
        assert!(!other.receiver.as_mut().unwrap().has_changed().unwrap());
    }

    #[tokio::test]
    async fn what_is_announced_in_between_goes_together_and_too_much_means_all() {
        let (here, elsewhere) = (Bell::default(), Bell::default());
        for next in 2..=4 {
            here.announce(SHARD, Index::new(next));
        }
        assert_eq!(here.announcement().await, "7:4");
        for shard in 0..10_000 {
            here.announce(ShardId::new(shard), Index::new(u64::MAX));
        }
        let all = here.announcement().await;
        assert_eq!(all, "*");
        let mut far = elsewhere.listen(SHARD);
        elsewhere.hear(&all);
        assert_eq!(far.rung().await, Index::FIRST, "whoever waits looks");
    }

    #[tokio::test]
    async fn the_longest_announcement_fits_into_a_notification() {
        let bell = Bell::default();
        for shard in 0..ANNOUNCED_MAX {
            bell.announce(
                ShardId::new(u32::MAX - u32::try_from(shard).unwrap()),
                Index::new(i64::MAX as u64),
            );
        }
        let announcement = bell.announcement().await;
        assert!(announcement.starts_with("4294967056:9223372036854775807 "));
        assert!(announcement.len() < 8000, "{}", announcement.len());
    }

    #[test]
    fn what_is_no_announcement_is_ignored_and_no_wait_leaves_anything_behind() {
        let bell = Bell::default();
        let ear = bell.listen(SHARD);
        for nonsense in ["", " ", "7", "7:", ":7", "x:1", "7:-1", "4294967296:1", "7:1:1", "\u{0}"] {
            bell.hear(nonsense);
        }
        assert!(!ear.receiver.as_ref().unwrap().has_changed().unwrap());
        drop(ear);
        assert!(bell.heard().is_empty());
    }
}
