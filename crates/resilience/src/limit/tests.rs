//! What a window admits, laws over all intervals of random histories, and tables under attack.

use mainstay_base::error::{Classify, Retry};
use proptest::prelude::*;

use super::table::{Shard, Table};
use super::*;
use crate::call::Key;
use crate::testing::some;

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

const MS: u64 = 1_000_000;

/// `50/s` with a burst of 100, and `10000/h`, for example.
fn config(windows: &[(&str, u32)]) -> Config {
    let window = |(text, burst): &(&str, u32)| Window { rate: rate(text), burst: Some(some(*burst)) };
    let windows: Vec<Window> = windows.iter().map(window).collect();
    let Window { rate, burst } = windows[0];
    Config { rate, burst, and: windows[1..].to_vec(), ..Config::default() }
}

fn wait(rejected: Result<Standing, Rejection>) -> u64 {
    let Err(Rejection::RateLimited { after, .. }) = rejected else { panic!("admitted: {rejected:?}") };
    u64::try_from(after.as_std().as_nanos()).unwrap()
}

#[test]
fn a_burst_is_admitted_at_once_and_then_as_much_as_comes_back() {
    let gcra = Gcra::new(&config(&[("50/s", 100)]));
    let mut moments = Moments::default();
    for taken in 1..=100 {
        let standing = gcra.take(&mut moments, 1, at(0)).unwrap();
        let reset = Duration::from_millis(20 * u64::from(taken));
        let expected = Standing { quota: 100, window: Duration::from_secs(2), remaining: 100 - taken, reset };
        assert_eq!(standing, expected);
    }
    assert_eq!(wait(gcra.take(&mut moments, 1, at(0))), 20 * MS);
    assert_eq!(wait(gcra.take(&mut moments, 3, at(5 * MS))), 55 * MS);
    assert!(gcra.take(&mut moments, 1, at(20 * MS)).is_ok());
    assert_eq!(gcra.standing(&moments, at(u64::MAX)).remaining, 100, "all have come back");
}

#[test]
fn every_window_has_to_admit_and_one_that_refuses_takes_nothing_from_the_others() {
    let gcra = Gcra::new(&config(&[("10/s", 2), ("3/m", 3)]));
    let mut moments = Moments::default();
    gcra.take(&mut moments, 2, at(0)).unwrap();
    let before = moments;
    let rejected = gcra.take(&mut moments, 1, at(0)).unwrap_err();
    let expected = Rejection::RateLimited {
        quota: 10,
        window: Duration::from_secs(1),
        remaining: 0,
        reset: Duration::from_millis(200),
        after: Duration::from_millis(100),
    };
    assert_eq!((rejected, moments), (expected, before));
    let standing = gcra.take(&mut moments, 1, at(1_000 * MS)).unwrap();
    assert_eq!((standing.quota, standing.remaining), (3, 0), "by the window with the fewest left");
    let before = moments;
    assert_eq!(
        wait(gcra.take(&mut moments, 1, at(1_000 * MS))),
        19_000 * MS,
        "by the one that takes longest"
    );
    assert_eq!(moments, before);
}

#[test]
fn costs_are_taken_as_a_whole_and_one_above_the_burst_never_is() {
    let gcra = Gcra::new(&config(&[("10/s", 5)]));
    let mut moments = Moments::default();
    assert_eq!(gcra.take(&mut moments, 5, at(0)).unwrap().remaining, 0);
    assert!(gcra.take(&mut moments, 0, at(0)).is_ok(), "what costs nothing always passes");
    let rejected = gcra.take(&mut moments, 6, at(u64::MAX / 2)).unwrap_err();
    assert_eq!(rejected, Rejection::CostAboveBurst { cost: 6, burst: 5 });
    assert_eq!(rejected.retry(), Retry::Never);
}

#[test]
fn a_moment_that_another_thread_read_earlier_is_borne() {
    let gcra = Gcra::new(&config(&[("10/s", 2)]));
    let mut moments = Moments::default();
    gcra.take(&mut moments, 2, at(1_000 * MS)).unwrap();
    assert_eq!(wait(gcra.take(&mut moments, 1, at(999 * MS))), 101 * MS);
    assert_eq!(gcra.standing(&moments, at(999 * MS)).remaining, 0);
}

