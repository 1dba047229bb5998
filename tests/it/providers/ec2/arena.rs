//! What the contract must be able to do to EC2.

use super::super::contract::Arena;
use crate::support::cloud::{Cloud, Trouble};
use async_trait::async_trait;
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use greenroom::model::id::NodeId;
use greenroom::providers::ec2::{Ec2, Ec2Options, FirstStart, Pace, Reach};
use greenroom::providers::{NodeSpec, Provider};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const POINTS: [&str; 5] = ["looked", "asked", "answered", "recorded", "running"];
const ATTEMPTS: u32 = 5;
const NEVER: usize = usize::MAX;

/// User-data as long as it is asked to be.
#[derive(Debug)]
pub struct Padded(pub usize);

#[async_trait]
impl FirstStart for Padded {
    async fn user_data(&self, spec: &NodeSpec) -> Result<String, String> {
        Ok(format!("#cloud-config\n# {} {:0>2$}", spec.bootstrap.token, "", self.0))
    }
}

/// Settings for a cloud of a test's own, in a hurry.
pub fn options(cloud: &Cloud, folder: &Path) -> Ec2Options {
    Ec2Options {
        folder: folder.to_owned(),
        region: "us-east-1".into(),
        profile: String::new(),
        endpoint: cloud.url().into(),
        owner: "greenroom-test".into(),
        image: "self/greenroom-base-*".into(),
        types: [
            vec!["t3.small".into(), "t3a.small".into()],
            vec!["t3.medium".into()],
            vec!["t3.xlarge".into()],
        ],
        subnets: Vec::new(),
        security_groups: Vec::new(),
        key_pair: String::new(),
        instance_profile: String::new(),
        root_gb: 16,
        root_type: "gp3".into(),
        spot: false,
        reach: Reach::Public,
        first_port: 8000,
        server_url: "https://greenroom.example".into(),
        first_start: Arc::new(Padded(0)),
        credentials: Some(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "test",
        ))),
        pace: Pace {
            spacing: Duration::from_millis(10),
            fresh: Duration::ZERO,
            settle: Duration::from_millis(400),
            patience: Duration::from_secs(60),
            baking: Duration::from_secs(60),
            attempts: ATTEMPTS,
            backoff: Duration::from_millis(5),
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(20),
        },
        interrupt: None,
    }
}

/// A provider with these settings.
pub async fn provider(options: Ec2Options) -> Ec2 {
    Ec2::new(options).await.unwrap()
}

pub struct Ec2Arena {
    ec2: Ec2,
    cloud: Cloud,
    cut: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

impl Ec2Arena {
    pub async fn new(cloud: Cloud) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cut = Arc::new(AtomicUsize::new(NEVER));
        let asked = Arc::clone(&cut);
        let mut options = options(&cloud, folder.path());
        // A public address is another one after each stop, as people know it of EC2.
        options.reach = Reach::Private;
        options.interrupt = Some(Arc::new(move |point| {
            let here = POINTS.get(asked.load(Ordering::SeqCst)).is_some_and(|name| *name == point);
            if here {
                asked.store(NEVER, Ordering::SeqCst);
            }
            here
        }));
        Self {
            ec2: provider(options).await,
            cloud,
            cut,
            _folder: folder,
        }
    }

    async fn left(&self, node: &NodeId) -> Vec<String> {
        self.cloud.tagged("greenroom:node", node.as_str()).await
    }
}

#[async_trait]
impl Arena for Ec2Arena {
    fn provider(&self) -> &dyn Provider {
        &self.ec2
    }

    fn cuts(&self) -> usize {
        POINTS.len() + 3
    }

    fn cut(&self, point: usize) {
        let attempts = ATTEMPTS as usize;
        match point.checked_sub(POINTS.len()) {
            None => self.cut.store(point, Ordering::SeqCst),
            Some(0) => self.cloud.trouble("RunInstances", Trouble::DropBefore, attempts),
            Some(1) => self.cloud.trouble("RunInstances", Trouble::DropAfter, attempts),
            Some(_) => self.cloud.trouble("RunInstances", Trouble::throttle(), attempts),
        }
    }

    // An instance's agent ends with it; whether it alone has died is for its silence to tell.
    async fn kill_agent(&self, node: &NodeId) {
        for instance in self.left(node).await {
            if let Some(id) = instance.strip_suffix(" running") {
                self.cloud.ask("StopInstances", &[("InstanceId.1", id)]).await;
            }
        }
    }

    fn leftovers(&self, node: &NodeId) -> Vec<String> {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| runtime.block_on(self.left(node)))
    }
}
