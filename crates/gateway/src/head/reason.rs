//! Why a connection is refused: one closed list, each with its name, its answer and its sentence.

use std::fmt::{self, Display, Formatter};

use http::StatusCode;
use mainstay_base::error::{Classify, Code};

macro_rules! reasons {
    ($($reason:ident $name:literal $status:ident $sentence:literal)*) => {
        /// Why bytes are refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = concat!($sentence, ".")] $reason,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$reason),*];

            /// Its name in metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$reason => $name),* }
            }

            /// What it is answered with: 400, 414, 417, 431, 501 or 505.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$reason => StatusCode::$status),* }
            }

            /// What was wrong, as a sentence without its end.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$reason => $sentence),* }
            }
        }
    };
}

reasons! {
    EmptyLines "empty_lines" BAD_REQUEST "More than one empty line stands before the request"
    Preface "preface" BAD_REQUEST "The request begins as HTTP/2 does and is not its preface"
    RequestLine "request_line" BAD_REQUEST "The request line is not a method, a target and a version with one space between them"
    RequestLineTooLarge "request_line_too_large" URI_TOO_LONG "The request line is longer than `request_line_size_max`"
    Method "method" BAD_REQUEST "The method is no token"
    MethodTooLong "method_too_long" NOT_IMPLEMENTED "The method is longer than 32 bytes"
    MethodCase "method_case" BAD_REQUEST "The method is HEAD or CONNECT in other letters, which some read as these"
    ConnectRefused "connect_refused" NOT_IMPLEMENTED "CONNECT is not offered"
    TargetByte "target_byte" BAD_REQUEST "The target has a byte that has to be percent-encoded there"
    TargetFragment "target_fragment" BAD_REQUEST "The target has a fragment"
    TargetForm "target_form" BAD_REQUEST "The target is no path, no URL with http or https, and not the form that its method needs"
    TargetAuthority "target_authority" BAD_REQUEST "The target's authority is not a host with at most a port"
    Version "version" BAD_REQUEST "What ends the request line is no version of HTTP"
    VersionUnsupported "version_unsupported" HTTP_VERSION_NOT_SUPPORTED "The version is neither HTTP/1.1 nor HTTP/1.0"
    BareLf "bare_lf" BAD_REQUEST "A line ends with LF alone"
    BareCr "bare_cr" BAD_REQUEST "A CR stands without its LF"
    ControlByte "control_byte" BAD_REQUEST "A header's value has a control byte"
    HeadTooLarge "head_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "The head is larger than `head_size_max`"
    HeaderTooLarge "header_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "A header is larger than `header_size_max`"
    HeadersTooMany "headers_too_many" REQUEST_HEADER_FIELDS_TOO_LARGE "There are more headers than `headers_max`"
    LeadingWhitespace "leading_whitespace" BAD_REQUEST "The first header begins with whitespace"
    Fold "fold" BAD_REQUEST "A header goes on in a second line"
    HeaderWithoutColon "header_without_colon" BAD_REQUEST "A header has no colon"
    NameEmpty "name_empty" BAD_REQUEST "A header has no name"
    NameWhitespace "name_whitespace" BAD_REQUEST "A header's name has whitespace in it or after it"
    NameByte "name_byte" BAD_REQUEST "A header's name is no token"
    NameUnderscore "name_underscore" BAD_REQUEST "A header's name has an underscore, which some read as a hyphen"
    ContentLength "content_length" BAD_REQUEST "The Content-Length is not one number in its shortest form"
    ContentLengthTooLarge "content_length_too_large" BAD_REQUEST "The Content-Length is 2^63 or more"
    ContentLengthRepeated "content_length_repeated" BAD_REQUEST "There is more than one Content-Length"
    ContentLengthAndTransferEncoding "content_length_and_transfer_encoding" BAD_REQUEST "There are both Content-Length and Transfer-Encoding"
    TransferEncoding "transfer_encoding" BAD_REQUEST "The Transfer-Encoding is not the word `chunked`"
    TransferEncodingList "transfer_encoding_list" BAD_REQUEST "The Transfer-Encoding is a list"
    TransferEncodingRepeated "transfer_encoding_repeated" BAD_REQUEST "There is more than one Transfer-Encoding"
    TransferEncodingVersion "transfer_encoding_version" BAD_REQUEST "HTTP/1.0 has no Transfer-Encoding"
    TransferCoding "transfer_coding" NOT_IMPLEMENTED "The transfer coding is another than `chunked`"
    BodyOfConnect "body_of_connect" BAD_REQUEST "A CONNECT has a body"
    BodyOfTrace "body_of_trace" BAD_REQUEST "A TRACE has a body"
    HostMissing "host_missing" BAD_REQUEST "There is no Host, and over HTTP/2 no `:authority` either"
    HostRepeated "host_repeated" BAD_REQUEST "There is more than one Host"
    HostEmpty "host_empty" BAD_REQUEST "The Host is empty"
    Host "host" BAD_REQUEST "The Host is not a host with at most a port"
    HostDiffers "host_differs" BAD_REQUEST "The Host is another than that of the target"
    Connection "connection" BAD_REQUEST "The Connection is no list of tokens"
    ConnectionNames "connection_names" BAD_REQUEST "The Connection names a header that others depend on, which would be removed"
    Upgrade "upgrade" BAD_REQUEST "The Upgrade is no list of protocols"
    UpgradeAlone "upgrade_alone" BAD_REQUEST "There is an Upgrade that the Connection does not name"
    Expectation "expectation" EXPECTATION_FAILED "The Expect is another than one `100-continue`"
    ChunkSize "chunk_size" BAD_REQUEST "A chunk does not begin with its size in hexadecimal digits and CRLF"
    ChunkSizeTooLarge "chunk_size_too_large" BAD_REQUEST "The size of a chunk has more than 16 digits, or is 2^63 or more"
    ChunkExtension "chunk_extension" BAD_REQUEST "A chunk has an extension"
    ChunkEnd "chunk_end" BAD_REQUEST "A chunk's data are not followed by CRLF"
    TrailersTooLarge "trailers_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "The trailers are larger than `trailers_size_max`"
    TrailersTooMany "trailers_too_many" REQUEST_HEADER_FIELDS_TOO_LARGE "There are more trailers than `trailers_max`"
    TrailerName "trailer_name" BAD_REQUEST "A trailer has a name that only a head may have"
}

