//! What expressions mean, what they cost, and what is refused.

use proptest::prelude::*;

use super::*;

const VALUE: &str = r#" {"open": 2, "state":"new", "big":18446744073709551615, "price": 0.10, "neg":-3, "e":1e3,
    "tags":["a","b",null], "in": {"a": {"b": [1, {"c": true}]}}, "nothing":null, "\u00e9\n":"\ud83d\ude00",
    "items":[{"n":1,"ok":true},{"n":2,"ok":false}], "empty":[], "none":{}, "flag":true, "huge": 1e400} "#;

fn holds(source: &str) -> Result<bool, Error> {
    let expression = Expression::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let mut steps = 10_000;
    expression.holds(&Item { value: Some(VALUE), version: Some("1-2f"), exists: true }, &mut steps)
}

#[track_caller]
fn all_hold(sources: &[&str]) {
    for source in sources {
        assert_eq!(holds(source), Ok(true), "{source}");
    }
}

#[track_caller]
fn fail(sources: &[(&str, &str)]) {
    for (source, words) in sources {
        match holds(source) {
            Err(error) => assert!(error.to_string().contains(words), "{source}: {error}"),
            Ok(result) => panic!("{source}: {result}"),
        }
    }
}

#[track_caller]
fn refused(source: &str, at: usize, words: &str) {
    let error = Expression::parse(source).expect_err(source);
    assert!(error.at == at && error.reason.contains(words), "{source}: {error}");
}

#[test]
fn the_item_is_seen_as_it_is() {
    all_hold(&[
        "value.open < 3",
        "value.open == 2 && value.state == 'new'",
        "value['in'].a.b[1].c",
        "value[\"in\"][\"a\"].b[0] == 1",
        "value.price == 0.1",
        "value.neg == -3 && value.e == 1000.0 && value.e == 1000",
        "value.big == 18446744073709551615u",
        "value.tags[2] == null && value.nothing == null",
        "value['é\\n'] == '\u{1F600}'",
        "exists && version == '1-2f'",
        "has(value.open) && !has(value.closed) && has(value.nothing)",
        "'open' in value && !('closed' in value) && 'b' in value.tags && !(1 in value.tags)",
        "size(value.tags) == 3 && value.tags.size() == 3 && size(value.none) == 0 && size('é\u{1F600}') == 2",
        "value.flag",
    ]);
    let absent = Expression::parse("!exists && value == null && version == null").unwrap();
    assert_eq!(absent.holds(&Item { value: None, version: None, exists: false }, &mut 100), Ok(true));
}

#[test]
fn operators_are_those_of_cel() {
    all_hold(&[
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9",
        "7 / 2 == 3 && -7 / 2 == -3 && -7 % 3 == -1 && 7.0 / 2.0 == 3.5",
        "1 < 2 && 2 <= 2 && 3 > 2 && 2 >= 2 && 1 != 2",
        "1 == 1.0 && 1u == 1 && 2 > 1.5 && 1u < 2 && -1 < 1u && 1.5 < 2u",
        "9007199254740993 > 9007199254740992.0",
        "18446744073709551615u < 18446744073709551616.0",
        "'a' < 'b' && 'a' + 'b' == 'ab' && false < true",
        "1 != '1' && null != 0 && [1] != {} && true != 1",
        "[1, 2.0] == [1u, 2] && [1] + [2] == [1, 2] && [] == value.empty",
        "{'a': 1, 'b': [2]} == {'b': [2.0], 'a': 1u} && {'a': 1} != {'a': 2} && {} == value.none",
        "{'a': {'b': [1, {'c': true}]}} == value['in']",
        "{1: 'x', true: 'y', 'k': 'z'}[1u] == 'x'",
        "1 in {1: 2} && !(2 in {1: 2}) && has({'a': 1}.a)",
        "true ? true : 1 / 0 == 0",
        "false ? false : true ? true : false",
        "!false && !!true && -(-1) == 1 && --1 == 1 && - 1 == -1",
        "-9223372036854775808 < 0 && 0xff == 255 && 0x10u == 16u && .5 == 0.5 && 1e2 == 100.0",
        "0.0 / 0.0 != 0.0 / 0.0 && !(0.0 / 0.0 < 1.0) && 1.0 / 0.0 > 1e308",
        "'a\\n\\x41\\u0042\\U00000043\\104\\'' == \"a\\nABCD'\" && r'\\n' == '\\\\n' && '''a\n'b''' == \"a\\n'b\"",
        "true // a remark",
    ]);
}

