//! Golden slots, and how evenly partitions spread.

use proptest::prelude::*;

use super::*;
use crate::key::PartitionBy;

fn slot_of(tenant: &str, partition: &str) -> u16 {
    let tenant: Tenant = tenant.parse().expect(tenant);
    slot(&tenant, &PartitionBy::WholeKey.parse(partition).expect(partition)).get()
}

/// Computed with the reference implementation of XXH3. To change any of these moves users' data to where it
/// is not looked for: never edit a line, only add lines.
#[test]
fn slots_are_where_they_have_always_been() {
    let (x, e, t) = ("x".repeat(512), "é".repeat(256), "t".repeat(63));
    let golden = [
        ("default", "u7", 1807),
        ("default", "u8", 3215),
        ("default", "a", 626),
        ("default", "u7/items/3", 2177),
        ("default", "orders", 2006),
        ("default", " ", 328),
        ("default", "...", 2639),
        ("default", "日本", 103),
        ("default", "Ünïcödé", 216),
        ("default", "🦀", 3128),
        ("default", "e\u{301}", 103),
        ("default", "\u{e9}", 2267),
        ("a", "bc", 2713),
        ("ab", "c", 1820),
        ("acme", "u7", 519),
        ("acme.eu-west_1", "u7", 3722),
        ("0", "0", 4027),
        ("default", &x, 2242),
        ("default", &e, 617),
        (&t, &x, 2126),
    ];
    for (tenant, partition, expected) in golden {
        assert_eq!(slot_of(tenant, partition), expected, "{tenant} {partition}");
    }
}

/// The sum of squared differences from equal shares, each in units of the share (Pearson's chi-square).
fn chi_square(partitions: impl ExactSizeIterator<Item = String>) -> f64 {
    let share = partitions.len() as f64 / f64::from(Slot::COUNT);
    let mut counts = vec![0_u32; Slot::COUNT.into()];
    partitions.for_each(|partition| counts[usize::from(slot_of("default", &partition))] += 1);
    counts.into_iter().map(|count| (f64::from(count) - share).powi(2) / share).sum()
}

#[test]
fn similar_keys_spread_over_all_slots() {
    const KEYS: usize = 100_000;
    let freedom = f64::from(Slot::COUNT - 1);
    let deviation = (2.0 * freedom).sqrt();
    let shapes: [fn(usize) -> String; 4] = [
        |n| format!("u{n}"),
        |n| format!("{n:08}"),
        |n| format!("customers/eu/{n}/orders"),
        |n| format!("{:032x}", n * 4096),
    ];
    for shape in shapes {
        let statistic = chi_square((0..KEYS).map(shape));
        let off = (statistic - freedom).abs() / deviation;
        assert!(off < 5.0, "{}: {off:.1} deviations from even", shape(7));
    }
}

#[test]
fn a_slot_is_a_number_below_4096() {
    assert_eq!(Slot::new(4095).map(Slot::get), Some(4095));
    assert_eq!(Slot::new(4096), None);
    assert_eq!(Slot::all().map(Slot::get).collect::<Vec<_>>(), (0..4096).collect::<Vec<_>>());
    let slot = Slot::new(1807).expect("below 4096");
    assert_eq!((serde_json::to_string(&slot).unwrap().as_str(), slot.to_string().as_str()), ("1807", "1807"));
    assert_eq!(serde_json::from_str::<Slot>("1807").unwrap(), slot);
    let error = serde_json::from_str::<Slot>("4096").expect_err("one too many").to_string();
    assert!(error.contains("slots are below 4096"), "{error}");
}

proptest! {
    #[test]
    fn all_of_a_first_segment_shares_a_slot(rest in "[a-z0-9/é]{1,20}") {
        let Ok(key) = format!("u7/{rest}").parse::<Key>() else { return Ok(()) };
        let partition = PartitionBy::FirstSegment.partition(&key);
        prop_assert_eq!(slot(&Tenant::DEFAULT, &partition).get(), 1807);
    }
}
