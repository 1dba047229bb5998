//! The layers that objects bring: an app's descriptor, a role, a recipe's defaults.

use super::{Layer, LayerKind};
use crate::model::descriptor::{Descriptor, RecipeRef};
use crate::model::inventory::Role;
use crate::recipes::recipe::Recipe;
use serde_json::{Map, Value};

/// What an app's descriptor says: its values, and the parameters that it gives its recipes.
pub fn of_app(descriptor: &Descriptor) -> Vec<Layer> {
    let name = descriptor.name().as_str();
    let values = descriptor.spec.values.clone().into_iter().collect();
    described(
        LayerKind::App,
        &format!("app {name}"),
        Some(name),
        values,
        &descriptor.spec.recipes,
    )
}

/// What a role says: its values, and the parameters that it gives its recipes.
pub fn role(role: &Role) -> Vec<Layer> {
    let values = role.spec.values.clone().into_iter().collect();
    described(
        LayerKind::Role,
        &format!("role {}", role.name()),
        None,
        values,
        &role.spec.recipes,
    )
}

/// The defaults of a recipe's parameters.
pub fn recipe_defaults(recipe: &Recipe) -> Layer {
    let defaults = Value::Object(recipe.defaults());
    Layer {
        kind: LayerKind::RecipeDefault,
        object: recipe.source.file.clone(),
        path: "params".to_owned(),
        app: None,
        recipe: Some(recipe.name.clone()),
        values: Map::from_iter([(recipe.name.clone(), defaults)]),
    }
}

fn described(kind: LayerKind, object: &str, app: Option<&str>, values: Map<String, Value>, recipes: &[RecipeRef]) -> Vec<Layer> {
    let layer = |path: String, recipe: Option<String>, values| Layer {
        kind,
        object: object.to_owned(),
        path,
        app: app.map(str::to_owned),
        recipe,
        values,
    };
    let mut layers = Vec::new();
    // The parameters come first, so that `spec.values` of the same object may say otherwise.
    for (index, recipe) in recipes.iter().enumerate().filter(|(_, recipe)| !recipe.with.is_empty()) {
        let with = Value::Object(recipe.with.clone().into_iter().collect());
        layers.push(layer(
            format!("spec.recipes.{index}.with"),
            Some(recipe.name.clone()),
            Map::from_iter([(recipe.name.clone(), with)]),
        ));
    }
    if !values.is_empty() {
        layers.push(layer("spec.values".to_owned(), None, values));
    }
    layers
}
