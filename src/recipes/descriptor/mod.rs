//! The one validator of app descriptors: portal, API and CLI all ask it.
//!
//! Every error of a document is found in one pass, each with its line and column. What it accepts always decodes to a
//! [`Descriptor`]. It knows no other app; how apps fit together is checked in [`check_graph`].

mod graph;
mod rules;
mod shape;

pub use graph::{about_name, check_graph, dependency_order};
pub use shape::{API_VERSION, DESCRIPTOR, RESOURCE_TYPES};

use super::shape::{Shape, Strictness, check};
use super::tree::{Findings, read_text};
use super::{json, schema};
use crate::model::descriptor::Descriptor;
use crate::model::diagnostic::Diagnostic;

/// The largest descriptor that is taken, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// Reads and checks a descriptor. `file` is the name that findings carry. A descriptor is returned exactly where no
/// finding is an error; warnings may come with it.
pub fn parse(file: &str, bytes: &[u8]) -> (Option<Descriptor>, Vec<Diagnostic>) {
    let source = match read_text(file, bytes, MAX_BYTES) {
        Ok(source) => source,
        Err(diagnostic) => return (None, vec![*diagnostic]),
    };
    let mut findings = Findings::new(&source);
    let Some(tree) = json::parse(&source, &mut findings) else {
        return (None, findings.finish());
    };
    check(&tree, &Shape::Record(&DESCRIPTOR), Strictness::Json, "", &mut findings);
    rules::check(&tree, &mut findings);
    if findings.has_errors() {
        return (None, findings.finish());
    }
    match serde_json::from_str::<Descriptor>(&source.text) {
        Ok(descriptor) => (Some(descriptor), findings.finish()),
        Err(error) => {
            let at = source.offset(error.line(), error.column());
            findings.error(at, "syntax", "", format!("this cannot be read: {error}"));
            (None, findings.finish())
        }
    }
}

/// The JSON Schema of descriptors, for editors and other tools.
pub fn json_schema() -> serde_json::Value {
    schema::document(
        "https://greenroom.dev/schemas/app-v1.json",
        "Greenroom app descriptor",
        &Shape::Record(&DESCRIPTOR),
    )
}
