//! What a program reads in the shop's pages: the attributes that say which order, product and basket an element is of.
//!
//! The scanner knows tags, attributes, comments, scripts and entities, and nothing of how elements nest. A tag that has no end, since the
//! page was cut off in it, is none, as for browsers. What it cannot make
//! sense of it leaves out; of marks that it counts them, since an order that is told of unreadably is not audited.

use std::borrow::Cow;

use crate::money::Currency;
use crate::orders::order::State;

/// An order as an element tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderMark {
    /// Its id.
    pub order: String,
    /// How far it is.
    pub state: State,
    /// What it costs, in minor units.
    pub total: u64,
    /// In which currency.
    pub currency: Currency,
}

/// A product as it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub sku: String,
    /// What one costs, in minor units.
    pub price: u64,
    /// How many there are.
    pub available: u64,
}

/// All marks of a page, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// The orders that it tells of.
    pub orders: Vec<OrderMark>,
    /// The products that it offers.
    pub products: Vec<Product>,
    /// The basket that its forms send.
    pub basket: Option<String>,
    /// What the form that orders it says that it costs.
    pub total: Option<String>,
    /// Marks of orders and products that lack something or cannot be read.
    pub unreadable: u64,
}

impl Marks {
    /// The marks of a page.
    #[must_use]
    pub fn of(page: &str) -> Self {
        let mut marks = Self::default();
        for tag in Tags(page) {
            if let Some(order) = tag.attribute("data-order") {
                match order_mark(&tag, &order) {
                    Some(mark) => marks.orders.push(mark),
                    None => marks.unreadable += 1,
                }
            }
            // What has no price in the customer's currency is no offer.
            if let Some(sku) = tag.attribute("data-sku")
                && let Some(price) = tag.attribute("data-price")
            {
                match product(&tag, &sku, &price) {
                    Some(product) => marks.products.push(product),
                    None => marks.unreadable += 1,
                }
            }
            if tag.name.eq_ignore_ascii_case("input")
                && let (Some(name), Some(value)) = (tag.attribute("name"), tag.attribute("value"))
            {
                match &*name {
                    "basket" => drop(marks.basket.get_or_insert_with(|| value.into_owned())),
                    "total" => drop(marks.total.get_or_insert_with(|| value.into_owned())),
                    _ => {}
                }
            }
        }
        marks
    }
}

fn order_mark(tag: &Tag<'_>, order: &str) -> Option<OrderMark> {
    let state = tag.attribute("data-state")?;
    Some(OrderMark {
        order: order.to_owned(),
        state: State::ALL.into_iter().find(|one| one.name() == state)?,
        total: tag.attribute("data-total")?.parse().ok()?,
        currency: tag.attribute("data-currency")?.parse().ok()?,
    })
}

fn product(tag: &Tag<'_>, sku: &str, price: &str) -> Option<Product> {
    let available = tag.attribute("data-available")?.parse().ok()?;
    Some(Product { sku: sku.to_owned(), price: price.parse().ok()?, available })
}

/// A start tag.
#[derive(Debug)]
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Tag<'a> {
    fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        let (_, value) = self.attributes.iter().find(|(is, _)| is.eq_ignore_ascii_case(name))?;
        Some(unescaped(value))
    }
}

/// The start tags of what is left of a page.
struct Tags<'a>(&'a str);

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            let (_, rest) = self.0.split_once('<')?;
            if let Some(comment) = rest.strip_prefix("!--") {
                self.0 = comment.split_once("-->").map_or("", |(_, rest)| rest);
            } else if rest.starts_with(|first: char| first.is_ascii_alphabetic()) {
                let (tag, rest) = tag(rest)?;
                self.0 = behind(tag.name, rest);
                return Some(tag);
            } else {
                self.0 = rest;
            }
        }
    }
}

/// What comes behind a start tag, without the text of scripts and styles, which is no markup.
fn behind<'a>(name: &str, rest: &'a str) -> &'a str {
    let end = match name.to_ascii_lowercase().as_str() {
        "script" => "</script",
        "style" => "</style",
        _ => return rest,
    };
    let bytes = rest.as_bytes();
    let found = bytes.windows(end.len()).position(|window| window.eq_ignore_ascii_case(end.as_bytes()));
    found.map_or("", |at| &rest[at..])
}

