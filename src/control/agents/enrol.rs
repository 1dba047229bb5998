//! How machines become nodes: tokens for so many of them, until then, and only under names that fit.

use super::super::{Control, ControlError, Result};
use super::proof::Proof;
use crate::model::actor::{Actor, Role};
use crate::model::id::{NodeId, TokenId};
use crate::model::inventory::{Object, ObjectKind};
use crate::model::name::NodeName;
use crate::model::secret;
use crate::model::signature::PublicKey;
use crate::model::time::parse_length;
use crate::store::agents::{AgentRow, AgentTokenRow};
use crate::wire::agent::{Register, Registered};
use crate::wire::agents::{NewNodeToken, NodeTokenView};
use serde_json::json;

pub(super) const PREFIX: &str = "grn_";
const MOST_USES: i64 = 10_000;
const LONGEST_MS: i64 = 90 * 24 * 3_600_000;

impl Control {
    /// Makes a token that machines register with; the answer is the only place its secret is ever shown.
    ///
    /// # Errors
    /// `not-allowed` for less than an operator, `invalid-request`.
    pub async fn create_node_token(&self, actor: &Actor, request: &NewNodeToken) -> Result<NodeTokenView> {
        operators_only(actor)?;
        if !(1..=MOST_USES).contains(&request.uses) {
            return Err(ControlError::field("uses", format!("it must be between 1 and {MOST_USES}")));
        }
        let life = token_life(&request.ttl)?;
        let pattern = request.name.trim();
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-.*".contains(&b);
        if pattern.is_empty() || pattern.len() > 200 || !pattern.bytes().all(good) {
            return Err(ControlError::field(
                "name",
                "write a name, with `*` for any part of it, such as `web-*`",
            ));
        }
        let secret = secret::make(PREFIX);
        let place = (request.environment.as_str(), request.datacenter.as_str());
        let row = new_token(self, actor, pattern, place, request.uses, life);
        // What a new node would be, so that a token nobody could use is refused now.
        node_object("node", &row).map_err(|why| ControlError::field("environment", why))?;
        let mut tx = self.store.write(actor, "node-token.create", &row.id).await?;
        tx.detail(format!(
            "{} for {pattern} in {}/{}",
            row.uses, row.environment, row.datacenter
        ));
        tx.insert_agent_token(&secret::hash(&secret), &row).await?;
        tx.commit().await?;
        Ok(view(row, Some(secret)))
    }

    /// All tokens that machines register with, without their secrets.
    ///
    /// # Errors
    /// `not-allowed` for less than an operator.
    pub async fn list_node_tokens(&self, actor: &Actor) -> Result<Vec<NodeTokenView>> {
        operators_only(actor)?;
        let rows = self.store.agent_tokens().await?;
        Ok(rows.into_iter().map(|row| view(row, None)).collect())
    }

    /// Makes a token useless. Nodes that have registered with it stay.
    ///
    /// # Errors
    /// `not-allowed`, `not-found`.
    pub async fn revoke_node_token(&self, actor: &Actor, id: &str) -> Result<()> {
        operators_only(actor)?;
        let mut tx = self.store.write(actor, "node-token.revoke", id).await?;
        if !tx.revoke_agent_token(id).await? {
            return Err(ControlError::not_found("node token", id));
        }
        tx.commit().await?;
        Ok(())
    }

