//! What the headers of a request say of where it ends and what follows it, and what they may not say together.

use super::authority::Authority;
use super::byte;
use super::field::Field;
use super::names;
use super::reason::{Reason, Refusal};
use super::request_line::{Method, RequestLine};

/// How a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// After its last chunk.
    Chunked,
}

/// A request whose head is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) body: Body,
    pub(super) expects_continue: bool,
    /// It is the last of its connection.
    pub(super) closes: bool,
    /// What follows it depends on its answer.
    pub(super) may_switch: bool,
}

/// What the headers that have been read say.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers {
    /// How many.
    pub(super) count: usize,
    host: Option<Authority>,
    length: Option<u64>,
    is_chunked: bool,
    has_close: bool,
    has_keep_alive: bool,
    names_upgrade: bool,
    /// Whether there is an Upgrade, and one to another protocol than HTTP/2.
    upgrade: Option<bool>,
    expects_continue: bool,
}

impl Headers {
    /// Takes the header in that begins `at` a place of the head.
    #[inline]
    pub(super) fn take(&mut self, field: &Field<'_>, at: usize) -> Result<(), Refusal> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name.as_bytes());
        match field.name.len() {
            4 if is("host") => self.take_host(field, at),
            6 if is("expect") => self.take_expect(field.word()),
            7 if is("upgrade") => self.take_upgrade(field.word()),
            10 if is("connection") => self.take_connection(field.word()),
            14 if is("content-length") => self.take_length(field.word()),
            17 if is("transfer-encoding") => self.take_encoding(field.word()),
            _ => Ok(()),
        }
    }

    fn take_host(&mut self, field: &Field<'_>, at: usize) -> Result<(), Refusal> {
        let host = field.word();
        if self.host.is_some() {
            return Err(Reason::HostRepeated.at(host));
        }
        if host.is_empty() {
            return Err(Reason::HostEmpty.here());
        }
        let spaces = field.value.iter().take_while(|byte| **byte == b' ').count();
        let read = Authority::read(host, at + field.name.len() + 1 + spaces);
        self.host = Some(read.ok_or_else(|| Reason::Host.at(host))?);
        Ok(())
    }

    fn take_expect(&mut self, expectation: &[u8]) -> Result<(), Refusal> {
        if self.expects_continue || !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(Reason::Expectation.at(expectation));
        }
        self.expects_continue = true;
        Ok(())
    }

    fn take_upgrade(&mut self, protocols: &[u8]) -> Result<(), Refusal> {
        let mut offers = self.upgrade.unwrap_or(false);
        for protocol in protocols.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let (name, version) = protocol.split_at(byte::run(protocol, byte::TOKEN));
            let is_version = match version {
                [] => true,
                [b'/', version @ ..] => {
                    !version.is_empty() && byte::run(version, byte::TOKEN) == version.len()
                }
                _ => false,
            };
            if name.is_empty() || !is_version {
                return Err(Reason::Upgrade.at(protocols));
            }
            offers |= !protocol.eq_ignore_ascii_case(b"h2c");
        }
        self.upgrade = Some(offers);
        Ok(())
    }

    fn take_connection(&mut self, options: &[u8]) -> Result<(), Refusal> {
        // What nearly all clients send.
        if options.eq_ignore_ascii_case(b"keep-alive") {
            self.has_keep_alive = true;
            return Ok(());
        }
        for option in options.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if byte::run(option, byte::TOKEN) < option.len() {
                return Err(Reason::Connection.at(options));
            }
            match option {
                _ if option.eq_ignore_ascii_case(b"keep-alive") => self.has_keep_alive = true,
                _ if option.eq_ignore_ascii_case(b"close") => self.has_close = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => self.names_upgrade = true,
                _ if names::is_relied_on(option) => return Err(Reason::ConnectionNames.at(option)),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_length(&mut self, digits: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(Reason::ContentLengthRepeated.at(digits));
        }
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        // A leading zero is read as octal by some, and sent by nobody.
        if !is_number || (digits.len() > 1 && digits[0] == b'0') {
            return Err(Reason::ContentLength.at(digits));
        }
        let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok());
        let length = number.and_then(|number| u64::try_from(number).ok());
        self.length = Some(length.ok_or_else(|| Reason::ContentLengthTooLarge.at(digits))?);
        Ok(())
    }

    fn take_encoding(&mut self, codings: &[u8]) -> Result<(), Refusal> {
        if self.is_chunked {
            return Err(Reason::TransferEncodingRepeated.at(codings));
        }
        if !codings.eq_ignore_ascii_case(b"chunked") {
            let is_token = !codings.is_empty() && byte::run(codings, byte::TOKEN) == codings.len();
            return Err(match codings {
                _ if is_token => Reason::TransferCoding.at(codings),
                _ if codings.contains(&b',') => Reason::TransferEncodingList.at(codings),
                _ => Reason::TransferEncoding.at(codings),
            });
        }
        self.is_chunked = true;
        Ok(())
    }

    /// The request that these headers and the line of `head` make.
    pub(super) fn finish(&self, line: &RequestLine, head: &[u8]) -> Result<Request, Refusal> {
        self.check_host(line, head)?;
        let body = self.body(line)?;
        let has_body = body != Body::Length(0);
        if has_body && line.method == Method::Trace {
            return Err(Reason::BodyOfTrace.here());
        }
        if line.method == Method::Connect && (self.is_chunked || self.length.is_some()) {
            return Err(Reason::BodyOfConnect.here());
        }
        if self.upgrade.is_some() && !self.names_upgrade {
            return Err(Reason::UpgradeAlone.here());
        }
        // HTTP/1.0 knows neither upgrades nor expectations (RFC 9110, sections 7.8 and 10.1.1).
        let is_http_1_1 = !line.is_http_1_0;
        Ok(Request {
            body,
            expects_continue: self.expects_continue && has_body && is_http_1_1,
            closes: self.has_close || (line.is_http_1_0 && !self.has_keep_alive),
            may_switch: line.method == Method::Connect || (self.upgrade == Some(true) && is_http_1_1),
        })
    }

    fn check_host(&self, line: &RequestLine, head: &[u8]) -> Result<(), Refusal> {
        match (&self.host, &line.authority) {
            (None, _) if !line.is_http_1_0 => Err(Reason::HostMissing.here()),
            (Some(host), Some(authority)) if !host.is_same(authority, head, line.default_port) => {
                Err(Reason::HostDiffers.here())
            }
            _ => Ok(()),
        }
    }

    fn body(&self, line: &RequestLine) -> Result<Body, Refusal> {
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(Reason::ContentLengthAndTransferEncoding.here()),
            (true, None) if line.is_http_1_0 => Err(Reason::TransferEncodingVersion.here()),
            (true, None) => Ok(Body::Chunked),
            (false, length) => Ok(Body::Length(length.unwrap_or(0))),
        }
    }
}
