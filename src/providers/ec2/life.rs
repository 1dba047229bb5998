//! The life of an instance: from one state to the next, waiting until EC2 says that it has arrived.

use super::super::{FencingToken, ProviderError, fences};
use super::errors::{self, Failed};
use super::look::{self, Seen, State};
use super::{Inner, nowhere, record, tags};
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

impl Inner {
    /// The instance of a node, if it has one that is not ending. Should there be several, all but the oldest are ended.
    pub(super) async fn one_of(&self, node: &NodeId) -> Result<Option<Seen>, ProviderError> {
        let seen = self.see(node).await?;
        let mut alive = seen.iter().filter(|seen| seen.state != State::Ending);
        let first = alive.next().cloned();
        let surplus: Vec<&Seen> = alive.collect();
        if !surplus.is_empty() {
            tracing::error!(%node, count = surplus.len(), "a node has more than one instance; ending all but the oldest");
            self.terminate(&surplus).await?;
        }
        let mut record = record::read(&self.root, node)?;
        if first.is_none() && (!seen.is_empty() || self.has_ended(&record).await?) {
            // Its token is used up: it would give back the instance that is gone.
            record.generation += 1;
            record.instance = None;
            record.asked = None;
            record::write(&self.root, node, &record)?;
        }
        Ok(first)
    }

    // Whether the instance that a launch gave is there no more, as far as EC2 can be believed about it already.
    async fn has_ended(&self, record: &record::Record) -> Result<bool, ProviderError> {
        let Some(id) = &record.instance else {
            return Ok(false);
        };
        Ok(match look::one(self.client(), id).await? {
            Some((state, _)) => matches!(state, State::Terminated | State::Ending),
            None => self.is_settled(record),
        })
    }

    /// Whether what was last asked for would show by now.
    pub(super) fn is_settled(&self, record: &record::Record) -> bool {
        self.unsettled(record).is_zero()
    }

    fn unsettled(&self, record: &record::Record) -> Duration {
        let settle = i64::try_from(self.options.pace.settle.as_millis()).unwrap_or(i64::MAX);
        let left = record.asked_at.saturating_add(settle).saturating_sub(super::now());
        // A clock that jumped back must not keep anything waiting for longer than that.
        Duration::from_millis(u64::try_from(left.min(settle)).unwrap_or(0))
    }

    /// Brings an instance up, from whatever state it is in, and waits until it runs.
    pub(super) async fn up(&self, node: &NodeId, id: &str) -> Result<Seen, ProviderError> {
        let deadline = Instant::now() + self.options.pace.patience;
        let mut asked = false;
        loop {
            let seen = self.see(node).await?.into_iter().find(|seen| seen.id == id);
            match seen.as_ref().map(|seen| seen.state) {
                Some(State::Running) => {
                    if let Some(seen) = seen {
                        return Ok(seen);
                    }
                }
                Some(State::Stopped) if !asked => {
                    let started = self.client().start_instances().instance_ids(id).send().await;
                    asked = Self::ordered("start the instance", started)?;
                }
                Some(State::Ending) => return Err(self.lost(node, id).await?),
                None => {
                    // What was launched a moment ago does not show everywhere yet.
                    let lost = match look::one(self.client(), id).await? {
                        Some((state, _)) => matches!(state, State::Terminated | State::Ending),
                        None => self.is_settled(&record::read(&self.root, node)?),
                    };
                    if lost {
                        return Err(self.lost(node, id).await?);
                    }
                }
                _ => {}
            }
            self.too_long(deadline, "start", id)?;
        }
    }

