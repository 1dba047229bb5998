//! What pages show. With `GREENROOM_GALLERY` naming a folder, each page is also written there, to be looked at.

use super::samples::{self, NOW, actor, look};
use axum::body::to_bytes;
use axum::response::Response;
use greenroom::http::portal::{account, apps, change, editor, fields, help, launch, runs, sign_in, stacks};
use greenroom::model::actor::Role;
use greenroom::model::diagnostic::{Diagnostic, Severity};
use greenroom::model::fault::{CATALOGUE, Fault};
use greenroom::model::id::{TokenId, UserId};
use greenroom::model::run::RunState;
use greenroom::model::stack::StackState;
use greenroom::wire::Page;
use greenroom::wire::auth::{LoginLink, TokenView, UserView};
use greenroom::wire::problem::{FieldProblem, Problem};

async fn text(name: &str, response: Response) -> String {
    // Says why, where a template does not fit.
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    assert_ne!(
        response.status(),
        500,
        "{name} could not be rendered: see the log with --nocapture"
    );
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains("</html>"), "{name} is no page: {text}");
    assert!(
        !text.contains("style=\"") && !text.contains("<script>"),
        "{name} has inline style or script"
    );
    if let Ok(folder) = std::env::var("GREENROOM_GALLERY") {
        std::fs::write(format!("{folder}/{name}.html"), &text).unwrap();
    }
    // The engine escapes more than it must.
    text.replace("&#x2f;", "/")
}

fn holds(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
    }
}

fn lacks(text: &str, unwanted: &[&str]) {
    for unwanted in unwanted {
        assert!(!text.contains(unwanted), "{unwanted:?} is in:\n{text}");
    }
}

async fn stack_in(state: StackState) -> String {
    let page = stacks::stack_page(&look("/stacks/x"), &actor(Role::Member), &samples::stack_page(state), None);
    text(&format!("stack-{state}"), page).await
}

#[tokio::test]
async fn a_stack_says_its_state_in_words_and_offers_the_ways_on() {
    let building = stack_in(StackState::Building).await;
    holds(
        &building,
        &[
            "Getting ready",
            "5 of 8",
            "of usually 4.3 s",
            "38 states hold",
            "Cancel and destroy",
            "Cancel and undo",
        ],
    );
    holds(
        &building,
        &["after Bring the server to its configuration", "slower than usual"],
    );
    let ready = stack_in(StackState::Ready).await;
    holds(
        &ready,
        &[
            "Ready",
            "Open Storefront",
            "http://127.0.0.1:20011/",
            "Other revisions",
            "7 h 59 min left",
            "Destroy",
        ],
    );
    holds(
        &ready,
        &[
            "data-live=\"stack:stk_",
            "storefront-web",
            "comes along as a dependency",
            "test fixture",
        ],
    );
    let failed = stack_in(StackState::Failed).await;
    holds(
        &failed,
        &[
            "Launch failed",
            "Why the launch failed",
            "Launch again",
            "The app owner’s turn",
            "service-exited",
        ],
    );
    holds(
        &failed,
        &["reviews-web stopped right after its start.", "no such column: &lt;rating&gt;"],
    );
    lacks(&failed, &["Open Storefront", "<rating>"]);
    let tainted = stack_in(StackState::Tainted).await;
    holds(
        &tainted,
        &["Serving the old version", "Retry the update", "Open Storefront", "degraded"],
    );
    holds(&stack_in(StackState::Updating).await, &["Updating", "Open Storefront"]);
    lacks(&stack_in(StackState::Destroying).await, &["/destroy\"", "Extend"]);
    let gone = stack_in(StackState::Destroyed).await;
    holds(&gone, &["Gone", "the provider confirmed it"]);
    lacks(&gone, &["Lease</h2>", "/destroy\""]);
}

