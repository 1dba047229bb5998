//! `greenroom app validate` without a server, and `greenroom app schema`: descriptors checked where they are written.

use super::recipe::{conclude, load_bundle};
use crate::model::descriptor::Descriptor;
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::name::AppName;
use crate::recipes::Bundle;
use crate::recipes::descriptor::{check_graph, json_schema, parse};
use crate::recipes::loader::read_file;
use std::collections::BTreeMap;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

/// Check app descriptors without a server.
#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    /// Descriptor files; apps may depend on each other.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A folder with the organisation's own recipes.
    #[arg(long, value_name = "FOLDER")]
    pub recipes: Option<PathBuf>,
    /// Print findings as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Checks the files and prints what was found. True where no finding is an error.
///
/// # Errors
/// Where the output cannot be written.
pub fn validate(args: &ValidateArgs, out: &mut dyn Write) -> Result<bool> {
    let mut found = Vec::new();
    let bundle = load_bundle(args.recipes.as_deref(), &mut found);
    let (_, more) = read_descriptors(&args.files, &bundle);
    found.extend(more);
    conclude(&found, args.json, out)
}

/// Prints the JSON Schema of descriptors.
///
/// # Errors
/// Where the output cannot be written.
pub fn schema(out: &mut dyn Write) -> Result<bool> {
    writeln!(out, "{:#}", json_schema())?;
    Ok(true)
}

/// Reads and checks descriptors, each by itself and then together. Only the server knows all apps, so one that is not
/// among the files is no error here.
pub fn read_descriptors(files: &[PathBuf], bundle: &Bundle) -> (Vec<Descriptor>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let mut valid: Vec<(&Path, Vec<u8>, Descriptor)> = Vec::new();
    for file in files {
        match read_file(file) {
            Ok(bytes) => {
                let (descriptor, diagnostics) = parse(&file.display().to_string(), &bytes);
                found.extend(diagnostics);
                valid.extend(descriptor.map(|descriptor| (file.as_path(), bytes, descriptor)));
            }
            Err(diagnostic) => found.push(*diagnostic),
        }
    }
    let all: BTreeMap<AppName, &Descriptor> = valid.iter().map(|(_, _, d)| (d.name().clone(), d)).collect();
    for (file, bytes, descriptor) in &valid {
        let mut more = check_graph(&file.display().to_string(), bytes, descriptor, &all, bundle);
        for diagnostic in more.iter_mut().filter(|d| d.code == "dependency-missing") {
            diagnostic.severity = Severity::Warning;
            diagnostic.message = diagnostic.message.replace("is not registered", "is not among these files");
            diagnostic.help = Some("the server checks it when the app is saved; or give its file too".to_owned());
        }
        found.extend(more);
    }
    (valid.into_iter().map(|(_, _, descriptor)| descriptor).collect(), found)
}
