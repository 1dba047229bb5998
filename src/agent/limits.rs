//! What the agent and everything it starts may use. Limits are set on the agent itself and inherited.

use crate::model::fault::Fault;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const MIB: u64 = 1024 * 1024;

/// Limits for each process; none where absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory for a process's data, in MiB.
    pub memory_mb: Option<u64>,
    /// The size of a file, in MiB.
    pub file_mb: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Processes of the user.
    pub processes: Option<u64>,
}

impl Limits {
    /// Sets them on this process. A limit that is already lower stays.
    ///
    /// # Errors
    /// Where the system refuses one.
    pub fn apply(&self) -> Result<(), Fault> {
        let set = |resource: Resource, most: Option<u64>| {
            let Some(most) = most else { return Ok(()) };
            let now = getrlimit(resource);
            let least = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
            let wanted = Rlimit {
                current: least(now.current),
                maximum: least(now.maximum),
            };
            setrlimit(resource, wanted)
                .map_err(|e| Fault::new("internal", format!("The limit {resource:?} cannot be set")).why(e))
        };
        set(Resource::Data, self.memory_mb.map(|mb| mb.saturating_mul(MIB)))?;
        set(Resource::Fsize, self.file_mb.map(|mb| mb.saturating_mul(MIB)))?;
        set(Resource::Nofile, self.open_files)?;
        set(Resource::Nproc, self.processes)?;
        set(Resource::Core, Some(0))
    }
}