#[tokio::test]
async fn a_refused_action_is_shown_on_the_stack_with_what_was_typed() {
    let mut problem = Problem::from(Fault::new("lease-too-long", "velvet-encore-42 may live 14 d more at most"));
    problem.fields.push(FieldProblem {
        field: "lease".into(),
        message: "at most 14 d".into(),
    });
    let page = samples::stack_page(StackState::Ready);
    let page = stacks::stack_page(&look("/stacks/x"), &actor(Role::Member), &page, Some((&problem, "30d")));
    assert_eq!(page.status(), 422);
    holds(
        &text("stack-refused", page).await,
        &["value=\"30d\"", "at most 14 d", "lease is longer than allowed"],
    );
}

#[tokio::test]
async fn the_list_shows_each_state_and_invites_where_there_is_nothing() {
    let asked = stacks::Asked {
        mine: true,
        ended: false,
        q: String::new(),
        further: false,
    };
    let items: Vec<_> = StackState::ALL
        .iter()
        .enumerate()
        .map(|(index, state)| {
            let mut stack = samples::stack(*state);
            stack.name = [
                "amber-cue-11",
                "velvet-encore-42",
                "late-duet-70",
                "keen-reprise-19",
                "ruby-stage-31",
                "calm-waltz-85",
                "old-prop-12",
            ][index]
                .into();
            stack.mine = index % 2 == 0;
            stack
        })
        .collect();
    let page = Page {
        total: 31,
        items,
        next: Some(samples::STACK.into()),
    };
    let list = text(
        "stacks",
        stacks::list_page(&look("/stacks"), &actor(Role::Member), &page, 64, &asked),
    )
    .await;
    holds(
        &list,
        &[
            "Getting ready",
            "Ready",
            "Serving the old version",
            "Launch failed",
            "Gone",
            "cursor=stk_",
            "feature/winter-sale",
        ],
    );
    let none = Page {
        total: 0,
        items: vec![],
        next: None,
    };
    let empty = stacks::list_page(&look("/stacks"), &actor(Role::Member), &none, 0, &asked);
    holds(
        &text("stacks-empty", empty).await,
        &["The stage is empty", "href=\"/stacks/new\""],
    );
    let viewer = stacks::list_page(&look("/stacks"), &actor(Role::Viewer), &none, 0, &asked);
    lacks(&text("stacks-viewer", viewer).await, &["href=\"/stacks/new\""]);
    let searched = stacks::Asked {
        q: "<b>".into(),
        ..asked
    };
    let nothing = stacks::list_page(&look("/stacks"), &actor(Role::Member), &none, 0, &searched);
    holds(&text("stacks-nothing", nothing).await, &["Nothing matches “&lt;b&gt;”"]);
}

#[tokio::test]
async fn a_run_shows_its_steps_and_what_a_person_may_say() {
    for state in RunState::ALL {
        let page = runs::run_page(&look("/runs/x"), &actor(Role::Operator), &samples::run(*state), None);
        let page = text(&format!("run-{state}"), page).await;
        holds(
            &page,
            &[
                "Launch velvet-encore-42",
                "Bring the server to its configuration",
                "data-live=\"run:run_",
            ],
        );
    }
    let blocked = runs::run_page(
        &look("/runs/x"),
        &actor(Role::Operator),
        &samples::run(RunState::Blocked),
        None,
    );
    holds(
        &text("run-blocked", blocked).await,
        &["Waits for a person", "Go on without it", "Try again"],
    );
}

#[tokio::test]
async fn the_launch_form_keeps_everything_that_was_typed_when_it_is_refused() {
    let typed = [
        ("app", "storefront"),
        ("rev.storefront", "feature/\"sale\""),
        ("data.reviews/db", "empty"),
        ("size", "large"),
        ("lease", "8h"),
        ("lease_other", "90x"),
        ("name", "my demo"),
    ];
    let mut problem = Problem::from(Fault::new("invalid-request", "The launch has errors"));
    for (field, message) in [
        ("name", "no spaces"),
        ("lease", "not a length"),
        ("apps.storefront.revision", "no such branch"),
    ] {
        problem.fields.push(FieldProblem {
            field: field.into(),
            message: message.into(),
        });
    }
    let page = launch::form_page(
        &look("/stacks/new"),
        &actor(Role::Member),
        &samples::form(&typed),
        Some(&problem),
    );
    assert_eq!(page.status(), 400);
    let page = text("new-refused", page).await;
    holds(
        &page,
        &[
            "value=\"storefront\" checked",
            "value=\"feature/&quot;sale&quot;\"",
            "value=\"90x\"",
            "value=\"my demo\"",
        ],
    );
    holds(
        &page,
        &[
            "name=\"size\" value=\"large\" checked",
            "name=\"data.reviews/db\" value=\"empty\" checked",
        ],
    );
    holds(
        &page,
        &["no spaces", "not a length", "no such branch", "comes along with Storefront"],
    );
}

