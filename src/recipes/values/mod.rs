//! Values by layers: the one order of precedence, and how layers become one tree of values.
//!
//! Knows no inventory and no file: whoever makes a view brings the layers. A later layer wins; maps merge deeply; a list is
//! replaced, and `+name` appends to it instead. The invariant: what [`explain()`] says of a key is what [`merge()`] gives for it.

mod collect;
mod explain;

pub use collect::{of_app, recipe_defaults, role};
pub use explain::{Contribution, Effect, Explanation, explain, find, place_in};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The layers, low to high. A value of a later one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// The default of a recipe's parameter.
    RecipeDefault,
    /// The organisation: `values.yaml` beside its recipes.
    Organisation,
    /// What an app's descriptor says.
    App,
    /// A role of the node; of several, the later in the run list wins.
    Role,
    /// The datacenter.
    Datacenter,
    /// The environment.
    Environment,
    /// The environment in this datacenter.
    EnvironmentDatacenter,
    /// The app in this environment.
    AppEnvironment,
    /// The node.
    Node,
    /// Given for one run.
    Run,
}

impl LayerKind {
    /// All, low to high.
    pub const ALL: [Self; 10] = [
        Self::RecipeDefault,
        Self::Organisation,
        Self::App,
        Self::Role,
        Self::Datacenter,
        Self::Environment,
        Self::EnvironmentDatacenter,
        Self::AppEnvironment,
        Self::Node,
        Self::Run,
    ];

    /// What people call it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::RecipeDefault => "recipe default",
            Self::Organisation => "organisation",
            Self::App => "app descriptor",
            Self::Role => "role",
            Self::Datacenter => "datacenter",
            Self::Environment => "environment",
            Self::EnvironmentDatacenter => "environment in this datacenter",
            Self::AppEnvironment => "app in this environment",
            Self::Node => "node",
            Self::Run => "this run",
        }
    }
}

/// Values of one layer and where they were written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Which layer.
    pub kind: LayerKind,
    /// The object or file: `environment production`, `recipes/values.yaml`.
    pub object: String,
    /// Where in it: `spec.values`; empty where the whole file is values.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The only app it is for; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Where the values are parameters of this recipe, written without its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// The values.
    pub values: Map<String, Value>,
}

impl Layer {
    /// Where in its object a key is written: `spec.values.nginx.workers`.
    pub fn written_path(&self, key: &str) -> String {
        let key = match &self.recipe {
            Some(recipe) => key.strip_prefix(recipe.as_str()).unwrap_or(key).trim_start_matches('.'),
            None => key,
        };
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Whether it says something to this app, or to what belongs to no app.
    pub fn is_for(&self, app: Option<&str>) -> bool {
        self.app.is_none() || self.app.as_deref() == app
    }
}

/// The layers that count for an app (or for what belongs to none), low to high; of one kind, in the order they are in.
pub fn in_order<'a>(layers: impl IntoIterator<Item = &'a Layer>, app: Option<&str>) -> Vec<&'a Layer> {
    let mut found: Vec<&Layer> = layers.into_iter().filter(|layer| layer.is_for(app)).collect();
    found.sort_by_key(|layer| layer.kind);
    found
}

/// One tree of values out of layers in order.
pub fn merge(layers: &[&Layer]) -> Map<String, Value> {
    let mut merged = Map::new();
    for layer in layers {
        merge_into(&mut merged, &layer.values);
    }
    merged
}

/// Lays values over others: maps merge, `+name` appends, everything else replaces.
pub fn merge_into(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    // Replacing comes before appending, whatever order they were written in.
    for (key, value) in above.iter().filter(|(key, _)| appended(key).is_none()) {
        match (below.get_mut(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => merge_into(under, over),
            (_, Value::Object(over)) => {
                // Its own `+name` keys append to nothing.
                let mut fresh = Map::new();
                merge_into(&mut fresh, over);
                below.insert(key.clone(), Value::Object(fresh));
            }
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
    for (key, value) in above {
        let Some(name) = appended(key) else { continue };
        let more = match value {
            Value::Array(items) => items.clone(),
            one => vec![one.clone()],
        };
        match below.get_mut(name) {
            Some(Value::Array(items)) => items.extend(more),
            _ => {
                below.insert(name.to_owned(), Value::Array(more));
            }
        }
    }
}

/// The name that a key such as `+packages` appends to.
fn appended(key: &str) -> Option<&str> {
    key.strip_prefix('+').filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layer(kind: LayerKind, values: Value) -> Layer {
        let Value::Object(values) = values else { panic!("a map") };
        Layer {
            kind,
            object: kind.title().to_owned(),
            path: String::new(),
            app: None,
            recipe: None,
            values,
        }
    }

    #[test]
    fn maps_merge_lists_are_replaced_and_a_plus_appends() {
        let layers = [
            layer(
                LayerKind::Node,
                json!({"ssh": {"port": 2222}, "+admins": ["eve"], "disks": ["c"]}),
            ),
            layer(
                LayerKind::Organisation,
                json!({"ssh": {"port": 22, "root": false}, "admins": ["ada"], "disks": ["a", "b"]}),
            ),
            layer(LayerKind::Environment, json!({"+admins": "bob", "new": {"+list": [1]}})),
        ];
        let merged = merge(&in_order(&layers, None));
        assert_eq!(
            Value::Object(merged),
            json!({"ssh": {"port": 2222, "root": false}, "admins": ["ada", "bob", "eve"], "disks": ["c"], "new": {"list": [1]}})
        );
    }

    #[test]
    fn the_layers_are_in_the_order_that_is_documented() {
        let kinds: Vec<LayerKind> = {
            let mut layers: Vec<Layer> = LayerKind::ALL.iter().rev().map(|kind| layer(*kind, json!({}))).collect();
            layers.push(layer(LayerKind::Role, json!({})));
            in_order(&layers, None).iter().map(|layer| layer.kind).collect()
        };
        assert_eq!(kinds[..4], LayerKind::ALL[..4]);
        assert_eq!(kinds[4], LayerKind::Role);
        assert_eq!(kinds[5..], LayerKind::ALL[4..]);
    }

    #[test]
    fn a_layer_of_one_app_says_nothing_to_another() {
        let mut one = layer(LayerKind::AppEnvironment, json!({"a": 1}));
        one.app = Some("shop".into());
        assert_eq!(merge(&in_order([&one], Some("shop"))).len(), 1);
        assert!(merge(&in_order([&one], Some("mail"))).is_empty());
        assert!(merge(&in_order([&one], None)).is_empty());
    }
}
