//! The highest fencing token seen for each node, for providers that keep folders of their nodes. Kept beside those folders and
//! not inside, so that a controller that wakes up after the node was destroyed cannot make it again.

use super::{FencingToken, ProviderError, failed};
use crate::machine::files;
use crate::model::id::NodeId;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Where they are kept, below the provider's folder.
pub(super) const FOLDER: &str = ".fences";

const KEPT: Duration = Duration::from_hours(24);

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

/// Forgets the tokens of nodes that have been gone for a day: no controller from before then still tries. What cannot be
/// read or removed stays, and is looked at again the next time.
pub(super) fn prune(root: &Path, now: SystemTime) {
    let Ok(entries) = std::fs::read_dir(root.join(FOLDER)) else {
        return;
    };
    for entry in entries.flatten() {
        let written = entry.metadata().and_then(|m| m.modified()).ok();
        let old = written
            .and_then(|at| now.duration_since(at).ok())
            .is_some_and(|age| age > KEPT);
        if old && !root.join(entry.file_name()).exists() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Ids, SystemIds};

    #[test]
    fn tokens_are_forgotten_once_their_node_has_been_gone_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join(FOLDER)).unwrap();
        let [gone, lives] = [(); 2].map(|()| NodeId::from_bits(SystemIds.next()));
        let token = FencingToken { term: 1, epoch: 1 };
        raise(root, &gone, token).unwrap();
        raise(root, &lives, token).unwrap();
        std::fs::create_dir(root.join(lives.as_str())).unwrap();
        let there = |node: &NodeId| root.join(FOLDER).join(node.as_str()).exists();
        prune(root, SystemTime::now() + KEPT / 2);
        assert!(there(&gone) && there(&lives));
        prune(root, SystemTime::now() + KEPT * 2);
        assert!(!there(&gone) && there(&lives));
    }
}
