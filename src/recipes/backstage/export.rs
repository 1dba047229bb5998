//! Descriptors to Backstage's catalogue.

use super::{APP, DEFAULT_REF, OPS_OWNER, RECIPES, SOURCE};
use crate::model::descriptor::Descriptor;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The catalogue of these apps: documents of JSON, each of which is YAML too, behind `---` lines. `url` is where the portal is.
pub fn export<'a>(apps: impl Iterator<Item = &'a Descriptor>, url: &str) -> String {
    let mut entities = Vec::new();
    let mut systems = BTreeSet::new();
    for app in apps {
        entities.push(component(app, url));
        entities.extend(
            app.spec
                .resources
                .iter()
                .map(|(name, resource)| database(app, name, &resource.kind)),
        );
        systems.extend(
            app.spec
                .system
                .as_ref()
                .map(|system| (entity_name(system), app.spec.owners.dev.clone())),
        );
    }
    let mut seen = BTreeSet::new();
    for (system, owner) in systems {
        if seen.insert(system.clone()) {
            entities.push(entity(
                "System",
                &json!({ "name": system }),
                &json!({ "owner": owner_ref(&owner) }),
            ));
        }
    }
    let mut text = String::new();
    for entity in &entities {
        text.push_str("---\n");
        let _ = writeln!(text, "{entity:#}");
    }
    text
}

fn entity(kind: &str, metadata: &Value, spec: &Value) -> Value {
    json!({ "apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec })
}

fn component(app: &Descriptor, url: &str) -> Value {
    let meta = &app.metadata;
    let spec = &app.spec;
    let recipes: Vec<&str> = spec.recipes.iter().map(|recipe| recipe.name.as_str()).collect();
    let mut annotations: Map<String, Value> = meta.annotations.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    for (key, value) in [
        (APP, meta.name.to_string()),
        (OPS_OWNER, spec.owners.ops.clone()),
        (RECIPES, recipes.join(",")),
        (DEFAULT_REF, spec.default_ref.clone()),
        (SOURCE, format!("url:{}", spec.repository)),
    ] {
        annotations.insert(key.to_owned(), json!(value));
    }
    let mut links = vec![json!({ "url": format!("{url}/apps/{}", meta.name), "title": "In Greenroom" })];
    links.extend(meta.links.iter().map(|link| json!({ "url": link.url, "title": link.title })));
    let mut metadata = json!({
        "name": meta.name, "annotations": annotations, "labels": meta.labels, "tags": meta.tags, "links": links,
    });
    let mut needs: Vec<String> = spec
        .resources
        .keys()
        .map(|key| format!("resource:default/{}-{key}", meta.name))
        .collect();
    needs.extend(
        spec.depends_on
            .iter()
            .map(|dependency| format!("component:default/{}", dependency.app)),
    );
    let mut body = json!({
        "type": spec.kind, "lifecycle": spec.lifecycle, "owner": owner_ref(&spec.owners.dev), "dependsOn": needs,
    });
    if let (Some(metadata), Some(body)) = (metadata.as_object_mut(), body.as_object_mut()) {
        metadata.extend(meta.title.as_ref().map(|title| ("title".to_owned(), json!(title))));
        metadata.extend(meta.description.as_ref().map(|text| ("description".to_owned(), json!(text))));
        body.extend(
            spec.system
                .as_ref()
                .map(|system| ("system".to_owned(), json!(entity_name(system)))),
        );
    }
    entity("Component", &metadata, &body)
}

fn database(app: &Descriptor, name: &str, kind: &str) -> Value {
    entity(
        "Resource",
        &json!({ "name": format!("{}-{name}", app.metadata.name), "annotations": { APP: app.metadata.name } }),
        &json!({ "type": format!("{kind}-database"), "owner": owner_ref(&app.spec.owners.dev) }),
    )
}

// `group:default/team-a`, unless the owner is a reference already.
fn owner_ref(owner: &str) -> String {
    if owner.contains(':') {
        owner.to_owned()
    } else {
        format!("group:default/{}", entity_name(owner))
    }
}

// Names are 1 to 63 letters, digits, `-`, `_` and `.` there.
fn entity_name(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(63)
        .collect();
    if name.is_empty() {
        name.push('-');
    }
    name
}
