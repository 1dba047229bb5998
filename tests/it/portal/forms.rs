//! Pages over a server: signing in and out, themes, assets, forms that come back, and what only the script asks for.

use crate::api::server::{Answer, Ask, Server};
use greenroom::model::actor::Role;

pub(super) fn form(path: &str, body: &str) -> Ask {
    page(Ask::post(path))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.as_bytes().to_vec())
}

pub(super) fn page(ask: Ask) -> Ask {
    ask.header("accept", "text/html")
}

pub(super) fn holds(answer: &Answer, wanted: &[&str]) {
    for wanted in wanted {
        // The engine escapes more than it must.
        let text = answer.text.replace("&#x2f;", "/");
        assert!(text.contains(wanted), "{wanted:?} is missing in {answer:?}");
    }
}

#[tokio::test]
async fn someone_signs_in_goes_where_they_wanted_and_signs_out() {
    let server = Server::sqlite().await;
    let (ada, _) = server.account("ada", Role::Member).await;
    server.control.set_password(&ada, "correct horse battery").await.unwrap();

    let answer = server.send(page(Ask::get("/apps?q=a"))).await;
    assert_eq!(answer.header("location"), "/sign-in?next=/apps%3Fq%3Da");
    let answer = server.send(page(Ask::get("/sign-in?next=/apps%3Fq%3Da"))).await;
    holds(&answer, &["value=\"/apps?q=a\""]);

    let wrong = server
        .send(form("/sign-in", "name=ada&password=wrong&next=/apps%3Fq%3Da"))
        .await;
    assert_eq!(wrong.status, 401);
    holds(&wrong, &["value=\"ada\"", "value=\"/apps?q=a\"", "not right"]);
    assert_eq!(wrong.header("set-cookie"), "");

    let right = server
        .send(form("/sign-in", "name=ada&password=correct+horse+battery&next=/apps%3Fq%3Da"))
        .await;
    assert_eq!(right.status, 303);
    assert_eq!(right.header("location"), "/apps?q=a");
    let cookie = right.header("set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let session = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
    let home = server.send(page(Ask::get("/stacks")).session(&session)).await;
    holds(&home, &["Sign out", "ada", "New staging server"]);

    let out = server.send(form("/sign-out", "").session(&session)).await;
    assert_eq!(out.header("location"), "/sign-in");
    let gone = server.send(page(Ask::get("/stacks")).session(&session)).await;
    assert_eq!(gone.status, 303, "{gone:?}");
}

#[tokio::test]
async fn nobody_is_sent_to_another_site() {
    let server = Server::sqlite().await;
    let (ada, session) = server.account("ada", Role::Member).await;
    server.control.set_password(&ada, "correct horse battery").await.unwrap();
    for next in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F%5Cevil.example"] {
        let answer = server
            .send(form(
                "/sign-in",
                &format!("name=ada&password=correct+horse+battery&next={next}"),
            ))
            .await;
        assert_eq!(answer.header("location"), "/stacks", "{next}");
        let answer = server
            .send(page(Ask::get(&format!("/sign-in?next={next}"))).session(&session))
            .await;
        assert_eq!(answer.header("location"), "/stacks", "{next}");
        let answer = server.send(form("/theme", &format!("theme=dark&next={next}"))).await;
        assert_eq!(answer.header("location"), "/stacks", "{next}");
    }
}

