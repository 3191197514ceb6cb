//! The guards against known-bad input, the comparison on known figures, and one small duel from end to end.

use std::collections::VecDeque;

use super::claim::judge;
use super::runner::{compare, offered, paired};
use super::*;
use crate::load::Http1;
use crate::process::{MachineCpu, Probe, free_port};
use crate::stats::Winner;

fn sample(rate_per_s: f64) -> Sample {
    Sample {
        rate_per_s,
        latency: Percentiles { p50_us: 50.0, p99_us: 100.0, ..Percentiles::default() },
        lateness: Percentiles::default(),
        cpu_us_per_request: 10.0,
        rss_bytes: 20 << 20,
        cpu: CpuShares { server: 0.8, load: 0.7, foreign: 0.02, stolen: 0.0 },
        doubts: Vec::new(),
    }
}

fn noisy() -> Sample {
    Sample { cpu: CpuShares { foreign: 0.11, ..sample(1.0).cpu }, ..sample(1.0) }
}

fn attempt(tries: Vec<Sample>) -> (Attempt, usize) {
    let mut tries = VecDeque::from(tries);
    let attempt = Attempt::make(true, || Ok(tries.pop_front().expect("no more tries than allowed"))).unwrap();
    (attempt, tries.len())
}

const NINETY: [f64; 5] = [90.0, 90.0, 91.0, 92.0, 92.0];
const HUNDRED: [f64; 5] = [100.0, 100.0, 101.0, 102.0, 102.0];

fn clean(rates: &[f64]) -> Series {
    Series { clean: rates.iter().map(|rate| sample(*rate)).collect(), ..Series::default() }
}

#[test]
fn a_noisy_sample_is_dropped_counted_and_repeated() {
    let (attempt, left) = attempt(vec![noisy(), sample(7.0), sample(8.0)]);
    assert_eq!(left, 1);
    let mut series = Series::default();
    series.add(attempt);
    assert_eq!((series.clean, series.dropped), (vec![sample(7.0)], 1));
    assert_eq!(series.reasons, ["other processes used more than 10 % of a core"]);
}

#[test]
fn three_repeats_are_the_end_of_it() {
    let (attempt, left) = attempt(vec![noisy(); 6]);
    assert_eq!((left, attempt.clean.is_none(), attempt.dropped.len()), (2, true, 4));
}

#[test]
fn a_lax_duel_minds_wrong_answers_only() {
    let wrong = Sample { doubts: vec!["3 answers were not accepted".to_owned()], ..sample(1.0) };
    let mut tries = VecDeque::from([wrong, noisy()]);
    let attempt = Attempt::make(false, || Ok(tries.pop_front().unwrap())).unwrap();
    assert_eq!((attempt.clean, attempt.dropped.len()), (Some(noisy()), 1));
}

#[test]
fn wrong_answers_and_a_stolen_processor_spoil_a_sample() {
    let wrong = Sample { doubts: vec!["3 answers were not accepted".to_owned()], ..sample(1.0) };
    let stolen = Sample { cpu: CpuShares { stolen: 0.5, ..sample(1.0).cpu }, ..sample(1.0) };
    let (attempt, _) = attempt(vec![wrong, stolen, sample(2.0)]);
    assert_eq!(attempt.clean, Some(sample(2.0)));
    assert_eq!(attempt.dropped.len(), 2);
}

#[test]
fn a_late_generator_spoils_a_sample_if_it_is_most_of_the_latency() {
    let p99 = |p99_us| Percentiles { p99_us, ..Percentiles::default() };
    let of = |late, latency| Sample { lateness: p99(late), latency: p99(latency), ..sample(1.0) };
    // Little in itself; much in itself but little of the latency; neither.
    for fair in [of(1_900.0, 2_000.0), of(5_000.0, 50_000.0), of(0.0, 100.0)] {
        assert_eq!(attempt(vec![fair.clone()]).0.clean, Some(fair));
    }
    let (attempt, _) = attempt(vec![of(2_100.0, 4_000.0), sample(1.0)]);
    assert_eq!(attempt.dropped, [["the load generator was late"]]);
}

#[test]
fn fewer_than_five_clean_samples_of_a_side_have_figures_and_no_winner() {
    let (four, five) = (clean(&[90.0; 4]), clean(&[100.0; 5]));
    for (ours, theirs) in [(&four, &five), (&five, &four)] {
        let sides = [ours.clone(), theirs.clone()];
        let rows = compare(Offer::Closed, &sides, ["a", "b"].into_iter(), 1);
        assert!(rows.iter().all(|row| row.ratio.is_some() && row.winner.is_none()), "{rows:?}");
    }
    let rows = compare(Offer::Closed, &[five.clone(), five], ["a", "b"].into_iter(), 1);
    assert!(rows.iter().all(|row| row.winner.is_some()), "{rows:?}");
}

