//! What the other pages show: apps and their editor, accounts, errors, the way in.

use super::catalogue;
use super::samples::{self, NOW, actor, look};
use super::seen::{holds, lacks, text};
use axum::body::to_bytes;
use greenroom::http::portal::{account, apps, editor, help, sign_in};
use greenroom::model::actor::Role;
use greenroom::model::diagnostic::{Diagnostic, Severity};
use greenroom::model::fault::{CATALOGUE, Fault};
use greenroom::model::id::{TokenId, UserId};
use greenroom::model::stack::StackState;
use greenroom::wire::auth::{LoginLink, TokenView, UserView};
use greenroom::wire::problem::Problem;

#[tokio::test]
async fn an_app_shows_its_neighbours_owners_and_where_it_runs() {
    let page = apps::app_page(
        &look("/apps/reviews"),
        &actor(Role::Operator),
        &apps::AppPage {
            app: catalogue::app_view(),
            apps: catalogue::apps(),
            stacks: vec![samples::stack(StackState::Ready)],
            running: catalogue::running(),
            schedules: catalogue::schedules(),
            versions: catalogue::versions(),
        },
    );
    let page = text("app", page).await;
    holds(
        &page,
        &[
            "team-books",
            "platform",
            "class=\"edge\"",
            "href=\"/apps/storefront\"",
            "velvet-encore-42",
            "python-service",
            "changed <code>spec.type</code>",
            "<code class=\"rev\">v1.0</code></span> <span class=\"muted\">instead of</span> <code class=\"rev\">v1.1</code>",
            "1 does not run what is declared",
            "declared, none reported",
            "no recipe runs it",
            "production in dc1, 2 nodes",
            "test in dc2: box9, a value is missing",
        ],
    );
}

#[tokio::test]
async fn the_list_says_where_each_app_runs_and_why_a_query_cannot_be_read() {
    let (look, olga) = (look("/apps?q=re"), actor(Role::Operator));
    let list = apps::list_page(&look, &olga, "re", &catalogue::apps(), &catalogue::running(), None);
    holds(
        &text("apps", list).await,
        &[
            "7 apps found",
            "3 nodes in production, 1 stack",
            "1 not as declared",
            "runs nowhere",
            "run by platform",
            "data-search=\"apps-live\"",
        ],
    );
    let mut problem =
        Problem::from(Fault::new("query-invalid", "The query cannot be read").why("line 1, column 6: a value is missing"));
    problem.diagnostics.clear();
    let refused = apps::list_page(&look, &olga, "type:", &[], &[], Some(&problem));
    let refused = text("apps-refused", refused).await;
    holds(&refused, &["a value is missing", "value=\"type:\""]);
    lacks(&refused, &["Nothing matches", "No app is registered"]);
    let none = apps::list_page(&look, &olga, "zzz", &[], &[], None);
    holds(&text("apps-none", none).await, &["Nothing matches “zzz”", "0 apps found"]);
}

#[tokio::test]
async fn the_editor_keeps_the_text_beside_its_findings_and_others_changes() {
    let draft = editor::Draft {
        name: Some("reviews".into()),
        version: Some(4),
        text: catalogue::DESCRIPTOR.replace("team-books", "</textarea>"),
    };
    let mut problem = Problem::from(Fault::new("descriptor-invalid", "The descriptor has errors"));
    problem.diagnostics.push(Diagnostic {
        severity: Severity::Error,
        code: "unknown-field".into(),
        message: "there is no field `proceses`".into(),
        file: "greenroom.json".into(),
        line: 11,
        column: 5,
        path: "spec.proceses".into(),
        help: Some("did you mean `processes`?".into()),
        snippet: Some("    \"proceses\": {}".into()),
    });
    let page = editor::editor_page(&look("/apps/reviews/edit"), &actor(Role::Operator), &draft, Some(&problem));
    let page = text("editor-invalid", page).await;
    holds(
        &page,
        &[
            "line 11, column 5",
            "Did you mean <code>processes</code>?",
            "&lt;/textarea&gt;",
            "name=\"version\" value=\"4\"",
        ],
    );
    let mut problem = Problem::from(Fault::new("changed-meanwhile", "reviews was not saved"));
    problem.diff = Some("--- what is saved now\n+++ what you sent\n@@ -1 +1 @@\n-old\n+new\n".into());
    problem.current_version = Some(5);
    let page = editor::editor_page(&look("/apps/reviews/edit"), &actor(Role::Operator), &draft, Some(&problem));
    assert_eq!(page.status(), 412);
    let page = text("editor-changed", page).await;
    holds(
        &page,
        &[
            "Someone else changed it first",
            "class=\"removed\"",
            "nothing of yours is lost",
        ],
    );
}

