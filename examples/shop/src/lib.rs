//! A shop that Mainstay carries: orders, inventory, payments and a storefront as small services, shoppers who use it as people
//! do, and an audit that compares what they were shown with what is true in the end.
//!
//! Services keep nothing of their own. All state is in Mainstay, by its public HTTP API ([`mainstay`]); they reach each
//! other by its gateway ([`http`]). Each may be killed at any moment.

pub mod audit;
pub mod customers;
pub mod demo;
pub mod feed;
pub mod http;
pub mod inventory;
pub mod mainstay;
pub mod money;
pub mod orders;
pub mod payments;
pub mod service;
pub mod storefront;
