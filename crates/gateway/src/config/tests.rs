//! The examples of the guide, and that it leaves nothing out.

use std::collections::BTreeSet;

use mainstay_resilience::fault;
use serde_json::{Value as Json, json};

use super::*;

const GUIDE: &str = include_str!("../../../../docs/gateway/stages.md");

/// A route with this besides what it needs, among definitions with the services `a` and `b`.
fn definitions(more: &Json) -> Definitions {
    let mut route = json!({ "name": "r", "to": { "service": "a" } });
    let fields = more.as_object().expect("an object");
    route.as_object_mut().expect("an object").extend(fields.clone());
    let service = json!({ "endpoints": ["127.0.0.1:1"] });
    let read =
        |name: &str| (name.parse().expect("a name"), serde_json::from_value(service.clone()).expect("one"));
    Definitions {
        services: [read("a"), read("b")].into(),
        listeners: ["inside", "public"].map(mainstay_base::id::Name::from_static).into(),
        routes: vec![serde_json::from_value(route).unwrap_or_else(|error| panic!("{more}: {error}"))],
        ..Definitions::default()
    }
}

#[test]
fn the_examples_of_the_guide_are_valid() {
    let blocks = GUIDE.split("```json\n").skip(1).map(|text| text.split("```").next().unwrap_or_default());
    let mut count = 0;
    for block in blocks {
        let more = serde_json::from_str(block).unwrap_or_else(|error| panic!("{block}: {error}"));
        let definitions = definitions(&more);
        assert_eq!(definitions.check(), [], "{block}");
        let rules = definitions.routes[0].rules().collect();
        assert_eq!(fault::Config { faults: fault::Faults::Allowed, rules }.check(), Ok(()), "{block}");
        count += 1;
    }
    assert!(count >= 2, "there are examples");
}

#[test]
fn the_guide_has_every_field_that_no_other_page_has() {
    for schema in [schemars::schema_for!(Target), schemars::schema_for!(access::Config)] {
        let schema = schema.to_value();
        for name in schema["properties"].as_object().expect("an object").keys() {
            let told = [format!("`{name}`"), format!("`to.{name}"), format!("`to: {{ {name}")];
            assert!(told.iter().any(|told| GUIDE.contains(told)), "the guide does not speak of `{name}`");
        }
    }
    for name in ["policy", "criticality", "mirror", "limit", "faults", "access_log"] {
        assert!(GUIDE.contains(name), "the guide does not speak of `{name}`");
    }
}

#[test]
fn routes_that_do_not_fit_are_told_at_their_places() {
    for (more, path, message) in [
        (json!({ "to": null }), "routes.0", "has no `to`"),
        (json!({ "to": { "service": "c" } }), "routes.0.to.service", "there is no service `c`"),
        (
            json!({ "to": { "split": [{ "service": "c", "weight": 1 }] } }),
            "routes.0.to.split.0.service",
            "`c`",
        ),
        (json!({ "to": {} }), "routes.0.to", "names no `service`"),
        (json!({ "mirror": { "service": "c" } }), "routes.0.mirror.service", "there is no service `c`"),
        (
            json!({ "match": { "listeners": ["inside", "insid"] } }),
            "routes.0.match.listeners.1",
            "there is no listener `insid`",
        ),
        (json!({ "policy": "p" }), "routes.0.policy", "there is no policy `p`"),
        (json!({ "limit": [{ "rate": "1/s", "keys_max": 0 }] }), "routes.0.limit.0", "keys_max"),
        (json!({ "body": { "max": "2TiB" } }), "routes.0.body", "at most 1TiB"),
        (json!({ "answer": { "body": "x" } }), "routes.0.to", "is sent nothing"),
        (json!({ "redirect": { "to": "/{rest}" } }), "routes.0.redirect.to", "{rest}"),
        (
            json!({ "to": null, "answer": { "body": "x" }, "limit": [{ "rate": "1/s" }] }),
            "routes.0.limit",
            "does nothing",
        ),
        (
            json!({ "to": null, "redirect": { "to": "/" }, "mirror": { "service": "a" } }),
            "routes.0.mirror",
            "does nothing",
        ),
    ] {
        let found = definitions(&more).check();
        let told = found.iter().find(|it| it.path.join(".") == path && it.message.contains(message));
        assert!(told.is_some(), "{more}: {found:?}");
    }
    let limit = json!({ "rate": "1/s" });
    let found = definitions(&json!({ "limit": vec![limit; 5] })).check();
    assert_eq!(found[0].message, "has 5 limits, and there are at most 4");
}

#[test]
fn a_name_of_a_listener_that_is_not_there_is_told_with_those_that_are() {
    let named = json!({ "match": { "listeners": ["inside", "public"] } });
    assert_eq!(definitions(&named).check(), []);
    let helps = |definitions: &Definitions| -> Vec<Option<String>> {
        definitions.check().into_iter().map(|it| it.help).collect()
    };
    let wrong = definitions(&json!({ "match": { "listeners": ["outside"] } }));
    assert_eq!(helps(&wrong), [Some("`listen.gateway` has inside, public".to_owned())]);
    let none = Definitions { listeners: BTreeSet::new(), ..definitions(&named) };
    assert_eq!(
        helps(&none),
        [(); 2].map(|()| Some("give a listener of `listen.gateway` this `name`".to_owned()))
    );
}

#[test]
fn a_program_is_told_of_a_listener_that_is_there() {
    let told_of = |name: &str| {
        let service = json!({ "run": { "command": ["x"], "gateway": name } });
        let service = serde_json::from_value(service).expect("a service");
        let plain = definitions(&json!({}));
        let services = [("a".parse().expect("a name"), service)].into();
        Definitions { services, ..plain }.check()
    };
    assert_eq!(told_of("inside"), []);
    let [wrong] = &told_of("insid")[..] else { panic!("it is one mistake") };
    assert_eq!(wrong.path, ["services", "a", "run", "gateway"]);
    assert_eq!(wrong.message, "there is no listener `insid`");
}
