//! Going through a door: who may, and how a browser that is known in the portal becomes known at an app's address.
//!
//! The portal's session never leaves the portal's host. Someone who is signed in gets a code that is good once, within a minute
//! and at one address; the proxy makes of it a pass that is good at that address only
//! and ends with the session. A guest link's secret is itself a pass, for every app of its stack that is meant for people.

use super::super::{Control, ControlError, Result};
use super::Door;
use crate::model::actor::{Actor, Role};
use crate::model::address::encode;
use crate::model::secret;
use crate::model::sharing::{Visibility, Visitor};
use crate::model::time::Timestamp;
use crate::store::doors::GuestLinkRow;
use std::sync::Arc;

/// How long a pass lasts; after it, the portal hands over anew, unseen.
pub const PASS_LIFE_MS: i64 = 12 * 3600 * 1000;

/// Where the proxy takes a guest link's secret.
pub const GUEST: &str = "/.greenroom/guest/";

/// What the secrets of guest links begin with.
pub const GUEST_PREFIX: &str = "grg_";

const REMEMBERED_MS: i64 = 30 * 24 * 3600 * 1000;
const CODE_LIFE_MS: i64 = 60_000;

/// Where the proxy takes a code.
pub const ENTER: &str = "/.greenroom/enter";

/// A pass that was just made.
#[derive(Debug)]
pub struct Entered {
    /// Its secret, for the cookie.
    pub secret: String,
    /// How long it lasts.
    pub seconds: i64,
}

impl Door {
    /// Whether a visitor may look at what is behind it.
    pub fn admits(&self, visitor: &Visitor) -> bool {
        match visitor {
            _ if self.visibility == Visibility::Public && self.for_people => true,
            Visitor::Account { user, role } => {
                self.visibility != Visibility::Private
                    || *role >= Role::Operator
                    || &self.owner == user
                    || self.shared_with.contains(user)
            }
            Visitor::Guest { stack, .. } => self.for_people && &self.stack == stack,
            Visitor::Stranger => false,
        }
    }
}

impl Control {
    /// Who holds this pass, which is of this door or a guest link's secret; a stranger where it is no pass.
    ///
    /// # Errors
    /// `link-ended` where it was a guest link.
    pub async fn visitor_with_pass(&self, door: &Door, pass: &str) -> Result<Arc<Visitor>> {
        if let Some(visitor) = self.doors.pass(&door.label, pass, self.now()) {
            return Ok(visitor);
        }
        let seen = self.doors.seen();
        let found = if pass.starts_with(GUEST_PREFIX) {
            let link = self.living_link(pass).await?;
            Some(Visitor::Guest {
                link: link.id,
                stack: link.stack,
            })
        } else {
            self.store.pass_holder(&door.label, &secret::hash(pass)).await?
        };
        let Some(visitor) = found.map(Arc::new) else {
            return Ok(Arc::new(Visitor::Stranger));
        };
        self.doors.keep_pass(&door.label, pass, &visitor, self.now(), seen);
        Ok(visitor)
    }

    /// Who sends this API token; a stranger where it is none.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn visitor_with_token(&self, token: &str) -> Result<Arc<Visitor>> {
        let visitor = match self.authenticate_token(token).await {
            Ok(Actor::User { id, role, .. }) => Visitor::Account { user: id, role },
            Ok(_) => Visitor::Stranger,
            Err(error) if error.fault.code == "not-signed-in" => Visitor::Stranger,
            Err(error) => return Err(error),
        };
        Ok(Arc::new(visitor))
    }

    /// Where to send the browser of someone who is signed in so that it gets into an address of ours.
    ///
    /// # Errors
    /// `not-found` for other addresses, `not-allowed`.
    pub async fn hand_over(&self, actor: &Actor, session: &str, to: &str) -> Result<String> {
        let unknown = || ControlError::not_found("address", to);
        let (label, path) = self.addresses.split(to).ok_or_else(unknown)?;
        let door = self.find_door(&label).await?.ok_or_else(unknown)?;
        let visitor = match actor {
            Actor::User { id, role, .. } => Visitor::Account {
                user: id.clone(),
                role: *role,
            },
            _ => Visitor::Stranger,
        };
        if !door.admits(&visitor) {
            let mut error = ControlError::new("not-allowed", format!("{} is not shared with you", door.stack_name));
            error.fault.next = format!("Ask {} to share it with you", door.owner_name);
            return Err(error);
        }
        let code = secret::make("");
        let mut tx = self.store.journal().await?;
        let until = tx.at().plus(CODE_LIFE_MS);
        tx.insert_pass_code(&secret::hash(&code), &door.label, &secret::hash(session), until)
            .await?;
        tx.commit().await?;
        let origin = self.addresses.origin(&door.label);
        let path = if path.starts_with('/') { path } else { "/" };
        Ok(format!("{origin}{ENTER}?code={code}&to={}", encode(path)))
    }

    /// Makes a pass of a code.
    ///
    /// # Errors
    /// `link-ended` where it was used or is too old.
    pub async fn enter_with_code(&self, door: &Door, code: &str) -> Result<Entered> {
        let pass = secret::make("");
        let mut tx = self.store.journal().await?;
        let until = tx.at().plus(PASS_LIFE_MS);
        if !tx
            .use_pass_code(&secret::hash(code), &door.label, &secret::hash(&pass), until)
            .await?
        {
            return Err(ControlError::new("link-ended", "This way in was used, or is too old"));
        }
        tx.commit().await?;
        Ok(Entered {
            secret: pass,
            seconds: PASS_LIFE_MS / 1000,
        })
    }

    /// How long the cookie of someone who comes with a guest link is to last, in seconds. It outlives the link, so that its
    /// holder is told of the end rather than asked for a password.
    ///
    /// # Errors
    /// `link-ended`, `not-found` where it is for another stack or the app is not meant for people.
    pub async fn enter_as_guest(&self, door: &Door, secret: &str) -> Result<i64> {
        let link = self.living_link(secret).await?;
        if link.stack != door.stack || !door.for_people {
            return Err(ControlError::not_found("address", &door.label));
        }
        Ok(link.expires_at.plus(REMEMBERED_MS).since(self.now()) / 1000)
    }

    async fn living_link(&self, secret: &str) -> Result<GuestLinkRow> {
        let found = self.store.guest_link(&secret::hash(secret)).await?;
        let Some(link) = found else {
            return Err(ended("it was replaced, or was never one", None));
        };
        if link.revoked_at.is_some() {
            return Err(ended("it was taken back", Some(&link)));
        }
        if link.expires_at <= self.now() {
            return Err(ended(&format!("it was good until {}", day(link.expires_at)), Some(&link)));
        }
        Ok(link)
    }
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(16).collect::<String>().replace('T', " ")
}

fn ended(why: &str, link: Option<&GuestLinkRow>) -> ControlError {
    let mut error = ControlError::new("link-ended", "This link has ended");
    error.fault.why = why.to_owned();
    if let Some(link) = link {
        error.fault.next = format!("Ask {} for another one", link.created_by.1);
    }
    error
}
