//! Readers' reviews over HTTP.

mod http;
mod json;
mod shelf;

use http::{Answer, Request};
use json::{object, text};
use shelf::{Review, Shelf};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let host = std::env::var("HOST").unwrap_or_else(|_| "127.0.0.1".into());
    let port = std::env::var("PORT").unwrap_or_else(|_| "8002".into());
    let file = std::env::var("REVIEWS_FILE").unwrap_or_else(|_| "reviews.tsv".into());
    let shelf = match Shelf::open(&file) {
        Ok(shelf) => Arc::new(shelf),
        Err(error) => {
            eprintln!("reviews: cannot read {file}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match http::serve(&format!("{host}:{port}"), move |request| answer(&shelf, request)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reviews: cannot listen on {host}:{port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(shelf: &Shelf, request: &Request) -> Answer {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["healthz"]) => Answer::json(200, object(&[("ok", "true".into())])),
        ("GET", ["reviews"]) => list(shelf.all()),
        ("GET", ["reviews", book]) => list(shelf.of(book)),
        ("POST", ["reviews", book]) => match Review::from_form(book, &request.form()) {
            Ok(review) => match shelf.add(review) {
                Ok(()) => Answer::json(201, object(&[("ok", "true".into())])),
                Err(error) => Answer::error(500, &format!("the review could not be kept: {error}")),
            },
            Err(why) => Answer::error(400, why),
        },
        _ => Answer::error(404, "there is nothing here; try /reviews"),
    }
}

fn list(reviews: Vec<Review>) -> Answer {
    let items: Vec<String> = reviews.iter().map(view).collect();
    Answer::json(200, object(&[("reviews", format!("[{}]", items.join(",")))]))
}

fn view(review: &Review) -> String {
    object(&[
        ("book", text(&review.book)),
        ("reader", text(&review.reader)),
        ("stars", review.stars.to_string()),
        ("text", text(&review.text)),
    ])
}
