//! `start_stack`: from a stopped server to a stack that serves. Its addresses may be others than before, so its recipes are
//! compiled again. On failure it is stopped again, and says why.

use super::launch_stack::{begin, configure_and_check};
use crate::model::descriptor::Descriptor;
use crate::model::id::NodeId;
use crate::model::plan::{Plan, StepSpec};
use crate::model::stack::Stack;
use crate::steps::stop_node;

/// The plan of waking a stack. `desired` is the hash of the configuration that its server had.
pub fn plan(stack: &Stack, node: &NodeId, descriptors: &[Descriptor], desired: Option<String>) -> Plan {
    let mut steps = vec![
        begin(stack),
        StepSpec::new("start", "start_node", format!("Start the {} server", stack.provider))
            .after(["begin"])
            .input(stop_node::Input {
                node: node.clone(),
                provider: stack.provider.clone(),
            })
            .undoable(),
    ];
    configure_and_check(stack, node, descriptors, desired, "start", &mut steps);
    // Undoing would wait for the agent of a server that is being stopped anyway.
    for step in steps.iter_mut().filter(|step| step.key == "configure") {
        step.undo = false;
    }
    Plan {
        kind: "start_stack".into(),
        title: format!("Start {}", stack.name),
        subject: stack.id.as_str().to_owned(),
        steps,
    }
}