/// A start tag, of which the text begins with the name, and what is behind it; none if it has no end.
fn tag(text: &str) -> Option<(Tag<'_>, &str)> {
    let (name, mut rest) = split(text, |c| c.is_ascii_whitespace() || c == '/' || c == '>');
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(behind) = rest.strip_prefix('>') {
            return Some((Tag { name, attributes }, behind));
        }
        if rest.is_empty() {
            return None;
        }
        // A name may begin with `=` only as a mistake; one step on keeps the scanner going.
        let (attribute, after) =
            split(&rest[first(rest)..], |c| c.is_ascii_whitespace() || "/>=".contains(c));
        let attribute = &rest[..first(rest) + attribute.len()];
        let (value, after) = match after.trim_start().strip_prefix('=') {
            Some(value) => value_of(value.trim_start()),
            None => ("", after),
        };
        attributes.push((attribute, value));
        rest = after;
    }
}

/// The bytes of the first character.
fn first(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// An attribute's value, in quotes of either kind or none, and what is behind it.
fn value_of(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    split(text, |c| c.is_ascii_whitespace() || c == '>')
}

fn split(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

/// A value without its entities. One that is not known stays as it is, as browsers do it.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, entity)) = rest.split_once('&') {
        out.push_str(before);
        match entity.split_once(';').and_then(|(name, rest)| Some((character(name)?, rest))) {
            Some((character, after)) => {
                out.push(character);
                rest = after;
            }
            None => {
                out.push('&');
                rest = entity;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_browsers_read_attributes() {
        let page = r#"<!doctype html><html><!-- <p data-order="no" data-state=paid> -->
            <script>if (1 <2) { x = '<p data-order="no">' }</SCRIPT><style>p > a {}</style>
            <article data-sku="tea" data-price="450" data-available="7"><h2>Tea &amp; more</h2>
            <form method=post action=/basket/lines><input type=hidden name=basket value="b-1"/>
            <input name='basket' value='b-2'><input name=total value=1250></form></article>
            <ARTICLE data-sku=unpriced data-available=3><ARTICLE data-available='0' hidden data-price=20 data-sku='a&quot;b&#x2f;&#47;&uuml;&'>
            <p class = "order"   data-order = o-1 data-state="paid" data-total="1200" data-currency=usd>paid</p>
            <li data-order="o-2" data-state="failed" data-total="0" data-currency="eur" data-note="a > b"/>"#;
        let marks = Marks::of(page);
        let product = |sku: &str, price, available| Product { sku: sku.to_owned(), price, available };
        assert_eq!(marks.products, [product("tea", 450, 7), product("a\"b//&uuml;&", 20, 0)]);
        assert_eq!(marks.basket.as_deref(), Some("b-1"), "the first form's");
        assert_eq!(marks.total.as_deref(), Some("1250"));
        let order = |order: &str, state, total, currency| OrderMark {
            order: order.to_owned(),
            state,
            total,
            currency,
        };
        let orders =
            [order("o-1", State::Paid, 1200, Currency::Usd), order("o-2", State::Failed, 0, Currency::Eur)];
        assert_eq!(marks.orders, orders);
        assert_eq!(marks.unreadable, 0);
    }

    #[test]
    fn marks_that_lack_something_are_counted() {
        let page = r#"<p data-order="o-1"><p data-order=o-2 data-state=lost data-total=1 data-currency=eur>
            <p data-order=o-3 data-state=paid data-total=1.5 data-currency=eur><i data-sku=tea data-price=-1 data-available=1>"#;
        let marks = Marks::of(page);
        assert_eq!((marks.unreadable, marks.orders.len(), marks.products.len()), (4, 0, 0));
    }

    #[test]
    fn of_a_page_that_is_cut_off_whole_marks_count() {
        let mark = "<p data-order=o-1 data-state=paid data-currency=eur data-total=\"1200\">";
        let page = format!("{mark}<br>{mark}");
        for end in 0..=page.len() {
            let marks = Marks::of(&page[..end]);
            let whole = usize::from(end >= mark.len()) + usize::from(end == page.len());
            assert_eq!((marks.orders.len(), marks.unreadable), (whole, 0), "{}", &page[..end]);
            assert!(marks.orders.iter().all(|mark| mark.total == 1200), "{}", &page[..end]);
        }
    }

    #[test]
    fn what_is_cut_off_or_no_markup_ends() {
        for page in [
            "",
            "<",
            "<p",
            "<p a",
            "<p a=",
            "<p a='x",
            "<p =>",
            "<p ==x ü=ü>",
            "a < b > c",
            "<!-- x",
            "<script>",
            "</p>",
            "&",
        ] {
            assert_eq!(Marks::of(page), Marks::default(), "{page}");
        }
    }
}
