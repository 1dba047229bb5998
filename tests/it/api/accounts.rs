//! The lives of accounts, sessions, tokens and links, on both databases.

use super::server::{Ask, Server, secret_of};
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use greenroom::model::actor::Role;
use greenroom::wire::auth::NewToken;
use serde_json::json;

const DAY: i64 = 24 * 3600 * 1000;

#[tokio::test]
async fn the_first_start_makes_an_admin_and_a_link_and_later_ones_do_not() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let link = server.control.first_link().await.unwrap().expect("there is no account yet");
        assert!(link.url.starts_with("http://127.0.0.1:7400/sign-in/link/"), "{}", link.url);
        assert!(server.control.first_link().await.unwrap().is_none());
        let secret = secret_of(&link.url);
        assert_eq!(server.control.show_login_link(secret).await.unwrap(), "admin");
        let session = server.control.sign_in_with_link(secret).await.unwrap();
        let me = server.send(Ask::get("/api/v1/me").session(&session)).await.json();
        assert_eq!((&me["name"], &me["role"]), (&json!("admin"), &json!("admin")));
    }
}

#[tokio::test]
async fn a_link_works_once_and_for_a_day() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        server.admin().await;
        let link = server.control.system_login_link("admin").await.unwrap();
        let secret = secret_of(&link.url);
        server
            .control
            .show_login_link(secret)
            .await
            .expect("looking does not use it up");
        server.control.sign_in_with_link(secret).await.unwrap();
        let again = server.control.sign_in_with_link(secret).await.unwrap_err();
        assert_eq!(again.fault.code, "not-signed-in");
        let link = server.control.system_login_link("admin").await.unwrap();
        server.clock.advance(DAY);
        assert!(server.control.sign_in_with_link(secret_of(&link.url)).await.is_err());
    }
}

#[tokio::test]
async fn two_who_open_one_link_at_once_get_one_session() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        server.admin().await;
        let link = server.control.system_login_link("admin").await.unwrap();
        let secret = secret_of(&link.url);
        let (one, two) = tokio::join!(
            server.control.sign_in_with_link(secret),
            server.control.sign_in_with_link(secret)
        );
        assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1);
    }
}

#[tokio::test]
async fn a_session_lasts_thirty_days_or_until_one_signs_out() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (admin, session) = server.admin().await;
        server.clock.advance(30 * DAY - 1);
        server.control.authenticate_session(&session).await.unwrap();
        server.clock.advance(1);
        assert!(server.control.authenticate_session(&session).await.is_err());
        let (_, session) = server.admin().await;
        server.control.sign_out(&session).await.unwrap();
        assert!(server.control.authenticate_session(&session).await.is_err());
        server
            .control
            .sign_out(&session)
            .await
            .expect("signing out twice is signing out once");
        let (_, session) = server.admin().await;
        server.control.sign_out_everywhere(&admin).await.unwrap();
        assert!(server.control.authenticate_session(&session).await.is_err());
    }
}

#[tokio::test]
async fn a_password_signs_in_and_a_wrong_one_says_nothing_about_the_name() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (admin, _) = server.admin().await;
        let before = server.control.sign_in("admin", "").await.unwrap_err();
        server.control.set_password(&admin, "correct horse battery").await.unwrap();
        let session = server.control.sign_in(" Admin ", "correct horse battery").await.unwrap();
        server.control.authenticate_session(&session).await.unwrap();
        let wrong = server.control.sign_in("admin", "correct house battery").await.unwrap_err();
        let nobody = server.control.sign_in("nobody", "correct horse battery").await.unwrap_err();
        let hostile = server.control.sign_in("../admin\n", "x").await.unwrap_err();
        assert_eq!(wrong, nobody);
        assert_eq!(wrong, hostile);
        assert_eq!(wrong, before);
        let short = server.control.set_password(&admin, "short").await.unwrap_err();
        assert_eq!(short.fields[0].field, "password");
    }
}

#[tokio::test]
async fn guessing_a_password_is_stopped_for_a_minute() {
    let server = Server::sqlite().await;
    let (admin, _) = server.admin().await;
    server.control.set_password(&admin, "correct horse battery").await.unwrap();
    for _ in 0..10 {
        let error = server.control.sign_in("admin", "wrong").await.unwrap_err();
        assert_eq!(error.fault.code, "not-signed-in");
    }
    let error = server.control.sign_in("admin", "correct horse battery").await.unwrap_err();
    assert_eq!(error.fault.code, "too-many-attempts");
    server.clock.advance(60_000);
    server.control.sign_in("admin", "correct horse battery").await.unwrap();
}

