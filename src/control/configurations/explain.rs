//! Why a value of a node is what it is.

use super::super::{Control, ControlError, Result};
use super::find_node;
use crate::model::actor::Actor;
use crate::model::inventory::ObjectKind;
use crate::plans::production;
use crate::recipes::tree::Source;
use crate::recipes::values::{self, Effect, Layer};
use crate::store::inventory::Inventory;
use crate::wire::configurations::{ExplainView, LayerView};
use serde::Serialize;

impl Control {
    /// Why a value, such as `nginx.workers`, is what it is on a node: which layer, object and line gave it, and what it
    /// overrode. For the recipes of an app where one is given, else for those of the node's roles.
    ///
    /// # Errors
    /// `not-found`; `invalid-request` for a key that is none.
    pub async fn explain_value(&self, _actor: &Actor, node: &str, key: &str, app: Option<&str>) -> Result<ExplainView> {
        if key.is_empty() || key.len() > 400 || key.split('.').any(str::is_empty) {
            return Err(ControlError::field(
                "key",
                "give names joined by dots, such as `nginx.workers`",
            ));
        }
        let inventory = self.store.inventory();
        let record = find_node(&inventory, node)?;
        let object = &record.body;
        let bundle = self.bundles.get(production::bundle(&inventory, object)).await?;
        let mut layers: Vec<Layer> = Vec::new();
        let first = key.split('.').next().unwrap_or_default();
        layers.extend(bundle.recipe(first).map(values::recipe_defaults));
        layers.extend(bundle.values().cloned());
        let mut descriptor = None;
        if let Some(app) = app {
            let on = object.spec.apps.iter().find(|on| on.app.as_str() == app);
            let name = &on.ok_or_else(|| ControlError::not_found("app of this node", app))?.app;
            let record = inventory.app(name).ok_or_else(|| ControlError::not_found("app", app))?;
            layers.extend(values::of_app(&record.descriptor));
            let versions = self.store.app_versions(name).await?;
            descriptor = versions.into_iter().find(|version| version.version == record.version);
        }
        layers.extend(production::node_layers(&inventory, object).map_err(|found| super::does_not_compile(node, found))?);
        let document = |layer: &Layer| -> Option<Source> {
            let Some((kind, name)) = layer.object.split_once(' ') else {
                return bundle.source(&layer.object).cloned();
            };
            match kind {
                "app" => descriptor
                    .as_ref()
                    .and_then(|version| Some(Source::new(layer.object.clone(), version.source.clone()?))),
                kind => object_text(&inventory, kind, name).map(|text| Source::new(layer.object.clone(), text)),
            }
        };
        let found = values::explain(&values::in_order(&layers, app), key, &document);
        let of_layer = |layer: &values::Contribution| LayerView {
            layer: layer.layer.title().to_owned(),
            object: layer.object.clone(),
            path: layer.path.clone(),
            line: layer.line,
            effect: effect(layer.effect).to_owned(),
            value: layer.value.clone(),
        };
        Ok(ExplainView {
            node: node.to_owned(),
            key: found.key.clone(),
            found: found.found,
            layers: found.layers.iter().map(of_layer).collect(),
            value: found.value,
        })
    }
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Set => "set",
        Effect::Overrode => "overrode",
        Effect::Appended => "appended",
        Effect::Merged => "merged",
        Effect::Same => "same",
        Effect::Removed => "removed",
    }
}

// An object's document as the API shows it, so that the line is where people look.
fn object_text(inventory: &Inventory, kind: &str, name: &str) -> Option<String> {
    fn text<T: Serialize>(body: &T) -> Option<String> {
        serde_json::to_string_pretty(body).ok()
    }
    match ObjectKind::of(kind)? {
        ObjectKind::Node => inventory.nodes.get(&name.parse().ok()?).and_then(|r| text(&r.body)),
        ObjectKind::Datacenter => inventory.datacenters.get(&name.parse().ok()?).and_then(|r| text(&r.body)),
        ObjectKind::Environment => inventory.environments.get(&name.parse().ok()?).and_then(|r| text(&r.body)),
        ObjectKind::Role => inventory.roles.get(&name.parse().ok()?).and_then(|r| text(&r.body)),
    }
}
