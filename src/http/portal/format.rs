//! How values read on a page: times relative with the exact one behind, lengths, commits, logs and differences.

use crate::model::time::{Timestamp, parse_length, show_length};
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, HtmlEscape, State, context};
use std::fmt::Write as _;

/// Adds the filters and functions that templates use.
pub fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("ago", ago);
    environment.add_filter("left", left);
    environment.add_filter("day", day);
    environment.add_filter("took", took);
    environment.add_filter("lease", lease);
    environment.add_filter("commit", commit);
    environment.add_filter("diff_lines", diff_lines);
    environment.add_filter("sentence", sentence);
    environment.add_filter("who", who);
    environment.add_function("elapsed", elapsed);
    environment.add_function("ms_between", ms_between);
}

fn time(value: &Value) -> Result<Timestamp, Error> {
    let bad = || Error::new(ErrorKind::InvalidOperation, format!("{value} is not a time"));
    let time: jiff::Timestamp = value.as_str().ok_or_else(bad)?.parse().map_err(|_| bad())?;
    Ok(Timestamp(time.as_millisecond()))
}

fn now(state: &State<'_, '_>) -> Result<Timestamp, Error> {
    time(&state.lookup("now").unwrap_or_default())
}

/// `23 Nov 2026, 02:01 UTC`.
fn exact(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), |t| t.strftime("%-d %b %Y, %H:%M:%S UTC").to_string())
}

fn element(at: Timestamp, kind: &str, text: &str) -> Value {
    Value::from_safe_string(format!(
        r#"<time datetime="{at}" title="{}" data-time="{kind}">{text}</time>"#,
        exact(at)
    ))
}

/// How long ago a time was: `just now`, `5 min ago`.
fn ago(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let at = time(value)?;
    let past = now(state)?.since(at);
    let text = if past < 10_000 {
        "just now".to_owned()
    } else {
        format!("{} ago", rough(past))
    };
    Ok(element(at, "ago", &text))
}

/// How long it is until a time: `7 h 50 min left`.
fn left(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let at = time(value)?;
    let rest = at.since(now(state)?);
    let text = if rest == 0 {
        "time is up".to_owned()
    } else {
        format!("{} left", rough(rest))
    };
    Ok(element(at, "left", &text))
}

/// The time itself.
fn day(value: &Value) -> Result<Value, Error> {
    let at = time(value)?;
    let text =
        jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), |t| t.strftime("%-d %b, %H:%M").to_string());
    Ok(element(at, "day", &text))
}

// Whole units only: what is read at a glance needs no seconds beside hours.
fn rough(millis: i64) -> String {
    match millis {
        ..60_000 => format!("{} s", millis / 1000),
        60_000..3_600_000 => format!("{} min", millis / 60_000),
        172_800_000..5_184_000_000 => format!("{} d", millis / 86_400_000),
        5_184_000_000..63_072_000_000 => format!("{} months", millis / 2_592_000_000),
        63_072_000_000.. => format!("{} years", millis / 31_536_000_000),
        _ => show_length(millis - millis % 60_000),
    }
}

/// A length of time in milliseconds, for people.
fn took(millis: i64) -> String {
    show_length(millis)
}

/// A length as settings write it, for people: `8h` reads `8 h`.
fn lease(text: &str) -> String {
    parse_length(text).map_or_else(|_| text.to_owned(), show_length)
}

/// A commit's first characters, with the whole behind.
fn commit(text: &str) -> Value {
    let short: String = text.chars().take(8).collect();
    Value::from_safe_string(format!(
        r#"<code class="commit" title="{}">{}</code>"#,
        HtmlEscape(text),
        HtmlEscape(&short)
    ))
}

/// The lines of a unified difference, each with its kind.
fn diff_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| {
            let kind = match line.as_bytes() {
                [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => "file",
                [b'@', b'@', ..] => "place",
                [b'+', ..] => "added",
                [b'-', ..] => "removed",
                _ => "same",
            };
            context! { kind, text => line }
        })
        .collect()
}

