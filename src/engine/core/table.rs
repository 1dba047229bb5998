//! Who may follow whom. Every change of a state is checked against these tables, in production too: a change that is not in
//! them is a mistake of ours and stops the run it happens to, not the others.

use crate::model::run::{RunState, StepState};

/// Which run state may follow which.
pub const RUN_TRANSITIONS: &[(RunState, &[RunState])] = {
    use RunState::{Abandoned, Blocked, Cancelled, Compensating, Failed, Pending, Running, Stuck, Succeeded};
    &[
        (Pending, &[Running, Compensating]),
        (Running, &[Succeeded, Blocked, Compensating]),
        (Blocked, &[Running, Compensating, Abandoned]),
        (Compensating, &[Failed, Cancelled, Stuck]),
        (Stuck, &[Compensating, Abandoned]),
        (Succeeded, &[]),
        (Failed, &[]),
        (Cancelled, &[]),
        (Abandoned, &[]),
    ]
};

/// Which step state may follow which.
pub const STEP_TRANSITIONS: &[(StepState, &[StepState])] = {
    use StepState::{
        Backoff, Cancelled, Failed, InDoubt, Ready, Running, Skipped, Succeeded, UndoFailed, Undoing, Undone, Waiting,
    };
    &[
        (Waiting, &[Ready, Cancelled]),
        (Ready, &[Running, Failed, Cancelled]),
        (Running, &[Succeeded, Failed, Backoff, InDoubt]),
        (Backoff, &[Running, Succeeded, Skipped, Failed]),
        (Succeeded, &[Undoing]),
        (Skipped, &[Undoing]),
        (Failed, &[Ready, Succeeded, Skipped, Undoing]),
        (InDoubt, &[Ready, Backoff, Succeeded, Skipped, Failed, Undoing]),
        (Cancelled, &[Undoing]),
        (Undoing, &[Undone, UndoFailed]),
        (UndoFailed, &[Undoing, Undone]),
        (Undone, &[]),
    ]
};

/// Whether `table` lets `to` follow `from`.
pub fn may_follow<S: PartialEq>(table: &[(S, &[S])], from: &S, to: &S) -> bool {
    table.iter().any(|(state, next)| state == from && next.contains(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_row_and_only_the_final_ones_have_no_way_out() {
        for state in RunState::ALL {
            let row = RUN_TRANSITIONS.iter().find(|(from, _)| from == state).unwrap();
            let last = state.is_ended() && *state != RunState::Stuck;
            assert_eq!(row.1.is_empty(), last, "{state}");
        }
        for state in StepState::ALL {
            assert!(STEP_TRANSITIONS.iter().any(|(from, _)| from == state), "{state}");
        }
    }
}
