//! Sharing: guest links from the first click to the end, people who may look or change, and waking from outside.

use super::lobby::{APP, INTERNAL, Lobby, location};
use axum::Router;
use greenroom::control::ControlError;
use greenroom::model::actor::{Actor, Role};
use greenroom::model::sharing::{ShareLevel, Visibility};
use greenroom::model::stack::StackState;
use greenroom::wire::sharing::{GuestLinkView, NewGuestLink, RenewGuestLink, Share, SharingRequest};
use greenroom::wire::stacks::ExtendRequest;

async fn shop() -> Lobby {
    Lobby::with(Router::new().fallback(async || "the shop")).await
}

async fn link(lobby: &Lobby, expires_in: &str) -> GuestLinkView {
    let request = NewGuestLink {
        name: "Ms Lindqvist".into(),
        expires_in: Some(expires_in.into()),
    };
    lobby
        .control
        .create_guest_link(&lobby.admin, "lucky-duet", &request)
        .await
        .unwrap()
}

/// The path and the secret of a link's only address.
fn parts(lobby: &Lobby, link: &GuestLinkView) -> (String, String) {
    assert_eq!(link.addresses.len(), 1, "only the port that is meant for people: {link:?}");
    let path = link.addresses[0].url.split_once(&lobby.host(APP)).unwrap().1.to_owned();
    let secret = path.rsplit('/').next().unwrap().to_owned();
    (path, secret)
}