    /// Stops the instance of a node and waits until it has stopped.
    pub(super) async fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        let id = self.one_of(node).await?.ok_or_else(|| nowhere(node))?.id;
        fences::raise(&self.root, node, token)?;
        let deadline = Instant::now() + self.options.pace.patience;
        let mut asked = false;
        loop {
            let seen = self.see(node).await?.into_iter().find(|seen| seen.id == id);
            match seen.map(|seen| seen.state) {
                Some(State::Stopped) => return Ok(()),
                Some(State::Running) if !asked => {
                    let stopped = self.client().stop_instances().instance_ids(&id).send().await;
                    asked = Self::ordered("stop the instance", stopped)?;
                }
                Some(State::Ending) | None => return Err(self.lost(node, &id).await?),
                _ => {}
            }
            self.too_long(deadline, "stop", &id)?;
        }
    }

    /// Ends everything of a node; returns once EC2 shows nothing of it, and has had the time to.
    pub(super) async fn end(&self, node: &NodeId) -> Result<(), ProviderError> {
        let deadline = Instant::now() + self.options.pace.patience;
        let record = record::read(&self.root, node)?;
        loop {
            let seen = self.see(node).await?;
            let ending: Vec<&Seen> = seen.iter().filter(|seen| seen.state != State::Ending).collect();
            self.terminate(&ending).await?;
            if seen.is_empty() {
                if self.has_gone(&record).await? {
                    break;
                }
                if let Some(id) = &record.instance {
                    // It may be known by its id before it shows in listings.
                    self.terminate_by_id(id).await?;
                }
            }
            self.too_long(deadline, "end", node.as_str())?;
        }
        self.remove_beside(node, deadline).await
    }

    // Whether nothing can come any more of what was asked: the instance that it gave is ended, it failed, or it would show.
    async fn has_gone(&self, record: &record::Record) -> Result<bool, ProviderError> {
        if record.instance.is_some() {
            return self.has_ended(record).await;
        }
        let left = self.unsettled(record);
        if record.asked.is_some() && !left.is_zero() {
            tokio::time::sleep(left.min(Duration::from_secs(2))).await;
            return Ok(false);
        }
        Ok(true)
    }

    async fn terminate(&self, instances: &[&Seen]) -> Result<(), ProviderError> {
        if instances.is_empty() {
            return Ok(());
        }
        // A request that goes on would launch the next one.
        let requests: Vec<String> = instances.iter().filter_map(|seen| seen.spot_request.clone()).collect();
        if !requests.is_empty() {
            let cancelled = self
                .client()
                .cancel_spot_instance_requests()
                .set_spot_instance_request_ids(Some(requests));
            match cancelled
                .send()
                .await
                .map_err(|e| errors::failed("cancel the spot request", &e))
            {
                Err(failed) if !failed.is_not_found() => return Err(failed.into()),
                _ => {}
            }
        }
        for seen in instances {
            self.terminate_by_id(&seen.id).await?;
        }
        Ok(())
    }

    async fn terminate_by_id(&self, id: &str) -> Result<(), ProviderError> {
        let ended = self.client().terminate_instances().instance_ids(id).send().await;
        match ended.map_err(|e| errors::failed("end the instance", &e)) {
            Err(failed) if !failed.is_not_found() => Err(failed.into()),
            _ => Ok(()),
        }
    }

    /// Keeps the ports of a node with its instance.
    pub(super) async fn keep_ports(&self, id: &str, ports: &BTreeMap<String, u16>) -> Result<(), ProviderError> {
        let tags = tags::of_ports(ports);
        let kept = self.client().create_tags().resources(id).set_tags(Some(tags)).send().await;
        kept.map_err(|e| errors::failed("tag the instance", &e))?;
        Ok(())
    }

    // Whether an order was taken. One that came while the instance was on its way elsewhere is given again.
    fn ordered<T, E, R>(doing: &str, given: Result<T, SdkError<E, R>>) -> Result<bool, ProviderError>
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        match given.map_err(|e| errors::failed(doing, &e)) {
            Ok(_) => Ok(true),
            Err(failed) if failed.fault.code == "ec2-state" => Ok(false),
            Err(failed) => Err(failed.into()),
        }
    }

    fn too_long(&self, deadline: Instant, doing: &str, what: &str) -> Result<(), ProviderError> {
        if Instant::now() < deadline {
            return Ok(());
        }
        let fault = Fault::new("timed-out", format!("EC2 could not {doing} {what}"));
        let fault = fault.why(format!("it was not done after {:.0?}", self.options.pace.patience));
        Err(ProviderError::Known {
            fault: Box::new(fault),
            again: true,
        })
    }

    // Why an instance ended, and that the next one is another.
    async fn lost(&self, node: &NodeId, id: &str) -> Result<ProviderError, ProviderError> {
        let mut record = record::read(&self.root, node)?;
        record.generation += 1;
        record.instance = None;
        record.asked = None;
        record::write(&self.root, node, &record)?;
        let reason = look::one(self.client(), id).await?.and_then(|(_, reason)| reason);
        let failed: Failed = match reason {
            Some((code, message)) => errors::of_code(&format!("keep {id}"), &code, &message),
            None => errors::of_code(
                &format!("keep {id}"),
                "InvalidInstanceID.NotFound",
                "it was ended by someone else",
            ),
        };
        Ok(failed.into())
    }
}
