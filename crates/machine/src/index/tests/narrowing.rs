//! What searches keep to, and that they miss nothing.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::*;
use crate::expression::{Expression, Item};

fn narrowed(on: &[&str], source: &str) -> Narrowed {
    narrow(&index(on), &Expression::parse(source).expect(source).constraints())
}

fn is_found(narrowed: &Narrowed, entries: &[Bytes]) -> bool {
    narrowed.spans.iter().any(|span| entries.iter().any(|entry| span.contains(entry)))
}

#[test]
fn leading_fields_and_one_more_narrow_an_index() {
    let on = ["/state", "/total", "/tags"];
    for (source, equal_fields, bound_fields, spans) in [
        ("true", 0, 0, 1),
        ("value.total == 1", 0, 0, 1),
        ("value.state == 'a'", 1, 1, 1),
        ("value.state in ['a']", 1, 1, 1),
        ("value.state in ['b', 'a', 'b'] && value.total == 1", 0, 1, 2),
        ("value.state in ['b', 'a', 'c'] && value.state in ['c', 'd', 'b'] && value.state < 'c'", 1, 1, 1),
        ("value.state.startsWith('a') && value.total == 1", 0, 1, 1),
        ("value.state == 'a' && value.total > 1 && 2 >= value.total", 1, 2, 1),
        ("value.state == 'a' && value.total >= 1 && value.total <= 1.0", 2, 2, 1),
        ("value.state == 'a' && value.total == 1 && 'x' in value.tags && 'y' in value.tags", 2, 3, 2),
        ("value.state == 'a' && value.total == 1 && 1 in value.tags", 3, 3, 1),
        ("value.state && value.total == 1", 2, 2, 1),
        ("value.state == 1 && value.state == 2", 0, 1, 0),
        ("value.state > 2 && value.state < 1", 0, 1, 0),
        ("value.state > 2 && value.state < 'a'", 0, 1, 0),
        ("value.state < false", 0, 1, 0),
        ("value.state in []", 0, 1, 0),
    ] {
        let found = narrowed(&on, source);
        assert_eq!(
            (found.equal_fields, found.bound_fields, found.spans.len()),
            (equal_fields, bound_fields, spans),
            "{source}"
        );
    }
}

