//! Formulas over the names of a room that does not exist.

use std::cell::Cell;

use super::*;

const NAMES: [&str; 5] = ["call.method", "call.headers", "caller", "claims", "late"];

#[derive(Debug)]
struct Headers(Vec<(&'static str, &'static str)>);

impl Members for Headers {
    fn member(&self, key: &str) -> Option<Given<'_>> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| Given::Text((*value).into()))
    }

    fn names(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        Box::new(self.0.iter().map(|(name, _)| (*name).into()))
    }

    fn bytes(&self) -> usize {
        self.0.len() * 32
    }
}

struct Call {
    headers: Headers,
    asked: Cell<u32>,
}

impl Call {
    fn new() -> Self {
        Self { headers: Headers(vec![("x-user", "ada"), ("accept", "*/*")]), asked: Cell::new(0) }
    }
}

impl Subject for Call {
    fn given(&self, place: usize) -> Given<'_> {
        self.asked.set(self.asked.get() + 1);
        match NAMES[place] {
            "call.method" => Given::Text("GET".into()),
            "call.headers" => Given::Members(&self.headers),
            "caller" => Given::Null,
            "claims" => Given::Json(r#"{"groups":["support"],"age":36}"#),
            _ => Given::Bool(true),
        }
    }
}

fn answer(source: &str) -> Result<Option<String>, Error> {
    let formula = Formula::parse(source, &NAMES).unwrap_or_else(|error| panic!("{source}: {error}"));
    formula.answer(&Call::new(), &mut 1000).map(|answer| answer.into_text().map(Cow::into_owned))
}

#[test]
fn names_have_the_values_that_are_given() {
    for source in [
        "call.method == 'GET' && late && caller == null",
        "call.headers['x-user'] == 'ada' && call.headers.accept == '*/*' && 'X-User' in call.headers",
        "has(call.headers.accept) && !has(call.headers.cookie) && !('cookie' in call.headers) && !(1 in call.headers)",
        "claims.groups.exists(g, g == 'support') && claims.age > 35",
        "size(call.headers) == 2 && call.headers.all(name, call.headers[name] != '')",
        "call.headers == {'accept': '*/*', 'x-user': 'ada'} && call.headers != {} && {} != call.headers",
        "[1].all(call, call == 1) && call.method.startsWith('G')",
    ] {
        let formula = Formula::parse(source, &NAMES).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(formula.holds(&Call::new(), &mut 1000), Ok(true), "{source}");
    }
}

#[test]
fn a_value_is_asked_for_when_it_is_looked_at_and_not_before() {
    for (source, asked) in [("true || late", 0), ("late && late", 2), ("[1, 2].all(x, late)", 2)] {
        let call = Call::new();
        assert_eq!(Formula::parse(source, &NAMES).unwrap().holds(&call, &mut 1000), Ok(true));
        assert_eq!(call.asked.get(), asked, "{source}");
    }
}

#[test]
fn the_answer_is_text_number_or_nothing() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(answer("call.headers['x-user']"), some("ada"));
    assert_eq!(answer("call.method + '-' + string(1)"), some("GET-1"));
    assert_eq!(answer("claims.age"), some("36"));
    assert_eq!(answer("[1u][0]"), some("1"));
    assert_eq!(answer("1.5"), some("1.5"));
    assert_eq!(answer("late"), some("true"));
    assert_eq!(answer("caller"), Ok(None));
    assert_eq!(answer("call.headers"), Err(Error::NotScalar { found: "map" }));
    assert_eq!(answer("claims.groups"), Err(Error::NotScalar { found: "list" }));
    assert!(matches!(answer("call.headers.cookie"), Err(Error::Failed(_))));
    let call = Call::new();
    let formula = Formula::parse("call.headers['x-user']", &NAMES).unwrap();
    let answer = formula.answer(&call, &mut 1000).unwrap();
    assert!(matches!(answer, Answer::Text(Cow::Borrowed("ada"))), "nothing is copied: {answer:?}");
}

#[test]
fn a_name_that_there_is_not_is_refused_with_those_that_there_are() {
    for (source, at, unknown) in [
        ("true && value", 8, "value"),
        ("value.open", 0, "value"),
        ("cal.method", 0, "cal"),
        ("call", 0, "call"),
        ("call == 'x'", 0, "call"),
        ("call['method']", 0, "call"),
        ("call.methd == 'GET'", 0, "call.methd"),
        ("has(call.path)", 4, "call.path"),
        ("callers", 0, "callers"),
    ] {
        let error = Formula::parse(source, &NAMES).expect_err(source);
        let listed = "call.method, call.headers, caller, claims and late";
        assert_eq!(error.reason, format!("there is no {unknown:?}: there are {listed}"), "{source}");
        assert_eq!(error.at, at, "{source}");
    }
    assert_eq!(Formula::parse("a", &["b"]).unwrap_err().reason, "there is no \"a\": there is b");
    assert_eq!(Formula::parse("a", &[]).unwrap_err().reason, "there is no \"a\": there are no names");
}

#[test]
fn looking_into_a_map_is_paid_for() {
    let formula = Formula::parse("call.headers['accept'] == '*/*'", &NAMES).unwrap();
    let mut steps = 1000;
    assert_eq!(formula.holds(&Call::new(), &mut steps), Ok(true));
    assert_eq!(steps, 1000 - 5 - 1 - 2, "five nodes, one comparison, and the map's 64 bytes");
    let mut steps = 6;
    assert_eq!(formula.holds(&Call::new(), &mut steps), Err(Error::Steps));
    let all = Formula::parse("call.headers.all(x, x == x)", &NAMES).unwrap();
    let mut steps = 1000;
    assert_eq!(all.holds(&Call::new(), &mut steps), Ok(true));
    assert_eq!(steps, 1000 - 2 - 8 - 3 - 2 * 4, "two nodes, the keys, their ends, and each body");
    assert_eq!(all.holds(&Call::new(), &mut 9), Err(Error::Steps));
}