#[tokio::test]
async fn a_guest_gets_in_by_a_link_alone_and_only_to_what_is_meant_for_people() {
    let lobby = shop().await;
    let link = link(&lobby, "2d").await;
    let (path, secret) = parts(&lobby, &link);
    let opened = lobby
        .ask(APP, "GET", &path)
        .header("accept", "text/html")
        .send()
        .await
        .unwrap();
    assert_eq!((opened.status().as_u16(), location(&opened).as_str()), (303, "/"));
    let cookie = opened.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.starts_with("greenroom-pass=grg_") && cookie.contains("; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let pass = cookie.split(';').next().unwrap();
    let page = lobby.ask(APP, "GET", "/").header("cookie", pass).send().await.unwrap();
    assert_eq!(page.text().await.unwrap(), "the shop");
    let inside = lobby.ask(INTERNAL, "GET", "/").header("cookie", pass).send().await.unwrap();
    assert_eq!(inside.status(), 403);
    assert_eq!(lobby.ask(INTERNAL, "GET", &path).send().await.unwrap().status(), 404);
    let program = lobby
        .ask(APP, "POST", "/hook")
        .header("x-greenroom-pass", &secret)
        .send()
        .await
        .unwrap();
    assert_eq!(program.status(), 200);
    // It opens a shop and no portal.
    let portal = lobby
        .ask("portal", "GET", "/api/v1/stacks")
        .bearer_auth(&secret)
        .send()
        .await
        .unwrap();
    assert_eq!(portal.status(), 401);
    let shown = lobby.control.show_sharing(&lobby.admin, "lucky-duet").await.unwrap();
    assert_eq!(shown.guest_links.len(), 1);
    assert!(shown.guest_links[0].addresses.is_empty(), "the secret is shown once");
}

#[tokio::test]
async fn a_link_that_has_ended_says_so_and_whom_to_ask() {
    let lobby = shop().await;
    let status = async |path: &str, pass: &str| {
        let ask = lobby.ask(APP, "GET", path).header("cookie", format!("greenroom-pass={pass}"));
        let answer = ask.header("accept", "text/html").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let first = link(&lobby, "1h").await;
    let (path, secret) = parts(&lobby, &first);
    assert_eq!(status("/", &secret).await.0, 200);
    let renewed = lobby
        .control
        .renew_guest_link(&lobby.admin, "lucky-duet", first.id.as_str(), &RenewGuestLink::default())
        .await
        .unwrap();
    let (new_path, new_secret) = parts(&lobby, &renewed);
    for (path, pass) in [("/", secret.as_str()), (path.as_str(), "")] {
        let (code, page) = status(path, pass).await;
        assert!(
            code == 410 && page.contains("The link has ended") && page.contains("replaced"),
            "{code} {page}"
        );
    }
    assert_eq!(status("/", &new_secret).await.0, 200);
    lobby.clock.advance(3_600_001);
    for (path, pass) in [("/", new_secret.as_str()), (new_path.as_str(), "")] {
        let (code, page) = status(path, pass).await;
        assert!(code == 410 && page.contains("Ask admin for another one"), "{code} {page}");
    }
    let second = link(&lobby, "1h").await;
    let (_, secret) = parts(&lobby, &second);
    assert_eq!(status("/", &secret).await.0, 200);
    let revoke = lobby
        .control
        .revoke_guest_link(&lobby.admin, "lucky-duet", second.id.as_str());
    revoke.await.unwrap();
    let (code, page) = status("/", &secret).await;
    assert!(code == 410 && page.contains("taken back"), "{page}");
    let history = lobby
        .control
        .audit(&lobby.admin, Some(lobby.stack.as_str()), None, 20)
        .await
        .unwrap();
    let verbs: Vec<_> = history.iter().rev().map(|row| row.verb.as_str()).collect();
    assert_eq!(
        verbs,
        [
            "guest_link.create",
            "guest_link.renew",
            "guest_link.create",
            "guest_link.revoke"
        ]
    );
    assert!(history.iter().all(|row| !row.detail.contains("grg_")), "{history:?}");
}

async fn share(lobby: &Lobby, actor: &Actor, name: &str, level: ShareLevel) -> Result<(), ControlError> {
    let share = vec![Share {
        name: name.into(),
        level,
    }];
    let request = SharingRequest {
        share,
        ..SharingRequest::default()
    };
    lobby.control.change_sharing(actor, "lucky-duet", &request).await.map(|_| ())
}

#[tokio::test]
async fn whom_a_stack_is_shared_with_may_look_or_change_as_was_said() {
    let lobby = shop().await;
    let (friend, session) = lobby.account("friend", Role::Member).await;
    let (onlooker, _) = lobby.account("onlooker", Role::Viewer).await;
    let private = SharingRequest {
        visibility: Some(Visibility::Private),
        ..SharingRequest::default()
    };
    lobby
        .control
        .change_sharing(&lobby.admin, "lucky-duet", &private)
        .await
        .unwrap();
    let to = lobby.host(APP);
    let enter = format!("/enter?to=http://{to}/");
    let portal = || {
        lobby
            .ask("portal", "GET", &enter)
            .header("cookie", format!("greenroom={session}"))
    };
    assert_eq!(portal().send().await.unwrap().status(), 403);
    let extend = ExtendRequest { lease: "1h".into() };
    share(&lobby, &lobby.admin, "friend", ShareLevel::View).await.unwrap();
    let pass = lobby.pass(&session, APP).await;
    let look = async || {
        lobby
            .ask(APP, "GET", "/")
            .header("cookie", &pass)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(look().await, 200);
    let refused = lobby.control.extend_stack(&friend, "lucky-duet", &extend).await.unwrap_err();
    assert_eq!(refused.fault.code, "not-allowed");
    assert_eq!(
        share(&lobby, &friend, "onlooker", ShareLevel::View)
            .await
            .unwrap_err()
            .fault
            .code,
        "not-allowed"
    );

    share(&lobby, &lobby.admin, "friend", ShareLevel::Change).await.unwrap();
    let stack = lobby.control.extend_stack(&friend, "lucky-duet", &extend).await.unwrap();
    assert!(
        stack.actions.contains(&"share".to_owned()) && !stack.mine,
        "{:?}",
        stack.actions
    );
    share(&lobby, &friend, "onlooker", ShareLevel::Change).await.unwrap();
    let refused = lobby
        .control
        .extend_stack(&onlooker, "lucky-duet", &extend)
        .await
        .unwrap_err();
    assert_eq!(refused.fault.code, "not-allowed", "a viewer changes nothing, whoever shares");

    let unshare = SharingRequest {
        unshare: vec!["friend".into()],
        ..SharingRequest::default()
    };
    lobby
        .control
        .change_sharing(&lobby.admin, "lucky-duet", &unshare)
        .await
        .unwrap();
    assert_eq!(look().await, 403);
    assert!(lobby.control.extend_stack(&friend, "lucky-duet", &extend).await.is_err());
    let missing = share(&lobby, &lobby.admin, "nobody", ShareLevel::View).await.unwrap_err();
    assert_eq!(missing.fields[0].field, "share");
}

#[tokio::test]
async fn whoever_may_look_may_wake_what_sleeps() {
    let lobby = shop().await;
    let (_, secret) = parts(&lobby, &link(&lobby, "1d").await);
    lobby.change(|stack| stack.state = StackState::Stopped).await;
    let ask = |method: &str, path: &str| {
        let ask = lobby.ask(APP, method, path).header("accept", "text/html");
        ask.header("cookie", format!("greenroom-pass={secret}"))
    };
    let page = ask("GET", "/").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("action=\"/.greenroom/wake\""), "{page}");
    assert!(!page.contains("/stacks/stk_"), "a guest is not sent into the portal: {page}");
    let other = ask("POST", "/.greenroom/wake").header("origin", "http://evil.example");
    assert_eq!(other.send().await.unwrap().status(), 403);
    assert_eq!(lobby.ask(APP, "POST", "/.greenroom/wake").send().await.unwrap().status(), 401);
    assert_eq!(ask("GET", "/.greenroom/wake").send().await.unwrap().status(), 404);
    let origin = format!("http://{}", lobby.host(APP));
    let woken = ask("POST", "/.greenroom/wake").header("origin", origin).send().await.unwrap();
    assert_eq!((woken.status().as_u16(), location(&woken).as_str()), (303, "/"));
    let stack = lobby.control.show_stack(&lobby.admin, "lucky-duet").await.unwrap();
    assert_eq!(stack.state, StackState::Starting);
    let page = ask("GET", "/").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("is waking up") && page.contains("Step <b>1 of"), "{page}");
}
