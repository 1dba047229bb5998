//! Durable execution: a plan is data, and this carries it out so that being killed at any instruction loses nothing, does
//! nothing twice that may not be done twice, and never leaves anyone guessing.
//!
//! # What is promised, and what is not
//!
//! Nobody can promise that an effect happens exactly once: between the effect and the note about it there is always an
//! instant, and power fails in instants. What can be promised is that nobody is fooled:
//!
//! 1. **Intent before effect.** Before a step kind touches the world, its attempt is a committed row with an operation id.
//!    After it, the outcome is. An attempt with an intent and no outcome is *in doubt*, and is never treated as if it had not
//!    been made.
//! 2. **The class decides what doubt means**, not the mood of the code that finds it. What only reads, sets an absolute value
//!    or carries an operation id that its effector remembers is sent again, the latter under the *same* id. What can be
//!    observed is observed first. What is neither repeatable nor observable waits for a person, who says: done, not done, or
//!    undo.
//! 3. **A lease to be alive, a token to be safe.** One worker drives a run, by a lease it renews. Leases are about clocks, and
//!    clocks lie, so no correctness rests on them: every write is conditional on the token `(term, epoch)` bound to the
//!    holder's boot id, and effectors refuse a lower token. A holder stops beginning things by its own monotonic clock well
//!    before its lease can pass on; one that wakes up late finds that its first write touches no row, and drops everything.
//! 4. **Undo is as durable as do.** A failed or cancelled run is taken back last step first, each undo with its own intent,
//!    tries and outcome. Whatever was tried is undone, whatever it said of itself: an undo that finds nothing costs little, an
//!    orphan costs trust. An undo that fails for good leaves the run *stuck*, which is loud, and one retry away from going on.
//! 5. **People are steps too.** Cancel, retry, skip, complete, abandon are rows, taken up in the transaction of their
//!    consequence, answered where they are refused, the same when said twice. No state is without a way out.
//! 6. **The journal is the truth.** Each turn appends the event that caused it to a hash-chained journal. Folding the journal
//!    through the core gives the run's rows again; a test does so.
//!
//! # How it is built
//!
//! [`core`] decides: `step(state, event) -> (state, commands)`, without clock, database or tasks, so the simulation and the
//! replay of a journal run the very code that production runs. One driver task a run feeds it events and does what it says,
//! in this order and no other:
//!
//! ```text
//!            event                 one transaction                   effects
//!  outcome ───────────► core ──►  state, outcomes, intents,  ──►  step kinds work, each in
//!  signal, time                   journal, if the token holds      a task, within its limit ──┐
//!     ▲                                                                                       │
//!     └───────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The outcome of one step and the intents of those it makes ready share a transaction, so a step in a chain costs one commit
//! and the next is under way the moment it returns. A commit whose answer is lost is tried again: it finds itself done by the
//! journal's place and hash. Wake-ups follow commits and are hints; everything is also looked at now and then without one.
//!
//! The worker claims whatever is due. Runs of one subject exclude each other: the later waits until the earlier has ended, and
//! nothing kills anything. A row that cannot be read, a kind that nobody knows, a panic in a step, a mistake in the core itself
//! (every transition is checked against [`core::table`]) each stop the run they happen to, under a code, and no other.
//!
//! This module knows nothing of stacks, nodes or deploys; `steps` does. It must not learn.

mod attempt;
pub mod core;
mod decide;
mod driver;
pub mod kind;
pub mod replay;
mod worker;

pub use attempt::op_id;
pub use worker::{CrashHook, CrashPoint, Engine, EngineOptions};
