//! `stop_stack`: its server is off and keeps its disk. It only goes forward, as a destruction does: a step that fails is tried
//! again for a while and then waits for a person, who may always destroy the stack instead.

use super::destroy_stack::forward;
use super::launch_stack::begin;
use crate::model::id::NodeId;
use crate::model::plan::{Plan, StepSpec};
use crate::model::stack::Stack;
use crate::steps::{begin_stack, stop_node};

/// The plan of putting a stack to sleep.
pub fn plan(stack: &Stack, node: &NodeId) -> Plan {
    let steps = vec![
        begin(stack),
        forward(
            StepSpec::new("stop", "stop_node", format!("Stop the {} server", stack.provider))
                .after(["begin"])
                .input(stop_node::Input {
                    node: node.clone(),
                    provider: stack.provider.clone(),
                }),
        ),
        forward(
            StepSpec::new("rest", "rest_stack", "Note that it sleeps")
                .after(["stop"])
                .input(begin_stack::Input { stack: stack.id.clone() }),
        ),
    ];
    Plan {
        kind: "stop_stack".into(),
        title: format!("Stop {}", stack.name),
        subject: stack.id.as_str().to_owned(),
        steps,
    }
}
