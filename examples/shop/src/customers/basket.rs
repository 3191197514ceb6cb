//! What a shopper puts into its basket: a choice among what the page shows, by what the plan has drawn.

use super::marks::Product;
use super::plan::{Pick, Visit, WALLET, Wish};

/// The most of one product in a basket.
const QUANTITY_MAX: u64 = 100;

/// Some of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub sku: String,
    /// How many.
    pub quantity: u64,
}

/// What to buy of what is shown and there; nothing only if nothing is.
#[must_use]
pub fn choose(shown: &[Product], visit: &Visit) -> Vec<Chosen> {
    let there: Vec<_> = shown.iter().filter(|product| product.available > 0 && product.price > 0).collect();
    let draw = visit.picks.first().map_or(0, |pick| pick.draw);
    let much = match visit.wish {
        Wish::Something => Vec::new(),
        Wish::MostOfWallet => one_of(&there, draw, |price| WALLET / price)
            .into_iter()
            .filter(|chosen| chosen.1 * chosen.2 > WALLET / 2)
            .collect(),
        Wish::MoreThanWallet => more_than_wallet(&there, draw),
    };
    if much.is_empty() {
        return something(&there, &visit.picks);
    }
    let chosen = |(product, quantity, _): (&Product, u64, u64)| Chosen { sku: product.sku.clone(), quantity };
    much.into_iter().map(chosen).collect()
}

/// A product with a quantity that its price gives, if it can be had in that quantity, and the price.
fn one_of<'a>(
    there: &[&'a Product],
    draw: u64,
    quantity: impl Fn(u64) -> u64,
) -> Option<(&'a Product, u64, u64)> {
    let fits =
        |product: &&&Product| (1..=QUANTITY_MAX.min(product.available)).contains(&quantity(product.price));
    let fitting: Vec<_> = there.iter().filter(fits).collect();
    let product = **fitting.get(drawn(draw, fitting.len()))?;
    Some((product, quantity(product.price), product.price))
}

/// One product so often, or as many of all as it takes.
fn more_than_wallet<'a>(there: &[&'a Product], draw: u64) -> Vec<(&'a Product, u64, u64)> {
    if let Some(one) = one_of(there, draw, |price| WALLET / price + 1) {
        return vec![one];
    }
    let mut sum = 0;
    let mut lines = Vec::new();
    for product in there {
        if sum <= WALLET {
            let quantity = product.available.min(QUANTITY_MAX);
            sum += quantity * product.price;
            lines.push((*product, quantity, product.price));
        }
    }
    lines
}

/// A product or a few that the wallet is enough for; if it is for none, the cheapest.
fn something(there: &[&Product], picks: &[Pick]) -> Vec<Chosen> {
    let mut left = there.to_vec();
    let (mut sum, mut chosen) = (0, Vec::new());
    for pick in picks {
        if left.is_empty() {
            break;
        }
        let product = left.remove(drawn(pick.draw, left.len()));
        let quantity = pick.quantity.min(product.available).min((WALLET - sum) / product.price);
        if quantity > 0 {
            sum += quantity * product.price;
            chosen.push(Chosen { sku: product.sku.clone(), quantity });
        }
    }
    if chosen.is_empty()
        && let Some(product) = there.iter().min_by_key(|product| product.price)
    {
        chosen.push(Chosen { sku: product.sku.clone(), quantity: 1 });
    }
    chosen
}

/// A place in a list of so many, or 0 if it is empty.
fn drawn(draw: u64, among: usize) -> usize {
    let place = draw % (among.max(1) as u64);
    usize::try_from(place).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customers::plan::Plan;

    fn product(sku: &str, price: u64, available: u64) -> Product {
        Product { sku: sku.to_owned(), price, available }
    }

    fn bought(shown: &[Product], wish: Wish) -> Vec<(u64, Vec<Chosen>)> {
        let mut plan = Plan::new("");
        plan.habits.abandon = 0.0;
        let visits = plan.shoppers().flat_map(|shopper| shopper.visits).take(200);
        visits
            .map(|visit| {
                let chosen = choose(shown, &Visit { wish, ..visit });
                let price = |sku: &str| shown.iter().find(|product| product.sku == sku).unwrap().price;
                (chosen.iter().map(|chosen| chosen.quantity * price(&chosen.sku)).sum(), chosen)
            })
            .collect()
    }

    #[test]
    fn what_is_bought_is_there_and_costs_what_the_wish_says() {
        let shown = [
            product("tea", 450, 1000),
            product("lamp", 7900, 1000),
            product("desk", 31_000, 3),
            product("gone", 100, 0),
        ];
        let something = bought(&shown, Wish::Something);
        assert!(something.iter().all(|(sum, chosen)| *sum <= WALLET && (1..=3).contains(&chosen.len())));
        assert!(something.iter().any(|(_, chosen)| chosen.len() == 3), "three products fit too");
        assert!(
            bought(&shown, Wish::MostOfWallet).iter().all(|(sum, _)| *sum > WALLET / 2 && *sum <= WALLET)
        );
        assert!(bought(&shown, Wish::MoreThanWallet).iter().all(|(sum, _)| *sum > WALLET));
        let all = something.iter().flat_map(|(_, chosen)| chosen);
        assert!(all.clone().all(|chosen| chosen.sku != "gone"), "what is not there is not bought");
        assert!(
            all.clone().any(|chosen| chosen.sku == "tea") && all.clone().any(|chosen| chosen.sku == "desk")
        );
    }

    #[test]
    fn where_everything_is_cheap_or_dear_something_is_bought_nonetheless() {
        let cheap = [product("pin", 10, 1000), product("nail", 300, 1000)];
        assert!(bought(&cheap, Wish::MoreThanWallet).iter().all(|(sum, _)| *sum == 10 * 100 + 300 * 100));
        let dear = [product("car", 900_000, 2), product("boat", 800_000, 2)];
        assert!(bought(&dear, Wish::Something).iter().all(|(_, chosen)| chosen[0].sku == "boat"));
        assert!(bought(&[], Wish::Something).iter().all(|(_, chosen)| chosen.is_empty()));
    }
}
