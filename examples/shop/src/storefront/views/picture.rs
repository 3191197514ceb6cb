//! Pictures: drawings of our own, so that they look the same on every machine, whatever fonts it has.
//!
//! All are on one sheet, which a browser loads once; a page only names which of them stands where. They decorate: what they show is
//! written beside them, and nobody is read one aloud. A product without a drawing comes in a parcel.

use maud::{Markup, Render, html};

use super::super::assets::PICTURES;

/// How many grounds there are, each a colour in the style.
const GROUNDS: usize = 6;

/// The products with a drawing, by SKU, and the ground of each; in the order of the front page, where no two neighbours in up to
/// four columns have the same.
const DRAWN: [(&str, usize); 16] = [
    ("alarm-clock", 1),
    ("ash-chair", 2),
    ("beeswax-candles", 4),
    ("cheese-board", 0),
    ("desk-lamp", 5),
    ("enamel-mug", 1),
    ("glazed-vase", 3),
    ("horsehair-broom", 4),
    ("long-umbrella", 0),
    ("olive-soap", 2),
    ("pocket-notebook", 5),
    ("sewing-kit", 3),
    ("stoneware-teapot", 1),
    ("plant-pot", 0),
    ("willow-basket", 4),
    ("wool-blanket", 5),
];

/// A drawing on the sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawing(&'static str);

impl Drawing {
    /// What has no other drawing, and orders.
    pub const PARCEL: Self = Self("parcel");
    /// A basket.
    pub const BASKET: Self = Self("willow-basket");
    /// Help.
    pub const LIFEBUOY: Self = Self("lifebuoy");
}

impl Render for Drawing {
    fn render(&self) -> Markup {
        html! { svg width="96" height="96" viewBox="0 0 96 96" { use href={ (PICTURES.address()) "#" (self.0) } {} } }
    }
}

/// The picture of a product on its ground, the same on every page.
pub fn of_product(sku: &str) -> Markup {
    let drawn = DRAWN.iter().find(|(drawn, _)| *drawn == sku);
    let (drawing, ground) = drawn.map_or_else(
        || (Drawing::PARCEL, sku.bytes().map(usize::from).sum::<usize>() % GROUNDS),
        |(sku, ground)| (Drawing(sku), *ground),
    );
    html! { div class={ "picture tint-" (ground) } aria-hidden="true" { (drawing) } }
}
