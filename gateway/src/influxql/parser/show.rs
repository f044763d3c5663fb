//! `SHOW`.

use super::super::ast::{
    Counted, KeySelection, Measurement, MeasurementName, ShowClauses, Statement,
};
use super::super::lexer::Token;
use super::{Parsed, Parser};

const SHOWN: &[&str] = &[
    "CONTINUOUS",
    "DATABASES",
    "DIAGNOSTICS",
    "FIELD",
    "GRANTS",
    "MEASUREMENT",
    "MEASUREMENTS",
    "QUERIES",
    "RETENTION",
    "SERIES",
    "SHARD",
    "SHARDS",
    "STATS",
    "SUBSCRIPTIONS",
    "TAG",
    "USERS",
];

impl Parser<'_> {
    /// Parses what stands behind SHOW.
    pub(super) fn show(&mut self) -> Parsed<Statement> {
        match self.expect_one_of(SHOWN)? {
            "DATABASES" => Ok(Statement::ShowDatabases),
            "CONTINUOUS" => {
                self.expect_word("QUERIES")?;
                Ok(Statement::ShowContinuousQueries)
            }
            "RETENTION" => {
                self.expect_word("POLICIES")?;
                Ok(Statement::ShowRetentionPolicies {
                    database: self.on_database()?,
                })
            }
            "MEASUREMENTS" => self.show_measurements(),
            "MEASUREMENT" => self.show_cardinality(Counted::Measurements),
            "FIELD" => match self.expect_one_of(&["KEY", "KEYS"])? {
                "KEY" => self.show_cardinality(Counted::FieldKeys),
                _ => Ok(Statement::ShowFieldKeys(self.show_clauses(false)?)),
            },
            "TAG" => match self.expect_one_of(&["KEY", "KEYS", "VALUES"])? {
                "KEY" => self.show_cardinality(Counted::TagKeys),
                "KEYS" => Ok(Statement::ShowTagKeys(self.show_clauses(true)?)),
                _ => self.show_tag_values(),
            },
            "SERIES" => {
                if matches!(self.peek()?.token, Token::Keyword("EXACT" | "CARDINALITY")) {
                    self.show_cardinality(Counted::Series)
                } else {
                    Ok(Statement::ShowSeries(self.show_clauses(true)?))
                }
            }
            word => {
                let instead = match word {
                    "DIAGNOSTICS" | "STATS" | "QUERIES" => "read /metrics",
                    "USERS" | "GRANTS" => "read the tokens file",
                    _ => "the embedded store has none of these",
                };
                self.unsupported(&format!("SHOW {word}"), instead)
            }
        }
    }

    fn on_database(&mut self) -> Parsed<Option<String>> {
        if self.take_word("ON")? {
            self.name().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Parses `FROM measurements` when it stands next.
    pub(super) fn measurements_after_from(&mut self) -> Parsed<Vec<Measurement>> {
        let mut sources = Vec::new();
        if !self.take_word("FROM")? {
            return Ok(sources);
        }
        loop {
            sources.push(self.measurement()?);
            if !self.take_mark(",")? {
                return Ok(sources);
            }
        }
    }

    fn show_clauses(&mut self, with_condition: bool) -> Parsed<ShowClauses> {
        let mut clauses = ShowClauses {
            database: self.on_database()?,
            ..ShowClauses::default()
        };
        clauses.sources = self.measurements_after_from()?;
        self.show_rest(&mut clauses, with_condition)?;
        Ok(clauses)
    }

    fn show_rest(&mut self, clauses: &mut ShowClauses, with_condition: bool) -> Parsed<()> {
        if with_condition {
            clauses.condition = self.condition()?;
        }
        if self.take_word("ORDER")? {
            self.expect_word("BY")?;
            self.name()?;
            if !self.take_word("ASC")? {
                self.take_word("DESC")?;
            }
        }
        clauses.limits = self.limits()?;
        Ok(())
    }

    fn show_measurements(&mut self) -> Parsed<Statement> {
        let mut clauses = ShowClauses {
            database: self.on_database()?,
            ..ShowClauses::default()
        };
        let mut name = None;
        if self.take_word("WITH")? {
            self.expect_word("MEASUREMENT")?;
            if !self.take_mark("=")? && !self.take_mark("=~")? {
                return self.unexpected(&["=", "=~"]);
            }
            name = Some(match self.pattern()? {
                Some(pattern) => MeasurementName::Matching(pattern),
                None => self.measurement()?.name,
            });
        }
        self.show_rest(&mut clauses, true)?;
        Ok(Statement::ShowMeasurements { name, clauses })
    }

    fn show_tag_values(&mut self) -> Parsed<Statement> {
        let exact = self.take_word("EXACT")?;
        if exact || matches!(self.peek()?.token, Token::Keyword("CARDINALITY")) {
            self.expect_word("CARDINALITY")?;
            let mut clauses = ShowClauses {
                database: self.on_database()?,
                ..ShowClauses::default()
            };
            clauses.sources = self.measurements_after_from()?;
            let counted = Counted::TagValues(self.key_selection()?);
            self.show_rest(&mut clauses, true)?;
            return Ok(Statement::ShowCardinality {
                counted,
                exact,
                clauses,
            });
        }
        let mut clauses = ShowClauses {
            database: self.on_database()?,
            ..ShowClauses::default()
        };
        clauses.sources = self.measurements_after_from()?;
        let keys = self.key_selection()?;
        self.show_rest(&mut clauses, true)?;
        Ok(Statement::ShowTagValues { keys, clauses })
    }

    fn key_selection(&mut self) -> Parsed<KeySelection> {
        self.expect_word("WITH")?;
        self.expect_word("KEY")?;
        if self.take_word("IN")? {
            self.expect_mark("(")?;
            let mut keys = vec![self.name()?];
            while self.take_mark(",")? {
                keys.push(self.name()?);
            }
            self.expect_mark(")")?;
            return Ok(KeySelection::In(keys));
        }
        let next = self.peek()?.clone();
        let Token::Mark(mark @ ("=" | "!=" | "<>" | "=~" | "!~")) = next.token else {
            return self.unexpected(&["IN", "=", "=~"]);
        };
        self.advance()?;
        match mark {
            "=" => self.name().map(KeySelection::Is),
            "=~" | "!~" => match self.pattern()? {
                Some(pattern) if mark == "=~" => Ok(KeySelection::Matches(pattern)),
                Some(pattern) => Ok(KeySelection::MatchesNot(pattern)),
                None => self.unexpected(&["regex"]),
            },
            _ => self.name().map(KeySelection::IsNot),
        }
    }

    fn show_cardinality(&mut self, counted: Counted) -> Parsed<Statement> {
        let exact = self.take_word("EXACT")?;
        self.expect_word("CARDINALITY")?;
        Ok(Statement::ShowCardinality {
            counted,
            exact,
            clauses: self.show_clauses(true)?,
        })
    }
}
