//! Looking at stacks: one, many, and what their services say.

use super::super::{Control, ControlError, Result};
use super::plan::app_views;
use super::{Rights, StackFilter};
use crate::model::actor::Actor;
use crate::model::descriptor::Descriptor;
use crate::model::fault::Fault;
use crate::model::id::{NodeId, RunId, StackId, UserId};
use crate::model::name::AppName;
use crate::model::run::RunState;
use crate::model::stack::{Link, Stack, StackState};
use crate::plans::view;
use crate::providers::NodeHandle;
use crate::store::lists::ReportedNode;
use crate::store::runs::RunRecord;
use crate::store::stacks::StackQuery;
use crate::wire::Page;
use crate::wire::agent::Report;
use crate::wire::runs::{LogPage, RunView};
use crate::wire::stacks::{ServiceView, StackAppView, StackView};
use serde::Deserialize;

// An agent asks at least once a minute; after two it is not heard of.
const SILENCE_MS: i64 = 120_000;
const LOG_PAGE: i64 = 500;
// A text that more apps than this have in common finds nothing in particular.
const APPS_SEARCHED: usize = 40;

impl Control {
    /// Stacks, newest first.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_stacks(&self, actor: &Actor, filter: &StackFilter) -> Result<Page<StackView>> {
        let before = match &filter.cursor {
            None => None,
            Some(cursor) => Some(cursor.parse::<StackId>().map_err(|e| ControlError::field("cursor", e))?),
        };
        let limit = filter.limit.clamp(1, 200);
        let text = filter.text.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let text = text.map(str::to_lowercase);
        let query = StackQuery {
            owner: filter.mine.then(|| actor.user_id().cloned()).flatten(),
            ended: filter.ended,
            apps: text.as_deref().map(|text| self.apps_like(text)).unwrap_or_default(),
            text,
            before,
            limit: limit + 1,
        };
        let (mut stacks, total) = self.store.stacks(&query).await?;
        let more = stacks.len() > usize::try_from(limit).unwrap_or(200);
        if more {
            stacks.pop();
        }
        let next = if more {
            stacks.last().map(|s| s.id.as_str().to_owned())
        } else {
            None
        };
        let items = self.stack_views(actor, &stacks).await?;
        Ok(Page { total, items, next })
    }

    // Registered apps with the text in their name or title.
    fn apps_like(&self, text: &str) -> Vec<AppName> {
        let inventory = self.store.inventory();
        let like = |descriptor: &Descriptor| {
            descriptor.name().as_str().contains(text) || descriptor.title().to_lowercase().contains(text)
        };
        let found = inventory.apps.iter().filter(|(_, record)| like(&record.descriptor));
        found.map(|(name, _)| name.clone()).take(APPS_SEARCHED).collect()
    }

    /// One stack, by id or by the name it has or last had.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_stack(&self, actor: &Actor, id_or_name: &str) -> Result<StackView> {
        let stack = self.find_stack(id_or_name).await?;
        let view = self.stack_views(actor, std::slice::from_ref(&stack)).await?.pop();
        view.ok_or_else(|| ControlError::not_found("stack", id_or_name))
    }

    /// What a service of a stack says, after a place in it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn service_log(&self, _actor: &Actor, id_or_name: &str, service: &str, after: i64) -> Result<LogPage> {
        let stack = self.find_stack(id_or_name).await?;
        let known = service.len() <= 200 && service.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !known {
            return Err(ControlError::not_found("service", service));
        }
        let stream = service_stream(&stack.id, service);
        let chunks = self.store.read_log(&stream, after, LOG_PAGE).await?;
        let next = chunks.last().map_or(after, |chunk| chunk.seq);
        Ok(LogPage {
            chunks,
            next,
            open: !matches!(stack.state, StackState::Destroyed | StackState::Failed),
        })
    }

    // Stacks as `actor` sees them, in the same order, with a few reads for all of them.
    async fn stack_views(&self, actor: &Actor, stacks: &[Stack]) -> Result<Vec<StackView>> {
        let ids: Vec<RunId> = stacks.iter().filter_map(|stack| stack.run.clone()).collect();
        let records = self.store.runs_by_id(&ids).await?;
        let records: Vec<&RunRecord> = records.values().collect();
        let runs = self.run_views(actor, &records).await?;
        let ids: Vec<NodeId> = stacks.iter().filter_map(|stack| stack.node.clone()).collect();
        let nodes = self.store.reported_nodes(&ids).await?;
        let ids: Vec<UserId> = stacks.iter().map(|stack| stack.owner.clone()).collect();
        let owners = self.store.user_names(&ids).await?;
        let rights = self.rights(actor).await?;
        let mut views = Vec::with_capacity(stacks.len());
        for stack in stacks {
            let seen = Seen {
                descriptors: view::descriptors(&self.store, &stack.spec).await?,
                run: runs
                    .iter()
                    .find(|run| stack.run.as_ref().is_some_and(|id| id.as_str() == run.id))
                    .cloned(),
                node: stack.node.as_ref().and_then(|id| nodes.get(id)),
                owner: owners.get(&stack.owner).map_or(stack.owner.as_str(), String::as_str),
            };
            views.push(self.stack_view(actor, &rights, stack, seen));
        }
        Ok(views)
    }

    /// Where a stack is for people, at addresses that stay.
    ///
    /// # Errors
    /// None but the store's.
    pub(in crate::control) async fn stable_links(&self, stack: &Stack) -> Result<Vec<Link>> {
        let descriptors = view::descriptors(&self.store, &stack.spec).await?;
        let links = stack.links.iter();
        Ok(links.map(|link| self.stable(link.clone(), stack, &descriptors)).collect())
    }

    fn stack_view(&self, actor: &Actor, rights: &Rights<'_>, stack: &Stack, seen: Seen<'_>) -> StackView {
        let mut apps = app_views(&stack.spec, &seen.descriptors);
        let mut isolation = self
            .providers
            .get(&stack.provider)
            .map(|p| p.capabilities().isolation)
            .unwrap_or_default();
        let mut health = "unknown";
        let mut fault = stack.fault.clone();
        if let Some(ReportedNode { node, report }) = seen.node {
            if let Some(handle) = node.handle.clone().and_then(|v| serde_json::from_value::<NodeHandle>(v).ok()) {
                isolation = handle.isolation;
            }
            let report = report.as_ref().and_then(|(body, _)| Report::deserialize(body).ok());
            if let Some(report) = report {
                health = if report.services.iter().all(|s| s.state == "running") {
                    "healthy"
                } else {
                    "degraded"
                };
                place_services(&mut apps, &seen.descriptors, &report);
                if stack.state == StackState::Ready && fault.is_none() {
                    fault = report.fault;
                }
            }
            let silent = node.seen_at.is_none_or(|seen| self.store.now().since(seen) > SILENCE_MS);
            if silent && stack.state == StackState::Ready {
                health = "unknown";
                fault = fault.or_else(|| {
                    Some(Fault::new(
                        "agent-lost",
                        "The server's agent has not been heard of for two minutes",
                    ))
                });
            }
        }
        if let Some(run) = &seen.run
            && run.state == RunState::Stuck
        {
            fault = run.fault.clone().or(fault);
        }
        let stable = |link: &Link| self.stable(link.clone(), stack, &seen.descriptors);
        let mut links: Vec<Link> = stack.links.iter().map(stable).collect();
        // What needs the others is what people came for.
        let place = |link: &Link| stack.spec.apps.iter().position(|app| app.app == link.app);
        links.sort_by_key(|link| (!link.public, std::cmp::Reverse(place(link))));
        StackView {
            id: stack.id.as_str().to_owned(),
            name: stack.name.as_str().to_owned(),
            owner: seen.owner.to_owned(),
            mine: actor.user_id() == Some(&stack.owner),
            state: stack.state,
            health: health.to_owned(),
            fault,
            provider: stack.provider.clone(),
            isolation,
            size: stack.spec.size,
            apps,
            data: stack.spec.data.clone(),
            links,
            created_at: stack.created_at,
            ready_at: stack.ready_at,
            lease_until: stack.lease_until,
            lease_max: stack.lease_max,
            stopped_at: stack.stopped_at,
            run: seen.run,
            version: stack.version,
            actions: actions(stack, rights),
        }
    }
}

