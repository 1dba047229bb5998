//! What the services of a staging server say, one beside the other.

use crate::cli::output::{Output, plain};
use crate::cli::{INTERRUPTED, Result, interrupted};
use crate::client::Client;
use crate::model::fault::Fault;
use crate::wire::problem::Problem;
use crate::wire::runs::LogChunk;
use clap::Args;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;
use tokio::task::JoinSet;

/// Arguments of `stack logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Name or id
    stack: String,
    /// Services, such as storefront-web, or apps [default: all]
    services: Vec<String>,
    /// Stay, and print what comes
    #[arg(long, short)]
    follow: bool,
}

/// Prints the logs.
pub async fn logs(client: &Client, args: LogsArgs, output: Output) -> Result {
    let services = chosen(client, &args).await?;
    let width = services.iter().map(String::len).max().unwrap_or(0);
    let many = services.len() > 1;
    let mut reading = JoinSet::new();
    for service in services {
        let (client, stack) = (client.clone(), args.stack.clone());
        let label = if many {
            format!("{service:<width$} | ")
        } else {
            String::new()
        };
        reading.spawn(async move { read(&client, &stack, service, args.follow, &label, output).await });
    }
    let read_all = async {
        let mut all = BTreeMap::new();
        while let Some(done) = reading.join_next().await {
            let done = done.map_err(|e| Problem::from(Fault::new("internal", "A log could not be read").why(e)))?;
            let (service, chunks) = done?;
            all.insert(service, chunks);
        }
        Ok::<_, Box<Problem>>(all)
    };
    tokio::select! {
        done = read_all => {
            let all = done?;
            if output.is_json() {
                output.json(&all);
            }
            Ok(ExitCode::SUCCESS)
        }
        () = interrupted() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

async fn chosen(client: &Client, args: &LogsArgs) -> Result<Vec<String>> {
    let stack = client.show_stack(&args.stack).await?;
    let known = || {
        stack
            .apps
            .iter()
            .flat_map(|app| app.services.iter().map(move |s| (app.app.as_str(), s.name.as_str())))
    };
    if args.services.is_empty() {
        let all: Vec<String> = known().map(|(_, service)| service.to_owned()).collect();
        if all.is_empty() {
            let fault = Fault::new("not-found", format!("No service of {} is known yet", stack.name));
            return Err(Box::new(fault.why(format!("it is {}", stack.state)).into()));
        }
        return Ok(all);
    }
    let mut services = Vec::new();
    for asked in &args.services {
        let mut found: Vec<String> = known()
            .filter(|(app, service)| app == asked || service == asked)
            .map(|(_, service)| service.to_owned())
            .collect();
        if found.is_empty() {
            // One that no longer runs may still have a log.
            found.push(asked.clone());
        }
        services.append(&mut found);
    }
    Ok(services)
}

async fn read(
    client: &Client,
    stack: &str,
    service: String,
    follow: bool,
    label: &str,
    output: Output,
) -> Result<(String, Vec<LogChunk>)> {
    let (mut after, mut first, mut all) = (0, true, Vec::new());
    loop {
        let page = client.service_log(stack, &service, after, follow && !first).await?;
        first = false;
        let came = !page.chunks.is_empty();
        after = page.next.max(after);
        for chunk in page.chunks {
            if output.is_json() {
                all.push(chunk);
                continue;
            }
            for line in chunk.text.lines() {
                output.line(format!("{label}{}", plain(line)));
            }
        }
        if came {
            continue;
        }
        if !follow || !page.open {
            return Ok((service, all));
        }
        // A server that does not wait must not be asked without pause.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
