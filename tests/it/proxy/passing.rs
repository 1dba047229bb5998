//! What passes: requests and answers of every shape, as they come.

use super::lobby::{APP, Lobby, location, serve};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use futures_util::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

async fn echo(request: Request) -> axum::Json<Value> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), value.to_str().unwrap()]))
        .collect();
    axum::Json(json!({
        "method": head.method.as_str(), "uri": head.uri.to_string(), "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}

fn header<'a>(seen: &'a Value, name: &str) -> Vec<&'a str> {
    let all = seen["headers"].as_array().unwrap().iter();
    all.filter(|pair| pair[0] == name)
        .map(|pair| pair[1].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_app_sees_the_request_as_it_was_sent_and_for_whom() {
    let lobby = Lobby::with(Router::new().fallback(echo)).await;
    let asked = lobby
        .signed("POST", "/a%20b/../c?d=e&f")
        .await
        .header("x-forwarded-proto", "ftp")
        .header("x-custom", "one")
        .header("te", "trailers")
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), 200);
    let seen: Value = asked.json().await.unwrap();
    assert_eq!(
        (seen["method"].as_str(), seen["body"].as_str()),
        (Some("POST"), Some("hello"))
    );
    assert_eq!(header(&seen, "host"), [lobby.host(APP)]);
    assert_eq!(header(&seen, "x-forwarded-host"), [lobby.host(APP)]);
    assert_eq!(header(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(header(&seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(header(&seen, "x-custom"), ["one"]);
    for gone in ["authorization", "te", "connection", "cookie"] {
        assert_eq!(header(&seen, gone), Vec::<&str>::new(), "{gone}");
    }
    let raw = format!(
        "GET /a%20b/../c?d=e&f HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        lobby.host(APP),
        lobby.token(&lobby.admin).await
    );
    let seen = lobby.raw(raw.as_bytes()).await;
    assert!(
        seen.contains(r#""uri":"/a%20b/../c?d=e&f""#),
        "the path is what was sent: {seen}"
    );
}

#[tokio::test]
async fn redirects_statuses_cookies_and_heads_come_back_as_the_app_gave_them() {
    let app = Router::new()
        .route(
            "/away",
            get(async || (StatusCode::FOUND, [("location", "https://pay.example/x")])),
        )
        .route(
            "/cookies",
            get(async || {
                let mut response = StatusCode::IM_A_TEAPOT.into_response();
                for cookie in [
                    "cart=1; Path=/",
                    "all=1; Domain=localhost",
                    "greenroom=stolen",
                    "__Host-greenroom=stolen",
                ] {
                    response.headers_mut().append("set-cookie", cookie.parse().unwrap());
                }
                response
            }),
        )
        .route("/page", get(async || "twelve bytes"));
    let lobby = Lobby::with(app).await;
    let away = lobby.signed("GET", "/away").await.send().await.unwrap();
    assert_eq!(
        (away.status().as_u16(), location(&away).as_str()),
        (302, "https://pay.example/x")
    );
    let cookies = lobby.signed("GET", "/cookies").await.send().await.unwrap();
    assert_eq!(cookies.status(), 418);
    let set: Vec<_> = cookies
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|v| v.to_str().unwrap())
        .collect();
    assert_eq!(set, ["cart=1; Path=/", "all=1"]);
    for name in ["content-security-policy", "x-frame-options", "x-request-id", "cache-control"] {
        assert!(!cookies.headers().contains_key(name), "{name} is the app's to say");
    }
    let head = lobby.signed("HEAD", "/page").await.send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "12");
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    let missing = lobby.signed("GET", "/none").await.send().await.unwrap();
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn uploads_pass_through_while_they_come_and_downloads_while_they_are_made() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 512;
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let upload = post(async move |body: Body| {
        let mut stream = body.into_data_stream();
        while let Some(piece) = stream.next().await {
            counted.fetch_add(piece.unwrap().len(), Ordering::SeqCst);
        }
        counted.load(Ordering::SeqCst).to_string()
    });
    let download = get(async || {
        let pieces = stream::iter(0..PIECES).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![7; PIECE])));
        Response::new(Body::from_stream(pieces))
    });
    let lobby = Lobby::with(Router::new().route("/up", upload).route("/down", download)).await;
    let (more, gate) = tokio::sync::mpsc::channel::<Bytes>(1);
    let gate = tokio::sync::Mutex::new(gate);
    let pieces = stream::unfold(gate, |gate| async {
        let piece = gate.lock().await.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), gate))
    });
    let upload = lobby.signed("POST", "/up").await.body(reqwest::Body::wrap_stream(pieces));
    let uploading = tokio::spawn(upload.send());
    more.send(Bytes::from(vec![1; PIECE])).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while seen.load(Ordering::SeqCst) < PIECE {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the app never sees what was sent so far"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 1..PIECES {
        more.send(Bytes::from(vec![1; PIECE])).await.unwrap();
    }
    drop(more);
    let answer = uploading.await.unwrap().unwrap().text().await.unwrap();
    assert_eq!(
        answer,
        (PIECE * PIECES).to_string(),
        "32 MiB, which is over the limit of the portal's own forms"
    );

    let down = lobby.signed("GET", "/down").await.send().await.unwrap();
    assert_eq!(down.bytes().await.unwrap().len(), PIECE * PIECES);
}

