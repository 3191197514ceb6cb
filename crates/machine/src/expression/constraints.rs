//! What an expression says about fields, so that an index can find the items for which it may hold.
//!
//! An expression that is true has no term of its outermost `&&` that is false or fails. A term that is not understood here says
//! nothing; one that is says no more than its evaluation does, which compares values of one kind only.

use std::borrow::Cow;

use super::Item;
use super::parse::{Binary, Function, Kind, Node};
use crate::index::{Constraint, Number, Scalar, What};
use crate::json::Pointer;

pub(super) fn constraints(root: &Node) -> Vec<Constraint<'_>> {
    let mut found = Vec::new();
    collect(root, &mut found);
    found
}

fn collect<'a>(node: &'a Node, found: &mut Vec<Constraint<'a>>) {
    match &node.kind {
        Kind::And(terms) => terms.iter().for_each(|term| collect(term, found)),
        _ => found.extend(constraint(node)),
    }
}

fn constraint(term: &Node) -> Option<Constraint<'_>> {
    let (field, what) = match &term.kind {
        Kind::Field { .. } | Kind::Index(..) => (term, What::Equal(Scalar::Bool(true))),
        Kind::Not(below) => (&**below, What::Equal(Scalar::Bool(false))),
        Kind::Binary(Binary::In, parts) => member(&parts[0], &parts[1])?,
        Kind::Binary(binary, parts) => relation(*binary, &parts[0], &parts[1])?,
        Kind::Call(Function::StartsWith, arguments) => match &arguments[1].kind {
            Kind::Text(text) => (&arguments[0], What::StartsWith(text)),
            _ => return None,
        },
        _ => return None,
    };
    Some(Constraint { path: path(field)?, what })
}

fn relation<'a>(binary: Binary, left: &'a Node, right: &'a Node) -> Option<(&'a Node, What<'a>)> {
    if let Some(bound) = literal(right) {
        return Some((left, compared(binary, bound)?));
    }
    let mirrored = match binary {
        Binary::Less => Binary::Greater,
        Binary::LessOrEqual => Binary::GreaterOrEqual,
        Binary::Greater => Binary::Less,
        Binary::GreaterOrEqual => Binary::LessOrEqual,
        same => same,
    };
    Some((right, compared(mirrored, literal(left)?)?))
}

/// What a field is that stands before the operator, with the bound behind it.
fn compared(binary: Binary, bound: Scalar<'_>) -> Option<What<'_>> {
    match binary {
        Binary::Equal => Some(What::Equal(bound)),
        Binary::Less => Some(What::Below { bound, is_inclusive: false }),
        Binary::LessOrEqual => Some(What::Below { bound, is_inclusive: true }),
        Binary::Greater => Some(What::Above { bound, is_inclusive: false }),
        Binary::GreaterOrEqual => Some(What::Above { bound, is_inclusive: true }),
        _ => None,
    }
}

fn member<'a>(wanted: &'a Node, of: &'a Node) -> Option<(&'a Node, What<'a>)> {
    if let Kind::List(elements) = &of.kind {
        let literals: Option<Vec<_>> = elements.iter().map(literal).collect();
        return Some((wanted, What::OneOf(literals?)));
    }
    Some((of, What::Contains(literal(wanted)?)))
}

/// The path of a field of the item's value.
fn path(mut node: &Node) -> Option<Pointer> {
    let mut steps = Vec::new();
    loop {
        let (of, name) = match &node.kind {
            Kind::Given(Item::VALUE) => break,
            Kind::Field { of, name } => (of, name),
            Kind::Index(of, index) => match &index.kind {
                Kind::Text(name) => (of, name),
                _ => return None,
            },
            _ => return None,
        };
        steps.push(name.as_str());
        node = of;
    }
    // What is too long for a pointer is in no index.
    Pointer::of_steps(steps.into_iter().rev()).ok()
}

fn literal(node: &Node) -> Option<Scalar<'_>> {
    let number = match &node.kind {
        Kind::Null => return Some(Scalar::Null),
        Kind::Bool(literal) => return Some(Scalar::Bool(*literal)),
        Kind::Text(literal) => return Some(Scalar::Text(Cow::Borrowed(literal))),
        Kind::Int(literal) => Some((*literal).into()),
        Kind::Uint(literal) => Some((*literal).into()),
        Kind::Double(literal) => Number::of_double(*literal),
        Kind::Negate(below) => match below.kind {
            Kind::Double(literal) => Number::of_double(-literal),
            _ => None,
        },
        _ => None,
    };
    number.map(Scalar::Number)
}

