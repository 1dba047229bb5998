//! What runs where as a table: a row an environment, a column a datacenter, and in each place the revisions that should run
//! beside those that do. Pure; the template draws.

use crate::wire::inventory::RunningView;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Where an app runs on nodes of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matrix {
    /// The columns.
    pub datacenters: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
    /// How many nodes there are in all.
    pub nodes: usize,
    /// How many of them report another revision than they should run.
    pub drifted: usize,
    /// How many of them report nothing.
    pub silent: usize,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub environment: String,
    /// One a datacenter; empty where the app does not run there.
    pub cells: Vec<Vec<Group>>,
}

/// Nodes of one place that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What they should run.
    pub declared: String,
    /// What they report; nothing where they report nothing.
    pub observed: Option<String>,
    /// Whether the two differ; nothing where it is not known.
    pub drifted: Option<bool>,
    /// Their names.
    pub nodes: Vec<String>,
}

/// The table of an app; nothing where it runs on no node. Stacks have no datacenter and are left out.
pub fn of(running: &[RunningView]) -> Option<Matrix> {
    let on_nodes: Vec<&RunningView> = running.iter().filter(|one| !one.datacenter.is_empty()).collect();
    if on_nodes.is_empty() {
        return None;
    }
    let datacenters: BTreeSet<&str> = on_nodes.iter().map(|one| one.datacenter.as_str()).collect();
    let environments: BTreeSet<&str> = on_nodes.iter().map(|one| one.environment.as_str()).collect();
    let rows = environments.into_iter().map(|environment| Row {
        environment: environment.to_owned(),
        cells: datacenters
            .iter()
            .map(|datacenter| {
                let there = on_nodes
                    .iter()
                    .filter(|one| one.environment == environment && one.datacenter == *datacenter);
                groups(there.copied())
            })
            .collect(),
    });
    Some(Matrix {
        rows: rows.collect(),
        nodes: on_nodes.len(),
        drifted: on_nodes.iter().filter(|one| one.drifted == Some(true)).count(),
        silent: on_nodes.iter().filter(|one| one.observed.is_none()).count(),
        datacenters: datacenters.into_iter().map(str::to_owned).collect(),
    })
}

fn groups<'a>(there: impl Iterator<Item = &'a RunningView>) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, Option<&str>), Group> = BTreeMap::new();
    for one in there {
        let group = groups
            .entry((one.declared.as_str(), one.observed.as_deref()))
            .or_insert_with(|| Group {
                declared: one.declared.clone(),
                observed: one.observed.clone(),
                drifted: one.drifted,
                nodes: Vec::new(),
            });
        group.nodes.push(one.node.clone());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    // What someone has to look at comes first.
    groups.sort_by_key(|group| match group.drifted {
        Some(true) => 0,
        None => 1,
        Some(false) => 2,
    });
    groups
}

/// Where an app runs, in numbers, for a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Nodes by environment.
    pub nodes: BTreeMap<String, usize>,
    /// Staging stacks.
    pub stacks: usize,
    /// Nodes that report another revision than they should run.
    pub drifted: usize,
}

/// The numbers of every app that runs anywhere.
pub fn counts(running: &[RunningView]) -> BTreeMap<&str, Counts> {
    let mut all: BTreeMap<&str, Counts> = BTreeMap::new();
    for one in running {
        let counts = all.entry(one.app.as_str()).or_default();
        if one.datacenter.is_empty() {
            counts.stacks += 1;
        } else {
            *counts.nodes.entry(one.environment.clone()).or_default() += 1;
            counts.drifted += usize::from(one.drifted == Some(true));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(node: &str, environment: &str, datacenter: &str, observed: Option<&str>) -> RunningView {
        RunningView {
            app: "shop".to_owned(),
            node: node.to_owned(),
            environment: environment.to_owned(),
            datacenter: datacenter.to_owned(),
            declared: "v2".to_owned(),
            observed: observed.map(str::to_owned),
            drifted: observed.map(|observed| observed != "v2"),
        }
    }

    #[test]
    fn nodes_that_are_alike_stand_together_in_their_place() {
        let all = [
            running("web1", "production", "dc1", Some("v2")),
            running("web2", "production", "dc1", Some("v2")),
            running("web3", "production", "dc1", Some("v1")),
            running("web4", "production", "dc2", None),
            running("test1", "test", "dc2", Some("v2")),
            running("velvet-42", "staging", "", Some("v2")),
        ];
        let matrix = of(&all).unwrap();
        assert_eq!(matrix.datacenters, ["dc1", "dc2"]);
        assert_eq!((matrix.nodes, matrix.drifted, matrix.silent), (5, 1, 1));
        let [production, test] = matrix.rows.as_slice() else {
            unreachable!("two environments");
        };
        let shown: Vec<(Option<&str>, usize)> = production.cells[0]
            .iter()
            .map(|group| (group.observed.as_deref(), group.nodes.len()))
            .collect();
        assert_eq!(shown, [(Some("v1"), 1), (Some("v2"), 2)]);
        assert!(test.cells[0].is_empty(), "it does not run there");
        let counted = &counts(&all)["shop"];
        assert_eq!((counted.nodes["production"], counted.stacks, counted.drifted), (4, 1, 1));
        assert!(of(&all[5..]).is_none(), "a stack is on no node of the inventory");
    }
}
