//! Who may pass: everyone against every kind of door, and the ways in.

use super::lobby::{APP, INTERNAL, Lobby, Props, location, serve};
use axum::Router;
use greenroom::model::actor::Role;
use greenroom::model::address::encode;
use greenroom::model::sharing::{ShareLevel, Visibility};

async fn shop() -> Lobby {
    Lobby::with(Router::new().fallback(async || "the shop")).await
}

#[tokio::test]
async fn each_visibility_lets_in_whom_it_should() {
    let lobby = shop().await;
    let mut people = vec![("stranger", None)];
    people.push(("owner", Some(lobby.session.clone())));
    let (friend, session) = lobby.account("friend", Role::Viewer).await;
    people.push(("friend", Some(session)));
    for (name, role) in [
        ("viewer", Role::Viewer),
        ("member", Role::Member),
        ("operator", Role::Operator),
    ] {
        people.push((name, Some(lobby.account(name, role).await.1)));
    }
    let mut passes = Vec::new();
    for (name, session) in &people {
        for label in [APP, INTERNAL] {
            let pass = match session {
                Some(session) => Some(lobby.pass(session, label).await),
                None => None,
            };
            passes.push((*name, label, pass));
        }
    }
    for visibility in Visibility::ALL {
        let mut tx = lobby.store.journal().await.unwrap();
        tx.set_visibility(&lobby.stack, *visibility).await.unwrap();
        tx.set_share(&lobby.stack, friend.user_id().unwrap(), ShareLevel::View)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        lobby.clock.advance(10_000);
        for (name, label, pass) in &passes {
            let mut ask = lobby.ask(label, "GET", "/");
            if let Some(pass) = pass {
                ask = ask.header("cookie", pass);
            }
            let status = ask.send().await.unwrap().status().as_u16();
            let wanted = match (*visibility, *name) {
                (Visibility::Public, "stranger") if *label == APP => 200,
                (_, "stranger") => 401,
                (Visibility::Private, "viewer" | "member") => 403,
                _ => 200,
            };
            assert_eq!(status, wanted, "{name} at {label}, {visibility}");
        }
    }
}

#[tokio::test]
async fn a_browser_is_sent_to_the_portal_and_comes_back_with_a_pass_of_that_address_only() {
    let lobby = shop().await;
    let browser = |label: &str, path: &str| lobby.ask(label, "GET", path).header("accept", "text/html");
    let page = format!("http://{}/books?page=2", lobby.host(APP));
    let first = browser(APP, "/books?page=2").send().await.unwrap();
    assert_eq!(
        (first.status().as_u16(), location(&first)),
        (303, format!("http://localhost:7400/enter?to={}", encode(&page)))
    );
    assert_eq!(first.headers()["cache-control"], "no-store");

    let enter = format!("/enter?to={}", encode(&page));
    let unknown = browser("portal", &enter).send().await.unwrap();
    assert_eq!(location(&unknown), format!("/sign-in?next={}", encode(&enter)));
    let form = browser("portal", &location(&unknown)).send().await.unwrap();
    let policy = form.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        policy.contains(&format!("form-action 'self' http://*.localhost:{};", lobby.address.port())),
        "{policy}"
    );

    let session = format!("greenroom={}", lobby.session);
    let known = browser("portal", &enter).header("cookie", &session).send().await.unwrap();
    let code = location(&known);
    let path = code.strip_prefix(&format!("http://{}", lobby.host(APP))).expect(&code);
    assert!(path.starts_with("/.greenroom/enter?code="), "{path}");
    // At another address the code is worth nothing, and is still good afterwards where it belongs.
    assert_eq!(lobby.ask(INTERNAL, "GET", path).send().await.unwrap().status(), 410);
    let entered = browser(APP, path).send().await.unwrap();
    assert_eq!(
        (entered.status().as_u16(), location(&entered).as_str()),
        (303, "/books?page=2")
    );
    assert_eq!(entered.headers()["referrer-policy"], "no-referrer");
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.starts_with("greenroom-pass=") && cookie.contains("; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    assert!(!cookie.to_lowercase().contains("domain"), "{cookie}");
    let pass = cookie.split(';').next().unwrap();
    let books = browser(APP, "/books?page=2").header("cookie", pass).send().await.unwrap();
    assert_eq!(books.text().await.unwrap(), "the shop");
    assert_eq!(
        lobby
            .ask(INTERNAL, "GET", "/")
            .header("cookie", pass)
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    assert_eq!(browser(APP, path).send().await.unwrap().status(), 410, "a code is good once");

    // The portal's own session is nothing at an app's address, and a pass is nothing in the portal.
    assert_eq!(
        lobby
            .ask(APP, "GET", "/")
            .header("cookie", &session)
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    let portal = lobby
        .ask("portal", "GET", "/api/v1/stacks")
        .header("cookie", pass.replace("-pass", ""));
    assert_eq!(portal.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_pass_ends_with_the_session_and_with_the_account() {
    let lobby = shop().await;
    let (viewer, session) = lobby.account("viewer", Role::Viewer).await;
    let status = async |pass: &str| {
        lobby
            .ask(APP, "GET", "/")
            .header("cookie", pass)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let pass = lobby.pass(&session, APP).await;
    assert_eq!(status(&pass).await, 200);
    lobby.control.sign_out(&session).await.unwrap();
    lobby.clock.advance(10_000);
    assert_eq!(status(&pass).await, 401);
    let token = lobby.token(&viewer).await;
    let with_token = async || {
        lobby
            .ask(APP, "GET", "/")
            .bearer_auth(&token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(with_token().await, 200);
    lobby
        .control
        .change_user(&lobby.admin, "viewer", None, Some(true))
        .await
        .unwrap();
    assert_eq!(with_token().await, 401);
}

#[tokio::test]
async fn the_portal_hands_over_to_addresses_of_ours_only() {
    let lobby = shop().await;
    let host = lobby.host(APP);
    for to in [
        "https://evil.example/".to_owned(),
        format!("http://{host}.evil.example/"),
        format!("http://evil@{host}/"),
        format!("https://{host}/"),
        format!("http://none--{host}/"),
        format!("//{host}/"),
        String::new(),
    ] {
        let enter = lobby.ask("portal", "GET", &format!("/enter?to={}", encode(&to)));
        let answer = enter
            .header("cookie", format!("greenroom={}", lobby.session))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 404, "{to}");
    }
}

#[tokio::test]
async fn over_tls_the_cookie_is_bound_to_host_and_tls() {
    let upstream = serve(Router::new().fallback(async || "the shop")).await;
    let props = Props {
        url: "https://*.stage.example.org".into(),
        portal: "https://greenroom.example.org".into(),
    };
    let lobby = Lobby::before(upstream, props).await;
    let to = encode("https://shop--lucky-duet.stage.example.org/");
    let ask = |host: &str, path: &str| {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let url = format!("http://{}{path}", lobby.address);
        http.build().unwrap().get(url).header("host", host)
    };
    let session = format!("__Host-greenroom={}", lobby.session);
    let enter = ask("greenroom.example.org", &format!("/enter?to={to}"));
    let code = location(&enter.header("cookie", session).send().await.unwrap());
    let path = code.strip_prefix("https://shop--lucky-duet.stage.example.org").expect(&code);
    let entered = ask("SHOP--lucky-duet.stage.example.org", path).send().await.unwrap();
    let cookie = entered.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-greenroom-pass=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
    assert!(cookie.contains("Path=/;"), "{cookie}");
}