#[cfg(test)]
mod tests {
    use What::{Above, Below, Contains, Equal, OneOf, StartsWith};

    use super::*;
    use crate::expression::Expression;

    #[track_caller]
    fn says(source: &str, expected: &[(&str, What<'_>)]) {
        let expression = Expression::parse(source).expect(source);
        let found: Vec<_> =
            expression.constraints().into_iter().map(|found| (found.path.to_string(), found.what)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(path, what)| ((*path).to_owned(), what.clone())).collect();
        assert_eq!(found, expected, "{source}");
    }

    fn int(int: i64) -> Scalar<'static> {
        Scalar::Number(int.into())
    }

    fn text(text: &str) -> Scalar<'_> {
        Scalar::Text(text.into())
    }

    #[test]
    fn what_is_said_of_a_field_is_found() {
        let double = |double| Scalar::Number(Number::of_double(double).unwrap());
        says("value.a.b == 1", &[("/a/b", Equal(int(1)))]);
        says("'x' == value[\"a/b\"].c['~']", &[("/a~1b/c/~0", Equal(text("x")))]);
        says("value.a == null", &[("/a", Equal(Scalar::Null))]);
        says("value.a == -1.5", &[("/a", Equal(double(-1.5)))]);
        says("value.a == 18446744073709551615u", &[("/a", Equal(Scalar::Number(u64::MAX.into())))]);
        says("value.a == -9223372036854775808", &[("/a", Equal(int(i64::MIN)))]);
        says("value.a < 1", &[("/a", Below { bound: int(1), is_inclusive: false })]);
        says("1 >= value.a", &[("/a", Below { bound: int(1), is_inclusive: true })]);
        says("1 < value.a", &[("/a", Above { bound: int(1), is_inclusive: false })]);
        says("value.a >= 'x'", &[("/a", Above { bound: text("x"), is_inclusive: true })]);
        says("value.a in [1, 'x', true]", &[("/a", OneOf(vec![int(1), text("x"), Scalar::Bool(true)]))]);
        says("'x' in value.tags", &[("/tags", Contains(text("x")))]);
        says("value.a.startsWith('x')", &[("/a", StartsWith("x"))]);
        says("value.a", &[("/a", Equal(Scalar::Bool(true)))]);
        says("!value['a']", &[("/a", Equal(Scalar::Bool(false)))]);
        says(
            "exists && (value.a == 1 && (value.b || value.c)) && value.a > 0 && value.d",
            &[
                ("/a", Equal(int(1))),
                ("/a", Above { bound: int(0), is_inclusive: false }),
                ("/d", Equal(Scalar::Bool(true))),
            ],
        );
    }

    #[test]
    fn other_terms_say_nothing() {
        for source in [
            "true",
            "1 == 1",
            "1 in [1]",
            "exists",
            "version == '1'",
            "value.a != 1",
            "value.a == value.b",
            "value.a == [1]",
            "value.a == 1 + 1",
            "value.a + 1 == 2",
            "value.a == 1 || value.b == 1",
            "value.a == 1 ? true : false",
            "!(value.a == 1)",
            "!!value.a",
            "-value.a == 1",
            "value.a[0] == 1",
            "value.a[value.b] == 1",
            "value[1u] == 1",
            "value.a in [1, value.b]",
            "value.a in [[1]]",
            "value.a in {'x': 1}",
            "value.a in value.b",
            "value.a.endsWith('x')",
            "value.a.contains('x')",
            "'x'.startsWith(value.a)",
            "value.a.startsWith(version)",
            "size(value.a) == 1",
            "has(value.a)",
            "value.a.all(x, x == 1)",
            "[{'a': 1}].all(value, value.a == 1)",
            "{'a': 1}.a == 1",
            "dyn(value).a == 1",
        ] {
            says(source, &[]);
        }
        let long = format!("value['{}'] == 1", "x".repeat(Pointer::BYTES_MAX));
        says(&long, &[]);
    }
}