#[test]
fn fewer_than_three_clean_samples_are_not_a_measurement() {
    assert!(clean(&[1.0, 2.0, 3.0]).is_measured());
    let too_few = clean(&[1.0, 2.0]);
    assert!(!too_few.is_measured());
    let rows = compare(Offer::Closed, &[clean(&[1.0; 5]), too_few], ["a", "b"].into_iter(), 1);
    assert!(!rows.is_empty() && rows.iter().all(|row| row.ratio.is_none() && row.winner.is_none()));
}

#[test]
fn foreign_time_is_what_nobody_known_used() {
    let s = Duration::from_secs;
    let machine = MachineCpu { tasks: s(7), interrupts: s(1), stolen: s(1) };
    let spent = Spent { machine, server: s(3), load: s(2), ..Spent::default() };
    let shares = CpuShares::of(s(4), spent);
    assert_eq!(shares, CpuShares { server: 0.75, load: 0.5, foreign: 0.5, stolen: 0.25 });
    // A kernel that charges interrupts to programs hides others behind them; the processes themselves tell.
    let hidden = Spent { server: s(5), load: s(3), others: s(1), ..spent };
    assert_eq!(CpuShares::of(s(4), hidden).foreign, 0.25);
    // Ticks of processes and of the machine are not counted at one instant: below zero is zero.
    assert_eq!(CpuShares::of(s(4), Spent { others: s(0), ..hidden }).foreign, 0.0);
    // What the kernel's threads write out is somebody's of those who are known.
    assert_eq!(CpuShares::of(s(4), Spent { kernel: s(1), ..spent }).foreign, 0.25);
}

#[test]
fn another_session_is_refused_with_a_remedy() {
    let (ours, theirs) = (Some("/autogroup-1"), Some("/autogroup-2"));
    assert!(same_autogroup(true, ours, ours, "nginx").is_ok());
    assert!(same_autogroup(false, ours, theirs, "nginx").is_ok());
    let error = same_autogroup(true, ours, theirs, "nginx").unwrap_err().to_string();
    assert!(error.contains("nginx") && error.contains("sched_autogroup_enabled=0"), "{error}");
    assert!(same_autogroup(true, ours, None, "nginx").is_err());
}

#[test]
fn a_winner_depends_on_the_metric_and_a_lost_row_stays() {
    let (ours, theirs) = (clean(&NINETY), clean(&HUNDRED));
    let rows = compare(Offer::Closed, &[ours, theirs], ["mainstay", "nginx"].into_iter(), 1);
    let metrics: Vec<Metric> = rows.iter().map(|row| row.metric).collect();
    assert_eq!(metrics, [Metric::Rate, Metric::CpuPerRequest, Metric::Rss]);
    assert_eq!(rows[0].winner, Some(Winner::Theirs));
    assert_eq!(rows[1].winner, Some(Winner::Neither));
    assert_eq!(rows[0].peer, "nginx");
}

fn cell(offer: Offer) -> Cell {
    let ms = Duration::from_millis;
    Cell { name: "cell".to_owned(), offer, connections: 2, threads: 1, warm_up: ms(10), duration: ms(50) }
}

#[test]
fn a_share_of_the_slowest_is_one_rate_for_all() {
    let closed = CellResults {
        cell: cell(Offer::Closed),
        offered_per_s: None,
        measured: vec![clean(&[9_990.0, 10_000.0, 10_010.0]), clean(&[4_000.0, 5_000.0, 6_000.0])],
        comparisons: Vec::new(),
        pairs: Vec::new(),
    };
    let rate = |offer, earlier: &[CellResults]| offered(offer, earlier);
    assert_eq!(rate(Offer::ShareOfSlowest(0.5), std::slice::from_ref(&closed)).unwrap(), Some(2_500.0));
    assert_eq!(rate(Offer::PerSecond(123.0), &[]).unwrap(), Some(123.0));
    assert!(rate(Offer::ShareOfSlowest(0.5), &[]).is_err());
}

