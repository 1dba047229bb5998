//! Points in time and lengths of time: milliseconds inside, RFC 3339 and "2h 30m" outside.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A point in time: milliseconds since the Unix epoch, UTC. Written as RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This point in time moved by `millis` (negative: earlier).
    pub const fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this point, never negative.
    pub const fn since(self, earlier: Self) -> i64 {
        let span = self.0.saturating_sub(earlier.0);
        if span < 0 { 0 } else { span }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(time.as_millisecond()))
    }
}

/// Reads a length of time such as `45m`, `2h 30m` or `3d` into milliseconds.
///
/// # Errors
/// A sentence that says what was expected, for anything else, a negative length, or one above ten years.
pub fn parse_length(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is not a length of time: write it like `45m`, `2h 30m` or `3d`");
    let span: jiff::Span = text.trim().parse().map_err(|_| bad())?;
    let seconds = span
        .total(jiff::SpanTotal::from(jiff::Unit::Millisecond).days_are_24_hours())
        .map_err(|_| bad())?;
    if !(0.0..=315_360_000_000.0).contains(&seconds) {
        return Err(bad());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was just checked")]
    Ok(seconds as i64)
}

/// A length of time for people: `850 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub fn show_length(millis: i64) -> String {
    let seconds = millis / 1000;
    match millis {
        ..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{}.{} s", seconds, (millis % 1000) / 100),
        60_000..3_600_000 if seconds % 60 == 0 => format!("{} min", seconds / 60),
        60_000..3_600_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600_000..86_400_000 if (seconds / 60) % 60 == 0 => format!("{} h", seconds / 3600),
        3_600_000..86_400_000 => format!("{} h {} min", seconds / 3600, (seconds / 60) % 60),
        _ if (seconds / 3600) % 24 == 0 => format!("{} d", seconds / 86_400),
        _ => format!("{} d {} h", seconds / 86_400, (seconds / 3600) % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        assert_eq!(parse_length("2h 30m"), Ok(9_000_000));
        assert_eq!(parse_length("3d"), Ok(259_200_000));
        assert_eq!(parse_length("45m"), Ok(2_700_000));
        assert!(parse_length("-1h").is_err());
        assert!(parse_length("soon").is_err());
    }

    #[test]
    fn lengths_are_shown_in_two_units_at_most() {
        assert_eq!(show_length(850), "850 ms");
        assert_eq!(show_length(4_250), "4.2 s");
        assert_eq!(show_length(185_000), "3 min 5 s");
        assert_eq!(show_length(7_200_000), "2 h");
        assert_eq!(show_length(273_600_000), "3 d 4 h");
    }

    #[test]
    fn a_timestamp_round_trips_through_rfc_3339() {
        let json = serde_json::to_string(&Timestamp(1_700_000_000_123)).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(
            serde_json::from_str::<Timestamp>(&json).unwrap(),
            Timestamp(1_700_000_000_123)
        );
    }
}
