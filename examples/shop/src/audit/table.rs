//! An audit as people read it: each rule with what it was applied to, then what violates one.

use std::fmt;

use super::Audit;

/// Findings that are shown. Programs read all that are kept.
const SHOWN_MAX: usize = 20;

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, transfers, reservations, shown, .. } = self;
        writeln!(
            f,
            "audit of {orders} orders, {transfers} transfers, {reservations} reservations; {shown} times shown"
        )?;
        writeln!(f, "  {:<22} {:>9} {:>10}   rule", "", "checked", "violations")?;
        for count in &self.counts {
            let (name, sentence) = (count.rule.name(), count.rule.sentence());
            writeln!(f, "  {name:<22} {:>9} {:>10}   {sentence}", count.checked, count.violations)?;
        }
        for finding in self.findings.iter().take(SHOWN_MAX) {
            writeln!(f, "violates {}: {}: {}", finding.rule.name(), finding.subject, finding.explanation)?;
        }
        match self.violations() {
            0 => write!(f, "audit: no violation"),
            some if some > SHOWN_MAX as u64 => {
                write!(f, "audit: {some} VIOLATIONS, of which the first {SHOWN_MAX} are above")
            }
            some => write!(f, "audit: {some} VIOLATIONS"),
        }
    }
}