#[test]
fn functions_and_macros_are_those_of_cel() {
    all_hold(&[
        "'abc'.contains('b') && 'abc'.startsWith('ab') && 'abc'.endsWith('') && !'abc'.contains('d')",
        "int('7') == 7 && int(7.9) == 7 && int(-7.9) == -7 && uint(7) == 7u && double(1) == 1.0",
        "string(7) == '7' && string(true) == 'true' && string(1.5) == '1.5' && double('1e2') == 100.0 && dyn(1) == 1",
        "value.items.all(i, i.n > 0) && !value.items.all(i, i.ok) && value.empty.all(i, false)",
        "value.items.exists(i, i.ok) && !value.empty.exists(i, true)",
        "value.items.exists_one(i, i.ok) && !value.items.exists_one(i, i.n > 0)",
        "value.items.filter(i, i.ok).map(i, i.n) == [1] && value.items.map(i, i.ok, i.n * 2) == [2]",
        "{'a': 1, 'b': 2}.all(k, k < 'c') && value['in'].exists(k, k == 'a')",
        "[1, 2].all(x, [3, 4].all(y, y > x)) && [1].all(x, [2].all(x, x == 2) && x == 1)",
    ]);
}

#[test]
fn a_term_that_decides_hides_the_failure_of_another() {
    all_hold(&[
        "true || value.closed == 1",
        "value.closed == 1 || true",
        "!(value.closed == 1 && false)",
        "!(false && 1 / 0 == 1)",
        "[0, 1].exists(x, 1 / x == 1)",
        "![0, 2].all(x, 1 / x == 1)",
    ]);
    fail(&[
        ("value.closed == 1 || false", "no member \"closed\""),
        ("true && 1 / 0 == 1", "division by zero"),
        ("[0].exists(x, 1 / x == 2)", "division by zero"),
        ("[0, 1].exists_one(x, 1 / x == 1)", "division by zero"),
        ("1 || false", "|| does not take int"),
    ]);
}

#[test]
fn what_has_no_result_says_why() {
    fail(&[
        ("value.closed", "there is no member \"closed\": guard it by has()"),
        ("value.open.x", "int has no member \"x\""),
        ("value.nothing.x", "null has no member"),
        ("value.tags[3] == 1", "no such element"),
        ("value.tags[-1] == 1", "no such element"),
        ("value['x'] == 1", "no such element"),
        ("value.tags['a'] == 1", "[ ] does not take list and string"),
        ("1 + 1.0 == 2.0", "does not take int and double"),
        ("1 < 'a'", "does not take int and string"),
        ("9223372036854775807 + 1 > 0", "out of the range"),
        ("-9223372036854775808 - 1 > 0", "out of the range"),
        ("-9223372036854775808 / -1 > 0", "out of the range"),
        ("-9223372036854775808 % -1 == 0", "out of the range"),
        ("-(-9223372036854775808) > 0", "out of the range"),
        ("0u - 1u > 0u", "out of the range"),
        ("1 % 0 == 0", "division by zero"),
        ("int(1e19) == 0", "out of range"),
        ("int('x') == 0", "out of range"),
        ("uint(-1) == 0u", "out of range"),
        ("{'a': 1, 'a': 2} == {}", "one key twice"),
        ("{1.5: 1} == {}", "cannot be the key"),
        ("value.huge > 1.0", "out of the range of double"),
        ("[1].all(x, x)", "must be bool"),
        ("1.all(x, true)", "int has no elements"),
        ("value.open", "its result is int"),
        ("value", "its result is map"),
        ("null ? true : false", "? does not take null"),
        ("size(1) == 1", "size() does not take int"),
        ("has(value.open.x)", "int has no members"),
    ]);
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    refused("values.open", 0, "there is no \"values\": there are value, version and exists");
    refused("value.state.matches('n.*')", 12, "regular expressions are not supported");
    refused("timestamp('x') > 1", 0, "times and durations");
    refused("b'x' == b'x'", 0, "bytes are not supported");
    refused("type(1) == int", 0, "types are not values");
    refused("Order{id: 1}", 0, "there is no \"Order\"");
    refused("value{id: 1}", 5, "messages are not supported");
    refused("value.`a`", 6, "backticks");
    refused("frob(1)", 0, "there is no function \"frob\"");
    refused("value.frob()", 6, "there is no function \"frob\"");
}

#[test]
fn mistakes_are_named_with_their_place() {
    refused("", 0, "expected a value, found the end");
    refused("1 +", 3, "expected a value, found the end");
    refused("(1", 2, "expected \")\"");
    refused("1 2", 2, "the expression ends before a number");
    refused("value. == 1", 7, "expected a name after the dot");
    refused("'abc", 0, "close the quotes");
    refused("'a\nb'", 2, "a line ends within quotes");
    refused("'\\q'", 1, "no such escape");
    refused("'\\ud800'", 1, "no such escape");
    refused("9223372036854775808", 0, "out of range");
    refused("99999999999999999999", 0, "out of range");
    refused("1e999", 0, "out of range");
    refused("1a", 0, "a number ends where a name begins");
    refused("1 = 1", 2, "the expression ends before \"=\"");
    refused("has(value)", 0, "has() takes a field");
    refused("[1].all(1, true)", 8, "takes the name of a variable");
    refused("[1].all(x)", 9, "expected \",\"");
    refused("[1].all(x, true, true)", 4, "takes a variable and an expression");
    refused("size(1, 2)", 0, "takes one argument");
    refused("value ? 1", 9, "expected \":\"");
    refused("#", 0, "there is no operator '#'");
    refused("é", 0, "there is no operator 'é'");
    let long = "1 + ".repeat(600);
    refused(&long, 2048, "it has 2400 bytes, and at most 2048");
}

