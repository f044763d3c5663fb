//! Expressions.

use serde_json::Value as Json;

use super::super::ast::{Call, Expr, Kind, Operator, Pattern, Position, Ref};
use super::super::error::ParseError;
use super::super::lexer::Token;
use super::{Parsed, Parser};

const OPERANDS: &[&str] = &["identifier", "string", "number", "bool"];
const KINDS: &[&str] = &[
    "float", "integer", "unsigned", "string", "boolean", "field", "tag",
];

impl Parser<'_> {
    /// Parses an expression with all its operators.
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        self.nested(|parser| parser.expr_above(0))
    }

    fn expr_above(&mut self, floor: u8) -> Parsed<Expr> {
        let mut left = self.operand()?;
        while let Some(operator) = self.operator()? {
            if operator.precedence() <= floor {
                break;
            }
            self.count_operator()?;
            self.advance()?;
            let right = if matches!(operator, Operator::Matches | Operator::MatchesNot) {
                match self.pattern()? {
                    Some(pattern) => Expr::Pattern(pattern),
                    None => self.pattern_parameter()?,
                }
            } else {
                self.nested(|parser| parser.expr_above(operator.precedence()))?
            };
            left = Expr::Binary {
                operator,
                left: Box::new(left),
                right: Box::new(right),
            };
        }
        Ok(left)
    }

    fn operator(&mut self) -> Parsed<Option<Operator>> {
        Ok(match self.peek()?.token {
            Token::Keyword("OR") => Some(Operator::Or),
            Token::Keyword("AND") => Some(Operator::And),
            Token::Mark(mark) => match mark {
                "=" => Some(Operator::Equal),
                "!=" | "<>" => Some(Operator::NotEqual),
                "=~" => Some(Operator::Matches),
                "!~" => Some(Operator::MatchesNot),
                "<" => Some(Operator::Less),
                "<=" => Some(Operator::LessOrEqual),
                ">" => Some(Operator::Greater),
                ">=" => Some(Operator::GreaterOrEqual),
                "+" => Some(Operator::Add),
                "-" => Some(Operator::Subtract),
                "|" => Some(Operator::BitOr),
                "^" => Some(Operator::BitXor),
                "*" => Some(Operator::Multiply),
                "/" => Some(Operator::Divide),
                "%" => Some(Operator::Remainder),
                "&" => Some(Operator::BitAnd),
                _ => None,
            },
            _ => None,
        })
    }

    /// Reads a regular expression when one stands next.
    pub(super) fn pattern(&mut self) -> Parsed<Option<Pattern>> {
        if let Some(token) = self.peeked.take() {
            if token.token != Token::Mark("/") {
                self.peeked = Some(token);
                return Ok(None);
            }
            self.lexer.rewind(&token);
        }
        let Some((source, at)) = self.lexer.pattern()? else {
            return Ok(None);
        };
        Pattern::new(&source)
            .map(Some)
            .map_err(|error| ParseError::at(at, format!("error parsing regexp: {error}")))
    }

    fn pattern_parameter(&mut self) -> Parsed<Expr> {
        let next = self.peek()?.clone();
        if let Token::Parameter(name) = &next.token {
            self.advance()?;
            return match self.parameter(name, next.at)? {
                pattern @ Expr::Pattern(_) => Ok(pattern),
                _ => Err(ParseError::expected(
                    &next.token.shown(),
                    next.at,
                    &["regex"],
                )),
            };
        }
        self.unexpected(&["regex"])
    }

    fn operand(&mut self) -> Parsed<Expr> {
        let next = self.peek()?.clone();
        match next.token {
            Token::Mark("(") => {
                self.advance()?;
                let inner = self.expr()?;
                self.expect_mark(")")?;
                Ok(Expr::Paren(Box::new(inner)))
            }
            Token::Mark("*") => {
                self.advance()?;
                Ok(Expr::Wildcard(self.wildcard_kind()?))
            }
            Token::Mark(sign @ ("-" | "+")) => {
                self.advance()?;
                self.nested(|parser| parser.signed(sign == "-"))
            }
            Token::Keyword("DISTINCT") => {
                self.advance()?;
                self.distinct()
            }
            Token::Name(name) => {
                self.advance()?;
                if self.take_mark("(")? {
                    return self.call(&name);
                }
                let kind = self.cast()?;
                Ok(Expr::Ref(Ref { name, kind }))
            }
            Token::Text(text) => {
                self.advance()?;
                Ok(Expr::Text(text))
            }
            Token::Integer(digits) => {
                self.advance()?;
                integer(&digits, next.at)
            }
            Token::Number(number) => {
                self.advance()?;
                Ok(Expr::Number(number))
            }
            Token::Duration(nanos) => {
                self.advance()?;
                Ok(Expr::Duration(nanos))
            }
            Token::Boolean(value) => {
                self.advance()?;
                Ok(Expr::Boolean(value))
            }
            Token::Parameter(name) => {
                self.advance()?;
                self.parameter(&name, next.at)
            }
            _ => self.unexpected(OPERANDS),
        }
    }

    fn signed(&mut self, negative: bool) -> Parsed<Expr> {
        let next = self.peek()?.clone();
        let factor = if negative { -1 } else { 1 };
        match &next.token {
            Token::Integer(digits) if negative => {
                self.advance()?;
                format!("-{digits}")
                    .parse()
                    .map(Expr::Integer)
                    .map_err(|_| {
                        ParseError::at(next.at, format!("constant -{digits} underflows int64"))
                    })
            }
            Token::Integer(_) | Token::Number(_) | Token::Duration(_) => {
                Ok(match self.operand()? {
                    Expr::Number(value) if negative => Expr::Number(-value),
                    Expr::Duration(nanos) => Expr::Duration(nanos * factor),
                    other => other,
                })
            }
            Token::Name(_) | Token::Mark("(") | Token::Parameter(_) => {
                let operand = self.operand()?;
                Ok(Expr::Binary {
                    operator: Operator::Multiply,
                    left: Box::new(Expr::Integer(factor)),
                    right: Box::new(operand),
                })
            }
            _ => self.unexpected(&["identifier", "number", "duration", "("]),
        }
    }

    fn distinct(&mut self) -> Parsed<Expr> {
        if self.take_mark("(")? {
            return self.call("distinct");
        }
        let name = self.name()?;
        Ok(Expr::Call(Call {
            name: "distinct".to_owned(),
            args: vec![Expr::Ref(Ref { name, kind: None })],
        }))
    }

    /// Parses the arguments of a call, behind its opening parenthesis.
    fn call(&mut self, name: &str) -> Parsed<Expr> {
        let mut args = Vec::new();
        if !self.take_mark(")")? {
            loop {
                args.push(match self.pattern()? {
                    Some(pattern) => Expr::Pattern(pattern),
                    None => self.expr()?,
                });
                if self.take_mark(")")? {
                    break;
                }
                if !self.take_mark(",")? {
                    return self.unexpected(&[",", ")"]);
                }
            }
        }
        Ok(Expr::Call(Call {
            name: name.to_ascii_lowercase(),
            args,
        }))
    }

    fn wildcard_kind(&mut self) -> Parsed<Option<Kind>> {
        let kind = self.cast()?;
        match kind {
            None | Some(Kind::Tag | Kind::AnyField) => Ok(kind),
            Some(_) => self.unexpected(&["field", "tag"]),
        }
    }

    /// Parses `::kind` when it stands next.
    fn cast(&mut self) -> Parsed<Option<Kind>> {
        if !self.take_mark("::")? {
            return Ok(None);
        }
        let next = self.peek()?.clone();
        let word = next.token.shown().to_ascii_lowercase();
        let kind = match word.as_str() {
            "float" => Kind::Float,
            "integer" => Kind::Integer,
            "unsigned" => Kind::Unsigned,
            "string" => Kind::Text,
            "boolean" => Kind::Boolean,
            "field" => Kind::AnyField,
            "tag" => Kind::Tag,
            _ => return self.unexpected(KINDS),
        };
        self.advance()?;
        Ok(Some(kind))
    }

    fn parameter(&mut self, name: &str, at: Position) -> Parsed<Expr> {
        let value = self.parameters.get(name).ok_or_else(|| {
            ParseError::at(
                at,
                format!("missing parameter: {name}; give it in params, such as {{\"{name}\": 1}}"),
            )
        })?;
        bound(value).ok_or_else(|| {
            ParseError::at(
                at,
                format!(
                    "the parameter {name} is none of number, string, boolean and {{\"regex\": …}}"
                ),
            )
        })
    }
}

