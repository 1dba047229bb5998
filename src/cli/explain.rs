//! `greenroom explain`: the catalogue of codes, offline.

use super::Result;
use super::output::{Output, Table};
use crate::model::fault::{CATALOGUE, CodeEntry, Fault, Turn, explain};
use crate::recipes::lint::CODES;
use clap::Args;
use std::process::ExitCode;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, as in `error[build-failed]`; all of them where absent
    code: Option<String>,
}

/// Explains a code, or lists them all.
///
/// # Errors
/// `not-found`, with the nearest code.
pub fn run(args: &ExplainArgs, output: Output) -> Result {
    let Some(code) = &args.code else {
        let mut table = Table::new(&["CODE", "MEANING"], "");
        for entry in CATALOGUE {
            table.row([entry.code.to_owned(), entry.title.to_owned()]);
        }
        for (code, meaning) in CODES {
            table.row([(*code).to_owned(), first_sentence(meaning).to_owned()]);
        }
        output.table(CATALOGUE, &table);
        return Ok(ExitCode::SUCCESS);
    };
    // People paste what they see.
    let wanted = code.trim().trim_start_matches("error[").trim_start_matches("warning[");
    let wanted = wanted.trim_end_matches(']');
    if let Some((code, meaning)) = CODES.iter().find(|(code, _)| *code == wanted && explain(code).is_none()) {
        let told = serde_json::json!({ "code": code, "explanation": meaning });
        output.result(&told, || format!("{code}: a warning about a recipe\n\n{meaning}"));
        return Ok(ExitCode::SUCCESS);
    }
    let entry = explain(wanted).ok_or_else(|| {
        let warnings = CODES.iter().map(|(code, _)| *code);
        let all = CATALOGUE.iter().map(|entry| entry.code).chain(warnings);
        let nearest = all.map(|code| (strsim::damerau_levenshtein(wanted, code), code)).min();
        let mut fault = Fault::new("not-found", format!("There is no code `{wanted}`"));
        if let Some((distance, near)) = nearest
            && distance <= 4
        {
            fault = fault.why(format!("did you mean `{near}`?"));
        }
        Box::new(fault.next("`greenroom explain` lists them all").into())
    })?;
    output.result(entry, || text(entry));
    Ok(ExitCode::SUCCESS)
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

fn text(entry: &CodeEntry) -> String {
    let turn = match entry.turn {
        Turn::You => "yours",
        Turn::AppOwner => "of whoever owns the app",
        Turn::Platform => "of the platform team",
        Turn::Nobody => "nobody's, it is tried again by itself",
        Turn::Cloud => "of the cloud that servers are rented from",
    };
    format!(
        "{}: {}\n\n{}\n\nUsually the turn is {turn}. Next: {}.",
        entry.code, entry.title, entry.explanation, entry.next
    )
}
