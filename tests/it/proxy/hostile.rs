//! What must not pass: secrets of ours, requests that two parsers read in two ways, words for one connection.

use super::lobby::{APP, Lobby, Props};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An app that notes every byte that comes and answers each head with `ok`.
async fn noting() -> (Lobby, Arc<Mutex<Vec<u8>>>) {
    let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let notes = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let notes = Arc::clone(&notes);
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut piece).await {
                    let heads = {
                        let mut notes = notes.lock().unwrap();
                        notes.extend_from_slice(&piece[..read]);
                        String::from_utf8_lossy(&piece[..read]).matches(" HTTP/1.1\r\n").count()
                    };
                    for _ in 0..heads {
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                            .await
                            .unwrap();
                    }
                }
            });
        }
    });
    (Lobby::before(upstream, Props::default()).await, seen)
}

fn text(seen: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&seen.lock().unwrap()).to_lowercase()
}

#[tokio::test]
async fn an_app_never_sees_a_session_a_pass_or_a_token() {
    let (lobby, seen) = noting().await;
    let pass = lobby.pass(&lobby.session, APP).await;
    let token = lobby.token(&lobby.admin).await;
    let cookie = format!(
        "cart=1; greenroom={}; {pass}; __Host-greenroom=x{}; theme=2",
        lobby.session, lobby.session
    );
    let ask = lobby.ask(APP, "GET", "/?plain").header("cookie", cookie).bearer_auth(&token);
    assert_eq!(ask.send().await.unwrap().status(), 200);
    let ask = lobby
        .ask(APP, "GET", "/")
        .header("cookie", &pass)
        .header("authorization", &token);
    assert_eq!(ask.send().await.unwrap().status(), 200);
    let seen = text(&seen);
    for secret in [lobby.session.as_str(), pass.split('=').nth(1).unwrap(), &token, "greenroom="] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
    assert!(seen.contains("cookie: cart=1; theme=2\r\n"), "{seen}");
}

#[tokio::test]
async fn one_request_is_one_request_on_both_sides() {
    let (lobby, seen) = noting().await;
    let pass = lobby.pass(&lobby.session, APP).await;
    let host = lobby.host(APP);
    let hidden = "GET /hidden HTTP/1.1\r\nX: y\r\n\r\n";
    let length = hidden.len();
    let attempts = [
        // Two ways to say how long it is.
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
            length + 5
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}"
        ),
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nTransfer-Encoding: xchunked\r\n\r\n{hidden}"),
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("POST / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nContent-Length: +{length}\r\n\r\n{hidden}"),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nX: a\rGET /hidden HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\nHost: {host}\nCookie: {pass}\nX: a\n  GET /hidden HTTP/1.1\r\n\r\n"),
        // The length taken away as if it were about the connection.
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nConnection: content-length\r\nContent-Length: {length}\r\n\r\n{hidden}"
        ),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\nCookie: {pass}\r\n\r\n"),
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {pass}\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        ),
    ];
    for attempt in attempts {
        seen.lock().unwrap().clear();
        let answer = lobby.raw(attempt.as_bytes()).await;
        let arrived = text(&seen);
        let heads = arrived.matches(" http/1.1\r\n").count();
        let bodies = arrived.matches("get /hidden").count();
        let framed = arrived.contains(&format!("content-length: {length}\r\n")) && arrived.ends_with("x: y\r\n\r\n");
        assert!(
            bodies == 0 || framed,
            "what was hidden in a body is a request to the app: {attempt:?}\n{arrived}\n{answer}"
        );
        assert!(heads <= 1 + usize::from(framed), "{attempt:?}\n{arrived}");
        for word in [
            "upgrade: h2c",
            "http2-settings",
            "transfer-encoding: chunked\r\ncontent-length",
            "xchunked",
        ] {
            assert!(!arrived.contains(word), "{word}: {attempt:?}\n{arrived}");
        }
    }
}

#[tokio::test]
async fn a_client_cannot_take_away_what_the_proxy_says() {
    let (lobby, seen) = noting().await;
    let pass = lobby.pass(&lobby.session, APP).await;
    let host = lobby.host(APP);
    let ask = format!(
        "GET http://{host}/x HTTP/1.1\r\nHost: elsewhere.example\r\nCookie: {pass}\r\nX-Forwarded-Host: evil.example\r\n\
         Connection: close, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Host\r\nForwarded: for=evil\r\n\r\n"
    );
    assert!(lobby.raw(ask.as_bytes()).await.starts_with("HTTP/1.1 200"));
    let seen = text(&seen);
    assert!(seen.starts_with("get /x http/1.1\r\n"), "{seen}");
    for line in [
        format!("host: {host}"),
        format!("x-forwarded-host: {host}"),
        "x-forwarded-for: 127.0.0.1".into(),
    ] {
        assert!(seen.contains(&format!("\r\n{line}\r\n")), "{line} in {seen}");
    }
    assert!(!seen.contains("evil"), "{seen}");
}

#[tokio::test]
async fn what_belongs_to_the_proxy_never_reaches_an_app() {
    let (lobby, seen) = noting().await;
    for path in [
        "/.greenroom/enter",
        "/.greenroom/enter?code=x&to=//evil.example",
        "/.greenroom/guest/grg_x",
        "/.greenroom/",
        "/.greenroom/x",
    ] {
        let answer = lobby.signed("GET", path).await.send().await.unwrap();
        assert!(answer.status().is_client_error(), "{path}: {answer:?}");
    }
    assert_eq!(text(&seen), "");
}
