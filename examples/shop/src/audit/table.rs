//! An audit as people read it: each rule with what it was applied to, then what violates one.

use std::fmt;

use super::Audit;
use super::read::READINGS_MAX;

/// Findings that are shown. Programs read all that are kept.
const SHOWN_MAX: usize = 20;

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, transfers, reservations, shown, acknowledged, open, .. } = self;
        writeln!(
            f,
            "audit of {orders} orders, {transfers} transfers, {reservations} reservations; {acknowledged} checkouts acknowledged, {shown} times shown"
        )?;
        if *open > 0 {
            writeln!(f, "  {open} orders were still open when waiting for them ended")?;
        }
        if self.is_moving {
            writeln!(
                f,
                "  NOT AT REST: the books moved in each of {READINGS_MAX} readings, so they are of no one moment; stop what buys, and audit again"
            )?;
        }
        writeln!(f, "  {:<22} {:>9} {:>10}   rule", "", "checked", "violations")?;
        for count in &self.counts {
            let (name, sentence) = (count.rule.name(), count.rule.sentence());
            writeln!(f, "  {name:<22} {:>9} {:>10}   {sentence}", count.checked, count.violations)?;
        }
        for finding in self.findings.iter().take(SHOWN_MAX) {
            writeln!(f, "violates {}: {}: {}", finding.rule.name(), finding.subject, finding.explanation)?;
        }
        match self.violations() {
            0 if self.is_moving => write!(f, "audit: NOT AT REST, and no violation in what was read"),
            0 => write!(f, "audit: no violation"),
            some if some > SHOWN_MAX as u64 => {
                write!(f, "audit: {some} VIOLATIONS, of which the first {SHOWN_MAX} are above")
            }
            some => write!(f, "audit: {some} VIOLATIONS"),
        }
    }
}
