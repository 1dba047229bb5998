//! What a node is, as its machine says: names, system, processors, memory, addresses. Nothing that changes by itself, so that it
//! is said once and not each minute.

use serde_json::{Map, Value, json};
use std::fs;
use std::net::UdpSocket;

/// What this machine says of itself.
pub fn collect() -> Value {
    let name = rustix::system::uname();
    let hostname = name.nodename().to_string_lossy().into_owned();
    let release = os_release(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    let text = |key: &str| release.get(key).cloned().unwrap_or_default();
    let mut facts = json!({
        "hostname": hostname.split('.').next().unwrap_or_default(),
        "fqdn": hostname,
        "os": text("ID"),
        "os_version": text("VERSION_ID"),
        "os_codename": text("VERSION_CODENAME"),
        "kernel": name.release().to_string_lossy(),
        "architecture": name.machine().to_string_lossy(),
        "cpus": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "memory_mb": memory_mb(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        "init": fs::read_to_string("/proc/1/comm").unwrap_or_default().trim(),
        "agent": env!("CARGO_PKG_VERSION"),
        // As people who come from Chef ask for them.
        "platform": text("ID"),
        "platform_version": text("VERSION_ID"),
    });
    if let (Some(address), Some(map)) = (address(), facts.as_object_mut()) {
        map.insert("address".to_owned(), Value::from(address.clone()));
        map.insert("ipaddress".to_owned(), Value::from(address));
    }
    facts
}

fn os_release(text: &str) -> Map<String, Value> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(key, value)| (key.trim().to_owned(), Value::from(value.trim().trim_matches('"'))))
        .collect()
}

// Rounded, because kernels differ in what they keep for themselves at each boot.
fn memory_mb(text: &str) -> u64 {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1024 / 16 * 16
}

// The address that others are reached from. Nothing is sent for this.
fn address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_the_same_of_itself_twice() {
        assert_eq!(collect(), collect());
        assert_eq!(os_release("ID=debian\nVERSION_ID=\"12\"\n")["VERSION_ID"], "12");
        assert_eq!(memory_mb("MemTotal:       24604072 kB\nMemFree: 1 kB\n"), 24016);
    }
}
