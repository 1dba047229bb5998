//! The step kinds that plans are made of, one file a kind. Each says how its effect may be repeated, and how it is undone.
//!
//! | kind | effect | class | undo |
//! |---|---|---|---|
//! | `begin_stack` | none: holds the undo that settles the stack's state | convergent | stack becomes failed or tainted |
//! | `fetch_revision` | a commit is in the server's mirror | convergent | none needed |
//! | `create_database` | a database and role in a shared server | convergent | dropped |
//! | `create_node` | a node exists and its agent runs | keyed by node id | destroyed, proved gone |
//! | `configure_node` | the node's desired configuration | convergent | the one before |
//! | `converge_node` | none: waits for the agent's report | pure | none needed |
//! | `check_page` | none: asks pages | pure | none needed |
//! | `publish_stack` | stack becomes ready | convergent | none needed: nothing after it can fail |
//! | `start_node` | a stopped node runs again | convergent | stopped |
//! | `stop_node`, `rest_stack` | a node is off, its stack sleeps | convergent | only forward |
//! | `bake_node` | a stopped node is kept as an image | keyed by what is in it | none needed: an image is a gain |
//! | `destroy_node`, `drop_databases`, `forget_stack` | the opposite | convergent | only forward |

pub mod bake_node;
pub mod basis;
pub mod begin_stack;
pub mod bundles;
pub mod check_page;
pub mod configure_node;
pub mod converge_node;
pub mod create_database;
pub mod create_node;
pub mod destroy_node;
pub mod fetch_revision;
pub mod fleet;
pub mod production;
pub mod publish_stack;
pub mod stop_node;
pub mod view;

use crate::engine::kind::{StepError, StepKind, StepKinds};
use crate::git::Mirrors;
use crate::model::fault::Fault;
use crate::model::id::{NodeId, StackId};
use crate::model::stack::Stack;
use crate::providers::postgres::DatabaseServer;
use crate::providers::{FencingToken, NodeHandle, Provider, ProviderError, Providers};
use crate::store::Store;
use serde_json::Value;
use std::sync::Arc;

/// What the steps work with.
#[derive(Debug)]
pub struct Tools {
    /// The database.
    pub store: Store,
    /// Where nodes come from.
    pub providers: Providers,
    /// The mirrors of repositories.
    pub mirrors: Mirrors,
    /// The recipes.
    pub bundles: bundles::Bundles,
    /// The server's address as nodes reach it.
    pub server_url: String,
    /// The server that `postgres` resources get databases in.
    pub postgres: Option<DatabaseServer>,
    /// Asks pages.
    pub http: reqwest::Client,
}

/// All the kinds.
pub fn kinds(tools: &Arc<Tools>) -> StepKinds {
    let all: [Arc<dyn StepKind>; 15] = [
        Arc::new(begin_stack::BeginStack(Arc::clone(tools))),
        Arc::new(fetch_revision::FetchRevision(Arc::clone(tools))),
        Arc::new(create_database::CreateDatabase(Arc::clone(tools))),
        Arc::new(create_database::DropDatabases(Arc::clone(tools))),
        Arc::new(create_node::CreateNode(Arc::clone(tools))),
        Arc::new(bake_node::BakeNode(Arc::clone(tools))),
        Arc::new(stop_node::StopNode(Arc::clone(tools))),
        Arc::new(stop_node::StartNode(Arc::clone(tools))),
        Arc::new(stop_node::RestStack(Arc::clone(tools))),
        Arc::new(destroy_node::DestroyNode(Arc::clone(tools))),
        Arc::new(destroy_node::ForgetStack(Arc::clone(tools))),
        Arc::new(configure_node::ConfigureNode(Arc::clone(tools))),
        Arc::new(converge_node::ConvergeNode(Arc::clone(tools))),
        Arc::new(check_page::CheckPage(Arc::clone(tools))),
        Arc::new(publish_stack::PublishStack(Arc::clone(tools))),
    ];
    StepKinds::new(all)
}

impl Tools {
    fn provider(&self, name: &str) -> Result<&Arc<dyn Provider>, StepError> {
        self.providers.get(name).ok_or_else(|| {
            StepError::Final(Fault::new(
                "provider-unknown",
                format!("This server has no provider `{name}`"),
            ))
        })
    }

    async fn handle(&self, node: &NodeId) -> Result<NodeHandle, StepError> {
        let row = self.store.node(node).await.map_err(Fault::from)?;
        let handle = row
            .and_then(|row| row.handle)
            .and_then(|value| serde_json::from_value(value).ok());
        handle.ok_or_else(|| StepError::Final(Fault::new("agent-lost", format!("The node {node} was never created"))))
    }

    // Stores where a node is reached; what a step that makes or starts one ends with.
    async fn keep_handle(&self, node: &NodeId, handle: &NodeHandle) -> Result<Value, StepError> {
        let handle =
            serde_json::to_value(handle).map_err(|e| Fault::new("internal", "A node's handle cannot be stored").why(e))?;
        let mut tx = self.store.journal().await.map_err(Fault::from)?;
        tx.set_node_created(node, &handle).await.map_err(Fault::from)?;
        tx.commit().await.map_err(Fault::from)?;
        Ok(handle)
    }

    async fn stack(&self, id: &StackId) -> Result<Stack, StepError> {
        let found = self.store.stack(id).await.map_err(Fault::from)?;
        found.ok_or_else(|| StepError::Final(Fault::new("not-found", format!("There is no stack {id}"))))
    }
}

/// What a provider's refusal means for a step.
pub(crate) fn provider_error(what: &str, error: &ProviderError) -> StepError {
    let fault = |code| Fault::new(code, what).why(error);
    match error {
        ProviderError::Retry { .. } => StepError::Failed(fault("provider-unavailable")),
        ProviderError::PortTaken { .. } => StepError::Failed(fault("port-taken")),
        ProviderError::Quota { .. } => StepError::Final(fault("capacity-exhausted")),
        ProviderError::DiskFull { .. } => StepError::Final(fault("disk-full")),
        ProviderError::Denied { .. } => StepError::Final(fault("provider-refused")),
        ProviderError::Known { fault, again: true } => StepError::Failed(fault.as_ref().clone()),
        ProviderError::Known { fault, again: false } => StepError::Final(fault.as_ref().clone()),
        // Someone newer drives this run; whatever this worker does now must not count.
        ProviderError::Fenced { .. } => StepError::Stopped,
    }
}

pub(crate) fn fencing(cx: &crate::engine::kind::StepContext) -> FencingToken {
    FencingToken {
        term: cx.term,
        epoch: cx.epoch,
    }
}
