//! `launch_stack`: from nothing to a running stack. On failure everything is undone, last first.
//!
//! ```text
//! begin ─┬─ fetch-A ──┐
//!        ├─ fetch-B ──┼─ node ─┬─ configure ─ converge ─┬─ check-A-… ─┬─ publish
//!        └─ database ─┴────────┘                        └─ check-B-… ─┘
//! ```

use crate::model::descriptor::Descriptor;
use crate::model::id::NodeId;
use crate::model::plan::{Plan, Retry, StepSpec};
use crate::model::stack::{Stack, StackSpec};
use crate::steps::create_node::WantedImage;
use crate::steps::{
    begin_stack, check_page, configure_node, converge_node, create_database, create_node, fetch_revision, publish_stack, view,
};
use crate::store::nodes::DatabaseRow;

/// Builds and health checks of a real app may take a while; each has its own, shorter limit on the node.
pub(super) const CONVERGE_LIMIT_MS: i64 = 45 * 60 * 1000;

/// The plan of a launch. `descriptors` are those of the stack's apps, in the stack's order; `image` is what would save the most.
pub fn plan(
    stack: &Stack,
    node: &NodeId,
    descriptors: &[Descriptor],
    databases: &[DatabaseRow],
    image: Option<WantedImage>,
) -> Plan {
    let mut steps = vec![begin(stack)];
    let mut before_node = fetches(&stack.spec, descriptors, &mut steps);
    for database in databases {
        let key = format!("database-{}-{}", database.app, database.resource);
        steps.push(
            StepSpec::new(
                &key,
                "create_database",
                format!("Create database {} of {}", database.resource, database.app),
            )
            .after(["begin"])
            .input(create_database::Input {
                stack: stack.id.clone(),
                name: database.name.clone(),
                secret: view_secret(database),
            })
            .undoable(),
        );
        before_node.push(key);
    }
    steps.push(create_from(stack, node, descriptors, image).after(before_node));
    configure_and_check(stack, node, descriptors, None, "node", &mut steps);
    Plan {
        kind: "launch_stack".into(),
        title: format!("Launch {}", stack.name),
        subject: stack.id.as_str().to_owned(),
        steps,
    }
}

/// Name of the secret that holds a database role's password.
pub fn view_secret(database: &DatabaseRow) -> String {
    format!("{}/database/{}", database.app, database.resource)
}

/// The step that makes a node.
pub(super) fn create(stack: &Stack, node: &NodeId, descriptors: &[Descriptor]) -> StepSpec {
    create_from(stack, node, descriptors, None)
}

/// The same, from the best image there is for this.
pub(super) fn create_from(stack: &Stack, node: &NodeId, descriptors: &[Descriptor], image: Option<WantedImage>) -> StepSpec {
    StepSpec::new(
        "node",
        "create_node",
        format!("Create a {} {} server", stack.spec.size, stack.provider),
    )
    .input(create_node::Input {
        stack: stack.id.clone(),
        node: node.clone(),
        provider: stack.provider.clone(),
        ports: view::ports(descriptors),
        image,
    })
    .undoable()
}

pub(super) fn begin(stack: &Stack) -> StepSpec {
    StepSpec::new("begin", "begin_stack", "Begin")
        .input(begin_stack::Input { stack: stack.id.clone() })
        // The stack's own state was stored with the run.
        .always_undoable()
}

/// Adds a fetch for each app and returns the keys.
pub(super) fn fetches(spec: &StackSpec, descriptors: &[Descriptor], steps: &mut Vec<StepSpec>) -> Vec<String> {
    let mut keys = Vec::new();
    for app in &spec.apps {
        let Some(descriptor) = descriptors.iter().find(|d| d.name() == &app.app) else {
            continue;
        };
        let key = format!("fetch-{}", app.app);
        steps.push(
            StepSpec::new(&key, "fetch_revision", format!("Fetch {} at {}", app.app, app.revision))
                .after(["begin"])
                .input(fetch_revision::Input {
                    app: app.app.clone(),
                    repository: descriptor.spec.repository.clone(),
                    revision: app.revision.clone(),
                    commit: app.commit.clone(),
                }),
        );
        keys.push(key);
    }
    keys
}

/// The step that says what a node should be; with `image`, only what may be in an image.
pub(super) fn configure(stack: &Stack, node: &NodeId, previous: Option<String>, image: bool) -> StepSpec {
    StepSpec::new("configure", "configure_node", "Compile the recipes for it")
        .input(configure_node::Input {
            stack: stack.id.clone(),
            node: node.clone(),
            provider: stack.provider.clone(),
            previous,
            converge_step: "converge".into(),
            image,
        })
        .timeout_ms(CONVERGE_LIMIT_MS)
        .undoable()
}

/// The step that waits until a node is what it should be.
pub(super) fn converge(stack: &Stack, node: &NodeId) -> StepSpec {
    StepSpec::new("converge", "converge_node", "Install, build and start the apps")
        .input(converge_node::Input {
            node: node.clone(),
            provider: stack.provider.clone(),
        })
        .timeout_ms(CONVERGE_LIMIT_MS)
        .retry(Retry {
            attempts: 2,
            backoff_ms: 1000,
        })
}

/// Adds everything from the configuration to the published stack.
pub(super) fn configure_and_check(
    stack: &Stack,
    node: &NodeId,
    descriptors: &[Descriptor],
    previous: Option<String>,
    after: &str,
    steps: &mut Vec<StepSpec>,
) {
    steps.push(configure(stack, node, previous, false).after([after]));
    steps.push(converge(stack, node).after(["configure"]));
    let mut checks = Vec::new();
    for descriptor in descriptors {
        for (index, (name, page, contains)) in pages(descriptor).into_iter().enumerate() {
            let Some(port) = descriptor.port_name(page.port.as_deref()) else {
                continue;
            };
            let key = format!("check-{}-{}", descriptor.name(), index + 1);
            steps.push(
                StepSpec::new(&key, "check_page", format!("Check {}: {name}", descriptor.name()))
                    .after(["converge"])
                    .input(check_page::Input {
                        node: node.clone(),
                        app: descriptor.name().clone(),
                        port: port.to_owned(),
                        name,
                        path: page.path,
                        contains,
                    }),
            );
            checks.push(key);
        }
    }
    if checks.is_empty() {
        checks.push("converge".into());
    }
    steps.push(
        StepSpec::new("publish", "publish_stack", "Open the doors")
            .after(checks)
            .input(publish_stack::Input {
                stack: stack.id.clone(),
                node: Some(node.clone()),
            }),
    );
}

// The readiness probe's page, seen from outside, and the descriptor's own checks.
fn pages(descriptor: &Descriptor) -> Vec<(String, crate::model::descriptor::HttpGet, Option<String>)> {
    let probe = descriptor
        .spec
        .readiness_probe
        .as_ref()
        .and_then(|probe| probe.http_get.clone());
    let mut pages: Vec<_> = probe.into_iter().map(|page| ("ready".to_owned(), page, None)).collect();
    pages.extend(
        descriptor
            .spec
            .checks
            .iter()
            .map(|check| (check.name.clone(), check.http_get.clone(), check.contains.clone())),
    );
    pages
}
