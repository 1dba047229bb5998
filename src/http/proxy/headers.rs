//! What of a request and an answer may cross the proxy.

use super::super::auth::SESSION_COOKIES;
use super::super::portal::view::THEME_COOKIE;
use super::gate::{GUEST_HEADER, PASS_COOKIES};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

// What concerns one connection only. `Expect` is ours to answer, and was.
const HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
];
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Takes out what concerns the connection to the client, and what an app must not see.
pub fn clean_request(headers: &mut HeaderMap) {
    remove_hop(headers);
    headers.remove(PROXY_CONNECTION);
    headers.remove(GUEST_HEADER);
    headers.remove(header::FORWARDED);
    if headers.get(header::AUTHORIZATION).is_some_and(is_token) {
        headers.remove(header::AUTHORIZATION);
    }
    if headers.contains_key(header::COOKIE) {
        let kept = foreign_cookies(headers);
        headers.remove(header::COOKIE);
        if let Some(kept) = kept {
            headers.insert(header::COOKIE, kept);
        }
    }
}

/// Says for whom the request is made and what they asked. `believed`: who connects is a proxy whose word counts.
pub fn forwarded(headers: &mut HeaderMap, peer: IpAddr, believed: bool, scheme: &'static str) {
    let mut list = String::new();
    if believed {
        for value in headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()) {
            list.push_str(value);
            list.push_str(", ");
        }
    }
    let _ = std::fmt::Write::write_fmt(&mut list, format_args!("{peer}"));
    if let Ok(value) = HeaderValue::try_from(list) {
        headers.insert(FORWARDED_FOR, value);
    }
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
}

/// Takes out what concerns the connection to the app, and keeps its cookies at its own host.
pub fn clean_answer(headers: &mut HeaderMap) {
    remove_hop(headers);
    if headers.contains_key(header::SET_COOKIE) {
        let kept: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().filter_map(own_cookie).collect();
        headers.remove(header::SET_COOKIE);
        for value in kept {
            headers.append(header::SET_COOKIE, value);
        }
    }
}

fn remove_hop(headers: &mut HeaderMap) {
    if let Some(named) = named_by_connection(headers) {
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP {
        headers.remove(name);
    }
}

// What `Connection` names besides the usual words. What frames the message is nobody's to take out that way.
fn named_by_connection(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    if !headers.contains_key(header::CONNECTION) {
        return None;
    }
    let words = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    let names = words.filter_map(|word| HeaderName::try_from(word).ok());
    Some(
        names
            .filter(|name| ![header::HOST, header::CONTENT_LENGTH].contains(name))
            .collect(),
    )
}

fn is_token(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let text = text.trim();
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_start(),
        Some(_) => return false,
        None => text,
    };
    token.starts_with("grt_")
}

fn is_ours(name: &str) -> bool {
    SESSION_COOKIES.contains(&name) || PASS_COOKIES.contains(&name) || name == THEME_COOKIE
}

// The request's cookies without ours.
fn foreign_cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut kept: Vec<u8> = Vec::new();
    for value in headers.get_all(header::COOKIE) {
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
            if pair.is_empty() || std::str::from_utf8(name).is_ok_and(is_ours) {
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair);
        }
    }
    (!kept.is_empty()).then(|| HeaderValue::from_bytes(&kept).ok()).flatten()
}

// A cookie as the app may set it: for its own host, under a name that is not ours. One for a whole domain would reach the apps
// of other people's stacks.
fn own_cookie(value: &HeaderValue) -> Option<HeaderValue> {
    let bytes = value.as_bytes();
    let mut parts = bytes.split(|byte| *byte == b';');
    let first = parts.next()?;
    let name = first.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    if std::str::from_utf8(name).is_ok_and(is_ours) {
        return None;
    }
    let is_domain = |part: &[u8]| {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"domain")
    };
    if !parts.clone().any(is_domain) {
        return Some(value.clone());
    }
    let mut kept = first.to_vec();
    for part in parts.filter(|part| !is_domain(part)) {
        kept.push(b';');
        kept.extend_from_slice(part);
    }
    HeaderValue::from_bytes(&kept).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn an_app_sees_its_own_cookies_and_none_of_ours() {
        let mut asked = headers(&[
            ("cookie", "a=1; greenroom=secret; greenroom-pass=p; b=2"),
            (
                "cookie",
                "__Host-greenroom=secret;__Host-greenroom-pass=p; greenroom-theme=dark",
            ),
            ("cookie", "greenroomy=3"),
            ("authorization", "Bearer grt_0123"),
            ("x-greenroom-pass", "p"),
        ]);
        clean_request(&mut asked);
        assert_eq!(all(&asked, "cookie"), ["a=1; b=2; greenroomy=3"]);
        assert!(!asked.contains_key("authorization") && !asked.contains_key("x-greenroom-pass"));
        let mut only_ours = headers(&[("cookie", "greenroom=secret")]);
        clean_request(&mut only_ours);
        assert!(!only_ours.contains_key("cookie"));
        for theirs in ["Bearer eyJhbGciOi", "Basic Z3J0Xzpncg=="] {
            let mut asked = headers(&[("authorization", theirs)]);
            clean_request(&mut asked);
            assert_eq!(all(&asked, "authorization"), [theirs]);
        }
    }

    #[test]
    fn what_concerns_one_connection_stays_there() {
        let mut asked = headers(&[
            ("connection", "close, X-Private, content-length, x-forwarded-for"),
            ("x-private", "1"),
            ("content-length", "3"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "x"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
        ]);
        clean_request(&mut asked);
        let left: Vec<&str> = asked.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["content-length", "accept"]);
    }

    #[test]
    fn a_cookie_stays_at_the_host_that_set_it() {
        let mut answer = headers(&[
            ("set-cookie", "a=1; Path=/; Domain=localhost; HttpOnly"),
            ("set-cookie", "b=2; DOMAIN = .example.org"),
            ("set-cookie", "c=domain=x; Secure"),
            ("set-cookie", "greenroom=mine; Domain=localhost"),
            ("set-cookie", " __Host-greenroom-pass=mine"),
        ]);
        clean_answer(&mut answer);
        assert_eq!(
            all(&answer, "set-cookie"),
            ["a=1; Path=/; HttpOnly", "b=2", "c=domain=x; Secure"]
        );
    }

    #[test]
    fn only_a_proxy_in_front_is_believed() {
        let peer = "203.0.113.9".parse().unwrap();
        let said = || {
            headers(&[
                ("x-forwarded-for", "198.51.100.1"),
                ("x-forwarded-proto", "ftp"),
                ("host", "a--b.c"),
            ])
        };
        let mut plain = said();
        forwarded(&mut plain, peer, false, "https");
        assert_eq!(all(&plain, "x-forwarded-for"), ["203.0.113.9"]);
        assert_eq!(
            (all(&plain, "x-forwarded-proto"), all(&plain, "x-forwarded-host")),
            (vec!["https"], vec!["a--b.c"])
        );
        let mut behind = said();
        forwarded(&mut behind, peer, true, "https");
        assert_eq!(all(&behind, "x-forwarded-for"), ["198.51.100.1, 203.0.113.9"]);
    }
}
