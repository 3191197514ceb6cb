//! The number of instances that turned out to be too few, which is not gone back to for a while.
//!
//! While there are instances to spare the calls in flight are those at work, however many instances there are; with too few of them they queue. So what is asked for can be too few to bear the load, and only having gone there shows it.

use mainstay_base::time::Instant;
use mainstay_base::units::Duration;

/// For how many times `down_after` a step down that is taken back was one too many, and for how many its number is believed to be too few.
const TAKEN_BACK_WITHIN: u32 = 2;
const BELIEVED_FOR: u32 = 10;

/// What there is to do has clearly fallen when it is below this share of what it was.
const FALLEN_RATIO: f64 = 0.75;

/// What was learned from steps down.
#[derive(Debug, Clone, Default)]
pub(super) struct Floor {
    stepped: Option<Step>,
    /// The highest number that was too few, and when that turned out.
    too_few: Option<Step>,
}

/// A number of instances.
#[derive(Debug, Clone, Copy)]
struct Step {
    at: Instant,
    instances: u32,
    /// How much there was to do, in instances, at the step down.
    load: f64,
}

impl Floor {
    /// The fewest that there may be now, with so much to do. After a long while one fewer is tried again.
    pub(super) fn fewest(&mut self, load: f64, down_after: Duration, now: Instant) -> u32 {
        let believed = down_after.saturating_mul(BELIEVED_FOR);
        self.too_few = self.too_few.filter(|too_few| load >= too_few.load * FALLEN_RATIO);
        let Some(too_few) = &mut self.too_few else { return 0 };
        if now.saturating_since(too_few.at) > believed {
            (too_few.at, too_few.instances) = (now, too_few.instances.saturating_sub(1));
        }
        too_few.instances.saturating_add(1)
    }

    /// There are to be fewer from now on: so many.
    pub(super) fn stepped_down(&mut self, to: u32, load: f64, now: Instant) {
        self.stepped = Some(Step { at: now, instances: to, load });
    }

    /// There are to be more than so many, all of which took calls.
    pub(super) fn were_too_few(&mut self, instances: u32, down_after: Duration, now: Instant) {
        let Some(step) = self.stepped.take() else { return };
        let is_late = now.saturating_since(step.at) > down_after.saturating_mul(TAKEN_BACK_WITHIN);
        if is_late || instances > step.instances || self.too_few.is_some_and(|it| it.instances > instances) {
            return;
        }
        self.too_few = Some(Step { at: now, instances, load: step.load });
    }
}
