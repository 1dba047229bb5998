//! A bookshop's stacks and runs as the verbs would give them.

use greenroom::control::AuditRow;
use greenroom::http::portal::stacks::StackPage;
use greenroom::http::portal::view::Look;
use greenroom::model::actor::{Actor, Role};
use greenroom::model::fault::Fault;
use greenroom::model::id::UserId;
use greenroom::model::run::{RunState, StepState};
use greenroom::model::stack::{DataChoice, Link, Size, StackState};
use greenroom::model::time::Timestamp;
use greenroom::wire::runs::{RunView, StepView};
use greenroom::wire::stacks::{PlanStateView, PlanStepView, PlanView, ServiceView, StackAppView, StackView};
use std::collections::BTreeMap;

pub(super) const NOW: Timestamp = Timestamp(1_795_400_000_000);
pub(super) const STACK: &str = "stk_0192f0c1a2b37d4e9f00112233445566";
pub(super) const RUN: &str = "run_0192f0c1a2b37d4e9f00112233445577";

pub(super) fn look(path: &str) -> Look {
    Look {
        theme: "auto",
        path: path.into(),
        now: NOW,
        said: None,
        bare: false,
    }
}

pub(super) fn actor(role: Role) -> Actor {
    Actor::User {
        id: UserId::from_bits(7),
        name: "ada".into(),
        role,
    }
}

pub(super) fn fault() -> Fault {
    Fault::new("service-exited", "reviews-web stopped right after its start")
        .why("it ended with exit code 1, three times in 4 seconds")
        .log_tail([
            "Listening on 127.0.0.1:20014".to_owned(),
            "Traceback (most recent call last):".to_owned(),
            "  File \"reviews/app.py\", line 41, in <module>".to_owned(),
            "sqlite3.OperationalError: no such column: <rating>".to_owned(),
        ])
}

fn app(name: &str, title: &str, revision: &str, chosen: bool, subject: &str) -> StackAppView {
    StackAppView {
        app: name.into(),
        title: title.into(),
        revision: revision.into(),
        commit: format!("{:0<40}", format!("{:x}", name.len() * 7_654_321)),
        subject: subject.into(),
        chosen,
        descriptor_version: 2,
        services: Vec::new(),
    }
}

pub(super) fn stack_apps() -> Vec<StackAppView> {
    vec![
        app("catalogue", "Catalogue API", "v2.3.0", false, "Sort by what was read most"),
        app("reviews", "Reviews API", "main", false, "Show half stars"),
        app(
            "storefront",
            "Storefront",
            "feature/winter-sale",
            true,
            "Put the sale on the front page",
        ),
        app("mailer", "Mailer", "v0.9", true, "Greet people by their name"),
    ]
}

fn step(key: &str, title: &str, after: &[&str], state: StepState, from: i64, took: i64, usual: Option<i64>) -> StepView {
    let started = !matches!(state, StepState::Waiting | StepState::Ready | StepState::Cancelled);
    let ended = matches!(
        state,
        StepState::Succeeded | StepState::Failed | StepState::Undone | StepState::UndoFailed
    );
    StepView {
        key: key.into(),
        kind: key.into(),
        title: title.into(),
        after: after.iter().map(|a| (*a).to_owned()).collect(),
        state,
        attempt: 1,
        started_at: started.then(|| NOW.plus(from)),
        ended_at: ended.then(|| NOW.plus(from + took)),
        usual_ms: usual,
        waiting_for: String::new(),
        doing: None,
        fault: None,
    }
}

pub(super) fn run(state: RunState) -> RunView {
    use StepState::{Cancelled, Failed, Running, Succeeded, Undone, Waiting};
    let (a, b, c) = match state {
        RunState::Succeeded => (Succeeded, Succeeded, Succeeded),
        RunState::Failed => (Undone, Failed, Cancelled),
        RunState::Pending => (Waiting, Waiting, Waiting),
        _ => (Succeeded, Running, Waiting),
    };
    let mut steps = vec![
        step("claim", "Take the name velvet-encore-42", &[], Succeeded, -9000, 12, Some(10)),
        step(
            "fetch-storefront",
            "Fetch storefront at feature/winter-sale",
            &["claim"],
            a,
            -8900,
            640,
            Some(700),
        ),
        step(
            "fetch-catalogue",
            "Fetch catalogue at v2.3.0",
            &["claim"],
            a,
            -8900,
            410,
            Some(500),
        ),
        step(
            "create-node",
            "Create the server",
            &["fetch-storefront", "fetch-catalogue"],
            a,
            -8200,
            380,
            Some(350),
        ),
        step(
            "configure",
            "Compile its configuration",
            &["create-node"],
            a,
            -7800,
            45,
            Some(60),
        ),
        step(
            "converge",
            "Bring the server to its configuration",
            &["configure"],
            b,
            -7700,
            5200,
            Some(2600),
        ),
        step(
            "check-storefront",
            "Check that Storefront answers",
            &["converge"],
            c,
            -300,
            90,
            Some(80),
        ),
        step("publish", "Publish the addresses", &["check-storefront"], c, -100, 20, None),
    ];
    if state == RunState::Failed {
        steps[5].fault = Some(fault());
    }
    if state == RunState::Pending {
        steps[0] = step(
            "claim",
            "Take the name velvet-encore-42",
            &[],
            StepState::Ready,
            0,
            0,
            Some(10),
        );
    }
    RunView {
        id: RUN.into(),
        kind: "launch_stack".into(),
        title: "Launch velvet-encore-42".into(),
        subject: STACK.into(),
        actor: "user:ada".into(),
        state,
        waiting_for: if state == RunState::Running {
            "the server’s agent to report that 38 states hold".into()
        } else {
            String::new()
        },
        fault: (state == RunState::Failed).then(fault),
        created_at: NOW.plus(-9100),
        started_at: (state != RunState::Pending).then(|| NOW.plus(-9000)),
        ended_at: state.is_ended().then(|| NOW.plus(-80)),
        usual_ms: Some(4300),
        steps,
        actions: match state {
            RunState::Running | RunState::Pending => vec!["cancel".into()],
            RunState::Blocked => vec!["retry".into(), "skip".into(), "complete".into(), "cancel".into()],
            RunState::Stuck => vec!["retry".into(), "abandon".into()],
            _ => Vec::new(),
        },
    }
}