#[tokio::test]
async fn events_arrive_when_they_happen() {
    let next = Arc::new(Notify::new());
    let wait = Arc::clone(&next);
    let events = get(async move || {
        let events = stream::unfold(0, move |n| {
            let wait = Arc::clone(&wait);
            async move {
                if n > 0 {
                    wait.notified().await;
                }
                Some((Ok::<_, std::io::Error>(Bytes::from(format!("data: {n}\n\n"))), n + 1))
            }
        });
        ([("content-type", "text/event-stream")], Body::from_stream(events))
    });
    let lobby = Lobby::with(Router::new().route("/events", events)).await;
    let mut answer = lobby.signed("GET", "/events").await.send().await.unwrap();
    let patience = Duration::from_secs(10);
    for n in 0..3 {
        let piece = tokio::time::timeout(patience, answer.chunk())
            .await
            .expect("an event")
            .unwrap()
            .unwrap();
        assert_eq!(piece, format!("data: {n}\n\n"));
        next.notify_one();
    }
}

#[tokio::test]
async fn what_is_upgraded_becomes_a_line_in_both_directions() {
    let socket = any(async |mut request: Request| {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            let mut line = [0; 5];
            while stream.read_exact(&mut line).await.is_ok() {
                line.reverse();
                stream.write_all(&line).await.unwrap();
            }
        });
        let protocol = request.headers()["sec-websocket-protocol"].clone();
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        response.headers_mut().insert("connection", "upgrade".parse().unwrap());
        response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        response
    });
    let lobby = Lobby::with(Router::new().route("/socket", socket)).await;
    let mut stream = TcpStream::connect(lobby.address).await.unwrap();
    let ask = format!(
        "GET /socket HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Protocol: chat\r\n\r\n",
        lobby.host(APP),
        lobby.token(&lobby.admin).await
    );
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(
        head.contains("upgrade: websocket") && head.contains("sec-websocket-protocol: chat"),
        "{head}"
    );
    for (said, heard) in [("hello", "olleh"), ("12345", "54321")] {
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut line = [0; 5];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(std::str::from_utf8(&line).unwrap(), heard);
    }
    // A stranger is told so before anything is upgraded.
    let stranger = ask.replace("Authorization", "X-Nothing");
    assert!(lobby.raw(stranger.as_bytes()).await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn connections_to_an_app_are_used_again_and_a_closed_one_is_noticed() {
    let connections = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                // Three answers to a connection, the last without a word of warning.
                for _ in 0..3 {
                    while !seen.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => seen.push(byte),
                            Err(_) => return,
                        }
                    }
                    seen.clear();
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                        .await
                        .unwrap();
                }
            });
        }
    });
    let lobby = Lobby::before(upstream, super::lobby::Props::default()).await;
    let pass = lobby.pass(&lobby.session, APP).await;
    for _ in 0..12 {
        let answer = lobby.ask(APP, "GET", "/").header("cookie", &pass).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "ok"));
    }
    let made = connections.load(Ordering::SeqCst);
    assert!((4..=6).contains(&made), "{made} connections for twelve requests");
}

#[tokio::test]
async fn the_time_of_the_last_request_is_kept() {
    let lobby = Lobby::before(serve(Router::new().fallback(echo)).await, super::lobby::Props::default()).await;
    assert_eq!(lobby.control.last_used(&lobby.stack).await.unwrap(), None);
    lobby.signed("GET", "/").await.send().await.unwrap().bytes().await.unwrap();
    let used = lobby.control.last_used(&lobby.stack).await.unwrap();
    assert_eq!(used, Some(lobby.control.now()));
    assert_eq!(
        lobby.store.stack_use(&lobby.stack).await.unwrap(),
        None,
        "written once a minute at most"
    );
    lobby.clock.advance(1000);
    lobby.control.flush_usage().await.unwrap();
    assert_eq!(lobby.store.stack_use(&lobby.stack).await.unwrap(), used);
    // Who is turned away does not use it.
    lobby.ask(APP, "GET", "/").send().await.unwrap();
    assert_eq!(lobby.control.last_used(&lobby.stack).await.unwrap(), used);
}
