//! The event stream, and what waits when the server stops. These need a real connection.

use super::server::{Ask, Server};
use axum::body::BodyDataStream;
use futures_util::StreamExt;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(10);

async fn next(stream: &mut BodyDataStream) -> String {
    let chunk = tokio::time::timeout(PATIENCE, stream.next()).await.expect("an event in time");
    String::from_utf8(chunk.expect("the stream goes on").unwrap().to_vec()).unwrap()
}

async fn touch(server: &Server, topics: &[&str]) {
    let mut tx = server.store.journal().await.unwrap();
    for topic in topics {
        tx.touch(*topic);
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_stream_tells_of_the_topics_asked_for_and_ends_when_the_server_stops() {
    let server = Server::sqlite().await;
    let (admin, _) = server.admin().await;
    let token = server.token(&admin).await;
    let ask = Ask::get("/api/v1/events?topics=stack:,run:run_1").token(&token);
    let response = server.open(ask.header("accept-encoding", "gzip")).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(
        !response.headers().contains_key("content-encoding"),
        "a packed stream would come late"
    );
    let mut stream = response.into_body().into_data_stream();
    assert!(next(&mut stream).await.contains("event: ready"));
    touch(&server, &["run:run_2", "apps"]).await;
    touch(&server, &["stack:stk_7", "apps", "run:run_1"]).await;
    let event = next(&mut stream).await;
    assert!(event.contains("event: changed\n"), "{event}");
    assert!(event.contains(r#"data: {"topics":["run:run_1","stack:stk_7"]}"#), "{event}");
    server.state.shutdown.cancel();
    assert!(tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_burst_is_one_event() {
    let server = Server::sqlite().await;
    let (admin, _) = server.admin().await;
    let token = server.token(&admin).await;
    let response = server.open(Ask::get("/api/v1/events?topics=run:").token(&token)).await;
    let mut stream = response.into_body().into_data_stream();
    next(&mut stream).await;
    // The stream is not polled meanwhile, so all of them are waiting when it is.
    for n in 0..20 {
        touch(&server, &[&format!("run:{n:02}")]).await;
    }
    let event = next(&mut stream).await;
    assert!(event.contains("run:00") && event.contains("run:19"), "{event}");
}

#[tokio::test]
async fn stopping_does_not_wait_for_streams_and_idle_connections() {
    let server = Server::sqlite().await;
    let (admin, _) = server.admin().await;
    let token = server.token(&admin).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = tokio::spawn(greenroom::http::serve(listener, None, server.state.clone()));
    let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut open = tokio::net::TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET /api/v1/events?topics=stacks HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
    open.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains("event: ready") {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, open.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    let start = Instant::now();
    server.state.shutdown.cancel();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "took {:?}", start.elapsed());
    let _ = idle.shutdown().await;
}
