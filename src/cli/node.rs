//! `greenroom node configuration|explain|render`: what a node is built to be, and why its values are what they are.

use super::Result;
use super::output::{Output, Table, plain};
use super::targets::FormArgs;
use crate::client::Client;
use crate::wire::configurations::{ConfigurationView, ExplainView};
use clap::Subcommand;
use std::fmt::Write as _;
use std::process::ExitCode;

/// What can be asked about how a node is built.
#[derive(Debug, Subcommand)]
pub enum NodeQuestion {
    /// Show what a node is built to be
    Configuration {
        /// The node
        node: String,
    },
    /// Tell which layer, object and line gave a value, and what it overrode
    Explain {
        /// The node
        node: String,
        /// The value, such as `nginx.workers`
        key: String,
        /// As this app's recipes see it
        #[arg(long)]
        app: Option<String>,
    },
    /// Print what a node is built to be as a script, user-data for cloud-init, or the context of an image build
    Render {
        /// The node
        node: String,
        #[command(flatten)]
        form: FormArgs,
    },
}

/// Does what was asked.
///
/// # Errors
/// The server's problem.
pub async fn run(client: &Client, question: NodeQuestion, output: Output) -> Result {
    match question {
        NodeQuestion::Configuration { node } => {
            let found = client.show_configuration(&node).await?;
            if output.is_json() {
                output.json(&found);
            } else {
                configuration(&found, output);
            }
        }
        NodeQuestion::Explain { node, key, app } => {
            let found = client.explain_value(&node, &key, app.as_deref()).await?;
            output.result(&found, || explanation(&found));
        }
        NodeQuestion::Render { node, form } => {
            let mut query = vec![("target", form.target.name())];
            if form.secrets_from_file {
                query.push(("secrets_from_file", "true"));
            }
            query.extend(form.base_image.as_deref().map(|image| ("base_image", image)));
            output.bytes(&client.render_node(&node, &query).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn configuration(found: &ConfigurationView, output: Output) {
    let apps = found
        .apps
        .iter()
        .map(|(app, commit)| format!("{app} at {}", commit.get(..10).unwrap_or(commit)));
    output.fields(&[
        ("configuration", found.hash.clone()),
        ("bundle", found.bundle.clone()),
        ("environment", found.environment.clone()),
        ("datacenter", found.datacenter.clone()),
        ("roles", found.roles.join(", ")),
        ("recipes", found.recipes.join(", ")),
        ("apps", apps.collect::<Vec<_>>().join(", ")),
    ]);
    output.line("");
    let mut table = Table::new(&["STATE", "WHAT IT DOES", "WRITTEN AT"], "Nothing is to be done on it");
    for state in &found.configuration.states {
        table.row([state.id.clone(), plain(&state.title), state.origin.clone()]);
    }
    output.table(&found.configuration.states, &table);
    for warning in &found.warnings {
        output.note(warning.to_string());
    }
}

/// Why a value is what it is, lowest layer last, for the one that counts is what people look for.
fn explanation(found: &ExplainView) -> String {
    if !found.found {
        return format!("No layer gives `{}` a value on {}", found.key, found.node);
    }
    let mut text = format!("{} = {}\n", found.key, plain(&found.value.to_string()));
    let mut won = false;
    for layer in found.layers.iter().rev() {
        let line = layer.line.map(|line| format!(", line {line}")).unwrap_or_default();
        let mark = if !won && layer.effect != "same" {
            won = true;
            "*"
        } else {
            " "
        };
        let _ = writeln!(
            text,
            "{mark} {:<30} {} ({} {}{line}): {}",
            layer.layer,
            layer.effect,
            layer.object,
            layer.path,
            plain(&layer.value.to_string())
        );
    }
    text.trim_end().to_owned()
}
