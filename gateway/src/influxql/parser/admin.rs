//! `CREATE`, `ALTER`, `DROP` and `DELETE`.

use super::super::ast::{Expr, PolicyOptions, Statement};
use super::super::error::ParseError;
use super::super::lexer::Token;
use super::{Parsed, Parser};

/// What may be said about a retention policy.
#[derive(Default)]
struct Options {
    duration_ns: Option<i64>,
    default: bool,
    /// Whether anything was said.
    any: bool,
}

impl Parser<'_> {
    /// Parses what stands behind CREATE.
    pub(super) fn create(&mut self) -> Parsed<Statement> {
        match self.expect_one_of(&[
            "CONTINUOUS",
            "DATABASE",
            "USER",
            "RETENTION",
            "SUBSCRIPTION",
        ])? {
            "DATABASE" => self.create_database(),
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

    fn create_database(&mut self) -> Parsed<Statement> {
        let name = self.name()?;
        let mut policy = None;
        if self.take_word("WITH")? {
            let options = self.policy_options(false)?;
            let named = if self.take_word("NAME")? {
                Some(self.name()?)
            } else {
                None
            };
            if !options.any && named.is_none() {
                return self.unexpected(&["DURATION", "NAME", "REPLICATION", "SHARD"]);
            }
            policy = Some(PolicyOptions {
                duration_ns: options.duration_ns,
                name: named,
            });
        }
        Ok(Statement::CreateDatabase { name, policy })
    }

    /// Parses `name ON database` behind RETENTION POLICY.
    fn policy_place(&mut self) -> Parsed<(String, String)> {
        self.expect_word("POLICY")?;
        let name = self.name()?;
        self.expect_word("ON")?;
        Ok((name, self.name()?))
    }

    fn create_policy(&mut self) -> Parsed<Statement> {
        let (name, database) = self.policy_place()?;
        self.expect_word("DURATION")?;
        let duration_ns = self.policy_duration()?;
        self.expect_word("REPLICATION")?;
        self.count()?;
        let default = self.policy_options(true)?.default;
        Ok(Statement::CreateRetentionPolicy {
            name,
            database,
            duration_ns,
            default,
        })
    }

    /// Parses what stands behind ALTER.
    pub(super) fn alter_policy(&mut self) -> Parsed<Statement> {
        self.expect_word("RETENTION")?;
        let (name, database) = self.policy_place()?;
        let options = self.policy_options(true)?;
        if !options.any {
            return self.unexpected(&["DURATION", "REPLICATION", "SHARD", "DEFAULT"]);
        }
        Ok(Statement::AlterRetentionPolicy {
            name,
            database,
            duration_ns: options.duration_ns,
            default: options.default,
        })
    }

    /// Parses options in any order. Replication and the duration of shards are read and passed over: there is neither.
    fn policy_options(&mut self, may_be_default: bool) -> Parsed<Options> {
        let mut options = Options::default();
        loop {
            if self.take_word("DURATION")? {
                options.duration_ns = Some(self.policy_duration()?);
            } else if self.take_word("REPLICATION")? {
                self.count()?;
            } else if self.take_word("SHARD")? {
                self.expect_word("DURATION")?;
                self.policy_duration()?;
            } else if may_be_default && self.take_word("DEFAULT")? {
                options.default = true;
            } else {
                return Ok(options);
            }
            options.any = true;
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
            "RETENTION" => {
                let (name, database) = self.policy_place()?;
                Ok(Statement::DropRetentionPolicy { name, database })
            }
            "SERIES" => {
                self.expect_from_or_where()?;
                Ok(Statement::DropSeries {
                    sources: self.measurements_after_from()?,
                    condition: self.condition()?,
                })
            }
            other => {
                let text = match other {
                    "CONTINUOUS" => "DROP CONTINUOUS QUERY".to_owned(),
                    other => format!("DROP {other}"),
                };
                self.unsupported(&text, "the embedded store has none of these")
            }
        }
    }

    /// Parses what stands behind DELETE.
    pub(super) fn delete(&mut self) -> Parsed<Statement> {
        self.expect_from_or_where()?;
        Ok(Statement::Delete {
            sources: self.measurements_after_from()?,
            condition: self.condition()?,
        })
    }

    fn expect_from_or_where(&mut self) -> Parsed<()> {
        if matches!(self.peek()?.token, Token::Keyword("FROM" | "WHERE")) {
            return Ok(());
        }
        self.unexpected(&["FROM", "WHERE"])
    }
}
