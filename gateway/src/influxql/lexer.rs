//! Cuts InfluxQL text into tokens.
//!
//! A slash starts a regular expression only where the grammar allows one, so the parser asks for it with
//! [`Lexer::pattern`]; everywhere else it is a division. Positions count characters from 1, as InfluxDB's do.

use super::ast::{NANOS_PER_UNIT, Position};
use super::error::ParseError;

/// Words that cannot stand as a bare name.
const KEYWORDS: &[&str] = &[
    "ALL",
    "ALTER",
    "ANY",
    "AS",
    "ASC",
    "BEGIN",
    "BY",
    "CARDINALITY",
    "CREATE",
    "CONTINUOUS",
    "DATABASE",
    "DATABASES",
    "DEFAULT",
    "DELETE",
    "DESC",
    "DESTINATIONS",
    "DIAGNOSTICS",
    "DISTINCT",
    "DROP",
    "DURATION",
    "END",
    "EVERY",
    "EXACT",
    "EXPLAIN",
    "FIELD",
    "FOR",
    "FROM",
    "GRANT",
    "GRANTS",
    "GROUP",
    "GROUPS",
    "IN",
    "INF",
    "INSERT",
    "INTO",
    "KEY",
    "KEYS",
    "KILL",
    "LIMIT",
    "MEASUREMENT",
    "MEASUREMENTS",
    "NAME",
    "OFFSET",
    "ON",
    "ORDER",
    "PASSWORD",
    "POLICY",
    "POLICIES",
    "PRIVILEGES",
    "QUERIES",
    "QUERY",
    "READ",
    "REPLICATION",
    "RESAMPLE",
    "RETENTION",
    "REVOKE",
    "SELECT",
    "SERIES",
    "SET",
    "SHARD",
    "SHARDS",
    "SHOW",
    "SLIMIT",
    "SOFFSET",
    "STATS",
    "SUBSCRIPTION",
    "SUBSCRIPTIONS",
    "TAG",
    "TO",
    "USER",
    "USERS",
    "VALUES",
    "WHERE",
    "WITH",
    "WRITE",
];

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, bare or in double quotes.
    Name(String),
    /// A reserved word, in upper case.
    Keyword(&'static str),
    /// `'text'`.
    Text(String),
    /// Digits.
    Integer(String),
    /// Digits with a decimal point.
    Number(f64),
    /// A span of time in nanoseconds.
    Duration(i64),
    /// `$name`.
    Parameter(String),
    /// `true` or `false`.
    Boolean(bool),
    /// An operator or a mark.
    Mark(&'static str),
    /// The end of the text.
    End,
}

impl Token {
    /// Returns the token as an error message shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Name(text) | Self::Text(text) | Self::Integer(text) => text.clone(),
            Self::Keyword(word) | Self::Mark(word) => (*word).to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Duration(nanos) => super::ast::duration_text(*nanos),
            Self::Parameter(name) => format!("${name}"),
            Self::Boolean(value) => value.to_string(),
            Self::End => "EOF".to_owned(),
        }
    }
}

/// A token and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) at: Position,
    /// The byte offset of the token's first character.
    pub(super) offset: usize,
}

