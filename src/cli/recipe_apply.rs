//! `greenroom recipe apply`: recipes made true on this machine, without a server. For those who write recipes, and for machines
//! that nobody keeps an inventory of.
//!
//! What is applied is what a server would have sent: the same compiler, the same agent.

use super::agent::conclude;
use super::output::Output;
use super::recipe::{findings_as_json, load_bundle};
use super::{Result, interrupted};
use crate::agent::{self, AgentOptions, Echo};
use crate::model::configuration::NodeConfiguration;
use crate::model::diagnostic::{Diagnostic, has_errors};
use crate::model::fault::Fault;
use crate::recipes::run_list::{RunItem, RunList};
use crate::recipes::values::{Layer, LayerKind};
use crate::recipes::view::View;
use crate::recipes::{Bundle, compile};
use crate::wire::problem::Problem;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

const HERE: &str = "the command line";

/// Which recipes, with which values.
#[derive(Debug, clap::Args)]
pub struct Chosen {
    /// The recipes, in order.
    #[arg(value_name = "RECIPE")]
    pub names: Vec<String>,
    /// A value, such as `nginx.port=8080`; what reads as JSON is taken as such.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair, requires = "names")]
    values: Vec<(String, Value)>,
}

/// Which recipes are made true, and how.
#[derive(Debug, clap::Args)]
#[command(mut_arg("names", |names| names.required(true)))]
pub struct ApplyArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// A folder with the organisation's own recipes.
    #[arg(long, value_name = "FOLDER")]
    recipes: Option<PathBuf>,
    /// Say what would be changed, and change nothing.
    #[arg(long)]
    plan: bool,
    /// Where the agent keeps what it must remember.
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/greenroom-agent")]
    folder: PathBuf,
    /// States may only write below this folder.
    #[arg(long, value_name = "FOLDER")]
    confined_to: Option<PathBuf>,
    /// Values of secrets: a JSON file of names and values.
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
}

fn pair(text: &str) -> std::result::Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    if key.split('.').any(str::is_empty) {
        return Err(format!("{key:?} is no key; write names with dots between them"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((key.to_owned(), value))
}

/// Compiles the recipes for this machine and converges it once; the exit code is that of `greenroom agent --once`.
///
/// # Errors
/// Where the agent's folder cannot be used, or another run holds it.
pub async fn run(args: &ApplyArgs, output: Output) -> Result {
    let mut found = Vec::new();
    let bundle = load_bundle(args.recipes.as_deref(), &mut found);
    let confined = args.confined_to.as_deref();
    let compiled = if has_errors(&found) {
        Err(found)
    } else {
        args.chosen.compile(&bundle, confined)
    };
    let configuration = match compiled {
        Ok(configuration) => configuration,
        Err(found) => {
            if output.is_json() {
                output.json(&findings_as_json(&found));
            } else {
                for finding in &found {
                    output.note(format!("{finding}\n"));
                }
            }
            return Ok(std::process::ExitCode::from(4));
        }
    };
    let bytes = configuration.canonical();
    let bytes = bytes.map_err(|e| {
        Box::new(Problem::from(
            Fault::new("internal", "The configuration cannot be written").why(e),
        ))
    })?;
    crate::telemetry::start(&std::env::var("GREENROOM_LOG").unwrap_or_else(|_| "warn".into()), false);
    let mut options = AgentOptions::at_hand(args.folder.clone(), bytes);
    options.plan = args.plan;
    options.confined_to.clone_from(&args.confined_to);
    options.secrets.clone_from(&args.secrets);
    if !output.is_json() {
        options.echo = Some(Echo::new(move |line| output.line(line)));
    }
    let cancel = CancellationToken::new();
    let told = cancel.clone();
    tokio::spawn(async move {
        interrupted().await;
        told.cancel();
    });
    let outcome = agent::run(options, cancel).await;
    Ok(conclude(outcome.map_err(|fault| Box::new(Problem::from(fault)))?, output))
}

impl Chosen {
    /// The configuration that these recipes make of this machine.
    ///
    /// # Errors
    /// Every finding, where one is an error.
    pub fn compile(
        &self,
        bundle: &Bundle,
        confined_to: Option<&Path>,
    ) -> std::result::Result<NodeConfiguration, Vec<Diagnostic>> {
        let item = |name: &String| RunItem {
            recipe: name.clone(),
            role: HERE.to_owned(),
        };
        let run_list = RunList {
            recipes: self.names.iter().map(item).collect(),
            ..RunList::default()
        };
        let mut values = Map::new();
        for (key, value) in &self.values {
            insert(&mut values, key, value.clone());
        }
        let layer = Layer {
            kind: LayerKind::Run,
            object: HERE.to_owned(),
            path: "--set".to_owned(),
            app: None,
            recipe: None,
            values,
        };
        let facts = agent::collect_facts();
        let name = facts["hostname"].as_str().unwrap_or("localhost").to_owned();
        let mut view = View::of_server(&name, facts, run_list, vec![layer]);
        view.node.confined_to = confined_to.map(|folder| folder.display().to_string());
        Ok(compile(bundle, &view)?.configuration)
    }
}

fn insert(values: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            values.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = values.entry(first).or_insert_with(|| Value::Object(Map::new()));
            // The later of two that contradict each other counts.
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Some(inner) = inner.as_object_mut() {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_with_dots_are_put_together() {
        let mut values = Map::new();
        for text in [
            "nginx.port=8080",
            "nginx.site=shop",
            "nginx.root=\"/srv\"",
            "people=[\"ann\"]",
        ] {
            let (key, value) = pair(text).unwrap();
            insert(&mut values, &key, value);
        }
        assert_eq!(
            Value::Object(values),
            json!({"nginx": {"port": 8080, "site": "shop", "root": "/srv"}, "people": ["ann"]})
        );
        assert!(pair("nginx").is_err());
        assert!(pair("nginx..port=1").is_err());
    }
}
