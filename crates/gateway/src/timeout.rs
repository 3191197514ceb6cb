//! How long a client says that it waits.

use http::HeaderMap;
use mainstay_base::error::Code;
use mainstay_base::problem::Problem;
use mainstay_base::units::Duration;

use crate::noted::{Note, Noted};

/// What `Mainstay-Timeout` says, or `grpc-timeout`; the sooner of both, and none if neither is there. Errors: what is wrong with one of them.
pub(crate) fn asked(headers: &HeaderMap, noted: Noted) -> Result<Option<Duration>, Problem> {
    let mut asked = None;
    for note in [Note::Timeout, Note::GrpcTimeout] {
        if !noted.has(note) {
            continue;
        }
        let said = one(headers, note)?;
        asked = Some(asked.map_or(said, |other: Duration| other.min(said)));
    }
    Ok(asked)
}

fn one(headers: &HeaderMap, note: Note) -> Result<Duration, Problem> {
    let mut values = headers.get_all(note.header()).iter();
    let text = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let (shown, said, expected) = match note {
        Note::GrpcTimeout => ("grpc-timeout", Duration::from_grpc(text), Duration::GRPC_EXPECTED),
        _ => ("Mainstay-Timeout", text.parse().ok(), "a duration with its unit, such as `250ms`"),
    };
    match (said, values.next()) {
        (Some(said), None) => Ok(said),
        (_, other) => {
            let why = if other.is_some() { "stands more than once" } else { "is no timeout" };
            let detail = format!("the header `{shown}` {why}: send {expected}, once");
            Err(Problem::new(Code::Malformed, detail).fact("header", shown).fact("expected", expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[(&'static str, &'static str)]) -> Result<Option<Duration>, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        asked(&headers, Noted::of(&headers)).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn the_sooner_of_what_is_said_is_taken() {
        assert_eq!(said(&[("accept", "a")]), Ok(None));
        assert_eq!(said(&[("mainstay-timeout", "1.5s")]), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(said(&[("grpc-timeout", "250m")]), Ok(Some(Duration::from_millis(250))));
        let both = |own, grpc| said(&[("mainstay-timeout", own), ("grpc-timeout", grpc)]);
        assert_eq!(both("1s", "300m"), Ok(Some(Duration::from_millis(300))));
        assert_eq!(both("1ms", "300m"), Ok(Some(Duration::from_millis(1))));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for (name, value) in
            [("mainstay-timeout", "soon"), ("mainstay-timeout", "-1s"), ("grpc-timeout", "1s")]
        {
            let told = said(&[(name, value)]).expect_err(value);
            assert!(told.contains("is no timeout: send a"), "{told}");
        }
        let told = said(&[("mainstay-timeout", "1s"), ("mainstay-timeout", "2s")]).expect_err("twice");
        assert!(told.contains("`Mainstay-Timeout` stands more than once"), "{told}");
    }
}