#[tokio::test]
async fn a_one_time_link_is_used_up_by_its_button_only() {
    let server = Server::sqlite().await;
    let link = server.control.first_link().await.unwrap().unwrap();
    let path = link.url.strip_prefix("http://127.0.0.1:7400").unwrap();
    for _ in 0..2 {
        let answer = server.send(page(Ask::get(path))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("set-cookie"), "");
    }
    let answer = server.send(form(path, "")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/stacks"));
    let answer = server.send(form(path, "")).await;
    assert_eq!(answer.status, 410);
    holds(&answer, &["does not work any more"]);
}

#[tokio::test]
async fn the_chosen_light_is_remembered_without_script() {
    let server = Server::sqlite().await;
    let answer = server.send(form("/theme", "theme=dark&next=/sign-in")).await;
    assert!(answer.header("set-cookie").starts_with("greenroom-theme=dark;"), "{answer:?}");
    let answer = server
        .send(page(Ask::get("/errors")).header("cookie", "greenroom-theme=dark"))
        .await;
    holds(&answer, &["data-theme=\"dark\""]);
    let answer = server
        .send(page(Ask::get("/errors")).header("cookie", "greenroom-theme=\"><script>"))
        .await;
    assert!(!answer.text.contains("data-theme="), "{answer:?}");
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_the_address_that_pages_name() {
    let server = Server::sqlite().await;
    let answer = server.send(page(Ask::get("/sign-in"))).await;
    let text = answer.text.replace("&#x2f;", "/");
    let href = text
        .split('"')
        .find(|part| part.ends_with("greenroom.css"))
        .unwrap()
        .to_owned();
    let css = server.send(Ask::get(&href)).await;
    assert_eq!(css.header("content-type"), "text/css; charset=utf-8");
    assert!(
        css.header("cache-control").contains("immutable"),
        "{}",
        css.header("cache-control")
    );
    let etag = css.header("etag").to_owned();
    assert_eq!(server.send(Ask::get(&href).header("if-none-match", &etag)).await.status, 304);
    let old = server.send(Ask::get("/assets/0000000000000000/greenroom.css")).await;
    assert_eq!((old.status.as_u16(), old.header("cache-control")), (200, "no-cache"));
    for path in [
        "/assets/x/..%2Flayout.html",
        "/assets/x/layout.html",
        "/assets/x/..%2F..%2FCargo.toml",
    ] {
        assert_eq!(server.send(Ask::get(path)).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn unknown_pages_and_missing_roles_are_friendly_pages_with_a_request_id() {
    let server = Server::sqlite().await;
    let (_, session) = server.account("vera", Role::Viewer).await;
    let answer = server.send(page(Ask::get("/nowhere")).session(&session)).await;
    assert_eq!(answer.status, 404);
    holds(&answer, &["There is no such thing", answer.header("x-request-id")]);
    let answer = server.send(page(Ask::get("/stacks/new")).session(&session)).await;
    assert_eq!(answer.status, 403);
    holds(&answer, &["Your role does not allow this", "/errors/not-allowed"]);
    let answer = server.send(page(Ask::get("/errors/not-allowed"))).await;
    holds(&answer, &["Viewers look", "Next"]);
}

#[tokio::test]
async fn a_launch_that_is_refused_comes_back_as_it_was_typed() {
    let server = Server::sqlite().await;
    let (_, session) = server.account("ada", Role::Member).await;
    let body = "app=storefrnt&rev.storefrnt=v1&size=large&lease=8h&lease_other=soon&name=My+Demo&do=plan";
    let answer = server.send(form("/stacks/new", body).session(&session)).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    holds(
        &answer,
        &[
            "value=\"My Demo\"",
            "value=\"soon\"",
            "is not a length of time",
            "name=\"size\" value=\"large\" checked",
        ],
    );
}

#[tokio::test]
async fn an_app_is_added_in_the_editor_and_a_second_editor_loses_nothing() {
    let server = Server::sqlite().await;
    let (_, session) = server.account("olga", Role::Operator).await;
    let broken = server
        .send(form("/apps/new", "text=%7B%22kind%22%3A+%22Ap%22%7D").session(&session))
        .await;
    assert_eq!(broken.status, 422, "{broken:?}");
    holds(&broken, &["{&quot;kind&quot;: &quot;Ap&quot;}", "class=\"finding bad\""]);
    let checked = server
        .send(
            form("/apps/check", "text=%7B%7D")
                .session(&session)
                .header("x-greenroom-fragment", "1"),
        )
        .await;
    holds(&checked, &["data-fragment", "would be refused"]);
    assert!(!checked.text.contains("<header"), "{checked:?}");
}

#[tokio::test]
async fn a_token_is_shown_in_the_answer_that_made_it_and_revoked_with_a_button() {
    let server = Server::sqlite().await;
    let (ada, session) = server.account("ada", Role::Member).await;
    let made = server
        .send(form("/account/tokens", "name=laptop&role=member&expires_in=30d").session(&session))
        .await;
    assert_eq!(made.status, 200);
    holds(&made, &["grt_", "shown this once"]);
    let token = server.control.list_tokens(&ada).await.unwrap().remove(0);
    let again = server.send(page(Ask::get("/account")).session(&session)).await;
    assert!(!again.text.contains("grt_"), "{again:?}");
    let path = format!("/account/tokens/{}/revoke", token.id);
    let revoked = server.send(form(&path, "").session(&session)).await;
    assert_eq!(revoked.header("location"), "/account?said=revoked");
    assert!(server.control.list_tokens(&ada).await.unwrap().is_empty());
    let refused = server
        .send(form("/account/password", "password=long+enough+one&again=another+one").session(&session))
        .await;
    assert_eq!(refused.status, 400);
    holds(&refused, &["not the same as the first"]);
}

#[tokio::test]
async fn only_known_sentences_can_be_put_on_a_page() {
    let server = Server::sqlite().await;
    let (_, session) = server.account("ada", Role::Member).await;
    let answer = server.send(page(Ask::get("/account?said=revoked")).session(&session)).await;
    holds(&answer, &["The token was revoked"]);
    let answer = server.send(page(Ask::get("/account?said=evil")).session(&session)).await;
    assert!(
        !answer.text.contains("role=\"status\" data-said") && !answer.text.contains("data-said"),
        "{answer:?}"
    );
}
