//! Searching: the grammar against noise, and the databases against a plain reading of the same question.

mod grammar;
mod oracle;
