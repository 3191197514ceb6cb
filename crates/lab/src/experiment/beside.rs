//! Something that is done beside writers: what they lose meanwhile, and how long it takes.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::collection::{check, plan};
use super::node::Node;
use crate::clock::{self, Moment};
use crate::items::Mix;
use crate::load::{self, Outcome, Pace};
use crate::plot::{self, Axis, Line};
use crate::report::{Report, Table};
use crate::stats::Spread;

/// The first part of the load, in which its connections and the node's caches become warm.
const WARM_UP: Duration = Duration::from_secs(3);

/// The largest share of their rate that writers may lose to what is done beside them.
const LOSS_MAX_RATIO: f64 = 0.30;

/// What the rates are called in a report that shows them once.
pub(super) const RATES: (&str, &str) = ("rate", "Rate of writes before, during and after");

/// Writers, before, while and after something is done beside them.
pub(super) struct Beside {
    outcome: Outcome,
    span: Span,
}

/// When it began and when it was done, from the end of the warm-up.
#[derive(Debug, Clone, Copy)]
struct Span {
    warm_up: Duration,
    begun: Duration,
    done: Duration,
}

/// How long the load goes on around what is done, and how long that may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) around: Duration,
    pub(super) done_max: Duration,
}

impl Beside {
    /// Writes in a closed loop; after a while `begin` has it begun, and `wait` returns when it is done.
    pub(super) fn measure(
        (node, collection, mix): (&Node, &str, Mix),
        times: Times,
        begin: impl FnOnce() -> Result<()>,
        wait: impl FnOnce(Moment) -> Result<Moment>,
    ) -> Result<Self> {
        let longest = times.around * 2 + times.done_max;
        let load = load::start(&plan(node, collection, mix, (WARM_UP, longest)), Pace::Closed)?;
        let (first, _) = load.window();
        clock::sleep_until(first.plus(times.around));
        let begun = Moment::now();
        begin()?;
        let done = wait(begun.plus(times.done_max))?;
        clock::sleep_until(done.plus(times.around));
        let outcome = load.stop()?;
        check(&outcome)?;
        let span = Span { warm_up: WARM_UP, begun: begun.since(first), done: done.since(first) };
        Ok(Self { outcome, span })
    }

    /// How long it took, in seconds.
    pub(super) fn took_s(&self) -> f64 {
        (self.span.done - self.span.begun).as_secs_f64()
    }

    /// Judges what writers lost meanwhile; `when` says when that was.
    pub(super) fn judge(&self, report: &mut Report, when: &str) -> Result<()> {
        let (loss, before, during) = self.loss()?;
        report.verdict.check(
            format!("writers lose at most {:.0} % of their rate {when}", LOSS_MAX_RATIO * 100.0),
            format!("{:.0} %: {before:.0} writes/s before, {during:.0} during", loss * 100.0),
            loss <= LOSS_MAX_RATIO,
        );
        Ok(())
    }

    /// The share of their rate that writers lost meanwhile, and the rates before and meanwhile.
    fn loss(&self) -> Result<(f64, f64, f64)> {
        let [before, during, _] = self.spreads()?;
        Ok((1.0 - during.median / before.median, before.median, during.median))
    }

    fn spreads(&self) -> Result<[Spread; 3]> {
        let [before, during, after] = phases(&self.outcome, self.span);
        let rate = |phase: &[f64]| Spread::of(phase).context("a part of the run is too short");
        Ok([rate(&before)?, rate(&during)?, rate(&after)?])
    }

    /// Adds the rates as a table and as a plot `name`, in which the beginning and the end have these names.
    pub(super) fn show(
        &self,
        report: &mut Report,
        (name, title): (&str, &str),
        (begun, done): (&str, &str),
    ) -> Result<()> {
        let spreads = self.spreads()?;
        let columns = ["when", "writes/s, median", "lower quartile", "upper quartile", "by before", "slices"];
        let mut table = Table::new(title, &columns);
        for (when, spread) in ["before", "during", "after"].into_iter().zip(spreads) {
            table.row(vec![
                when.to_owned(),
                format!("{:.0}", spread.median),
                format!("{:.0}", spread.lower_quartile),
                format!("{:.0}", spread.upper_quartile),
                format!("{:.2}", spread.median / spreads[0].median),
                spread.count.to_string(),
            ]);
        }
        report.tables.push(table);
        let rates = rates(&self.outcome, self.span.warm_up);
        let rates: Vec<(f64, f64)> = rates.into_iter().filter(|(begin, _)| *begin >= 0.0).collect();
        let peak = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        let mark =
            |name, at: Duration| Line::new(name, vec![(at.as_secs_f64(), 0.0), (at.as_secs_f64(), peak)]);
        let whole = rates.len().saturating_sub(1);
        let lines = [
            Line::new("writes", rates[..whole].to_vec()),
            mark(begun, self.span.begun),
            mark(done, self.span.done),
        ];
        let (x, y) = (Axis::linear("time (s)"), Axis::linear("writes/s"));
        report.plot(name, title, plot::lines(title, &x, &y, &lines)?);
        Ok(())
    }
}

/// Rates of each second before, during and after, in writes/s; the seconds in which something begins or ends belong to none.
fn phases(outcome: &Outcome, span: Span) -> [Vec<f64>; 3] {
    let mut phases = [const { Vec::new() }; 3];
    let (begun, done) = (span.begun.as_secs_f64(), span.done.as_secs_f64());
    let rates = rates(outcome, span.warm_up);
    for (begin, rate) in &rates[..rates.len().saturating_sub(1)] {
        let (begin, end) = (*begin, begin + 1.0);
        let phase = if begin >= 0.0 && end <= begun {
            0
        } else if begin >= begun && end <= done {
            1
        } else if begin >= done {
            2
        } else {
            continue;
        };
        phases[phase].push(*rate);
    }
    phases
}

/// When each second of the load began, from the end of the warm-up, and the rate in it.
fn rates(outcome: &Outcome, warm_up: Duration) -> Vec<(f64, f64)> {
    let slices = (1.0 / outcome.slice.as_secs_f64()).round() as usize;
    let seconds = outcome.timeline.chunks(slices).enumerate();
    let rate = |slices: &[load::Slice]| slices.iter().map(|slice| slice.ok).sum::<u64>() as f64;
    seconds.map(|(second, slices)| (second as f64 - warm_up.as_secs_f64(), rate(slices))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Plan;

    #[test]
    fn seconds_belong_to_the_part_they_lie_in_whole() {
        let plan = Plan::get(([127, 0, 0, 1], 9).into(), "/");
        let mut outcome = Outcome::new(Pace::Closed, plan.slice);
        // One second of warm-up, then 100 a slice for 3.5 s, 50 for 3 s, 90 for 3.5 s.
        let rates = [(10, 1), (35, 100), (30, 50), (35, 90)];
        let slices = rates.into_iter().flat_map(|(slices, ok)| std::iter::repeat_n(ok, slices));
        outcome.timeline = slices.map(|ok| load::Slice { ok, ..load::Slice::default() }).collect();
        let span = Span {
            warm_up: Duration::from_secs(1),
            begun: Duration::from_millis(3_500),
            done: Duration::from_millis(6_500),
        };
        let [before, during, after] = phases(&outcome, span);
        assert_eq!(before, [1_000.0; 3]);
        assert_eq!(during, [500.0; 2]);
        assert_eq!(after, [900.0; 2], "the last second may not be whole");
        let beside = Beside { outcome, span };
        assert_eq!((beside.took_s(), beside.loss().unwrap()), (3.0, (0.5, 1_000.0, 500.0)));
    }
}
