//! `SHOW`, `CREATE` and `DROP`.

use super::super::ast::{Counted, Expr, KeySelection, MeasurementName, ShowClauses, Statement};
use super::super::error::ParseError;
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
            "DIAGNOSTICS" | "STATS" | "QUERIES" => {
                self.unsupported("SHOW DIAGNOSTICS, STATS and QUERIES", "read /metrics")
            }
            "USERS" | "GRANTS" => self.unsupported("SHOW USERS and GRANTS", "read the tokens file"),
            _ => self.unsupported(
                "SHOW SHARDS and SUBSCRIPTIONS",
                "the embedded store has neither",
            ),
        }
    }

    fn on_database(&mut self) -> Parsed<Option<String>> {
        if self.take_word("ON")? {
            self.name().map(Some)
        } else {
            Ok(None)
        }
    }

    fn show_sources(&mut self, clauses: &mut ShowClauses) -> Parsed<()> {
        if !self.take_word("FROM")? {
            return Ok(());
        }
        loop {
            clauses.sources.push(self.measurement()?);
            if !self.take_mark(",")? {
                return Ok(());
            }
        }
    }

    fn show_clauses(&mut self, with_condition: bool) -> Parsed<ShowClauses> {
        let mut clauses = ShowClauses {
            database: self.on_database()?,
            ..ShowClauses::default()
        };
        self.show_sources(&mut clauses)?;
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
            self.show_sources(&mut clauses)?;
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
        self.show_sources(&mut clauses)?;
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

    /// Parses what stands behind CREATE.
    pub(super) fn create(&mut self) -> Parsed<Statement> {
        match self.expect_one_of(&[
            "CONTINUOUS",
            "DATABASE",
            "USER",
            "RETENTION",
            "SUBSCRIPTION",
        ])? {
            "DATABASE" => {
                let name = self.name()?;
                if self.take_word("WITH")? {
                    self.skip_policy_options()?;
                }
                Ok(Statement::CreateDatabase { name })
            }
            "RETENTION" => self.create_policy(),
            "USER" => self.unsupported(
                "CREATE USER",
                "write the token and its scopes into the tokens file",
            ),
            "CONTINUOUS" => self.unsupported(
                "CREATE CONTINUOUS QUERY",
                "query with GROUP BY time instead",
            ),
            _ => self.unsupported("CREATE SUBSCRIPTION", "have Telegraf write to both places"),
        }
    }

    fn skip_policy_options(&mut self) -> Parsed<()> {
        while !matches!(self.peek()?.token, Token::End | Token::Mark(";")) {
            self.advance()?;
        }
        Ok(())
    }

    fn create_policy(&mut self) -> Parsed<Statement> {
        self.expect_word("POLICY")?;
        let name = self.name()?;
        self.expect_word("ON")?;
        let database = self.name()?;
        self.expect_word("DURATION")?;
        let duration_ns = self.policy_duration()?;
        self.expect_word("REPLICATION")?;
        self.count()?;
        let mut default = false;
        loop {
            if self.take_word("SHARD")? {
                self.expect_word("DURATION")?;
                self.policy_duration()?;
            } else if self.take_word("DEFAULT")? {
                default = true;
            } else {
                return Ok(Statement::CreateRetentionPolicy {
                    name,
                    database,
                    duration_ns,
                    default,
                });
            }
        }
    }

    fn policy_duration(&mut self) -> Parsed<i64> {
        if self.take_word("INF")? {
            return Ok(0);
        }
        let at = self.at()?;
        match self.expr()? {
            Expr::Duration(nanos) if nanos >= 0 => Ok(nanos),
            other => Err(ParseError::expected(
                &other.to_string(),
                at,
                &["duration", "INF"],
            )),
        }
    }

    /// Parses what stands behind DROP.
    pub(super) fn drop_statement(&mut self) -> Parsed<Statement> {
        const DROPPED: &[&str] = &[
            "CONTINUOUS",
            "DATABASE",
            "MEASUREMENT",
            "RETENTION",
            "SERIES",
            "SHARD",
            "SUBSCRIPTION",
            "USER",
        ];
        match self.expect_one_of(DROPPED)? {
            "DATABASE" => Ok(Statement::DropDatabase { name: self.name()? }),
            "MEASUREMENT" => Ok(Statement::DropMeasurement { name: self.name()? }),
            _ => self.unsupported("this DROP", "drop the measurement or the database"),
        }
    }
}
