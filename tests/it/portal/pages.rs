//! What pages about stacks and runs show, in each state.

use super::catalogue;
use super::samples::{self, actor, look};
use super::seen::{holds, lacks, text};
use greenroom::http::portal::{change, fields, launch, runs, stacks};
use greenroom::model::actor::Role;
use greenroom::model::fault::Fault;
use greenroom::model::run::RunState;
use greenroom::model::stack::StackState;
use greenroom::wire::Page;
use greenroom::wire::problem::{FieldProblem, Problem};

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
    holds(&building, &["slower than usual"]);
    let mut undone = samples::stack_page(StackState::Building);
    undone.stack.run = Some(samples::run(RunState::Compensating));
    let page = stacks::stack_page(&look("/stacks/x"), &actor(Role::Member), &undone, None);
    holds(&text("stack-undoing", page).await, &["Being undone", "Undoing"]);
    let ready = stack_in(StackState::Ready).await;
    holds(
        &ready,
        &[
            "Ready",
            "Open Storefront",
            "http://storefront--velvet-encore-42.localhost:7400/",
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
            "Brought by a dependency",
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
                "drowsy-scene-23",
                "dozing-solo-44",
                "waking-aria-55",
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
async fn what_has_begun_is_said_for_as_long_as_it_is_under_way() {
    for (state, shown) in [
        (StackState::Building, true),
        (StackState::Failed, false),
        (StackState::Ready, false),
    ] {
        for (said, lasts) in [
            (("The launch has begun", true), false),
            (("The lease was extended", false), true),
        ] {
            let mut look = look("/stacks/x");
            look.said = Some(said);
            let page = stacks::stack_page(&look, &actor(Role::Member), &samples::stack_page(state), None);
            let page = text("stack-said", page).await;
            assert_eq!(page.contains(said.0), shown || lasts, "{} while {state}", said.0);
        }
    }
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
    let pending = runs::run_page(&look("/runs/x"), &actor(Role::Viewer), &samples::run(RunState::Pending), None);
    // What stands right above needs no mention.
    lacks(&text("run-pending", pending).await, &["after Fetch"]);
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
        &catalogue::form(&typed),
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
        &[
            "no spaces",
            "not a length",
            "no such branch",
            "comes along with Storefront",
            "can use mailer",
        ],
    );
}

#[tokio::test]
async fn a_launch_goes_from_the_form_over_the_plan_to_its_start() {
    let form = launch::form_page(&look("/stacks/new"), &actor(Role::Member), &catalogue::form(&[]), None);
    holds(
        &text("new", form).await,
        &["data-check=\"/stacks/new/check\"", "placeholder=\"main\"", "Review the plan"],
    );
    let mut chosen = catalogue::form(&[("app", "storefront"), ("app", "mailer")]);
    chosen.revisions.insert("storefront".into(), Ok(catalogue::revisions()));
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
        &catalogue::form(&typed),
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
        &["name=\"rev.reviews\"", "value=\"v9\"", "stays as it is"],
    );
}
