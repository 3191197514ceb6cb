//! The goods that the shop begins with. Of two there are few, so that they sell out.

use std::collections::BTreeMap;

use super::stock::Product;
use crate::money::Currency;

/// As good as endless.
const PLENTY: u64 = 1_000_000;

/// A product, and how many of it come in at the start.
#[derive(Debug)]
pub struct Goods {
    /// Its id.
    pub sku: &'static str,
    /// How many come in.
    pub received: u64,
    name: &'static str,
    about: &'static str,
    eur: u64,
    usd: u64,
}

impl Goods {
    /// The product as it is kept.
    #[must_use]
    pub fn product(&self) -> Product {
        Product {
            name: self.name.to_owned(),
            about: self.about.to_owned(),
            prices: BTreeMap::from([(Currency::Eur, self.eur), (Currency::Usd, self.usd)]),
        }
    }

    const fn plenty(sku: &'static str, [name, about]: [&'static str; 2], [eur, usd]: [u64; 2]) -> Self {
        Self { sku, received: PLENTY, name, about, eur, usd }
    }

    const fn only(mut self, received: u64) -> Self {
        self.received = received;
        self
    }
}

/// All of them.
pub const ALL: [Goods; 16] = [
    Goods::plenty(
        "olive-soap",
        ["Olive soap", "Mild, green and unscented. Lasts longer than you would think."],
        [250, 280],
    ),
    Goods::plenty(
        "pocket-notebook",
        ["Pocket notebook", "Ninety-six dotted pages that lie flat, and a pocket for tickets."],
        [790, 850],
    ),
    Goods::plenty(
        "enamel-mug",
        ["Enamel mug", "White with a blue rim. At home on a desk and by a campfire."],
        [1250, 1390],
    ),
    Goods::plenty(
        "beeswax-candles",
        ["Beeswax candles", "Four candles that smell of honey and hardly drip."],
        [1490, 1590],
    ),
    Goods::plenty(
        "sewing-kit",
        ["Sewing kit", "Needles, buttons and eight colours of thread in a small tin."],
        [1680, 1790],
    ),
    Goods::plenty(
        "horsehair-broom",
        ["Horsehair broom", "Sweeps up even the finest dust, and stands by itself."],
        [1840, 1995],
    ),
    Goods::plenty(
        "plant-pot",
        ["Terracotta pot", "With a saucer. The plant in the picture is up to you."],
        [2100, 2290],
    ),
    Goods::plenty(
        "cheese-board",
        ["Cheese board", "One piece of oiled oak, with a groove that keeps the crumbs."],
        [2800, 2990],
    ),
    Goods::plenty(
        "willow-basket",
        ["Willow basket", "Woven by hand. Carries a picnic for four or laundry for one."],
        [3200, 3450],
    ),
    Goods::plenty("alarm-clock", ["Alarm clock", "Two bells, a hand that glows, and no app."], [3450, 3700]),
    Goods::plenty(
        "stoneware-teapot",
        ["Stoneware teapot", "Pours without a drop on the table. Holds five cups."],
        [3890, 4200],
    ),
    Goods::plenty(
        "long-umbrella",
        ["Long umbrella", "Eight steel ribs and a cherry handle. Does not mind the wind."],
        [4500, 4900],
    ),
    Goods::plenty(
        "desk-lamp",
        ["Desk lamp", "Warm light, a heavy foot, and a joint that stays where you put it."],
        [7900, 8500],
    ),
    Goods::plenty(
        "wool-blanket",
        ["Wool blanket", "Undyed wool in a herringbone weave, for the coldest corner of the sofa."],
        [12900, 13900],
    ),
    Goods::plenty(
        "glazed-vase",
        ["Glazed vase", "Thrown and glazed by one potter; no two are alike. Few are made."],
        [9500, 9900],
    )
    .only(150),
    Goods::plenty(
        "ash-chair",
        ["Ash chair", "Steam-bent ash and a woven seat. Forty were made, then the mould broke."],
        [16500, 18000],
    )
    .only(40),
];
