//! The table of codes: complete, consistent, and the wire words that callers depend on.

use std::collections::HashSet;

use super::*;

#[test]
fn the_wire_words_agree_with_serde_and_the_schema() {
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert_eq!(serde_json::from_value::<Code>(code.to_string().into()).unwrap(), code);
    }
    // The schema is derived from the enum, so that it also knows a code that was left out of ALL.
    let schema = schemars::schema_for!(Code).to_value();
    let in_schema: HashSet<String> = schema["oneOf"]
        .as_array()
        .expect("documented variants")
        .iter()
        .map(|variant| variant["const"].as_str().expect("a word").to_owned())
        .collect();
    assert_eq!(in_schema, Code::ALL.iter().map(ToString::to_string).collect());
}

#[test]
fn codes_are_in_the_order_of_their_numbers_and_blame_whom_http_blames() {
    assert!(Code::ALL.is_sorted_by_key(|code| code.status()));
    for code in Code::ALL {
        let quota = code == Code::QuotaExceeded;
        let blamed = if code.status() < 500 || quota {
            code.fault() == Fault::Caller
        } else {
            code.fault() != Fault::Caller
        };
        assert!(blamed, "{code}");
        assert!(!code.title().is_empty() && !code.title().ends_with('.'), "{code}");
    }
    assert_eq!(Code::ALL.iter().map(|code| code.title()).collect::<HashSet<_>>().len(), Code::ALL.len());
}

#[test]
fn what_may_have_happened_is_never_safe_to_repeat() {
    for code in [Code::Internal, Code::BadGateway, Code::Deadline, Code::OutcomeUnknown] {
        assert_eq!(code.retry(), Retry::WithIdempotencyKey, "{code}");
    }
}

#[test]
fn an_error_may_know_better_than_its_code() {
    struct Plain;
    impl Classify for Plain {
        fn code(&self) -> Code {
            Code::Unavailable
        }
    }
    struct Knowing;
    impl Classify for Knowing {
        fn code(&self) -> Code {
            Code::Unavailable
        }
        fn fault(&self) -> Fault {
            Fault::Peer
        }
        fn retry(&self) -> Retry {
            Retry::Safe
        }
    }
    assert_eq!((Plain.fault(), Plain.retry()), (Fault::Us, Retry::After(Duration::from_secs(1))));
    assert_eq!((Knowing.fault(), Knowing.retry()), (Fault::Peer, Retry::Safe));
}

#[test]
fn retries_have_their_wire_words() {
    let delay = Duration::from_millis(20);
    assert_eq!(Retry::Never.to_string(), "never");
    assert_eq!(Retry::Safe.to_string(), "safe");
    assert_eq!(Retry::WithIdempotencyKey.to_string(), "with_idempotency_key");
    assert_eq!(Retry::After(delay).to_string(), "after");
    assert_eq!((Retry::After(delay).after(), Retry::Safe.after()), (Some(delay), None));
}
