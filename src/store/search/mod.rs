//! The search index: written with what it is about, read by queries.

mod index;

pub(super) use index::Keys;
