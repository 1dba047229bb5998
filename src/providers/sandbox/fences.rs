//! The highest fencing token seen for each node. Kept beside the sandboxes and not inside, so that a controller that wakes up
//! after the node was destroyed cannot make it again.

use super::{FencingToken, ProviderError, failed};
use crate::machine::files;
use crate::model::id::NodeId;
use std::path::Path;

/// Where they are kept, below the sandboxes.
pub(super) const FOLDER: &str = ".fences";

/// Refuses a token below the highest seen, and remembers a higher one.
pub(super) fn raise(root: &Path, node: &NodeId, given: FencingToken) -> Result<(), ProviderError> {
    let path = root.join(FOLDER).join(node.as_str());
    let seen: Option<FencingToken> = match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).map_err(|e| ProviderError::Denied {
            why: format!("the fencing token in {} cannot be read: {e}", path.display()),
        })?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed("the fencing token cannot be read", &error)),
    };
    match seen {
        Some(seen) if given < seen => return Err(ProviderError::Fenced { given, seen }),
        Some(seen) if given == seen => return Ok(()),
        _ => {}
    }
    let text = serde_json::to_vec(&given).map_err(|e| ProviderError::Retry { why: e.to_string() })?;
    files::replace(&path, &text, 0o600).map_err(|e| failed("the fencing token cannot be written", &e))
}
