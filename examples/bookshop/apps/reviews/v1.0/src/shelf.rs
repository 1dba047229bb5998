//! The reviews: those that come with the app, and those that readers added since.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

const FIRST: &str = include_str!("../data/reviews.tsv");

#[derive(Clone)]
pub struct Review {
    pub book: String,
    pub stars: u8,
    pub reader: String,
    pub text: String,
}

impl Review {
    /// A review as a form gives it.
    pub fn from_form(book: &str, form: &[(String, String)]) -> Result<Self, &'static str> {
        let field = |name: &str| {
            let value = form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim());
            value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect::<String>()
        };
        let stars = field("stars").parse().ok().filter(|stars| (1..=5).contains(stars));
        let review = Self {
            book: book.to_owned(),
            stars: stars.ok_or("give 1 to 5 stars")?,
            reader: field("reader"),
            text: field("text"),
        };
        if review.text.is_empty() || review.reader.is_empty() {
            return Err("a review has a reader and a text");
        }
        Ok(review)
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split('\t').map(str::to_owned);
        Some(Self {
            book: fields.next()?,
            stars: fields.next()?.parse().ok()?,
            reader: fields.next()?,
            text: fields.next()?,
        })
    }
}

pub struct Shelf {
    file: PathBuf,
    reviews: Mutex<Vec<Review>>,
}

impl Shelf {
    /// Reads what is there; a file that is not there yet is empty.
    pub fn open(file: &str) -> std::io::Result<Self> {
        let added = match std::fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let reviews = FIRST.lines().chain(added.lines()).filter_map(Review::from_line).collect();
        Ok(Self { file: file.into(), reviews: Mutex::new(reviews) })
    }

    pub fn all(&self) -> Vec<Review> {
        self.lock().clone()
    }

    pub fn of(&self, book: &str) -> Vec<Review> {
        self.lock().iter().filter(|review| review.book == book).cloned().collect()
    }

    /// Keeps a review: in the file first, so that what was thanked for is not lost.
    pub fn add(&self, review: Review) -> std::io::Result<()> {
        let mut reviews = self.lock();
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        writeln!(file, "{}\t{}\t{}\t{}", review.book, review.stars, review.reader, review.text)?;
        reviews.push(review);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Review>> {
        self.reviews.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_needs_stars_between_one_and_five() {
        let form = |stars: &str| {
            [("reader", "Ada"), ("text", "Good"), ("stars", stars)].map(|(k, v)| (k.to_owned(), v.to_owned()))
        };
        assert!(Review::from_form("emma", &form("5")).is_ok());
        assert!(Review::from_form("emma", &form("6")).is_err());
        assert!(Review::from_form("emma", &form("many")).is_err());
    }

    #[test]
    fn every_review_that_comes_with_the_app_can_be_read() {
        assert!(FIRST.lines().all(|line| Review::from_line(line).is_some()));
    }
}
