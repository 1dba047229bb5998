//! Secrets that people give for nodes of the inventory: given, listed without their values, forgotten, and handed only to a
//! node whose configuration names them.

use super::agents::operators_only;
use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::configuration::NodeConfiguration;
use crate::model::id::NodeId;
use crate::model::secret;
use crate::store::secrets::NamedSecretRow;
use crate::wire::agent::SecretValue;
use crate::wire::secrets::{SecretRequest, SecretView};

// What a certificate with its chain and key comes to, several times over.
const LONGEST: usize = 64 * 1024;

impl Control {
    /// All secrets by name, without their values.
    ///
    /// # Errors
    /// `not-allowed` for less than an operator.
    pub async fn list_secrets(&self, actor: &Actor) -> Result<Vec<SecretView>> {
        operators_only(actor)?;
        Ok(self.store.named_secrets().await?.into_iter().map(view).collect())
    }

    /// Gives a secret its value, in the place of the one before.
    ///
    /// # Errors
    /// `not-allowed` for less than an operator; `invalid-request`.
    pub async fn save_secret(&self, actor: &Actor, request: &SecretRequest) -> Result<()> {
        operators_only(actor)?;
        let environment = self.scope(&request.name, request.environment.as_deref())?;
        if request.value.is_empty() || request.value.len() > LONGEST || request.value.contains('\0') {
            let why = "it must have 1 to 65536 bytes, and none of them zero";
            return Err(ControlError::field("value", why));
        }
        let sealed = self.store.seal_named_secret(&request.name, environment, &request.value)?;
        let mut tx = self.store.write(actor, "secret.set", &request.name).await?;
        tx.detail(shown(environment));
        tx.put_named_secret(&request.name, environment, &sealed, &actor.to_string())
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// `not-allowed` for less than an operator; `not-found`, `invalid-request`.
    pub async fn remove_secret(&self, actor: &Actor, name: &str, environment: Option<&str>) -> Result<()> {
        operators_only(actor)?;
        let environment = environment.unwrap_or_default();
        let mut tx = self.store.write(actor, "secret.remove", name).await?;
        tx.detail(shown(environment));
        if !tx.delete_named_secret(name, environment).await? {
            return Err(ControlError::not_found("secret", name));
        }
        tx.commit().await?;
        Ok(())
    }

    // A secret that the configuration of this node of the inventory names, and nothing else.
    pub(super) async fn inventory_secret(&self, node: &NodeId, node_name: &str, wanted: &str) -> Result<SecretValue> {
        // One that is not the node's to know is as unknown as one that nobody gave.
        let unknown = || ControlError::not_found("secret", wanted);
        let desired = self.store.agent(node).await?.and_then(|agent| agent.desired);
        let body = match desired {
            Some(hash) => self.store.configuration(&hash).await?,
            None => None,
        };
        let configuration: Option<NodeConfiguration> = body.and_then(|body| serde_json::from_str(&body).ok());
        if !configuration.is_some_and(|c| c.secrets().contains(wanted)) {
            return Err(unknown());
        }
        let inventory = self.store.inventory();
        let record = node_name.parse().ok().and_then(|name| inventory.node(&name).cloned());
        let environment = record.as_ref().map(|record| record.body.spec.environment.as_str());
        let value = self.store.named_secret(wanted, environment.unwrap_or_default()).await?;
        let value = value.ok_or_else(unknown)?;
        let actor = Actor::Agent { node: node.clone() };
        let mut tx = self.store.write(&actor, "secret.read", wanted).await?;
        tx.detail(node_name.to_owned());
        tx.commit().await?;
        Ok(SecretValue { value })
    }

    // The environment as it is stored, of a name that may be one.
    fn scope<'a>(&self, name: &str, environment: Option<&'a str>) -> Result<&'a str> {
        if !secret::is_name(name) {
            let why = "it must be words of letters, digits, `-`, `_` and `.`, joined by `/`, such as `shop/env/SESSION_KEY`";
            return Err(ControlError::field("name", why));
        }
        let Some(environment) = environment else { return Ok("") };
        let inventory = self.store.inventory();
        let known = environment
            .parse()
            .is_ok_and(|name| inventory.environments.contains_key(&name));
        if known {
            return Ok(environment);
        }
        Err(ControlError::field("environment", "there is no such environment"))
    }
}

fn shown(environment: &str) -> String {
    match environment {
        "" => "for every environment".to_owned(),
        name => format!("for {name}"),
    }
}

fn view(row: NamedSecretRow) -> SecretView {
    SecretView {
        name: row.name,
        environment: Some(row.environment).filter(|name| !name.is_empty()),
        updated_at: row.updated_at,
        updated_by: row.updated_by,
    }
}