// Words that messages begin with. Anything else may be a name, which is not to be changed.
const OPENERS: &str = "a add all an at did each edit either expected it its launch no nobody nothing one only put say someone something that the there \
                       this use write you";

/// A message as a sentence on a page: a capital at the front unless that is a name, a full stop at the end, and what stands
/// between backticks as code.
fn sentence(text: &str) -> Value {
    let text = text.trim();
    let Some(first) = text.chars().next() else {
        return Value::from("");
    };
    let stop = if text.ends_with(['.', '!', '?', ':']) { "" } else { "." };
    let whole = if text
        .split(' ')
        .next()
        .is_some_and(|word| OPENERS.split(' ').any(|opener| opener == word))
    {
        format!("{}{}{stop}", first.to_ascii_uppercase(), &text[1..])
    } else {
        format!("{text}{stop}")
    };
    let parts: Vec<&str> = whole.split('`').collect();
    let html = parts.iter().enumerate().fold(String::new(), |mut html, (index, part)| {
        // An odd backtick opens nothing.
        let (open, close) = match (index % 2, index + 1 < parts.len()) {
            (1, true) => ("<code>", "</code>"),
            (1, false) => ("`", ""),
            _ => ("", ""),
        };
        let _ = write!(html, "{open}{}{close}", HtmlEscape(part));
        html
    });
    Value::from_safe_string(html)
}

/// Who did something, out of the audit's `user:ada`.
fn who(text: &str) -> String {
    match text.split_once(':') {
        Some(("user", name)) => name.to_owned(),
        Some(("system", part)) => format!("Greenroom ({part})"),
        Some(("agent", _)) => "the server's agent".to_owned(),
        _ => text.to_owned(),
    }
}

/// How long something took, or has taken so far; the script counts on while it runs.
fn elapsed(state: &State<'_, '_>, from: &Value, to: &Value) -> Result<Value, Error> {
    if from.is_none() || from.is_undefined() {
        return Ok(Value::from(""));
    }
    let from = time(from)?;
    Ok(if to.is_none() || to.is_undefined() {
        let text = show_length(now(state)?.since(from));
        Value::from_safe_string(format!(r#"<span class="elapsed" data-since="{from}">{text}</span>"#))
    } else {
        Value::from_safe_string(format!(
            r#"<span class="elapsed">{}</span>"#,
            show_length(time(to)?.since(from))
        ))
    })
}

/// Milliseconds from one time to another; to now where the other has not come.
fn ms_between(state: &State<'_, '_>, from: &Value, to: &Value) -> Result<i64, Error> {
    if from.is_none() || from.is_undefined() {
        return Ok(0);
    }
    let to = if to.is_none() || to.is_undefined() {
        now(state)?
    } else {
        time(to)?
    };
    Ok(to.since(time(from)?))
}

/// A log's text without the colour codes that a terminal would eat.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            if letters.next_if_eq(&'[').is_some() {
                while letters.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                letters.next();
            }
        } else if letter == '\t' || letter == '\n' || !letter.is_control() {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_codes_and_bells_are_not_shown() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m\u{7}\tend"), "red\tend");
        assert_eq!(plain("cut \u{1b}["), "cut ");
    }

    #[test]
    fn messages_become_sentences() {
        for (said, shown) in [
            ("the tag is gone", "The tag is gone."),
            ("Why?", "Why?"),
            ("", ""),
            ("use `git <x>` here", "Use <code>git &lt;x&gt;</code> here."),
            ("reviews-web stopped", "reviews-web stopped."),
            ("a lone ` stays", "A lone ` stays."),
        ] {
            assert_eq!(sentence(said).to_string(), shown);
        }
    }

    #[test]
    fn rough_times_have_no_seconds_beside_hours() {
        assert_eq!(rough(59_000), "59 s");
        assert_eq!(rough(28_790_000), "7 h 59 min");
        assert_eq!(rough(212 * 86_400_000 + 57_600_000), "7 months");
        assert_eq!(rough(14 * 86_400_000 - 1000), "13 d");
    }
}
