//! The drawing: a night, a sea, a garden or a letter, chosen by the book, under a title on a paper label.

struct Palette {
    sky: &'static str,
    deep: &'static str,
    light: &'static str,
    accent: &'static str,
}

const PALETTES: [Palette; 8] = [
    Palette { sky: "#1d3557", deep: "#0b1b33", light: "#f1faee", accent: "#e9c46a" },
    Palette { sky: "#7b2d43", deep: "#3d1226", light: "#fbeee6", accent: "#f4a261" },
    Palette { sky: "#2d6a4f", deep: "#123524", light: "#f4f1de", accent: "#ffd166" },
    Palette { sky: "#bc6c25", deep: "#5a2d0c", light: "#fefae0", accent: "#ffe8a3" },
    Palette { sky: "#4a3f6b", deep: "#1f1a33", light: "#f3edff", accent: "#cdb4ff" },
    Palette { sky: "#1b6e7a", deep: "#0b343b", light: "#eafaf6", accent: "#9ee493" },
    Palette { sky: "#b5485d", deep: "#5c1a2e", light: "#fff1ee", accent: "#ffd6a5" },
    Palette { sky: "#44546a", deep: "#1c2633", light: "#f5f3ee", accent: "#f2b880" },
];

/// Numbers that follow from the book alone.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// The cover of a book.
pub fn draw(title: &str, author: &str) -> String {
    let mut dice = Dice(hash(&format!("{title}\n{author}")) | 1);
    let palette = &PALETTES[dice.roll(8) as usize];
    let scene = match dice.roll(5) {
        0 => night(&mut dice, palette),
        1 => sea(&mut dice, palette),
        2 => garden(&mut dice, palette),
        3 => rays(&mut dice, palette),
        _ => letter(&mut dice, palette),
    };
    let Palette { sky, deep, light, accent } = palette;
    let lines = wrap(title, 15);
    let lines = &lines[..lines.len().min(5)];
    let label = 52 + lines.len() * 30;
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 300 450' role='img' aria-label='{name}'>\
         <defs><linearGradient id='g' x1='0' y1='0' x2='0' y2='1'><stop offset='0' stop-color='{sky}'/><stop offset='1' stop-color='{deep}'/></linearGradient></defs>\
         <rect width='300' height='450' fill='url(#g)'/>{scene}\
         <rect x='30' y='34' width='240' height='{label}' rx='3' fill='{light}'/>\
         <rect x='35' y='39' width='230' height='{inner}' rx='2' fill='none' stroke='{deep}' stroke-opacity='.35'/>",
        name = escape(&format!("{title} by {author}")),
        inner = label - 10,
    );
    for (row, line) in lines.iter().enumerate() {
        out += &format!(
            "<text x='150' y='{y}' text-anchor='middle' font-family='Georgia, serif' font-size='25' font-weight='bold' fill='{deep}'>{text}</text>",
            y = 74 + row * 30,
            text = escape(line),
        );
    }
    out += &format!(
        "<rect x='0' y='0' width='10' height='450' fill='#000' fill-opacity='.22'/>\
         <text x='150' y='420' text-anchor='middle' font-family='Georgia, serif' font-style='italic' font-size='18' fill='{accent}'>{author}</text></svg>",
        author = escape(author),
    );
    out
}

fn night(dice: &mut Dice, palette: &Palette) -> String {
    let Palette { deep, light, accent, .. } = palette;
    let mut out = String::new();
    for _ in 0..40 {
        let (x, y, r) = (dice.roll(300), 150 + dice.roll(170), 1 + dice.roll(2));
        out += &format!("<circle cx='{x}' cy='{y}' r='{r}' fill='{light}' fill-opacity='.7'/>");
    }
    let moon = 70 + dice.roll(160);
    out += &format!("<circle cx='{moon}' cy='250' r='34' fill='{accent}'/>");
    let (a, b) = (300 + dice.roll(40), 330 + dice.roll(40));
    out + &format!(
        "<path d='M0 {a} Q80 {p} 160 {b} T300 {a} V450 H0 Z' fill='{deep}'/><path d='M0 {b} Q120 {q} 300 {b} V450 H0 Z' fill='#000' fill-opacity='.35'/>",
        p = a - 50,
        q = b - 26
    )
}

fn sea(dice: &mut Dice, palette: &Palette) -> String {
    let Palette { light, accent, .. } = palette;
    let sun = 60 + dice.roll(180);
    let mut out = format!("<circle cx='{sun}' cy='262' r='40' fill='{accent}' fill-opacity='.9'/>");
    for row in 0..6 {
        let y = 290 + row * 22;
        let shift = dice.roll(40);
        out += &format!(
            "<path d='M-{shift} {y} q20 -12 40 0 t40 0 t40 0 t40 0 t40 0 t40 0 t40 0 t40 0 t40 0 V450 H0 Z' fill='{light}' fill-opacity='.09'/>"
        );
    }
    let ship = 90 + dice.roll(120);
    out + &format!(
        "<path d='M{x} 292 h44 l-8 14 h-28 Z M{mast} 290 v-38 l20 32 h-20 Z' fill='{light}'/>",
        x = ship,
        mast = ship + 20
    )
}

fn garden(dice: &mut Dice, palette: &Palette) -> String {
    let Palette { light, accent, deep, .. } = palette;
    let mut out = String::new();
    for stem in 0..7 {
        let x = 36 + stem * 38;
        let top = 230 + dice.roll(90);
        let lean = dice.roll(30) as i64 - 15;
        let head = x as i64 + lean;
        out += &format!("<path d='M{x} 400 Q{x} {bend} {head} {top}' stroke='{light}' stroke-opacity='.6' stroke-width='2' fill='none'/>", bend = top + 60);
        for petal in 0..6 {
            out += &format!(
                "<ellipse cx='{head}' cy='{cy}' rx='5' ry='12' fill='{accent}' fill-opacity='.85' transform='rotate({angle} {head} {top})'/>",
                cy = top as i64 - 11,
                angle = petal * 60
            );
        }
        out += &format!("<circle cx='{head}' cy='{top}' r='5' fill='{deep}'/>");
    }
    out
}

fn rays(dice: &mut Dice, palette: &Palette) -> String {
    let Palette { light, accent, .. } = palette;
    let count = 16 + 2 * dice.roll(8);
    let mut out = String::new();
    for ray in 0..count {
        let angle = ray as f64 * 360.0 / count as f64;
        let length = if ray % 2 == 0 { 120 } else { 78 };
        out += &format!("<rect x='149' y='{y}' width='2' height='{length}' fill='{light}' fill-opacity='.5' transform='rotate({angle:.1} 150 290)'/>", y = 290 - length);
    }
    out + &format!("<circle cx='150' cy='290' r='46' fill='{accent}'/><circle cx='150' cy='290' r='36' fill='none' stroke='#fff' stroke-opacity='.6' stroke-width='2'/>")
}

fn letter(dice: &mut Dice, palette: &Palette) -> String {
    let Palette { light, accent, .. } = palette;
    let tilt = dice.roll(16) as i64 - 8;
    format!(
        "<g transform='rotate({tilt} 150 300)'><rect x='70' y='248' width='160' height='106' rx='4' fill='{light}' fill-opacity='.92'/>\
         <path d='M70 252 L150 312 L230 252' fill='none' stroke='#000' stroke-opacity='.25' stroke-width='2'/>\
         <circle cx='150' cy='312' r='17' fill='{accent}'/><circle cx='150' cy='312' r='11' fill='none' stroke='#000' stroke-opacity='.25' stroke-width='2'/></g>"
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