#[tokio::test]
async fn accounts_show_secrets_once_and_never_for_others() {
    let user = UserView {
        id: UserId::from_bits(7),
        name: "ada".into(),
        role: Role::Admin,
        created_at: NOW.plus(-86_400_000),
        has_password: false,
        disabled: false,
    };
    let token = |secret: Option<&str>| TokenView {
        id: TokenId::from_bits(9),
        name: "laptop".into(),
        role: Role::Member,
        created_at: NOW.plus(-1000),
        expires_at: Some(NOW.plus(86_400_000)),
        used_at: None,
        secret: secret.map(str::to_owned),
    };
    let outcome = account::Outcome {
        token: Some(token(Some("grt_5ecret"))),
        ..account::Outcome::default()
    };
    let page = account::account_page(&look("/account"), &actor(Role::Admin), &user, &[token(None)], &outcome);
    holds(
        &text("account", page).await,
        &["grt_5ecret", "shown this once", "laptop", "you signed in with a link"],
    );
    let outcome = account::Outcome {
        link: Some((
            "grace".into(),
            LoginLink {
                url: "http://127.0.0.1:7400/sign-in/link/abc".into(),
                expires_at: NOW.plus(3_600_000),
            },
        )),
        ..account::Outcome::default()
    };
    let other = UserView {
        name: "grace".into(),
        role: Role::Member,
        disabled: true,
        ..user.clone()
    };
    let page = account::users_page(&look("/users"), &actor(Role::Admin), &[user, other], &outcome);
    holds(&text("users", page).await, &["/sign-in/link/abc", "disabled", "Enable"]);
}

#[tokio::test]
async fn every_code_has_a_page_that_says_whose_turn_it_is() {
    for entry in CATALOGUE {
        let mut problem = Problem::from(Fault::new(entry.code, "It did not work"));
        problem.request_id = Some("req_1".into());
        let page = help::problem_page(&look("/x"), None, &problem);
        assert_eq!(page.status().as_u16(), entry.status);
        let bytes = to_bytes(page.into_body(), usize::MAX).await.unwrap();
        holds(
            std::str::from_utf8(&bytes).unwrap(),
            &[&entry.title.replace('\'', "&#x27;"), "req_1", entry.code],
        );
    }
    let problem = Problem::from(Fault::new("not-found", "There is nothing at this address"));
    let nobody = text("problem", help::problem_page(&look("/x"), None, &problem)).await;
    lacks(&nobody, &["aria-label=\"Main\""]);
    let someone = actor(Role::Member);
    let known = text("problem-known", help::problem_page(&look("/x"), Some(&someone), &problem)).await;
    holds(&known, &["aria-label=\"Main\"", "New staging server"]);
}

#[tokio::test]
async fn the_way_in_remembers_where_one_wanted_to_go() {
    let problem = Problem::from(Fault::new("not-signed-in", "The name or password is wrong"));
    let page = sign_in::form(
        &look("/sign-in"),
        axum::http::StatusCode::UNAUTHORIZED,
        "ada",
        "/apps?q=x",
        Some(&problem),
    );
    let page = text("sign-in", page).await;
    holds(&page, &["value=\"ada\"", "value=\"/apps?q=x\"", "not right"]);
    lacks(&page, &["href=\"/account\""]);
}
