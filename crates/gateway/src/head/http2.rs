//! What guards requests over HTTP/2, which are parsed by now: services are sent HTTP/1.1 all the same, so the rules are those of the guard, as far as HTTP/2 has not kept
//! them. It must not know sockets, routes or services.

use http::header::{COOKIE, HOST};
use http::uri::{Authority as Written, Scheme};
use http::{HeaderMap, Request};
use http_body::Body;

use super::authority::Authority;
use super::field::{self, Field};
use super::limits::Limits;
use super::names;
use super::reason::{Reason, Refusal};
use super::request::Headers;
use super::request_line::{self, Method};

/// Whether a request over HTTP/2 has one reading. The connection goes on; the other streams have nothing to do with it.
///
/// Errors: the first of what is wrong.
pub(crate) fn check(request: &Request<impl Body>, limits: &Limits) -> Result<(), Refusal> {
    match request_line::read_method(request.method().as_str().as_bytes())? {
        // Over HTTP/2 nothing is tunnelled, whatever the limits say of HTTP/1.
        Method::Connect => return Err(Reason::ConnectRefused.here()),
        Method::Trace if !request.body().is_end_stream() => return Err(Reason::BodyOfTrace.here()),
        _ => {}
    }
    if let Some(target) = request.uri().path_and_query() {
        if target.as_str().len() as u64 > limits.request_line_size_max.bytes() {
            return Err(Reason::RequestLineTooLarge.here());
        }
        request_line::check_path(target.as_str().as_bytes())?;
    }
    let mut seen = Headers::default();
    for (name, value) in request.headers() {
        // Cookies may come in as many pieces as there are (RFC 9113, section 8.2.3).
        seen.count += usize::from(name != COOKIE);
        let field = Field { name: name.as_str().as_bytes(), value: value.as_bytes() };
        field::check_name(field.name, limits.underscores)?;
        seen.take(&field, 0)?;
    }
    if seen.count > usize::try_from(limits.headers_max).unwrap_or(usize::MAX) {
        return Err(Reason::HeadersTooMany.here());
    }
    check_host(request)
}

/// What is named as the host has one reading, and is the same in both of its places.
fn check_host(request: &Request<impl Body>) -> Result<(), Refusal> {
    let Some(authority) = request.uri().authority().map(Written::as_str) else {
        return if request.headers().contains_key(HOST) { Ok(()) } else { Err(Reason::HostMissing.here()) };
    };
    let read = Authority::read(authority.as_bytes(), 0);
    let named = read.ok_or_else(|| Reason::TargetAuthority.at(authority.as_bytes()))?;
    let Some(host) = request.headers().get(HOST).filter(|host| **host != *authority) else { return Ok(()) };
    let both = [authority.as_bytes(), host.as_bytes()].concat();
    let port = if request.uri().scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let host = Authority::read(host.as_bytes(), authority.len());
    match host.filter(|host| host.is_same(&named, &both, Some(port))) {
        Some(_) => Ok(()),
        None => Err(Reason::HostDiffers.here()),
    }
}

/// Whether trailers have only names that may be in them.
pub(crate) fn are_trailers(headers: &HeaderMap) -> bool {
    !headers.keys().any(|name| names::is_head_only(name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};

    use super::*;
    use crate::head::Underscores;

    /// Why a request is refused.
    fn refused(method: &str, target: &str, headers: &[(&'static str, &str)]) -> Option<&'static str> {
        refused_within(Limits::default(), method, target, headers)
    }

    fn refused_within(
        limits: Limits,
        method: &str,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Option<&'static str> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).expect("a request");
        check(&request, &limits).err().map(|refusal| refusal.reason.name())
    }

    #[test]
    fn what_has_one_reading_passes() {
        for (target, headers) in [
            ("http://shop/a?b", &[("x_a", "b"), ("content-length", "0"), ("expect", "100-continue")][..]),
            ("http://shop/", &[("host", "SHOP:80")]),
            ("https://shop:443/", &[("host", "shop")]),
            ("https://[::1]:8443/", &[("host", "[::1]:8443")]),
            ("/", &[("host", "shop")]),
        ] {
            assert_eq!(refused("POST", target, headers), None, "{target} {headers:?}");
        }
    }

    #[test]
    fn what_has_more_than_one_is_refused_as_over_http_1() {
        for (reason, method, target, headers) in [
            ("connect_refused", "CONNECT", "shop:443", &[][..]),
            ("method_case", "head", "/", &[]),
            ("method_too_long", &"A".repeat(33), "/", &[]),
            ("target_byte", "GET", "http://shop/a\"b", &[]),
            ("host_missing", "GET", "/", &[]),
            ("target_authority", "GET", "http://shop@evil/", &[]),
            ("host_differs", "GET", "http://shop/", &[("host", "evil")]),
            ("host_differs", "GET", "http://shop/", &[("host", "shop:81")]),
            ("host_repeated", "GET", "/", &[("host", "shop"), ("host", "shop")]),
            ("host", "GET", "/", &[("host", "shop/evil")]),
            ("host_empty", "GET", "/", &[("host", "")]),
            ("content_length", "POST", "/", &[("content-length", "+5")]),
            ("content_length_repeated", "POST", "/", &[("content-length", "5"), ("content-length", "5")]),
            ("expectation", "POST", "/", &[("expect", "200-ok")]),
            ("name_underscore", "GET", "/", &[("x_forwarded_for", "192.0.2.1")]),
        ] {
            assert_eq!(refused(method, target, headers), Some(reason), "{method} {target} {headers:?}");
        }
        let limits = Limits { underscores: Underscores::Refuse, ..Limits::default() };
        assert_eq!(refused_within(limits, "GET", "/", &[("x_a", "b")]), Some("name_underscore"));
        let traced = Request::builder().method("TRACE").body(Full::<bytes::Bytes>::new("a".into()));
        let traced = check(&traced.expect("a request"), &Limits::default()).expect_err("it has a body");
        assert_eq!(traced.reason, Reason::BodyOfTrace);
    }

    #[test]
    fn headers_are_counted_but_for_pieces_of_a_cookie() {
        let limits = Limits { headers_max: 8, ..Limits::default() };
        assert_eq!(refused_within(limits, "GET", "http://shop/", &[("cookie", "a=b"); 20]), None);
        assert_eq!(
            refused_within(limits, "GET", "http://shop/", &[("x-a", "b"); 9]),
            Some("headers_too_many")
        );
    }

    #[test]
    fn trailers_have_no_names_that_belong_in_a_head() {
        for (name, may_be) in
            [("x-sum", true), ("grpc-status", true), ("host", false), ("content_length", false)]
        {
            let mut trailers = HeaderMap::new();
            trailers.insert(name, "1".parse().expect("a value"));
            assert_eq!(are_trailers(&trailers), may_be, "{name}");
        }
    }
}
