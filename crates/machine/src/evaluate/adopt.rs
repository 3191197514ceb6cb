//! Definitions come to a shard: those of a later revision, in its own log.

use mainstay_base::error::Code;

use super::{Refusal, Stop};
use crate::definition;
use crate::outcome::OperationResult;
use crate::overlay::Overlay;
use crate::row::{RowKey, ShardMeta};
use crate::task::Adopt;

/// Writes what changed, unless the shard has a later revision already.
pub(super) fn adopt(adopt: &Adopt, overlay: &mut Overlay<'_>) -> Result<Vec<OperationResult>, Stop> {
    let revision = definition::revision(overlay)?;
    if revision >= adopt.to {
        return Ok(Vec::new());
    }
    if revision < adopt.after {
        let detail =
            format!("the shard has the definitions of revision {revision}, not those of {}", adopt.after);
        return Err(Refusal::new(Code::Conflict, detail).fact("revision", revision).into());
    }
    for (tenant, name, definition) in &adopt.changed {
        overlay.write(RowKey::definition(tenant, name), Some(definition.encode()));
    }
    overlay.write(RowKey::shard(), Some(ShardMeta { revision: adopt.to }.encode()));
    Ok(Vec::new())
}
