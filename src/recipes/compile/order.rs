//! The order of an owner's states: as they are written, except that one that comes `after` others waits for them.

use super::{AFTER, about_state};
use crate::model::configuration::State;
use crate::model::diagnostic::Diagnostic;
use std::collections::{BTreeSet, HashMap};

/// Moves states behind those that they come after; all others stay in written order.
pub(super) fn put_in_order(states: &mut Vec<State>, first: usize, findings: &mut Vec<Diagnostic>) {
    let Some(waits) = waits(&mut states[first..], findings) else {
        return;
    };
    let mut left: BTreeSet<usize> = (0..waits.len()).collect();
    let mut order = Vec::with_capacity(waits.len());
    while !left.is_empty() {
        // The earliest whose turn it can be. A state that waited comes as soon as it need not wait any more.
        let Some(next) = left.iter().copied().find(|index| waits[*index].is_disjoint(&left)) else {
            circle(&states[first..], &waits, &left, findings);
            return;
        };
        left.remove(&next);
        order.push(next);
    }
    let mut all: Vec<Option<State>> = states.drain(first..).map(Some).collect();
    states.extend(order.into_iter().filter_map(|index| all[index].take()));
}

// For each state the places of those that come before it; nothing where no state asks for any, or one names a state that is none.
fn waits(states: &mut [State], findings: &mut Vec<Diagnostic>) -> Option<Vec<BTreeSet<usize>>> {
    if !states.iter().any(|state| state.notify.iter().any(|n| n.verb == AFTER)) {
        return None;
    }
    let places: HashMap<String, usize> = states.iter().enumerate().map(|(at, state)| (state.id.clone(), at)).collect();
    let mut waits = Vec::with_capacity(states.len());
    let mut known = true;
    for state in states {
        let mut before = BTreeSet::new();
        for wish in state.notify.extract_if(.., |n| n.verb == AFTER).collect::<Vec<_>>() {
            if let Some(place) = places.get(&wish.state) {
                before.insert(*place);
            } else {
                let message = format!("`after` names `{}`, which is no state", wish.state);
                findings.push(about_state(state, "unknown-state", message));
                known = false;
            }
        }
        waits.push(before);
    }
    known.then_some(waits)
}

// One finding for each state of the circle, for each may be the one that is wrong.
fn circle(states: &[State], waits: &[BTreeSet<usize>], left: &BTreeSet<usize>, findings: &mut Vec<Diagnostic>) {
    // Whoever waits for nobody of the circle is only behind it.
    let Some(mut at) = left.first().copied() else { return };
    let mut path = Vec::new();
    while !path.contains(&at) {
        path.push(at);
        let Some(next) = waits[at].intersection(left).next() else {
            return;
        };
        at = *next;
    }
    let begin = path.iter().position(|place| *place == at).unwrap_or_default();
    let circle = &path[begin..];
    let shown: Vec<&str> = circle
        .iter()
        .chain(circle.first())
        .map(|place| states[*place].id.as_str())
        .collect();
    for place in circle {
        let message = format!("these states wait for each other: {}", shown.join(" after "));
        findings.push(about_state(&states[*place], "state-cycle", message));
    }
}
