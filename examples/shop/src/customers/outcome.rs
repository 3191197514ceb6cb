//! What became of a run: figures for people and programs, a series for plots, and all that was told, for the audit.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::record::Trouble;
use crate::audit::Told;

/// Latencies, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many there were. The others are 0 if there were none.
    pub count: u64,
    /// Half took no longer.
    pub p50: f64,
    /// 90 % took no longer.
    pub p90: f64,
    /// 99 % took no longer.
    pub p99: f64,
    /// 99.9 % took no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Percentiles {
    /// Those of a histogram of microseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: milliseconds(histogram.max()),
        }
    }

    /// Those of some microseconds.
    #[must_use]
    pub fn of_all(mut latencies: Vec<u64>) -> Self {
        latencies.sort_unstable();
        // The smallest that so many of a thousand are not above.
        let at = |permille: usize| {
            let place = (latencies.len() * permille).div_ceil(1000).saturating_sub(1);
            milliseconds(latencies.get(place).copied().unwrap_or_default())
        };
        Self {
            count: latencies.len() as u64,
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p999: at(999),
            max: at(1000),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 microseconds")]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50, p90, p99, p999, max } = self;
        write!(
            f,
            "p50 {p50:.1}   p90 {p90:.1}   p99 {p99:.1}   p99.9 {p999:.1}   max {max:.1} ms, of {count}"
        )
    }
}

/// A quarter of a second of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slice {
    /// When it begins, since the start.
    pub second: f64,
    /// Checkouts that were due in it.
    pub offered: u64,
    /// Those of them for whose shoppers there was no room.
    pub not_sent: u64,
    /// Checkouts that ended in it: the shopper was shown a final state.
    pub completed: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Checkouts that shoppers gave up in it.
    pub gave_up: u64,
    /// Checkouts that were due in it and completed, whenever that was.
    pub due_completed: u64,
    /// Steps that were tried again in it.
    pub retries: u64,
    /// What went wrong in it.
    pub troubles: BTreeMap<Trouble, u64>,
    /// From the moment at which the click was due to the end, of those completed in it.
    pub click_to_end: Percentiles,
    /// Answers to checkouts that came in it, from the request on.
    pub checkout_answer: Percentiles,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// How long it took until the last shopper had left.
    pub seconds: f64,
    /// Checkouts that the plan had: those of all who came, or would have if there were room.
    pub offered: u64,
    /// Those for whose shoppers there was no room.
    pub not_sent: u64,
    /// Those of which the shopper was shown a final state, whether shipped or failed.
    pub completed: u64,
    /// Those of them that were shipped.
    pub shipped: u64,
    /// Those of them that failed: not paid, sold out, or suspected of fraud.
    pub failed: u64,
    /// Those of them that were more than their customer could pay, on purpose.
    pub failed_as_meant: u64,
    /// Those of which the shopper was not shown an end within its patience.
    pub gave_up: u64,
    /// Baskets that were filled and left, as meant. They are no checkouts.
    pub abandoned_baskets: u64,
    /// Steps that were tried again.
    pub retries: u64,
    /// What went wrong with requests, as often as it did.
    pub troubles: BTreeMap<Trouble, u64>,
    /// From the moment at which the click was due to the first answer that showed the end.
    pub click_to_end: Percentiles,
    /// From the request of a checkout to its answer, whatever it said.
    pub checkout_answer: Percentiles,
    /// The same by quarters of a second.
    pub series: Vec<Slice>,
    /// All that customers were told.
    #[serde(skip)]
    pub told: Told,
}

impl Outcome {
    /// Checkouts that were not declined as it was meant.
    #[must_use]
    pub const fn not_meant_to_fail(&self) -> u64 {
        self.offered.saturating_sub(self.failed_as_meant)
    }

    /// Whether something was shipped, and at least half of the checkouts that were not meant to be declined: less is a shop that does not
    /// work, however right its books are. Half leaves room for what a sound shop declines by itself: what is sold out, about one order
    /// in a hundred for its score, and, while scores cannot be had, what costs more than 150.00.
    #[must_use]
    pub const fn is_enough(&self) -> bool {
        self.shipped > 0 && self.shipped * 2 >= self.not_meant_to_fail()
    }

    /// Marks of orders and products that could not be read: what they told is not audited.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.troubles.get(&Trouble::Unreadable).copied().unwrap_or_default()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offered, completed, shipped, failed, failed_as_meant, gave_up, not_sent, .. } = self;
        writeln!(f, "checkouts in {:.1} s", self.seconds)?;
        writeln!(f, "  offered          {offered}, of which {not_sent} not sent for want of room")?;
        writeln!(
            f,
            "  completed        {completed}: {shipped} shipped, {failed} failed, of which {failed_as_meant} were meant to"
        )?;
        writeln!(f, "  given up         {gave_up}")?;
        writeln!(f, "  left baskets     {}", self.abandoned_baskets)?;
        writeln!(f, "  click to end     {}", self.click_to_end)?;
        writeln!(f, "  POST /checkout   {}", self.checkout_answer)?;
        write!(f, "  tried again      {}", self.retries)?;
        for (trouble, count) in &self.troubles {
            write!(f, ", {} {count}", trouble.name())?;
        }
        if !self.is_enough() {
            let meant = self.not_meant_to_fail();
            write!(f, "\nLESS THAN HALF, or nothing, of {meant} that were not meant to fail was shipped")?;
        }
        if self.unreadable() > 0 {
            write!(f, "\nNOT ALL COULD BE READ: {} marks of orders and products", self.unreadable())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_few_are_of_those_that_are_there() {
        let told = Percentiles::of_all(vec![4000, 1000, 3000, 2000]);
        assert_eq!((told.count, told.p50, told.p90, told.max), (4, 2.0, 4.0, 4.0));
        assert_eq!(Percentiles::of_all(Vec::new()), Percentiles::default());
    }
}
