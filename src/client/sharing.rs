//! Who may look at a stack's apps.

use super::{Client, Result};
use crate::wire::sharing::{GuestLinkView, NewGuestLink, RenewGuestLink, SharingRequest, SharingView};
use reqwest::Method;

impl Client {
    /// To whom a stack's apps are open.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_sharing(&self, stack: &str) -> Result<SharingView> {
        self.get(&["stacks", stack, "sharing"]).await
    }

    /// Changes who may look.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn change_sharing(&self, stack: &str, request: &SharingRequest) -> Result<SharingView> {
        self.json(self.ask(Method::PATCH, &["stacks", stack, "sharing"]).json(request))
            .await
    }

    /// Makes a link for guests.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn create_guest_link(&self, stack: &str, request: &NewGuestLink) -> Result<GuestLinkView> {
        self.json(self.ask(Method::POST, &["stacks", stack, "guest-links"]).json(request))
            .await
    }

    /// Gives a link for guests another secret.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn renew_guest_link(&self, stack: &str, link: &str, request: &RenewGuestLink) -> Result<GuestLinkView> {
        let path = ["stacks", stack, "guest-links", link, "renew"];
        self.json(self.ask(Method::POST, &path).json(request)).await
    }

    /// Ends a link for guests.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn revoke_guest_link(&self, stack: &str, link: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["stacks", stack, "guest-links", link]))
            .await
            .map(|_| ())
    }
}
