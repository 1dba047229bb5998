//! How commands print the versions of an app or of another object.

use super::output::{Output, plain};
use crate::wire::inventory::{DiffView, ObjectVersionView};

/// Prints versions, newest first, each with what it changed.
pub fn print_versions(versions: &[ObjectVersionView], output: Output) {
    if output.is_json() {
        output.json(versions);
        return;
    }
    for version in versions {
        let mut line = format!(
            "version {}, revision {}, {}, {}",
            version.version, version.revision, version.at, version.actor
        );
        if version.removed {
            line += ", removed";
        }
        if !version.note.is_empty() {
            line = format!("{line}, {}", version.note);
        }
        output.line(line);
        for line in version.diff.lines() {
            output.line(format!("  {}", plain(line)));
        }
        output.line("");
    }
}

/// Prints the difference between two versions.
pub fn print_diff(diff: &DiffView, output: Output) {
    output.result(diff, || {
        if diff.diff.is_empty() {
            format!("Versions {} and {} are equal", diff.from, diff.to)
        } else {
            plain(diff.diff.trim_end())
        }
    });
}