#[tokio::test]
async fn a_token_is_shown_once_marked_when_used_and_gone_when_revoked() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (_, session) = server.account("ada", Role::Member).await;
        let ask = Ask::post("/api/v1/tokens")
            .session(&session)
            .json(&json!({"name": "ci", "expires_in": "2d"}));
        let made = server.send(ask).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let made = made.json();
        let secret = made["secret"].as_str().unwrap();
        assert!(secret.starts_with("grt_") && secret.len() == 68, "{secret}");
        assert_eq!(server.send(Ask::get("/api/v1/me").token(secret)).await.json()["name"], "ada");
        let list = server.send(Ask::get("/api/v1/tokens").token(secret)).await;
        assert!(!list.text.contains(secret) && !list.text.contains("secret"), "{list:?}");
        let list = list.json();
        assert_eq!(list["total"], 1);
        assert!(list["items"][0]["used_at"].is_string(), "{list}");
        server.clock.advance(2 * DAY);
        assert_eq!(
            server.send(Ask::get("/api/v1/me").token(secret)).await.status,
            StatusCode::UNAUTHORIZED
        );
        let (actor, _) = server.admin().await;
        let token = server.token(&actor).await;
        let id = server.control.list_tokens(&actor).await.unwrap()[0].id.to_string();
        let gone = server
            .send(Ask::new("DELETE", &format!("/api/v1/tokens/{id}")).token(&token))
            .await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        assert_eq!(
            server.send(Ask::get("/api/v1/me").token(&token)).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
}

#[tokio::test]
async fn only_hashes_are_stored_and_the_audit_holds_no_secret() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let link = server.control.first_link().await.unwrap().unwrap();
        let session = server.control.sign_in_with_link(secret_of(&link.url)).await.unwrap();
        let admin = server.control.authenticate_session(&session).await.unwrap();
        server.control.set_password(&admin, "correct horse battery").await.unwrap();
        let token = server.token(&admin).await;
        let audit = server.store.audit(None, None, 100).await.unwrap();
        let verbs: Vec<&str> = audit.iter().rev().map(|row| row.verb.as_str()).collect();
        assert_eq!(verbs, ["user.create", "session.start", "user.set_password", "token.create"]);
        let text = format!("{audit:?}");
        for secret in [secret_of(&link.url), &session, "correct horse battery", &token, "$argon2"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(
            server.store.token_user(&token).await.unwrap().is_none(),
            "a token is found by its hash only"
        );
        assert!(server.store.session_user(&session).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once_and_stays_out_when_enabled() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (ada, session) = server.account("ada", Role::Member).await;
        let token = server.token(&ada).await;
        server.control.set_password(&ada, "correct horse battery").await.unwrap();
        let (admin, _) = server.admin().await;
        let link = server.control.create_login_link(&admin, "ada").await.unwrap();
        for disabled in [true, false] {
            let user = server.control.change_user(&admin, "ada", None, Some(disabled)).await.unwrap();
            assert_eq!((user.disabled, user.role), (disabled, Role::Member));
            assert!(server.control.authenticate_session(&session).await.is_err());
            assert!(server.control.authenticate_token(&token).await.is_err());
            assert!(server.control.sign_in_with_link(secret_of(&link.url)).await.is_err());
            let with_password = server.control.sign_in("ada", "correct horse battery").await;
            assert_eq!(with_password.is_err(), disabled);
            assert_eq!(server.control.create_login_link(&admin, "ada").await.is_err(), disabled);
        }
    }
}

#[tokio::test]
async fn the_last_admin_stays_one_even_when_two_demote_each_other() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (admin, _) = server.admin().await;
        let error = server
            .control
            .change_user(&admin, "admin", Some(Role::Viewer), None)
            .await
            .unwrap_err();
        assert_eq!(error.fault.code, "conflict");
        let error = server
            .control
            .change_user(&admin, "admin", None, Some(true))
            .await
            .unwrap_err();
        assert_eq!(error.fault.code, "conflict");
        let (grace, _) = server.account("grace", Role::Admin).await;
        let (one, two) = tokio::join!(
            server.control.change_user(&grace, "admin", Some(Role::Viewer), None),
            server.control.change_user(&admin, "grace", Some(Role::Viewer), None),
        );
        assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1);
    }
}

#[tokio::test]
async fn a_token_never_exceeds_its_account() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (ada, _) = server.account("ada", Role::Operator).await;
        let token = server.token(&ada).await;
        let (admin, _) = server.admin().await;
        server
            .control
            .change_user(&admin, "ada", Some(Role::Viewer), None)
            .await
            .unwrap();
        let actor = server.control.authenticate_token(&token).await.unwrap();
        assert_eq!(actor.role(), Some(Role::Viewer));
        let ask = Ask::post("/api/v1/tokens")
            .token(&token)
            .json(&json!({"name": "more", "role": "admin"}));
        assert_eq!(server.send(ask).await.problem(), "not-allowed");
    }
}

