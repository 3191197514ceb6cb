//! A customer's basket, and the one commit that makes an order of it.
//!
//! A basket is checked out by its id, which becomes the order's: the commit puts the order if there is none with this id, and takes the
//! basket away. A double click, a request that is sent again and two tabs all end with the same one order.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::order::{BASKETS, Basket, Line, ORDERS, Order, State, order_key};
use crate::http::Deadline;
use crate::inventory::stock::Listed;
use crate::mainstay::{Error, Item, Mainstay, absent, put, version};
use crate::money::Currency;
use crate::service::{Problem, now_ms, random_id};

/// The most products in a basket, and of each.
const LINES_MAX: usize = 20;
const QUANTITY_MAX: u64 = 100;

/// The longest id of a basket.
const ID_MAX: usize = 64;

/// A line as it is put.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLine {
    /// The basket that is meant: that of a page, which may be of yesterday.
    pub basket: String,
    /// How many; 0 takes it out.
    pub quantity: u64,
    /// What the basket is to be paid in, if this is its first line.
    pub currency: Currency,
}

/// A change of a basket.
#[derive(Debug)]
pub struct Change<'a> {
    /// Whose.
    pub customer: &'a str,
    /// Of which product.
    pub sku: &'a str,
    /// What it is to be.
    pub line: NewLine,
}

/// The customer's basket; an empty one, which is nowhere yet, if there is none.
pub async fn of(api: &Mainstay, customer: &str, deadline: Deadline) -> Result<Basket, Error> {
    let basket = api.get::<Basket>(BASKETS, customer, deadline).await?;
    let new = || Basket {
        id: format!("{customer}.{}", &random_id()[..16]),
        currency: Currency::Eur,
        lines: BTreeMap::new(),
    };
    Ok(basket.map_or_else(new, |item| item.value))
}

/// Whether this can be the id of a basket of this customer, and so of an order: it begins with the customer, so that no two have one, and leaves room for
/// the ids that are made of it.
pub fn id(customer: &str, id: &str) -> Result<(), Problem> {
    crate::service::id("the customer", customer)?;
    crate::service::id("the order", id)?;
    let own = id.strip_prefix(customer).and_then(|rest| rest.strip_prefix('.'));
    if id.len() <= ID_MAX
        && !customer.contains('.')
        && own.is_some_and(|own| !own.is_empty() && !own.contains('.'))
    {
        return Ok(());
    }
    let detail = format!(
        "{id:?} is no basket or order of {customer:?}: use {customer}.NAME, at most {ID_MAX} characters, without further dots"
    );
    Err(Problem::invalid(detail))
}

/// Puts a line, and the basket if there is none. Doing it again changes nothing.
pub async fn put_line(api: &Mainstay, change: &Change<'_>, deadline: Deadline) -> Result<Basket, Problem> {
    let Change { customer, sku, line } = change;
    id(customer, &line.basket)?;
    crate::service::id("the product", sku)?;
    if line.quantity > QUANTITY_MAX {
        return Err(Problem::invalid(format!(
            "at most {QUANTITY_MAX} of one product, not {}",
            line.quantity
        )));
    }
    let mut tried = false;
    loop {
        let before =
            api.get::<Basket>(BASKETS, customer, deadline).await.map_err(|error| error.doubtful(tried))?;
        let basket = changed(before.as_ref().map(|item| &item.value), sku, line)?;
        if before.as_ref().is_some_and(|item| item.value == basket) {
            return Ok(basket);
        }
        let is_as_read = match &before {
            Some(item) => version(BASKETS, customer, &item.version),
            None => absent(BASKETS, customer),
        };
        // A page that is older than the order does not begin another basket with its id.
        let is_no_order = absent(ORDERS, &order_key(customer, &line.basket));
        let operations = [put(BASKETS, customer, &basket)];
        match api.commit(customer, &[is_no_order, is_as_read], &operations, deadline).await {
            Ok(()) => return Ok(basket),
            Err(error) if error.condition() == Some(0) => return Err(other_basket(&line.basket)),
            // Somebody else was quicker, or it was done and the answer was lost: the next reading tells.
            Err(error) if error.condition().is_some() => {}
            Err(Error::Unknown(_)) if !deadline.is_over() => tried = true,
            Err(error) => return Err(error.doubtful(tried).into()),
        }
    }
}

fn changed(before: Option<&Basket>, sku: &str, line: &NewLine) -> Result<Basket, Problem> {
    let new = || Basket { id: line.basket.clone(), currency: line.currency, lines: BTreeMap::new() };
    let mut basket = before.cloned().unwrap_or_else(new);
    if basket.id != line.basket {
        return Err(other_basket(&line.basket));
    }
    if basket.lines.is_empty() {
        basket.currency = line.currency;
    }
    if line.quantity == 0 {
        basket.lines.remove(sku);
    } else {
        basket.lines.insert(sku.to_owned(), line.quantity);
    }
    if basket.lines.len() > LINES_MAX {
        return Err(Problem::invalid(format!(
            "at most {LINES_MAX} products in a basket: place an order first"
        )));
    }
    Ok(basket)
}

