//! `greenroom search`, `impact` and `running`: questions to the inventory.

use super::Result;
use super::connect::Connection;
use super::output::{Output, Table};
use crate::model::search::INDEXES;
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;

const PAGE: i64 = 500;

/// Arguments of `search`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  greenroom search node 'role:web AND datacenter:north'\n  \
                        greenroom search node 'facts.machine.memory_mb:[8192 TO *] -environment:uat' --fields name,datacenter\n  \
                        greenroom search app 'dependsOn:catalogue'")]
pub struct SearchArgs {
    #[command(flatten)]
    connection: Connection,
    /// What to search
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(INDEXES))]
    index: String,
    /// Words and `field:value` with AND, OR, NOT, groups, "phrases", [1 TO 9], * and ?
    #[arg(default_value = "*:*")]
    query: String,
    /// Only these paths of each, separated by commas
    #[arg(long, value_name = "PATHS")]
    fields: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 1000, value_name = "COUNT")]
    limit: usize,
    /// Also Chef's spellings of keys: `kernel_release`, `release`
    #[arg(long)]
    chef: bool,
}

/// Arguments of `impact`.
#[derive(Debug, Args)]
pub struct ImpactArgs {
    #[command(flatten)]
    connection: Connection,
    /// What would be lost
    #[arg(value_parser = ["node", "datacenter"])]
    what: String,
    /// Its name
    name: String,
}

/// Arguments of `running`.
#[derive(Debug, Args)]
pub struct RunningArgs {
    #[command(flatten)]
    connection: Connection,
    /// Only this app
    app: Option<String>,
    /// Only this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only this datacenter
    #[arg(long, value_name = "NAME")]
    datacenter: Option<String>,
}

/// Searches.
///
/// # Errors
/// The server's problem; `query-invalid` with the place.
pub async fn run(args: SearchArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    let rows = PAGE.min(i64::try_from(args.limit).unwrap_or(PAGE)).to_string();
    let fields = args.fields.clone().or_else(|| (!output.is_json()).then(|| "name".to_owned()));
    let mut found: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    let total = loop {
        let mut query = vec![("q", args.query.as_str()), ("rows", rows.as_str())];
        query.extend(fields.as_deref().map(|fields| ("fields", fields)));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        query.extend(args.chef.then_some(("strict", "0")));
        let page = client.search(&args.index, &query).await?;
        found.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() || found.len() >= args.limit {
            break page.total;
        }
    };
    found.truncate(args.limit);
    if output.is_json() {
        output.json(&serde_json::json!({ "total": total, "rows": found }));
        return Ok(ExitCode::SUCCESS);
    }
    let paths: Vec<&str> = fields.as_deref().unwrap_or("name").split(',').map(str::trim).collect();
    for row in &found {
        let cells: Vec<String> = paths.iter().map(|path| cell(row, path)).collect();
        output.line(super::output::plain(&cells.join("\t")));
    }
    output.note(format!("{} of {total}", found.len()));
    Ok(ExitCode::SUCCESS)
}

fn cell(row: &Value, path: &str) -> String {
    match path.split('.').try_fold(row, |value, key| value.get(key)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Says what would stop.
///
/// # Errors
/// The server's problem.
pub async fn run_impact(args: ImpactArgs, output: Output) -> Result {
    let impact = args.connection.client()?.impact(&args.what, &args.name).await?;
    let mut table = Table::new(
        &["", "APP", "ENVIRONMENT", "NODES LEFT", "WHY"],
        "Nothing would stop, and nothing would be left with fewer nodes",
    );
    for (word, lines) in [("stops", &impact.stops), ("weakened", &impact.weakened)] {
        for line in lines {
            table.row([
                word.to_owned(),
                line.app.clone(),
                line.environment.clone(),
                line.left.to_string(),
                line.because.clone(),
            ]);
        }
    }
    output.table(&impact, &table);
    Ok(ExitCode::SUCCESS)
}

/// Says what runs where.
///
/// # Errors
/// The server's problem.
pub async fn run_running(args: RunningArgs, output: Output) -> Result {
    let query: Vec<(&str, &str)> = [
        ("app", args.app.as_deref()),
        ("environment", args.environment.as_deref()),
        ("datacenter", args.datacenter.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    let running = args.connection.client()?.running(&query).await?;
    let mut table = Table::new(
        &["APP", "ENVIRONMENT", "DATACENTER", "NODE", "DECLARED", "OBSERVED"],
        "Nothing runs there",
    );
    for one in &running {
        let observed = one.observed.clone().unwrap_or_else(|| "not reported".to_owned());
        let differs = if one.drifted == Some(true) { " (differs)" } else { "" };
        table.row([
            one.app.clone(),
            one.environment.clone(),
            one.datacenter.clone(),
            one.node.clone(),
            one.declared.clone(),
            format!("{observed}{differs}"),
        ]);
    }
    output.table(&running, &table);
    Ok(ExitCode::SUCCESS)
}
