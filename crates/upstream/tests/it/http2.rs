//! HTTP/2, as far as it differs.

use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use mainstay_resilience::Error;
use mainstay_upstream::Payload;
use mainstay_upstream::config::Protocol;

use crate::world::*;

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_held_against_the_service() {
    let script = Script::new().await;
    let policy = r#"{"retry": false, "breaker": {"consecutive": 1}}"#;
    let world = World::speaking(&[script.address()], policy, Protocol::Http2);
    let serve = async {
        let mut connection = script.accept().await;
        // It takes whatever comes and answers nothing but that it is HTTP/2.
        connection.say_bytes(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        connection.swallow().await;
    };
    let call = async {
        for _ in 0..3 {
            let begun = futures_util::stream::iter([Ok(Frame::data(Bytes::from("begun")))]);
            let broken = futures_util::stream::once(async { Err(mainstay_upstream::Error::Body) });
            let payload = Payload::once(StreamBody::new(begun.chain(broken).boxed()));
            let error = world.call(Method::POST, payload).await.expect_err("it breaks off");
            assert!(matches!(error, Error::Service(mainstay_upstream::Error::Body)), "{error}");
        }
    };
    tokio::select! { () = serve => {}, () = call => {} }
}
