//! The proof that nothing is left: processes that carry the demo's marks or stand in its folder, ports that still answer,
//! sandboxes that are still on disk. It asks the operating system, not the server.

use crate::machine::processes::{self, FOLDER, Process};
use crate::model::fault::Fault;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

// A process that was killed takes a moment to vanish.
const PATIENCE: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_millis(300);

/// What is left.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Numbers of processes.
    pub processes: Vec<u32>,
    /// Addresses and ports that answer.
    pub places: Vec<SocketAddr>,
    /// Nodes that a provider still has.
    pub nodes: Vec<String>,
    /// Files and folders.
    pub files: Vec<PathBuf>,
}

impl Leftovers {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.processes.len() + self.places.len() + self.nodes.len() + self.files.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// What to tell people.
    pub fn fault(&self) -> Fault {
        Fault::new("undo-failed", "Something of the demo is left")
            .why(format!(
                "processes {:?}, ports {:?}, nodes {:?}, files {:?}",
                self.processes, self.places, self.nodes, self.files
            ))
            .next("End these processes and remove these files")
    }
}

/// Looks until nothing is left, or for two seconds.
pub fn look(folder: &Path, places: &BTreeSet<SocketAddr>) -> Leftovers {
    let began = Instant::now();
    loop {
        let left = look_once(folder, places);
        if left.is_empty() || began.elapsed() > PATIENCE {
            return left;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn look_once(folder: &Path, places: &BTreeSet<SocketAddr>) -> Leftovers {
    let own = std::process::id();
    Leftovers {
        processes: processes::all()
            .iter()
            .filter(|process| process.pid != own && belongs(process, folder))
            .map(|process| process.pid)
            .collect(),
        places: places.iter().copied().filter(answers).collect(),
        nodes: Vec::new(),
        files: sandboxes(folder),
    }
}

fn belongs(process: &Process, folder: &Path) -> bool {
    let marked = process
        .variable(FOLDER)
        .is_some_and(|marked| Path::new(marked).starts_with(folder));
    let link = |name: &str| std::fs::read_link(format!("/proc/{}/{name}", process.pid));
    marked
        || ["cwd", "exe"]
            .iter()
            .any(|name| link(name).is_ok_and(|path| path.starts_with(folder)))
}

fn answers(place: &SocketAddr) -> bool {
    TcpStream::connect_timeout(place, CONNECT).is_ok()
}

// A node's folder is named by its id; what else is there belongs to the provider.
fn sandboxes(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("sandboxes")) else {
        return Vec::new();
    };
    let of_node = |path: &PathBuf| {
        path.file_name().is_some_and(|name| {
            name.to_str()
                .is_some_and(|name| name.parse::<crate::model::id::NodeId>().is_ok())
        })
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(of_node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_marked_process_an_open_port_and_a_sandbox_are_found_and_then_not() {
        let folder = tempfile::tempdir().unwrap();
        let node = crate::model::id::NodeId::from_bits(7);
        let sandbox = folder.path().join("sandboxes").join(node.as_str());
        std::fs::create_dir_all(&sandbox).unwrap();
        std::fs::create_dir_all(folder.path().join("sandboxes/.fences")).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let places = BTreeSet::from([listener.local_addr().unwrap()]);
        let mut marked = Command::new("sleep").arg("30").env(FOLDER, &sandbox).spawn().unwrap();
        let mut standing = Command::new("sleep").arg("30").current_dir(&sandbox).spawn().unwrap();

        let left = look(folder.path(), &places);
        assert_eq!(left.count(), 4, "{left:?}");
        assert!(left.processes.contains(&marked.id()) && left.processes.contains(&standing.id()));

        for process in [&mut marked, &mut standing] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        drop(listener);
        std::fs::remove_dir_all(&sandbox).unwrap();
        assert!(look(folder.path(), &places).is_empty());
    }
}