#[test]
fn the_page_prints_won_lost_and_unmeasured_rows() {
    let measured = vec![clean(&NINETY), clean(&HUNDRED), clean(&[1.0]), clean(&[50.0; 4])];
    let names = ["mainstay", "nginx", "caddy", "other"];
    let results = Results {
        name: "health".to_owned(),
        title: "Health".to_owned(),
        about: "A small answer.".to_owned(),
        date: "2026-01-02".to_owned(),
        machine: Machine::default(),
        contestants: names
            .map(|name| Participant {
                name: name.to_owned(),
                version: "1.0".to_owned(),
                settings: vec![("workers".to_owned(), "2".to_owned())],
            })
            .into(),
        cells: vec![CellResults {
            cell: cell(Offer::Closed),
            offered_per_s: None,
            comparisons: compare(Offer::Closed, &measured, names.into_iter(), 1),
            pairs: vec![
                paired(Offer::Closed, &measured, (&names, &("caddy".into(), "nginx".into())), 1).unwrap(),
                paired(Offer::Closed, &measured, (&names, &("nginx".into(), "other".into())), 1).unwrap(),
            ],
            measured,
        }],
        verdict: Verdict::default(),
    };
    let text = results.markdown();
    assert!(text.contains("| mainstay / nginx | answers/s | 0.90 (0.88 to 0.92) | nginx |"), "{text}");
    assert!(text.contains("| mainstay / caddy | answers/s | not measured | not measured |"), "{text}");
    assert!(
        text.contains("| mainstay / other | answers/s | 1.82 (1.80 to 1.84) | too few samples |"),
        "{text}"
    );
    assert!(text.contains("| caddy / nginx | answers/s | not measured | not measured |"), "{text}");
    assert!(text.contains("| nginx / other | answers/s | 2.02 (2.00 to 2.04) | too few samples |"), "{text}");
    assert!(!text.contains("Verdict"), "{text}");
    assert!(text.contains("both sides have at least 5 clean samples."), "{text}");
    assert!(text.contains("| nginx | 101 (100 to 102) | 50.0 (50.0 to 50.0) |"), "{text}");
    assert!(text.contains("| 20.0 (20.0 to 20.0) | 0.70 (0.70 to 0.70) | - | 5 | 0 |"), "{text}");
    assert!(text.contains("| workers | 2 |"), "{text}");
    let read: Results = serde_json::from_str(&serde_json::to_string(&results).unwrap()).unwrap();
    assert_eq!(read, results);
}

#[test]
fn a_claim_holds_up_to_its_ratio_and_fails_unmeasured() {
    let measured = vec![clean(&NINETY), clean(&HUNDRED), clean(&[1.0, 1.0])];
    let names = ["mainstay", "nginx", "caddy"];
    let claim = |to: &str, cell: &str, ratio_max| Claim {
        cell: cell.to_owned(),
        metric: Metric::Rate,
        of: "mainstay".to_owned(),
        to: to.to_owned(),
        ratio_max,
    };
    let cells = [CellResults {
        cell: cell(Offer::Closed),
        offered_per_s: None,
        measured,
        comparisons: Vec::new(),
        pairs: Vec::new(),
    }];
    let judged =
        |claim| judge(&[claim], &names, &cells, 1).0.pop().map(|check| (check.measured, check.holds));
    let ratio = "0.90 (0.88 to 0.92)".to_owned();
    assert_eq!(judged(claim("nginx", "cell", 0.91)), Some((ratio.clone(), true)));
    assert_eq!(judged(claim("nginx", "cell", 0.9)), Some((ratio, false)));
    assert_eq!(judged(claim("caddy", "cell", 9.0)), Some(("not measured".to_owned(), false)));
    assert_eq!(judged(claim("nginx", "no cell", 9.0)), Some(("not measured".to_owned(), false)));
    assert_eq!(judged(claim("envoy", "cell", 9.0)), None);
    let text = judge(&[claim("nginx", "cell", 1.25)], &names, &cells, 1).0.remove(0).claim;
    assert_eq!(text, "cell: answers/s of mainstay is at most 1.25 times that of nginx");
}

/// Two of the same small server: what counts is that a duel runs from end to end and leaves nothing behind.
#[test]
fn a_duel_runs_from_start_to_report() {
    const SERVER: &str = "
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '0'); self.end_headers()
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()
";
    let contestant = |name: &str| Contestant {
        name: name.to_owned(),
        start: Box::new(|folder| {
            let address = free_port()?;
            let mut command = std::process::Command::new("python3");
            command.args(["-c", SERVER, &address.port().to_string()]);
            let mut server = Server::spawn(command, &folder.join("log"))?;
            server.wait_ready(&Probe::Connect(address), Duration::from_secs(20))?;
            Ok(Started {
                servers: vec![server],
                version: "3".to_owned(),
                settings: Vec::new(),
                load: asking(Http1::get(address, "/"), Expect { status: Some(200), body_bytes: Some(0) }),
            })
        }),
    };
    let duel = Duel {
        name: "pair".to_owned(),
        title: "A pair".to_owned(),
        about: String::new(),
        contestants: vec![contestant("one"), contestant("two")],
        cells: vec![cell(Offer::Closed), cell(Offer::PerSecond(100.0))],
        pairs: Vec::new(),
        claims: Vec::new(),
        samples: 1,
        strict: true,
        seed: 1,
    };
    let folder = tempfile::tempdir().unwrap();
    let mut steps = Vec::new();
    let results = run(&duel, folder.path(), "2026-01-02", |step| steps.push(step.to_owned())).unwrap();
    assert_eq!(steps.len(), 2 + 2 * (2 + 2));
    for series in results.cells.iter().flat_map(|cell| &cell.measured) {
        // Whether a sample is clean is up to the machine; that each is accounted for is not.
        assert!(series.clean.len() == 1 || series.dropped == REPEATS_MAX + 1, "{series:?}");
    }
    let path = results.write(folder.path()).unwrap();
    assert!(std::fs::read_to_string(path).unwrap().contains("## one: settings"));
}
