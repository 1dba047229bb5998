//! A bookshop's apps, and the form that launches them.

use super::samples::NOW;
use greenroom::control::stacks::LaunchOptions;
use greenroom::http::portal::fields::Fields;
use greenroom::http::portal::launch::Form;
use greenroom::model::stack::Size;
use greenroom::wire::apps::{AppSummary, AppView, DatabaseView, RevisionView, ScheduleView, SchedulesView, WantedScheduleView};
use greenroom::wire::inventory::{ObjectVersionView, RunningView};
use std::collections::BTreeMap;

pub(super) fn apps() -> Vec<AppSummary> {
    let app = |name: &str, title: &str, description: &str, needs: &[&str], databases: &[(&str, bool)], public: bool| AppSummary {
        name: name.into(),
        title: title.into(),
        description: description.into(),
        kind: if public { "website" } else { "service" }.into(),
        dev_owner: "team-books".into(),
        ops_owner: "platform".into(),
        depends_on: needs.iter().map(|n| (*n).to_owned()).collect(),
        optional: needs.iter().filter(|n| **n == "mailer").map(|n| (*n).to_owned()).collect(),
        databases: databases
            .iter()
            .map(|(resource, fixture)| DatabaseView {
                key: format!("{name}/{resource}"),
                engine: "sqlite".into(),
                choices: if *fixture {
                    vec!["fixture".into(), "empty".into()]
                } else {
                    vec!["empty".into()]
                },
                default: if *fixture { "fixture" } else { "empty" }.into(),
            })
            .collect(),
        public,
        default_ref: "main".into(),
        version: 4,
        updated_at: NOW.plus(-86_400_000 * 3),
    };
    vec![
        app(
            "catalogue",
            "Catalogue API",
            "Every book, its authors and what it costs",
            &[],
            &[("db", true)],
            false,
        ),
        app(
            "mailer",
            "Mailer",
            "Sends what other apps ask for, to a folder on stacks",
            &[],
            &[],
            false,
        ),
        app(
            "payments",
            "Payments",
            "Takes money; on stacks from test cards only",
            &["mailer"],
            &[("ledger", false)],
            false,
        ),
        app(
            "reviews",
            "Reviews API",
            "What readers say about books",
            &["catalogue"],
            &[("db", true)],
            false,
        ),
        app(
            "search",
            "Search",
            "Finds books by a word, a half-remembered title or a colour of the cover",
            &["catalogue"],
            &[],
            false,
        ),
        app(
            "storefront",
            "Storefront",
            "The shop that readers see: shelves, reviews, basket",
            &["catalogue", "reviews", "payments"],
            &[],
            true,
        ),
        app(
            "warehouse",
            "Warehouse",
            "Where a book lies and when it leaves",
            &["catalogue", "mailer"],
            &[("db", true)],
            false,
        ),
    ]
}

pub(super) const DESCRIPTOR: &str = r#"{
  "apiVersion": "greenroom/v1",
  "kind": "App",
  "metadata": { "name": "reviews", "title": "Reviews API" },
  "spec": {
    "type": "service",
    "owners": { "dev": "team-books", "ops": "platform" },
    "repository": "https://git.bookshop.example/reviews.git",
    "recipes": [{ "name": "python-service" }],
    "dependsOn": [{ "app": "catalogue" }],
    "processes": { "web": { "command": ["python3", "app.py"] } },
    "ports": { "http": { "protocol": "http" } }
  }
}
"#;

pub(super) fn app_view() -> AppView {
    AppView {
        summary: apps().remove(3),
        needs: vec!["catalogue".into()],
        needed_by: vec!["storefront".into()],
        descriptor: DESCRIPTOR.into(),
    }
}

pub(super) fn running() -> Vec<RunningView> {
    let on = |node: &str, datacenter: &str, observed: Option<&str>| RunningView {
        app: "reviews".into(),
        node: node.into(),
        environment: if datacenter.is_empty() { "staging" } else { "production" }.into(),
        datacenter: datacenter.into(),
        declared: "v1.1".into(),
        observed: observed.map(str::to_owned),
        drifted: observed.map(|observed| observed != "v1.1"),
    };
    vec![
        on("box1", "dc1", Some("v1.1")),
        on("box2", "dc1", Some("v1.0")),
        on("box3", "dc2", None),
        on("velvet-encore-42", "", Some("v1.1")),
    ]
}

pub(super) fn schedules() -> SchedulesView {
    SchedulesView {
        wanted: vec![WantedScheduleView {
            name: "nightly".into(),
            when: "15 3 * * *".into(),
            command: vec!["./digest".into(), "--all".into()],
            in_staging: false,
            runs: false,
        }],
        built: vec![ScheduleView {
            name: "reviews-backup".into(),
            kind: "cron".into(),
            when: "0 2 * * *".into(),
            command: vec!["/usr/local/bin/backup".into()],
            user: "root".into(),
            origin: "recipes/backup.yaml:20:5".into(),
            environment: "production".into(),
            datacenter: "dc1".into(),
            nodes: 2,
        }],
        unknown: vec!["test in dc2: box9, a value is missing".into()],
        left_out: 0,
    }
}

pub(super) fn versions() -> Vec<ObjectVersionView> {
    vec![
        ObjectVersionView {
            version: 2,
            revision: 12,
            note: String::new(),
            removed: false,
            changed: vec!["spec.type".into()],
            actor: "user:grace".into(),
            at: NOW.plus(-86_400_000),
            diff: "--- version 1\n+++ version 2\n@@ -1,2 +1,2 @@\n-  \"type\": \"worker\",\n+  \"type\": \"service\",\n".into(),
        },
        ObjectVersionView {
            version: 1,
            revision: 3,
            note: String::new(),
            removed: false,
            changed: Vec::new(),
            actor: "user:ada".into(),
            at: NOW.plus(-86_400_000 * 9),
            diff: "--- version 0\n+++ version 1\n@@ -0,0 +1 @@\n+{}\n".into(),
        },
    ]
}

pub(super) fn revisions() -> Vec<RevisionView> {
    let one = |name: &str, kind: &str, subject: &str, ago: i64| RevisionView {
        name: name.into(),
        kind: kind.into(),
        commit: "4c0ffee14c0ffee14c0ffee14c0ffee14c0ffee1".into(),
        at: NOW.plus(-ago * 3_600_000),
        subject: subject.into(),
        author: "Grace".into(),
    };
    vec![
        one("main", "branch", "Show half stars", 3),
        one("feature/winter-sale", "branch", "Put the sale on the front page", 30),
        one("v1.1", "tag", "Release 1.1", 200),
        one("v1.0", "tag", "Release 1.0", 900),
        one("4c0ffee1", "commit", "Show half stars <b>", 3),
    ]
}

pub(super) fn form(typed: &[(&str, &str)]) -> Form {
    Form {
        apps: apps(),
        presets: Vec::new(),
        options: LaunchOptions {
            providers: vec![("sandbox".into(), "bubblewrap".into())],
            sizes: Size::ALL.to_vec(),
            lease_default: "8h".into(),
            lease_maximum: "14d".into(),
        },
        typed: Fields(typed.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        revisions: BTreeMap::new(),
    }
}
