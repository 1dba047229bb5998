//! The drawing: a plain cloth cover with one ornament, chosen by the book.

const PALETTES: [(&str, &str, &str); 6] = [
    ("#24435c", "#f3ead7", "#d9a441"),
    ("#6d2e46", "#f6ece4", "#e0b089"),
    ("#2f5d50", "#f1efdf", "#c9b458"),
    ("#8a4b2a", "#fbf1e2", "#f0c987"),
    ("#3b3355", "#efe9f4", "#b79ced"),
    ("#22577a", "#eef6f3", "#80ed99"),
];

/// The cover of a book.
pub fn draw(title: &str, author: &str) -> String {
    let seed = hash(&format!("{title}\n{author}"));
    let (ground, ink, accent) = PALETTES[(seed % PALETTES.len() as u64) as usize];
    let ornament = match (seed >> 8) % 3 {
        0 => rings(seed, accent),
        1 => stripes(seed, accent),
        _ => diamond(seed, accent),
    };
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 300 450' role='img' aria-label='{label}'>\
         <rect width='300' height='450' fill='{ground}'/>\
         <rect x='14' y='14' width='272' height='422' fill='none' stroke='{accent}' stroke-opacity='.55'/>{ornament}",
        label = escape(&format!("{title} by {author}")),
    );
    for (row, line) in wrap(title, 14).iter().take(5).enumerate() {
        out += &format!(
            "<text x='150' y='{y}' text-anchor='middle' font-family='Georgia, serif' font-size='30' fill='{ink}'>{text}</text>",
            y = 84 + row * 36,
            text = escape(line),
        );
    }
    out += &format!(
        "<text x='150' y='412' text-anchor='middle' font-family='Georgia, serif' font-size='17' letter-spacing='1' fill='{ink}'>{}</text></svg>",
        escape(author)
    );
    out
}

fn rings(seed: u64, accent: &str) -> String {
    let count = 3 + (seed >> 16) % 4;
    (0..count)
        .map(|i| format!("<circle cx='150' cy='312' r='{}' fill='none' stroke='{accent}' stroke-width='2'/>", 14 + i * 12))
        .collect()
}

fn stripes(seed: u64, accent: &str) -> String {
    let count = 4 + (seed >> 16) % 4;
    (0..count)
        .map(|i| format!("<rect x='{}' y='270' width='4' height='{}' fill='{accent}'/>", 150 - count * 8 + i * 16, 90 - i * 6))
        .collect()
}

fn diamond(seed: u64, accent: &str) -> String {
    let r = 40 + (seed >> 16) % 24;
    format!(
        "<path d='M150 {t} L{right} 312 L150 {b} L{left} 312 Z' fill='none' stroke='{accent}' stroke-width='3'/><circle cx='150' cy='312' r='6' fill='{accent}'/>",
        t = 312 - r,
        b = 312 + r,
        left = 150 - r,
        right = 150 + r
    )
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&quot;")
}

/// FNV-1a: the same on every machine and in every release of Rust.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_always_has_the_same_cover() {
        assert_eq!(draw("Emma", "Jane Austen"), draw("Emma", "Jane Austen"));
        assert_ne!(draw("Emma", "Jane Austen"), draw("Persuasion", "Jane Austen"));
    }

    #[test]
    fn a_title_cannot_add_elements() {
        assert!(!draw("<script>", "'\"&").contains("<script>"));
    }
}
