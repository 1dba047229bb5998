//! Sharing a stack: to whom its apps are open, with whom it is shared, and links for people without an account.

use super::super::{Control, ControlError, Result};
use super::passes::{GUEST, GUEST_PREFIX};
use crate::model::actor::Actor;
use crate::model::address::label;
use crate::model::id::{GuestLinkId, UserId};
use crate::model::secret;
use crate::model::stack::{Stack, StackState};
use crate::model::time::parse_length;
use crate::plans::view;
use crate::store::doors::GuestLinkRow;
use crate::wire::sharing::{GuestAddress, GuestLinkView, NewGuestLink, RenewGuestLink, Share, SharingRequest, SharingView};

const MOST_PEOPLE: usize = 200;
const MOST_LINKS: usize = 50;
const USUAL_MS: i64 = 7 * 24 * 3600 * 1000;
const SHORTEST_MS: i64 = 60_000;
const LONGEST_MS: i64 = 90 * 24 * 3600 * 1000;

impl Control {
    /// Who may look at a stack's apps.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_sharing(&self, actor: &Actor, id_or_name: &str) -> Result<SharingView> {
        let stack = self.find_stack(id_or_name).await?;
        let people = self.store.shares(&stack.id).await?;
        let links = self.store.guest_links(&stack.id).await?;
        let may_change = self.rights(actor).await?.may_change(&stack.id, &stack.owner) && !is_over(&stack);
        Ok(SharingView {
            visibility: self.store.visibility(&stack.id).await?,
            people: people
                .into_iter()
                .map(|share| Share {
                    name: share.name,
                    level: share.level,
                })
                .collect(),
            guest_links: links.into_iter().map(link_view).collect(),
            last_used_at: self.last_used(&stack.id).await?,
            may_change,
        })
    }

    /// Changes to whom a stack's apps are open and with whom it is shared.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`, `invalid-request` naming an account that does not exist.
    pub async fn change_sharing(&self, actor: &Actor, id_or_name: &str, request: &SharingRequest) -> Result<SharingView> {
        let stack = self.shareable(actor, id_or_name).await?;
        let mut share = Vec::new();
        for wanted in &request.share {
            share.push((self.person("share", &wanted.name).await?, wanted));
        }
        let mut unshare = Vec::new();
        for name in &request.unshare {
            unshare.push((self.person("unshare", name).await?, name));
        }
        let present = self.store.shares(&stack.id).await?.len();
        if present + share.len() > MOST_PEOPLE {
            return Err(ControlError::field("share", format!("{MOST_PEOPLE} people at most")));
        }
        let mut tx = self.store.write(actor, "sharing.change", stack.id.as_str()).await?;
        let mut said = Vec::new();
        if let Some(visibility) = request.visibility {
            tx.set_visibility(&stack.id, visibility).await?;
            said.push(format!("open to: {visibility}"));
        }
        for (user, wanted) in &share {
            tx.set_share(&stack.id, user, wanted.level).await?;
            said.push(format!("{} may {}", wanted.name, wanted.level));
        }
        for (user, name) in &unshare {
            tx.remove_share(&stack.id, user).await?;
            said.push(format!("{name} no more"));
        }
        tx.detail(said.join(", "));
        tx.commit().await?;
        self.doors.forget_stack(stack.id.as_str());
        self.show_sharing(actor, stack.id.as_str()).await
    }

    /// Makes a link that lets someone without an account look at a stack's apps; its addresses are shown this once.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`, `invalid-request`.
    pub async fn create_guest_link(&self, actor: &Actor, id_or_name: &str, request: &NewGuestLink) -> Result<GuestLinkView> {
        let stack = self.shareable(actor, id_or_name).await?;
        let name = request.name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(ControlError::field("name", "say whom it is for in 1 to 100 characters"));
        }
        let life = life(request.expires_in.as_deref())?.unwrap_or(USUAL_MS);
        if self.store.guest_links(&stack.id).await?.len() >= MOST_LINKS {
            return Err(ControlError::new(
                "conflict",
                format!("{} has {MOST_LINKS} links already", stack.name),
            ));
        }
        let account = self.account_of(actor).await?;
        let secret = secret::make(GUEST_PREFIX);
        let mut tx = self.store.write(actor, "guest_link.create", stack.id.as_str()).await?;
        let link = GuestLinkRow {
            id: GuestLinkId::from_bits(tx.next_id()),
            stack: stack.id.clone(),
            name: name.to_owned(),
            created_by: (account.id, account.name.to_string()),
            created_at: tx.at(),
            expires_at: tx.at().plus(life),
            revoked_at: None,
        };
        tx.insert_guest_link(&link, &secret::hash(&secret)).await?;
        tx.detail(format!("for {name}, until {}", link.expires_at));
        tx.commit().await?;
        self.with_addresses(&stack, link, &secret).await
    }

    /// Gives a guest link another secret: whoever has the old one is out.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`, `invalid-request`.
    pub async fn renew_guest_link(
        &self,
        actor: &Actor,
        id_or_name: &str,
        link: &str,
        request: &RenewGuestLink,
    ) -> Result<GuestLinkView> {
        let stack = self.shareable(actor, id_or_name).await?;
        let mut link = self.guest_link_of(&stack, link).await?;
        let life = life(request.expires_in.as_deref())?;
        let secret = secret::make(GUEST_PREFIX);
        let mut tx = self.store.write(actor, "guest_link.renew", stack.id.as_str()).await?;
        link.expires_at = tx.at().plus(life.unwrap_or(link.expires_at.since(link.created_at)));
        tx.rotate_guest_link(&link, &secret::hash(&secret), link.expires_at).await?;
        tx.detail(format!("for {}, until {}", link.name, link.expires_at));
        tx.commit().await?;
        self.doors.forget_passes();
        self.with_addresses(&stack, link, &secret).await
    }

    /// Ends a guest link.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`.
    pub async fn revoke_guest_link(&self, actor: &Actor, id_or_name: &str, link: &str) -> Result<()> {
        let stack = self.find_stack(id_or_name).await?;
        self.check_may_change(actor, &stack).await?;
        let link = self.guest_link_of(&stack, link).await?;
        let mut tx = self.store.write(actor, "guest_link.revoke", stack.id.as_str()).await?;
        tx.revoke_guest_link(&link).await?;
        tx.detail(format!("for {}", link.name));
        tx.commit().await?;
        self.doors.forget_passes();
        Ok(())
    }

    async fn shareable(&self, actor: &Actor, id_or_name: &str) -> Result<Stack> {
        let stack = self.find_stack(id_or_name).await?;
        self.check_may_change(actor, &stack).await?;
        if is_over(&stack) {
            return Err(ControlError::new(
                "conflict",
                format!("{} is {} now", stack.name, stack.state),
            ));
        }
        Ok(stack)
    }

    async fn person(&self, field: &str, name: &str) -> Result<UserId> {
        let account = self.account_named(name).await;
        account
            .map(|account| account.id)
            .map_err(|error| ControlError::field(field, error.fault.what))
    }

    async fn guest_link_of(&self, stack: &Stack, id: &str) -> Result<GuestLinkRow> {
        let all = self.store.guest_links(&stack.id).await?;
        let found = all.into_iter().find(|link| link.id.as_str() == id);
        found.ok_or_else(|| ControlError::not_found("guest link", id))
    }

    // One address an app that people open.
    async fn with_addresses(&self, stack: &Stack, link: GuestLinkRow, secret: &str) -> Result<GuestLinkView> {
        let mut addresses = Vec::new();
        for app in view::descriptors(&self.store, &stack.spec).await?.iter().rev() {
            let front = app.front_port();
            for (name, port) in app
                .spec
                .ports
                .iter()
                .filter(|(_, port)| port.public && port.protocol == "http")
            {
                let further = (front != Some(name)).then_some(name.as_str());
                if let Some(label) = label(app.name().as_str(), further, stack.name.as_str()) {
                    addresses.push(GuestAddress {
                        label: port.label.clone().unwrap_or_else(|| app.title().to_owned()),
                        url: format!("{}{GUEST}{secret}", self.addresses.origin(&label)),
                    });
                }
            }
        }
        Ok(GuestLinkView {
            addresses,
            ..link_view(link)
        })
    }
}

fn is_over(stack: &Stack) -> bool {
    matches!(stack.state, StackState::Destroying | StackState::Destroyed)
}

fn life(text: Option<&str>) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let life = parse_length(text).map_err(|why| ControlError::field("expires_in", why))?;
    if !(SHORTEST_MS..=LONGEST_MS).contains(&life) {
        return Err(ControlError::field("expires_in", "it must be from one minute to 90 days"));
    }
    Ok(Some(life))
}

fn link_view(link: GuestLinkRow) -> GuestLinkView {
    GuestLinkView {
        id: link.id,
        name: link.name,
        created_by: link.created_by.1,
        created_at: link.created_at,
        expires_at: link.expires_at,
        addresses: Vec::new(),
    }
}
