//! `update_stack`: the stack's apps at other commits, on the same node and data. On failure the configuration before is
//! applied again and the stack is tainted: alive, but not what was asked for.

use super::launch_stack::{begin, configure_and_check, fetches};
use crate::model::descriptor::Descriptor;
use crate::model::id::NodeId;
use crate::model::plan::{Plan, StepSpec};
use crate::model::stack::Stack;

/// The plan of an update. `stack.spec` is what is wanted; `previous` the hash of the configuration that serves now.
pub fn plan(stack: &Stack, node: &NodeId, descriptors: &[Descriptor], previous: Option<String>) -> Plan {
    let mut steps: Vec<StepSpec> = vec![begin(stack)];
    let keys = fetches(&stack.spec, descriptors, &mut steps);
    configure_and_check(stack, node, descriptors, previous, "begin", &mut steps);
    if let Some(configure) = steps.iter_mut().find(|s| s.key == "configure") {
        configure.after.extend(keys);
    }
    Plan {
        kind: "update_stack".into(),
        title: format!("Update {}", stack.name),
        subject: stack.id.as_str().to_owned(),
        steps,
    }
}
