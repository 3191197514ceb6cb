//! `mainstay routes`, `mainstay services`: what a configuration or a node that is up does with requests.
//!
//! Offline by default: what is written is looked at before it is in force. As JSON, what the API answers; for people, [`told`].

mod changes;
mod told;
mod watch;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use axum::http::Request;
use clap::{Args, Subcommand};
use mainstay_base::id::Name;
use mainstay_gateway::book::Kind;
use mainstay_gateway::explanation::{Asked, Explanation, Header};
use serde_json::{Value, json};

use super::ask::{Node, answer_timeout, typed};
use super::{FAILED, OK, OutputArg, Source, USAGE, failed, output};
use crate::config::{Config, Loaded};
use crate::gateway::{Defined, Written};
use changes::{Changes, Named};

/// The commands under `routes`.
#[derive(Debug, Subcommand)]
pub enum Routes {
    /// List the routes
    List(Target),
    /// Tell which route takes a request, why each other does not, and where the request goes; exits with 1 if none takes it
    Test(Test),
    #[command(flatten)]
    Definition(Changes),
}

/// The commands under `services`.
#[derive(Debug, Subcommand)]
pub enum Services {
    /// List the services; with `--live` also what guards them at the moment
    List(Target),
    /// List how each endpoint of a service is, on the node that is up
    Endpoints(Endpoints),
    /// Have so many instances of a service's program take calls, or tell how they are, on the node that is up
    Scale(Scale),
    #[command(flatten)]
    Definition(Changes),
}

/// Arguments of `services endpoints`.
#[derive(Debug, Args)]
pub struct Endpoints {
    #[command(flatten)]
    of: Named,
    /// Go on, and print what becomes of them as it happens, one line each
    #[arg(long)]
    watch: bool,
}

/// Arguments of `services scale`.
#[derive(Debug, Args)]
pub struct Scale {
    /// The service
    #[arg(value_name = "NAME")]
    name: Name,
    /// How many; `auto` leaves it to the definition, and to its rule if it has one. Without it, it is told how they are
    #[arg(value_name = "INSTANCES|auto", value_parser = wish)]
    instances: Option<Wish>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: OutputArg,
}

/// How many instances there are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Instances(u32),
    Auto,
}

fn wish(text: &str) -> Result<Wish, String> {
    if text == "auto" {
        return Ok(Wish::Auto);
    }
    text.parse().map(Wish::Instances).map_err(|_| "write a number of instances, or `auto`".to_owned())
}

/// Arguments of `routes test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The request's method
    #[arg(value_name = "METHOD")]
    method: String,
    /// Its URL, such as `https://shop.example/a?b=c`; or a path, with `-H 'host: shop.example'`
    #[arg(value_name = "URL")]
    url: String,
    /// A header that it has; repeatable
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<Header>,
    /// The name of the listener by which it comes in; by default one without a name. To be said where all have names and the answer depends on it
    #[arg(long, value_name = "NAME")]
    listener: Option<Name>,
    /// Where it comes from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    client: IpAddr,
    #[command(flatten)]
    target: Target,
}

/// What is looked at, and how it is printed.
#[derive(Debug, Clone, Args)]
pub struct Target {
    #[command(flatten)]
    source: Source,
    /// Ask the node that is up, instead of looking at the configuration alone
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    output: OutputArg,
}

/// What a command prints, and its exit code.
struct Answer {
    document: Value,
    text: String,
    code: u8,
}

/// Runs a command of `routes`, and returns the exit code. The error is that of writing the result.
pub fn routes(routes: &Routes) -> io::Result<u8> {
    match routes {
        Routes::List(target) => answered(target, |seen| {
            let document = seen.all(Kind::Route)?;
            let text = told::routes(&typed::<Vec<Defined>>(document["routes"].clone())?)?;
            Ok(Answer { document, text, code: OK })
        }),
        Routes::Test(test) => {
            let asked = test.asked();
            if let Err(wrong) = asked.check() {
                output::note(&format!("error: {wrong}"));
                return Ok(USAGE);
            }
            answered(&test.target, |seen| seen.explain(&asked))
        }
        Routes::Definition(changes) => changes::run(Kind::Route, changes),
    }
}

