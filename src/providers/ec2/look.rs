//! Looking at all our instances at once: however many ask, one listing answers them all, and the next begins a while after it.

use super::super::{Observed, ProviderError};
use super::errors::{self, Failed};
use super::tags;
use crate::model::id::NodeId;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName, Reservation};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

/// An instance of ours that is not terminated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) node: NodeId,
    pub(super) state: State,
    pub(super) private: Option<String>,
    pub(super) public: Option<String>,
    pub(super) ports: BTreeMap<String, u16>,
    pub(super) spot_request: Option<String>,
    launched: i64,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Running,
    Stopping,
    Stopped,
    Ending,
    Terminated,
}

impl State {
    fn of(instance: &Instance) -> Self {
        match instance.state().and_then(|state| state.name()) {
            Some(InstanceStateName::Pending) => Self::Pending,
            Some(InstanceStateName::Running) => Self::Running,
            Some(InstanceStateName::Stopping) => Self::Stopping,
            Some(InstanceStateName::Stopped) => Self::Stopped,
            Some(InstanceStateName::Terminated) => Self::Terminated,
            _ => Self::Ending,
        }
    }

    /// What it means to others.
    pub(super) fn observed(self) -> Observed {
        match self {
            Self::Running => Observed::Running,
            Self::Terminated => Observed::Gone,
            _ => Observed::Stopped,
        }
    }
}

impl Seen {
    pub(super) fn of(instance: &Instance) -> Option<Self> {
        Some(Self {
            id: instance.instance_id()?.to_owned(),
            node: tags::value(instance.tags(), tags::NODE)?.parse().ok()?,
            state: State::of(instance),
            private: given(instance.private_ip_address()),
            public: given(instance.public_ip_address()),
            ports: tags::ports(instance.tags()),
            spot_request: given(instance.spot_instance_request_id()),
            launched: instance
                .launch_time()
                .map_or(i64::MAX, aws_sdk_ec2::primitives::DateTime::secs),
        })
    }
}

fn given(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// All that is there, oldest first for each node.
pub(super) type Fleet = BTreeMap<NodeId, Vec<Seen>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Lookout {
    owner: String,
    spacing: Duration,
    last: Mutex<Option<Last>>,
    turn: Turn<()>,
}

#[derive(Debug, Clone)]
struct Last {
    began: Instant,
    fleet: Arc<Fleet>,
}

impl Lookout {
    pub(super) fn new(owner: &str, spacing: Duration) -> Self {
        Self {
            owner: owner.to_owned(),
            spacing,
            last: Mutex::default(),
            turn: Turn::default(),
        }
    }

    /// The fleet as it was at this time or later.
    pub(super) async fn since(&self, client: &Client, earliest: Instant) -> Result<Arc<Fleet>, ProviderError> {
        if let Some(fleet) = self.known(earliest) {
            return Ok(fleet);
        }
        let _turn = self.turn.lock().await;
        // Whoever waited for the turn may have been answered by the listing before.
        if let Some(fleet) = self.known(earliest) {
            return Ok(fleet);
        }
        let next = self.last().map(|last| last.began + self.spacing);
        if let Some(next) = next {
            tokio::time::sleep_until(next).await;
        }
        let began = Instant::now();
        let fleet = Arc::new(self.list(client).await?);
        let last = Last {
            began,
            fleet: Arc::clone(&fleet),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        Ok(fleet)
    }

    fn last(&self) -> Option<Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn known(&self, earliest: Instant) -> Option<Arc<Fleet>> {
        self.last().filter(|last| last.began >= earliest).map(|last| last.fleet)
    }

    async fn list(&self, client: &Client) -> Result<Fleet, Failed> {
        // What is terminated is shown for an hour more, and is of no interest to anyone.
        let states = ["pending", "running", "stopping", "stopped", "shutting-down"];
        let states = Filter::builder()
            .name("instance-state-name")
            .set_values(Some(states.map(str::to_owned).into()));
        let asked = client
            .describe_instances()
            .filters(tags::by(tags::OWNER, &self.owner))
            .filters(states.build())
            .max_results(1000);
        let mut pages = asked.into_paginator().send();
        let mut fleet = Fleet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| errors::failed("list the instances", &e))?;
            for seen in page
                .reservations()
                .iter()
                .flat_map(Reservation::instances)
                .filter_map(Seen::of)
            {
                fleet.entry(seen.node.clone()).or_default().push(seen);
            }
        }
        for instances in fleet.values_mut() {
            instances.sort_by(|a, b| (a.launched, &a.id).cmp(&(b.launched, &b.id)));
        }
        Ok(fleet)
    }
}

/// One instance by its id, also where it is terminated; `None` where EC2 does not know it (yet, or any more). With it comes the
/// code and message of what ended it.
pub(super) async fn one(client: &Client, id: &str) -> Result<Option<(State, Option<(String, String)>)>, Failed> {
    match client.describe_instances().instance_ids(id).send().await {
        Ok(found) => Ok(found
            .reservations()
            .iter()
            .flat_map(Reservation::instances)
            .next()
            .map(|instance| {
                let reason = instance.state_reason().and_then(|reason| {
                    let message = reason.message().unwrap_or_default();
                    Some((reason.code()?.to_owned(), message.to_owned()))
                });
                (State::of(instance), reason)
            })),
        Err(error) => match errors::failed("look at an instance", &error) {
            failed if failed.is_not_found() => Ok(None),
            failed => Err(failed),
        },
    }
}
