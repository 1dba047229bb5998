//! Changing a stack: more time, other revisions, another try, the end.

use super::super::{Control, ControlError, Result};
use super::plan::{chosen_apps, with_dependencies};
use crate::model::actor::Actor;
use crate::model::descriptor::Descriptor;
use crate::model::fault::Fault;
use crate::model::id::StackId;
use crate::model::name::{AppName, RevisionName};
use crate::model::run::Signal;
use crate::model::stack::{Stack, StackSpec, StackState};
use crate::model::time::{parse_length, show_length};
use crate::plans::{destroy_stack, update_stack, view};
use crate::store::Tx;
use crate::wire::stacks::{Accepted, ExtendRequest, StackView, UpdateRequest};
use std::collections::BTreeMap;

impl Control {
    /// Gives a stack more time.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`, `lease-too-long`, `invalid-request`.
    pub async fn extend_stack(&self, actor: &Actor, id_or_name: &str, request: &ExtendRequest) -> Result<StackView> {
        let found = self.find_stack(id_or_name).await?;
        self.check_may_change(actor, &found).await?;
        let length = parse_length(&request.lease).map_err(|e| ControlError::field("lease", e))?;
        let mut tx = self.store.write(actor, "stack.extend", found.id.as_str()).await?;
        let mut stack = locked(&mut tx, &found.id).await?;
        refuse_ending(&stack)?;
        let until = tx.at().plus(length);
        if until > stack.lease_max {
            let most = show_length(stack.lease_max.since(tx.at()));
            let mut error = ControlError::new("lease-too-long", format!("{} may live {most} more at most", stack.name));
            error.fields.push(super::plan::problem("lease", format!("at most {most}")));
            return Err(error);
        }
        if length < 60_000 {
            return Err(ControlError::field("lease", "it must be at least one minute"));
        }
        stack.lease_until = until;
        tx.detail(format!("{} until {until}", stack.name));
        tx.update_stack(&mut stack).await?;
        tx.commit().await?;
        self.show_stack(actor, stack.id.as_str()).await
    }

    /// Brings some apps of a stack to other revisions.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`, `revision-not-found`, ...
    pub async fn update_stack(&self, actor: &Actor, id_or_name: &str, request: &UpdateRequest) -> Result<Accepted> {
        let found = self.find_stack(id_or_name).await?;
        self.check_may_change(actor, &found).await?;
        refuse_unless_serving(&found)?;
        let mut fields = Vec::new();
        let inventory = self.store.inventory();
        let asked = chosen_apps(&request.apps, &inventory, &mut fields);
        for name in asked.keys().filter(|name| !found.spec.apps.iter().any(|a| &a.app == *name)) {
            fields.push(super::plan::problem(
                &format!("apps.{name}"),
                format!("{} does not run it; launch a stack with it instead", found.name),
            ));
        }
        if let Some(first) = fields.first() {
            let mut error = ControlError::new("invalid-request", "The update has errors");
            error.fault.why = first.message.clone();
            error.fields = fields;
            return Err(error);
        }
        let wanted = self.respecified(&found, &asked).await?;
        self.start_update(actor, &found, wanted, "stack.update").await
    }

