//! Hybrid time never runs backwards, whatever the wall clock does.

use proptest::prelude::*;

use super::*;

const OFFSET_MAX: Duration = Duration::from_millis(500);

fn wall(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

#[test]
fn the_packed_form_is_52_bits_of_microseconds_and_12_of_counter() {
    let time = HybridTime::new(wall(0x000a_bcde), 0x123);
    assert_eq!(time.to_bits(), 0xabcd_e123);
    assert_eq!((time.wall(), time.counter()), (wall(0x000a_bcde), 0x123));
    assert_eq!(HybridTime::from_bits(time.to_bits()), time);
    assert_eq!(HybridTime::new(wall(5), HybridTime::COUNTER_MAX).next(), HybridTime::new(wall(6), 0));
    assert_eq!(HybridTime::new(HybridTime::WALL_MAX, HybridTime::COUNTER_MAX).to_bits(), u64::MAX);
    assert_eq!(HybridTime::WALL_MAX.to_string(), "2112-09-17T23:53:47.370495Z");
}

#[test]
fn the_text_is_the_wall_time_and_the_counter() {
    let time: HybridTime = EXAMPLE.parse().unwrap();
    assert_eq!((time.wall().to_string().as_str(), time.counter()), ("2026-11-23T20:05:00.000001Z", 3));
    assert_eq!(time.to_string(), EXAMPLE);
    assert_eq!(serde_json::to_value(time).unwrap(), EXAMPLE);
    assert_eq!(serde_json::from_value::<HybridTime>(EXAMPLE.into()).unwrap(), time);
    for bad in [
        "",
        "2026-11-23T20:05:00Z",
        "2026-11-23T20:05:00Z+",
        "2026-11-23T20:05:00Z+03",
        "2026-11-23T20:05:00Z++3",
        "2026-11-23T20:05:00Z+4096",
        "2026-11-23T20:05:00.10Z+3",
        "2112-09-18T00:00:00Z+0",
        "2026-11-23T20:05:00+01:00+3",
    ] {
        assert!(bad.parse::<HybridTime>().is_err(), "{bad} was taken as a hybrid time");
    }
}

#[test]
fn a_tick_follows_the_wall_clock_and_counts_when_it_stands_or_falls_back() {
    let mut clock = HybridClock::default();
    assert_eq!(clock.tick(wall(10)), HybridTime::new(wall(10), 0));
    assert_eq!(clock.tick(wall(10)), HybridTime::new(wall(10), 1));
    assert_eq!(clock.tick(wall(3)), HybridTime::new(wall(10), 2));
    assert_eq!(clock.tick(wall(11)), HybridTime::new(wall(11), 0));
    assert_eq!(clock.latest(), HybridTime::new(wall(11), 0));
    let mut resumed = HybridClock::starting_after(clock.latest());
    assert_eq!(resumed.tick(wall(0)), HybridTime::new(wall(11), 1));
}

#[test]
fn an_observed_time_is_passed_and_one_too_far_ahead_changes_nothing() {
    let mut clock = HybridClock::default();
    let edge = HybridTime::new(wall(500_000), 7);
    clock.observe(edge, wall(0), OFFSET_MAX).expect("just within the offset");
    assert_eq!(clock.tick(wall(0)), HybridTime::new(wall(500_000), 8));
    clock.observe(HybridTime::new(wall(1), 0), wall(0), OFFSET_MAX).expect("the past is no offence");

    let before = clock.clone();
    let remote = HybridTime::new(wall(500_001), 0);
    let error = clock.observe(remote, wall(0), OFFSET_MAX).expect_err("one microsecond too far");
    assert_eq!(clock, before);
    assert_eq!(
        (error.code(), error.fault(), error.ahead),
        (Code::Unavailable, Fault::Peer, Duration::from_micros(500_001))
    );
    assert_eq!(
        error.to_string(),
        "the received time 1970-01-01T00:00:00.500001Z+0 is 500001us ahead of this node's wall clock at \
         1970-01-01T00:00:00Z, and clocks may differ by at most 500ms: correct the clock that is wrong"
    );
}

#[test]
#[should_panic(expected = "before 2112")]
fn a_wall_clock_past_the_range_stops_the_clock() {
    HybridClock::default().tick(Timestamp::MAX);
}

#[derive(Debug, Clone)]
enum Event {
    Tick { wall: Timestamp },
    Observe { remote: HybridTime, wall: Timestamp },
}

/// Times that jump by hours and by microseconds, so that both clocks and counters meet.
fn any_wall() -> impl Strategy<Value = Timestamp> {
    prop_oneof![0..8_u64, 0..2_000_000_u64, 0..10_000_000_000_u64].prop_map(wall)
}

fn any_event() -> impl Strategy<Value = Event> {
    let remote = (any_wall(), prop_oneof![Just(0), Just(HybridTime::COUNTER_MAX), 0..4096_u16])
        .prop_map(|(wall, counter)| HybridTime::new(wall, counter));
    prop_oneof![
        any_wall().prop_map(|wall| Event::Tick { wall }),
        (remote, any_wall()).prop_map(|(remote, wall)| Event::Observe { remote, wall }),
    ]
}

proptest! {
    #[test]
    fn ticks_only_rise_and_stay_close_to_what_was_seen(events in prop::collection::vec(any_event(), 1..200)) {
        let mut clock = HybridClock::default();
        // The highest time issued or accepted, and the highest reading of any clock.
        let (mut seen, mut highest_reading, mut ticks) = (HybridTime::default(), HybridTime::default(), 0);
        for event in events {
            match event {
                Event::Tick { wall } => {
                    let issued = clock.tick(wall);
                    prop_assert!(issued > seen, "{issued} is not after {seen}");
                    prop_assert!(issued.wall() >= wall, "{issued} is before the wall clock at {wall}");
                    ticks += 1;
                    highest_reading = highest_reading.max(HybridTime::new(wall, 0));
                    let ahead = issued.to_bits().saturating_sub(highest_reading.to_bits());
                    prop_assert!(ahead <= ticks, "{issued} is {ahead} steps ahead after {ticks} ticks");
                    seen = issued;
                }
                Event::Observe { remote, wall } => {
                    let before = clock.clone();
                    let too_far = remote.wall().since(wall).is_some_and(|ahead| ahead > OFFSET_MAX);
                    prop_assert_eq!(clock.observe(remote, wall, OFFSET_MAX).is_err(), too_far);
                    if too_far {
                        prop_assert_eq!(&clock, &before);
                    } else {
                        seen = seen.max(remote);
                        highest_reading = highest_reading.max(remote);
                    }
                }
            }
            prop_assert_eq!(clock.latest(), seen);
        }
    }

    #[test]
    fn the_order_of_times_is_that_of_their_parts(left in any::<u64>(), right in any::<u64>()) {
        let (left, right) = (HybridTime::from_bits(left), HybridTime::from_bits(right));
        prop_assert_eq!(left.cmp(&right), (left.wall(), left.counter()).cmp(&(right.wall(), right.counter())));
        prop_assert_eq!(left.to_string().parse(), Ok(left));
    }
}
