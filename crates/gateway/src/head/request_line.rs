//! The request line: a method, a target and a version, with one space between them (RFC 9112, section 3).

use super::authority::Authority;
use super::byte;
use super::reason::{Reason, Refusal};

/// The longest method. The longest that is registered has 17 bytes.
const METHOD_BYTES_MAX: usize = 32;

/// Methods that framing, targets or bodies depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Connect,
    Options,
    Trace,
    Other,
}

/// What a request line says.
#[derive(Debug, Clone)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) is_http_1_0: bool,
    /// Where the target names it.
    pub(super) authority: Option<Authority>,
    /// The port that is meant where an authority has none.
    pub(super) default_port: Option<u16>,
}

impl RequestLine {
    /// What the line says that begins `at` a place of the head.
    pub(super) fn read(line: &[u8], at: usize) -> Result<Self, Refusal> {
        let method_end = byte::run(line, byte::TOKEN);
        let method = match (&line[..method_end], line.get(method_end)) {
            (text @ [_, ..], Some(b' ')) => read_method(text)?,
            ([_, ..], None) => return Err(Reason::RequestLine.at(line)),
            _ => return Err(Reason::Method.at(line)),
        };
        let after = &line[method_end + 1..];
        let Some(target_end) = memchr::memchr(b' ', after) else {
            return Err(Reason::RequestLine.at(after));
        };
        let (target, version) = (&after[..target_end], &after[target_end + 1..]);
        if target.is_empty() || version.is_empty() {
            return Err(Reason::RequestLine.at(line));
        }
        let mut read =
            Self { method, is_http_1_0: read_version(version)?, authority: None, default_port: None };
        read.read_target(target, at + method_end + 1)?;
        Ok(read)
    }

    fn read_target(&mut self, target: &[u8], at: usize) -> Result<(), Refusal> {
        match (self.method, target) {
            (Method::Connect, _) => {
                let authority = Authority::read(target, at).filter(Authority::has_port);
                self.authority = Some(authority.ok_or_else(|| Reason::TargetAuthority.at(target))?);
                Ok(())
            }
            (_, [b'/', ..]) => check_path(target),
            (Method::Options, b"*") => Ok(()),
            _ => self.read_url(target, at),
        }
    }

    fn read_url(&mut self, target: &[u8], at: usize) -> Result<(), Refusal> {
        let schemes: [(&[u8], u16); 2] = [(b"http://", 80), (b"https://", 443)];
        let begins = |scheme: &[u8]| {
            target.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        };
        let Some((scheme, port)) = schemes.into_iter().find(|(scheme, _)| begins(scheme)) else {
            return Err(Reason::TargetForm.at(target));
        };
        let rest = &target[scheme.len()..];
        let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let read = Authority::read(authority, at + scheme.len());
        self.authority = Some(read.ok_or_else(|| Reason::TargetAuthority.at(authority))?);
        self.default_port = Some(port);
        check_path(path)
    }
}

pub(super) fn read_method(text: &[u8]) -> Result<Method, Refusal> {
    match text {
        b"GET" | b"POST" | b"HEAD" => Ok(Method::Other),
        b"CONNECT" => Ok(Method::Connect),
        b"OPTIONS" => Ok(Method::Options),
        b"TRACE" => Ok(Method::Trace),
        b"PRI" => Err(Reason::Preface.at(text)),
        _ if text.len() > METHOD_BYTES_MAX => Err(Reason::MethodTooLong.at(text)),
        // A reader that takes them for these expects no body in the answer, or no more HTTP.
        _ if text.eq_ignore_ascii_case(b"HEAD") || text.eq_ignore_ascii_case(b"CONNECT") => {
            Err(Reason::MethodCase.at(text))
        }
        _ => Ok(Method::Other),
    }
}

/// Whether it is HTTP/1.0.
fn read_version(version: &[u8]) -> Result<bool, Refusal> {
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Reason::VersionUnsupported.at(version))
        }
        _ if version.contains(&b' ') => Err(Reason::RequestLine.at(version)),
        _ => Err(Reason::Version.at(version)),
    }
}

/// A path with a query, or what is left of a URL when it has no path.
pub(super) fn check_path(target: &[u8]) -> Result<(), Refusal> {
    let path = byte::run(target, byte::PATH);
    let wrong = match target.get(path) {
        Some(b'?') => path + 1 + byte::run(&target[path + 1..], byte::QUERY),
        _ => path,
    };
    match target.get(wrong) {
        None => Ok(()),
        Some(b'#') => Err(Reason::TargetFragment.at(&target[wrong..])),
        Some(_) => Err(Reason::TargetByte.at(&target[wrong..])),
    }
}
