//! Launching: the draft, its node, its databases, its secrets and its run are stored in one transaction; the engine does the
//! rest.

use super::super::images::wanted_image;
use super::super::{Control, ControlError, Result};
use super::plan::{Draft, database_rows, shared_databases};
use crate::model::actor::Actor;
use crate::model::descriptor::Descriptor;
use crate::model::id::{NodeId, RunId, StackId};
use crate::model::secret;
use crate::model::stack::{Purpose, Stack};
use crate::plans::launch_stack;
use crate::store::nodes::DatabaseRow;
use crate::store::{StoreError, Tx};
use crate::wire::stacks::{Accepted, LaunchRequest};

impl Control {
    /// Launches a stack: stores it with its plan and starts the run.
    ///
    /// # Errors
    /// As [`Self::plan_stack`]; `not-allowed` below member; `conflict` where the name is taken.
    pub async fn launch_stack(&self, actor: &Actor, request: &LaunchRequest) -> Result<Accepted> {
        self.launch_for(actor, request, Purpose::Person).await
    }

    /// The same, for a purpose.
    ///
    /// # Errors
    /// As [`Self::launch_stack`].
    pub(in crate::control) async fn launch_for(
        &self,
        actor: &Actor,
        request: &LaunchRequest,
        purpose: Purpose,
    ) -> Result<Accepted> {
        let owner = Self::launcher(actor)?;
        let key = request.idempotency_key.as_ref().map(|key| format!("launch:{owner}:{key}"));
        // A repetition of an earlier call comes to the same stack, whether that was made or taken from a pool.
        if let Some(key) = &key
            && let Some((stack, run)) = self.store.launched_before(key).await?
        {
            return self.accepted(actor, &stack, &run).await;
        }
        let preset = request.preset.clone();
        let (request, as_kept) = self.with_preset(request).await?;
        let mut draft = self.draft(&request).await?;
        if let (Some(preset), true) = (&preset, as_kept)
            && let Some(taken) = self.take_member(actor, &owner, preset, &draft, key.as_deref()).await?
        {
            return Ok(taken);
        }
        for _ in 0..8 {
            let id = StackId::from_bits(self.store.next_id());
            let mut stack = draft.stack(id, owner.clone(), self.store.now());
            stack.purpose = purpose;
            let mut tx = self.store.write(actor, "stack.launch", stack.id.as_str()).await?;
            tx.detail(describe(&stack));
            match self.begin_launch(&mut tx, &mut stack, &draft, actor, key.as_deref()).await {
                Ok(Started::New(run)) => {
                    tx.commit().await?;
                    return self.accepted(actor, &stack.id, &run).await;
                }
                Ok(Started::Before(run, stack)) => return self.accepted(actor, &stack, &run).await,
                Err(StoreError::Taken(_)) if request.name.is_none() => {
                    drop(tx);
                    draft.name = Draft::another_name();
                }
                Err(StoreError::Taken(what)) => {
                    let mut error = ControlError::new("conflict", format!("{what} is taken"));
                    error.fault.next = "Choose another name, or leave it empty".into();
                    error.fields.push(super::plan::problem("name", "a live stack has this name"));
                    return Err(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::new("conflict", "No free name was found"))
    }

    pub(in crate::control) async fn begin_launch(
        &self,
        tx: &mut Tx,
        stack: &mut Stack,
        draft: &Draft,
        actor: &Actor,
        key: Option<&str>,
    ) -> Result<Started, StoreError> {
        let descriptors = &draft.descriptors;
        let node = NodeId::from_bits(tx.next_id());
        stack.node = Some(node.clone());
        let databases = shared_databases(draft.provider.as_ref(), &stack.id, descriptors);
        let plan = launch_stack::plan(stack, &node, descriptors, &databases, wanted_image(draft).ok());
        let run = tx.insert_run(&plan, actor, key).await?;
        if key.is_some()
            && let Some(subject) = tx.run_subject(&run).await?
            && subject != stack.id.as_str()
        {
            return Ok(Started::Before(run, crate::store::parse("stack id", &subject)?));
        }
        stack.run = Some(run.clone());
        tx.insert_stack(stack).await?;
        prepare(tx, stack, &node, descriptors, &databases).await?;
        Ok(Started::New(run))
    }

    /// A failed stack tries again, on a new node under the same name and id.
    pub(super) async fn relaunch(
        &self,
        tx: &mut Tx,
        stack: &mut Stack,
        descriptors: &[Descriptor],
        actor: &Actor,
    ) -> Result<RunId> {
        let node = NodeId::from_bits(tx.next_id());
        stack.node = Some(node.clone());
        stack.fault = None;
        let provider = self.providers.get(&stack.provider);
        let databases = provider.map_or_else(Vec::new, |p| shared_databases(p.as_ref(), &stack.id, descriptors));
        let plan = launch_stack::plan(stack, &node, descriptors, &databases, None);
        let run = tx.insert_run(&plan, actor, None).await?;
        stack.run = Some(run.clone());
        prepare(tx, stack, &node, descriptors, &databases).await?;
        tx.update_stack(stack).await?;
        Ok(run)
    }

    pub(in crate::control) async fn accepted(&self, actor: &Actor, stack: &StackId, run: &RunId) -> Result<Accepted> {
        Ok(Accepted {
            stack: self.show_stack(actor, stack.as_str()).await?,
            run: run.as_str().to_owned(),
        })
    }
}

pub(in crate::control) enum Started {
    New(RunId),
    Before(RunId, StackId),
}

// Rows for everything that the run will make, before it makes it.
async fn prepare(
    tx: &mut Tx,
    stack: &Stack,
    node: &NodeId,
    descriptors: &[Descriptor],
    databases: &[DatabaseRow],
) -> Result<(), StoreError> {
    tx.insert_node(node, &stack.id, &stack.provider).await?;
    for row in databases {
        tx.insert_database(&stack.id, row).await?;
    }
    for row in database_rows(&stack.id, descriptors) {
        tx.insert_secret(&stack.id, &launch_stack::view_secret(&row), &secret::make(""))
            .await?;
    }
    for descriptor in descriptors {
        for (name, variable) in &descriptor.spec.env {
            let value = match (&variable.generator, &variable.staging_value) {
                (Some(_), _) => secret::make(""),
                (None, Some(value)) if variable.secret => value.clone(),
                _ => continue,
            };
            tx.insert_secret(&stack.id, &format!("{}/env/{name}", descriptor.name()), &value)
                .await?;
        }
    }
    Ok(())
}

fn describe(stack: &Stack) -> String {
    let apps: Vec<String> = stack.spec.apps.iter().map(|a| format!("{}@{}", a.app, a.revision)).collect();
    format!("{} with {} on {}", stack.name, apps.join(", "), stack.provider)
}
