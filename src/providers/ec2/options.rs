//! What the provider is told.

use super::super::{Interrupt, NodeSpec};
use crate::model::stack::Size;
use async_trait::async_trait;
use aws_sdk_ec2::config::SharedCredentialsProvider;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What an instance does when it starts for the first time.
#[async_trait]
pub trait FirstStart: Send + Sync + std::fmt::Debug {
    /// The user-data of a node, as plain text, that puts the agent onto a bare machine and has it register. The same node gets the same.
    ///
    /// # Errors
    /// Why it cannot be made.
    async fn user_data(&self, spec: &NodeSpec) -> Result<String, String>;
}

/// Which address of an instance it is reached at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A public one, another after each sleep.
    Public,
    /// The one inside of the network.
    Private,
    /// An elastic one of its own, which stays.
    Elastic,
}

impl Reach {
    /// The one of this name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn named(name: &str) -> Result<Self, String> {
        match name {
            "public" => Ok(Self::Public),
            "private" => Ok(Self::Private),
            "elastic" => Ok(Self::Elastic),
            _ => Err(format!(
                "`{name}` is no kind of address: it must be public, private or elastic"
            )),
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Between two listings of all instances.
    pub spacing: Duration,
    /// How old an observation may be.
    pub fresh: Duration,
    /// How long a launch may take to show: EC2 does not show at once what it has done.
    pub settle: Duration,
    /// How long an instance may take to start, stop or end.
    pub patience: Duration,
    /// How long an image may take.
    pub baking: Duration,
    /// How often a call is made before it has failed.
    pub attempts: u32,
    /// The pause after the first attempt; it doubles.
    pub backoff: Duration,
    /// How long a connection may take.
    pub connect: Duration,
    /// How long one attempt may take.
    pub attempt: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            spacing: Duration::from_secs(1),
            fresh: Duration::from_secs(3),
            settle: Duration::from_secs(45),
            patience: Duration::from_mins(6),
            baking: Duration::from_mins(30),
            attempts: 5,
            backoff: Duration::from_secs(1),
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(40),
        }
    }
}

/// What the EC2 provider is told.
#[derive(Clone)]
pub struct Ec2Options {
    /// Folder of what was asked for each node.
    pub folder: PathBuf,
    /// The region; where empty, what AWS's own settings say.
    pub region: String,
    /// The profile in AWS's own files; where empty, the default one.
    pub profile: String,
    /// Where EC2 answers, where that is not the region's usual place.
    pub endpoint: String,
    /// The value of the tag `greenroom` on all that is ours: each server on one account has its own.
    pub owner: String,
    /// An image's id, or `OWNER/NAME` with stars in the name: the newest of these.
    pub image: String,
    /// The types of small, medium and large nodes, in the order they are tried.
    pub types: [Vec<String>; 3],
    /// Subnets, in the order they are tried; where empty, EC2 chooses one of the default network.
    pub subnets: Vec<String>,
    /// Security groups; where empty, the network's default one.
    pub security_groups: Vec<String>,
    /// Key pair for SSH; none where empty.
    pub key_pair: String,
    /// Instance profile; none where empty.
    pub instance_profile: String,
    /// Gibibytes of the root volume; the size of the node counts where it needs more.
    pub root_gb: i32,
    /// Type of the root volume.
    pub root_type: String,
    /// Whether spot instances are tried before others.
    pub spot: bool,
    /// Which address counts.
    pub reach: Reach,
    /// Ports of apps begin here.
    pub first_port: u16,
    /// The server's address as instances reach it.
    pub server_url: String,
    /// Makes user-data.
    pub first_start: Arc<dyn FirstStart>,
    /// Credentials, where they are not to be looked for.
    pub credentials: Option<SharedCredentialsProvider>,
    /// How long things may take.
    pub pace: Pace,
    /// For tests of what a killed server leaves.
    pub interrupt: Option<Interrupt>,
}

impl Ec2Options {
    /// The types of a size, in the order they are tried.
    pub(super) fn types_of(&self, size: Size) -> &[String] {
        match size {
            Size::Small => &self.types[0],
            Size::Medium => &self.types[1],
            Size::Large => &self.types[2],
        }
    }
}

impl std::fmt::Debug for Ec2Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ec2Options")
            .field("region", &self.region)
            .field("owner", &self.owner)
            .field("image", &self.image)
            .field("subnets", &self.subnets)
            .finish_non_exhaustive()
    }
}
