//! Random use compared with an ordered map.

use mainstay_machine::State;

use super::*;

/// A store, its model, and views of earlier states with theirs.
struct World {
    random: Random,
    pool: Pool,
    directory: TempDir,
    store: Option<Store>,
    rows: Memory,
    index: u64,
    views: Vec<(View, u64, Memory)>,
    reopened: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let (pool, directory) = (pool(&small()), folder());
        let store = Some(open(&pool, directory.path()));
        let random = Random::new(seed);
        Self {
            random,
            pool,
            directory,
            store,
            rows: Memory::default(),
            index: 0,
            views: Vec::new(),
            reopened: 0,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }

    fn step(&mut self) {
        match self.random.below(150) {
            0 => self.store().flush().expect("there is room"),
            1 => self.store().settle().expect("there is room"),
            2 | 3 => self.views.push((self.store().view(), self.index, self.rows.clone())),
            4 | 5 if !self.views.is_empty() => {
                let (view, index, rows) = self.views.swap_remove(self.random.up_to(self.views.len() - 1));
                self.look(&view, &rows);
                assert_shows(&view, index, &rows);
            }
            6 if self.random.one_in(4) => self.reopen(),
            7..=20 => self.look(&self.store().view(), &self.rows),
            _ => {
                self.index += 1;
                apply(self.store(), self.index);
                self.rows.apply(&batch(self.index));
            }
        }
        assert_eq!(self.store().applied(), Index::new(self.index));
    }

    /// As after a crash: what was not flushed is gone.
    fn reopen(&mut self) {
        for (view, index, rows) in self.views.drain(..) {
            assert_shows(&view, index, &rows);
        }
        let store = self.store.take().expect("it is open");
        let durable = store.durable_applied();
        store.close().expect("nothing holds it");
        self.store = Some(open(&self.pool, self.directory.path()));
        self.index = self.store().applied().get();
        assert!(self.index >= durable.get(), "what was durable is there");
        assert_eq!(self.store().durable_applied().get(), self.index);
        self.rows = rows_at(self.index);
        assert_shows(&self.store().view(), self.index, &self.rows);
        self.reopened += 1;
    }

    fn look(&self, view: &View, rows: &Memory) {
        let [mut start, mut end] = [(); 2].map(|()| row_key(self.random.below(ROWS)));
        if start > end {
            std::mem::swap(&mut start, &mut end);
        }
        assert_eq!(view.get(&start), rows.get(&start));
        let limit = self.random.below(100) as usize;
        let all = RowRange { start: Bytes::new(), end: vec![0xff; 9].into() };
        for range in
            [RowRange { start: start.clone(), end: end.clone() }, RowRange { start: end, end: start }, all]
        {
            assert_eq!(view.scan(&range, limit), rows.scan(&range, limit), "{limit} of {range:?}");
            let mut expected = rows.scan(&range, usize::MAX).expect("it is in memory");
            expected.reverse();
            assert!(rows_back(view, &range) == expected, "{range:?} from its end");
        }
    }
}

#[test]
fn a_store_holds_what_an_ordered_map_holds() {
    for seed in 0..2 {
        let mut world = World::new(seed);
        (0..1_500).for_each(|_| world.step());
        let stats = world.store().stats();
        assert!(world.reopened > 0 && stats.runs > 1 && stats.bytes_compacted > 0, "{seed}: {stats:?}");
        world.reopen();
    }
}

#[test]
#[ignore = "takes minutes"]
fn stores_hold_what_ordered_maps_hold() {
    for seed in 4..200 {
        let mut world = World::new(seed);
        (0..10_000).for_each(|_| world.step());
        world.reopen();
    }
}

#[test]
fn a_view_never_shows_a_part_of_a_batch() {
    const ROWS: u64 = 40;
    const BATCHES: u64 = 800;
    // So little memory that it is flushed all the time.
    let options = Options { memtables_max: Size::from_kib(128), ..small() };
    let (pool, directory) = (pool(&options), folder());
    let store = open(&pool, directory.path());
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut seen = 0;
            loop {
                let view = store.view();
                let index = view.applied().expect("it can be read").map_or(0, |applied| applied.index.get());
                assert!(index >= seen, "what was seen is not taken back");
                seen = index;
                let rows = every_row_of(&view);
                let expected = if index == 0 { 0 } else { ROWS };
                assert_eq!(rows.len() as u64, expected, "at {index}");
                assert!(rows.iter().all(|(_, value)| value[..8] == index.to_be_bytes()), "torn at {index}");
                if index == BATCHES {
                    return;
                }
            }
        });
        for index in 1..=BATCHES {
            let value: Bytes = [&index.to_be_bytes()[..], &[7; 90]].concat().into();
            let rows: Vec<_> = (0..ROWS).map(|number| put(number, value.clone())).collect();
            store.apply(rows.iter(), &applied(index)).expect("it is applied");
        }
        looking.join().expect("it sees whole batches");
    });
    let stats = store.stats();
    assert!(stats.bytes_flushed > 0 && stats.bytes_compacted > 0, "both went on meanwhile: {stats:?}");
}
