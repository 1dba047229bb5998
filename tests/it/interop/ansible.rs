//! The real Ansible over our dynamic inventory.

use super::{Company, out, program, run};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn ansible(program: &Path, company: &Company) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", company.folder())
        .env("ANSIBLE_NOCOLOR", "1")
        .env("LC_ALL", "C.UTF-8")
        .current_dir(company.folder());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn ansible_reads_groups_and_variables_without_a_warning() {
    let Some(ansible_inventory) = program("ansible-inventory", &[]) else {
        return;
    };
    let company = Company::open(24_000).await;
    let script = company.script("inventory.sh", "inventory ansible");
    let mut command = ansible(&ansible_inventory, &company);
    command.arg("-i").arg(&script).arg("--list");
    let output = run(command).await;
    let listed: Value = serde_json::from_str(&out(&output)).unwrap();
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(!warnings.contains("WARNING"), "{warnings}");
    assert_eq!(
        listed["env_production"]["hosts"],
        serde_json::json!(["db-1", "web-1", "web-2"])
    );
    assert_eq!(listed["dc_dc_north"]["hosts"], serde_json::json!(["db-1", "web-1"]));
    assert_eq!(listed["role_web"]["hosts"], serde_json::json!(["web-1", "web-2"]));
    assert_eq!(listed["status_maintenance"]["hosts"], serde_json::json!(["db-1"]));
    let host = &listed["_meta"]["hostvars"]["web-2"];
    assert_eq!(host["ansible_host"], "127.0.0.2");
    assert_eq!(host["greenroom_datacenter"], "dc-south");
    assert_eq!(host["greeting"], "hello from web-2");
    assert!(host["greenroom_revision"].as_i64().unwrap() > 0, "{host}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_play_runs_on_the_nodes_of_a_group_and_a_second_one_without_its_database() {
    let Some(playbook) = program("ansible-playbook", &[]) else {
        return;
    };
    let company = Company::open(24_020).await;
    let script = company.script("inventory.sh", "inventory ansible");
    let play = company.folder().join("play.yml");
    std::fs::write(
        &play,
        "- hosts: role_web:!status_maintenance\n  connection: local\n  gather_facts: false\n  tasks:\n    - copy:\n        \
         dest: \"{{ inventory_dir }}/{{ inventory_hostname }}.txt\"\n        content: \"{{ greeting }} in {{ greenroom_datacenter }}\"\n",
    )
    .unwrap();
    let go = || {
        let mut command = ansible(&playbook, &company);
        command.arg("-i").arg(&script).arg(&play);
        command
    };
    let said = out(&run(go()).await);
    assert!(said.contains("changed=1"), "{said}");
    let written = |name: &str| std::fs::read_to_string(company.folder().join(format!("{name}.txt"))).ok();
    assert_eq!(written("web-1").as_deref(), Some("hello from web-1 in dc-north"));
    assert_eq!(written("web-2").as_deref(), Some("hello from web-2 in dc-south"));
    assert_eq!(written("db-1"), None);

    // The server lost its database: what it said last still serves.
    std::fs::remove_file(company.folder().join("web-1.txt")).unwrap();
    company.stage.running.control.store.close().await;
    let said = out(&run(go()).await);
    assert!(said.contains("changed=1"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_is_not_sent_again() {
    let company = Company::open(24_040).await;
    let first = company.get("/api/v1/interop/ansible").await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let again = |etag: String| {
        let url = format!("{}/api/v1/interop/ansible", company.url());
        let request = company.stage.http.get(url).bearer_auth(&company.stage.token);
        async move { request.header("if-none-match", etag).send().await.unwrap() }
    };
    assert_eq!(again(etag.clone()).await.status(), 304);
    let spec = |datacenter: &str| serde_json::json!({"datacenter": datacenter, "environment": "production"});
    company.save("Node", "new-1", spec("dc-north")).await;
    assert_eq!(again(etag).await.status(), 200);
}
