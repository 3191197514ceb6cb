//! Configuration values with their own syntax: addresses, paths, places for files, secrets.
//!
//! Each parses from text, says what it expected, and shows itself in the JSON Schema under the title that the
//! checks know it by.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use mainstay_base::as_text;
pub use mainstay_base::reference::{FilePath, Reference, Secret};

/// An IP address with a port: `127.0.0.1:7070`, `[::1]:7070`. Port 0 lets the system choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(SocketAddr);

impl Address {
    /// An IPv4 loopback address.
    pub const fn loopback(port: u16) -> Self {
        Self(SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port))
    }

    /// For the socket calls.
    pub fn socket(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        let host_is_ip = bare.parse::<std::net::IpAddr>().is_ok();
        Err(if text.parse::<std::net::IpAddr>().is_ok() {
            let host = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
            format!("the port is missing: write it behind `{host}`, after a colon")
        } else if host.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) {
            let port = text.trim_start_matches(':');
            format!("the IP address is missing: write `127.0.0.1:{port}` for this machine only")
        } else if host_is_ip && port.parse::<u64>().is_ok() {
            format!("port {port} is over 65535")
        } else if host_is_ip {
            format!("`{port}` is not a port number")
        } else if let Some((scheme, _)) = text.split_once("://") {
            format!("an address has no scheme: leave out `{scheme}://`")
        } else {
            format!("`{host}` is not an IP address; names are not resolved here")
        })
    }
}

/// Where many files are kept: a folder, or a prefix in a bucket of an object store, `s3://bucket/prefix`. A relative folder
/// starts from the directory of the file it is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket of an object store that speaks S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the names of all objects begin with, without a slash at either end; it may be empty.
        prefix: String,
    },
}

impl Place {
    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) => Some(path),
            Self::S3 { .. } => None,
        }
    }

    /// The same place, further down.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        match self {
            Self::Folder(path) => Self::Folder(path.join(name)),
            Self::S3 { bucket, prefix } => {
                let prefix = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
                Self::S3 { bucket: bucket.clone(), prefix }
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return text.parse().map(|path: FilePath| Self::Folder(path.as_path().to_owned()));
        };
        if scheme != "s3" {
            return Err(format!("`{scheme}://` is not known: write a folder without a scheme, or `s3://`"));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_allowed) {
            return Err(format!("`{bucket}` is not a bucket: write 3 to 63 of a-z, 0-9, '.' and '-'"));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_plain =
            |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains(char::is_control);
        if !prefix.is_empty() && !prefix.split('/').all(is_plain) {
            return Err(format!("`{prefix}` is not a prefix: put single slashes between names"));
        }
        Ok(Self::S3 { bucket: bucket.into(), prefix: prefix.into() })
    }
}

/// Where a server is reached: `http://` or `https://`, a host, and a port if it is another than the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// As it was written, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let rest = rest.ok_or_else(|| format!("`{text}` has no scheme: write `https://{text}`"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(format!("`{text}` has more than a host and a port"));
        }
        if authority.contains('@') {
            // Not shown: what stands before it is a secret.
            return Err("a URL with a user name: credentials have keys of their own".to_owned());
        }
        let has_form = authority.parse::<axum::http::uri::Authority>().is_ok_and(|it| {
            let after = &authority[it.host().len()..];
            let has_port = after.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
            !it.host().is_empty() && (after.is_empty() || has_port)
        });
        if !has_form {
            return Err(format!("`{authority}` is not a host with or without a port"));
        }
        Ok(Self(text.strip_suffix('/').unwrap_or(text).to_owned()))
    }
}

as_text!(Address, "Address", {
    "type": "string",
    "title": "Address",
    "pattern": "^(\\d{1,3}(\\.\\d{1,3}){3}|\\[[0-9a-fA-F:.]+\\]):\\d{1,5}$",
    "examples": ["127.0.0.1:7070", "[::1]:7070"],
});
as_text!(Place, "Place", {
    "type": "string",
    "title": "Place",
    "minLength": 1,
    "examples": ["./snapshots", "/mnt/backups", "s3://bucket/prefix"],
});
as_text!(Url, "URL", {
    "type": "string",
    "title": "URL",
    "pattern": "^https?://[^/?#@]+/?$",
    "examples": ["https://s3.example.com", "http://127.0.0.1:8333"],
});
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_missing() {
        for (text, hint) in [
            ("127.0.0.1", "write it behind `127.0.0.1`"),
            ("::1", "write it behind `[::1]`"),
            (":7070", "write `127.0.0.1:7070`"),
            ("7070", "write `127.0.0.1:7070`"),
            ("127.0.0.1:70700", "port 70700 is over 65535"),
            ("[::1]:70700", "port 70700 is over 65535"),
            ("127.0.0.1:http", "`http` is not a port number"),
            ("http://127.0.0.1:9101", "leave out `http://`"),
            ("localhost:7070", "`localhost` is not an IP address"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
        assert_eq!("[::1]:7070".parse::<Address>().unwrap().to_string(), "[::1]:7070");
    }

    #[test]
    fn a_place_is_a_folder_or_a_bucket() {
        for text in ["./snapshots", "/mnt/a b", "s3", "s3:/x", "s3://bucket", "s3://my.bucket-1/a/b c"] {
            let place: Place = text.parse().unwrap();
            assert_eq!((place.to_string().as_str(), place.folder().is_some()), (text, !text.contains("://")));
        }
        let place: Place = "s3://bucket/a/".parse().unwrap();
        assert_eq!(place, Place::S3 { bucket: "bucket".into(), prefix: "a".into() });
        for (text, hint) in [
            ("", "the path is empty"),
            ("a\0b", "NUL"),
            ("s3://", "`` is not a bucket"),
            ("s3://Bucket/x", "`Bucket` is not a bucket"),
            ("s3://bucket//x", "`/x` is not a prefix"),
            ("s3://bucket/../x", "`../x` is not a prefix"),
            ("file:///mnt", "`file://` is not known: write a folder"),
            ("gs://bucket", "`gs://` is not known"),
        ] {
            let error = text.parse::<Place>().expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn a_place_further_down_is_of_the_same_kind() {
        for (place, below) in
            [("/a", "/a/b"), ("s3://bucket", "s3://bucket/b"), ("s3://bucket/a", "s3://bucket/a/b")]
        {
            assert_eq!(place.parse::<Place>().unwrap().below("b").to_string(), below);
        }
    }

    #[test]
    fn a_url_is_a_scheme_a_host_and_perhaps_a_port() {
        for text in ["http://127.0.0.1:8333", "https://s3.example.com", "http://[::1]:80"] {
            assert_eq!(text.parse::<Url>().unwrap().as_str(), text);
            assert_eq!(format!("{text}/").parse::<Url>().unwrap().as_str(), text);
        }
        for (text, hint) in [
            ("127.0.0.1:8333", "write `https://127.0.0.1:8333`"),
            ("ftp://host", "no scheme"),
            ("http://", "is not a host"),
            ("http://host:port", "is not a host"),
            ("http://host/bucket", "more than a host"),
        ] {
            let error = text.parse::<Url>().expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
        let error = "https://me:hunter2@host".parse::<Url>().unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
