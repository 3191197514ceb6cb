//! What a client accepts (RFC 9110, section 12.5.3).

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method};

use super::config::{Coding, Compression};

/// What is known of a request when its answer is to be compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The coding that the client prefers of those that are made; none if it prefers none.
    pub coding: Option<Coding>,
    /// The client does not accept a body without a coding.
    pub(super) is_identity_refused: bool,
    /// Nobody on the way may change the body.
    pub(super) is_kept: bool,
    pub(super) method: Method,
    /// The versions that the client has.
    pub(super) held: Vec<HeaderValue>,
}

/// How much a coding is liked: thousandths, so that 0 is not at all.
type Quality = u16;

/// What the client says of each coding that is made, and of none and of others.
#[derive(Debug, Default)]
struct Said {
    of: [Option<Quality>; Coding::ALL.len()],
    identity: Option<Quality>,
    others: Option<Quality>,
}

impl Negotiated {
    /// By the headers of a request. Without `Accept-Encoding`, or with an empty one, nothing is coded. What is no coding with a quality is passed over; of a coding that is there
    /// twice the first counts. A client that prefers a body without coding by its quality is sent one.
    pub fn of(method: &Method, headers: &HeaderMap, config: &Compression) -> Self {
        let said = Said::read(headers);
        let identity = said.identity.or(said.others.filter(|quality| *quality == 0));
        let mut best: Option<(Coding, Quality)> = None;
        for coding in &config.codings {
            let quality = said.of[*coding as usize].or(said.others).unwrap_or(0);
            if quality > best.map_or(0, |(_, best)| best) {
                best = Some((*coding, quality));
            }
        }
        Self {
            coding: best.filter(|(_, quality)| *quality >= identity.unwrap_or(0)).map(|(coding, _)| coding),
            is_identity_refused: identity == Some(0),
            is_kept: has_no_transform(headers),
            method: method.clone(),
            held: headers.get_all(IF_NONE_MATCH).iter().cloned().collect(),
        }
    }
}

impl Said {
    fn read(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, quality) in items(headers, ACCEPT_ENCODING).filter_map(element) {
            let place = match Coding::named(name) {
                Some(coding) => &mut said.of[coding as usize],
                None if name.eq_ignore_ascii_case("identity") => &mut said.identity,
                None if name == "*" => &mut said.others,
                None => continue,
            };
            place.get_or_insert(quality);
        }
        said
    }
}

/// Whether `Cache-Control` keeps the body as it is (RFC 9111, sections 5.2.1.6 and 5.2.2.6).
pub(super) fn has_no_transform(headers: &HeaderMap) -> bool {
    items(headers, CACHE_CONTROL).any(|item| item.eq_ignore_ascii_case("no-transform"))
}

/// The items of a list, over all lines.
pub(super) fn items(headers: &HeaderMap, name: http::HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(|item| item.trim_matches([' ', '\t']))
        .filter(|item| !item.is_empty())
}

/// A coding with its quality: `gzip`, `gzip;q=0.5`.
fn element(item: &str) -> Option<(&str, Quality)> {
    let mut parts = item.split(';').map(|part| part.trim_matches([' ', '\t']));
    let name = parts.next()?;
    let quality = match parts.next() {
        None => 1000,
        Some(weight) => quality(weight.strip_prefix(['q', 'Q'])?.strip_prefix('=')?)?,
    };
    (parts.next().is_none()).then_some((name, quality))
}

/// 0 to 1 with up to three decimals (RFC 9110, section 12.4.2).
fn quality(text: &str) -> Option<Quality> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{decimals:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}
