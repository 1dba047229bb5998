//! Making a node: what it starts from, its network, its container, its token; each found again where an earlier call was cut off.

use super::engine::{found, message};
use super::images::{self, Program};
use super::record::Record;
use super::subnet::Subnet;
use super::{Inner, NodeHandle, NodeSpec, ProviderError, archive, container, failed, networks, runs, tags};
use crate::model::id::NodeId;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder, LogsOptionsBuilder, StartContainerOptions,
};
use futures_util::TryStreamExt;

impl Inner {
    /// Makes a node, or what an earlier call left out of it.
    pub(super) async fn make(&self, spec: &NodeSpec) -> Result<NodeHandle, ProviderError> {
        let folder = self.folder(&spec.node);
        let mut record = Record::of(&folder, spec)?;
        self.point("recorded")?;
        let name = tags::name(&spec.node);
        let there = self.look(&spec.node).await?;
        let is_new = there.is_none();
        if let Some(there) = &there {
            if !runs(there) {
                self.start_container(&spec.node, &record).await?;
            }
        } else {
            let start = {
                let _one_at_a_time = self.making_image.lock().await;
                images::choose(
                    &self.engine,
                    spec.image.as_deref(),
                    &self.options.image,
                    &self.program().await?,
                )
                .await?
            };
            self.point("image")?;
            let subnet = networks::ensure(&self.engine, self.pool, spec, &self.server, record.subnet).await?;
            if record.subnet != Some(subnet) {
                record.subnet = Some(subnet);
                record.write(&folder)?;
            }
            self.point("network")?;
            self.create(spec, &start, subnet).await?;
            if start.stale {
                let (folder, program) = (images::PROGRAM_FOLDER, images::PROGRAM);
                archive::put_program(&self.engine, &name, folder, program, &self.options.agent_program).await?;
            }
            self.point("container")?;
        }
        // A repeated call may bring another token, and the newest counts, until the node is registered.
        if is_new || !self.is_registered(&name).await? {
            let token = spec.bootstrap.token.as_bytes();
            archive::put_text(&self.engine, &name, container::AGENT, "token", 0o600, token).await?;
        }
        self.point("token")?;
        if is_new {
            self.start_container(&spec.node, &record).await?;
        }
        self.point("started")?;
        self.handle(&spec.node, &record, |name| spec.ports.contains(name))
    }

    /// This very program, hashed once.
    pub(super) async fn program(&self) -> Result<Program<'_>, ProviderError> {
        if self.program.get().is_none() {
            let path = self.options.agent_program.clone();
            let read = move || std::fs::File::open(&path).and_then(crate::model::secret::hash_all);
            let hash = tokio::task::spawn_blocking(read)
                .await
                .map_err(std::io::Error::other)
                .flatten();
            let (_, hash) = hash.map_err(|e| failed("the agent's program cannot be read", &e))?;
            let _ = self.program.set(hash);
        }
        Ok(Program {
            path: &self.options.agent_program,
            hash: self.program.get().map_or("", String::as_str),
            server: &self.server,
        })
    }

    async fn create(&self, spec: &NodeSpec, start: &images::Start, subnet: Subnet) -> Result<(), ProviderError> {
        let client = self.engine.client().await?;
        loop {
            let limits_disk = self.limits_disk.get().copied().unwrap_or(true);
            let options = CreateContainerOptionsBuilder::new().name(&tags::name(&spec.node)).build();
            let body = container::body(&self.options, spec, &self.server, start, subnet, limits_disk);
            match client.create_container(Some(options), body).await {
                Ok(_) => {
                    let _ = self.limits_disk.set(limits_disk);
                    return Ok(());
                }
                Err(error) if limits_disk && message(&error).contains("storage-opt") => {
                    // Only some file systems can, and the engine does not say so beforehand.
                    let _ = self.limits_disk.set(false);
                }
                Err(error) => return Err(self.engine.failed("the container cannot be made", &error)),
            }
        }
    }

    async fn is_registered(&self, container: &str) -> Result<bool, ProviderError> {
        let client = self.engine.client().await?;
        let path = format!("{}/registered", container::AGENT);
        let options = ContainerArchiveInfoOptionsBuilder::new().path(&path).build();
        let there = found(client.get_container_archive_info(container, Some(options)).await);
        there
            .map(|there| there.is_some())
            .map_err(|e| self.engine.failed("the agent's folder cannot be looked at", &e))
    }

    /// Starts a node's container, and holds that it stays.
    pub(super) async fn start_container(&self, node: &NodeId, record: &Record) -> Result<(), ProviderError> {
        let client = self.engine.client().await?;
        let name = tags::name(node);
        let start = || client.start_container(&name, None::<StartContainerOptions>);
        if let Err(error) = start().await {
            let said = message(&error);
            let Some(subnet) = record.subnet.filter(|_| said.contains("network")) else {
                return Err(self.engine.failed("the container cannot be started", &error));
            };
            // Tidying up an engine takes networks away that no running container is on.
            tracing::warn!(%node, said, "the container has lost its network; making it again");
            let labels = self
                .look(node)
                .await?
                .and_then(|c| c.config)
                .and_then(|c| c.labels)
                .unwrap_or_default();
            networks::mend(&self.engine, self.pool, &name, labels, subnet).await?;
            start()
                .await
                .map_err(|e| self.engine.failed("the container cannot be started", &e))?;
        }
        match self.look(node).await? {
            Some(there) if runs(&there) => Ok(()),
            _ => Err(ProviderError::Retry {
                why: format!("the container {name} ended at once: {}", self.last_words(&name).await),
            }),
        }
    }

    async fn last_words(&self, container: &str) -> String {
        let Ok(client) = self.engine.client().await else {
            return String::new();
        };
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail("3").build();
        let lines = client.logs(container, Some(options)).map_ok(|line| line.to_string());
        let lines: Vec<String> = lines.try_collect().await.unwrap_or_default();
        match lines.concat().trim() {
            "" => "it said nothing".to_owned(),
            said => said.replace('\n', " / "),
        }
    }
}