    /// Launches a failed stack again as it was asked for, or updates a tainted one again. Branches and tags are resolved
    /// anew, so that a fix that was pushed meanwhile counts.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`.
    pub async fn retry_stack(&self, actor: &Actor, id_or_name: &str) -> Result<Accepted> {
        let found = self.find_stack(id_or_name).await?;
        self.check_may_change(actor, &found).await?;
        match found.state {
            StackState::Tainted => {
                let mut target = found.clone();
                target.spec = found.previous.clone().unwrap_or_else(|| found.spec.clone());
                let asked = labels(&target.spec);
                let wanted = self.respecified(&target, &asked).await?;
                self.start_update(actor, &found, wanted, "stack.retry").await
            }
            StackState::Failed => {
                let chosen: BTreeMap<AppName, bool> = found
                    .spec
                    .apps
                    .iter()
                    .filter(|a| a.chosen)
                    .map(|a| (a.app.clone(), true))
                    .collect();
                let inventory = self.store.inventory();
                let descriptors = with_dependencies(&chosen, &inventory)?;
                let asked = labels(&found.spec);
                let mut apps = self.resolve(&asked, &descriptors, &inventory, true).await?;
                for app in &mut apps {
                    app.chosen = chosen.contains_key(&app.app);
                }
                let mut tx = self.store.write(actor, "stack.retry", found.id.as_str()).await?;
                let mut stack = locked(&mut tx, &found.id).await?;
                if stack.state != StackState::Failed {
                    return Err(conflict(&stack, "only a failed or tainted stack is tried again"));
                }
                stack.spec.apps = apps;
                stack.state = StackState::Building;
                let run = self.relaunch(&mut tx, &mut stack, &descriptors, actor).await?;
                tx.commit().await?;
                self.accepted(actor, &stack.id, &run).await
            }
            _ => Err(conflict(&found, "only a failed or tainted stack is tried again")),
        }
    }

    /// Destroys a stack, whatever state it is in; a launch or update under way is cancelled. Asking twice is asking once.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`.
    pub async fn destroy_stack(&self, actor: &Actor, id_or_name: &str) -> Result<Accepted> {
        let found = self.find_stack(id_or_name).await?;
        self.check_may_change(actor, &found).await?;
        let nodes: Vec<_> = self
            .store
            .live_nodes()
            .await?
            .into_iter()
            .filter(|node| node.stack == found.id)
            .map(|node| (node.id, node.provider))
            .collect();
        let mut tx = self.store.write(actor, "stack.destroy", found.id.as_str()).await?;
        let mut stack = locked(&mut tx, &found.id).await?;
        if matches!(stack.state, StackState::Destroying | StackState::Destroyed)
            && let Some(run) = stack.run.clone()
        {
            drop(tx);
            // Asked again while a clean-up waits for a person: that is the person's word to try again.
            if let Some(record) = self.store.run(&run).await?
                && record.run.state == crate::model::run::RunState::Blocked
            {
                let mut tx = self.store.write(actor, "run.retry", run.as_str()).await?;
                tx.insert_signal(&run, &Signal::Retry { step: None }, actor, None).await?;
                tx.commit().await?;
            }
            return self.accepted(actor, &stack.id, &run).await;
        }
        if stack.state.is_under_way()
            && let Some(run) = &stack.run
        {
            let reason = format!("{actor} destroys the stack");
            tx.insert_signal(run, &Signal::Cancel { reason }, actor, Some(&format!("destroy:{run}")))
                .await?;
        }
        stack.state = StackState::Destroying;
        let run = tx.insert_run(&destroy_stack::plan(&stack, &nodes), actor, None).await?;
        stack.run = Some(run.clone());
        tx.detail(stack.name.as_str());
        tx.update_stack(&mut stack).await?;
        tx.commit().await?;
        self.accepted(actor, &stack.id, &run).await
    }

