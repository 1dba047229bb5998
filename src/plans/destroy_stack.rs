//! `destroy_stack`: from whatever is there to nothing, proved by asking. It only goes forward: a step that fails is tried
//! again for a while and then waits for a person, and nothing is ever forgotten.

use crate::model::id::NodeId;
use crate::model::plan::{OnFailure, Plan, Retry, StepSpec};
use crate::model::stack::Stack;
use crate::steps::{begin_stack, create_node};

const PERSISTENTLY: Retry = Retry {
    attempts: 8,
    backoff_ms: 500,
};

/// A step that is not turned back from: it is tried again for a while, and then waits for a person.
pub(super) fn forward(mut step: StepSpec) -> StepSpec {
    step.on_failure = OnFailure::Block;
    step.pivot = true;
    step.retry = PERSISTENTLY;
    step
}

/// The plan of a destruction. `nodes` are all of the stack's nodes that are not known to be gone.
pub fn plan(stack: &Stack, nodes: &[(NodeId, String)]) -> Plan {
    let input = begin_stack::Input { stack: stack.id.clone() };
    let mut steps = Vec::new();
    for (index, (node, provider)) in nodes.iter().enumerate() {
        steps.push(forward(
            StepSpec::new(
                format!("node-{}", index + 1),
                "destroy_node",
                format!("Destroy the {provider} server"),
            )
            .input(create_node::Input {
                stack: stack.id.clone(),
                node: node.clone(),
                provider: provider.clone(),
                ports: Vec::new(),
                image: None,
            }),
        ));
    }
    let destroyed: Vec<String> = steps.iter().map(|s| s.key.clone()).collect();
    // Sessions of the apps end with their node, so databases go after it.
    steps.push(forward(
        StepSpec::new("databases", "drop_databases", "Drop its databases")
            .after(destroyed)
            .input(&input),
    ));
    steps.push(forward(
        StepSpec::new("forget", "forget_stack", "Forget its secrets")
            .after(["databases"])
            .input(&input),
    ));
    Plan {
        kind: "destroy_stack".into(),
        title: format!("Destroy {}", stack.name),
        subject: stack.id.as_str().to_owned(),
        steps,
    }
}
