//! From a bare machine to a node: what a machine that starts for the first time is told through cloud-init's NoCloud.
//!
//! The address that it asks holds a token for one node, which is also what it registers with. Invariant: what is answered to a
//! token is that node's, and nothing is answered once the token has expired or was revoked.

use super::super::configurations::find_node;
use super::super::{Control, ControlError, Result};
use super::enrol::{new_token, operators_only, token_life};
use crate::model::actor::Actor;
use crate::model::name::NodeName;
use crate::model::secret;
use crate::recipes::targets::{self, Newcomer, Options, Stub, Target};
use crate::store::boots::BootRow;
use crate::wire::agents::{BootView, NewBoot};
use serde_json::json;

/// The files that NoCloud asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedFile {
    /// Which machine this is.
    MetaData,
    /// What is to be done on it.
    UserData,
    /// What the vendor wants done besides: nothing.
    VendorData,
    /// How it reaches its network.
    NetworkConfig,
}

impl SeedFile {
    /// The file of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "meta-data" => Self::MetaData,
            "user-data" => Self::UserData,
            "vendor-data" => Self::VendorData,
            "network-config" => Self::NetworkConfig,
            _ => return None,
        })
    }
}

impl Control {
    /// Makes a token with which a machine starts as this node, and the address that it finds its data at. The answer is the only
    /// place where it is ever shown.
    ///
    /// # Errors
    /// `not-allowed` for less than an operator, `not-found`, `conflict` for a node that has an agent, `invalid-request`; where
    /// all is to be in the user-data, what keeps it from that.
    pub async fn boot_node(&self, actor: &Actor, name: &str, request: &NewBoot) -> Result<BootView> {
        operators_only(actor)?;
        let life = token_life(&request.ttl)?;
        let server = self.machines_url(request.server.as_deref())?;
        let inventory = self.store.inventory();
        let node = find_node(&inventory, name)?;
        if !["agent", "whole"].contains(&request.user_data.as_str()) {
            return Err(ControlError::field("user_data", "it must be `agent` or `whole`"));
        }
        if self.store.agent_named(name).await?.is_some() {
            let mut error = ControlError::new("conflict", format!("A machine is registered as {name}"));
            error.fault.next = format!("If that one is gone, `greenroom node forget {name}`, then try again");
            return Err(error);
        }
        let spec = &node.body.spec;
        let token = secret::make(super::enrol::PREFIX);
        let place = (spec.environment.as_str(), spec.datacenter.as_str());
        let row = new_token(self, actor, name, place, 1, life);
        let boot = BootRow {
            token: row.id.clone(),
            node: name.to_owned(),
            server: server.clone(),
            user_data: request.user_data.clone(),
        };
        // What cannot be made is said now, to a person.
        self.user_data(&boot, &token).await?;
        let mut tx = self.store.write(actor, "node.boot", name).await?;
        tx.detail(format!("with {}, {}", row.id, request.user_data));
        tx.insert_agent_token(&secret::hash(&token), &row).await?;
        tx.insert_boot(&boot).await?;
        tx.commit().await?;
        let seed = format!("{server}/nocloud/{token}/");
        Ok(BootView {
            node: name.to_owned(),
            token: row.id,
            // The mode is said because cloud-init before 23 would not wait for the network otherwise.
            kernel: format!("ds=nocloud;dsmode=net;s={seed}"),
            seed,
            user_data: boot.user_data,
            expires_at: row.expires_at,
        })
    }

    /// What a machine that starts with this token is told.
    ///
    /// # Errors
    /// `not-found` for a token that is none, has expired or was revoked, and where the node is gone; `recipe-invalid`.
    pub async fn seed(&self, token: &str, file: SeedFile) -> Result<Vec<u8>> {
        let refuse = || ControlError::new("not-found", "This address is not good, or not any more");
        let boot = self.store.boot(&secret::hash(token), self.now()).await?.ok_or_else(refuse)?;
        let inventory = self.store.inventory();
        let name: NodeName = boot.node.parse().map_err(|_| refuse())?;
        let node = inventory.node(&name).ok_or_else(refuse)?;
        Ok(match file {
            // Another token is another first start.
            SeedFile::MetaData => {
                document(&json!({ "instance-id": format!("iid-{}", boot.token), "local-hostname": name.as_str() }))
            }
            SeedFile::VendorData => b"#cloud-config\n{}\n".to_vec(),
            SeedFile::NetworkConfig => {
                let said = node.body.spec.values.get("network_config").cloned();
                document(&said.unwrap_or_else(any_network))
            }
            SeedFile::UserData => self.user_data(&boot, token).await?,
        })
    }

    async fn user_data(&self, boot: &BootRow, token: &str) -> Result<Vec<u8>> {
        let stub = Stub {
            server: boot.server.clone(),
            newcomer: Newcomer::Named(boot.node.clone()),
            token: token.to_owned(),
            program: format!("{}/agent/v1/program", boot.server),
            program_sha256: self.agent_program().await?.sha256,
        };
        if boot.user_data == "agent" {
            return Ok(targets::stub_user_data(&stub).into_bytes());
        }
        let rendered = self
            .rendered(&boot.node, Target::CloudInit, Some(&stub), &Options::default())
            .await?;
        Ok(rendered.bytes)
    }

    // The server's address as a machine reaches it: what is given, else what the settings say.
    fn machines_url(&self, given: Option<&str>) -> Result<String> {
        let settings = &self.settings;
        let url = match given {
            Some(given) => given.to_owned(),
            None if settings.agents.url.is_empty() => self.public_url(),
            None => settings.agents.url.clone(),
        };
        let url = url.trim_end_matches('/').to_owned();
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%".contains(c);
        let Some(rest) = rest.filter(|rest| !rest.is_empty() && rest.chars().all(plain)) else {
            return Err(ControlError::field(
                "server",
                "it must be an address such as https://greenroom.example.org",
            ));
        };
        let only_here = ["localhost", "127.", "[::1]"].iter().any(|host| rest.starts_with(host));
        if given.is_none() && only_here {
            let why = format!("no other machine reaches {url}: give the address that machines use, or set agents.url");
            return Err(ControlError::field("server", why));
        }
        Ok(url)
    }
}

// JSON is YAML.
fn document(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

// As machines do where nobody says anything, for every card that is called like one.
fn any_network() -> serde_json::Value {
    json!({ "version": 2, "ethernets": { "all": { "match": { "name": "e*" }, "dhcp4": true } } })
}
