//! An app and its neighbours as a small drawing: what needs it on the left, what it needs to the right. Pure arithmetic;
//! the template draws.

use super::launch::reachable;
use crate::wire::apps::{AppSummary, AppView};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const WIDTH: usize = 148;
const HEIGHT: usize = 38;
const GAP_X: usize = 56;
const GAP_Y: usize = 16;
const EDGE: usize = 2;

/// A drawing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// Its width.
    pub width: usize,
    /// Its height.
    pub height: usize,
    /// The boxes.
    pub boxes: Vec<Place>,
    /// The lines, from what needs to what is needed.
    pub lines: Vec<Line>,
}

/// An app in a drawing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// What people call it, cut to fit.
    pub label: String,
    /// Left edge.
    pub x: usize,
    /// Upper edge.
    pub y: usize,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
    /// Whether the drawing is about it.
    pub this: bool,
}

/// A line: from a right edge to a left edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// An SVG path.
    pub path: String,
    /// Whether the one can do without the other.
    pub optional: bool,
}

/// The drawing around an app; nothing where it stands alone.
pub fn around(app: &AppView, apps: &[AppSummary]) -> Option<Graph> {
    let this = app.summary.name.as_str();
    let needed = all(this, apps);
    if needed.is_empty() && app.needed_by.is_empty() {
        return None;
    }
    let mut columns: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let first = usize::from(!app.needed_by.is_empty());
    columns.insert(0, app.needed_by.iter().map(String::as_str).collect());
    columns.insert(first, vec![this]);
    for name in &needed {
        columns
            .entry(first + distance(this, name, apps, needed.len() + 1))
            .or_default()
            .push(name);
    }
    let tallest = columns.values().map(Vec::len).max().unwrap_or(1);
    let height = tallest * (HEIGHT + GAP_Y) - GAP_Y + 2 * EDGE;
    let mut boxes = Vec::new();
    for (column, names) in &columns {
        let taken = names.len() * (HEIGHT + GAP_Y) - GAP_Y;
        let top = (height - taken) / 2;
        for (row, name) in names.iter().enumerate() {
            boxes.push(Place {
                name: (*name).to_owned(),
                label: label(name, apps),
                x: EDGE + column * (WIDTH + GAP_X),
                y: top + row * (HEIGHT + GAP_Y),
                width: WIDTH,
                height: HEIGHT,
                this: *name == this,
            });
        }
    }
    let lines = lines(&boxes, apps);
    let width = boxes.iter().map(|b| b.x + WIDTH).max().unwrap_or(WIDTH) + EDGE;
    Some(Graph {
        width,
        height,
        boxes,
        lines,
    })
}

// An app is a neighbour too where a stack may be launched without it.
fn all<'a>(app: &str, apps: &'a [AppSummary]) -> BTreeSet<&'a str> {
    reachable(app, apps, |_, _| true)
}

// The longest way, so that every line leads to the right; bounded, because only descriptors that were accepted have no circle.
fn distance(from: &str, to: &str, apps: &[AppSummary], most: usize) -> usize {
    if from == to || most == 0 {
        return 0;
    }
    let Some(app) = apps.iter().find(|app| app.name == from) else {
        return 0;
    };
    app.depends_on
        .iter()
        .filter(|next| *next == to || all(next, apps).contains(to))
        .map(|next| 1 + distance(next, to, apps, most - 1))
        .max()
        .unwrap_or(0)
}

fn label(name: &str, apps: &[AppSummary]) -> String {
    let title = apps.iter().find(|app| app.name == name).map_or(name, |app| &app.title);
    if title.chars().count() > 18 {
        title.chars().take(17).chain(['…']).collect()
    } else {
        title.to_owned()
    }
}

fn lines(boxes: &[Place], apps: &[AppSummary]) -> Vec<Line> {
    let mut lines = Vec::new();
    for from in boxes {
        let Some(app) = apps.iter().find(|app| app.name == from.name) else {
            continue;
        };
        for to in boxes.iter().filter(|to| app.depends_on.contains(&to.name) && to.x > from.x) {
            let (x1, y1) = (from.x + WIDTH, from.y + HEIGHT / 2);
            let (x2, y2) = (to.x - 5, to.y + HEIGHT / 2);
            let bend = GAP_X / 2;
            lines.push(Line {
                optional: app.optional.contains(&to.name),
                path: format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend),
            });
        }
    }
    lines
}