// What is stored elsewhere of a stack.
struct Seen<'a> {
    descriptors: Vec<Descriptor>,
    run: Option<RunView>,
    node: Option<&'a ReportedNode>,
    owner: &'a str,
}

/// The log stream of a service; named by stack, so that it stays readable after its node is gone.
pub(in crate::control) fn service_stream(stack: &StackId, service: &str) -> String {
    format!("{stack}/service/{service}")
}

fn place_services(apps: &mut [StackAppView], descriptors: &[Descriptor], report: &Report) {
    for service in &report.services {
        let owner = descriptors
            .iter()
            .filter(|d| {
                service
                    .name
                    .strip_prefix(d.name().as_str())
                    .is_some_and(|rest| rest.starts_with('-'))
            })
            .max_by_key(|d| d.name().as_str().len());
        let Some(owner) = owner else { continue };
        if let Some(app) = apps.iter_mut().find(|a| a.app == owner.name().as_str()) {
            app.services.push(ServiceView {
                name: service.name.clone(),
                state: service.state.clone(),
                restarts: service.restarts,
            });
        }
    }
}

fn actions(stack: &Stack, rights: &Rights<'_>) -> Vec<String> {
    let mut all = Vec::new();
    let serves = matches!(stack.state, StackState::Ready | StackState::Tainted | StackState::Updating);
    if serves && stack.links.iter().any(|l| l.public) {
        all.push("open");
    }
    if rights.may_change(&stack.id, &stack.owner) {
        match stack.state {
            StackState::Ready => all.extend(["extend", "update", "stop", "rebuild"]),
            StackState::Tainted => all.extend(["extend", "update", "retry", "stop", "rebuild"]),
            StackState::Stopped => all.extend(["extend", "start"]),
            StackState::Failed => all.push("retry"),
            StackState::Building | StackState::Updating | StackState::Stopping | StackState::Starting => all.push("extend"),
            StackState::Destroying | StackState::Destroyed => {}
        }
        if !matches!(stack.state, StackState::Destroying | StackState::Destroyed) {
            all.push("share");
        }
        if !matches!(stack.state, StackState::Destroyed) {
            all.push("destroy");
        }
    }
    all.into_iter().map(str::to_owned).collect()
}
