//! Processes, found by marks in their environment, their parents and their groups.
//!
//! A mark is an environment variable that a process inherits from the one that started it. Programs that rewrite their
//! environment (to show a status in `ps`) or leave it are still found as descendants or group members of marked ones.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::fs;

/// Names the node whose process it is.
pub const NODE: &str = "GREENROOM_NODE";
/// The agent's folder: tells the nodes of several servers on one machine apart.
pub const FOLDER: &str = "GREENROOM_FOLDER";
/// The service whose process it is.
pub const SERVICE: &str = "GREENROOM_SERVICE";
/// The state whose program it is.
pub const TASK: &str = "GREENROOM_TASK";
/// Before the name of a variable that the agent is to give to all it starts.
pub const GIVEN: &str = "GREENROOM_GIVEN_";

/// A process as it was a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// When it started, in clock ticks since boot: with the number, its identity.
    pub ticks: u64,
    /// Whether it waits for something, rather than computes or reads from a disk.
    pub rests: bool,
    environment: Vec<u8>,
}

/// Tells one start of this machine, or of this container, from the next; none where that cannot be known.
pub fn boot() -> Option<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let first = Process::look(1)?;
    Some(format!("{}/{}", kernel.trim(), first.ticks))
}

impl Process {
    /// The process of this number, unless it has ended.
    pub fn look(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may itself hold spaces and parentheses.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        if matches!(state, "Z" | "X") {
            return None;
        }
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let ticks = fields.nth(16)?.parse().ok()?;
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        Some(Self {
            pid,
            parent,
            group,
            ticks,
            rests: state == "S",
            environment,
        })
    }

    /// The value of an environment variable, as it was when the program started.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Sends a signal to this very process; whether it was still there.
    pub fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return false;
        };
        let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else {
            return false;
        };
        // Held first, compared second: from here on the number cannot become another process's.
        is_alive(self.pid, self.ticks) && pidfd_send_signal(&held, signal).is_ok()
    }
}

/// Whether the process of this number is the one that started then.
pub fn is_alive(pid: u32, ticks: u64) -> bool {
    Process::look(pid).is_some_and(|p| p.ticks == ticks)
}

/// All processes that can be seen.
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::look)
        .collect()
}

/// Of these, the ones that are chosen, their groups' other members, and all their descendants. This process is never among
/// them, and neither is anyone for being in its group.
pub fn family(all: &[Process], chosen: impl Fn(&Process) -> bool) -> Vec<Process> {
    let own = std::process::id();
    let own_group = all.iter().find(|p| p.pid == own).map(|p| p.group);
    let mut pids: BTreeSet<u32> = all.iter().filter(|p| p.pid != own && chosen(p)).map(|p| p.pid).collect();
    loop {
        // Only groups that a member of the family leads are the family's own.
        let groups: BTreeSet<u32> = all
            .iter()
            .filter(|p| pids.contains(&p.pid) && p.group == p.pid && Some(p.group) != own_group)
            .map(|p| p.group)
            .collect();
        let more: Vec<u32> = all
            .iter()
            .filter(|p| !pids.contains(&p.pid) && p.pid != own && (pids.contains(&p.parent) || groups.contains(&p.group)))
            .map(|p| p.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        pids.extend(more);
    }
    all.iter()
        .filter(|p| pids.contains(&p.pid) && p.pid != own)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn a_marked_process_and_its_unmarked_descendants_are_found_and_nothing_else() {
        let mark = format!("test-{}", rand::random::<u64>());
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "env -i /bin/sleep 30 & wait"])
            .env(FOLDER, &mark)
            .process_group(0)
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let found = loop {
            let found = family(&all(), |p| p.variable(FOLDER) == Some(&mark));
            if found.len() == 2 || std::time::Instant::now() > deadline {
                break found;
            }
            std::thread::yield_now();
        };
        assert_eq!(found.len(), 2, "{found:?}");
        for process in &found {
            assert!(process.signal(Signal::KILL));
        }
        child.wait().unwrap();
        while found.iter().any(|p| is_alive(p.pid, p.ticks)) {
            assert!(std::time::Instant::now() < deadline, "{found:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_number_with_another_start_is_another_process() {
        let own = Process::look(std::process::id()).unwrap();
        assert!(is_alive(own.pid, own.ticks));
        assert!(!is_alive(own.pid, own.ticks + 1));
    }
}
