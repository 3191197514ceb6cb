//! How many instances of a program there should be, by what they have to do: decided from one look to the next, without looking.
//!
//! What is wanted is what there is times how much too much each has to do, as Kubernetes' Horizontal Pod Autoscaler has it; of several targets the one counts that asks for the most. Steps up are bounded, steps down
//! wait and are bounded too, since what is seen while there are instances to spare does not tell how few bear the load; and what rises is foreseen. What is not known never takes an instance away.

mod floor;
mod trend;

use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

use crate::config::{Scaling, Target};
use floor::Floor;
use trend::Trend;

/// How often it is looked.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What an instance has to do may be so much beside the target, as a share of it, without that anything changes.
const TOLERANCE_RATIO: f64 = 0.1;

/// How many more there are at most in a step: twice as many as take calls, or so many more. The next step waits for them to take calls, since it goes by those that do.
const STEP_MIN: u32 = 4;

/// Of how many that take calls one goes in a step down, at most; the next step waits for `down_after`.
const STEP_DOWN_OF: u32 = 4;

/// What was seen of a service since the look before.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Look {
    /// How many instances take calls.
    pub taking: u32,
    /// How many calls ran at them or waited for one, in the mean.
    pub in_flight: f64,
    /// How long calls took that succeeded, in the mean; none if none did.
    pub latency: Option<Duration>,
    /// How many cores they kept busy together; none if that is not known.
    pub cpu: Option<f64>,
}

/// By what a number of instances is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Calls that run or wait.
    InFlight,
    /// How long calls take.
    Latency,
    /// Cores that are busy.
    Cpu,
}

/// Why there are to be so many instances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reason {
    /// By what.
    pub source: Source,
    /// How much of it there was: calls, seconds, or cores.
    pub value: f64,
    /// How much of it each instance is to have.
    pub target: f64,
    /// How much of it there will be, where that is more and was gone by.
    pub foreseen: Option<f64>,
}

/// Another number of instances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// How many there were to be.
    pub from: u32,
    /// How many there are to be now.
    pub to: u32,
    /// Why; none if it was only brought within `min` and `max`.
    pub reason: Option<Reason>,
}

/// Decides how many instances there should be, from look to look.
#[derive(Debug, Clone)]
pub struct Rule {
    scaling: Scaling,
    in_flight: Trend,
    cpu: Trend,
    /// What was asked for, as far back as it counts.
    asked: VecDeque<Asked>,
    floor: Floor,
}

/// What was asked for at a look.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    instances: u32,
    /// How much there was to do that instances share, in instances that it keeps at their target.
    load: f64,
}

/// How many instances a target asks for.
#[derive(Debug, Clone, Copy)]
struct Need {
    instances: u32,
    reason: Reason,
}

impl Rule {
    /// One that begins with so many instances, which were right until now.
    pub fn new(scaling: Scaling, wanted: u32, now: Instant) -> Self {
        let asked = VecDeque::from([Asked { at: now, instances: wanted, load: 0.0 }]);
        Self { scaling, in_flight: Trend::default(), cpu: Trend::default(), asked, floor: Floor::default() }
    }

    /// What it goes by.
    pub const fn scaling(&self) -> &Scaling {
        &self.scaling
    }

    /// What is to become of so many instances after a look; none if they are right.
    pub fn look(&mut self, look: &Look, wanted: u32, now: Instant) -> Option<Change> {
        let (needs, all_known) = self.needs(look, wanted, now);
        let most = needs.iter().max_by_key(|need| need.instances);
        let needed = most.map_or(wanted, |need| need.instances);
        // What is not known takes nothing away.
        let needed = if all_known { needed } else { needed.max(wanted) };
        let step_max = (look.taking.saturating_mul(2)).max(look.taking.saturating_add(STEP_MIN)).max(wanted);
        // Nor does more go at once than shows in time that it was missed.
        let step_min = wanted.saturating_sub((look.taking / STEP_DOWN_OF).max(1));
        let instances = self.scaling.within(needed.min(step_max).max(step_min));
        let load = needs.iter().filter_map(Need::load).fold(0.0, f64::max);
        let to = self.settle(Asked { at: now, instances, load }, self.scaling.within(wanted), look.taking);
        let reason = most.map(|need| need.reason).filter(|_| to != self.scaling.within(wanted));
        (to != wanted).then_some(Change { from: wanted, to, reason })
    }

