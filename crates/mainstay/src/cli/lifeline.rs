//! `mainstay lifeline`: what a node that runs programs starts beside itself, so that they end with it also when it is killed.

use std::io;
use std::time::Duration;

use clap::Args;
use mainstay_upstream::run::{Known, end_leftovers};

use super::{FAILED, OK, output};

/// How long programs may take to end before they are killed: nobody waits for their answers any more.
const PATIENCE: Duration = Duration::from_secs(3);

/// Arguments of `lifeline`.
#[derive(Debug, Args)]
pub struct Lifeline {
    /// What the programs of the node have in their environment
    #[arg(value_name = "MARKER")]
    marker: String,
}

/// Reads the numbers of programs, line by line; when that ends, ends the programs that are left. The error is that of reading.
pub fn run(lifeline: &Lifeline) -> io::Result<u8> {
    let mut known: Vec<Known> = Vec::new();
    for line in io::stdin().lines() {
        known.retain(Known::is_there);
        known.extend(line?.parse().ok().and_then(Known::now));
    }
    match end_leftovers(&lifeline.marker, &known, PATIENCE) {
        Ok(_) => Ok(OK),
        Err(error) => {
            output::note(&format!("error: the programs of a node that has ended cannot be found: {error}"));
            Ok(FAILED)
        }
    }
}
