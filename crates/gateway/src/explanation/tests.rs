//! Explanations of requests under a few routes.

use serde_json::{Value, json};

use super::*;

fn definitions() -> Definitions {
    let routes = json!([
        { "name": "order", "match": { "host": "shop.example", "path": "/orders/{id}" },
          "to": { "split": [{ "service": "one", "weight": 9 }, { "service": "two", "weight": 1 }], "sticky_by": "client.address" },
          "limit": [{ "rate": "50/s" }, { "rate": "5/m", "burst": 9, "and": [{ "rate": "100/h" }], "key": "request.host" }], "rewrite": { "path": "/v2/{id}" }, "security_headers": true },
        { "name": "put", "match": { "path": "/put", "methods": ["PUT"] }, "to": { "service": "two" }, "policy": "once",
          "cors": { "origins": ["https://a.example"], "methods": ["PUT"] } },
        { "name": "inside", "match": { "path": "/put", "methods": ["PUT"], "listeners": ["inside"] }, "to": { "service": "one" } },
        { "name": "ping", "match": { "path": "/ping" }, "answer": { "status": 200, "body": "pong" } },
    ]);
    let services = json!({
        "one": { "endpoints": ["127.0.0.1:1", "127.0.0.1:2"] },
        "two": { "endpoints": ["127.0.0.1:3"], "policy": "often" },
    });
    let policies = json!({ "once": { "retry": false }, "often": {} });
    let all = Definitions {
        policies: serde_json::from_value(policies).expect("policies"),
        services: serde_json::from_value(services).expect("services"),
        routes: serde_json::from_value(routes).expect("routes"),
        listeners: ["inside", "public"].map(Name::from_static).into(),
        has_unnamed_listener: true,
    };
    assert_eq!(all.check(), []);
    all
}

fn explained(method: &str, url: &str, headers: &[(&str, &str)]) -> Value {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    told(json!({ "method": method, "url": url, "headers": headers }))
}

fn told(asked: Value) -> Value {
    let asked: Asked = serde_json::from_value(asked).expect("a question");
    let explained = definitions().explain(&asked, &path::Config::default()).expect("a request");
    serde_json::to_value(explained).expect("plain data")
}

#[test]
fn a_route_is_told_with_where_its_requests_go_and_what_it_does() {
    let told = explained("GET", "http://SHOP.example:8080/a/../orders/%37?x", &[]);
    assert_eq!((&told["host"], &told["path"]), (&json!("shop.example"), &json!("/orders/7")));
    let route = &told["route"];
    assert_eq!((&route["name"], &route["params"]), (&json!("order"), &json!({ "id": "7" })));
    let to = json!([
        { "service": "one", "weight": 9, "endpoints": ["127.0.0.1:1", "127.0.0.1:2"], "policy": "default" },
        { "service": "two", "weight": 1, "endpoints": ["127.0.0.1:3"], "policy": "often" },
    ]);
    assert_eq!((&route["to"], &route["sticky_by"]), (&to, &json!("client.address")));
    let limits = json!(["50/s for each client.network", "5/m, 9 at once, and 100/h for each request.host"]);
    assert_eq!(route["limits"], limits);
    assert_eq!(route["actions"], json!(["rewrite", "security_headers"]));
    assert_eq!(told["others"][0], json!({ "route": "put", "why": "the path is /orders/7, not /put" }));
    assert!(told.get("refused").is_none(), "{told}");
    let answered = explained("GET", "/ping", &[]);
    assert_eq!((&answered["route"]["to"], &answered["route"]["actions"]), (&json!([]), &json!(["answer"])));
}

#[test]
fn a_request_that_no_route_takes_is_told_its_answer() {
    let refused = |method: &str, url: &str| explained(method, url, &[])["refused"].clone();
    assert_eq!(refused("GET", "http://a/orders/7")["status"], 404);
    assert_eq!(refused("GET", "/put"), json!({ "status": 405, "reason": "/put has PUT, and not GET" }));
    let unreadable = refused("GET", "/a%00");
    assert_eq!(unreadable["status"], 400, "{unreadable}");
}

#[test]
fn a_policy_of_a_route_comes_before_that_of_its_service_and_headers_name_the_host() {
    assert_eq!(explained("PUT", "/put", &[])["route"]["to"][0]["policy"], "once");
    let named = explained("GET", "/orders/7", &[("Host", "shop.example:80")]);
    assert_eq!(named["route"]["name"], "order");
}

#[test]
fn a_preflight_is_for_the_route_of_the_request_that_it_asks_about() {
    let headers = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
    let told = explained("OPTIONS", "/put", &headers);
    assert_eq!((&told["route"]["name"], &told["is_preflight"]), (&json!("put"), &json!(true)));
    assert_eq!(explained("OPTIONS", "/put", &headers[..1])["refused"]["status"], 405);
}

