//! `SELECT`.

use chrono_tz::Tz;

use super::super::ast::{
    Direction, Expr, Field, Fill, Measurement, MeasurementName, Select, Source,
};
use super::super::error::ParseError;
use super::super::lexer::Token;
use super::{Parsed, Parser};

const FILLS_KNOWN: &str = "fill requires an argument, e.g.: 0, null, none, previous, linear";
const ZONE_KNOWN: &str = "tz requires exactly one argument, such as 'Europe/Berlin'";
const ORDER_KNOWN: &str = "only ORDER BY time supported at this time";

impl Parser<'_> {
    /// Parses what stands behind SELECT.
    pub(super) fn select(&mut self) -> Parsed<Select> {
        self.nested(Self::select_clauses)
    }

    fn select_clauses(&mut self) -> Parsed<Select> {
        let fields = self.fields()?;
        let at = self.at()?;
        if self.take_word("INTO")? {
            return Err(ParseError::at(
                at,
                "SELECT INTO is not supported; leave INTO out, read the rows and write them as points",
            ));
        }
        self.expect_word("FROM")?;
        let sources = self.sources()?;
        let condition = self.condition()?;
        let dimensions = self.dimensions()?;
        let fill = self.fill()?;
        let order = self.order()?;
        let limits = self.limits()?;
        let zone = self.zone()?;
        Ok(Select {
            fields,
            sources,
            condition,
            dimensions,
            fill,
            order,
            limits,
            zone,
        })
    }

    fn fields(&mut self) -> Parsed<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            let expr = match self.pattern()? {
                Some(pattern) => Expr::Pattern(pattern),
                None => self.expr()?,
            };
            let alias = if self.take_word("AS")? {
                Some(self.name()?)
            } else {
                None
            };
            fields.push(Field { expr, alias });
            if !self.take_mark(",")? {
                return Ok(fields);
            }
        }
    }

    fn sources(&mut self) -> Parsed<Vec<Source>> {
        let mut sources = Vec::new();
        loop {
            let source = if self.pattern_is_next()? {
                Source::Measurement(self.measurement()?)
            } else if self.take_mark("(")? {
                self.expect_word("SELECT")?;
                let select = self.select()?;
                self.expect_mark(")")?;
                Source::Subquery(Box::new(select))
            } else {
                Source::Measurement(self.measurement()?)
            };
            sources.push(source);
            if !self.take_mark(",")? {
                return Ok(sources);
            }
        }
    }

    fn pattern_is_next(&mut self) -> Parsed<bool> {
        Ok(self.peek()?.token == Token::Mark("/"))
    }

    /// Parses `[[database.]policy.]measurement`.
    pub(super) fn measurement(&mut self) -> Parsed<Measurement> {
        let mut segments: Vec<Option<String>> = Vec::new();
        let name = loop {
            if let Some(pattern) = self.pattern()? {
                break MeasurementName::Matching(pattern);
            }
            if self.peek()?.token == Token::Mark(".") && segments.len() == 1 {
                self.advance()?;
                segments.push(None);
                continue;
            }
            let segment = self.name()?;
            if segments.len() == 2 || self.peek()?.token != Token::Mark(".") {
                break MeasurementName::Exactly(segment);
            }
            self.advance()?;
            segments.push(Some(segment));
        };
        let retention_policy = segments.pop().flatten();
        let database = segments.pop().flatten();
        Ok(Measurement {
            database,
            retention_policy,
            name,
        })
    }

    /// Parses `WHERE condition` when it stands next.
    pub(super) fn condition(&mut self) -> Parsed<Option<Expr>> {
        if self.take_word("WHERE")? {
            self.expr().map(Some)
        } else {
            Ok(None)
        }
    }

    fn dimensions(&mut self) -> Parsed<Vec<Expr>> {
        let mut dimensions = Vec::new();
        if !self.take_word("GROUP")? {
            return Ok(dimensions);
        }
        self.expect_word("BY")?;
        loop {
            dimensions.push(match self.pattern()? {
                Some(pattern) => Expr::Pattern(pattern),
                None => self.expr()?,
            });
            if !self.take_mark(",")? {
                return Ok(dimensions);
            }
        }
    }

    fn fill(&mut self) -> Parsed<Fill> {
        if !self.take_bare("fill")? {
            return Ok(Fill::Unset);
        }
        self.expect_mark("(")?;
        let at = self.at()?;
        if self.take_mark(")")? {
            return Err(ParseError::at(at, FILLS_KNOWN));
        }
        let argument = self.expr()?;
        let end = self.at()?;
        if !self.take_mark(")")? {
            return Err(ParseError::at(end, FILLS_KNOWN));
        }
        let unknown = |found: &dyn std::fmt::Display| {
            ParseError::at(
                at,
                format!("expected number argument in fill(), found {found}; {FILLS_KNOWN}"),
            )
        };
        match argument {
            Expr::Integer(value) => Ok(Fill::Integer(value)),
            Expr::Number(value) => Ok(Fill::Number(value)),
            Expr::Ref(reference) => match reference.name.as_str() {
                "null" => Ok(Fill::Null),
                "none" => Ok(Fill::None),
                "previous" => Ok(Fill::Previous),
                "linear" => Ok(Fill::Linear),
                other => Err(unknown(&other)),
            },
            other => Err(unknown(&other)),
        }
    }

    fn order(&mut self) -> Parsed<Option<Direction>> {
        const EXPECTED: &[&str] = &["identifier", "ASC", "DESC"];
        if !self.take_word("ORDER")? {
            return Ok(None);
        }
        self.expect_word("BY")?;
        let next = self.peek()?.clone();
        match &next.token {
            Token::Name(name) => {
                if !name.eq_ignore_ascii_case("time") {
                    return Err(ParseError::at(
                        next.at,
                        format!("{ORDER_KNOWN}, found {name}"),
                    ));
                }
                self.advance()?;
            }
            Token::Keyword("ASC" | "DESC") => {}
            _ => return self.unexpected(EXPECTED),
        }
        let direction = if self.take_word("DESC")? {
            Direction::Descending
        } else {
            self.take_word("ASC")?;
            Direction::Ascending
        };
        let at = self.at()?;
        if self.take_mark(",")? {
            return Err(ParseError::at(
                at,
                format!("{ORDER_KNOWN}, found a second order"),
            ));
        }
        Ok(Some(direction))
    }

    fn zone(&mut self) -> Parsed<Option<Tz>> {
        if !self.take_bare("tz")? {
            return Ok(None);
        }
        self.expect_mark("(")?;
        let at = self.at()?;
        if self.take_mark(")")? {
            return Err(ParseError::at(at, ZONE_KNOWN));
        }
        let argument = self.expr()?;
        let end = self.at()?;
        if !self.take_mark(")")? {
            return Err(ParseError::at(end, ZONE_KNOWN));
        }
        let Expr::Text(name) = argument else {
            return Err(ParseError::at(
                at,
                format!("expected string argument in tz(), found {argument}; {ZONE_KNOWN}"),
            ));
        };
        if name.is_empty() {
            return Ok(Some(Tz::UTC));
        }
        name.parse().map(Some).map_err(|_| {
            ParseError::at(
                at,
                format!("unable to find time zone {name}; give a name of the IANA database, such as 'Europe/Berlin'"),
            )
        })
    }
}