    // What the stack should be with some apps at other revisions: the others stay at their commits.
    async fn respecified(&self, stack: &Stack, asked: &BTreeMap<AppName, Option<RevisionName>>) -> Result<StackSpec> {
        let inventory = self.store.inventory();
        let mut spec = stack.spec.clone();
        spec.bundle = Some(self.staging_bundle(&inventory));
        let present = view::descriptors(&self.store, &spec).await?;
        let mut changed: Vec<Descriptor> = Vec::new();
        for descriptor in &present {
            if !asked.contains_key(descriptor.name()) {
                continue;
            }
            // A newer descriptor counts where it needs nothing that the node was not made with.
            let newer = inventory.app(descriptor.name()).map(|record| &record.descriptor);
            let fits = |new: &&Descriptor| {
                new.spec.ports.keys().eq(descriptor.spec.ports.keys())
                    && new.spec.resources.keys().eq(descriptor.spec.resources.keys())
                    && new.spec.depends_on == descriptor.spec.depends_on
                    && new
                        .spec
                        .env
                        .iter()
                        .all(|(k, v)| !v.secret && v.generator.is_none() || descriptor.spec.env.contains_key(k))
            };
            changed.push(newer.filter(fits).unwrap_or(descriptor).clone());
        }
        for app in self.resolve(asked, &changed, &inventory, true).await? {
            let newest = changed
                .iter()
                .any(|d| d.name() == &app.app && inventory.app(&app.app).is_some_and(|r| r.descriptor == *d));
            for slot in spec.apps.iter_mut().filter(|slot| slot.app == app.app) {
                let version = if newest {
                    app.descriptor_version
                } else {
                    slot.descriptor_version
                };
                *slot = crate::model::stack::StackApp {
                    descriptor_version: version,
                    chosen: slot.chosen,
                    ..app.clone()
                };
            }
        }
        Ok(spec)
    }

    async fn start_update(&self, actor: &Actor, found: &Stack, wanted: StackSpec, verb: &str) -> Result<Accepted> {
        let provider = self.providers.get(&found.provider);
        let provider = provider.ok_or_else(|| {
            Fault::new(
                "provider-unknown",
                format!("This server has no provider `{}`", found.provider),
            )
        })?;
        let descriptors = view::descriptors(&self.store, &wanted).await?;
        self.compile_preview(&wanted, &descriptors, provider.as_ref()).await?;
        let mut tx = self.store.write(actor, verb, found.id.as_str()).await?;
        let mut stack = locked(&mut tx, &found.id).await?;
        refuse_unless_serving(&stack)?;
        if stack.version != found.version {
            return Err(conflict(&stack, "someone else changed it a moment ago"));
        }
        let Some(node) = stack.node.clone() else {
            return Err(conflict(&stack, "it has no server"));
        };
        let before = self.store.node(&node).await?.and_then(|row| row.desired);
        stack.previous = Some(std::mem::replace(&mut stack.spec, wanted));
        stack.state = StackState::Updating;
        stack.fault = None;
        let run = tx
            .insert_run(&update_stack::plan(&stack, &node, &descriptors, before), actor, None)
            .await?;
        stack.run = Some(run.clone());
        let changes: Vec<String> = stack.spec.apps.iter().map(|a| format!("{}@{}", a.app, a.revision)).collect();
        tx.detail(format!("{} to {}", stack.name, changes.join(", ")));
        tx.update_stack(&mut stack).await?;
        tx.commit().await?;
        self.accepted(actor, &stack.id, &run).await
    }
}

fn labels(spec: &StackSpec) -> BTreeMap<AppName, Option<RevisionName>> {
    spec.apps
        .iter()
        .map(|app| (app.app.clone(), app.revision.parse().ok()))
        .collect()
}

pub(super) async fn locked(tx: &mut Tx, id: &StackId) -> Result<Stack> {
    tx.stack(id)
        .await?
        .ok_or_else(|| ControlError::not_found("stack", id.as_str()))
}

pub(super) fn conflict(stack: &Stack, why: &str) -> ControlError {
    let mut error = ControlError::new("conflict", format!("{} is {} now", stack.name, stack.state));
    error.fault.why = why.to_owned();
    error
}

fn refuse_ending(stack: &Stack) -> Result<()> {
    match stack.state {
        StackState::Destroying | StackState::Destroyed => Err(conflict(stack, "it is on its way out")),
        _ => Ok(()),
    }
}

fn refuse_unless_serving(stack: &Stack) -> Result<()> {
    match stack.state {
        StackState::Ready | StackState::Tainted => Ok(()),
        _ => Err(conflict(stack, "only a stack that serves can be updated")),
    }
}
