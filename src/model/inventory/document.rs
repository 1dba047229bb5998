//! What of a thing can be found by searching: one flat document a thing, whatever its kind.
//!
//! Names of fields are chosen for queries: `role:web AND datacenter:dc1`.

use super::{Node, Object, Role};
use crate::model::descriptor::Descriptor;
use crate::model::name::RoleName;
use crate::model::stack::Stack;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The roles of a list with all the roles these include, each after what it includes, and the recipes of all of them. The
/// first occurrence counts, and a role that includes itself does so once.
pub fn expanded_roles<'a>(direct: &[RoleName], role: &dyn Fn(&RoleName) -> Option<&'a Role>) -> (Vec<String>, Vec<String>) {
    let (mut roles, mut recipes) = (Vec::new(), Vec::new());
    let mut open: Vec<(RoleName, bool)> = direct.iter().rev().map(|name| (name.clone(), false)).collect();
    let mut seen = std::collections::BTreeSet::new();
    while let Some((name, included)) = open.pop() {
        if included {
            for recipe in role(&name).into_iter().flat_map(|role| &role.spec.recipes) {
                if !recipes.contains(&recipe.name) {
                    recipes.push(recipe.name.clone());
                }
            }
            roles.push(name.as_str().to_owned());
        } else if seen.insert(name.clone()) {
            let within = role(&name).map(|role| role.spec.roles.as_slice()).unwrap_or_default();
            let within: Vec<_> = within.iter().rev().map(|name| (name.clone(), false)).collect();
            open.push((name, true));
            open.extend(within);
        }
    }
    (roles, recipes)
}

/// The document of an object. `role` finds the roles that a node or role names.
pub fn object_document<'a>(object: &Object, role: &dyn Fn(&RoleName) -> Option<&'a Role>) -> Value {
    let mut document = head(object.kind().as_str(), object.name());
    match object {
        Object::Node(node) => {
            words(
                &mut document,
                node.metadata.title.as_ref(),
                node.metadata.description.as_ref(),
                &node.metadata.labels,
            );
            node_fields(&mut document, node, role);
        }
        Object::Datacenter(datacenter) => {
            let meta = &datacenter.metadata;
            words(&mut document, meta.title.as_ref(), meta.description.as_ref(), &meta.labels);
            let spec = &datacenter.spec;
            if let Some(other) = &spec.standby_for {
                document.insert("standbyFor".into(), json!(other));
            }
            document.insert("values".into(), json!(spec.values));
        }
        Object::Environment(environment) => {
            let meta = &environment.metadata;
            words(&mut document, meta.title.as_ref(), meta.description.as_ref(), &meta.labels);
            let spec = &environment.spec;
            document.insert("restorable".into(), json!(spec.restorable));
            document.insert("bundle".into(), json!(spec.bundle));
            document.insert("values".into(), json!(spec.values));
            document.insert("datacenters".into(), json!(spec.datacenters.keys().collect::<Vec<_>>()));
            document.insert("apps".into(), json!(spec.apps.keys().collect::<Vec<_>>()));
            let revisions: BTreeMap<_, _> = spec
                .apps
                .iter()
                .filter_map(|(app, s)| Some((app, s.revision.as_ref()?)))
                .collect();
            document.insert("revisions".into(), json!(revisions));
        }
        Object::Role(described) => {
            let meta = &described.metadata;
            words(&mut document, meta.title.as_ref(), meta.description.as_ref(), &meta.labels);
            let spec = &described.spec;
            let recipes: Vec<_> = spec.recipes.iter().map(|recipe| &recipe.name).collect();
            document.insert("role".into(), json!(spec.roles));
            document.insert("roles".into(), json!(expanded_roles(&spec.roles, role).0));
            document.insert("recipes".into(), json!(recipes));
            document.insert("values".into(), json!(spec.values));
        }
    }
    Value::Object(document)
}