/// Runs a command of `services`, and returns the exit code. The error is that of writing the result.
pub fn services(services: &Services) -> io::Result<u8> {
    match services {
        Services::List(target) => answered(target, |seen| {
            let document = seen.all(Kind::Service)?;
            let text = told::services(&typed::<Vec<Defined>>(document["services"].clone())?, target.live)?;
            Ok(Answer { document, text, code: OK })
        }),
        Services::Endpoints(Endpoints { of, watch: true }) => watch::run(of),
        Services::Endpoints(Endpoints { of, .. }) => answered(&live(&of.source, &of.output), |seen| {
            let document = seen.one(Kind::Service, &of.name)?;
            let text = told::endpoints(&typed::<Defined>(document.clone())?);
            Ok(Answer { document, text, code: OK })
        }),
        Services::Scale(Scale { name, instances, source, output }) => {
            answered(&live(source, output), |seen| {
                let document = seen.scale(name, *instances)?;
                let text = told::scaled(name, &typed(document.clone())?);
                Ok(Answer { document, text, code: OK })
            })
        }
        Services::Definition(changes) => changes::run(Kind::Service, changes),
    }
}

/// What is only on a node that is up.
fn live(source: &Source, output: &OutputArg) -> Target {
    Target { source: source.clone(), live: true, output: output.clone() }
}

fn answered(target: &Target, answer: impl FnOnce(&Seen) -> Result<Answer>) -> io::Result<u8> {
    let Ok(loaded) = target.source.clone().loaded() else { return Ok(USAGE) };
    match Seen::of(target, &loaded).and_then(|seen| answer(&seen)) {
        Ok(Answer { document, text, code }) => {
            target.output.print(&document, &text)?;
            Ok(code)
        }
        Err(error) => Ok(failed(&error)),
    }
}

impl Test {
    fn asked(&self) -> Asked {
        let Self { method, url, headers, listener, client, .. } = self;
        let (headers, listener) = (headers.clone(), listener.clone());
        Asked { method: method.clone(), url: url.clone(), headers, listener, client: *client }
    }
}

/// What is looked at.
enum Seen {
    Written(Box<Written>),
    Live(Node, Duration),
}

impl Seen {
    fn of(target: &Target, loaded: &Loaded) -> Result<Self> {
        let config: &Config = &loaded.config;
        Ok(if target.live {
            Self::Live(Node::find(config)?, answer_timeout(config))
        } else {
            Self::Written(Box::new(Written::of(loaded)))
        })
    }

    /// All of a kind, as the API answers them.
    fn all(&self, kind: Kind) -> Result<Value> {
        let what = kind.plural();
        Ok(match self {
            Self::Written(written) => json!({ what: written.all(kind) }),
            Self::Live(node, timeout) => json!({ what: node.all(what, *timeout)? }),
        })
    }

    /// One of a kind, as the API answers it.
    fn one(&self, kind: Kind, name: &Name) -> Result<Value> {
        match self {
            Self::Written(written) => Ok(json!(written.all(kind).into_iter().find(|it| it.name == *name))),
            Self::Live(node, timeout) => {
                node.send(Request::get(format!("/v1/{}/{name}", kind.plural())), None::<&Value>, *timeout)
            }
        }
    }

    fn scale(&self, name: &Name, wish: Option<Wish>) -> Result<Value> {
        let Self::Live(node, timeout) = self else { anyhow::bail!("only a node that is up has instances") };
        let path = format!("/v1/services/{name}/scale");
        let instances = match wish {
            None => return node.send(Request::get(path), None::<&Value>, *timeout),
            Some(Wish::Instances(instances)) => Some(instances),
            Some(Wish::Auto) => None,
        };
        node.send(Request::put(path), Some(&json!({ "instances": instances })), *timeout)
    }

    fn explain(&self, asked: &Asked) -> Result<Answer> {
        let document = match self {
            Self::Live(node, timeout) => {
                node.send(Request::post("/v1/matches"), Some(&json!(asked)), *timeout)?
            }
            Self::Written(written) => json!(written.explain(asked)?),
        };
        let explanation: Explanation = typed(document.clone())?;
        let code = if explanation.route.is_some() { OK } else { FAILED };
        Ok(Answer { document, text: told::explained(&explanation), code })
    }
}

fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or("write a name, a colon and a value: 'x-user: ada'")?;
    Ok(Header { name: name.trim().to_owned(), value: value.trim().to_owned() })
}
