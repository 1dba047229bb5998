//! Code for nodes that can reach neither the server's mirrors nor, without anyone's credentials, the repositories.

use super::super::{Control, ControlError, Result};
use crate::model::id::NodeId;
use crate::model::name::{AppName, CommitId};
use crate::model::stack::{StackApp, StackSpec};
use tokio::fs::File;

impl Control {
    /// A commit of an app with all that led to it, and how many bytes that is: for a node whose stack runs the app at this
    /// commit, or ran it before the update that is under way.
    ///
    /// # Errors
    /// `not-found` for every other commit; `revision-not-found`, `disk-full`.
    pub async fn open_node_source(&self, node: &NodeId, app: &str, commit: &str) -> Result<(File, u64)> {
        let missing = || ControlError::not_found("code for this node", &format!("{app}@{commit}"));
        let (Ok(name), Ok(wanted)) = (app.parse::<AppName>(), commit.parse::<CommitId>()) else {
            return Err(missing());
        };
        let row = self.live_node(node).await?;
        let stack = self.store.stack(&row.stack).await?.ok_or_else(missing)?;
        let runs = |spec: &StackSpec| -> Option<StackApp> {
            let found = spec.apps.iter().find(|a| a.app == name && a.commit == wanted);
            found.cloned()
        };
        let found = runs(&stack.spec).or_else(|| stack.previous.as_ref().and_then(runs));
        let version = found.ok_or_else(missing)?.descriptor_version;
        let descriptor = self.store.app_descriptor(&name, version).await?.ok_or_else(missing)?;
        let path = self.mirrors.bundle(&descriptor.spec.repository, &wanted).await?;
        let file = File::open(path).await.map_err(|_| missing())?;
        let length = file.metadata().await.map_err(|_| missing())?.len();
        Ok((file, length))
    }
}