#[test]
fn spans_hold_what_is_meant_and_little_else() {
    let on = ["/a", "/b"];
    for (source, inside, outside) in [
        ("value.a > 1", r#"{"a": 1.5}"#, r#"{"a": 1}"#),
        ("value.a >= 1", r#"{"a": 1.0}"#, r#"{"a": "1"}"#),
        ("value.a < 9007199254740993", r#"{"a": 9007199254740992}"#, r#"{"a": 9007199254740993}"#),
        (
            "value.a <= 18446744073709551615u",
            r#"{"a": 18446744073709551615}"#,
            r#"{"a": 18446744073709551616}"#,
        ),
        ("value.a < 1e308", r#"{"a": -1e400}"#, r#"{"a": null}"#),
        ("value.a < 'b'", r#"{"a": ""}"#, r#"{"a": 1}"#),
        ("value.a > ''", r#"{"a": "\u0000"}"#, r#"{"a": ""}"#),
        ("value.a > 'b'", r#"{"a": "c"}"#, r#"{"a": {}}"#),
        ("value.a <= true", r#"{"a": false}"#, r#"{"a": null}"#),
        ("value.a.startsWith('a')", r#"{"a": "a\u0000"}"#, r#"{"a": "b"}"#),
        ("value.a.startsWith('a\\u0000')", r#"{"a": "a\u0000"}"#, r#"{"a": "a"}"#),
        ("'x' in value.a", r#"{"a": {"x": 1}}"#, r#"{"a": ["y"]}"#),
        ("'x' in value.a", r#"{"a": ["y", "x"]}"#, r#"{"a": []}"#),
        ("1 in value.a", r#"{"a": [1.0]}"#, r#"{"a": {"1": 1}}"#),
        ("value.a == null", r#"{"a": null}"#, "{}"),
        ("value.a in [1, 'x', null]", r#"{"a": "x"}"#, r#"{"a": true}"#),
        ("!value.a && value.b < 0", r#"{"a": false, "b": -1}"#, r#"{"a": false}"#),
    ] {
        let found = narrowed(&on, source);
        let entries = |document| entries(&index(&on), Some(document)).unwrap();
        assert!(is_found(&found, &entries(inside)), "{source} {inside}");
        assert!(!is_found(&found, &entries(outside)), "{source} {outside}");
    }
}

#[test]
fn many_values_share_spans() {
    let list = |count: usize| (0..count).map(|value| value.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(narrowed(&["/a"], &format!("value.a in [{}]", list(64))).spans.len(), 64);
    let shared = narrowed(&["/a"], &format!("value.a in [{}]", list(65)));
    assert_eq!(shared.spans.len(), 33);
    assert!(shared.spans.is_sorted_by(|one, other| one.end <= other.start));
    for value in 0..65 {
        assert!(is_found(&shared, &entries(&index(&["/a"]), Some(&format!("{{\"a\":{value}}}"))).unwrap()));
    }
}

#[test]
fn spans_are_made_of_values() {
    let total = |total: i64| Scalar::Number(total.into());
    let span = Span::above(&total(1), false).after(&[text("a")]);
    for (values, is_inside) in [
        (vec![text("a"), total(2)], true),
        (vec![text("a"), total(1)], false),
        (vec![text("b"), total(2)], false),
        (vec![text("a"), text("x")], false),
    ] {
        assert_eq!(span.contains(&encoded(&values)), is_inside, "{values:?}");
        assert!(Span::of(&[]).contains(&encoded(&values)));
        assert_eq!(Span::of(&[text("a")]).contains(&encoded(&values)), values[0] == text("a"));
        assert!(Span::of(&values).contains(&[&encoded(&values)[..], b"~key"].concat()));
    }
}

/// Names of members, as they are in documents.
const NAMES: [&str; 4] = ["a", "b", "~/\"", "0"];

fn documents() -> impl Strategy<Value = String> {
    let values = scalars().prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|elements| format!("[{}]", elements.join(","))),
            objects(inner),
        ]
    });
    objects(values)
}

fn objects(values: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = |name: &str, value: Option<String>| {
        Some(format!("{}: {}", serde_json::to_string(name).unwrap(), value?))
    };
    proptest::collection::vec(proptest::option::weighted(0.8, values), NAMES.len()).prop_map(move |values| {
        let members: Vec<String> =
            NAMES.iter().zip(values).filter_map(|(name, value)| member(name, value)).collect();
        format!("{{ {} }}", members.join(" , "))
    })
}

/// Mostly such as documents have.
fn paths() -> impl Strategy<Value = Vec<&'static str>> {
    let names = || proptest::sample::select(&NAMES[..]);
    prop_oneof![
        4 => names().prop_map(|name| vec![name]),
        1 => (names(), names()).prop_map(|(outer, inner)| vec![outer, inner]),
    ]
}

fn field(path: &[&str], is_dotted: bool) -> String {
    let step = |name: &&str| {
        if is_dotted && name.starts_with(char::is_alphabetic) {
            format!(".{name}")
        } else {
            format!("[{}]", serde_json::to_string(name).unwrap())
        }
    };
    format!("value{}", path.iter().map(step).collect::<String>())
}

/// The JSON scalar as an expression has it.
fn literal(raw: &str) -> String {
    let is_double = raw.contains(['.', 'e', 'E']);
    match raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        true if raw.parse::<i64>().is_ok() || is_double => raw.to_owned(),
        true if raw.parse::<u64>().is_ok() => format!("{raw}u"),
        true => format!("{raw}.0"),
        false => raw.to_owned(),
    }
}

/// Terms, many of them such that they may hold, some of a form that says nothing.
fn terms() -> impl Strategy<Value = String> {
    let parts = (paths(), any::<bool>(), proptest::collection::vec(scalars(), 1..4), 0usize..16);
    parts.prop_map(|(path, is_dotted, raws, form)| {
        let field = field(&path, is_dotted);
        let literals: Vec<String> = raws.iter().map(|raw| literal(raw)).collect();
        let one = &literals[0];
        match form {
            0 => format!("{field} == {one}"),
            1 => format!("{one} == {field}"),
            2 => format!("{field} < {one}"),
            3 => format!("{field} <= {one}"),
            4 => format!("{field} > {one}"),
            5 => format!("{one} < {field}"),
            6 => format!("{one} >= {field}"),
            7 => format!("{field} in [{}]", literals.join(", ")),
            8 | 9 => format!("{one} in {field}"),
            10 => format!("{field}.startsWith({one})"),
            11 => field,
            12 => format!("!{field}"),
            13 => format!("{field} != {one}"),
            14 => format!("({field} == {one} || has(value.a))"),
            _ => format!("({field} in [{one}] ? true : {field} >= {one})"),
        }
    })
}

/// Forms of terms that hold for many values: `F` is the field and `L` a value that is there.
const FORMS: [&str; 13] = [
    "F == L",
    "F <= L",
    "L <= F",
    "F in [L, 1]",
    "L in F",
    "F.startsWith(L)",
    "F.startsWith('a')",
    "F < 2",
    "-1.5 < F",
    "F < 9007199254740993",
    "F > ''",
    "'b' > F",
    "false < F",
];

/// Terms that may hold for a document, from what stands in it.
fn terms_of(document: &str, path: &[&'static str]) -> Vec<String> {
    let pointer = Pointer::of_steps(path.iter().copied()).unwrap();
    let Ok(Some(mut cursor)) = pointer.find(document) else { return Vec::new() };
    let mut values = vec![cursor.value().unwrap()];
    if let Some(inner) = values[0].strip_prefix('[') {
        values = inner.trim_end_matches(']').split(',').collect();
    }
    let field = field(path, true);
    let terms = |raw: &str| FORMS.map(|form| form.replace('F', &field).replace('L', &literal(raw)));
    values.into_iter().flat_map(terms).collect()
}

/// The expression, if it holds for the document.
fn held(source: &str, document: &str) -> Option<Expression> {
    let item = Item { value: Some(document), version: None, exists: true };
    let expression = Expression::parse(source).ok()?;
    (expression.holds(&item, &mut 100_000) == Ok(true)).then_some(expression)
}

fn joined(terms: &[String]) -> String {
    let terms: String = terms.iter().map(|term| format!(" && {term}")).collect();
    format!("(exists{terms})")
}

proptest! {
    /// Whatever holds for a document, alone and together, finds one of its entries in any index.
    #[test]
    fn no_search_misses_a_document(
        document in documents(),
        others in proptest::collection::vec(terms(), 0..6),
        looked_at in proptest::collection::vec(paths(), 1..4),
        on in proptest::collection::vec(paths(), 0..3),
        chosen in proptest::collection::vec(any::<bool>(), 32),
    ) {
        let terms = looked_at.iter().flat_map(|path| terms_of(&document, path)).chain(others);
        let terms: Vec<_> = terms.filter(|term| held(term, &document).is_some()).collect();
        let chosen = terms.iter().zip(chosen).filter(|(_, is_chosen)| *is_chosen);
        let chosen: Vec<_> = chosen.map(|(term, _)| term.clone()).collect();
        let (left, right) = chosen.split_at(chosen.len() / 2);
        let together = format!("{} && {}", joined(left), joined(right));
        let on: BTreeSet<_> = looked_at.iter().chain(&on).cloned().collect();
        let on: Vec<_> = on.into_iter().map(|path| Pointer::of_steps(path).unwrap()).collect();
        for expression in terms.iter().chain([&together]).filter_map(|source| held(source, &document)) {
            for first in 0..on.len() {
                let rotated = [&on[first..], &on[..first]].concat();
                check(&Index::new(rotated, false).unwrap(), &expression, &document);
                check(&Index::new(vec![on[first].clone()], false).unwrap(), &expression, &document);
            }
        }
    }
}

fn check(index: &Index, expression: &Expression, document: &str) {
    let Ok(entries) = entries(index, Some(document)) else { return };
    let found = narrow(index, &expression.constraints());
    assert!(is_found(&found, &entries), "{expression:?} {document} {index:?}: {found:?} {entries:?}");
    assert!(found.spans.len() <= Narrowed::SPANS_MAX);
    assert!(found.spans.iter().all(|span| span.start < span.end));
    assert!(found.spans.is_sorted_by(|one, other| one.end <= other.start));
    assert!(entries.is_sorted_by(|one, other| one < other));
    for entry in &entries {
        for key in ["\u{1}", "a", "~", "\u{10FFFF}"] {
            let with_key = [&entry[..], key.as_bytes()].concat();
            for span in &found.spans {
                assert_eq!(span.contains(entry), span.contains(&with_key), "{entry:02x?} {key} {span:02x?}");
            }
        }
    }
}
