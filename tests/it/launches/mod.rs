//! Launches on a real server with real sandboxes: they serve, or they fail with a cause and leave nothing.

mod changes;
mod databases;
mod disk;
mod distant;
mod docker;
mod failures;
mod hostile;
mod pools;
mod previews;
mod sleep;
pub(crate) mod stage;
