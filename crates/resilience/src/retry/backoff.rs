//! How long to wait before the next try.

use mainstay_base::time::Entropy;
use mainstay_base::units::Duration;

use super::config::{Backoff, Config, Jitter};
use crate::chance::unit;

/// How long to wait after this many tries, when it was so long the last time. From zero to `cap`.
pub(super) fn wait(config: &Config, tries: u32, last: Option<Duration>, entropy: &dyn Entropy) -> Duration {
    let whole_ns = grown(config, tries).as_nanos();
    let wait_ns = match config.jitter {
        Jitter::None => whole_ns,
        Jitter::Full => between(0, whole_ns, entropy),
        Jitter::Equal => between(whole_ns / 2, whole_ns, entropy),
        Jitter::Decorrelated => {
            let base_ns = config.base.as_nanos();
            let to_ns = last.unwrap_or(config.base).as_nanos().saturating_mul(3);
            between(base_ns, to_ns, entropy).min(config.cap.as_nanos())
        }
    };
    Duration::from_nanos(wait_ns)
}

/// The wait without its spread.
fn grown(config: &Config, tries: u32) -> Duration {
    let factor = match config.backoff {
        Backoff::Constant => 1,
        Backoff::Linear => tries,
        Backoff::Exponential => 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX),
    };
    config.base.saturating_mul(factor).min(config.cap)
}

/// A number from `low` to `high`, each as likely as another.
fn between(low: u64, high: u64, entropy: &dyn Entropy) -> u64 {
    // The cast rounds down, and ends at the largest number.
    let part = (high.saturating_sub(low) as f64 * unit(entropy)) as u64;
    low.saturating_add(part).min(high)
}