#[test]
fn nesting_is_limited_in_every_form() {
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{1:", "1", "}"),
        ("!", "true", ""),
        ("-", "1u", ""),
        ("size(", "[]", ")"),
        ("", "1", "+1"),
        ("", "value", ".a"),
        ("", "value", "[0]"),
        ("true?1:", "1", ""),
        ("[0].map(x,", "x", ")"),
        ("has(", "value.a", ".b)"),
        ("", "'a'", ".size()"),
    ] {
        let source = format!("{}{inner}{}", open.repeat(100), close.repeat(100));
        let error = Expression::parse(&source).expect_err(&source);
        assert!(
            error.reason.contains("nested more than 64 deep") || error.reason.contains("has() takes"),
            "{source}: {error}"
        );
    }
    assert_eq!(holds(&format!("{}true{}", "(".repeat(60), ")".repeat(60))), Ok(true));
    let many = vec!["(1 < 2)"; 200].join("&&");
    assert_eq!(holds(&many), Ok(true), "many terms are not deep");
}

#[test]
fn every_expression_ends_within_its_steps() {
    let numbers = (0..1000).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let text = format!("{{\"n\":[{numbers}],\"t\":\"{}\"}}", "x".repeat(10_000));
    let cost = |source: &str| {
        let mut steps = 100_000;
        let result = Expression::parse(source)
            .unwrap()
            .holds(&Item { value: Some(&text), version: None, exists: true }, &mut steps);
        result.map(|_| 100_000 - steps)
    };
    for hostile in [
        "value.n.all(a, value.n.all(b, value.n.all(c, a + b + c >= 0)))",
        "value.n.map(a, value.n.map(b, value.n)) == []",
        "value.n.map(a, value.t + value.t + value.t + value.t) == []",
        "value.n.all(a, value.n == value.n)",
        "value.n.all(a, value.t.contains(value.t))",
        "value.n.all(a, size(value.t) > 0)",
        "[value.t].all(t, value.n.all(a, t.contains(t)))",
        "[value.t].all(t, value.n.all(a, t.startsWith(t)))",
        "[value.t].all(t, value.n.all(a, size(t) > 0))",
        "[value.t].all(t, value.n.all(a, t == t))",
        "[value.t].all(t, value.n.all(a, t <= t))",
        "[value.t].all(t, value.n.all(a, string(t) == ''|| true))",
        "[value.t].all(t, value.n.map(a, t + t) == [])",
        "value.n.all(a, value.n[999] == 999)",
        "value.n.all(a, a in value.n)",
        "value.n.all(a, !has(value.x) || true)",
        "value.n.all(a, string(value.t) == value.t)",
        "value.n.filter(a, value.n.filter(b, true) != []) == [] || true",
    ] {
        assert_eq!(cost(hostile), Err(Error::Steps), "{hostile}");
    }
    assert!(cost("size(value.n) == 1000").unwrap() < 2_000);
    assert!(cost("value.t.startsWith('x')").unwrap() < 1_500);
    let mut none = 0;
    let item = Item { value: None, version: None, exists: false };
    assert_eq!(Expression::parse("true").unwrap().holds(&item, &mut none), Err(Error::Steps));
    assert_eq!(Expression::parse("true || true").unwrap().holds(&item, &mut 2), Ok(true));
}

#[test]
fn expressions_are_the_same_when_their_texts_are() {
    let parse = |source| Expression::parse(source).unwrap();
    assert_eq!(parse("exists"), parse("exists"));
    assert_ne!(parse("exists"), parse(" exists"));
    assert_eq!(format!("{:?}", parse("exists")), "Expression(\"exists\")");
}

const WORDS: &[&str] = &[
    "value",
    ".a",
    ".b",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "1",
    "0",
    "-",
    "+",
    "*",
    "/",
    "%",
    "9223372036854775807",
    "1u",
    "'x'",
    "\"",
    "\\",
    "?",
    ":",
    "&&",
    "||",
    "!",
    "==",
    "<",
    " in ",
    "has(",
    ".all(x,",
    ".map(x,",
    "x",
    ",",
    "1.5",
    "null",
    "size(",
    "int(",
    "string(",
    ".contains(",
    "\n",
    "true",
    "é",
    "'\\u00e9'",
    "exists",
    "version",
    "[1, 2]",
    "{'a': 1}",
    "1e308",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_text_panics(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..16)) {
        crate::fuzz::expression(words.concat().as_bytes());
    }

    #[test]
    fn no_value_panics(json in "[\\[\\]{}:,\"ab1\\\\u0 .e-]{0,16}", place in 0usize..6) {
        let sources = [
            "value.a == 1", "size(value) == 1", "value == [value]", "value.all(x, x == 1)", "value[1] == 'a'", "'a' in value",
        ];
        crate::fuzz::expression(format!("{}\n{json}", sources[place]).as_bytes());
        crate::fuzz::expression(format!("{}\n{{\"a\":{json}}}", sources[place]).as_bytes());
    }
}
