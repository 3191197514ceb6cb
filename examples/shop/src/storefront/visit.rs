//! Who a request is from: two cookies, and that it does not come from another site's page.
//!
//! A customer is whoever has the cookie, which has 128 random bits, so that nobody finds another one's. What services and logs know the
//! customer by is a hash of it. Cookies go over plain HTTP, since the example listens on loopback only; behind TLS they would say `Secure` too.

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, COOKIE, HOST, ORIGIN, SET_COOKIE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use std::time::Duration;

use crate::http::Deadline;
use crate::money::Currency;
use crate::service::{TIMEOUT, customer_of, random_id};

use super::trouble::Trouble;

/// What is kept of a request's time for saying that the rest of it was not enough.
const RESERVE: Duration = Duration::from_millis(150);

const YEAR_SECS: u32 = 365 * 24 * 60 * 60;

/// A request of a customer's.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Who it is.
    pub customer: String,
    /// What an empty basket is to be paid in.
    pub currency: Currency,
    /// Until when services may be asked.
    pub deadline: Deadline,
}

/// Finds out whose request it is, makes a customer of whoever is none, and refuses what another site's page has sent.
pub async fn begin(mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let known = cookie(headers, "customer").find(|value| is_secret(value)).map(str::to_owned);
    let is_new = known.is_none();
    let secret = known.unwrap_or_else(random_id);
    let visit = Visit {
        customer: customer_of(&secret),
        currency: cookie(headers, "currency").find_map(|code| code.parse().ok()).unwrap_or(Currency::Eur),
        deadline: Deadline::after(Deadline::of(headers, TIMEOUT).left().saturating_sub(RESERVE)),
    };
    let is_refused = !request.method().is_safe() && is_from_elsewhere(headers);
    let mut answer = if is_refused {
        Trouble::from_elsewhere().into_response()
    } else {
        request.extensions_mut().insert(visit);
        next.run(request).await
    };
    // A form of another site comes without the cookie that there is: it must not be replaced.
    if is_new && !is_refused {
        answer.headers_mut().append(SET_COOKIE, set_cookie("customer", &secret));
    }
    // What a page shows is one person's and a moment old.
    answer.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// The header that sets a cookie for a year. No page's script needs to read it, and no other site's form brings it along.
pub fn set_cookie(name: &str, value: &str) -> HeaderValue {
    let cookie = format!("{name}={value}; Path=/; Max-Age={YEAR_SECS}; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&cookie).expect("ids and codes of currencies are header values")
}

/// All values of a cookie: a browser may send one name twice.
fn cookie<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(it, _)| *it == name).map(|(_, value)| value)
}

/// 32 hexadecimal digits.
fn is_secret(value: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    value.len() == 32 && value.bytes().all(digit)
}

/// Whether a page of another site has sent it. Browsers say so; who says nothing of a site is no browser, and has no cookie to misuse.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let origin = origin.as_ref().and_then(Uri::authority).map(Authority::as_str);
    // The gateway names the host that was asked for.
    origin.is_none() || origin != text("x-forwarded-host").or(text(HOST.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn only_cookies_as_they_are_made_are_taken() {
        assert!(is_secret(&random_id()) && random_id() != random_id());
        for wrong in ["", "0", "0123456789ABCDEF0123456789ABCDEF", "c-0123456789abcdef0123456789abcd"] {
            assert!(!is_secret(wrong), "{wrong}");
        }
    }

    #[test]
    fn cookies_are_found_wherever_they_stand() {
        let headers = headers(&[("cookie", "a=1; customer=x"), ("cookie", "customer=y;currency=usd")]);
        assert_eq!(cookie(&headers, "customer").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(cookie(&headers, "currency").next(), Some("usd"));
        assert_eq!(cookie(&headers, "b").next(), None);
    }

    #[test]
    fn other_sites_are_told_by_what_browsers_say() {
        let elsewhere = |lines| is_from_elsewhere(&headers(lines));
        assert!(!elsewhere(&[]), "no browser");
        assert!(
            !elsewhere(&[("sec-fetch-site", "same-origin")]) && !elsewhere(&[("sec-fetch-site", "none")])
        );
        assert!(
            elsewhere(&[("sec-fetch-site", "cross-site")]) && elsewhere(&[("sec-fetch-site", "same-site")])
        );
        assert!(!elsewhere(&[("origin", "http://shop:8080"), ("host", "shop:8080")]));
        assert!(elsewhere(&[("origin", "http://evil:8080"), ("host", "shop:8080")]));
        assert!(elsewhere(&[("origin", "null"), ("host", "shop")]), "a page that hides where it is from");
        let behind_the_gateway = [("host", "127.0.0.1:9"), ("x-forwarded-host", "shop")];
        let from = |origin| headers(&[&[("origin", origin)], &behind_the_gateway[..]].concat());
        assert!(!is_from_elsewhere(&from("http://shop")));
        assert!(is_from_elsewhere(&from("http://127.0.0.1:9")));
    }
}
