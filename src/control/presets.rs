//! Presets: launches that people keep under a name. A launch that names one starts from it.

use super::images::require_operator;
use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::name::StackName;
use crate::model::stack::StackState;
use crate::store::presets::PresetRow;
use crate::wire::presets::{PoolState, PresetBody, PresetView};
use crate::wire::stacks::LaunchRequest;

impl Control {
    /// All presets by name, each with how its pool is doing.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_presets(&self, _actor: &Actor) -> Result<Vec<PresetView>> {
        let mut views = Vec::new();
        for row in self.store.presets().await? {
            views.push(self.preset_view(row).await?);
        }
        Ok(views)
    }

    /// One preset.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_preset(&self, _actor: &Actor, name: &str) -> Result<PresetView> {
        self.preset_view(self.find_preset(name).await?).await
    }

    /// Keeps a launch under a name, in the place of the one before. It must be one that would work now.
    ///
    /// # Errors
    /// As a launch; `invalid-request` for the pool; `not-allowed` below operator.
    pub async fn save_preset(&self, actor: &Actor, name: &str, body: &PresetBody) -> Result<PresetView> {
        require_operator(actor)?;
        let owner = Self::launcher(actor)?;
        if let Err(error) = name.parse::<StackName>() {
            return Err(ControlError::field("name", error));
        }
        let mut fields = Vec::new();
        if body.title.trim().is_empty() {
            fields.push(super::stacks::problem("title", "say what to call it"));
        }
        if body.launch.preset.is_some() || body.launch.name.is_some() || body.launch.idempotency_key.is_some() {
            fields.push(super::stacks::problem(
                "launch",
                "a preset names no other preset, no stack and no key",
            ));
        }
        let pool = body
            .pool
            .as_ref()
            .map(crate::model::pool::PoolSpec::problems)
            .unwrap_or_default();
        fields.extend(pool.into_iter().map(|(field, why)| super::stacks::problem(&field, why)));
        if let Some(first) = fields.first() {
            let mut error = ControlError::new("invalid-request", "The preset has errors");
            error.fault.why = first.message.clone();
            error.fields = fields;
            return Err(error);
        }
        // What would not work now would not work for whoever picks it.
        self.draft(&body.launch).await?;
        let mut tx = self.store.write(actor, "preset.save", name).await?;
        tx.detail(&body.title);
        tx.put_preset(name, body, &owner).await?;
        tx.commit().await?;
        self.show_preset(actor, name).await
    }

    /// Forgets a preset; the members of its pool go.
    ///
    /// # Errors
    /// `not-found`; `not-allowed` below operator.
    pub async fn remove_preset(&self, actor: &Actor, name: &str) -> Result<()> {
        require_operator(actor)?;
        let mut tx = self.store.write(actor, "preset.remove", name).await?;
        if !tx.delete_preset(name).await? {
            return Err(ControlError::not_found("preset", name));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Pauses a preset's pool: nothing is made for it, and what is there stays. Or lets it go on, as if it had never failed.
    ///
    /// # Errors
    /// `not-found`; `not-allowed` below operator.
    pub async fn pause_pool(&self, actor: &Actor, name: &str, paused: bool) -> Result<PresetView> {
        require_operator(actor)?;
        let verb = if paused { "pool.pause" } else { "pool.resume" };
        let mut tx = self.store.write(actor, verb, name).await?;
        if !tx.pause_pool(name, paused).await? {
            return Err(ControlError::not_found("preset", name));
        }
        tx.commit().await?;
        self.show_preset(actor, name).await
    }

    /// What a request asks for with its preset, where it names one; and whether it asks for exactly that.
    pub(super) async fn with_preset(&self, request: &LaunchRequest) -> Result<(LaunchRequest, bool)> {
        let Some(name) = request.preset.as_deref().map(str::trim).filter(|name| !name.is_empty()) else {
            return Ok((request.clone(), false));
        };
        let preset = self
            .store
            .preset(name)
            .await?
            .ok_or_else(|| ControlError::field("preset", format!("there is no preset `{name}`")))?;
        let kept = preset.body.launch;
        let mut merged = request.clone();
        merged.preset = None;
        if merged.apps.is_empty() {
            merged.apps.clone_from(&kept.apps);
        }
        for (key, choice) in &kept.data {
            merged.data.entry(key.clone()).or_insert(*choice);
        }
        merged.size = merged.size.or(kept.size);
        merged.lease = merged.lease.or_else(|| kept.lease.clone());
        merged.provider = merged.provider.or_else(|| kept.provider.clone());
        let same =
            merged.apps == kept.apps && merged.data == kept.data && merged.size == kept.size && merged.provider == kept.provider;
        Ok((merged, same))
    }

    async fn find_preset(&self, name: &str) -> Result<PresetRow> {
        let found = self.store.preset(name).await?;
        found.ok_or_else(|| ControlError::not_found("preset", name))
    }

    async fn preset_view(&self, row: PresetRow) -> Result<PresetView> {
        let state = if row.body.pool.is_some() {
            let members = self.store.pool_members(&row.name).await?;
            let count = |is: &dyn Fn(StackState) -> bool| members.iter().filter(|(stack, _)| is(stack.state)).count();
            Some(PoolState {
                hot: count(&|state| state == StackState::Ready),
                stopped: count(&|state| state == StackState::Stopped),
                making: count(&StackState::is_under_way),
                paused: row.paused,
                failures: row.failures,
                last_failure: row.last_failure.clone(),
                retry_at: row.retry_at,
            })
        } else {
            None
        };
        let names = self.store.user_names(std::slice::from_ref(&row.owner)).await?;
        Ok(PresetView {
            updated_by: names.get(&row.owner).cloned().unwrap_or_else(|| row.owner.to_string()),
            name: row.name,
            body: row.body,
            version: row.version,
            updated_at: row.updated_at,
            state,
        })
    }
}
