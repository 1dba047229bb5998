//! From words and signs to a question.

use super::scan::{Placed, Token, error_at, scan};
use super::{Leaf, Pattern, Piece, Query, QueryError, Test};

const MAX_LENGTH: usize = 8_000;
const MAX_DEPTH: usize = 40;
const MAX_LEAVES: usize = 200;

/// Reads a query.
///
/// # Errors
/// The first place where it cannot be read.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > MAX_LENGTH {
        let message = format!("the query has {} bytes; at most {MAX_LENGTH} are taken", text.len());
        return Err(error_at(text, 0, message, "a shorter query"));
    }
    let mut parser = Parser {
        text,
        tokens: scan(text)?,
        at: 0,
        depth: 0,
        leaves: 0,
    };
    if *parser.peek() == Token::End {
        return Err(parser.error("the query is empty", "a word, `field:value`, or `*:*` for everything"));
    }
    let query = parser.any(None)?;
    match parser.peek() {
        Token::End => Ok(query),
        Token::Close => Err(parser.error(
            "this `)` closes nothing",
            "a `(` before it, or `\\)` for the character itself",
        )),
        _ => Err(parser.unexpected("`AND`, `OR`, another word, or the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
    leaves: usize,
}

// How an alternative stands among the others.
enum Standing {
    Optional(Query),
    Required(Query),
    Prohibited(Query),
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].token.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn error(&self, message: impl Into<String>, expected: impl Into<String>) -> QueryError {
        error_at(self.text, self.tokens[self.at].at, message, expected)
    }

    fn unexpected(&self, expected: &str) -> QueryError {
        self.error(format!("{} cannot stand here", self.peek().describe()), expected)
    }

    // Alternatives: joined by OR or by standing beside each other.
    fn any(&mut self, field: Option<&Pattern>) -> Result<Query, QueryError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(
                format!("the query is nested more than {MAX_DEPTH} levels deep"),
                "fewer parentheses",
            ));
        }
        let mut parts = Vec::new();
        let mut said_or = false;
        loop {
            let part = self.all(field)?;
            let or_follows = *self.peek() == Token::Or;
            parts.push(match part {
                // `NOT x OR y` says what it says; `y -x` takes away.
                Standing::Prohibited(query) if said_or || or_follows => Standing::Optional(Query::Not(Box::new(query))),
                other => other,
            });
            said_or = or_follows;
            if or_follows {
                self.next();
            } else if matches!(self.peek(), Token::End | Token::Close) {
                break;
            }
        }
        self.depth -= 1;
        let (mut optional, mut required) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Standing::Optional(query) => optional.push(query),
                Standing::Required(query) => required.push(query),
                Standing::Prohibited(query) => required.push(Query::Not(Box::new(query))),
            }
        }
        let is_wanted = |query: &Query| !matches!(query, Query::Not(_));
        if !optional.is_empty() && !required.iter().any(is_wanted) {
            required.insert(0, one_of(optional, Query::Or));
        }
        Ok(one_of(required, Query::And))
    }

    // Parts joined by AND.
    fn all(&mut self, field: Option<&Pattern>) -> Result<Standing, QueryError> {
        let first = self.signed(field)?;
        if *self.peek() != Token::And {
            return Ok(first);
        }
        let mut parts = vec![plain(first)];
        while *self.peek() == Token::And {
            self.next();
            parts.push(plain(self.signed(field)?));
        }
        Ok(Standing::Optional(Query::And(parts)))
    }

    fn signed(&mut self, field: Option<&Pattern>) -> Result<Standing, QueryError> {
        let mut not = false;
        let mut required = false;
        loop {
            match self.peek() {
                Token::Not | Token::Minus => {
                    not = !not;
                    required = false;
                }
                Token::Plus => required = true,
                _ => break,
            }
            self.next();
        }
        let query = self.one(field)?;
        Ok(match (not, required) {
            (true, _) => Standing::Prohibited(query),
            (false, true) => Standing::Required(query),
            (false, false) => Standing::Optional(query),
        })
    }

    fn one(&mut self, field: Option<&Pattern>) -> Result<Query, QueryError> {
        match self.peek() {
            Token::Open => self.group(field),
            Token::OpenRange(_) if field.is_some() => self.range(field),
            Token::OpenRange(_) => Err(self.error("a range needs a field", "`field:[1 TO 9]`")),
            Token::Phrase(_) => {
                let Token::Phrase(text) = self.next() else {
                    return Err(self.unexpected("a word"));
                };
                self.leaf(field, Test::Like(Pattern::text(text)))
            }
            Token::Word(_) | Token::To => {
                let word = self.word();
                if *self.peek() == Token::Colon && !self.tokens[self.at].spaced {
                    if field.is_some() {
                        return Err(self.error(
                            "there is a field already",
                            "`\\:` for the character itself, or the value in quotes",
                        ));
                    }
                    return self.value_of(&word);
                }
                self.leaf(field, Test::Like(word))
            }
            Token::End => Err(self.error("something is missing at the end", "a word, a field or `(`")),
            _ => Err(self.unexpected("a word, a field or `(`")),
        }
    }

    fn word(&mut self) -> Pattern {
        match self.next() {
            Token::Word(pattern) => pattern,
            _ => Pattern::text("TO"),
        }
    }

    fn value_of(&mut self, field: &Pattern) -> Result<Query, QueryError> {
        self.next();
        let is_everything = field.is_anything() && matches!(self.peek(), Token::Word(value) if value.is_anything());
        if is_everything {
            self.next();
            return Ok(Query::All);
        }
        if self.tokens[self.at].spaced || *self.peek() == Token::End {
            return Err(self.error(
                format!("`{field}:` has no value"),
                "a value right after the colon; `*` for any",
            ));
        }
        // `*:x` asks for x anywhere.
        let field = Some(field).filter(|field| !field.is_anything());
        match self.peek() {
            Token::Open => self.group(field),
            Token::OpenRange(_) => self.range(field),
            // A sign right after the colon belongs to the value.
            Token::Minus | Token::Plus => {
                let sign = if self.next() == Token::Minus { "-" } else { "+" };
                let mut word = self.word_after_sign()?;
                word.0.insert(0, Piece::Text(sign.to_owned()));
                if let [Piece::Text(a), Piece::Text(b), ..] = word.0.as_slice() {
                    let joined = format!("{a}{b}");
                    word.0.splice(..2, [Piece::Text(joined)]);
                }
                self.leaf(field, Test::Like(word))
            }
            Token::Phrase(_) => self.one(field),
            Token::Word(_) | Token::To => {
                let word = self.word();
                if *self.peek() == Token::Colon {
                    return Err(self.error(
                        "a value cannot hold a bare `:`",
                        "`\\:` for the character itself, or the value in quotes",
                    ));
                }
                self.leaf(field, Test::Like(word))
            }
            // `field:AND`: a value all the same.
            Token::And | Token::Or | Token::Not => Err(self.unexpected("a value; put the word in quotes")),
            _ => Err(self.unexpected("a value, `(`, `[` or `{`")),
        }
    }

    fn word_after_sign(&mut self) -> Result<Pattern, QueryError> {
        match self.peek() {
            Token::Word(_) if !self.tokens[self.at].spaced => Ok(self.word()),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn group(&mut self, field: Option<&Pattern>) -> Result<Query, QueryError> {
        let open = self.at;
        self.next();
        if *self.peek() == Token::Close {
            return Err(self.error("these parentheses are empty", "a word or a field between them"));
        }
        let query = self.any(field)?;
        if *self.peek() != Token::Close {
            self.at = open;
            return Err(self.error("this `(` is not closed", "a `)` further on"));
        }
        self.next();
        Ok(query)
    }

    fn range(&mut self, field: Option<&Pattern>) -> Result<Query, QueryError> {
        let Token::OpenRange(inclusive) = self.next() else {
            return Err(self.unexpected("`[` or `{`"));
        };
        let low = self.end_of_range()?;
        if *self.peek() != Token::To {
            return Err(self.unexpected("`TO`"));
        }
        self.next();
        let high = self.end_of_range()?;
        match self.next() {
            Token::CloseRange(closes) if closes == inclusive => {}
            _ => {
                self.at = self.at.saturating_sub(1);
                return Err(self.unexpected(if inclusive { "`]`" } else { "`}`" }));
            }
        }
        self.leaf(field, Test::Range { low, high, inclusive })
    }

    fn end_of_range(&mut self) -> Result<Option<String>, QueryError> {
        let sign = match self.peek() {
            Token::Minus => "-",
            Token::Plus => "+",
            _ => "",
        };
        if !sign.is_empty() {
            self.next();
        }
        match self.peek() {
            Token::Phrase(text) if sign.is_empty() => {
                let text = text.clone();
                self.next();
                Ok(Some(text))
            }
            Token::Word(pattern) if pattern.is_anything() && sign.is_empty() => {
                self.next();
                Ok(None)
            }
            Token::Word(pattern) => match pattern.as_text() {
                Some(text) => {
                    let text = format!("{sign}{text}");
                    self.next();
                    Ok(Some(text))
                }
                None => Err(self.error(
                    "the end of a range is one value",
                    "a value without `*` and `?`, or `*` alone for none",
                )),
            },
            _ => Err(self.unexpected("a value, or `*` where the range is open")),
        }
    }

    fn leaf(&mut self, field: Option<&Pattern>, test: Test) -> Result<Query, QueryError> {
        self.leaves += 1;
        if self.leaves > MAX_LEAVES {
            return Err(self.error(format!("the query has more than {MAX_LEAVES} words"), "fewer words"));
        }
        if field.is_none() && matches!(&test, Test::Like(pattern) if pattern.is_anything()) {
            return Ok(Query::All);
        }
        Ok(Query::Term(Leaf {
            field: field.cloned(),
            test,
        }))
    }
}

fn plain(standing: Standing) -> Query {
    match standing {
        Standing::Optional(query) | Standing::Required(query) => query,
        Standing::Prohibited(query) => Query::Not(Box::new(query)),
    }
}

fn one_of(mut parts: Vec<Query>, join: impl FnOnce(Vec<Query>) -> Query) -> Query {
    if parts.len() == 1 { parts.remove(0) } else { join(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
    }

    #[test]
    fn and_binds_tighter_than_or_and_words_beside_each_other_are_alternatives() {
        assert_eq!(read("a OR b AND c"), "(a OR (b AND c))");
        assert_eq!(read("a b && c || d"), "(a OR (b AND c) OR d)");
        assert_eq!(read("(a b) AND c"), "((a OR b) AND c)");
    }

    #[test]
    fn what_is_signed_is_required_or_taken_away() {
        assert_eq!(read("a -b"), "((NOT b) AND a)".replace("(NOT b) AND a", "a AND (NOT b)"));
        assert_eq!(read("-a b c"), "((b OR c) AND (NOT a))");
        assert_eq!(read("a +b -c"), "(b AND (NOT c))");
        assert_eq!(read("NOT a"), "(NOT a)");
        assert_eq!(read("a AND NOT b"), "(a AND (NOT b))");
        assert_eq!(read("a OR NOT b"), "(a OR (NOT b))");
        assert_eq!(read("!!a"), "a");
        assert_eq!(read("web-1 AND a+b"), r"(web\-1 AND a\+b)");
    }

    #[test]
    fn fields_take_words_groups_phrases_and_ranges() {
        assert_eq!(read("role:web"), "role:web");
        assert_eq!(read("role:(web OR db)"), "(role:web OR role:db)");
        assert_eq!(read(r#"t:"a \"b\" *""#), r#"t:a\ \"b\"\ \*"#);
        assert_eq!(read("m:[900 TO 1000]"), r#"m:["900" TO "1000"]"#);
        assert_eq!(read("m:{-5 TO *}"), r#"m:{"-5" TO *}"#);
        assert_eq!(read(r"run_list:role\[web\]"), r"run_list:role\[web\]");
        assert_eq!(read(r"recipes:apache\:\:default"), r"recipes:apache\:\:default");
        assert_eq!(read("kernel.*:6.?"), "kernel.*:6.?");
        assert_eq!(read("x:-1"), r"x:\-1");
        assert_eq!(read("*:*"), "*:*");
        assert_eq!(read("*"), "*:*");
        assert_eq!(read("a TO"), r"(a OR \TO)");
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_place() {
        let cases = [
            ("", 1, "the query is empty"),
            ("a AND", 6, "something is missing at the end"),
            ("(a", 1, "this `(` is not closed"),
            ("a)", 2, "this `)` closes nothing"),
            ("a~2", 2, "`~` asks for fuzzy search"),
            ("a^2", 2, "`^` asks for boosting"),
            ("a:b:c", 4, "a value cannot hold a bare `:`"),
            ("a:", 3, "`a:` has no value"),
            ("a:[1 TO 2}", 10, "`}` cannot stand here"),
            ("a:[1 2]", 6, "`2` cannot stand here"),
            ("\"a", 1, "these quotes are not closed"),
            ("()", 2, "these parentheses are empty"),
            ("[1 TO 2]", 1, "a range needs a field"),
            ("a AND AND b", 7, "`AND` cannot stand here"),
            ("a\\", 2, "there is nothing after this back slash"),
        ];
        for (text, column, message) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (1, column), "{text}: {error}");
            assert!(
                error.message.starts_with(message) && !error.expected.is_empty(),
                "{text}: {error}"
            );
        }
        assert_eq!(parse("a AND\n  b:").unwrap_err().line, 2);
    }

    #[test]
    fn depth_and_length_are_limited() {
        assert!(parse(&"(".repeat(5_000)).is_err());
        assert!(parse(&"a ".repeat(300)).is_err());
        assert!(parse(&"a".repeat(9_000)).is_err());
    }
}