#[test]
fn what_is_no_request_is_refused_with_what_to_write() {
    let refused = |method: &str, url: &str, name: &str| {
        let headers = vec![Header { name: name.to_owned(), value: "v".to_owned() }];
        let asked = Asked {
            method: method.to_owned(),
            url: url.to_owned(),
            headers,
            listener: None,
            client: loopback(),
        };
        definitions().explain(&asked, &path::Config::default()).expect_err("it is none")
    };
    assert_eq!(refused("G T", "/", "a"), Error::Method("G T".to_owned()));
    assert_eq!(refused("GET", "shop.example", "a"), Error::Url("shop.example".to_owned()));
    assert_eq!(refused("GET", "ftp://shop.example/", "a"), Error::Url("ftp://shop.example/".to_owned()));
    assert_eq!(refused("GET", "/", "a b"), Error::Header("a b".to_owned()));
}

#[test]
fn a_request_is_explained_for_the_listener_by_which_it_comes() {
    let asked = |listener: &str| json!({ "method": "PUT", "url": "/put", "listener": listener });
    let inside = told(asked("inside"));
    assert_eq!((&inside["route"]["name"], &inside["listener"]), (&json!("inside"), &json!("inside")));
    let why = |told: &Value| {
        let other = told["others"].as_array().expect("a list").iter().find(|it| it["route"] == "inside");
        other.expect("it is another one")["why"].clone()
    };
    let public = told(asked("public"));
    assert_eq!(
        (&public["route"]["name"], why(&public)),
        (&json!("put"), json!("the listener is public, not inside"))
    );
    let unnamed = explained("PUT", "/put", &[]);
    assert_eq!(unnamed["route"]["name"], "put");
    assert_eq!(why(&unnamed), "the listener has no name, and has to be inside");
    let put = inside["others"].as_array().expect("a list").iter().find(|it| it["route"] == "put");
    assert_eq!(put.expect("it is")["why"], "it matches as well, and its listeners are less specific");
    let asked: Asked = serde_json::from_value(asked("outside")).expect("a question");
    let error = definitions().explain(&asked, &path::Config::default()).expect_err("there is none");
    assert_eq!(error.to_string(), "there is no listener `outside`: `listen.gateway` has inside, public");
}

#[test]
fn where_all_listeners_have_names_it_is_asked_for_one_unless_all_do_the_same() {
    let definitions = Definitions { has_unnamed_listener: false, ..definitions() };
    let explain = |definitions: &Definitions, asked: Value| {
        let asked: Asked = serde_json::from_value(asked).expect("a question");
        definitions.explain(&asked, &path::Config::default())
    };
    let put = json!({ "method": "PUT", "url": "/put" });
    let error = explain(&definitions, put.clone()).expect_err("it depends on the listener");
    let told = error.to_string();
    assert!(told.contains("by inside the route inside, by public the route put; name one"), "{told}");
    assert_eq!(error.code(), Code::Invalid);
    // One that an expression tells apart.
    let mut by_expression = definitions.clone();
    let when = json!({ "path": "/ping", "when": "request.listener == 'inside'" });
    by_expression.routes[3].matching = serde_json::from_value(when).expect("a match");
    let told = explain(&by_expression, json!({ "method": "GET", "url": "/ping" })).expect_err("likewise");
    assert!(told.to_string().contains("by inside the route ping, by public 404"), "{told}");
    // The same by each: for the first of them.
    let alike = explain(&definitions, json!({ "method": "GET", "url": "/ping" })).expect("a request");
    assert_eq!(alike.route.expect("it is taken").name.as_str(), "ping");
    assert_eq!(alike.listener, Some(Name::from_static("inside")));
    assert_eq!(
        explain(&definitions, json!({ "method": "GET", "url": "/a%00" })).expect("one").listener,
        alike.listener
    );
    let only = Definitions { listeners: [Name::from_static("inside")].into(), ..definitions };
    assert_eq!(
        explain(&only, put).expect("the only way").route.expect("it is taken").name.as_str(),
        "inside"
    );
}

#[test]
fn a_preflight_is_matched_by_its_listener_too() {
    let preflight = |listener: &str| {
        let headers = json!([{ "name": "Origin", "value": "https://a.example" }, { "name": "Access-Control-Request-Method", "value": "PUT" }]);
        told(json!({ "method": "OPTIONS", "url": "/put", "headers": headers, "listener": listener }))
    };
    assert_eq!(preflight("public")["route"]["name"], "put");
    // The route that takes PUT there has no rules for scripts.
    assert_eq!(preflight("inside")["refused"]["status"], 405);
}