#[tokio::test]
async fn a_lesser_token_cannot_open_the_account() {
    let server = Server::sqlite().await;
    let (admin, _) = server.admin().await;
    let request = NewToken {
        name: "dashboard".into(),
        role: Some(Role::Viewer),
        expires_in: None,
    };
    let token = server.control.create_token(&admin, &request).await.unwrap().secret.unwrap();
    let password = Ask::post("/api/v1/me/password")
        .token(&token)
        .json(&json!({"password": "correct horse battery"}));
    assert_eq!(server.send(password).await.problem(), "not-allowed");
    let link = Ask::post("/api/v1/users/admin/login-links").token(&token);
    assert_eq!(server.send(link).await.problem(), "not-allowed");
    let more = Ask::post("/api/v1/tokens")
        .token(&token)
        .json(&json!({"name": "more", "role": "admin"}));
    assert_eq!(server.send(more).await.problem(), "not-allowed");
    let same = Ask::post("/api/v1/tokens").token(&token).json(&json!({"name": "same"}));
    assert_eq!(server.send(same).await.json()["role"], "viewer");
}

#[tokio::test]
async fn people_see_and_revoke_their_own_tokens_only() {
    let server = Server::sqlite().await;
    let (ada, session) = server.account("ada", Role::Operator).await;
    let (admin, _) = server.admin().await;
    server.token(&admin).await;
    let id = server.control.list_tokens(&admin).await.unwrap()[0].id.to_string();
    let theirs = server
        .send(Ask::new("DELETE", &format!("/api/v1/tokens/{id}")).session(&session))
        .await;
    assert_eq!(theirs.problem(), "not-found");
    assert_eq!(
        server.send(Ask::get("/api/v1/tokens").session(&session)).await.json()["total"],
        0
    );
    server.token(&ada).await;
    let id = server.control.list_tokens(&ada).await.unwrap()[0].id.to_string();
    server
        .control
        .revoke_token(&admin, &id)
        .await
        .expect("an admin revokes anyone's");
}

#[tokio::test]
async fn an_admin_makes_changes_and_lists_accounts() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (admin, _) = server.admin().await;
        let token = server.token(&admin).await;
        let make = |name: &str| {
            Ask::post("/api/v1/users")
                .token(&token)
                .json(&json!({"name": name, "role": "member"}))
        };
        assert_eq!(server.send(make("Grace.H")).await.json()["name"], "grace.h");
        assert_eq!(server.send(make("grace.h")).await.problem(), "conflict");
        assert_eq!(server.send(make("a b")).await.problem(), "invalid-request");
        server.send(make("ada")).await;
        let change = Ask::new("PATCH", "/api/v1/users/ada")
            .token(&token)
            .json(&json!({"role": "operator"}));
        assert_eq!(server.send(change).await.json()["role"], "operator");
        let first = server.send(Ask::get("/api/v1/users?limit=2").token(&token)).await;
        assert_eq!(first.header("link"), "</api/v1/users?limit=2&cursor=admin>; rel=\"next\"");
        let first = first.json();
        let names: Vec<&str> = first["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["name"].as_str().unwrap())
            .collect();
        assert_eq!((names, &first["total"]), (vec!["ada", "admin"], &json!(3)));
        let rest = server
            .send(Ask::get("/api/v1/users?limit=2&cursor=admin").token(&token))
            .await;
        assert_eq!(rest.json()["items"][0]["name"], "grace.h");
        assert_eq!(rest.header("link"), "");
        let link = server.send(Ask::post("/api/v1/users/ada/login-links").token(&token)).await;
        assert_eq!(link.status, StatusCode::CREATED);
        let missing = Ask::new("PATCH", "/api/v1/users/nobody").token(&token).json(&json!({}));
        assert_eq!(server.send(missing).await.problem(), "not-found");
    }
}

#[tokio::test]
async fn a_cookie_over_tls_is_bound_to_the_host() {
    let server = Server::at("https://greenroom.example", TestDatabase::sqlite()).await;
    let (_, session) = server.admin().await;
    let [(_, cookie)] = greenroom::http::auth::set_session_cookie(&server.state, &session);
    assert_eq!(
        cookie,
        format!("__Host-greenroom={session}; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000; Secure")
    );
    let plain = server.send(Ask::get("/api/v1/me").session(&session)).await;
    assert_eq!(
        plain.status,
        StatusCode::UNAUTHORIZED,
        "a cookie without the prefix could come from anywhere"
    );
    let bound = Ask::get("/api/v1/me").header("cookie", &format!("__Host-greenroom={session}"));
    let bound = server.send(bound).await;
    assert_eq!(bound.status, StatusCode::OK);
    assert_eq!(bound.header("strict-transport-security"), "max-age=31536000");
}
