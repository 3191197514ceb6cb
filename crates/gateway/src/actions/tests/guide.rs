//! The guide's examples: each route is made, and each exchange runs as it is told.

use super::*;

const GUIDE: &str = include_str!("../../../../../docs/gateway/actions.md");

/// A fenced block with its tag.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let fenced = GUIDE.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a block has a first line")).collect()
}

/// The route that a block of YAML is.
fn route(text: &str) -> Route {
    let Json::Object(mut fields) = yaml::read(text) else { panic!("a route is a mapping") };
    fields.remove("name").expect("a route has a name");
    fields.remove("to");
    let matching = fields.remove("match").unwrap_or(json!({}));
    Route::new(matching, Json::Object(fields))
}

/// The messages of an exchange, by who sends them: lines that begin with that, and what is indented below them.
fn messages(exchange: &str) -> Vec<(&str, String)> {
    let mut lines = exchange.lines();
    let asked = lines.next().expect("it has a first line");
    let asked = asked.strip_prefix("client asks: ").unwrap_or(asked);
    let mut messages = vec![("client asks", asked.to_owned())];
    for line in lines {
        match line.strip_prefix("    ") {
            Some(more) => messages.last_mut().expect("somebody sends it").1 += &format!("\n{more}"),
            // Before a body.
            None if line.is_empty() => messages.last_mut().expect("somebody sends it").1.push('\n'),
            None => {
                let (who, first) = line.split_once(": ").expect("somebody sends something");
                messages.push((who, first.to_owned()));
            }
        }
    }
    messages
}

fn run(route: &Route, exchange: &str) {
    let messages = messages(exchange);
    let whos: Vec<&str> = messages.iter().map(|(who, _)| *who).collect();
    let texts: Vec<&str> = messages.iter().map(|(_, text)| &**text).collect();
    match (&*whos, &*texts) {
        (["client asks", "service sees"], [asked, sent]) => {
            assert_eq!(route.sent(asked).trim_end(), *sent, "{exchange}");
        }
        (["client asks", "service answers", "client gets"], [asked, answered, got]) => {
            let passed = route.pass(asked, answered);
            assert!(passed.sent.is_some(), "{exchange}");
            assert_eq!(passed.got.trim_end(), *got, "{exchange}");
        }
        (["client asks", "client gets"], [asked, got]) => {
            assert_eq!(route.got(asked).trim_end(), *got, "{exchange}");
        }
        _ => panic!("{whos:?} is no exchange"),
    }
}

#[test]
fn the_guide_tells_what_happens() {
    let (mut last, mut count) = (None, 0);
    for (tag, text) in blocks() {
        match tag {
            "yaml" => last = Some(route(text)),
            "text" => {
                let route = last.as_ref().expect("a route stands before what it does");
                let exchanges = text.trim_end().split("\n\nclient asks: ");
                exchanges.for_each(|exchange| run(route, exchange));
                count += 1;
            }
            other => panic!("{other:?} is not run"),
        }
    }
    assert!(count >= 6, "each action has an example");
}

#[test]
fn the_guide_has_every_field() {
    let schemas = [
        schemars::schema_for!(Config),
        schemars::schema_for!(rewrite::Config),
        schemars::schema_for!(super::super::headers::Config),
        schemars::schema_for!(super::super::headers::Changes),
        schemars::schema_for!(redirect::Config),
        schemars::schema_for!(answer::Config),
        schemars::schema_for!(super::super::cors::Config),
        schemars::schema_for!(super::super::security::Config),
    ];
    for schema in schemas {
        let schema = schema.to_value();
        for name in schema["properties"].as_object().unwrap().keys() {
            assert!(GUIDE.contains(&format!("`{name}`")), "the guide does not speak of `{name}`");
        }
    }
}
