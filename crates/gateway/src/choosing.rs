//! What a service's endpoint is chosen by for a request: a key, and the cookie that keeps a client to an endpoint.

use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use mainstay_resilience::Key;
use mainstay_upstream::Choice;
use mainstay_upstream::balance::Algorithm;
use mainstay_upstream::config::{Config, Sticky};
use mainstay_upstream::endpoint::Id;

use crate::routes::{KeyBy, Seen};

/// What a service's endpoint is chosen by for a request, besides chance.
#[derive(Debug)]
pub(crate) struct Choosing {
    key: Option<KeyBy>,
    sticky: Option<Sticky>,
}

impl Choosing {
    /// That of a service, which was checked; none where it is chance alone.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let balance = &config.balance.0;
        let key = (balance.algorithm == Algorithm::Maglev).then(|| match &balance.key {
            Some(key) => KeyBy::try_from(key.clone()).expect("it was checked"),
            None => KeyBy::client_network(),
        });
        let sticky = balance.sticky.clone();
        (key.is_some() || sticky.is_some()).then_some(Self { key, sticky })
    }

    /// What is wrong with a key that a service names.
    pub(crate) fn check(config: &Config) -> Result<(), String> {
        let Some(key) = &config.balance.0.key else { return Ok(()) };
        KeyBy::try_from(key.clone()).map(drop).map_err(|error| format!("is no expression: {error}"))
    }

    /// What the endpoint for a request is chosen by.
    pub(crate) fn choice(&self, seen: &Seen<'_>, headers: &HeaderMap) -> Choice {
        let key = self.key.as_ref().and_then(|key| key.of(seen));
        // The same for the same text on each node, and after each start.
        let key = key.map(|text| Key::of(0, text.as_bytes()).bits() as u64);
        Choice::new(key, self.sticky.as_ref().and_then(|sticky| kept_to(sticky, headers)))
    }

    /// Tells a client which endpoint it is kept to from now on, if it was not kept to that one.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, was: Option<Id>, now: Id, is_https: bool) {
        let Some(sticky) = self.sticky.as_ref().filter(|_| was != Some(now)) else { return };
        let Id(id) = now;
        let max_age = sticky.max_age.map(|age| format!("; Max-Age={}", age.as_secs_up())).unwrap_or_default();
        let secure = if is_https { "; Secure" } else { "" };
        let cookie = format!("{}={id:016x}; Path=/; HttpOnly; SameSite=Lax{max_age}{secure}", sticky.cookie);
        headers.append(SET_COOKIE, HeaderValue::try_from(cookie).expect("letters, digits and signs"));
    }
}

/// The endpoint that a client says it is kept to.
fn kept_to(sticky: &Sticky, headers: &HeaderMap) -> Option<Id> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == sticky.cookie)?;
    (value.len() == 16).then(|| u64::from_str_radix(value, 16).ok().map(Id)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sticky(json: &str) -> Choosing {
        let config: Config = serde_json::from_str(json).expect("a service");
        Choosing::of(&config).expect("it is sticky")
    }

    #[test]
    fn clients_are_kept_by_a_cookie_and_told_it_once() {
        let plain = sticky(r#"{"balance": {"sticky": {"cookie": "at"}}}"#);
        let mut told = HeaderMap::new();
        plain.tell(&mut told, None, Id(0xab), false);
        plain.tell(&mut told, Some(Id(0xab)), Id(0xab), false);
        let cookies: Vec<_> = told.get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["at=00000000000000ab; Path=/; HttpOnly; SameSite=Lax"]);
        let mut told = HeaderMap::new();
        let aged = sticky(r#"{"balance": {"sticky": {"cookie": "at", "max_age": "1h"}}}"#);
        aged.tell(&mut told, Some(Id(1)), Id(2), true);
        assert_eq!(
            told[SET_COOKIE],
            "at=0000000000000002; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600; Secure"
        );
    }

    #[test]
    fn a_cookie_is_found_among_others_and_read_only_if_it_is_one_of_ours() {
        let found = |cookies: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(COOKIE, HeaderValue::from_static(cookie));
            }
            let Some(sticky) = sticky(r#"{"balance": {"sticky": {"cookie": "at"}}}"#).sticky else {
                panic!("it is")
            };
            kept_to(&sticky, &headers)
        };
        assert_eq!(found(&["a=1; at=00000000000000ab; b=2"]), Some(Id(0xab)));
        assert_eq!(found(&["a=1", "at=00000000000000ff"]), Some(Id(0xff)));
        for none in
            ["", "at=", "at=ab", "at=00000000000000xy", "cat=00000000000000ab", "at=+0000000000000ab1"]
        {
            assert_eq!(found(&[none]), None, "{none}");
        }
    }

    #[test]
    fn a_service_that_chooses_by_chance_has_nothing_of_it() {
        let of = |json: &str| Choosing::of(&serde_json::from_str(json).expect("a service"));
        assert!(of("{}").is_none() && of(r#"{"balance": "peak_ewma"}"#).is_none());
        assert!(of(r#"{"balance": "maglev"}"#).is_some());
        let wrong =
            serde_json::from_str(r#"{"balance": {"algorithm": "maglev", "key": "request.nothing("}}"#);
        assert!(Choosing::check(&wrong.expect("a service")).is_err());
    }
}
