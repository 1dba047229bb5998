//! Search: documents as terms. Pure; the store keeps the terms, and finds documents by them.

mod terms;

pub use terms::{Term, number_of, spellings, terms};
