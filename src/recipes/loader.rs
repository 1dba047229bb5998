//! Reads a folder of recipes. The only file of this module that touches the file system.

use super::bundle::MAX_BYTES;
use super::tree::Source;
use crate::model::diagnostic::{Diagnostic, Severity};
use std::io::Read as _;
use std::path::Path;

const MAX_FILES: usize = 1_000;

/// The recipes and templates of a folder with their names as the person would write them, sorted; sub-folders are left
/// alone. A file above the size limit is read just far enough to say so.
///
/// # Errors
/// A finding that names what cannot be read.
pub fn read_folder(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, Box<Diagnostic>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, &e))? {
        let path = entry.map_err(|e| unreadable(folder, &e))?.path();
        let wanted = path.extension().is_some_and(|e| e == "yaml" || e == "j2");
        if wanted && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    if found.len() > MAX_FILES {
        let message = format!("the folder has {} recipe files; at most {MAX_FILES} are taken", found.len());
        return Err(Box::new(finding(folder, "too-large", message)));
    }
    found
        .into_iter()
        .map(|path| Ok((path.display().to_string(), read_file(&path)?)))
        .collect()
}

/// A file's bytes, at most one more than any limit, so that a huge file costs no memory.
///
/// # Errors
/// A finding that says why it cannot be read.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Box<Diagnostic>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| unreadable(path, &e))?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Box<Diagnostic> {
    Box::new(finding(path, "unreadable", format!("this cannot be read: {error}")))
}

fn finding(path: &Path, code: &str, message: String) -> Diagnostic {
    let mut diagnostic = Source::new(path.display().to_string(), "").diagnostic(Severity::Error, 0, code, "", message);
    diagnostic.snippet = None;
    diagnostic
}
