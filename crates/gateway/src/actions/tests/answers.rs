//! Answers without a service.

use super::*;

fn got(answer: Json, asked: &str) -> String {
    Route::new(json!({ "path": "/{rest...}" }), within("answer", answer)).got(asked)
}

const ASKED: &str = "GET http://a.example/x/y?q=%3Cb%3E%22";

#[test]
fn a_route_answers_itself() {
    for (answer, expected) in [
        (json!({}), "200\n"),
        (json!({ "status": 404 }), "404\n"),
        (
            json!({ "body": "" }),
            "200\ncontent-type: text/plain; charset=utf-8\nx-content-type-options: nosniff\n",
        ),
        (
            json!({ "body": "pong", "headers": { "Cache-Control": "no-store", "x-path": "${{ request.path }}" } }),
            "200\ncache-control: no-store\ncontent-type: text/plain; charset=utf-8\nx-content-type-options: nosniff\nx-path: /x/y\n\npong",
        ),
        (
            json!({ "status": 503, "body": { "n": 1, "q": "${{ request.query.q }}" } }),
            "503\ncontent-type: application/json\nx-content-type-options: nosniff\n\n{\"n\":1,\"q\":\"<b>\\\"\"}",
        ),
        (
            json!({ "body": [1, 2], "content_type": "application/problem+json" }),
            "200\ncontent-type: application/problem+json\nx-content-type-options: nosniff\n\n[1,2]",
        ),
        (
            json!({ "body": "<p style='a{b}'>${{ request.query.q }}</p>", "content_type": "Text/HTML; charset=utf-8" }),
            "200\ncontent-type: Text/HTML; charset=utf-8\nx-content-type-options: nosniff\n\n<p style='a{b}'>&lt;b&gt;&quot;</p>",
        ),
        (
            json!({ "body": "<a>${{ request.query.q }}</a>", "content_type": "image/svg+xml" }),
            "200\ncontent-type: image/svg+xml\nx-content-type-options: nosniff\n\n<a>&lt;b&gt;&quot;</a>",
        ),
        (
            json!({ "body": "{\"q\": \"${{ request.query.q }}\"}", "content_type": "application/json" }),
            "200\ncontent-type: application/json\nx-content-type-options: nosniff\n\n{\"q\": \"<b>\\\"\"}",
        ),
        (
            json!({ "body": "a{}", "content_type": "text/css" }),
            "200\ncontent-type: text/css\nx-content-type-options: nosniff\n\na{}",
        ),
    ] {
        assert_eq!(got(answer.clone(), ASKED), expected, "{answer}");
    }
}

#[test]
fn head_is_answered_without_the_body() {
    let answer = json!({ "body": "pong ${{ request.method }}" });
    assert_eq!(
        got(answer, "HEAD http://a.example/"),
        "200\ncontent-length: 9\ncontent-type: text/plain; charset=utf-8\nx-content-type-options: nosniff\n"
    );
    assert_eq!(got(json!({ "status": 204 }), "HEAD http://a.example/"), "204\n");
}

#[test]
fn an_answer_that_cannot_be_made_is_a_problem() {
    let user = "${{ request.headers['x-user'] }}";
    assert!(got(json!({ "body": user }), ASKED).starts_with("500 `answer.body` of the route"));
    assert!(
        got(json!({ "headers": { "x-a": user } }), ASKED)
            .starts_with("500 `answer.headers.x-a` of the route")
    );
}

#[test]
fn what_is_no_answer_says_what_to_write() {
    let of = |answer: Json| json!({ "answer": answer });
    all_wrong(&[
        (of(json!({ "status": 199 })), "`answer.status` is 199"),
        (of(json!({ "status": 600 })), "`answer.status` is 600"),
        (of(json!({ "status": 65535 })), "`answer.status` is 65535"),
        (of(json!({ "status": 204, "body": "a" })), "`answer.body` is never sent with 204"),
        (of(json!({ "status": 205, "body": "a" })), "`answer.body` is never sent with 205"),
        (of(json!({ "status": 304, "body": "a" })), "`answer.body` is never sent with 304"),
        (of(json!({ "content_type": "text/html" })), "`answer.content_type` is that of a body"),
        (of(json!({ "body": "a", "content_type": "html" })), "it is no media type"),
        (of(json!({ "body": "a", "content_type": "text/" })), "it is no media type"),
        (of(json!({ "body": "a", "content_type": "text/html\u{e9}" })), "it is no media type"),
        (of(json!({ "body": [1], "content_type": "text/html" })), "`answer.content_type` is not JSON"),
        (
            of(json!({ "body": "${{ request.path }}", "content_type": "text/javascript" })),
            "no form in which data stays data",
        ),
        (of(json!({ "body": "${{ reqest.path }}" })), "`answer.body` cannot be made"),
        (of(json!({ "headers": { "content-type": "text/html" } })), "is written as `content_type`"),
        (of(json!({ "headers": { "content-length": "1" } })), "cannot be changed"),
    ]);
}

#[test]
fn who_is_to_come_over_tls_is_sent_there_before_it_is_answered() {
    let route = Route::of(json!({ "redirect": { "scheme": "https" }, "answer": { "body": "pong" } }));
    assert!(route.got("GET http://a.example/").starts_with("308"));
    assert!(route.got("GET https://a.example/").ends_with("pong"));
}