pub(super) fn stack(state: StackState) -> StackView {
    let serves = matches!(state, StackState::Ready | StackState::Tainted | StackState::Updating);
    let run_state = match state {
        state if state.is_under_way() => RunState::Running,
        StackState::Destroying => RunState::Running,
        StackState::Failed | StackState::Tainted => RunState::Failed,
        _ => RunState::Succeeded,
    };
    let mut apps = stack_apps();
    if serves {
        for app in &mut apps {
            app.services.push(ServiceView {
                name: format!("{}-web", app.app),
                state: if app.app == "reviews" && state == StackState::Tainted {
                    "backoff"
                } else {
                    "running"
                }
                .into(),
                restarts: u32::from(app.app == "reviews"),
            });
        }
    }
    let actions: &[&str] = match state {
        StackState::Ready => &["open", "extend", "update", "stop", "rebuild", "destroy"],
        StackState::Tainted => &["open", "extend", "update", "retry", "stop", "rebuild", "destroy"],
        StackState::Failed => &["retry", "destroy"],
        StackState::Updating => &["open", "extend", "destroy"],
        StackState::Building | StackState::Stopping | StackState::Starting => &["extend", "destroy"],
        StackState::Stopped => &["extend", "start", "destroy"],
        StackState::Destroying => &["destroy"],
        StackState::Destroyed => &[],
    };
    let link = |app: &str, label: &str, port: u16, public: bool| Link {
        app: app.parse().unwrap(),
        port: "http".into(),
        label: label.into(),
        url: format!("http://{app}--velvet-encore-42.localhost:7400/"),
        direct: Some(format!("http://127.0.0.1:{port}/")),
        public,
    };
    StackView {
        id: STACK.into(),
        name: "velvet-encore-42".into(),
        owner: "ada".into(),
        mine: true,
        state,
        health: match state {
            StackState::Ready | StackState::Updating => "healthy",
            StackState::Tainted => "degraded",
            _ => "unknown",
        }
        .into(),
        fault: matches!(state, StackState::Failed | StackState::Tainted).then(fault),
        provider: "sandbox".into(),
        isolation: "bubblewrap".into(),
        size: Size::Small,
        apps,
        data: BTreeMap::from([
            ("catalogue/db".to_owned(), DataChoice::Fixture),
            ("reviews/db".to_owned(), DataChoice::Empty),
        ]),
        links: if serves {
            vec![
                link("storefront", "Storefront", 20011, true),
                link("catalogue", "Catalogue API", 20012, false),
            ]
        } else {
            Vec::new()
        },
        created_at: NOW.plus(-9100),
        ready_at: serves.then(|| NOW.plus(-4900)),
        lease_until: NOW.plus(7 * 3_600_000 + 59 * 60_000),
        lease_max: NOW.plus(14 * 86_400_000),
        stopped_at: (state == StackState::Stopped).then(|| NOW.plus(-3_600_000)),
        run: Some(run(run_state)),
        version: 3,
        actions: actions.iter().map(|a| (*a).to_owned()).collect(),
    }
}

pub(super) fn stack_page(state: StackState) -> StackPage {
    let row = |at: i64, verb: &str, actor: &str, detail: &str| AuditRow {
        revision: 1000 + at,
        at: NOW.plus(at),
        actor: actor.into(),
        verb: verb.into(),
        subject: STACK.into(),
        detail: detail.into(),
    };
    StackPage {
        runs: vec![stack(state).run.unwrap(), run(RunState::Succeeded)],
        stack: stack(state),
        audit: vec![
            row(
                -60_000,
                "stack.extend",
                "user:ada",
                "velvet-encore-42 until 2026-11-23T10:00:00Z",
            ),
            row(
                -4_000_000,
                "stack.launch",
                "user:ada",
                "velvet-encore-42: storefront@feature/winter-sale, mailer@v0.9",
            ),
        ],
    }
}

pub(super) fn plan() -> PlanView {
    PlanView {
        apps: stack_apps(),
        data: stack(StackState::Ready).data,
        size: Size::Small,
        provider: "sandbox".into(),
        isolation: "bubblewrap".into(),
        lease_until: NOW.plus(8 * 3_600_000),
        steps: run(RunState::Succeeded)
            .steps
            .into_iter()
            .map(|s| PlanStepView {
                key: s.key,
                title: s.title,
                after: s.after,
                usual_ms: s.usual_ms,
            })
            .collect(),
        states: vec![PlanStateView {
            id: "reviews-venv".into(),
            title: "Make reviews’ virtual environment".into(),
            kind: "execute".into(),
            origin: "python-service.yaml:12".into(),
        }],
        usual_ms: Some(4300),
    }
}
