//! What is in force: what the configuration says of the gateway, and what the API has defined beside it.

use std::fmt::{self, Display, Formatter};

use mainstay_base::error::{Classify, Code};
use mainstay_base::id::Name;
use mainstay_base::time::Instant;
use mainstay_gateway::book::{self, Book, Kind};
use mainstay_gateway::config::{Definitions, Misfit, Route};
use mainstay_gateway::explanation::{self, Asked, Explanation};
use mainstay_gateway::snapshot::Snapshot;
use mainstay_machine::definition::Origin;
use mainstay_upstream::Config as Service;
use mainstay_upstream::config::Tls;

use super::view::{Defined, dns, endpoints, guards};
use super::written::wrong_faults;
use super::{Written, store};

/// What is in force. All of it goes together.
#[derive(Debug, Clone)]
pub struct InForce {
    /// What the configuration says.
    pub written: Written,
    /// Every definition with its history.
    pub book: Book,
    /// Those that requests see.
    pub definitions: Definitions,
}

/// Why definitions are not put in force.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The change itself cannot be.
    #[error(transparent)]
    Book(#[from] book::Error),
    /// They do not go together.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Misfits(Vec<Finding>),
    /// They could not be kept.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Another change was under way for too long.
    #[error("another change or a reload was under way until the deadline: nothing was begun, try again")]
    Deadline,
}

/// Something that does not go together with the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The definition that it is about, if it is about one.
    pub of: Option<(Kind, Name)>,
    /// Where that is written: a file with its line, or the API.
    pub place: String,
    /// The JSON Pointer to it, within the definition.
    pub pointer: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Classify for Refused {
    fn code(&self) -> Code {
        match self {
            Self::Book(error) => error.code(),
            Self::Misfits(_) => Code::Invalid,
            Self::Store(error) => error.code(),
            Self::Deadline => Code::Deadline,
        }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { of, place, pointer, reason } = self;
        if let Some((kind, name)) = of {
            write!(f, "the {kind} \"{name}\" of {place}: ")?;
        }
        if !pointer.is_empty() {
            write!(f, "{pointer}: ")?;
        }
        f.write_str(reason)
    }
}

impl InForce {
    /// What a configuration says, which was checked, with what the API has defined. Errors: they do not go together.
    pub fn new(written: Written, book: Book) -> Result<Self, Refused> {
        let definitions = book.merged(&written.definitions)?;
        let mut misfits = definitions.check();
        misfits.extend(faults_of_api(&definitions, &book));
        misfits.extend(programs_of_api(&definitions, &book));
        misfits.extend(files_of_api(&definitions, &book));
        if misfits.is_empty() {
            return Ok(Self { written, book, definitions });
        }
        let findings = misfits.into_iter().map(|misfit| finding(misfit, &definitions, &book));
        Err(Refused::Misfits(findings.collect()))
    }

    /// What is in force of a kind, by name; of services also what guards them in a snapshot, and how their endpoints are now.
    pub fn all(&self, kind: Kind, snapshot: &Snapshot, now: Instant) -> Vec<Defined> {
        let shown = self.book.in_force(kind).map(|record| Defined::of(record));
        match kind {
            Kind::Route => shown.collect(),
            Kind::Service => {
                let live = |it: Defined| {
                    let (guards, endpoints) =
                        (guards(snapshot, &it.name), endpoints(snapshot, &it.name, now));
                    Defined { guards, endpoints, dns: dns(snapshot, &it.name, now), ..it }
                };
                shown.map(live).collect()
            }
        }
    }

    /// What would become of a request. Errors: it cannot be one.
    pub fn explain(&self, asked: &Asked) -> Result<Explanation, explanation::Error> {
        self.definitions.explain(asked, &self.written.settings.paths)
    }
}

/// Faults in routes that are defined over the API, which would outlive the drill that they are for.
fn faults_of_api(definitions: &Definitions, book: &Book) -> Vec<Misfit> {
    let is_of_api = |route: &Route| {
        let record = book.get(Kind::Route, &route.name);
        record.is_some_and(|record| matches!(record.origin, Origin::Api { .. }))
    };
    let told = ("are not kept for a route of the API", "put them at `/v1/faults`");
    wrong_faults(&definitions.routes, is_of_api, told)
}

/// Programs of services that are defined over the API: whoever may call it need not be one who may start programs here.
fn programs_of_api(definitions: &Definitions, book: &Book) -> Vec<Misfit> {
    let with_program = services_of_api(definitions, book).filter(|(_, service)| service.run.is_some());
    let wrong = with_program.map(|(name, _)| {
        let told = Misfit::new(&["services", name.as_str(), "run"], "is not taken from the API");
        told.help("say it in the configuration: whoever may call the API starts no programs")
    });
    wrong.collect()
}

/// Files that services of the API name: whoever may call it need not be one who may read them here.
fn files_of_api(definitions: &Definitions, book: &Book) -> Vec<Misfit> {
    let with_files = |service: &Service| service.tls.on().is_some_and(Tls::has_files);
    let wrong = services_of_api(definitions, book).filter(|(_, service)| with_files(service)).map(|(name, _)| {
        let told = Misfit::new(&["services", name.as_str(), "tls"], "names files, which are not taken from the API");
        told.help("say `ca`, `cert` and `key` in the configuration; over the API TLS goes by what the system trusts")
    });
    wrong.collect()
}

fn services_of_api<'a>(
    definitions: &'a Definitions,
    book: &Book,
) -> impl Iterator<Item = (&'a Name, &'a Service)> {
    definitions.services.iter().filter(|(name, _)| {
        let record = book.get(Kind::Service, name);
        record.is_some_and(|record| matches!(record.origin, Origin::Api { .. }))
    })
}

/// A misfit of definitions, as one of the definition by its name.
fn finding(misfit: Misfit, definitions: &Definitions, book: &Book) -> Finding {
    let keys: Vec<&str> = misfit.path.iter().map(String::as_str).collect();
    let (of, rest) = match keys.as_slice() {
        ["routes", number, rest @ ..] => {
            let route = number.parse().ok().and_then(|number: usize| definitions.routes.get(number));
            (route.map(|route| (Kind::Route, route.name.clone())), rest)
        }
        ["services", name, rest @ ..] => (name.parse().ok().map(|name| (Kind::Service, name)), rest),
        all => (None, all),
    };
    let origin = of.as_ref().and_then(|(kind, name)| book.get(*kind, name)).map(|record| &record.origin);
    let place = match origin {
        Some(Origin::File(source)) => source.to_string(),
        Some(Origin::Api { .. }) | None => "the API".to_owned(),
    };
    let pointer = rest.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect();
    let reason = match misfit.help {
        Some(help) => format!("{}; {help}", misfit.message),
        None => misfit.message,
    };
    Finding { of, place, pointer, reason }
}
