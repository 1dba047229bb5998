//! The container that a node is: what it may use, and what it is told.

use super::images::{PROGRAM, PROGRAM_FOLDER, Start};
use super::subnet::Subnet;
use super::{DockerOptions, NodeSpec, Way, networks, tags};
use crate::machine::processes;
use crate::model::stack::Size;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions, NetworkingConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use std::collections::HashMap;

/// Where the agent keeps its keys and its journal: a volume, so that no image holds them.
pub(super) const AGENT: &str = "/var/lib/greenroom-agent";
/// Where the server's socket is found.
const SOCKETS: &str = "/run/greenroom";
/// How long a node may take to end; its first process gives the rest eight seconds.
pub(super) const GRACE_S: i32 = 12;

const MIB: i64 = 1024 * 1024;
// What packages need to install themselves and servers to become their own users. Nothing of the machine, no raw packets.
const CAPABILITIES: [&str; 8] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
];

/// How well nodes are kept apart, for people; `disk` says whether the engine can limit it, once that is known.
pub(super) fn isolation(disk: Option<bool>) -> String {
    let disk = match disk {
        Some(true) => "memory, processors, processes and disk are limited",
        Some(false) => "memory, processors and processes are limited, of the disk only the size of single files",
        None => "memory, processors and processes are limited",
    };
    format!("Docker: own system, processes and network without a way out, few privileges; {disk}")
}

/// The container of this spec.
pub(super) fn body(
    options: &DockerOptions,
    spec: &NodeSpec,
    server: &str,
    start: &Start,
    subnet: Subnet,
    limits_disk: bool,
) -> ContainerCreateBody {
    let name = tags::name(&spec.node);
    let environment = options.environment.iter();
    let environment = environment.map(|(name, value)| format!("{}{name}={value}", processes::GIVEN));
    let own = ["HOME=/root", "LANG=C.UTF-8"].map(str::to_owned);
    ContainerCreateBody {
        hostname: Some(spec.stack_name.clone()),
        image: Some(start.image.clone()),
        entrypoint: Some(vec![format!("{PROGRAM_FOLDER}/{PROGRAM}")]),
        cmd: Some(arguments(options, spec, limits_disk)),
        env: Some(own.into_iter().chain(environment).collect()),
        user: Some("0:0".to_owned()),
        working_dir: Some("/".to_owned()),
        labels: Some(tags::of_node(spec, server)),
        stop_signal: Some("SIGTERM".to_owned()),
        host_config: Some(host(options, spec, server, limits_disk)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(name, networks::endpoint(subnet))])),
        }),
        ..ContainerCreateBody::default()
    }
}

fn arguments(options: &DockerOptions, spec: &NodeSpec, limits_disk: bool) -> Vec<String> {
    let server = match &options.way {
        Way::Socket(_) => format!("unix://{SOCKETS}/server.sock"),
        Way::Url(url) => url.clone(),
    };
    let size = spec.size;
    let words = [
        "agent",
        "--folder",
        AGENT,
        "--server",
        &server,
        "--node",
        spec.node.as_str(),
        "--token-file",
        &token_file(),
        "--isolation",
        &isolation(Some(limits_disk)),
        "--file-mb",
        &size.disk_mb().to_string(),
    ];
    words.map(str::to_owned).to_vec()
}

/// Where the agent reads its one-time token.
pub(super) fn token_file() -> String {
    format!("{AGENT}/token")
}

fn host(options: &DockerOptions, spec: &NodeSpec, server: &str, limits_disk: bool) -> HostConfig {
    let size = spec.size;
    let memory = i64::try_from(size.memory_mb()).unwrap_or(i64::MAX / MIB) * MIB;
    HostConfig {
        network_mode: Some(tags::name(&spec.node)),
        mounts: Some(mounts(options, spec, server)),
        // What is stopped stays so; what died, or was there when the engine ended, comes back.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            maximum_retry_count: None,
        }),
        memory: Some(memory),
        memory_swap: Some(memory),
        // As a share of time, which may be more than this machine has, where a count of processors may not.
        cpu_period: Some(100_000),
        cpu_quota: Some(i64::from(size.cpus()) * 100_000),
        pids_limit: Some(i64::from(size.cpus()) * 1024),
        shm_size: Some(256 * MIB),
        storage_opt: limits_disk.then(|| HashMap::from([("size".to_owned(), disk(size))])),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        privileged: Some(false),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "2m".to_owned()),
                ("max-file".to_owned(), "2".to_owned()),
            ])),
        }),
        ..HostConfig::default()
    }
}

// The image is on it too.
fn disk(size: Size) -> String {
    format!("{}m", size.disk_mb() * 4)
}

fn mounts(options: &DockerOptions, spec: &NodeSpec, server: &str) -> Vec<Mount> {
    let mut all = vec![Mount {
        typ: Some(MountType::VOLUME),
        source: Some(tags::name(&spec.node)),
        target: Some(AGENT.to_owned()),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(tags::of_node(spec, server)),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }];
    if let Way::Socket(folder) = &options.way {
        all.push(Mount {
            typ: Some(MountType::BIND),
            source: Some(folder.display().to_string()),
            target: Some(SOCKETS.to_owned()),
            read_only: Some(true),
            ..Mount::default()
        });
    }
    all
}