fn other_basket(id: &str) -> Problem {
    Problem::conflict("different", format!("the basket {id:?} is not the open one: load the basket again"))
}

/// A basket that is to become an order.
#[derive(Debug)]
pub struct Checkout<'a> {
    /// Whose.
    pub customer: &'a str,
    /// The basket, and the order.
    pub id: &'a str,
    /// What the customer was shown that it costs.
    pub total: Option<u64>,
}

/// Makes an order of the basket with this id, with the prices of now; tells whether it was not one before.
pub async fn place(
    api: &Mainstay,
    checkout: &Checkout<'_>,
    products: &BTreeMap<String, Listed>,
    deadline: Deadline,
) -> Result<bool, Problem> {
    let Checkout { customer, id, total } = *checkout;
    let key = order_key(customer, id);
    let mut tried = false;
    loop {
        let doubtful = |error: Error| error.doubtful(tried);
        let basket = api.get::<Basket>(BASKETS, customer, deadline).await.map_err(doubtful)?;
        let Some(basket) = basket.filter(|item| item.value.id == id) else {
            return match api.get::<Order>(ORDERS, &key, deadline).await.map_err(doubtful)? {
                Some(_) => Ok(false),
                None => Err(Problem::conflict(
                    "no_basket",
                    format!("the basket {id:?} is not there: load it again"),
                )),
            };
        };
        let order = order_of(customer, &basket, products)?;
        if total.is_some_and(|total| total != order.total) {
            let now = order.currency.show(order.total);
            return Err(Problem::conflict(
                "changed",
                format!("the basket {id:?} costs {now} now: load it again"),
            ));
        }
        let conditions = [absent(ORDERS, &key), version(BASKETS, customer, &basket.version)];
        let operations = [put(ORDERS, &key, &order), crate::mainstay::delete(BASKETS, customer)];
        match api.commit(customer, &conditions, &operations, deadline).await {
            Ok(()) => return Ok(true),
            // Placed by another request, or changed meanwhile, or done with a lost answer: the next reading tells.
            Err(error) if error.condition().is_some() => {}
            Err(Error::Unknown(_)) if !deadline.is_over() => tried = true,
            Err(error) => return Err(error.doubtful(tried).into()),
        }
    }
}

fn order_of(
    customer: &str,
    basket: &Item<Basket>,
    products: &BTreeMap<String, Listed>,
) -> Result<Order, Problem> {
    let Basket { currency, lines, .. } = &basket.value;
    if lines.is_empty() {
        return Err(Problem::conflict("empty", "the basket is empty: put something into it first"));
    }
    let line = |(sku, quantity): (&String, &u64)| {
        let listed =
            products.get(sku).and_then(|listed| Some((listed, *listed.product.prices.get(currency)?)));
        let (listed, price) = listed
            .ok_or_else(|| Problem::not_found(format!("the product {sku:?} is not sold in {currency}")))?;
        Ok(Line { sku: sku.clone(), name: listed.product.name.clone(), quantity: *quantity, price })
    };
    let lines = lines.iter().map(line).collect::<Result<Vec<_>, Problem>>()?;
    let now = now_ms();
    Ok(Order {
        customer: customer.to_owned(),
        state: State::Placed,
        currency: *currency,
        total: lines.iter().map(|line| line.price * line.quantity).sum(),
        lines,
        placed_at: now,
        changed_at: now,
        open: Some(true),
        fraud: None,
        reason: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(basket: &str, quantity: u64) -> NewLine {
        NewLine { basket: basket.to_owned(), quantity, currency: Currency::Usd }
    }

    #[test]
    fn a_line_is_set_and_taken_out() {
        let one = changed(None, "mug", &line("b-1", 2)).unwrap();
        assert_eq!((one.id.as_str(), one.currency, one.lines["mug"]), ("b-1", Currency::Usd, 2));
        assert_eq!(changed(Some(&one), "mug", &line("b-1", 2)).unwrap(), one, "again is the same");
        assert!(changed(Some(&one), "mug", &line("b-1", 0)).unwrap().lines.is_empty());
        assert!(changed(Some(&one), "mug", &line("b-2", 1)).is_err(), "a page of another basket");
    }

    #[test]
    fn an_order_is_of_one_customer_by_its_id() {
        assert!(id("c-1", "c-1.x").is_ok());
        let long = format!("c-1.{}", "x".repeat(61));
        for (customer, wrong) in [
            ("c-1", "c-2.x"),
            ("c-1", "x"),
            ("c-1", "c-1."),
            ("c-1", "c-1.a.b"),
            ("a.b", "a.b.c"),
            ("c-1", long.as_str()),
        ] {
            assert!(id(customer, wrong).is_err(), "{customer} {wrong}");
        }
    }

    #[test]
    fn a_basket_has_an_end() {
        let mut basket = changed(None, "p-0", &line("b-1", 1)).unwrap();
        for nth in 1..LINES_MAX {
            basket = changed(Some(&basket), &format!("p-{nth}"), &line("b-1", 1)).unwrap();
        }
        assert!(changed(Some(&basket), "one-more", &line("b-1", 1)).is_err());
        assert!(changed(Some(&basket), "p-0", &line("b-1", 5)).is_ok());
    }
}
