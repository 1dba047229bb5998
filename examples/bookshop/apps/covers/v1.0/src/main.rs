//! Book covers over HTTP.

mod design;
mod http;

use http::{Answer, Request};
use std::process::ExitCode;

fn main() -> ExitCode {
    let host = std::env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port = std::env::var("PORT").unwrap_or_else(|_| "8003".into());
    match http::serve(&format!("{host}:{port}"), answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("covers: cannot listen on {host}:{port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(request: &Request) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/healthz") => Answer::text(200, "ok\n"),
        ("GET", "/cover.svg") => {
            let title = request.query("title").filter(|title| !title.trim().is_empty());
            let Some(title) = title else {
                return Answer::text(400, "give a title: /cover.svg?title=Emma&author=Jane+Austen\n");
            };
            let author = request.query("author").unwrap_or_default();
            Answer::svg(design::draw(clip(title.trim()), clip(author.trim())))
        }
        ("GET", _) => Answer::text(404, "there is nothing here; try /cover.svg\n"),
        _ => Answer::text(405, "only GET\n"),
    }
}

/// At most 120 characters: what is longer would not fit on a cover.
fn clip(text: &str) -> &str {
    text.char_indices().nth(120).map_or(text, |(end, _)| &text[..end])
}
