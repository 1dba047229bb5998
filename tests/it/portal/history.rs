//! The history of an app in the portal, over a server: looked at, compared, and gone back in with a button.

use super::forms::{form, holds, page};
use crate::api::app_history::descriptor;
use crate::api::server::{Ask, Server};
use greenroom::model::actor::{Actor, Role};

async fn save(server: &Server, actor: &Actor, title: &str, needs: &[&str], edited: Option<i64>) {
    let text = format!("{:#}\n", descriptor("shop", title, needs));
    let saved = server
        .control
        .save_app(actor, Some("shop"), "shop.json", text.as_bytes(), edited)
        .await;
    saved.unwrap();
}

#[tokio::test]
async fn an_old_version_is_restored_with_one_click() {
    let server = Server::sqlite().await;
    let (olga, session) = server.account("olga", Role::Operator).await;
    save(&server, &olga, "Shop", &[], None).await;
    save(&server, &olga, "The shop", &[], Some(1)).await;

    let history = server.send(page(Ask::get("/apps/shop/versions")).session(&session)).await;
    holds(
        &history,
        &[
            "id=\"v2\"",
            "id=\"v1\"",
            "changed <code>metadata.title</code>",
            "action=\"/apps/shop/restore\"",
            "name=\"version\" value=\"1\"",
            "name=\"present\" value=\"2\"",
        ],
    );
    assert!(
        !history.text.contains("name=\"version\" value=\"2\""),
        "the present version is not restored: {history:?}"
    );
    let compared = server
        .send(page(Ask::get("/apps/shop/diff?from=1&to=2")).session(&session))
        .await;
    holds(&compared, &["Version 1 to version 2", "class=\"added\"", "Restore version 1"]);

    let restored = server
        .send(form("/apps/shop/restore", "version=1&present=2").session(&session))
        .await;
    assert_eq!(restored.header("location"), "/apps/shop?said=restored");
    let shown = server
        .send(page(Ask::get("/apps/shop?said=restored")).session(&session))
        .await;
    holds(
        &shown,
        &["The old version was restored", "<h1>Shop</h1>", "restored from version 1"],
    );

    let late = server
        .send(form("/apps/shop/restore", "version=2&present=2").session(&session))
        .await;
    assert_eq!(late.status, 412);
    holds(
        &late,
        &["Version 2 was not restored", "now it is 3", "name=\"present\" value=\"3\""],
    );

    let (_, viewer) = server.account("vera", Role::Viewer).await;
    let history = server.send(page(Ask::get("/apps/shop/versions")).session(&viewer)).await;
    assert!(!history.text.contains("/restore"), "who may not is not offered it");
}

#[tokio::test]
async fn a_version_that_is_not_valid_any_more_says_why_above_the_history() {
    let server = Server::sqlite().await;
    let (olga, session) = server.account("olga", Role::Operator).await;
    let mail = descriptor("mail", "Mail", &[]).to_string();
    server
        .control
        .save_app(&olga, None, "mail.json", mail.as_bytes(), None)
        .await
        .unwrap();
    save(&server, &olga, "Shop", &["mail"], None).await;
    save(&server, &olga, "Shop", &[], Some(1)).await;
    server.control.remove_app(&olga, "mail", None).await.unwrap();

    let refused = server
        .send(form("/apps/shop/restore", "version=1&present=2").session(&session))
        .await;
    assert_eq!(refused.status, 422);
    holds(
        &refused,
        &["It would not be accepted today", "class=\"finding bad\"", "mail", "id=\"v2\""],
    );
    let looked = server.send(page(Ask::get("/apps/mail")).session(&session)).await;
    assert_eq!(looked.header("location"), "/apps/mail/versions", "its history stays");
    let never = server.send(page(Ask::get("/apps/never")).session(&session)).await;
    assert_eq!(never.status, 404);
    let gone = server.send(page(Ask::get("/apps/mail/versions")).session(&session)).await;
    holds(&gone, &["not in the inventory any more", "removed", "Restore version 1"]);
    let back = server
        .send(form("/apps/mail/restore", "version=1&present=2").session(&session))
        .await;
    assert_eq!(back.header("location"), "/apps/mail?said=restored");
    let removed = server.send(form("/apps/mail/remove", "").session(&session)).await;
    assert_eq!(removed.header("location"), "/apps/mail/versions?said=removed");
    let rubbish = server.send(form("/apps/mail/restore", "version=x").session(&session)).await;
    assert_eq!(rubbish.status, 400);
}
