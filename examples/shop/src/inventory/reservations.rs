//! The reservation of one product for one order, from nothing to its end. Each step is one commit with the stock's counts.
//!
//! Each step depends on what was read, by the reservation's absence or version: it happens once, and one that was overtaken does
//! nothing. Then what is there now decides.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::catalogue::{available, no_product};
use super::stock::{RESERVATIONS, Reservation, STOCK, Standing, reservation_key};
use crate::http::Deadline;
use crate::mainstay::{Error, Item, Mainstay, absent, increment, merge_patch, present, put, version};
use crate::service::{self, Problem};

/// The most that an order can have of one product.
pub const QUANTITY_MAX: u64 = 100;

/// Where the reservation of a product for an order is, or would be.
#[derive(Debug)]
pub struct Place<'a> {
    api: &'a Mainstay,
    sku: &'a str,
    order: &'a str,
    key: String,
    deadline: Deadline,
}

impl<'a> Place<'a> {
    /// The place for an order, for as long as an answer is of use.
    pub fn new(api: &'a Mainstay, sku: &'a str, order: &'a str, deadline: Deadline) -> Result<Self, Problem> {
        service::id("sku", sku)?;
        service::id("order", order)?;
        Ok(Self { api, sku, order, key: reservation_key(sku, order), deadline })
    }

    /// Sets some aside; tells whether it was not before.
    pub async fn reserve(&self, quantity: u64) -> Result<(bool, Reservation), Problem> {
        if !(1..=QUANTITY_MAX).contains(&quantity) {
            return Err(Problem::invalid(format!("the quantity is {quantity}: use 1 to {QUANTITY_MAX}")));
        }
        let reservation = Reservation { quantity, standing: Standing::Reserved };
        let conditions = [absent(RESERVATIONS, &self.key), present(STOCK, self.sku)];
        let operations = [
            self.count("/available", -signed(quantity)),
            self.count("/reserved", signed(quantity)),
            put(RESERVATIONS, &self.key, &reservation),
        ];
        let Err(error) = self.commit(&conditions, &operations).await else { return Ok((true, reservation)) };
        match (error.condition(), error.operation()) {
            (Some(0), _) => Ok((false, self.already(quantity).await?)),
            (Some(_), _) => Err(no_product(self.sku)),
            (None, Some(0)) => Err(self.sold_out(quantity).await?),
            _ => Err(error.into()),
        }
    }

    /// Ends the reservation, as shipped or as released, unless it has ended so.
    pub async fn end(&self, standing: Standing) -> Result<Reservation, Problem> {
        let mut tried = false;
        loop {
            let found = self.find().await;
            let found = found.map_err(|error| if tried { error.in_doubt() } else { error })?;
            let (reservation, conditions, operations) = match &found {
                Some(item) if item.value.standing == standing => return Ok(item.value),
                Some(item) if item.value.standing == Standing::Reserved => self.ending(item, standing),
                Some(item) => return Err(self.ended(item.value.standing)),
                None if standing == Standing::Released => self.never_made(),
                None => return Err(self.not_reserved()),
            };
            let Err(error) = self.commit(&conditions, &operations).await else { return Ok(reservation) };
            match error.condition() {
                // It is not what was read any more, perhaps by a try of this very request.
                Some(0) => tried = true,
                Some(_) => return Err(no_product(self.sku)),
                None => return Err(error.into()),
            }
        }
    }

    /// What was set aside goes out, or back.
    fn ending(&self, item: &Item<Reservation>, standing: Standing) -> (Reservation, Vec<Value>, Vec<Value>) {
        let quantity = item.value.quantity;
        let to = if standing == Standing::Shipped { "/shipped" } else { "/available" };
        let operations = vec![
            self.count("/reserved", -signed(quantity)),
            self.count(to, signed(quantity)),
            merge_patch(RESERVATIONS, &self.key, &json!({"standing": standing})),
        ];
        let reservation = Reservation { quantity, standing };
        (reservation, vec![version(RESERVATIONS, &self.key, &item.version)], operations)
    }

    /// What was never set aside cannot be any more.
    fn never_made(&self) -> (Reservation, Vec<Value>, Vec<Value>) {
        let reservation = Reservation { quantity: 0, standing: Standing::Released };
        (reservation, vec![absent(RESERVATIONS, &self.key)], vec![put(RESERVATIONS, &self.key, &reservation)])
    }

    fn count(&self, what: &str, by: i64) -> Value {
        increment(STOCK, self.sku, what, by)
    }

    async fn commit(&self, conditions: &[Value], operations: &[Value]) -> Result<(), Error> {
        self.api.commit_until_known(self.sku, conditions, operations, self.deadline).await
    }

    async fn find(&self) -> Result<Option<Item<Reservation>>, Error> {
        self.api.get(RESERVATIONS, &self.key, self.deadline).await
    }

    /// The reservation that is there, if it is the same. It may be what this very request has done, in a try without an answer.
    async fn already(&self, quantity: u64) -> Result<Reservation, Problem> {
        let found = self.find().await.map_err(Error::in_doubt)?;
        let gone =
            || Error::Unexpected(format!("the reservation {} was there and is not any more", self.key));
        let found = found.ok_or_else(gone)?.value;
        match found.standing {
            Standing::Released => Err(self.ended(Standing::Released)),
            Standing::Reserved | Standing::Shipped if found.quantity == quantity => Ok(found),
            Standing::Reserved | Standing::Shipped => {
                let detail = format!(
                    "{} of {} are set aside for the order {}, not {quantity}",
                    found.quantity, self.sku, self.order
                );
                Err(Problem::conflict("different", detail))
            }
        }
    }

    async fn sold_out(&self, quantity: u64) -> Result<Problem, Problem> {
        let available = available(self.api, self.sku, self.deadline).await.map_err(Error::in_doubt)?;
        let available = available.unwrap_or_default();
        let detail = format!(
            "too few of {} were available for {quantity} when it was tried: there are {available} now",
            self.sku
        );
        Ok(Problem::conflict("sold_out", detail).with(json!({"available": available})))
    }

    fn ended(&self, standing: Standing) -> Problem {
        let code = if standing == Standing::Shipped { "shipped" } else { "released" };
        Problem::conflict(code, format!("what the order {} had of {} is {code}", self.order, self.sku))
    }

    fn not_reserved(&self) -> Problem {
        let detail =
            format!("nothing of {} is set aside for the order {}: reserve it first", self.sku, self.order);
        Problem::new(StatusCode::NOT_FOUND, "not_reserved", detail)
    }
}

fn signed(quantity: u64) -> i64 {
    i64::try_from(quantity).expect("quantities are at most QUANTITY_MAX")
}
