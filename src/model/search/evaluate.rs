//! Whether a document answers a question, told from its terms alone. Slow and plain: what the store's SQL is held to, and
//! what recipes and watchers ask of one document.

use super::{Leaf, Pattern, Query, Spelling, Term, Test, chef_name, number_of, spellings};
use std::collections::BTreeSet;

/// Whether a document with these terms is found.
pub fn matches(query: &Query, terms: &BTreeSet<Term>, spelling: Spelling) -> bool {
    match query {
        Query::All => true,
        Query::And(parts) => parts.iter().all(|part| matches(part, terms, spelling)),
        Query::Or(parts) => parts.iter().any(|part| matches(part, terms, spelling)),
        Query::Not(inner) => !matches(inner, terms, spelling),
        Query::Term(leaf) => terms
            .iter()
            .any(|term| is_key(leaf.field.as_ref(), &term.path, spelling) && is_value(leaf, &term.value)),
    }
}

fn is_key(field: Option<&Pattern>, path: &str, spelling: Spelling) -> bool {
    let Some(field) = field else { return true };
    if field.is_like(path) {
        return true;
    }
    if spelling == Spelling::Strict {
        return false;
    }
    let (joined, leaf) = spellings(path);
    match field.as_text() {
        Some(text) => {
            let name = chef_name(text);
            name == path || name == leaf || name.replace('.', "_") == joined
        }
        None => field.is_like(&joined) || field.is_like(&leaf),
    }
}

fn is_value(leaf: &Leaf, value: &str) -> bool {
    match &leaf.test {
        Test::Like(pattern) => pattern.is_like(value),
        Test::Range { low, high, inclusive } => {
            if let Some((low, high)) = leaf.numbers() {
                let Some(value) = number_of(value) else { return false };
                return within(low.as_ref(), high.as_ref(), &value, *inclusive);
            }
            within(low.as_deref(), high.as_deref(), value, *inclusive)
        }
    }
}

fn within<T: PartialOrd + ?Sized>(low: Option<&T>, high: Option<&T>, value: &T, inclusive: bool) -> bool {
    let above = low.is_none_or(|low| if inclusive { value >= low } else { value > low });
    let below = high.is_none_or(|high| if inclusive { value <= high } else { value < high });
    above && below
}
