//! Parses InfluxQL into the tree, by recursive descent; expressions by precedence climbing.

mod admin;
mod expr;
mod select;
mod show;

use serde_json::{Map, Value as Json};

use super::ast::{Limits, Position, Statement};
use super::error::ParseError;
use super::lexer::{Lexer, Placed, Token};

type Parsed<T> = Result<T, ParseError>;

/// How deep parentheses, calls and subqueries may nest; deeper text is refused before the stack is.
const DEPTH_MAX: usize = 64;
/// How many operators a statement may have: a chain of them is a tree as deep as it is long.
const OPERATORS_MAX: usize = 1000;

/// The first words of a statement.
const STATEMENTS: &[&str] = &[
    "SELECT", "DELETE", "SHOW", "CREATE", "DROP", "EXPLAIN", "GRANT", "REVOKE", "ALTER", "SET",
    "KILL",
];

/// Parses a query: statements with semicolons between them.
///
/// `parameters` are what `$name` stands for.
///
/// # Errors
///
/// Says where the text is wrong and what could stand there.
pub fn parse(text: &str, parameters: &Map<String, Json>) -> Result<Vec<Statement>, ParseError> {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        peeked: None,
        parameters,
        depth: 0,
        operators: 0,
    };
    let mut statements = Vec::new();
    let mut separated = true;
    loop {
        let next = parser.peek()?.clone();
        match next.token {
            Token::End => return Ok(statements),
            Token::Mark(";") => {
                parser.advance()?;
                separated = true;
            }
            _ if !separated => {
                return Err(ParseError::expected(&next.token.shown(), next.at, &[";"]));
            }
            _ => {
                parser.operators = 0;
                statements.push(parser.statement()?);
                separated = false;
            }
        }
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    peeked: Option<Placed>,
    parameters: &'a Map<String, Json>,
    depth: usize,
    /// Of the statement in hand.
    operators: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Parsed<&Placed> {
        if self.peeked.is_none() {
            self.peeked = Some(self.lexer.next()?);
        }
        Ok(self.peeked.as_ref().expect("a token was just read"))
    }

    fn advance(&mut self) -> Parsed<Placed> {
        match self.peeked.take() {
            Some(token) => Ok(token),
            None => self.lexer.next(),
        }
    }

    fn at(&mut self) -> Parsed<Position> {
        Ok(self.peek()?.at)
    }

    /// Fails with what was found and what could stand there.
    fn unexpected<T>(&mut self, expected: &[&str]) -> Parsed<T> {
        let found = self.peek()?;
        Err(ParseError::expected(
            &found.token.shown(),
            found.at,
            expected,
        ))
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == DEPTH_MAX {
            let at = self.at()?;
            return Err(ParseError::at(
                at,
                format!("the query nests deeper than {DEPTH_MAX} levels; flatten it"),
            ));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn count_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            let at = self.at()?;
            return Err(ParseError::at(
                at,
                format!(
                    "the statement has more than {OPERATORS_MAX} operators; a regular expression such as host =~ /^(a|b)$/ stands for many OR"
                ),
            ));
        }
        Ok(())
    }

    fn take_mark(&mut self, mark: &str) -> Parsed<bool> {
        let found = matches!(self.peek()?.token, Token::Mark(found) if found == mark);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect_mark(&mut self, mark: &'static str) -> Parsed<()> {
        if self.take_mark(mark)? {
            Ok(())
        } else {
            self.unexpected(&[mark])
        }
    }

    fn take_word(&mut self, word: &str) -> Parsed<bool> {
        let found = match &self.peek()?.token {
            Token::Keyword(found) => *found == word,
            _ => false,
        };
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect_word(&mut self, word: &'static str) -> Parsed<()> {
        if self.take_word(word)? {
            Ok(())
        } else {
            self.unexpected(&[word])
        }
    }

    /// Takes the one of the words that stands next.
    fn expect_one_of(&mut self, words: &[&'static str]) -> Parsed<&'static str> {
        for word in words {
            if self.take_word(word)? {
                return Ok(word);
            }
        }
        self.unexpected(words)
    }

    /// Takes a bare name that is no keyword, whatever its case: `fill`, `tz`.
    fn take_bare(&mut self, name: &str) -> Parsed<bool> {
        let found = match &self.peek()?.token {
            Token::Name(found) => found.eq_ignore_ascii_case(name),
            _ => false,
        };
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn name(&mut self) -> Parsed<String> {
        match &self.peek()?.token {
            Token::Name(_) => match self.advance()?.token {
                Token::Name(name) => Ok(name),
                _ => self.unexpected(&["identifier"]),
            },
            _ => self.unexpected(&["identifier"]),
        }
    }

    fn count(&mut self) -> Parsed<usize> {
        let next = self.peek()?.clone();
        if let Token::Integer(digits) = &next.token {
            self.advance()?;
            return digits.parse().map_err(|_| {
                ParseError::at(
                    next.at,
                    format!("{digits} is too large; give at most {}", usize::MAX),
                )
            });
        }
        if let Token::Parameter(name) = &next.token
            && let Some(count) = self.parameters.get(name).and_then(Json::as_u64)
        {
            self.advance()?;
            return Ok(count as usize);
        }
        self.unexpected(&["integer"])
    }

    fn limits(&mut self) -> Parsed<Limits> {
        let mut limits = Limits::default();
        for (word, place) in [
            ("LIMIT", &mut limits.limit),
            ("OFFSET", &mut limits.offset),
            ("SLIMIT", &mut limits.slimit),
            ("SOFFSET", &mut limits.soffset),
        ] {
            if self.take_word(word)? {
                *place = self.count()?;
            }
        }
        Ok(limits)
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let first = self.peek()?.clone();
        if self.is_flux(&first.token)? {
            return Err(flux(first.at));
        }
        match self.expect_one_of(STATEMENTS)? {
            "SELECT" => Ok(Statement::Select(Box::new(self.select()?))),
            "SHOW" => self.show(),
            "CREATE" => self.create(),
            "DROP" => self.drop_statement(),
            "EXPLAIN" => {
                let analyze = self.take_bare("ANALYZE")?;
                if !self.take_word("SELECT")? {
                    return self.unexpected(&["ANALYZE", "SELECT"]);
                }
                let select = Box::new(self.select()?);
                Ok(Statement::Explain { analyze, select })
            }
            "DELETE" => self.delete(),
            "ALTER" => self.alter_policy(),
            "GRANT" => self.unsupported(
                "GRANT",
                "write the tokens and their scopes into the tokens file",
            ),
            "REVOKE" => self.unsupported("REVOKE", "take the token out of the tokens file"),
            "SET" => self.unsupported(
                "SET",
                "write the tokens and their scopes into the tokens file",
            ),
            _ => self.unsupported(
                "KILL",
                "a query ends by itself after HEADROOM_QUERY_TIMEOUT_S",
            ),
        }
    }

    /// Says whether a statement that begins so is a script of InfluxDB 2's: `from(…)`, `x = from(…)`, `import "…"`, `// …`.
    fn is_flux(&mut self, first: &Token) -> Parsed<bool> {
        let (Token::Name(_) | Token::Keyword("FROM") | Token::Mark("/")) = first else {
            return Ok(false);
        };
        let begin = self.advance()?;
        let next = self.peek()?.token.clone();
        let is_flux = match first {
            Token::Name(name) => {
                matches!(
                    name.as_str(),
                    "from" | "buckets" | "import" | "option" | "package"
                ) || next == Token::Mark("=")
            }
            Token::Mark(_) => next == Token::Mark("/"),
            _ => true,
        };
        if !is_flux {
            self.lexer.rewind(&begin);
            self.peeked = None;
        }
        Ok(is_flux)
    }

    /// Passes over the rest of a statement that is known and not carried out.
    fn unsupported(&mut self, text: &str, instead: &'static str) -> Parsed<Statement> {
        while !matches!(self.peek()?.token, Token::End | Token::Mark(";")) {
            self.advance()?;
        }
        Ok(Statement::Unsupported {
            text: text.to_owned(),
            instead,
        })
    }
}

fn flux(at: Position) -> ParseError {
    ParseError::at(
        at,
        format!(
            "found what looks like Flux; this server speaks InfluxQL, such as SELECT mean(\"usage_idle\") FROM \"cpu\" \
             GROUP BY time(5m). Expected {}",
            STATEMENTS.join(", ")
        ),
    )
}
