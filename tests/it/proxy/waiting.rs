//! What is answered where no app does.

use super::lobby::{APP, Lobby, Props, location};
use axum::Router;
use greenroom::model::stack::StackState;
use std::net::TcpListener;

async fn shop() -> Lobby {
    Lobby::with(Router::new().fallback(async || "the shop")).await
}

#[tokio::test]
async fn unknown_names_are_clear_and_other_names_are_the_portals() {
    let lobby = shop().await;
    for label in [
        "none--lucky-duet",
        "shop--none",
        "shop--lucky-duet--shop",
        "http--shop--lucky-duet",
    ] {
        let answer = lobby.ask(label, "GET", "/").send().await.unwrap();
        assert_eq!(answer.status(), 404, "{label}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let page = lobby
            .ask(label, "GET", "/")
            .header("accept", "text/html")
            .send()
            .await
            .unwrap();
        assert_eq!(page.status(), 404);
        let text = page.text().await.unwrap();
        assert!(
            text.contains("There is no app at the address") && text.contains(label),
            "{text}"
        );
    }
    let portal = lobby
        .ask("greenroom", "GET", "/")
        .header("accept", "text/html")
        .send()
        .await
        .unwrap();
    assert_eq!(location(&portal), "/sign-in");
}

#[tokio::test]
async fn a_stack_that_does_not_serve_says_why_and_when_to_come_back() {
    let lobby = shop().await;
    let pass = lobby.pass(&lobby.session, APP).await;
    let ask = |accept: &str| lobby.ask(APP, "GET", "/").header("cookie", &pass).header("accept", accept);
    for (state, status, retry, says) in [
        (StackState::Building, 503, true, "is getting ready"),
        (StackState::Starting, 503, true, "is waking up"),
        (StackState::Stopping, 503, true, "is going to sleep"),
        (StackState::Stopped, 503, false, "sleeps"),
        (StackState::Failed, 503, false, "could not be started"),
        (StackState::Destroying, 404, false, "is being taken down"),
        (StackState::Destroyed, 404, false, "is gone"),
    ] {
        lobby.change(|stack| stack.state = state).await;
        let page = ask("text/html").send().await.unwrap();
        assert_eq!(page.status().as_u16(), status, "{state}");
        assert_eq!(page.headers().contains_key("retry-after"), retry, "{state}");
        assert_eq!(page.headers()["cache-control"], "no-store");
        let text = page.text().await.unwrap();
        assert!(text.contains(&format!("lucky-duet {says}")), "{state}: {text}");
        assert!(
            text.contains(&format!("/stacks/{}", lobby.stack)),
            "who is signed in gets there: {text}"
        );
        assert_eq!(text.contains("waiting.js"), retry, "{state}");
        let problem = ask("*/*").send().await.unwrap();
        assert_eq!(problem.status().as_u16(), status);
        assert!(problem.text().await.unwrap().contains(says), "{state}");
        // A stranger is not told before it is known who they are.
        assert_eq!(lobby.ask(APP, "GET", "/").send().await.unwrap().status(), 401, "{state}");
    }
}

#[tokio::test]
async fn the_page_gives_way_to_the_app_as_soon_as_it_serves() {
    let lobby = shop().await;
    let pass = lobby.pass(&lobby.session, APP).await;
    lobby.change(|stack| stack.state = StackState::Building).await;
    let ask = |path: &str| lobby.ask(APP, "GET", path).header("cookie", &pass);
    assert_eq!(ask("/").send().await.unwrap().status(), 503);
    let mut changes = ask("/.greenroom/changes").send().await.unwrap();
    assert_eq!(changes.headers()["content-type"], "text/event-stream");
    let next = async |changes: &mut reqwest::Response| {
        let piece = tokio::time::timeout(std::time::Duration::from_secs(10), changes.chunk()).await;
        String::from_utf8(piece.expect("an event").unwrap().unwrap().to_vec()).unwrap()
    };
    assert!(next(&mut changes).await.contains("event: ready"));
    lobby.change(|stack| stack.state = StackState::Ready).await;
    assert!(next(&mut changes).await.contains("event: changed"));
    assert_eq!(ask("/").send().await.unwrap().text().await.unwrap(), "the shop");
    assert_eq!(
        lobby.ask(APP, "GET", "/.greenroom/changes").send().await.unwrap().status(),
        401
    );
    let assets = ask("/.greenroom/assets/x/waiting.js").send().await.unwrap();
    assert_eq!(assets.headers()["content-type"], "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn an_app_that_does_not_answer_is_told_from_one_that_waits() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let lobby = Lobby::before(nobody, Props::default()).await;
    let problem = lobby.signed("GET", "/").await.send().await.unwrap();
    assert_eq!(problem.status(), 502);
    assert!(problem.text().await.unwrap().contains("app-unreachable"));
    let page = lobby
        .signed("POST", "/")
        .await
        .header("accept", "text/html")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 502);
    let text = page.text().await.unwrap();
    assert!(
        text.contains("The shop does not answer") && text.contains(&format!("/stacks/{}", lobby.stack)),
        "{text}"
    );
}

#[tokio::test]
async fn something_that_is_not_http_is_a_bad_gateway() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"220 smtp.example ESMTP\r\n").await;
        }
    });
    let lobby = Lobby::before(upstream, Props::default()).await;
    assert_eq!(lobby.signed("GET", "/").await.send().await.unwrap().status(), 502);
}
