//! A preview's link, as one comment on its pull request that is kept up to date.
//!
//! Sources: GitHub's and Gitea's "issue comments" API (`POST /repos/{project}/issues/{n}/comments`,
//! `PATCH /repos/{project}/issues/comments/{id}`), GitLab's "notes" API (`/projects/{id}/merge_requests/{n}/notes`).

use super::super::{Control, Result};
use crate::model::stack::{Link, Stack, StackState};
use crate::store::previews::PreviewRow;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN_MS: i64 = 60_000;

impl Control {
    /// Posts what there is to say of a preview, in the place of what was said before.
    pub(super) async fn post_preview(&self, row: &mut PreviewRow) -> Result<()> {
        let stack = match &row.stack {
            Some(stack) => self.store.stack(stack).await?,
            None => None,
        };
        let Some(words) = self.unsaid(row, stack.as_ref()).await? else {
            return Ok(());
        };
        match self.post(row, &words).await {
            Ok(id) => {
                row.comment_id = id.or_else(|| row.comment_id.clone());
                row.posted = Some(words);
            }
            Err(why) => {
                tracing::warn!(
                    preview = row.id,
                    project = row.project,
                    why,
                    "a preview's link could not be posted"
                );
                row.post_at = self.store.now().plus(AGAIN_MS);
            }
        }
        Ok(())
    }

    /// What the pull request does not say of a preview yet; none where it says all, or nothing can be said there now.
    pub(super) async fn unsaid(&self, row: &PreviewRow, stack: Option<&Stack>) -> Result<Option<String>> {
        let can = row.number.is_some() && self.settings.previews.tokens.contains_key(&row.site);
        if !can || row.post_at > self.store.now() {
            return Ok(None);
        }
        let links = match stack {
            Some(stack) => self.stable_links(stack).await?,
            None => Vec::new(),
        };
        let words = self.words(row, stack, &links);
        Ok((row.posted.as_ref() != Some(&words)).then_some(words))
    }

    async fn post(&self, row: &PreviewRow, words: &str) -> Result<Option<String>, String> {
        let (Some(number), Some(token)) = (row.number, self.settings.previews.tokens.get(&row.site)) else {
            return Ok(None);
        };
        let (method, url) = address(row, number);
        let client = Client::builder().timeout(PATIENCE).build().map_err(|e| e.to_string())?;
        let request = signed(client.request(method, url), &row.forge, token).json(&json!({ "body": words }));
        let answer = request.send().await.map_err(|e| e.without_url().to_string())?;
        let status = answer.status();
        if !status.is_success() {
            return Err(format!("the forge answers {status}"));
        }
        let body: Value = answer.json().await.map_err(|e| e.without_url().to_string())?;
        Ok(body["id"].as_i64().map(|id| id.to_string()))
    }

    // What there is to say of a preview.
    fn words(&self, row: &PreviewRow, stack: Option<&Stack>, links: &[Link]) -> String {
        let commit: String = row.wanted.chars().take(10).collect();
        let branch = &row.branch;
        let Some(stack) = stack else {
            return match &row.fault {
                Some(fault) if row.state == "open" => format!("**Preview of `{branch}`** could not be begun: {fault}"),
                _ => format!("**Preview of `{branch}`** is gone."),
            };
        };
        let page = format!("{}/stacks/{}", self.public_url(), stack.id);
        let mut text = match stack.state {
            StackState::Ready if row.built.as_ref() == Some(&row.wanted) => {
                format!("**Preview of `{branch}`** at `{commit}` is ready.\n")
            }
            StackState::Ready | StackState::Updating | StackState::Building | StackState::Starting => {
                format!("**Preview of `{branch}`** at `{commit}` is on its way: [follow it]({page}).\n")
            }
            StackState::Tainted => {
                format!("**Preview of `{branch}`** serves an older commit; `{commit}` failed: [why]({page}).\n")
            }
            StackState::Failed => format!("**Preview of `{branch}`** at `{commit}` failed: [why]({page}).\n"),
            StackState::Stopping | StackState::Stopped => format!("**Preview of `{branch}`** sleeps: [wake it]({page}).\n"),
            StackState::Destroying | StackState::Destroyed => return format!("**Preview of `{branch}`** is gone."),
        };
        for link in links.iter().filter(|link| link.public) {
            let _ = write!(text, "\n- [{}]({})", link.label, link.url);
        }
        text
    }
}

fn address(row: &PreviewRow, number: i64) -> (Method, String) {
    let api = match row.forge.as_str() {
        "github" if row.site == "https://github.com" => "https://api.github.com".to_owned(),
        "github" => format!("{}/api/v3", row.site),
        "gitlab" => format!("{}/api/v4", row.site),
        _ => format!("{}/api/v1", row.site),
    };
    let project = &row.project;
    match (row.forge.as_str(), &row.comment_id) {
        ("gitlab", comment) => {
            let notes = format!("{api}/projects/{}/merge_requests/{number}/notes", project.replace('/', "%2F"));
            comment
                .as_ref()
                .map_or((Method::POST, notes.clone()), |id| (Method::PUT, format!("{notes}/{id}")))
        }
        (_, Some(id)) => (Method::PATCH, format!("{api}/repos/{project}/issues/comments/{id}")),
        (_, None) => (Method::POST, format!("{api}/repos/{project}/issues/{number}/comments")),
    }
}

fn signed(request: RequestBuilder, forge: &str, token: &str) -> RequestBuilder {
    let request = request.header("user-agent", concat!("greenroom/", env!("CARGO_PKG_VERSION")));
    match forge {
        "gitlab" => request.header("private-token", token),
        "gitea" => request.header("authorization", format!("token {token}")),
        _ => request.bearer_auth(token),
    }
}