    // A machine asks to be the node of this name.
    pub(super) async fn enrol(&self, token: &str, name: &str, request: &Register, proof: &Proof<'_>) -> Result<Registered> {
        let refuse = || ControlError::new("not-signed-in", "The node's token is not valid");
        let key: PublicKey = request.key.parse().map_err(|why| ControlError::field("key", why))?;
        self.check_new_key(&key, proof)?;
        let known = self.store.agent_token(&secret::hash(token)).await?.ok_or_else(refuse)?;
        let parsed: NodeName = name.parse().map_err(|why| ControlError::field("name", why))?;
        if !fits(&known.pattern, name) {
            return Err(ControlError::new(
                "not-allowed",
                format!("The token is for nodes named {}", known.pattern),
            ));
        }
        if let Some(agent) = self.store.agent_named(name).await? {
            return self.again(&agent, &key).await;
        }
        let node = NodeId::from_bits(self.store.next_id());
        let actor = Actor::Agent { node: node.clone() };
        let mut tx = self.store.write(&actor, "node.enrol", name).await?;
        tx.detail(format!("with {}", known.id));
        if !tx.use_agent_token(&known.id).await? {
            return Err(refuse());
        }
        if let Some(record) = self.store.inventory().node(&parsed) {
            let spec = &record.body.spec;
            if spec.environment.as_str() != known.environment || spec.datacenter.as_str() != known.datacenter {
                let place = format!("{}/{}", known.environment, known.datacenter);
                return Err(ControlError::new("not-allowed", format!("The token is for nodes in {place}")));
            }
        } else {
            let object = node_object(name, &known).map_err(|why| ControlError::field("name", why))?;
            let version = tx
                .object_version(ObjectKind::Node, name)
                .await?
                .map_or(1, |(version, _)| version + 1);
            tx.put_object(&object, version, &actor.to_string(), "registered by its agent")
                .await?;
        }
        let version = request.facts["agent"].as_str().unwrap_or_default();
        tx.insert_agent(
            &node,
            name,
            &key.to_string(),
            &known.id,
            &version.chars().take(40).collect::<String>(),
        )
        .await?;
        tx.commit().await?;
        self.try_deliver(name).await;
        self.registered(&node).await
    }

    // The same machine once more, or another one that says it is that.
    async fn again(&self, agent: &AgentRow, key: &PublicKey) -> Result<Registered> {
        if agent.public_key == key.to_string() {
            return self.registered(&agent.node).await;
        }
        let mut error = ControlError::new("conflict", format!("Another machine is registered as {}", agent.name));
        error.fault.next = format!("If that one is gone, `greenroom node forget {}`, then try again", agent.name);
        Err(error)
    }

    pub(super) async fn registered(&self, node: &NodeId) -> Result<Registered> {
        Ok(Registered {
            node: node.as_str().to_owned(),
            server_key: self.fleet.key().await?.public().to_string(),
        })
    }
}

/// How long a token is good, in milliseconds.
pub(super) fn token_life(text: &str) -> Result<i64> {
    let life = parse_length(text).map_err(|why| ControlError::field("ttl", why))?;
    if !(1000..=LONGEST_MS).contains(&life) {
        return Err(ControlError::field("ttl", "it must be between a second and 90 days"));
    }
    Ok(life)
}

/// A token for nodes of these names in this environment and datacenter.
pub(super) fn new_token(
    control: &Control,
    actor: &Actor,
    pattern: &str,
    (environment, datacenter): (&str, &str),
    uses: i64,
    life: i64,
) -> AgentTokenRow {
    let now = control.now();
    AgentTokenRow {
        id: TokenId::from_bits(control.store.next_id()).as_str().to_owned(),
        pattern: pattern.to_owned(),
        environment: environment.to_owned(),
        datacenter: datacenter.to_owned(),
        uses,
        uses_left: uses,
        actor: actor.to_string(),
        created_at: now,
        expires_at: now.plus(life),
        revoked_at: None,
    }
}

pub(in crate::control) fn operators_only(actor: &Actor) -> Result<()> {
    if actor.role().is_some_and(|role| role >= Role::Operator) {
        return Ok(());
    }
    Err(ControlError::new("not-allowed", "This needs the role operator"))
}

fn node_object(name: &str, token: &AgentTokenRow) -> std::result::Result<Object, String> {
    let node = json!({
        "apiVersion": crate::model::inventory::API_VERSION,
        "kind": "Node",
        "metadata": { "name": name },
        "spec": { "environment": token.environment, "datacenter": token.datacenter },
    });
    serde_json::from_value(node)
        .map(Object::Node)
        .map_err(|error| error.to_string())
}

// Whether a name fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

fn view(row: AgentTokenRow, secret: Option<String>) -> NodeTokenView {
    NodeTokenView {
        id: row.id,
        name: row.pattern,
        environment: row.environment,
        datacenter: row.datacenter,
        uses: row.uses,
        uses_left: row.uses_left,
        made_by: row.actor,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        secret,
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn names_fit_patterns_with_stars() {
        for (pattern, name, wanted) in [
            ("web-1", "web-1", true),
            ("web-1", "web-12", false),
            ("web-*", "web-", true),
            ("web-*", "db-web-1", false),
            ("*.example.org", "a.b.example.org", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
