//! A run from end to end on small work, and the judgements on figures that are made up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::bail;
use mainstay_base::position::{Epoch, Index, ShardId};
use mainstay_log::Error;
use mainstay_log::record::{Checksum, Draft, Extensions, Kind, Record, RecordId};
use tokio::task::JoinSet;

use super::front::{self, Store};
use super::producers::{Window, count_all};
use super::*;
use crate::clock::Moment;
use crate::duel::CpuShares;
use crate::load::Percentiles;
use crate::process::Machine;
use crate::report::Verdict;
use crate::stats::Winner;

fn small(subjects: Vec<Subject>) -> Plan {
    let ms = Duration::from_millis;
    Plan {
        name: "small".to_owned(),
        title: "Small".to_owned(),
        about: "Whether it runs.".to_owned(),
        subjects,
        cells: vec![Cell { producers: 3, payload: Size::from_bytes(100) }],
        rounds: 3,
        warm_up: ms(5),
        duration: ms(200),
        disk: ms(1),
        strict: false,
        keep: Size::from_kib(64),
        settle_max: Duration::ZERO,
        seed: 1,
    }
}

/// Durable at once: whether it runs is not to depend on what else uses the disk. Counts the large records.
struct AtOnce(Arc<AtomicUsize>);

impl Store for AtOnce {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        let large = records.iter().filter(|record| record.payload().len() == 1 << 20).count();
        self.0.fetch_add(large, Ordering::Relaxed);
        Ok(())
    }
}

fn at_once(large: &Arc<AtomicUsize>) -> Subject {
    let large = Arc::clone(large);
    Subject {
        name: "at once".to_owned(),
        run_in: Size::from_kib(2_500),
        open: Box::new(move |_| front::open(AtOnce(Arc::clone(&large)))),
        ..bare_file()
    }
}

#[test]
fn a_run_measures_every_subject_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let large = Arc::default();
    let plan = small(vec![at_once(&large), memory()]);
    let mut steps = 0;
    let results = run(&plan, folder.path(), "2026-01-02", &Stop::default(), |_| steps += 1).unwrap();
    assert_eq!(steps, 1 + 2 * 4);
    assert_eq!(large.load(Ordering::Relaxed), 4 * 3, "run in before each sample, by whole MiB");
    let [at_once, memory] = &results.cells[0].measured[..] else { panic!("two subjects") };
    for series in [at_once, memory] {
        assert!(series.is_measured(), "{series:?}");
        assert!(series.clean.iter().all(|sample| sample.records_per_s > 0.0));
        assert!(series.clean.iter().all(|sample| sample.disk_block[0].group_bytes == BLOCK_BYTES));
    }
    assert!(ratio_to_disk(at_once, 1).is_some() && ratio_to_disk(memory, 1).is_none());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "the bare file alone: {left:?}");
    assert!(results.markdown().contains("## 3 producers, payloads of 100B"));
    assert!(results.text().contains("What limits it"));
}

#[test]
fn a_run_that_is_told_to_stop_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let stop = Stop::default();
    stop.ask();
    let error = run(&small(vec![memory()]), folder.path(), "", &stop, |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "interrupted");
}

struct Broken;

impl Store for Broken {
    fn commit(&mut self, _: &[Record]) -> Result<()> {
        bail!("no disk")
    }
}

#[test]
fn a_failed_append_ends_the_run_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let broken = Subject {
        name: "broken".to_owned(),
        version: String::new(),
        settings: Vec::new(),
        synced: true,
        run_in: Size::ZERO,
        open: Box::new(|_| front::open(Broken)),
    };
    let error = run(&small(vec![broken]), folder.path(), "", &Stop::default(), |_| ()).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("append to broken") && error.contains("no disk"), "{error}");
}

/// Commits when it is told to, and reports the size of each batch.
struct Gated {
    go: mpsc::Receiver<()>,
    sizes: mpsc::SyncSender<usize>,
}

impl Store for Gated {
    fn commit(&mut self, records: &[Record]) -> Result<()> {
        self.go.recv()?;
        Ok(self.sizes.send(records.len())?)
    }
}

fn record(shard: u32) -> Record {
    let draft = Draft {
        kind: Kind::Data,
        id: RecordId::new([0; 16]),
        extensions: Extensions::default(),
        payload: bytes::Bytes::new(),
    };
    draft.seal(ShardId::new(shard), Index::FIRST, Epoch::new(1), Checksum::START)
}

#[test]
fn the_front_commits_together_what_waited_together() {
    let (go, gate) = mpsc::sync_channel(2);
    let (sizes, batches) = mpsc::sync_channel(2);
    let Opened { log, syncs, close } = front::open(Gated { go: gate, sizes }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut appends = JoinSet::new();
        for shard in 1..=5 {
            let log = Arc::clone(&log);
            appends.spawn(async move { log.append(record(shard)).await });
        }
        // All five are in the queue or with the store after one turn: none waits for a timer.
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        go.send(()).unwrap();
        drop(go);
        while let Some(appended) = appends.join_next().await {
            assert_eq!(appended.unwrap().unwrap().index, Index::FIRST);
        }
    });
    let sizes: Vec<usize> = batches.try_iter().collect();
    assert_eq!(sizes.iter().sum::<usize>(), 5);
    assert_eq!(sizes.len() as u64, syncs());
    close().unwrap();
    let closed = runtime.block_on(log.append(record(1)));
    assert_eq!(closed, Err(Error::Closed));
}

