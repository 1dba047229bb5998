//! The five fields of cron, checked.

const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (
        1,
        12,
        &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    ),
    (0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// Whether a text is five fields that cron takes.
pub fn is_cron(text: &str) -> bool {
    let fields: Vec<&str> = text.split_whitespace().collect();
    fields.len() == FIELDS.len()
        && fields
            .iter()
            .zip(FIELDS)
            .all(|(field, (min, max, words))| field.split(',').all(|part| is_part(part, min, max, words)))
}

fn is_part(part: &str, min: u32, max: u32, words: &[&str]) -> bool {
    let (range, step) = part.split_once('/').map_or((part, None), |(r, s)| (r, Some(s)));
    if step.is_some_and(|s| s.parse::<u32>().map_or(true, |n| n == 0 || n > max)) {
        return false;
    }
    let value = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let by_name = words.iter().position(|w| *w == lower).and_then(|i| u32::try_from(i).ok());
        by_name
            .map(|i| i + min)
            .or_else(|| text.parse().ok())
            .filter(|n| (min..=max).contains(n))
    };
    match range.split_once('-') {
        Some((from, to)) => matches!((value(from), value(to)), (Some(a), Some(b)) if a <= b),
        None => range == "*" || value(range).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_cron;

    #[test]
    fn ordinary_times_are_taken_and_mistakes_are_not() {
        for text in ["0 3 * * *", "*/5 * * * *", "0 9-17 1,15 jan-mar mon-fri", "0 0 * * 7"] {
            assert!(is_cron(text), "{text}");
        }
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "@daily",
            "* * * * * *",
        ] {
            assert!(!is_cron(text), "{text}");
        }
    }
}