    /// What each target asks for, and whether all do.
    fn needs(&mut self, look: &Look, wanted: u32, now: Instant) -> (Vec<Need>, bool) {
        let Target { in_flight, latency, cpu } = self.scaling.target;
        let ahead = self.scaling.look_ahead;
        let is_idle = look.in_flight <= 0.0 && look.taking > 0;
        let by_calls = in_flight.map(|target| {
            let value = (look.taking > 0).then_some(look.in_flight);
            let target = f64::from(target.get());
            shared(Source::InFlight, value?, target, self.in_flight.ahead(now, value?, ahead), look.taking)
        });
        let by_cpu = cpu.map(|target| {
            let value = look.cpu.filter(|_| look.taking > 0)?;
            shared(Source::Cpu, value, target.get(), self.cpu.ahead(now, value, ahead), look.taking)
        });
        let by_latency = latency.map(|target| {
            let idle = is_idle.then_some(Duration::ZERO);
            let value = look.latency.or(idle).filter(|_| look.taking > 0)?;
            Some(Need::by_latency(value, target, look.taking, wanted))
        });
        let asked = [by_calls, by_cpu, by_latency].into_iter().flatten();
        let (known, unknown): (Vec<_>, Vec<_>) = asked.partition(Option::is_some);
        (known.into_iter().flatten().collect(), unknown.is_empty())
    }

    /// More at once or when that was asked for during a while, fewer as far as they were enough during a while, and not as few as were too few lately.
    fn settle(&mut self, asked: Asked, wanted: u32, taking: u32) -> u32 {
        let Scaling { up_after, down_after, .. } = self.scaling;
        let now = asked.at;
        self.asked.push_back(asked);
        let longest = up_after.max(down_after);
        self.asked.retain(|asked| now.saturating_since(asked.at) <= longest);
        let within = |window: Duration| {
            self.asked.iter().filter(move |asked| now.saturating_since(asked.at) <= window)
        };
        let lowest = within(up_after).map(|asked| asked.instances).min().unwrap_or(asked.instances);
        let highest = within(down_after).map(|asked| asked.instances).max().unwrap_or(asked.instances);
        let load = within(down_after).map(|asked| asked.load).fold(0.0, f64::max);
        let fewest = self.floor.fewest(load, down_after, now);
        if lowest > wanted {
            // Where some are missing anyhow, it is not their number that is too low.
            if taking >= wanted {
                self.floor.were_too_few(wanted, down_after, now);
            }
            return lowest;
        }
        let to = wanted.min(highest.max(fewest));
        if to < wanted {
            self.floor.stepped_down(to, load, now);
        }
        to
    }
}

/// What is asked for by something that all instances share: as many as each gets its target.
fn shared(source: Source, value: f64, target: f64, ahead: f64, taking: u32) -> Option<Need> {
    let foreseen = (ahead > value).then_some(ahead);
    let reason = Reason { source, value, target, foreseen };
    Some(Need { instances: tolerant(ahead.max(value) / target, taking), reason })
}

impl Need {
    /// How much there is of what instances share, in instances; a latency is each one's own.
    fn load(&self) -> Option<f64> {
        let Reason { source, value, target, .. } = self.reason;
        (source != Source::Latency).then_some(value / target)
    }

    /// A latency says that there are too few, and not how many there are too many: calls that wait for nobody become no faster. So fewer are asked for one by one.
    fn by_latency(value: Duration, target: Duration, taking: u32, wanted: u32) -> Self {
        let (value, target) = (value.as_std().as_secs_f64(), target.as_std().as_secs_f64());
        let instances = tolerant(f64::from(taking) * value / target, taking);
        let fewest = wanted.min(taking).saturating_sub(1);
        let reason = Reason { source: Source::Latency, value, target, foreseen: None };
        Self { instances: instances.max(fewest), reason }
    }
}

/// As many instances, but as many as there are if that is nearly the same.
fn tolerant(instances: f64, taking: u32) -> u32 {
    let ratio = instances / f64::from(taking.max(1));
    if (ratio - 1.0).abs() <= TOLERANCE_RATIO { taking } else { (instances - 1e-9).ceil() as u32 }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { source, value, target, foreseen } = self;
        let seconds = |value: f64| Duration::from_micros((value * 1e6) as u64);
        match source {
            Source::InFlight => write!(f, "in flight {value:.1}")?,
            Source::Latency => return write!(f, "latency {} of {}", seconds(*value), seconds(*target)),
            Source::Cpu => write!(f, "cpu {value:.2}")?,
        }
        if let Some(foreseen) = foreseen {
            write!(f, " and soon {foreseen:.1}")?;
        }
        write!(f, " of {target} per instance")
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => reason.fmt(f)?,
            None => f.write_str("min and max")?,
        }
        write!(f, ": {} -> {}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests;