#[test]
fn only_what_is_acknowledged_in_the_window_counts() {
    let ms = 1_000_000;
    let window = Window { begin: Moment::from_ns(10 * ms), end: Moment::from_ns(20 * ms) };
    let times = [(1, 9), (9, 10), (12, 15), (19, 20), (25, 30)];
    let seen = count_all(window, &times.map(|(submitted, acknowledged)| (submitted * ms, acknowledged * ms)));
    assert_eq!(seen.records, 2);
    assert!((seen.latency.max_us - 3_000.0).abs() < 10.0, "{:?}", seen.latency);
}

fn sample(records_per_s: f64, syncs_per_s: f64, disk_per_s: f64) -> Sample {
    let pace = |syncs_per_s, group_bytes| Pace { group_bytes, syncs_per_s, latency: Percentiles::default() };
    Sample {
        records_per_s,
        latency: Percentiles { p99_us: 100.0, ..Percentiles::default() },
        syncs_per_s,
        written_per_given: Some(1.5),
        cpu_us_per_record: 2.0,
        producers_cpu_us_per_record: 0.5,
        producers_busy_ratio: 0.2,
        disk_block: [pace(disk_per_s, BLOCK_BYTES); 2],
        disk_group: [pace(disk_per_s, 2 * BLOCK_BYTES); 2],
        cpu: CpuShares { load: 1.0, ..CpuShares::default() },
    }
}

fn series(samples: Vec<Sample>) -> Series {
    Series { clean: samples, ..Series::default() }
}

#[test]
fn the_limit_is_the_disk_then_the_producers_then_processors() {
    let limit = |sample: Sample, synced| series(vec![sample; 3]).limit(synced, 2);
    let (near, far) = (sample(1e5, 9_000.0, 10_000.0), sample(1e5, 5_000.0, 10_000.0));
    assert_eq!(limit(near.clone(), true), Some(Limit::Disk));
    assert_eq!(
        limit(near.clone(), false),
        Some(Limit::Handover),
        "what does not wait is not limited by syncs"
    );
    assert_eq!(limit(far.clone(), true), Some(Limit::Handover));
    assert_eq!(limit(Sample { producers_busy_ratio: 0.95, ..far.clone() }, true), Some(Limit::Producers));
    let busy = CpuShares { load: 1.5, server: 0.3, ..CpuShares::default() };
    assert_eq!(limit(Sample { cpu: busy, ..far.clone() }, true), Some(Limit::Processors));
    assert_eq!(series(vec![far; 2]).limit(true, 2), None, "two samples are not enough");
}

#[test]
fn dirty_samples_are_told_from_clean_ones() {
    let clean = sample(1e5, 9_000.0, 10_000.0);
    assert_eq!(clean.objections(), Vec::<String>::new());
    let foreign = CpuShares { foreign: 0.2, ..clean.cpu };
    assert_eq!(Sample { cpu: foreign, ..clean.clone() }.objections().len(), 1);
    let mut drifted = clean;
    drifted.disk_block[1].syncs_per_s /= 2.5;
    assert_eq!(drifted.objections(), ["the bare disk was more than twice as fast before or after"]);
}

#[test]
fn figures_stand_beside_those_of_the_disk_and_of_the_peer() {
    let ours = series(vec![sample(200_000.0, 9_000.0, 10_000.0); 5]);
    let theirs = series(vec![sample(100_000.0, 5_000.0, 10_000.0); 5]);
    assert!((ratio_to_disk(&ours, 1).unwrap().value - 0.9).abs() < 1e-9);
    assert_eq!(ours.values(Metric::RecordsPerDiskSync), [20.0; 5]);
    let names = ["local", "peer"];
    let subject = |name: &str| Subject { name: name.to_owned(), ..bare_file() };
    let subjects = [subject("local"), subject("peer"), memory()];
    let rows = results::compare(&subjects, &[ours.clone(), theirs.clone(), theirs.clone()], 1);
    assert!(rows.iter().all(|row| row.peer == "peer"), "what does not wait for the disk is no peer");
    assert_eq!(rows[0].metric, Metric::Records);
    assert_eq!((rows[0].ratio.unwrap().value, rows[0].winner), (2.0, Some(Winner::Ours)));
    let p50 = rows.iter().find(|row| row.metric == Metric::P50).unwrap();
    assert_eq!(p50.ratio, None, "a figure of zero is one that was not measured");
    let participant = |name: &str| Participant {
        name: name.to_owned(),
        version: "1".to_owned(),
        settings: Vec::new(),
        synced: true,
    };
    let cell = Cell { producers: 64, payload: Size::from_bytes(256) };
    let mut verdict = Verdict::default();
    verdict.check("at least 2 times the peer", "2.00", true);
    let results = Results {
        name: "log".to_owned(),
        title: "Log".to_owned(),
        about: String::new(),
        date: "2026-01-02".to_owned(),
        machine: Machine { cores: 2, ..Machine::default() },
        subjects: names.map(participant).into(),
        cells: vec![CellResults { cell, measured: vec![ours, theirs], comparisons: rows }],
        seed: 1,
        settings: Vec::new(),
        verdict,
        notes: vec!["a note".to_owned()],
    };
    let page = results.markdown();
    assert!(page.contains("## Verdict: holds"), "{page}");
    assert!(
        page.contains("\nIn blocks of 4 KiB, beside all samples: 10000 (10000 to 10000) syncs/s, "),
        "{page}"
    );
    assert!(page.contains("| local | 0.90 (0.90 to 0.90) | 9000 (9000 to 9000) |"), "{page}");
    assert!(page.contains("| local / peer | records/s | 2.00 (2.00 to 2.00) | local |"), "{page}");
    let text = results.text();
    assert!(text.contains("10000 syncs/s"), "{text}");
    assert!(text.contains("the disk: it hardly does more syncs of this size"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 120), "{text}");
    let read: Results = serde_json::from_str(&serde_json::to_string(&results).unwrap()).unwrap();
    assert_eq!(read, results);
}
