//! Making previews what the forges said last: launched, brought to the newest commit, and taken down.

use super::super::{Control, ControlError, Result};
use super::apps_of;
use crate::model::actor::{Actor, Role};
use crate::model::name::{StackName, UserName};
use crate::model::stack::{Purpose, Stack, StackState};
use crate::model::time::{Timestamp, parse_length};
use crate::store::previews::PreviewRow;
use crate::wire::stacks::{AppChoice, LaunchRequest, UpdateRequest};

// Nobody takes longer to look after one than this, unless they were killed.
const TEND_MS: i64 = 180_000;
const NAME_LENGTH: usize = 40;

impl Control {
    /// Looks after all previews.
    ///
    /// # Errors
    /// Where the store fails. One that cannot be looked after does not keep the others from it.
    pub async fn tend_previews(&self) -> Result<()> {
        for row in self.store.previews().await? {
            if self.is_settled(&row).await? {
                continue;
            }
            let mut tx = self.store.journal().await?;
            let mine = tx.tend_preview(&row.id, self.store.now().plus(TEND_MS)).await?;
            tx.commit().await?;
            // Read again: someone else may just have been here.
            let Some(mut row) = self.store.preview(&row.id).await?.filter(|_| mine) else {
                continue;
            };
            let done = self.tend_preview(&mut row).await;
            row.fault = done.err().map(|error| error.to_string());
            self.post_preview(&mut row).await?;
            let mut tx = self.store.journal().await?;
            tx.leave_preview(&row).await?;
            if row.state == "gone" && row.stack.is_none() {
                tx.delete_preview(&row.id).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    // Whether there is nothing to do for it: what most looks at most previews come to.
    async fn is_settled(&self, row: &PreviewRow) -> Result<bool> {
        let stack = match &row.stack {
            Some(stack) => self.store.stack(stack).await?,
            None => None,
        };
        let said = self.unsaid(row, stack.as_ref()).await?.is_none();
        let Some(stack) = stack else {
            // One that cannot even be begun is tried again when its branch changes.
            return Ok(row.state == "open" && row.fault.is_some() && row.built.as_ref() == Some(&row.wanted) && said);
        };
        let built = row.built.as_ref() == Some(&row.wanted);
        Ok(match (row.state.as_str(), stack.state) {
            ("open", state) => (built || state.is_under_way()) && !is_going(state) && said,
            ("closed", state) => !is_going(state) && stack.lease_until <= self.ends_closed(row) && said,
            _ => false,
        })
    }

    async fn tend_preview(&self, row: &mut PreviewRow) -> Result<()> {
        let actor = self.preview_owner().await?;
        let stack = match &row.stack {
            Some(id) => self.store.stack(id).await?.filter(|stack| !is_going(stack.state)),
            None => None,
        };
        if stack.is_none() {
            row.stack = None;
        }
        match (row.state.as_str(), stack) {
            ("open", None) => {
                row.built = Some(row.wanted.clone());
                row.stack = Some(self.launch_preview(&actor, row).await?);
            }
            ("open", Some(stack)) if row.built.as_ref() != Some(&row.wanted) => match stack.state {
                StackState::Ready | StackState::Tainted => {
                    row.built = Some(row.wanted.clone());
                    let request = UpdateRequest { apps: self.choices(row) };
                    self.extend_preview(&stack).await?;
                    self.update_stack(&actor, stack.id.as_str(), &request).await?;
                }
                StackState::Stopped => drop(self.start_stack(&actor, stack.id.as_str()).await?),
                // As a whole: a failed launch is undone, so there is nothing to update.
                StackState::Failed => drop(self.destroy_stack(&actor, stack.id.as_str()).await?),
                _ => {}
            },
            ("closed", Some(mut stack)) => {
                let until = self.ends_closed(row);
                if stack.lease_until > until {
                    let mut tx = self.store.journal().await?;
                    stack.lease_until = until;
                    tx.update_stack(&mut stack).await?;
                    tx.commit().await?;
                }
            }
            ("gone", Some(stack)) => {
                self.destroy_stack(&actor, stack.id.as_str()).await?;
                row.stack = None;
            }
            _ => {}
        }
        Ok(())
    }

    async fn launch_preview(&self, actor: &Actor, row: &PreviewRow) -> Result<crate::model::id::StackId> {
        let request = LaunchRequest {
            name: Some(name(row)),
            apps: self.choices(row),
            lease: Some(self.settings.previews.lease.clone()),
            // A commit of a branch is launched once, whoever looks.
            idempotency_key: Some(format!("preview:{}:{}:{}", row.id, row.wanted, row.updated_at.0)),
            ..LaunchRequest::default()
        };
        let launched = match self.launch_for(actor, &request, Purpose::Preview).await {
            // Someone else's stack has the name.
            Err(error) if error.fault.code == "conflict" => {
                let request = LaunchRequest { name: None, ..request };
                self.launch_for(actor, &request, Purpose::Preview).await
            }
            launched => launched,
        }?;
        let id = launched.stack.id.parse();
        id.map_err(|_| ControlError::new("internal", "A stack's id is not understood"))
    }

    fn choices(&self, row: &PreviewRow) -> Vec<AppChoice> {
        let apps = apps_of(&self.store.inventory(), &row.repository);
        let at = |app| AppChoice {
            app,
            revision: Some(row.branch.clone()),
        };
        apps.into_iter().map(at).collect()
    }

    async fn extend_preview(&self, stack: &Stack) -> Result<()> {
        let length = parse_length(&self.settings.previews.lease).unwrap_or(3 * 86_400_000);
        let mut tx = self.store.journal().await?;
        if let Some(mut stack) = tx.stack(&stack.id).await? {
            stack.lease_until = tx.at().plus(length).min(stack.lease_max);
            tx.update_stack(&mut stack).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    fn ends_closed(&self, row: &PreviewRow) -> Timestamp {
        row.updated_at
            .plus(parse_length(&self.settings.previews.keep_closed).unwrap_or(3_600_000))
    }

    // Whoever previews belong to.
    async fn preview_owner(&self) -> Result<Actor> {
        let name = &self.settings.previews.owner;
        let found = match name.parse::<UserName>() {
            Ok(name) => self.store.user_by_name(&name).await?,
            Err(_) => None,
        };
        let found = found.filter(|user| user.role >= Role::Member && user.disabled_at.is_none());
        found
            .map(|user| Actor::User {
                id: user.id,
                name: name.clone(),
                role: user.role,
            })
            .ok_or_else(|| {
                let mut error = ControlError::new("not-allowed", format!("Previews belong to `{name}`, who cannot launch"));
                error.fault.next = "Name an account that may launch as `previews.owner`".into();
                error
            })
    }
}

fn is_going(state: StackState) -> bool {
    matches!(state, StackState::Destroying | StackState::Destroyed)
}

// `storefront-fix-cart`: as much of the branch as makes a name.
fn name(row: &PreviewRow) -> String {
    let project = row.project.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let text: String = format!("{project}-{}", row.branch).chars().map(plain).collect();
    let words: Vec<&str> = text.split('-').filter(|word| !word.is_empty()).collect();
    let mut name: String = words.join("-").chars().take(NAME_LENGTH).collect();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.insert_str(0, "p-");
    }
    let name = name.trim_end_matches('-');
    name.parse::<StackName>().map_or_else(
        |_| format!("preview-{}", row.number.unwrap_or_default()),
        |name| name.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_named_after_its_project_and_branch() {
        let row = |project: &str, branch: &str| PreviewRow {
            id: String::new(),
            forge: "github".into(),
            site: String::new(),
            project: project.into(),
            branch: branch.into(),
            repository: String::new(),
            number: Some(7),
            wanted: String::new(),
            state: "open".into(),
            stack: None,
            built: None,
            fault: None,
            comment_id: None,
            posted: None,
            post_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        assert_eq!(name(&row("shop/storefront", "fix/Cart__2")), "storefront-fix-cart-2");
        assert_eq!(name(&row("shop/3d", "x")), "p-3d-x");
        assert_eq!(name(&row("shop/café", "é")), "caf");
        let long = name(&row("shop/storefront", &"very-long-".repeat(20)));
        assert!(long.len() <= 42 && long.parse::<StackName>().is_ok(), "{long}");
    }
}
