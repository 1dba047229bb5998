//! Durable execution: plans are data, and this carries them out so that being killed at any instruction loses nothing.
//!
//! # The promise
//!
//! - **Intent before effect.** Before a step kind is let loose on the world, its attempt is a committed row with an operation
//!   id; after it, the outcome is. A row without an outcome is *in doubt*, never forgotten.
//! - **Probe before retry.** What recovery does with an attempt in doubt depends on its effect class alone: what only reads,
//!   sets an absolute value or carries an operation id is repeated under the same id; what can be seen is looked at; what is
//!   neither repeatable nor visible waits for a person. Nothing here promises "exactly once"; it promises that nobody is
//!   fooled.
//! - **A lease to be alive, a token to be safe.** A run is driven by one worker, through a lease with a token `(term, epoch)`.
//!   Every write is conditional on it, effectors refuse a lower one, and a worker stops by its own clock before its lease can
//!   have passed to another. A worker that wakes up late changes nothing.
//! - **Undo is as durable as do.** A failed run is compensated, leaves first, each undo with its own intent, attempts and
//!   outcome. A step whose attempt may have had an effect is undone, also where nobody knows whether it had.
//! - **People are part of it.** Cancel, retry, skip, complete, abandon are rows that the driver consumes in the same
//!   transaction as their consequence. Nothing stays running without a live lease, and every state has a way out.
//!
//! # How it is built
//!
//! [`core`] decides: `step(state, event) -> commands`, without clock, database or tasks. [`worker`] claims runs and [`drive`]
//! does what the core says: it stores the changed state, the outcomes that led to it and the intents that follow in **one
//! transaction**, and only then lets the step kinds ([`kind`]) work. So a step costs one commit, the next step is dispatched
//! the moment the one before is settled, and a crash between any two instructions leaves the state that the last commit
//! said. Wake-ups are hints: everything is also looked at every second.
//!
//! This module knows nothing of stacks; `steps` does.

pub mod core;
mod drive;
pub mod kind;
mod worker;

pub use drive::{CrashHook, CrashPoint};
pub use worker::{Engine, EngineOptions};
