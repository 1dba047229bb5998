//! The agent as the first process of a container: it buries what nobody else waits for and takes what it runs with it.

use super::harness::{AgentServer, Node, eventually, python};
use greenroom::machine::processes::{self, Process};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_process_buries_orphans_restarts_the_agent_and_ends_everything_at_the_end() {
    let server = AgentServer::start().await;
    let mut node = Node::with(&server, &["--init"]);
    // Each second a grandchild that outlives its parent, and ends with nobody to wait for it.
    let orphans = "import os, time\nwhile True:\n    if os.fork() == 0:\n        if os.fork() == 0:\n            time.sleep(0.2)\n        os._exit(0)\n    os.wait(); time.sleep(0.2)\n";
    let hash = server.want(&json!([python(&node, "web", orphans, None)]), 0);
    node.begin();
    let report = server.applied(&hash).await;
    let service = report.services[0].pid.unwrap();
    let first = node.agent_pid();
    let children = || processes::all().into_iter().filter(|p| p.parent == first).collect::<Vec<_>>();
    let agent = eventually(
        || "the agent below it".to_owned(),
        || {
            children()
                .into_iter()
                .find(|p| p.variable("GREENROOM_INIT_CHILD").is_some() && p.pid != service)
        },
    );
    let agent = agent.await;
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(zombies(first), 0, "nothing that has ended is left unburied");

    agent.signal(rustix::process::Signal::KILL);
    eventually(
        || "another agent".to_owned(),
        || {
            children()
                .into_iter()
                .find(|p| p.pid != agent.pid && p.pid != service && p.variable("GREENROOM_INIT_CHILD").is_some())
        },
    )
    .await;
    assert!(
        Process::look(service).is_some(),
        "the service goes on while the agent is restarted"
    );

    Process::look(first).unwrap().signal(rustix::process::Signal::TERM);
    eventually(
        || "the end of all of it".to_owned(),
        || (node.has_ended() && Process::look(service).is_none()).then_some(()),
    )
    .await;
}

fn zombies(parent: u32) -> usize {
    let stats = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let rest = stat.rsplit_once(") ")?.1.to_owned();
        let mut fields = rest.split(' ').map(str::to_owned);
        Some((fields.next()?, fields.next()?.parse::<u32>().ok()?))
    });
    stats.filter(|(state, of)| state == "Z" && *of == parent).count()
}