#[tokio::test]
async fn a_launch_goes_from_the_form_over_the_plan_to_its_start() {
    let form = launch::form_page(&look("/stacks/new"), &actor(Role::Member), &samples::form(&[]), None);
    holds(
        &text("new", form).await,
        &["data-check=\"/stacks/new/check\"", "placeholder=\"main\"", "Review the plan"],
    );
    let mut chosen = samples::form(&[("app", "storefront"), ("app", "mailer")]);
    chosen.revisions.insert("storefront".into(), Ok(samples::revisions()));
    chosen
        .revisions
        .insert("mailer".into(), Err("The repository cannot be read".into()));
    let form = launch::form_page(&look("/stacks/new"), &actor(Role::Member), &chosen, None);
    let form = text("new-revisions", form).await;
    holds(
        &form,
        &[
            "name=\"pick.storefront\" value=\"v1.1\"",
            "Show half stars &lt;b&gt;",
            "The repository cannot be read.",
        ],
    );
    let typed = [
        ("app", "storefront"),
        ("rev.storefront", "v1.1"),
        ("app", "mailer"),
        ("size", "small"),
        ("do", "plan"),
    ];
    let review = launch::review_page(
        &look("/stacks/new"),
        &actor(Role::Member),
        &samples::form(&typed),
        &samples::plan(),
    );
    let review = text("review", review).await;
    holds(
        &review,
        &[
            "8 steps",
            "usually 2.6 s",
            "name=\"do\" value=\"launch\"",
            "name=\"key\" value=\"portal-",
        ],
    );
    holds(
        &review,
        &[
            "type=\"hidden\" name=\"rev.storefront\" value=\"v1.1\"",
            "/stacks/new?app=storefront@v1.1&amp;app=mailer&amp;size=small",
        ],
    );
    lacks(&review, &["name=\"do\" value=\"plan\""]);
}

#[tokio::test]
async fn other_revisions_are_chosen_app_by_app() {
    let typed = fields::Fields(vec![("rev.reviews".into(), "v9".into())]);
    let stack = samples::stack(StackState::Ready);
    let page = change::update_page(&look("/stacks/x/update"), &actor(Role::Member), &stack, &typed, None);
    holds(
        &text("update", page).await,
        &["name=\"rev.reviews\"", "value=\"v9\"", "stays at v2.3.0"],
    );
}

#[tokio::test]
async fn an_app_shows_its_neighbours_owners_and_where_it_runs() {
    let page = apps::app_page(
        &look("/apps/reviews"),
        &actor(Role::Operator),
        &samples::app_view(),
        &samples::apps(),
        &[samples::stack(StackState::Ready)],
        &samples::versions(),
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
        ],
    );
}

#[tokio::test]
async fn the_editor_keeps_the_text_beside_its_findings_and_others_changes() {
    let draft = editor::Draft {
        name: Some("reviews".into()),
        version: Some(4),
        text: samples::DESCRIPTOR.replace("team-books", "</textarea>"),
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
        let page = help::problem_page(&look("/x"), &problem);
        assert_eq!(page.status().as_u16(), entry.status);
        let bytes = to_bytes(page.into_body(), usize::MAX).await.unwrap();
        holds(
            std::str::from_utf8(&bytes).unwrap(),
            &[&entry.title.replace('\'', "&#x27;"), "req_1", entry.code],
        );
    }
    let problem = Problem::from(Fault::new("not-found", "There is nothing at this address"));
    text("problem", help::problem_page(&look("/x"), &problem)).await;
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