impl Reason {
    /// A refusal that shows the beginning of `seen`, escaped. What may be a secret is not to be shown.
    #[cold]
    pub(super) fn at(self, seen: &[u8]) -> Refusal {
        let mut excerpt =
            Excerpt { bytes: [0; EXCERPT_BYTES_MAX], len: 0, is_cut: seen.len() > EXCERPT_BYTES_MAX };
        for (place, byte) in excerpt.bytes.iter_mut().zip(seen) {
            *place = *byte;
            excerpt.len += 1;
        }
        Refusal { reason: self, excerpt }
    }

    /// A refusal for which there is nothing to show.
    #[cold]
    pub(super) fn here(self) -> Refusal {
        self.at(&[])
    }
}

const EXCERPT_BYTES_MAX: usize = 24;

/// The first bytes of what was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Excerpt {
    bytes: [u8; EXCERPT_BYTES_MAX],
    len: u8,
    is_cut: bool,
}

/// A connection that is refused. Its fault is the client's; the same bytes are refused again.
///
/// `Display` is the reason's sentence and at most 24 bytes of what was wrong, escaped, and never a header's value that may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    excerpt: Excerpt,
}

impl Classify for Refusal {
    /// The nearest of the closed list; [`Reason::status`] is finer.
    fn code(&self) -> Code {
        match self.reason.status() {
            StatusCode::URI_TOO_LONG => Code::UriTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Code::HeadersTooLarge,
            _ => Code::Malformed,
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let excerpt = &self.excerpt.bytes[..usize::from(self.excerpt.len)];
        let cut = if self.excerpt.is_cut { "…" } else { "" };
        match excerpt {
            [] => f.write_str(self.reason.sentence()),
            _ => write!(f, "{}: `{}{cut}`", self.reason.sentence(), excerpt.escape_ascii()),
        }
    }
}
