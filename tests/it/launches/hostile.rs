//! What is not a name is refused with a problem, and nothing is made of it.

use super::stage::Stage;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const HOSTILE: [&str; 8] = [
    "--upload-pack=touch /tmp/owned",
    "../../etc/passwd",
    "a;touch owned",
    "main\nmain",
    "$(touch owned)",
    "a\0b",
    "ext::sh -c touch% owned",
    "`touch owned`",
];

fn files(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // The database's own files come and go.
        if path.to_string_lossy().contains("greenroom.db") {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        }
        found.insert(path);
    }
}

fn all_files(stage: &Stage) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    files(stage.folder.path(), &mut found);
    found
}

async fn is_refused(stage: &Stage, path: &str, body: &Value) {
    let answer = stage.post(path, body).await;
    let status = answer.status();
    assert!(status.is_client_error(), "{path} {body}: {status}");
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/problem+json", "{path} {body}");
    let problem: Value = answer.json().await.unwrap();
    assert!(problem["code"].is_string() && problem["hint"].is_string(), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_in_a_launch_are_refused_and_make_nothing() {
    let stage = Stage::open(24_500).await;
    stage.good_app("hello").await;
    stage
        .running
        .control
        .plan_stack(&stage.admin, &super::stage::request("main"))
        .await
        .unwrap();
    let before = all_files(&stage);
    for text in HOSTILE {
        for path in ["/api/v1/stacks", "/api/v1/stacks/plan"] {
            is_refused(&stage, path, &json!({"apps": [{"app": text}]})).await;
            is_refused(&stage, path, &json!({"apps": [{"app": "app", "revision": text}]})).await;
            is_refused(&stage, path, &json!({"name": text, "apps": [{"app": "app"}]})).await;
            is_refused(&stage, path, &json!({"provider": text, "apps": [{"app": "app"}]})).await;
            is_refused(&stage, path, &json!({"lease": text, "apps": [{"app": "app"}]})).await;
            is_refused(&stage, path, &json!({"data": {text: "empty"}, "apps": [{"app": "app"}]})).await;
            is_refused(
                &stage,
                path,
                &json!({"data": {format!("app/{text}"): "fixture"}, "apps": [{"app": "app"}]}),
            )
            .await;
        }
    }
    assert_eq!(all_files(&stage), before);
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_in_paths_and_signals_are_refused() {
    let stage = Stage::open(24_520).await;
    stage.good_app("hello").await;
    let accepted = stage.launch().await.unwrap();
    let stack = stage.serves(&accepted, "hello").await;
    for text in HOSTILE {
        let text = percent(text);
        for path in [
            format!("/api/v1/stacks/{text}"),
            format!("/api/v1/runs/{text}"),
            format!("/api/v1/runs/{}/steps/{text}/log", accepted.run),
            format!("/api/v1/stacks/{}/services/{text}/log", stack.id),
            format!("/api/v1/apps/{text}"),
            format!("/api/v1/apps/{text}/revisions"),
        ] {
            let answer = stage
                .http
                .get(format!("{}{path}", stage.running.url))
                .bearer_auth(&stage.token)
                .send()
                .await
                .unwrap();
            assert!(answer.status().is_client_error(), "{path}: {}", answer.status());
            assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        }
    }
    for text in HOSTILE {
        let update = json!({"apps": [{"app": "app", "revision": text}]});
        is_refused(&stage, &format!("/api/v1/stacks/{}/update", stack.id), &update).await;
        for verb in ["retry", "skip"] {
            let signal = json!({"signal": verb, "step": text, "reason": "because"});
            is_refused(&stage, &format!("/api/v1/runs/{}/signals", accepted.run), &signal).await;
        }
    }
    assert_eq!(stage.page(&stage.stack(&stack.id).await).await, "hello");
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_in_a_descriptor_are_refused() {
    let stage = Stage::open(24_540).await;
    let before = all_files(&stage);
    for text in HOSTILE {
        let good = json!({
            "apiVersion": "greenroom/v1", "kind": "App",
            "metadata": {"name": "app"},
            "spec": {
                "type": "website", "owners": {"dev": "a", "ops": "b"},
                "repository": "/nowhere/app.git",
                "recipes": [{"name": "python-app"}],
                "processes": {"web": {"command": ["python3"]}},
                "ports": {"http": {}},
            }
        });
        let with = |change: &dyn Fn(&mut Value)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad
        };
        for bad in [
            with(&|d| d["metadata"]["name"] = json!(text)),
            with(&|d| d["spec"]["defaultRef"] = json!(text)),
            with(&|d| d["spec"]["recipes"] = json!([{"name": text}])),
            with(&|d| d["spec"]["processes"] = json!({text: {"command": ["python3"]}})),
            with(&|d| d["spec"]["ports"] = json!({text: {}})),
            with(&|d| d["spec"]["resources"] = json!({text: {"type": "sqlite"}})),
            with(&|d| d["spec"]["resources"] = json!({"db": {"type": "sqlite", "data": {"schema": text}}})),
            with(&|d| d["spec"]["dependsOn"] = json!([{"app": text}])),
        ] {
            // As a path, only what leads out of the checkout is hostile; `;` and `$` mean nothing without a shell.
            let harmless = bad["spec"]["resources"]["db"]["data"]["schema"] == text
                && text.parse::<greenroom::model::name::RelativePath>().is_ok();
            if !harmless {
                is_refused(&stage, "/api/v1/apps", &bad).await;
            }
        }
    }
    for repository in [
        "--upload-pack=touch owned",
        "ext::sh -c touch% owned",
        "/a/../b",
        "-x",
        "/a\nb",
        "/a;b",
        "file://-x",
    ] {
        let bad = json!({
            "apiVersion": "greenroom/v1", "kind": "App", "metadata": {"name": "app"},
            "spec": {
                "type": "website", "owners": {"dev": "a", "ops": "b"}, "repository": repository,
                "recipes": [{"name": "python-app"}], "processes": {"web": {"command": ["python3"]}},
            }
        });
        is_refused(&stage, "/api/v1/apps", &bad).await;
    }
    assert_eq!(all_files(&stage), before);
}

fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "%{byte:02X}");
        all
    })
}
