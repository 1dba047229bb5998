//! Durable execution (placeholder head; the doctrine is written by the engine's author).
pub mod kind;
