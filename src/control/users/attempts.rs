//! How often someone may try to sign in: a fixed window in memory.
//!
//! It guards against guessing, not against load: the counts are small, and forgotten when the server restarts.

use crate::control::{ControlError, Result};
use crate::model::time::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const WINDOW_MS: i64 = 60_000;
const FOR_ONE: u32 = 10;
// Bounds the memory and the hashing too.
const FOR_ALL: u32 = 300;

/// Attempts within the present window.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    start: i64,
    all: u32,
    by_name: HashMap<String, u32>,
}

impl Attempts {
    /// Counts an attempt, before it is known how it ends, so that attempts at the same time count too.
    pub(super) fn begin(&self, name: &str, now: Timestamp) -> Result<()> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not lock people out until it catches up.
        if !(0..WINDOW_MS).contains(&now.0.saturating_sub(window.start)) {
            *window = Window {
                start: now.0,
                ..Window::default()
            };
        }
        let tried = window.by_name.get(name).copied().unwrap_or_default();
        if tried >= FOR_ONE || window.all >= FOR_ALL {
            return Err(ControlError::new("too-many-attempts", "Too many attempts to sign in"));
        }
        window.all += 1;
        window.by_name.insert(name.to_owned(), tried + 1);
        Ok(())
    }

    /// Forgets the attempts under a name once one succeeded.
    pub(super) fn forgive(&self, name: &str) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = window.by_name.remove(name).unwrap_or_default();
        window.all = window.all.saturating_sub(tried);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_stops_for_a_minute_and_for_one_name_only() {
        let attempts = Attempts::default();
        let now = Timestamp(1_000_000);
        for _ in 0..FOR_ONE {
            attempts.begin("ada", now).unwrap();
        }
        assert_eq!(attempts.begin("ada", now).unwrap_err().fault.code, "too-many-attempts");
        attempts.begin("bob", now).unwrap();
        attempts.begin("ada", now.plus(WINDOW_MS)).unwrap();
    }

    #[test]
    fn a_success_clears_the_count() {
        let attempts = Attempts::default();
        let now = Timestamp(0);
        for _ in 0..3 * FOR_ALL {
            attempts.begin("ada", now).unwrap();
            attempts.forgive("ada");
        }
    }

    #[test]
    fn many_names_are_bounded_too() {
        let attempts = Attempts::default();
        for n in 0..FOR_ALL {
            attempts.begin(&n.to_string(), Timestamp(5)).unwrap();
        }
        assert!(attempts.begin("one more", Timestamp(5)).is_err());
    }
}
