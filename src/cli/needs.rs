//! `greenroom app needs`: what an app needs and what needs it, as trees.

use super::Result;
use super::output::{Output, plain};
use crate::client::Client;
use crate::wire::inventory::{DependenciesView, EdgeView};
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;
use std::process::ExitCode;

/// Arguments of `app needs`.
#[derive(Debug, Args)]
pub struct NeedsArgs {
    /// The app
    name: String,
    /// Only what it needs itself and what needs it itself, not those behind
    #[arg(long)]
    direct: bool,
    /// Also say where each is reached in this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Those of this datacenter first
    #[arg(long, value_name = "NAME", requires = "environment")]
    datacenter: Option<String>,
}

/// Says who needs whom.
///
/// # Errors
/// The server's problem.
pub async fn run(client: &Client, args: &NeedsArgs, output: Output) -> Result {
    let transitive = ("transitive", if args.direct { "0" } else { "1" });
    let mut query = vec![transitive];
    query.extend(args.environment.as_deref().map(|name| ("environment", name)));
    query.extend(args.datacenter.as_deref().map(|name| ("datacenter", name)));
    let needs = client.dependencies(&args.name, "dependencies", &query).await?;
    let needed_by = client.dependencies(&args.name, "dependents", &[transitive]).await?;
    if output.is_json() {
        output.json(&json!({ "needs": needs, "needed_by": needed_by }));
        return Ok(ExitCode::SUCCESS);
    }
    for line in lines(&needs, &needed_by) {
        output.line(plain(&line));
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(needs: &DependenciesView, needed_by: &DependenciesView) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tree = |empty: &str, heading: &str, view: &DependenciesView, is_down: bool| {
        if view.edges.is_empty() {
            lines.push(format!("{} {empty}", view.app));
            return;
        }
        lines.push(format!("{} {heading}", view.app));
        let mut shown = BTreeSet::from([view.app.as_str()]);
        below(&view.app, view, is_down, 1, &mut shown, &mut lines);
    };
    tree("needs nothing", "needs", needs, true);
    tree("is needed by nothing", "is needed by", needed_by, false);
    lines
}

// What stands below an app is said once, at its first place.
fn below<'a>(
    app: &str,
    view: &'a DependenciesView,
    is_down: bool,
    depth: usize,
    shown: &mut BTreeSet<&'a str>,
    lines: &mut Vec<String>,
) {
    let ends = |edge: &'a EdgeView| {
        if is_down {
            (edge.from.as_str(), edge.to.as_str())
        } else {
            (edge.to.as_str(), edge.from.as_str())
        }
    };
    for edge in view.edges.iter().filter(|edge| ends(edge).0 == app) {
        let next = ends(edge).1;
        let is_new = shown.insert(next);
        let further = !is_new && view.edges.iter().any(|edge| ends(edge).0 == next);
        lines.push(format!(
            "{}{next}{}{}",
            "  ".repeat(depth),
            if edge.optional { ", optional" } else { "" },
            if further { ", see above" } else { "" },
        ));
        for endpoint in &edge.endpoints {
            let ports = endpoint.ports.iter().map(|(name, port)| format!(" {name} {port}"));
            lines.push(format!(
                "{}at {} in {}, {}{}",
                "  ".repeat(depth + 1),
                endpoint.node,
                endpoint.datacenter,
                endpoint.address,
                ports.collect::<String>()
            ));
        }
        if is_new {
            below(next, view, is_down, depth + 1, shown, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(edges: &[(&str, &str, bool)]) -> DependenciesView {
        DependenciesView {
            app: "shop".to_owned(),
            environment: None,
            datacenter: None,
            edges: edges
                .iter()
                .map(|(from, to, optional)| EdgeView {
                    from: (*from).to_owned(),
                    to: (*to).to_owned(),
                    optional: *optional,
                    distance: 1,
                    endpoints: Vec::new(),
                })
                .collect(),
        }
    }

    #[test]
    fn trees_say_each_app_once_and_end_where_apps_need_each_other() {
        let needs = view(&[
            ("shop", "books", false),
            ("shop", "mail", true),
            ("books", "prices", false),
            ("mail", "books", false),
            ("prices", "shop", true),
        ]);
        let expected = [
            "shop needs",
            "  books",
            "    prices",
            "      shop, optional, see above",
            "  mail, optional",
            "    books, see above",
            "shop is needed by nothing",
        ];
        assert_eq!(lines(&needs, &view(&[])), expected);
        let needed_by = view(&[("desk", "shop", false), ("portal", "desk", false)]);
        let expected = ["shop needs nothing", "shop is needed by", "  desk", "    portal"];
        assert_eq!(lines(&view(&[]), &needed_by), expected);
    }
}
