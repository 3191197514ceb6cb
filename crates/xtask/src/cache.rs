//! Where downloaded peers live: a folder that outlives every checkout, so that each is fetched once per machine.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// `$XDG_CACHE_HOME/mainstay`, or `~/.cache/mainstay`. Errors: neither variable is set.
#[expect(
    clippy::disallowed_methods,
    reason = "automation reads its own environment; it has no configuration"
)]
pub(crate) fn folder() -> Result<PathBuf> {
    let set = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME says where the cache is")?.join("mainstay"))
}