#[test]
fn rates_are_read_as_people_write_them_and_errors_tell_how() {
    for text in ["50/s", "10/m", "1000/h", "5/d", "4294967295/h"] {
        assert_eq!(rate(text).to_string(), text);
    }
    assert_eq!(rate("10/m").window(), Duration::from_secs(60));
    let cases = [
        ("", "it is empty; write a whole number per s, m, h or d, such as \"50/s\""),
        ("50", "does not say in how much time"),
        ("0/s", "none at all"),
        ("-1/s", "no whole number"),
        ("4294967296/s", "above 4294967295"),
        ("1.5/s", "no whole number"),
        ("50/w", "unknown"),
        ("50/sec", "did you mean \"50/s\"?"),
        ("10,000 / hour", "did you mean \"10000/h\"?"),
        ("5 per day", "did you mean \"5/d\"?"),
    ];
    for (text, part) in cases {
        let error = text.parse::<Rate>().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let error = serde_json::from_str::<Rate>("50").unwrap_err().to_string();
    assert!(error.contains("a rate as text, such as \"50/s\""), "{error}");
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let cases: [(&str, Config); 6] = [
        ("from 1 to 10000000", Config { keys_max: 0, ..Config::default() }),
        ("from 1 to 10000000", Config { keys_max: 10_000_001, ..Config::default() }),
        ("at most 4", config(&[("9/s", 9), ("99/m", 99), ("999/h", 999), ("9999/d", 9999), ("1/s", 1)])),
        ("the highest is 1000000/s", config(&[("60000001/m", 1)])),
        ("more than 366d", config(&[("1/d", 367)])),
        ("leave it out", config(&[("50/s", 100), ("3000/m", 100)])),
    ];
    for (part, config) in cases {
        let error = config.check().unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    for good in
        [Config::default(), config(&[("1000000/s", 1)]), config(&[("50/s", 100), ("10000/h", 10_000)])]
    {
        assert_eq!(good.check(), Ok(()));
    }
    let text = r#"{"rate": "50/s", "burst": 100, "and": [{"rate": "10000/h"}]}"#;
    let read: Config = serde_json::from_str(text).unwrap();
    assert_eq!(
        read,
        Config { and: vec![Window { rate: rate("10000/h"), burst: None }], ..config(&[("50/s", 100)]) }
    );
    assert_eq!(read.and[0].burst(), some(10_000));
    assert!(serde_json::from_str::<Config>(r#"{"rates": "50/s"}"#).is_err());
}

/// Windows that bind one another at times, of a second or a minute.
fn windows() -> impl Strategy<Value = Config> {
    let window = (1_u32..12, any::<bool>(), 1_u32..8).prop_map(|(count, is_minute, burst)| {
        let per = if is_minute { Per::Minute } else { Per::Second };
        Window { rate: Rate::new(some(count), per), burst: Some(some(burst)) }
    });
    prop::collection::vec(window, 1..=WINDOWS_MAX).prop_map(|windows| {
        let Window { rate, burst } = windows[0];
        Config { rate, burst, and: windows[1..].to_vec(), ..Config::default() }
    })
}

/// A wait for exactly as long as the last refusal said.
const AS_TOLD: u64 = u64::MAX;

/// How long there was nothing before a call, in nanoseconds, and what the call costs.
fn history() -> impl Strategy<Value = Vec<(u64, u32)>> {
    let gap = prop_oneof![2 => Just(0), 1 => 0..2_000_u64, 1 => 0..300 * MS, 1 => 0..20_000 * MS, 3 => Just(AS_TOLD)];
    prop::collection::vec((gap, 0_u32..5), 1..120)
}

/// Whether over any time at most the burst and what came back in that time was admitted, by each window. All pairs of calls are looked at.
fn is_within(config: &Config, admitted: &[(u64, u32)]) -> bool {
    config.windows().all(|window| {
        let (count, whole_ns) =
            (u128::from(window.rate.count().get()), u128::from(window.rate.per().nanos()));
        (0..admitted.len()).all(|first| {
            let mut units = 0;
            admitted[first..].iter().all(|(ns, cost)| {
                units += u128::from(*cost);
                let time_ns = u128::from(ns - admitted[first].0);
                units * whole_ns <= u128::from(window.burst().get()) * whole_ns + count * time_ns
            })
        })
    })
}

/// How it would be with a bucket of tokens for each window, in nanoseconds' worth.
struct Tokens {
    /// What is there, what fits, and what a unit is worth.
    buckets: Vec<(u64, u64, u64)>,
    last_ns: u64,
}

impl Tokens {
    fn new(config: &Config) -> Self {
        let of = |window: Window| {
            let unit_ns = window.rate.per().nanos().div_ceil(window.rate.count().get().into());
            let whole_ns = unit_ns * u64::from(window.burst().get());
            (whole_ns, whole_ns, unit_ns)
        };
        Self { buckets: config.windows().map(of).collect(), last_ns: 0 }
    }

    fn take(&mut self, cost: u32, now_ns: u64) -> bool {
        for (tokens, most, _) in &mut self.buckets {
            *tokens = (*tokens + (now_ns - self.last_ns)).min(*most);
        }
        self.last_ns = now_ns;
        let is_enough = self.buckets.iter().all(|(tokens, _, unit_ns)| *tokens >= unit_ns * u64::from(cost));
        if is_enough {
            self.buckets.iter_mut().for_each(|(tokens, _, unit_ns)| *tokens -= *unit_ns * u64::from(cost));
        }
        is_enough
    }
}

proptest! {
    #[test]
    fn it_admits_what_the_rates_allow_over_any_time_and_nothing_more(config in windows(), history in history()) {
        let gcra = Gcra::new(&config);
        let (mut moments, mut tokens) = (Moments::default(), Tokens::new(&config));
        let (mut now_ns, mut told_ns, mut admitted) = (0, 0, Vec::new());
        for (gap_ns, cost) in history {
            now_ns += if gap_ns == AS_TOLD { std::mem::take(&mut told_ns) } else { gap_ns };
            let before = moments;
            let taken = gcra.take(&mut moments, cost, at(now_ns));
            prop_assert_eq!(taken.is_ok(), tokens.take(cost, now_ns), "{:?}", taken);
            match taken {
                Ok(standing) => {
                    admitted.push((now_ns, cost));
                    let mut again = moments;
                    prop_assert_eq!(gcra.take(&mut again, standing.remaining, at(now_ns)).is_ok(), true);
                    prop_assert!(gcra.take(&mut moments.clone(), standing.remaining + 1, at(now_ns)).is_err());
                }
                Err(Rejection::RateLimited { after, remaining, reset, .. }) => {
                    prop_assert_eq!(moments, before, "what is refused takes nothing");
                    prop_assert!(remaining < cost && after <= reset);
                    let after_ns = wait(taken);
                    told_ns = after_ns;
                    prop_assert!(gcra.take(&mut moments.clone(), cost, at(now_ns + after_ns)).is_ok());
                    prop_assert!(gcra.take(&mut moments.clone(), cost, at(now_ns + after_ns - 1)).is_err());
                }
                Err(Rejection::CostAboveBurst { burst, .. }) => prop_assert!(cost > burst && moments == before),
                Err(other) => panic!("{other:?}"),
            }
        }
        prop_assert!(is_within(&config, &admitted), "{:?}", admitted);
    }

    #[test]
    fn a_caller_that_stays_below_the_rate_is_always_admitted(
        config in windows(),
        history in prop::collection::vec((0_u64..2_000, 0_u32..5), 1..120),
    ) {
        let gcra = Gcra::new(&config);
        let (mut moments, mut now_ns) = (Moments::default(), 0);
        let burst = config.windows().map(|window| window.burst().get()).min().unwrap();
        let slowest_ns = |window: Window| window.rate.per().nanos().div_ceil(window.rate.count().get().into());
        let unit_ns = config.windows().map(slowest_ns).max().unwrap();
        for (gap_ns, cost) in history {
            let cost = cost.min(burst);
            prop_assert!(gcra.take(&mut moments, cost, at(now_ns)).is_ok());
            now_ns += unit_ns * u64::from(cost) + gap_ns;
        }
    }

    #[test]
    fn a_full_table_admits_nobody_more_than_the_rate_and_forgets_nobody_that_is_known(
        history in prop::collection::vec((0_u64..400 * MS, 0_u128..12, 1_u32..3), 1..300),
    ) {
        let config = config(&[("5/s", 4), ("30/m", 6)]);
        let gcra = Gcra::new(&config);
        let mut shard = Shard::new(4);
        let mut now_ns = 0;
        let mut admitted = vec![Vec::new(); 12];
        let mut alone = [Moments::default(); 12];
        for (gap_ns, caller, cost) in history {
            now_ns += gap_ns;
            let key = Key::of(7, &caller.to_le_bytes());
            let (taken, is_shared) = shard.take(&gcra, key, cost, at(now_ns));
            prop_assert!(shard.keys() <= 4);
            prop_assert!(!is_shared || shard.keys() == 4, "it shares only where there is no room");
            let by_itself = gcra.take(&mut alone[caller as usize], cost, at(now_ns));
            if taken.is_ok() {
                // It may have had to share before, but never has more than by itself.
                prop_assert!(by_itself.is_ok());
                admitted[caller as usize].push((now_ns, cost));
            } else if by_itself.is_ok() {
                alone[caller as usize] = shard.moments(key);
            }
        }
        for admitted in admitted {
            prop_assert!(is_within(&config, &admitted));
        }
    }
}

#[test]
fn a_known_caller_is_counted_as_before_however_many_new_ones_come() {
    let config = Config { keys_max: 64, ..config(&[("10/m", 10)]) };
    let table = Table::new(&config);
    let known = Key::of(1, b"known");
    for _ in 0..10 {
        assert!(table.take(known, 1, at(0)).0.is_ok());
    }
    let (mut shared, mut admitted) = (0, 0);
    for number in 0_u32..100_000 {
        let (taken, is_shared) = table.take(Key::of(1, &number.to_le_bytes()), 1, at(u64::from(number)));
        shared += u32::from(is_shared);
        admitted += u32::from(taken.is_ok());
        assert!(table.keys() <= 64);
    }
    assert_eq!((shared, admitted), (100_000 - 63, 63 + 10), "those without room have one count together");
    assert!(table.take(known, 1, at(6_000 * MS - 1)).0.is_err());
    assert!(table.take(known, 1, at(6_000 * MS)).0.is_ok());
}

#[test]
fn those_that_have_nothing_to_come_back_make_room() {
    let gcra = Gcra::new(&config(&[("10/s", 10)]));
    let mut shard = Shard::new(3);
    let key = |number: u8| Key::of(1, &[number]);
    for number in 0..3 {
        assert!(!shard.take(&gcra, key(number), 1 + u32::from(number), at(0)).1);
    }
    assert!(shard.take(&gcra, key(3), 1, at(100 * MS - 1)).1, "all are known for something");
    assert!(!shard.take(&gcra, key(3), 1, at(100 * MS)).1, "the first is not, any more");
    assert_eq!(shard.keys(), 3);
    assert!(shard.take(&gcra, key(4), 1, at(150 * MS)).1);
    assert!(shard.take(&gcra, key(1), 10, at(150 * MS)).0.is_err(), "the second is known still");
}

#[test]
fn nobody_has_a_second_burst_by_sharing_first() {
    let gcra = Gcra::new(&config(&[("1/s", 5)]));
    let mut shard = Shard::new(1);
    let (first, second) = (Key::of(1, b"first"), Key::of(1, b"second"));
    assert!(shard.take(&gcra, first, 1, at(0)).0.is_ok());
    let (taken, is_shared) = shard.take(&gcra, second, 5, at(500 * MS));
    assert!(is_shared && taken.is_ok());
    let (taken, is_shared) = shard.take(&gcra, second, 1, at(1_000 * MS));
    assert!(!is_shared);
    assert_eq!(wait(taken), 500 * MS);
}

#[test]
fn what_costs_nothing_takes_no_room() {
    let gcra = Gcra::new(&config(&[("1/s", 5)]));
    let mut shard = Shard::new(2);
    let key = |number: u8| Key::of(1, &[number]);
    for (number, cost) in [(0, 1), (1, 2), (2, 5)] {
        assert!(shard.take(&gcra, key(number), cost, at(0)).0.is_ok());
    }
    let (standing, is_shared) = shard.take(&gcra, key(3), 0, at(1_000 * MS));
    assert_eq!(
        (standing.unwrap().remaining, is_shared),
        (1, false),
        "there is room, and what was shared is not back"
    );
    assert_eq!(shard.keys(), 1, "the second alone");
    assert_eq!(wait(shard.take(&gcra, key(3), 2, at(1_000 * MS)).0), 1_000 * MS);
}

#[test]
fn a_table_has_no_more_room_than_it_may() {
    for keys_max in [1, 2, 1_023, 1_024, 2_047, 2_048, 5_000, 65_536] {
        let table = Table::new(&Config { keys_max, ..config(&[("1/d", 1)]) });
        for number in 0..2 * keys_max {
            let _ = table.take(Key::of(1, &number.to_le_bytes()), 1, at(0));
        }
        let keys = table.keys();
        assert!(keys <= keys_max as usize && keys * 4 >= keys_max as usize * 3, "{keys} of {keys_max}");
    }
}
