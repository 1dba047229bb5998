//! The reverse proxy over real sockets: what passes, who may pass, and what must not.

mod gates;
mod hostile;
mod lobby;
mod passing;
mod sharing;
mod waiting;
