//! Logs: one line an event, the message readable alone, ids repeated as fields.

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging to standard error. A second call in the same process changes nothing.
pub fn start(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // A line that cannot be written, as on a full disk, is lost; complaining about it in the same place would end the program.
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}
