//! TLS of a listener: its certificates, whom it lets in, and what outlives a reload.
//!
//! A [`Tls`] never changes. A reload makes the [`next`](Tls::next) one of new [`Settings`], and connections that are open go on under the one that they began
//! with. Nothing is read here: certificates and keys come as the text of their files, and every mistake in them is told at once, with the place that it is at.
//!
//! Client authentication holds for the listener, not for a name: a client chooses the name that it sends, and could choose that of a weaker rule. For the same
//! reason tickets are worth nothing under other rules than those that they were given under.

mod certificate;
mod clients;
mod names;
mod peer;
mod subject;

use std::fmt;
use std::sync::Arc;

use mainstay_base::time::{Clock, Timestamp};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::UnixTime;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use certificate::Certificate;
use clients::Rules;
use names::Names;
pub use peer::{Fingerprint, Peer, San, Unfit};

/// The protocols that may be spoken over TLS, best first (ALPN, RFC 7301).
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What a listener's TLS is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// At least one. The first is for clients that send no name or an unknown one.
    pub certificates: Vec<Pair>,
    /// Whether clients have certificates.
    pub clients: Clients,
    /// The versions of TLS that are spoken.
    pub versions: Versions,
    /// Whether a client that comes back may skip most of the handshake.
    pub session_resumption: bool,
    /// Whether a client that sends no name or an unknown one is refused.
    pub strict_sni: bool,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate, followed by those of the authorities between it and the root.
    pub cert: Pem,
    /// The private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: Pem,
}

/// The text of a file in PEM (RFC 7468). It may be a secret, and is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// What the file is called in messages.
    pub from: String,
    /// What it holds.
    pub text: String,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({})", self.from)
    }
}

/// Whether clients have certificates.
#[derive(Debug, Clone)]
pub enum Clients {
    /// They are not asked for one.
    NotAsked,
    /// They are asked, and may have none. One that these authorities did not sign is refused.
    Asked(Pem),
    /// They must have one that these authorities signed.
    Required(Pem),
}

/// The versions of TLS that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    Both,
    /// 1.2 alone.
    Tls12,
    /// 1.3 alone.
    Tls13,
}

impl Versions {
    fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Both => vec![&TLS13, &TLS12],
            Self::Tls12 => vec![&TLS12],
            Self::Tls13 => vec![&TLS13],
        }
    }
}

/// The part of [`Settings`] that a diagnostic is about. Numbers count from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// All certificates.
    Certificates,
    /// The certificate of this pair.
    Cert(usize),
    /// The key of this pair.
    Key(usize),
    /// The authorities of clients.
    ClientCa,
}

/// One mistake, or what is likely to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it is.
    pub at: At,
    /// What is wrong, with the file that it is in.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Diagnostic {
    fn new(at: At, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: help.into() }
    }
}

/// TLS of a listener, as one reload made it.
#[derive(Debug)]
pub struct Tls {
    server: Arc<ServerConfig>,
    rules: Rules,
    /// What seals tickets; `None` without resumption.
    ticketer: Option<Arc<dyn ProducesTickets>>,
    warnings: Vec<Diagnostic>,
}

impl Tls {
    /// TLS of these settings, with new ticket keys. Errors: every mistake, in the order of the settings.
    pub fn new(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Self, Vec<Diagnostic>> {
        Self::make(settings, clock, None)
    }

    /// What follows this one. Sessions are resumed across the change if it leaves alone whether clients have certificates and who signs them; otherwise
    /// clients do a whole handshake, under the new rules. Errors: every mistake, in the order of the settings; this one may stay in force.
    pub fn next(&self, settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Self, Vec<Diagnostic>> {
        Self::make(settings, clock, Some(self))
    }

    fn make(
        settings: &Settings,
        clock: &Arc<dyn Clock>,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let provider = Arc::new(ring::default_provider());
        let (now, mut warnings, mut mistakes) = (clock.wall(), Vec::new(), Vec::new());
        let certificates = certificates(settings, &provider, now, &mut mistakes);
        warnings.extend(certificates.iter().flat_map(|it| it.warnings.iter().cloned()));
        let names = Names::new(&certificates, settings.strict_sni).map_err(|found| mistakes.extend(found));
        let rules = Rules::new(&settings.clients, &provider, now).map_err(|found| mistakes.extend(found));
        let (Ok(names), Ok((rules, verifier, found)), true) = (names, rules, mistakes.is_empty()) else {
            return Err(mistakes);
        };
        warnings.extend(found);
        let ticketer = settings.session_resumption.then(|| {
            let kept = previous.filter(|it| it.rules == rules).and_then(|it| it.ticketer.clone());
            kept.unwrap_or_else(|| ring::Ticketer::new().expect("the system has randomness"))
        });
        let mut server = ServerConfig::builder_with_details(provider, Arc::new(Time(Arc::clone(clock))))
            .with_protocol_versions(&settings.versions.supported())
            .expect("the provider has suites for either version")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(names));
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        // What is sent before the handshake is done could be sent again by somebody else (RFC 8446, section 8).
        server.max_early_data_size = 0;
        // Sessions are in tickets, which clients keep; a cache here would be one more thing that a reload has to mind.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(ticketer) = &ticketer {
            server.ticketer = Arc::clone(ticketer);
        }
        Ok(Self { server: Arc::new(server), rules, ticketer, warnings })
    }

    /// The same without protocols to agree on: whatever a client speaks over it is passed on.
    #[must_use]
    pub fn of_anything(self) -> Self {
        let mut server = ServerConfig::clone(&self.server);
        server.alpn_protocols = Vec::new();
        Self { server: Arc::new(server), ..self }
    }

    /// What accepts connections. It is one for all threads, which share its ticket keys.
    pub fn server(&self) -> &Arc<ServerConfig> {
        &self.server
    }

    /// What is in force although clients may refuse it: certificates out of their time or close to it, and the like.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

fn certificates(
    settings: &Settings,
    provider: &CryptoProvider,
    now: Timestamp,
    mistakes: &mut Vec<Diagnostic>,
) -> Vec<Certificate> {
    if settings.certificates.is_empty() {
        let help = "give it one, such as that of `mainstay certs dev`";
        mistakes.push(Diagnostic::new(At::Certificates, "there is no certificate", help));
    }
    let read = settings.certificates.iter().enumerate();
    let read = read.map(|(number, pair)| Certificate::read(number, pair, provider, now));
    read.filter_map(|read| read.map_err(|found| mistakes.extend(found)).ok()).collect()
}

/// The clock, for what certificates of clients and tickets are judged by.
struct Time(Arc<dyn Clock>);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let since = std::time::Duration::from_micros(self.0.wall().as_micros());
        Some(UnixTime::since_unix_epoch(since))
    }
}
