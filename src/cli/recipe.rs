//! `greenroom recipe …`: check, render and list recipes without a server.

use super::app_check::read_descriptors;
use super::recipe_apply::{ApplyArgs, Chosen};
use super::targets::TargetArgs;
use crate::model::configuration::NodeConfiguration;
use crate::model::diagnostic::{Diagnostic, Severity, has_errors};
use crate::recipes::loader::read_file;
use crate::recipes::view::View;
use crate::recipes::{Bundle, compile, compile_example, recipe_schema, reference};
use std::collections::BTreeMap;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

/// Check, render and list recipes; needs no server.
#[derive(Debug, clap::Args)]
pub struct RecipeArgs {
    /// What is asked.
    #[command(subcommand)]
    pub task: RecipeTask,
}

/// What one can ask of recipes.
#[derive(Debug, clap::Subcommand)]
pub enum RecipeTask {
    /// Something that only reads.
    #[command(flatten)]
    Read(RecipeCommand),
    /// Make recipes true on this machine; the exit code is 0 where nothing changed, 2 where something did, 4 where it failed.
    Apply(Box<ApplyArgs>),
}

/// What one can ask to know of recipes.
#[derive(Debug, clap::Subcommand)]
pub enum RecipeCommand {
    /// Check recipe folders, recipe files and app descriptors; the shipped recipes where none is named.
    Check(CheckArgs),
    /// Print the configuration that recipes compile to for this machine, or an app's recipes for an example of one, or what a target is given of it.
    Render(Box<RenderArgs>),
    /// List the recipes and their parameters.
    List(ListArgs),
    /// Print the reference of state types as Markdown.
    Types,
    /// Print the JSON Schema of recipes.
    Schema,
}

/// What is checked.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Folders of recipes, `.yaml` recipes, `.j2` templates or `.json` descriptors.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print findings as JSON.
    #[arg(long)]
    json: bool,
}

/// What is rendered, and for what.
#[derive(Debug, clap::Args)]
pub struct RenderArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// An app's descriptor, for the recipes of an app rather than those named.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["configuration", "names"], conflicts_with = "names")]
    app: Option<PathBuf>,
    /// A configuration that is compiled already, as `--target agent` prints it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["app", "view", "recipes", "names"])]
    configuration: Option<PathBuf>,
    /// A folder with the organisation's own recipes.
    #[arg(long, value_name = "FOLDER")]
    recipes: Option<PathBuf>,
    /// A view (JSON) to compile with; an example sandbox where absent.
    #[arg(long, value_name = "FILE", requires = "app")]
    view: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    /// Print findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Which recipes are listed.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// A folder with the organisation's own recipes.
    #[arg(long, value_name = "FOLDER")]
    recipes: Option<PathBuf>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

/// Does what was asked. True where no finding is an error.
///
/// # Errors
/// Where the output cannot be written.
pub fn run(command: &RecipeCommand, out: &mut dyn Write) -> Result<bool> {
    match command {
        RecipeCommand::Check(args) => conclude(&check(&args.paths), args.json, out),
        RecipeCommand::Render(args) => render(args, out),
        RecipeCommand::List(args) => list(args, out),
        RecipeCommand::Types => {
            out.write_all(reference::markdown(&Bundle::shipped()).as_bytes())?;
            Ok(true)
        }
        RecipeCommand::Schema => {
            writeln!(out, "{:#}", recipe_schema())?;
            Ok(true)
        }
    }
}

/// Everything that is wrong in these folders and files; of the shipped recipes where there are none.
pub fn check(paths: &[PathBuf]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut bundle = Bundle::shipped();
    let mut descriptors = Vec::new();
    for path in paths {
        if path.is_dir() {
            match bundle.add_folder(path) {
                Ok(()) => {}
                Err(diagnostic) => found.push(*diagnostic),
            }
        } else if path.extension().is_some_and(|e| e == "json") {
            descriptors.push(path.clone());
        } else {
            match read_file(path) {
                Ok(bytes) => bundle.add(&path.display().to_string(), &bytes),
                Err(diagnostic) => found.push(*diagnostic),
            }
        }
    }
    found.extend(bundle.check());
    found.extend(read_descriptors(&descriptors, &bundle).1);
    found
}

/// The shipped recipes with a folder's; a folder that cannot be read is a finding.
pub fn load_bundle(folder: Option<&Path>, found: &mut Vec<Diagnostic>) -> Bundle {
    let mut bundle = Bundle::shipped();
    if let Some(folder) = folder {
        match bundle.add_folder(folder) {
            Ok(()) => found.extend(bundle.check()),
            Err(diagnostic) => found.push(*diagnostic),
        }
    }
    bundle
}

