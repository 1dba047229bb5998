//! A problem for people: what failed and why, the places at fault, whose turn it is, the next action, the last lines of output.

use super::{Colour, plain};
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::fault::Turn;
use crate::wire::problem::Problem;
use std::fmt::Write;

pub(super) fn render(problem: &Problem, colour: Colour) -> String {
    let mut out = String::new();
    let _ = write(&mut out, problem, colour);
    out
}

fn write(out: &mut String, problem: &Problem, colour: Colour) -> std::fmt::Result {
    let Problem { code, detail, .. } = problem;
    writeln!(out, "{}: {}", colour.red(&format!("error[{code}]")), plain(detail))?;
    // Where the detail already is the one field's message, saying it twice helps nobody.
    for field in problem.fields.iter().filter(|f| !detail.contains(&f.message)) {
        writeln!(out, "  {}: {}", colour.bold(&field.field), plain(&field.message))?;
    }
    for found in &problem.diagnostics {
        diagnostic(out, found, colour)?;
    }
    if let Some(diff) = problem.diff.as_deref().filter(|diff| !diff.is_empty()) {
        writeln!(out, "\n{}", colour.bold("What changed meanwhile:"))?;
        for line in plain(diff).lines() {
            let line = match line.chars().next() {
                Some('+') => colour.green(line),
                Some('-') => colour.red(line),
                _ => line.to_owned(),
            };
            writeln!(out, "  {line}")?;
        }
    }
    if !problem.log_tail.is_empty() {
        writeln!(out, "\n{}", colour.bold("Its last lines:"))?;
        for line in &problem.log_tail {
            writeln!(out, "  {} {}", colour.dim("|"), plain(line.trim_end()))?;
        }
    }
    writeln!(out)?;
    if let Some(turn) = turn(problem.turn) {
        writeln!(out, "{} {turn}", colour.dim("turn:"))?;
    }
    if !problem.hint.is_empty() {
        writeln!(out, "{} {}", colour.cyan("next:"), plain(&problem.hint))?;
    }
    write!(out, "{} greenroom explain {code}", colour.dim("more:"))?;
    if let Some(request) = &problem.request_id {
        write!(out, " {}", colour.dim(&format!("(request {request})")))?;
    }
    writeln!(out)
}

fn turn(turn: Turn) -> Option<&'static str> {
    match turn {
        // Whoever reads this is whoever asked; the next action says it.
        Turn::You => None,
        Turn::AppOwner => Some("whoever owns the app"),
        Turn::Platform => Some("the platform team"),
        Turn::Nobody => Some("nobody's: it is tried again by itself"),
        Turn::Cloud => Some("the cloud that servers are rented from"),
    }
}

/// One finding in a file.
pub(super) fn diagnostic(out: &mut String, found: &Diagnostic, colour: Colour) -> std::fmt::Result {
    let text = plain(&found.to_string());
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let first = match found.severity {
        Severity::Error => first.replacen("error[", &format!("{}[", colour.red("error")), 1),
        Severity::Warning => first.replacen("warning[", &format!("{}[", colour.yellow("warning")), 1),
    };
    writeln!(out, "\n{first}")?;
    for line in rest.lines() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::Fault;

    #[test]
    fn a_failure_says_what_why_whose_turn_and_what_next() {
        let fault = Fault::new("service-exited", "catalogue-web stopped right after its start")
            .why("it exited with status 1")
            .log_tail(["KeyError: 'SHOP_CURRENCY'".to_owned()]);
        insta::assert_snapshot!(render(&Problem::from(fault), Colour(false)), @r"
        error[service-exited]: catalogue-web stopped right after its start: it exited with status 1

        Its last lines:
          | KeyError: 'SHOP_CURRENCY'

        turn: whoever owns the app
        next: Read its last lines, correct the cause, then retry
        more: greenroom explain service-exited
        ");
    }

    #[test]
    fn findings_have_their_place_and_their_line() {
        let mut problem = Problem::from(Fault::new("descriptor-invalid", "The descriptor has errors"));
        problem.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            code: "unknown-field".into(),
            message: "there is no field `descripton`".into(),
            file: "shop.json".into(),
            line: 3,
            column: 5,
            path: "metadata.descripton".into(),
            help: Some("did you mean `description`?".into()),
            snippet: Some("    \"descripton\": \"x\"".into()),
        });
        insta::assert_snapshot!(render(&problem, Colour(false)), @r#"
        error[descriptor-invalid]: The descriptor has errors

        shop.json:3:5: error[unknown-field]: there is no field `descripton`
            3 |     "descripton": "x"
              |     ^
              = help: did you mean `description`?

        turn: whoever owns the app
        next: Correct the places that are listed; `greenroom app validate FILE` checks it without saving
        more: greenroom explain descriptor-invalid
        "#);
    }
}
