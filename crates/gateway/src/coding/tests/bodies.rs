//! How long bodies may be.

use super::*;

fn limit(bytes: u64) -> BodyLimit {
    BodyLimit { max: Size::from_bytes(bytes) }
}

#[test]
fn a_known_length_above_the_limit_is_refused_before_anything_is_read() {
    let of = |length| Script { length: Some(length), ..Script::cut(b"0123456789", 3) };
    assert!(bound(of(10), limit(10)).is_ok());
    let refusal = bound(of(11), limit(10)).err().unwrap();
    assert_eq!(refusal, Refusal::Long { max: Size::from_bytes(10) });
    assert_eq!(refusal.code().status(), 413);
    assert_eq!(
        refusal.to_string(),
        "the body is longer than 10B, the most that is taken here: send less, or in parts"
    );
}

#[tokio::test]
async fn a_body_that_gets_longer_ends_with_the_error_and_asks_for_no_more() {
    for (max, expected) in [(10, "0123456789"), (9, "012345678"), (8, "012345"), (0, "")] {
        let mut body = bound(Script::cut(b"0123456789", 3), limit(max)).unwrap();
        let outcome = all(&mut body).await;
        assert_eq!(outcome.bytes, expected.as_bytes(), "{max}");
        let refused = matches!(outcome.error, Some(Error::Refused(Refusal::Long { .. })));
        assert_eq!(refused, max < 10, "{max}");
        assert!(body.is_end_stream());
    }
}

#[tokio::test]
async fn trailers_errors_and_lengths_pass() {
    let trailers = headers(&[("x-sum", "7")]);
    let steps = [Step::Data("text".into()), Step::Trailers(trailers.clone())];
    let mut body = bound(Script { length: Some(4), ..Script::new(steps) }, limit(4)).unwrap();
    assert_eq!(body.size_hint().exact(), Some(4));
    assert_eq!(all(&mut body).await.trailers, Some(trailers));
    let mut body = bound(Script::new([Step::Error]), limit(4)).unwrap();
    assert!(matches!(all(&mut body).await.error, Some(Error::Body(Broke))));
}

#[tokio::test]
async fn a_limit_within_a_coding_is_one_error() {
    let text = code(Coding::Gzip, b"longer than that");
    let body = bound(Script::cut(&text, 5), limit(8)).unwrap();
    let mut fields = headers(&[("content-encoding", "gzip")]);
    let mut body = decode(&mut fields, body, &Decompression::default(), &background()).unwrap();
    let error = all(&mut body).await.error.unwrap().flatten();
    assert!(matches!(error, Error::Refused(Refusal::Long { .. })), "{error:?}");
}
