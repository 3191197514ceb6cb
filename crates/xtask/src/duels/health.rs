//! The health endpoint against nginx: what a request costs before anything is done for it.

use anyhow::Result;
use mainstay_lab::duel::{Duel, Offer};

use super::{Effort, Times, mainstay, nginx};

const PATH: &str = "/v1/health/live";

const ABOUT: &str = "\
What a request costs before anything is done for it: Mainstay answers `GET /v1/health/live` through its whole API stack \
(strictness, request id, metrics), nginx the same path with the same body from a `return 200`, the least it can do. \
Connections are kept alive and nobody writes an access log. The load generator runs on the same processors, so the CPU time \
per request says more about a server's capacity than the rate does. Memory is the sum over processes: pages that nginx's processes \
share count once for each.";

/// Both answer the same path with the same body.
pub(super) fn prepare(effort: Effort) -> Result<Duel> {
    let times = Times::of(effort);
    let ours = mainstay::answering(PATH, mainstay::HEALTH_BODY.len())?;
    let theirs = nginx::contestant(PATH, mainstay::HEALTH_BODY)?;
    Ok(Duel {
        name: "health".to_owned(),
        title: "Duel: a health endpoint and nginx".to_owned(),
        about: ABOUT.to_owned(),
        contestants: vec![ours, theirs],
        // The first closed cell is the one whose slowest rate the open one takes its share of.
        cells: vec![
            times.cell("64 connections, closed loop", Offer::Closed, 64),
            times.cell("1 connection, closed loop", Offer::Closed, 1),
            times.cell("64 connections, half of the slower one's maximum", Offer::ShareOfSlowest(0.5), 64),
        ],
        pairs: Vec::new(),
        claims: Vec::new(),
        samples: times.samples,
        strict: effort == Effort::Full,
        seed: 1,
    })
}
