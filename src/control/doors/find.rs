//! From the label of an address to the app behind it.

use super::super::{Control, Result};
use super::Door;
use crate::model::address::{label, stacks_of};
use crate::model::descriptor::Descriptor;
use crate::model::name::StackName;
use crate::model::stack::{Link, Stack, StackState};
use crate::plans::view;
use crate::providers::NodeHandle;
use std::sync::Arc;

// Names may hold `--` themselves, so a label may be read in several ways; nobody needs more than these.
const READINGS: usize = 4;

impl Control {
    /// What is behind a label, also where the stack does not serve or is gone. Asks the database only for what it was not
    /// asked a moment ago.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn find_door(&self, label: &str) -> Result<Option<Arc<Door>>> {
        if let Some(door) = self.doors.door(label, self.now()) {
            return Ok(Some(door));
        }
        let seen = self.doors.seen();
        let door = self.read_door(label).await?.map(Arc::new);
        if let Some(door) = &door {
            self.doors.keep_door(door, seen);
        }
        Ok(door)
    }

    /// Forgets what is known of a stack's doors: what was there did not answer.
    pub fn forget_door(&self, door: &Door) {
        self.doors.forget_stack(door.stack.as_str());
    }

    async fn read_door(&self, label: &str) -> Result<Option<Door>> {
        let mut gone = None;
        for name in stacks_of(label).take(READINGS) {
            let Ok(name) = name.parse::<StackName>() else { continue };
            let Some(stack) = self.store.stack_by_name(&name).await? else {
                continue;
            };
            let descriptors = view::descriptors(&self.store, &stack.spec).await?;
            let Some((app, port)) = descriptors.iter().find_map(|app| Some((app, port_of(app, label, &stack)?))) else {
                continue;
            };
            let door = self.door(label, &stack, app, port).await?;
            if stack.state != StackState::Destroyed {
                return Ok(Some(door));
            }
            gone = gone.or(Some(door));
        }
        Ok(gone)
    }

    async fn door(&self, label: &str, stack: &Stack, app: &Descriptor, port: &str) -> Result<Door> {
        let node = match &stack.node {
            Some(node) => self.store.node(node).await?,
            None => None,
        };
        let handle: Option<NodeHandle> = node
            .and_then(|row| row.handle)
            .and_then(|value| serde_json::from_value(value).ok());
        let upstream = handle.and_then(|handle| {
            let number = handle.ports.get(&format!("{}/{port}", app.name()))?;
            Some(Arc::from(format!("{}:{number}", handle.address)))
        });
        let owners = self.store.user_names(std::slice::from_ref(&stack.owner)).await?;
        Ok(Door {
            label: label.to_owned(),
            stack: stack.id.clone(),
            stack_name: stack.name.clone(),
            owner: stack.owner.clone(),
            owner_name: owners.get(&stack.owner).cloned().unwrap_or_default(),
            app: app.name().clone(),
            title: app.title().to_owned(),
            for_people: app.spec.ports.get(port).is_some_and(|port| port.public),
            state: stack.state,
            upstream,
            visibility: self.store.visibility(&stack.id).await?,
            shared_with: self
                .store
                .shares(&stack.id)
                .await?
                .into_iter()
                .map(|share| share.user)
                .collect(),
            usage: Arc::clone(self.doors.used().entry(stack.id.clone()).or_default()),
            read_at: self.now(),
        })
    }

    /// A link as people see it: at the stable address, where there is one.
    pub(in crate::control) fn stable(&self, mut link: Link, stack: &Stack, descriptors: &[Descriptor]) -> Link {
        let app = descriptors.iter().find(|app| app.name() == &link.app);
        let port = (app.and_then(Descriptor::front_port) != Some(&link.port)).then_some(link.port.as_str());
        if let Some(label) = label(link.app.as_str(), port, stack.name.as_str()) {
            link.direct = Some(std::mem::replace(&mut link.url, self.addresses.url(&label)));
        }
        link
    }
}

fn port_of<'a>(app: &'a Descriptor, wanted: &str, stack: &Stack) -> Option<&'a str> {
    let front = app.front_port()?;
    let http = app.spec.ports.iter().filter(|(_, port)| port.protocol == "http");
    http.map(|(name, _)| name.as_str()).find(|name| {
        let port = (*name != front).then_some(*name);
        label(app.name().as_str(), port, stack.name.as_str()).as_deref() == Some(wanted)
    })
}