/// Prints findings with a last line that counts them. True where none is an error.
///
/// # Errors
/// Where the output cannot be written.
pub fn conclude(found: &[Diagnostic], json: bool, out: &mut dyn Write) -> Result<bool> {
    let ok = !has_errors(found);
    if json {
        writeln!(out, "{}", findings_as_json(found))?;
        return Ok(ok);
    }
    for diagnostic in found {
        writeln!(out, "{diagnostic}\n")?;
    }
    let errors = found.iter().filter(|d| d.severity == Severity::Error).count();
    let warnings = found.len() - errors;
    if found.is_empty() {
        writeln!(out, "no findings")?;
    } else {
        writeln!(out, "{}, {}", counted(errors, "error"), counted(warnings, "warning"))?;
    }
    Ok(ok)
}

/// Findings as programs read them.
pub fn findings_as_json(found: &[Diagnostic]) -> serde_json::Value {
    serde_json::json!({ "ok": !has_errors(found), "diagnostics": found })
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn render(args: &RenderArgs, out: &mut dyn Write) -> Result<bool> {
    let mut found = Vec::new();
    if let Some(configuration) = configuration(args, &mut found) {
        match args.target.render(&configuration, out)? {
            Ok(()) => return Ok(true),
            Err(more) => found.extend(more),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|d| seen.insert(d.to_string()));
    conclude(&found, args.json, out)
}

// The configuration that was named, or the one that the app's recipes compile to.
fn configuration(args: &RenderArgs, found: &mut Vec<Diagnostic>) -> Option<NodeConfiguration> {
    if let Some(file) = &args.configuration {
        let help = "`greenroom recipe render --app FILE` writes one";
        return read_json(file, "configuration", help)
            .map_err(|finding| found.push(*finding))
            .ok();
    }
    let bundle = load_bundle(args.recipes.as_deref(), found);
    if !args.chosen.names.is_empty() {
        return args.chosen.compile(&bundle, None).map_err(|more| found.extend(more)).ok();
    }
    let (descriptors, more) = read_descriptors(args.app.as_slice(), &bundle);
    found.extend(more);
    let descriptor = descriptors.into_iter().next()?;
    let compiled = match &args.view {
        None => compile_example(&bundle, View::example(&descriptor, &BTreeMap::new())),
        Some(file) => {
            let help = "leave `--view` out to compile with an example";
            let mut view: View = read_json(file, "view", help).map_err(|finding| found.push(*finding)).ok()?;
            for app in view.apps.iter_mut().filter(|a| a.descriptor.name() == descriptor.name()) {
                app.descriptor = descriptor.clone();
            }
            compile(&bundle, &view)
        }
    };
    match compiled {
        Ok(compiled) => Some(compiled.configuration),
        Err(more) => {
            found.extend(more);
            None
        }
    }
}

fn read_json<T: serde::de::DeserializeOwned>(file: &Path, what: &str, help: &str) -> std::result::Result<T, Box<Diagnostic>> {
    let bytes = read_file(file)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Box::new(Diagnostic {
            severity: Severity::Error,
            code: format!("{what}-invalid"),
            message: format!("this is no {what}: {error}"),
            file: file.display().to_string(),
            line: place(error.line()),
            column: place(error.column()),
            path: String::new(),
            help: Some(help.to_owned()),
            snippet: None,
        })
    })
}

fn list(args: &ListArgs, out: &mut dyn Write) -> Result<bool> {
    let mut found = Vec::new();
    let bundle = load_bundle(args.recipes.as_deref(), &mut found);
    if has_errors(&found) {
        return conclude(&found, args.json, out);
    }
    if args.json {
        let all: Vec<serde_json::Value> = bundle
            .recipes()
            .map(|recipe| {
                let params: Vec<serde_json::Value> = recipe
                    .params
                    .iter()
                    .map(|p| {
                        let default = p.default.as_ref().map(crate::recipes::tree::Node::to_json);
                        serde_json::json!({
                            "name": p.name, "type": p.kind, "description": p.description,
                            "required": p.default.is_none(), "default": default,
                        })
                    })
                    .collect();
                serde_json::json!({
                    "name": recipe.name, "description": recipe.description, "file": recipe.source.file, "params": params,
                })
            })
            .collect();
        writeln!(out, "{:#}", serde_json::Value::Array(all))?;
        return Ok(true);
    }
    for recipe in bundle.recipes() {
        writeln!(out, "{}\n    {}", recipe.name, recipe.description)?;
        for param in &recipe.params {
            let default = match &param.default {
                None => "required".to_owned(),
                Some(node) => format!("default {}", node.to_json()),
            };
            writeln!(out, "    {}: {} ({default})  {}", param.name, param.kind, param.description)?;
        }
    }
    Ok(true)
}
