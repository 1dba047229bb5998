//! `rebuild_stack`: a new server in the place of the old one, which serves until the new one has passed every check. What lived
//! on the old server's disk is gone with it; databases in a shared server stay.
//!
//! ```text
//! begin ─ fetch-… ─ node ─ configure ─ converge ─ check-… ─ publish ─ old
//! ```

use super::destroy_stack::forward;
use super::launch_stack::{begin, configure_and_check, create, fetches};
use crate::model::descriptor::Descriptor;
use crate::model::id::NodeId;
use crate::model::plan::{Plan, StepSpec};
use crate::model::stack::Stack;
use crate::steps::create_node;

/// The plan of a rebuild: from the node `old` to the node `new`.
pub fn plan(stack: &Stack, old: &NodeId, new: &NodeId, descriptors: &[Descriptor]) -> Plan {
    let mut steps = vec![begin(stack)];
    let mut fetched = fetches(&stack.spec, descriptors, &mut steps);
    fetched.push("begin".into());
    steps.push(create(stack, new, descriptors).after(fetched));
    configure_and_check(stack, new, descriptors, None, "node", &mut steps);
    steps.push(forward(
        StepSpec::new("old", "destroy_node", format!("Destroy the {} server before", stack.provider))
            .after(["publish"])
            .input(create_node::Input {
                stack: stack.id.clone(),
                node: old.clone(),
                provider: stack.provider.clone(),
                ports: Vec::new(),
                image: None,
            }),
    ));
    Plan {
        kind: "rebuild_stack".into(),
        title: format!("Rebuild {}", stack.name),
        subject: stack.id.as_str().to_owned(),
        steps,
    }
}
