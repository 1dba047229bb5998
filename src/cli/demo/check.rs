//! `greenroom demo --check`: the self-test. Whatever happens, exactly one line of JSON is printed, and what was made is
//! destroyed first.

use super::stage::{Stage, StageOptions};
use crate::cli::output::{Output, Progress};
use crate::cli::{Result, interrupted};
use crate::model::fault::Fault;
use crate::wire::problem::Problem;
use crate::wire::stacks::StackView;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const OLD: &str = "storefront 1.0";
const NEW: &str = "storefront 1.1";
const PAGE_PATIENCE: Duration = Duration::from_secs(20);

/// Checks, and prints how it went.
pub async fn run(options: StageOptions, output: Output) -> ExitCode {
    // In a task of its own, so that a mistake of ours is told like every other failure.
    let checked = tokio::spawn(check(options, output)).await;
    let checked = checked.unwrap_or_else(|error| Err(Fault::new("internal", "The check itself failed").why(error)));
    match checked {
        Ok(line) => {
            output.json_line(&line);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            output.json_line(&json!({ "ok": false, "error": fault }));
            ExitCode::FAILURE
        }
    }
}

async fn check(options: StageOptions, output: Output) -> Result<Value, Fault> {
    let mut told = tokio::spawn(interrupted());
    let stopped = || Fault::new("cancelled", "The check was interrupted");
    let stage = tokio::select! {
        stage = Stage::open(options) => stage.map_err(fault)?,
        _ = &mut told => return Err(stopped()),
    };
    let played = tokio::select! {
        played = play(&stage, output) => played.map_err(fault),
        _ = &mut told => Err(stopped()),
    };
    let closed = stage.close().await;
    // The first failure is the one that explains the others.
    let mut line = played?;
    let left = closed.map_err(fault)?;
    if !left.is_empty() {
        return Err(left.fault());
    }
    line["leftovers"] = json!(left.count());
    Ok(line)
}

async fn play(stage: &Stage, output: Output) -> Result<Value> {
    let progress = || output.progress_on_a_terminal();

    let began = Instant::now();
    let stack = stage.launch(&mut progress()).await?;
    let page = expect(stage, &stack, OLD).await?;
    let launch = began.elapsed();

    let began = Instant::now();
    let stack = stage.update("v1.1", &mut progress()).await?;
    let changed = expect(stage, &stack, NEW).await?;
    let update = began.elapsed();
    if page == changed {
        return Err(unchanged("The storefront's page is the same after the update", ""));
    }

    let began = Instant::now();
    stage.destroy(&mut Progress::silent()).await?;
    let destroy = began.elapsed();
    Ok(json!({
        "ok": true,
        "launch_seconds": seconds(launch),
        "update_seconds": seconds(update),
        "destroy_seconds": seconds(destroy),
    }))
}

// The storefront's page at its address, once it holds this text.
async fn expect(stage: &Stage, stack: &StackView, text: &str) -> Result<String> {
    let link = stack
        .links
        .iter()
        .find(|link| link.app.as_str() == "storefront" && link.public);
    let Some(link) = link else {
        return Err(unchanged("The storefront has no link", ""));
    };
    let http = visitor(&link.url)?;
    let began = Instant::now();
    loop {
        let seen = match http.get(&link.url).bearer_auth(stage.token()).send().await {
            Ok(answer) => {
                let status = answer.status();
                let page = answer.text().await.unwrap_or_default();
                if status.is_success() && page.contains(text) {
                    return Ok(page);
                }
                format!("it answers {status}, without the text {text:?}")
            }
            Err(error) => error.without_url().to_string(),
        };
        if began.elapsed() > PAGE_PATIENCE {
            return Err(unchanged(&format!("{} does not show what it should", link.url), &seen));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// Asks this machine for names under localhost, as browsers do; not every system's resolver knows them.
fn visitor(url: &str) -> Result<reqwest::Client> {
    let no_page = |why: String| Box::new(Problem::from(Fault::new("internal", "No page can be asked for").why(why)));
    let url = reqwest::Url::parse(url).map_err(|error| no_page(error.to_string()))?;
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .resolve(url.host_str().unwrap_or_default(), ([127, 0, 0, 1], 0).into())
        .build()
        .map_err(|error| no_page(error.to_string()))
}

fn unchanged(what: &str, why: &str) -> Box<Problem> {
    Box::new(Fault::new("unhealthy", what).why(why).into())
}

// A problem as the fault that it was, or nearly.
fn fault(problem: Box<Problem>) -> Fault {
    Fault {
        code: problem.code,
        what: problem.detail,
        why: String::new(),
        next: problem.hint,
        turn: problem.turn,
        log_tail: problem.log_tail,
    }
}

fn seconds(length: Duration) -> f64 {
    (length.as_secs_f64() * 1000.0).round() / 1000.0
}