fn integer(digits: &str, at: Position) -> Parsed<Expr> {
    if let Ok(value) = digits.parse() {
        return Ok(Expr::Integer(value));
    }
    digits.parse().map(Expr::Unsigned).map_err(|_| {
        ParseError::at(
            at,
            format!(
                "unable to parse integer {digits}; give at most {}",
                u64::MAX
            ),
        )
    })
}

/// Makes an expression of a bound parameter.
fn bound(value: &Json) -> Option<Expr> {
    match value {
        Json::Bool(value) => Some(Expr::Boolean(*value)),
        Json::String(text) => Some(Expr::Text(text.clone())),
        Json::Number(number) => number
            .as_i64()
            .map(Expr::Integer)
            .or_else(|| number.as_f64().map(Expr::Number)),
        Json::Object(object) if object.len() == 1 => {
            let (kind, value) = object.iter().next()?;
            let text = value.as_str().unwrap_or_default();
            match kind.as_str() {
                "regex" => Pattern::new(text).ok().map(Expr::Pattern),
                "string" => Some(Expr::Text(text.to_owned())),
                "identifier" => Some(Expr::Ref(Ref {
                    name: text.to_owned(),
                    kind: None,
                })),
                "integer" => value.as_i64().map(Expr::Integer),
                "number" | "float" => value.as_f64().map(Expr::Number),
                "boolean" => value.as_bool().map(Expr::Boolean),
                "duration" => value.as_i64().map(Expr::Duration).or_else(|| {
                    match super::super::lexer::Lexer::new(text).next().ok()?.token {
                        Token::Duration(nanos) => Some(Expr::Duration(nanos)),
                        _ => None,
                    }
                }),
                _ => None,
            }
        }
        _ => None,
    }
}
