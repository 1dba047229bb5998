//! Whose states are made: an app's, or the node's own, which its roles bring.

use crate::recipes::values::{self, Layer};
use crate::recipes::view::{AppView, View};

/// Whose states are made.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'t> {
    /// The node's own: base system, users, what its roles bring.
    Node,
    /// An app's.
    App(&'t AppView),
}

impl<'t> Owner<'t> {
    /// The app, where it is one's.
    pub fn app(self) -> Option<&'t AppView> {
        match self {
            Self::Node => None,
            Self::App(app) => Some(app),
        }
    }

    /// The app's name, where it is one's.
    pub fn app_name(self) -> Option<&'t str> {
        self.app().map(|app| app.descriptor.name().as_str())
    }

    /// For messages: the app's name, or `the node`.
    pub fn shown(self) -> &'t str {
        self.app_name().unwrap_or("the node")
    }

    /// The id of one of its states: `shop/git/code` of an app, `package/nginx` of the node itself.
    pub fn id(self, local: &str) -> String {
        match self.app_name() {
            Some(app) => format!("{app}/{local}"),
            None => local.to_owned(),
        }
    }

    /// The commit that its states are made for; empty for the node itself.
    pub fn commit(self) -> &'t str {
        self.app().map_or("", |app| app.release.commit.as_str())
    }

    /// The layers of values that count for it, besides defaults and the organisation's.
    pub fn layers(self, view: &View) -> Vec<Layer> {
        let mut layers = self.app().map(|app| values::of_app(&app.descriptor)).unwrap_or_default();
        layers.extend(view.layers.iter().filter(|layer| layer.is_for(self.app_name())).cloned());
        layers
    }
}