/// The text and how far it has been read.
pub(super) struct Lexer<'a> {
    text: &'a str,
    offset: usize,
    at: Position,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            offset: 0,
            at: Position { line: 1, column: 1 },
        }
    }

    /// Returns to a token's first character, to read it again as something else.
    pub(super) fn rewind(&mut self, token: &Placed) {
        self.offset = token.offset;
        self.at = token.at;
    }

    fn peek(&self) -> Option<char> {
        self.text[self.offset..].chars().next()
    }

    fn peek_second(&self) -> Option<char> {
        self.text[self.offset..].chars().nth(1)
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.offset += next.len_utf8();
        if next == '\n' {
            self.at.line += 1;
            self.at.column = 1;
        } else {
            self.at.column += 1;
        }
        Some(next)
    }

    fn take_while(&mut self, accepts: impl Fn(char) -> bool) -> &'a str {
        let start = self.offset;
        while self.peek().is_some_and(&accepts) {
            self.bump();
        }
        &self.text[start..self.offset]
    }

    fn skip_blanks(&mut self) -> Result<(), ParseError> {
        loop {
            let rest = &self.text[self.offset..];
            if rest.starts_with(char::is_whitespace) {
                self.bump();
            } else if rest.starts_with("--") {
                self.take_while(|c| c != '\n');
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let at = self.at;
                let end = comment
                    .find("*/")
                    .ok_or_else(|| ParseError::at(at, "a comment has no end; close it with */"))?;
                for _ in 0..rest[..end + 4].chars().count() {
                    self.bump();
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Returns the next token.
    pub(super) fn next(&mut self) -> Result<Placed, ParseError> {
        self.skip_blanks()?;
        let (at, offset) = (self.at, self.offset);
        let token = match self.peek() {
            None => Token::End,
            Some('"') => Token::Name(self.quoted('"')?),
            Some('\'') => Token::Text(self.quoted('\'')?),
            Some('$') => {
                self.bump();
                Token::Parameter(if self.peek() == Some('"') {
                    self.quoted('"')?
                } else {
                    self.take_while(is_name_char).to_owned()
                })
            }
            Some(c) if c.is_ascii_digit() => self.number()?,
            Some('.') if self.peek_second().is_some_and(|c| c.is_ascii_digit()) => self.number()?,
            Some(c) if is_name_start(c) => word(self.take_while(is_name_char)),
            Some(_) => self.mark()?,
        };
        Ok(Placed { token, at, offset })
    }

    fn mark(&mut self) -> Result<Token, ParseError> {
        const MARKS: &[&str] = &[
            "::", "=~", "!~", "!=", "<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "&",
            "|", "^", "(", ")", ",", ";", ".", ":",
        ];
        let rest = &self.text[self.offset..];
        let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) else {
            let found = self.peek().unwrap_or_default();
            return Err(ParseError::at(
                self.at,
                format!(
                    "found {found}, which is no part of InfluxQL; put names into double quotes and text into single ones"
                ),
            ));
        };
        for _ in 0..mark.len() {
            self.bump();
        }
        Ok(Token::Mark(mark))
    }

    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        let at = self.at;
        self.bump();
        let mut text = String::new();
        loop {
            match self.bump() {
                Some(c) if c == quote => return Ok(text),
                Some('\\') => match self.bump() {
                    Some('n') => text.push('\n'),
                    Some(c @ ('\\' | '"' | '\'')) => text.push(c),
                    other => {
                        let found = other.map_or_else(String::new, |c| c.to_string());
                        return Err(ParseError::at(
                            at,
                            format!(
                                "bad escape: \\{found}; only \\n, \\\\, \\\" and \\' are known"
                            ),
                        ));
                    }
                },
                Some('\n') | None => {
                    return Err(ParseError::at(
                        at,
                        format!("found {text}, which has no closing {quote}"),
                    ));
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn number(&mut self) -> Result<Token, ParseError> {
        let at = self.at;
        let start = self.offset;
        self.take_while(|c| c.is_ascii_digit());
        if self.peek() == Some('.') && self.peek_second().is_some_and(|c| c.is_ascii_digit()) {
            self.bump();
            self.take_while(|c| c.is_ascii_digit());
            let digits = &self.text[start..self.offset];
            return digits
                .parse()
                .map(Token::Number)
                .map_err(|_| ParseError::at(at, format!("{digits} is no number")));
        }
        if self.peek().is_some_and(|c| c.is_alphabetic() || c == 'µ') {
            self.offset = start;
            self.at = at;
            return self.duration(at);
        }
        Ok(Token::Integer(self.text[start..self.offset].to_owned()))
    }

    fn duration(&mut self, at: Position) -> Result<Token, ParseError> {
        let invalid = || {
            ParseError::bare(
                at,
                "invalid duration: write digits and one of ns, u, ms, s, m, h, d, w",
            )
        };
        let mut total: i64 = 0;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            let digits = self.take_while(|c| c.is_ascii_digit());
            let unit = self.take_while(|c| c.is_alphabetic() || c == 'µ');
            let nanos = NANOS_PER_UNIT
                .iter()
                .find(|(name, _)| *name == unit || (*name == "u" && unit == "µ"))
                .ok_or_else(invalid)?
                .1;
            total = digits
                .parse::<i64>()
                .ok()
                .and_then(|count| count.checked_mul(nanos))
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| {
                    ParseError::bare(at, "overflowed duration: choose a smaller duration or INF")
                })?;
        }
        Ok(Token::Duration(total))
    }

    /// Reads `/pattern/` when the next character starts one.
    pub(super) fn pattern(&mut self) -> Result<Option<(String, Position)>, ParseError> {
        self.skip_blanks()?;
        let at = self.at;
        if self.peek() != Some('/') {
            return Ok(None);
        }
        self.bump();
        let mut source = String::new();
        loop {
            match self.bump() {
                Some('/') => return Ok(Some((source, at))),
                Some('\\') if self.peek() == Some('/') => {
                    self.bump();
                    source.push('/');
                }
                Some('\\') => {
                    source.push('\\');
                    source.extend(self.bump());
                }
                Some('\n') | None => {
                    return Err(ParseError::at(
                        at,
                        "the regular expression has no closing /",
                    ));
                }
                Some(c) => source.push(c),
            }
        }
    }
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn word(text: &str) -> Token {
    if text.eq_ignore_ascii_case("true") {
        return Token::Boolean(true);
    }
    if text.eq_ignore_ascii_case("false") {
        return Token::Boolean(false);
    }
    keyword(text).map_or_else(|| Token::Name(text.to_owned()), Token::Keyword)
}

/// Returns the reserved word that the text is, in whatever case.
pub(super) fn keyword(text: &str) -> Option<&'static str> {
    KEYWORDS
        .iter()
        .find(|keyword| keyword.eq_ignore_ascii_case(text))
        .copied()
        .or_else(|| match () {
            () if text.eq_ignore_ascii_case("and") => Some("AND"),
            () if text.eq_ignore_ascii_case("or") => Some("OR"),
            () => None,
        })
}

/// Says whether a name can stand without quotes.
pub(super) fn is_bare_name(text: &str) -> bool {
    text.starts_with(is_name_start)
        && text.chars().all(is_name_char)
        && matches!(word(text), Token::Name(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            match lexer.next().expect("good text").token {
                Token::End => return tokens,
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn durations_numbers_and_comments_are_told_apart() {
        assert_eq!(
            tokens("1h30m 1.5 12 /* x */ 3µ -- end"),
            [
                Token::Duration(5_400_000_000_000),
                Token::Number(1.5),
                Token::Integer("12".into()),
                Token::Duration(3_000),
            ]
        );
    }

    #[test]
    fn quotes_take_escapes() {
        assert_eq!(
            tokens(r#""a\"b" 'it\'s'"#),
            [Token::Name("a\"b".into()), Token::Text("it's".into())]
        );
    }

    #[test]
    fn an_unknown_unit_is_an_invalid_duration() {
        let error = Lexer::new("5x").next().expect_err("no such unit");
        assert!(error.to_string().contains("invalid duration"));
    }
}
