//! Who takes calls of a service, ready for choices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::balance::{Algorithm, Ask, Balance, Weighted};
use crate::endpoint::{Endpoint, Id};

/// Who takes calls of a service as of one moment. It never changes.
#[derive(Debug)]
pub struct Picture {
    pub(crate) number: u64,
    /// In the zone of who calls; empty if that has none.
    near: Balance,
    /// In others, or in none.
    far: Balance,
    far_share: Share,
    by_key: bool,
    turn: AtomicU32,
    /// Why endpoints take calls that are thought to be bad: there would be too few.
    is_panic: bool,
}

/// A share of the calls, in 65,536ths, so that it can be had exactly and without a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share(u32);

impl Share {
    const WHOLE: u32 = 1 << 16;

    pub(crate) fn new(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * f64::from(Self::WHOLE)).round() as u32)
    }

    /// Whether the nth has it, so that any of them in a row have it as often as they should.
    const fn has(self, n: u32) -> bool {
        let before = n as u64 * self.0 as u64;
        (before + self.0 as u64) / Self::WHOLE as u64 > before / Self::WHOLE as u64
    }
}

/// What a picture is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) algorithm: Algorithm,
    pub(crate) near: Vec<Weighted>,
    pub(crate) far: Vec<Weighted>,
    pub(crate) far_share: Share,
    pub(crate) is_panic: bool,
}

impl Plan {
    /// Whether calls would be spread in the same way.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same = |ours: &[Weighted], others: &[Weighted]| {
            let alike = |a: &Weighted, b: &Weighted| {
                Arc::ptr_eq(&a.endpoint, &b.endpoint) && a.weight.to_bits() == b.weight.to_bits()
            };
            ours.len() == others.len() && ours.iter().zip(others).all(|(a, b)| alike(a, b))
        };
        self.algorithm == other.algorithm
            && self.far_share == other.far_share
            && self.is_panic == other.is_panic
            && same(&self.near, &other.near)
            && same(&self.far, &other.far)
    }
}

impl Picture {
    pub(crate) fn new(number: u64, plan: Plan) -> Self {
        let Plan { algorithm, near, far, far_share, is_panic } = plan;
        // Not always at the first, where pictures change more often than calls come.
        let begin = (number as usize).wrapping_mul(7);
        Self {
            number,
            near: Balance::new(algorithm, near, begin),
            far: Balance::new(algorithm, far, begin),
            far_share,
            by_key: algorithm == Algorithm::Maglev,
            turn: AtomicU32::new(begin as u32),
            is_panic,
        }
    }

    /// The endpoint for a call: this one, if it takes calls, has room and was not tried; else one by the algorithm. None if the service has none.
    pub fn choose(&self, kept_to: Option<Id>, ask: &mut Ask<'_>) -> Option<&Arc<Endpoint>> {
        let passing = ask.passing();
        if let Some(id) = kept_to
            && let Some(kept) = self.endpoints().find(|it| it.id() == id && passing.is_fresh(it))
        {
            return Some(kept);
        }
        let (first, other) =
            if self.goes_far(ask.key) { (&self.far, &self.near) } else { (&self.near, &self.far) };
        // One that is passed over in its own zone is worse than one in another.
        if !first.has_fresh(passing) && other.has_fresh(passing) {
            return other.choose(ask);
        }
        first.choose(ask).or_else(|| other.choose(ask))
    }

    /// Whether an endpoint takes calls.
    pub fn takes(&self, id: Id) -> bool {
        self.endpoints().any(|endpoint| endpoint.id() == id && !endpoint.is_out())
    }

    /// All who take calls.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.near.endpoints().chain(self.far.endpoints())
    }

    /// Whether endpoints take calls that are thought to be bad, because there would be too few.
    pub const fn is_panic(&self) -> bool {
        self.is_panic
    }

    fn goes_far(&self, key: u64) -> bool {
        match self.far_share.0 {
            0 => false,
            Share::WHOLE => true,
            // The upper bits: the lower ones decide the place in the table.
            _ if self.by_key => ((key >> 48) as u32) < self.far_share.0,
            _ => self.far_share.has(self.turn.fetch_add(1, Ordering::Relaxed)),
        }
    }
}
