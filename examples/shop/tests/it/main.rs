//! The shop as it runs: services behind a real node, and its shoppers and audit before a shop that can fail and lie.

#![expect(clippy::unwrap_used, reason = "what helpers of tests unwrap fails the test")]

mod audit;
mod customers;
mod fake_shop;
mod feed_node;
mod fraud;
mod inventory;
mod little_shop;
mod lossy;
mod node;
mod orders;
mod payments;
mod receipts;
mod storefront;

/// Says why a test is not run here.
#[expect(clippy::print_stderr, reason = "this is where a person reads what was not tested")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
