//! Previews: a webhook only notes what a forge says of a branch; looking after the notes makes it true. So a webhook is answered
//! at once, two that come out of order end in the newer one, and a server that was killed in between goes on.

mod post;
mod tend;

use super::images::require_operator;
use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::forge::{BranchEvent, Delivery, Forge, Happened, is_proved, read, same_place};
use crate::store::inventory::Inventory;
use crate::store::previews::PreviewRow;
use crate::wire::previews::{HookAnswer, PreviewView};

impl Control {
    /// Takes a webhook.
    ///
    /// # Errors
    /// `not-found` where none is accepted; `not-signed-in` for one that does not prove itself; `invalid-request`.
    pub async fn take_webhook(&self, forge: &str, delivery: Delivery<'_>, body: &[u8]) -> Result<HookAnswer> {
        let settings = &self.settings.previews;
        let known = forge.parse::<Forge>().ok().filter(|_| !settings.secret.is_empty());
        let forge = known.ok_or_else(|| ControlError::not_found("webhook", forge))?;
        if !is_proved(forge, delivery, body, &settings.secret) {
            let mut error = ControlError::new("not-signed-in", "The webhook does not prove who sent it");
            error.fault.next = "Give the forge the secret of `previews.secret`".into();
            return Err(error);
        }
        let invalid = |why: String| {
            let mut error = ControlError::new("invalid-request", "The webhook is not understood");
            error.fault.why = why;
            error
        };
        let body = serde_json::from_slice(body).map_err(|e| invalid(e.to_string()))?;
        let event = read(forge, delivery.event, &body).map_err(invalid)?;
        let what = match event {
            None => "passed over: it is about no branch with a pull request".to_owned(),
            Some(event) => self.note_branch(forge, &event).await?,
        };
        Ok(HookAnswer { what })
    }

    async fn note_branch(&self, forge: Forge, event: &BranchEvent) -> Result<String> {
        let system = Actor::system("webhook");
        let subject = format!("{}/{}", event.project, event.branch);
        let off = event.labels.contains(&self.settings.previews.off_label);
        if event.happened != Happened::Open || off {
            let state = if event.happened == Happened::Gone || off {
                "gone"
            } else {
                "closed"
            };
            let mut tx = self.store.write(&system, "preview.end", &subject).await?;
            let had = tx.end_preview(&event.site, &event.project, &event.branch, state).await?;
            if had {
                tx.detail(state);
                tx.commit().await?;
            }
            return Ok(if had {
                format!("accepted: {state}")
            } else {
                "passed over: there is no preview of it".to_owned()
            });
        }
        if event.from_fork && !self.settings.previews.forks {
            return Ok("passed over: the branch is in a fork, and `previews.forks` is off".to_owned());
        }
        let places: Vec<String> = event.repositories.iter().map(|address| same_place(address)).collect();
        let inventory = self.store.inventory();
        let Some(place) = places.into_iter().find(|place| !apps_of(&inventory, place).is_empty()) else {
            return Ok("passed over: no app has this repository".to_owned());
        };
        let mut tx = self.store.write(&system, "preview.open", &subject).await?;
        let preview = PreviewRow {
            id: format!("prv_{:032x}", tx.next_id()),
            forge: forge.to_string(),
            site: event.site.clone(),
            project: event.project.clone(),
            branch: event.branch.clone(),
            repository: place,
            number: event.number,
            wanted: event.commit.clone().unwrap_or_default(),
            state: "open".into(),
            stack: None,
            built: None,
            fault: None,
            comment_id: None,
            posted: None,
            post_at: tx.at(),
            updated_at: tx.at(),
        };
        tx.put_preview(&preview).await?;
        tx.detail(&preview.wanted);
        tx.commit().await?;
        Ok("accepted".to_owned())
    }

    /// All previews, the last changed first.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_previews(&self, _actor: &Actor) -> Result<Vec<PreviewView>> {
        let mut views = Vec::new();
        for row in self.store.previews().await? {
            let stack = match &row.stack {
                Some(stack) => self.store.stack(stack).await?,
                None => None,
            };
            let links = match &stack {
                Some(stack) => self.stable_links(stack).await?,
                None => Vec::new(),
            };
            views.push(PreviewView {
                url: row.number.map(|number| pull_request_url(&row, number)),
                stack: stack.as_ref().map(|stack| stack.name.to_string()),
                stack_state: stack.as_ref().map(|stack| stack.state),
                links,
                id: row.id,
                forge: row.forge,
                project: row.project,
                branch: row.branch,
                number: row.number,
                commit: row.wanted,
                state: row.state,
                fault: row.fault,
                updated_at: row.updated_at,
            });
        }
        Ok(views)
    }

    /// Takes a preview down, until the forge tells of the branch again.
    ///
    /// # Errors
    /// `not-found`; `not-allowed` below operator.
    pub async fn end_preview(&self, actor: &Actor, id: &str) -> Result<()> {
        require_operator(actor)?;
        let found = self.store.preview(id).await?;
        let found = found.ok_or_else(|| ControlError::not_found("preview", id))?;
        let mut tx = self
            .store
            .write(actor, "preview.end", &format!("{}/{}", found.project, found.branch))
            .await?;
        tx.end_preview(&found.site, &found.project, &found.branch, "gone").await?;
        tx.commit().await?;
        Ok(())
    }
}

// The apps whose code is at this place.
fn apps_of(inventory: &Inventory, place: &str) -> Vec<String> {
    let all = inventory.apps.iter();
    all.filter(|(_, record)| same_place(record.descriptor.spec.repository.as_str()) == place)
        .map(|(name, _)| name.to_string())
        .collect()
}

fn pull_request_url(row: &PreviewRow, number: i64) -> String {
    let path = match row.forge.as_str() {
        "gitlab" => "-/merge_requests",
        "gitea" => "pulls",
        _ => "pull",
    };
    format!("{}/{}/{path}/{number}", row.site, row.project)
}
