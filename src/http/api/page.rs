//! Lists: one page at a time, with where the next one is.

use crate::control::ControlError;
use crate::http::problem::ApiError;
use crate::wire::Page;
use axum::Json;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

const DEFAULT_LIMIT: i64 = 50;
const MOST: i64 = 200;

/// A page of a list, and the address of the next.
#[derive(Debug)]
pub struct Paged<T> {
    page: Page<T>,
    next: Option<String>,
}

impl<T> Paged<T> {
    /// The page that was asked for at this address.
    pub fn new(page: Page<T>, asked: &Uri) -> Self {
        let next = page.next.as_deref().map(|cursor| {
            let kept = asked.query().unwrap_or_default().split('&');
            let mut query: Vec<String> = kept
                .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
                .map(str::to_owned)
                .collect();
            query.push(format!("cursor={}", crate::model::address::encode(cursor)));
            format!("<{}?{}>; rel=\"next\"", asked.path(), query.join("&"))
        });
        Self { page, next }
    }
}

impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.page).into_response();
        if let Some(link) = self.next.and_then(|link| HeaderValue::from_str(&link).ok()) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// The limit that was asked for, within bounds.
pub fn limit(asked: Option<i64>) -> Result<i64, ApiError> {
    match asked {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(ControlError::field("limit", format!("it must be 1 to {MOST}")).into()),
    }
}

/// Cuts a page out of a whole list. `begin` is the place of the page's first item; `cursor` names an item.
pub fn cut<T>(items: Vec<T>, begin: usize, limit: i64, cursor: impl Fn(usize, &T) -> String) -> Page<T> {
    let total = items.len();
    let end = begin.saturating_add(usize::try_from(limit).unwrap_or_default()).min(total);
    let next = (begin < end && end < total).then(|| cursor(end - 1, &items[end - 1]));
    Page {
        total: i64::try_from(total).unwrap_or(i64::MAX),
        items: items.into_iter().skip(begin).take(end.saturating_sub(begin)).collect(),
        next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_list_are_the_list() {
        let items: Vec<String> = ('a'..='g').map(String::from).collect();
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let begin = cursor
                .as_ref()
                .map_or(0, |cursor| items.partition_point(|item| item <= cursor));
            let page = cut(items.clone(), begin, 3, |_, item| item.clone());
            assert_eq!(page.total, 7);
            seen.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, items);
        assert!(cut(items, 99, 3, |_, item| item.clone()).items.is_empty());
    }

    #[test]
    fn the_next_link_keeps_the_question() {
        let page = Page {
            total: 9,
            items: vec![1],
            next: Some("a b".to_owned()),
        };
        let uri = Uri::from_static("/api/v1/apps?cursor=x&text=shop&limit=1");
        assert_eq!(
            Paged::new(page, &uri).next.as_deref(),
            Some("</api/v1/apps?text=shop&limit=1&cursor=a%20b>; rel=\"next\"")
        );
    }
}
