//! `bake_image`: a server is made as a launch makes one, but only what is installed, fetched and built is put on it; it is kept as
//! an image, and goes.
//!
//! ```text
//! begin ─ fetch-… ─ node ─ configure ─ converge ─ stop ─ bake ─ destroy ─ forget
//! ```

use super::destroy_stack::forward;
use super::launch_stack::{CONVERGE_LIMIT_MS, begin, configure, converge, create, fetches};
use crate::model::descriptor::Descriptor;
use crate::model::id::NodeId;
use crate::model::plan::{Plan, StepSpec};
use crate::model::stack::Stack;
use crate::steps::{bake_node, begin_stack, create_node, stop_node};

/// The plan of making the image `key` by way of this stack.
pub fn plan(stack: &Stack, node: &NodeId, descriptors: &[Descriptor], key: &str) -> Plan {
    let mut steps = vec![begin(stack)];
    let mut fetched = fetches(&stack.spec, descriptors, &mut steps);
    fetched.push("begin".into());
    steps.push(create(stack, node, descriptors).after(fetched));
    steps.push(configure(stack, node, None, true).after(["node"]));
    steps.push(converge(stack, node).after(["configure"]));
    steps.push(
        StepSpec::new("stop", "stop_node", format!("Stop the {} server", stack.provider))
            .after(["converge"])
            .input(stop_node::Input {
                node: node.clone(),
                provider: stack.provider.clone(),
            }),
    );
    steps.push(
        StepSpec::new("bake", "bake_node", "Keep it as an image")
            .after(["stop"])
            .input(bake_node::Input {
                node: node.clone(),
                provider: stack.provider.clone(),
                key: key.to_owned(),
            })
            .timeout_ms(CONVERGE_LIMIT_MS),
    );
    steps.push(forward(
        StepSpec::new("destroy", "destroy_node", format!("Destroy the {} server", stack.provider))
            .after(["bake"])
            .input(create_node::Input {
                stack: stack.id.clone(),
                node: node.clone(),
                provider: stack.provider.clone(),
                ports: Vec::new(),
                image: None,
            }),
    ));
    steps.push(forward(
        StepSpec::new("forget", "forget_stack", "Forget its secrets")
            .after(["destroy"])
            .input(begin_stack::Input { stack: stack.id.clone() }),
    ));
    Plan {
        kind: "bake_image".into(),
        title: format!("Bake {}", names(stack)),
        subject: stack.id.as_str().to_owned(),
        steps,
    }
}

fn names(stack: &Stack) -> String {
    let names: Vec<String> = stack.spec.apps.iter().map(|a| format!("{}@{}", a.app, a.revision)).collect();
    names.join(", ")
}
