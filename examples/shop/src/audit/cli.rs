//! `shop audit`: the audit alone, of a shop that is at rest.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Told, audit, read_at_rest};
use crate::mainstay::Mainstay;

/// How what was found is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs: one JSON document
    Json,
}

/// What `shop audit` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Mainstay's API
    #[arg(long, default_value = "http://127.0.0.1:7070")]
    api: String,
    /// How long to wait for orders that are still open
    #[arg(long, default_value = "60s", value_parser = duration)]
    wait: Duration,
    /// How to tell what was found
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Audits, and tells what was found. The exit code is 0 only if no rule is violated, by books that are of one moment.
pub async fn main(args: &Args) -> Result<ExitCode> {
    let api = Mainstay::new(&args.api);
    let cannot = || format!("the books cannot be read by {}: is Mainstay running there?", args.api);
    let books = read_at_rest(&api, args.wait).await.with_context(cannot)?;
    let audit = audit(&books, &Told::default());
    match args.output {
        Output::Text => writeln!(std::io::stdout(), "{audit}")?,
        Output::Json => writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&audit)?)?,
    }
    Ok(if audit.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `500ms`, `60s`, `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0)];
    let parsed = units.into_iter().find_map(|(unit, seconds)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Duration::try_from_secs_f64(number * seconds).ok()
    });
    parsed.ok_or_else(|| format!("{text:?} is no duration: write one as `500ms`, `60s` or `2m`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "1h", "NaNs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
