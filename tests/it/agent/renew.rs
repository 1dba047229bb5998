//! An agent that becomes another program, or itself anew, while what it supervises goes on.

use super::harness::{AgentServer, Node, eventually, python};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

const SLEEPS: &str = "import time; print('up', flush=True); time.sleep(600)";

fn hang_up(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::HUP).unwrap();
}

fn children(pid: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let number = all.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    number
        .filter(|child| {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
            rest.split(' ').nth(1) == Some(&pid.to_string())
        })
        .collect()
}

async fn became(server: &AgentServer, times: usize) {
    let back = || server.log("service/shop-web").matches("the agent is back").count();
    eventually(
        || format!("{times} renewals: {}", server.log("service/shop-web")),
        || (back() >= times).then_some(()),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_hung_up_on_begins_anew_and_its_services_stay_its_own() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let hash = server.want(&json!([python(&node, "shop-web", SLEEPS, None)]), 0);
    server.applied(&hash).await;
    let (agent, service) = (node.agent_pid(), node.processes("shop-web"));
    assert_eq!(service.len(), 1);
    for time in 1..=2 {
        hang_up(agent);
        became(&server, time).await;
    }
    assert_eq!(node.processes("shop-web"), service);
    assert!(children(agent).contains(&service[0]), "it is the same process");

    // It is still told how they end, and buries them.
    let pid = Pid::from_raw(i32::try_from(service[0]).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let log = || server.log("service/shop-web");
    eventually(log, || log().contains("by signal 15").then_some(())).await;
    let started = eventually(log, || {
        node.processes("shop-web").first().copied().filter(|pid| *pid != service[0])
    })
    .await;
    assert!(!Path::new(&format!("/proc/{}", service[0])).exists(), "nothing is left of it");
    assert!(children(agent).contains(&started));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_inventory_becomes_the_program_that_is_put_in_its_place() {
    let server = AgentServer::start().await;
    let mut node = Node::of_the_inventory(&server, &[]);
    let program = node.folder.join("greenroom");
    install(&program, Some(b""));
    node.begin_as(&program);
    let hash = server.want(&json!([python(&node, "shop-web", SLEEPS, None)]), 0);
    server.applied(&hash).await;
    let (agent, service) = (node.agent_pid(), node.processes("shop-web"));
    let runs = || std::fs::read_link(format!("/proc/{agent}/exe")).unwrap();

    // What does not run takes nobody's place.
    install(&program, None);
    let said = || std::fs::read_to_string(node.folder.join("agent.log")).unwrap();
    eventually(said, || said().contains("does not run").then_some(())).await;
    assert!(runs().to_string_lossy().ends_with("(deleted)"), "{:?}", runs());

    install(&program, Some(b"another"));
    became(&server, 1).await;
    assert_eq!(runs(), program);
    assert_eq!(node.processes("shop-web"), service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_first_process_begins_anew_with_its_agent_and_services() {
    let server = AgentServer::start().await;
    let mut node = Node::with(&server, &["--init"]);
    node.begin();
    let hash = server.want(&json!([python(&node, "shop-web", SLEEPS, None)]), 0);
    server.applied(&hash).await;
    let (first, service) = (node.agent_pid(), node.processes("shop-web"));
    let agent = children(first);
    assert_eq!(agent.len(), 1);
    hang_up(first);
    became(&server, 1).await;
    assert_eq!(
        (children(first), node.processes("shop-web")),
        (agent.clone(), service.clone())
    );

    // The one that began anew still looks after the agent.
    kill_process(Pid::from_raw(i32::try_from(agent[0]).unwrap()).unwrap(), Signal::KILL).unwrap();
    became(&server, 2).await;
    assert!(!children(first).contains(&agent[0]));
    assert_eq!(node.processes("shop-web"), service);
}

// Puts the program there with something at its end, which changes nothing but makes it another file; or what is no program.
fn install(program: &PathBuf, more: Option<&[u8]>) {
    let beside = program.with_extension("new");
    match more {
        Some(more) => {
            let mut bytes = std::fs::read(env!("CARGO_BIN_EXE_greenroom")).unwrap();
            bytes.extend_from_slice(more);
            std::fs::write(&beside, bytes).unwrap();
        }
        None => std::fs::write(&beside, "#!/bin/sh\nexit 1\n").unwrap(),
    }
    let made = Command::new("chmod").arg("755").arg(&beside).status().unwrap();
    assert!(made.success());
    std::fs::rename(&beside, program).unwrap();
}
