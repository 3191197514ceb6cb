//! `mainstay items`: what a person does to single items of a node that is up, over its API.

use std::fmt::Write;
use std::io;

use anyhow::Result;
use axum::http::Request;
use clap::{Args, Subcommand};
use mainstay_base::id::Name;
use mainstay_base::key::Key;
use serde_json::json;

use super::ask::{Node, answer_timeout};
use super::{OK, Output, OutputArg, Source, USAGE, failed, output};
use crate::config::Config;

/// The commands under `items`.
#[derive(Debug, Subcommand)]
pub enum Items {
    /// Keep an item as it is, past its end too, until all of its holds are released
    Hold(Hold),
    /// Release a hold of an item
    Release(Hold),
}

/// A hold of an item.
#[derive(Debug, Args)]
pub struct Hold {
    /// The item's collection
    collection: Name,
    /// The item's key
    key: Key,
    /// The hold's name, such as that of a case
    #[arg(value_name = "HOLD")]
    name: Name,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: OutputArg,
}

/// Runs a command, and returns the exit code. The error is that of writing the result.
pub fn run(items: &Items) -> io::Result<u8> {
    let (Items::Hold(hold) | Items::Release(hold)) = items;
    let Ok(config) = hold.source.clone().load() else { return Ok(USAGE) };
    if let Err(error) = change(items, hold, &config) {
        return Ok(failed(&error));
    }
    let Hold { collection, key, name, .. } = hold;
    let is_held = matches!(items, Items::Hold(_));
    match hold.output.output {
        Output::Json => {
            output::json(&json!({ "collection": collection, "key": key, "hold": name, "is_held": is_held }))?;
        }
        Output::Human if is_held => output::text(&format!("{name} holds the item {collection}/{key}\n"))?,
        Output::Human => output::text(&format!("{name} does not hold the item {collection}/{key}\n"))?,
    }
    Ok(OK)
}

fn change(items: &Items, Hold { collection, key, name, .. }: &Hold, config: &Config) -> Result<()> {
    let path = format!("/v1/collections/{collection}/holds/{name}/items/{}", encoded(key));
    let request = match items {
        Items::Hold(_) => Request::put(path),
        Items::Release(_) => Request::delete(path),
    };
    Node::find(config)?.send(request, None, answer_timeout(config)).map(drop)
}

/// The key as a path has it: what is not unreserved percent-encoded (RFC 3986, section 2.3), slashes as they are.
fn encoded(key: &Key) -> String {
    key.as_str().bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(byte.into());
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string does not fail");
        }
        text
    })
}