fn node_fields<'a>(document: &mut Map<String, Value>, node: &Node, role: &dyn Fn(&RoleName) -> Option<&'a Role>) {
    let spec = &node.spec;
    let (roles, recipes) = expanded_roles(&spec.roles, role);
    let revisions: BTreeMap<_, _> = spec
        .apps
        .iter()
        .filter_map(|on| Some((&on.app, on.revision.as_ref()?)))
        .collect();
    let apps: Vec<_> = spec.apps.iter().map(|on| &on.app).collect();
    let run_list: Vec<String> = spec.roles.iter().map(|role| format!("role[{role}]")).collect();
    document.insert("datacenter".into(), json!(spec.datacenter));
    document.insert("environment".into(), json!(spec.environment));
    document.insert("role".into(), json!(spec.roles));
    document.insert("roles".into(), json!(roles));
    document.insert("recipes".into(), json!(recipes));
    document.insert("run_list".into(), json!(run_list));
    document.insert("apps".into(), json!(apps));
    document.insert("revisions".into(), json!(revisions));
    document.insert("addresses".into(), json!(spec.addresses));
    document.insert("values".into(), json!(spec.values));
    document.insert("maintenance".into(), json!(spec.maintenance.is_some()));
}

/// The part of a node's document that it reported itself.
pub fn node_facts_document(facts: &Value) -> Value {
    json!({ "facts": facts })
}

/// The document of an app.
pub fn app_document(descriptor: &Descriptor) -> Value {
    let mut document = head("app", descriptor.name().as_str());
    let meta = &descriptor.metadata;
    words(&mut document, meta.title.as_ref(), meta.description.as_ref(), &meta.labels);
    let spec = &descriptor.spec;
    document.insert("tags".into(), json!(meta.tags));
    document.insert("type".into(), json!(spec.kind));
    document.insert("lifecycle".into(), json!(spec.lifecycle));
    document.insert("owners".into(), json!(spec.owners));
    document.insert("system".into(), json!(spec.system));
    document.insert("repository".into(), json!(spec.repository));
    document.insert("defaultRef".into(), json!(spec.default_ref));
    let recipes: Vec<_> = spec.recipes.iter().map(|recipe| &recipe.name).collect();
    document.insert("recipes".into(), json!(recipes));
    let needed: Vec<_> = spec.depends_on.iter().map(|dependency| &dependency.app).collect();
    document.insert("dependsOn".into(), json!(needed));
    document.insert("processes".into(), json!(spec.processes.keys().collect::<Vec<_>>()));
    document.insert("schedules".into(), json!(spec.schedules.keys().collect::<Vec<_>>()));
    let ports: BTreeMap<_, _> = spec.ports.iter().map(|(name, port)| (name, port.port)).collect();
    document.insert("ports".into(), json!(ports));
    let resources: BTreeMap<_, _> = spec.resources.iter().map(|(name, resource)| (name, &resource.kind)).collect();
    document.insert("resources".into(), json!(resources));
    Value::Object(document)
}

/// The document of a stack that someone launched.
pub fn stack_document(stack: &Stack, owner: &str) -> Value {
    let mut document = head("stack", stack.name.as_str());
    document.insert("id".into(), json!(stack.id));
    document.insert("owner".into(), json!(owner));
    document.insert("provider".into(), json!(stack.provider));
    document.insert("state".into(), json!(stack.state));
    document.insert("node".into(), json!(stack.node));
    document.insert("size".into(), json!(stack.spec.size));
    document.insert("data".into(), json!(stack.spec.data));
    let apps: Vec<_> = stack.spec.apps.iter().map(|app| &app.app).collect();
    document.insert("apps".into(), json!(apps));
    let by_app = |value: &dyn Fn(&crate::model::stack::StackApp) -> String| -> Value {
        let pairs = stack.spec.apps.iter().map(|app| (app.app.to_string(), json!(value(app))));
        Value::Object(pairs.collect())
    };
    document.insert("revisions".into(), by_app(&|app| app.revision.clone()));
    document.insert("commits".into(), by_app(&|app| app.commit.to_string()));
    document.insert("leaseUntil".into(), json!(stack.lease_until));
    Value::Object(document)
}

/// The document of a stack's node.
pub fn stack_node_document(id: &str, stack: &str, provider: &str, state: &str) -> Value {
    let mut document = head("node", id);
    document.insert("stack".into(), json!(stack));
    document.insert("provider".into(), json!(provider));
    document.insert("state".into(), json!(state));
    document.insert("environment".into(), json!("staging"));
    Value::Object(document)
}

fn head(kind: &str, name: &str) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("kind".into(), json!(kind));
    document.insert("name".into(), json!(name));
    document
}

fn words(
    document: &mut Map<String, Value>,
    title: Option<&String>,
    description: Option<&String>,
    labels: &BTreeMap<String, String>,
) {
    if let Some(title) = title {
        document.insert("title".into(), json!(title));
    }
    if let Some(description) = description {
        document.insert("description".into(), json!(description));
    }
    document.insert("labels".into(), json!(labels));
}
