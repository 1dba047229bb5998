//! From the text of a query to its words and signs, each with its place.

use super::{Pattern, Piece, QueryError};

/// A word or sign.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A word; wildcards in it count.
    Word(Pattern),
    /// Text in quotes; nothing in it means anything.
    Phrase(String),
    And,
    Or,
    Not,
    Plus,
    Minus,
    Colon,
    Open,
    Close,
    OpenRange(bool),
    CloseRange(bool),
    To,
    End,
}

impl Token {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Word(pattern) => format!("`{pattern}`"),
            Self::Phrase(text) => format!("{text:?}"),
            Self::And => "`AND`".into(),
            Self::Or => "`OR`".into(),
            Self::Not => "`NOT`".into(),
            Self::Plus => "`+`".into(),
            Self::Minus => "`-`".into(),
            Self::Colon => "`:`".into(),
            Self::Open => "`(`".into(),
            Self::Close => "`)`".into(),
            Self::OpenRange(inclusive) => if *inclusive { "`[`" } else { "`{`" }.into(),
            Self::CloseRange(inclusive) => if *inclusive { "`]`" } else { "`}`" }.into(),
            Self::To => "`TO`".into(),
            Self::End => "the end".into(),
        }
    }
}

/// A token, where it begins, and whether white space is before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) at: usize,
    pub(super) spaced: bool,
}

/// An error at a place of the text.
pub(super) fn error_at(text: &str, at: usize, message: impl Into<String>, expected: impl Into<String>) -> QueryError {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    QueryError {
        message: message.into(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        expected: expected.into(),
    }
}

/// All tokens of a text; the last is its end.
pub(super) fn scan(text: &str) -> Result<Vec<Placed>, QueryError> {
    let mut scanner = Scanner { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        let from = scanner.at;
        scanner.skip_space();
        let spaced = scanner.at > from || from == 0;
        let at = scanner.at;
        let token = scanner.token(spaced || tokens.last().is_some_and(opens))?;
        let end = token == Token::End;
        tokens.push(Placed { token, at, spaced });
        if end {
            return Ok(tokens);
        }
    }
}

// After these a `-` or `+` is a sign, and no part of a word.
fn opens(last: &Placed) -> bool {
    matches!(
        last.token,
        Token::Open | Token::Plus | Token::Minus | Token::Not | Token::And | Token::Or
    )
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.bump();
        }
    }

    fn token(&mut self, begins: bool) -> Result<Token, QueryError> {
        let Some(c) = self.peek() else { return Ok(Token::End) };
        for (sign, token) in [("&&", Token::And), ("||", Token::Or)] {
            if self.text[self.at..].starts_with(sign) {
                self.at += sign.len();
                return Ok(token);
            }
        }
        let single = match c {
            '(' => Token::Open,
            ')' => Token::Close,
            '[' => Token::OpenRange(true),
            ']' => Token::CloseRange(true),
            '{' => Token::OpenRange(false),
            '}' => Token::CloseRange(false),
            ':' => Token::Colon,
            '!' => Token::Not,
            '+' if begins => Token::Plus,
            '-' if begins => Token::Minus,
            '"' => return self.phrase(),
            '~' | '^' => return Err(self.unsupported(c)),
            _ => return self.word(),
        };
        self.bump();
        Ok(single)
    }

    fn unsupported(&self, c: char) -> QueryError {
        let what = if c == '~' { "fuzzy search" } else { "boosting" };
        error_at(
            self.text,
            self.at,
            format!("`{c}` asks for {what}, which is not offered"),
            format!("the word without it, or `\\{c}` for the character itself"),
        )
    }

    fn phrase(&mut self) -> Result<Token, QueryError> {
        let begin = self.at;
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                Some('"') => return Ok(Token::Phrase(text)),
                Some('\\') => text.extend(self.bump()),
                Some(c) => text.push(c),
                None => {
                    return Err(error_at(
                        self.text,
                        begin,
                        "these quotes are not closed",
                        "another `\"` further on",
                    ));
                }
            }
        }
    }

    fn word(&mut self) -> Result<Token, QueryError> {
        let begin = self.at;
        let mut pieces: Vec<Piece> = Vec::new();
        let mut literal = String::new();
        let mut plain = true;
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.bump();
                    plain = false;
                    match self.bump() {
                        Some(c) => literal.push(c),
                        None => {
                            return Err(error_at(
                                self.text,
                                self.at - 1,
                                "there is nothing after this back slash",
                                "the character that it takes the meaning from",
                            ));
                        }
                    }
                }
                '*' | '?' => {
                    self.bump();
                    plain = false;
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    let piece = if c == '*' { Piece::Many } else { Piece::One };
                    if piece != Piece::Many || pieces.last() != Some(&Piece::Many) {
                        pieces.push(piece);
                    }
                }
                '~' | '^' => return Err(self.unsupported(c)),
                '!' => {
                    return Err(error_at(
                        self.text,
                        self.at,
                        "`!` cannot stand inside a word",
                        "`\\!` for the character itself, or white space before it",
                    ));
                }
                '(' | ')' | '[' | ']' | '{' | '}' | ':' | '"' => break,
                c if c.is_whitespace() => break,
                c => {
                    self.bump();
                    literal.push(c);
                }
            }
        }
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        if plain {
            match &self.text[begin..self.at] {
                "AND" => return Ok(Token::And),
                "OR" => return Ok(Token::Or),
                "NOT" => return Ok(Token::Not),
                "TO" => return Ok(Token::To),
                _ => {}
            }
        }
        Ok(Token::Word(Pattern(pieces)))
    }
}
