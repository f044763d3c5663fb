//! Prints the tree back to InfluxQL that parses to the same tree.

mod statement;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter};

use super::ast::{
    Call, Direction, Expr, Field, Fill, Limits, Measurement, MeasurementName, Operator, Pattern,
    Ref, Select, Source, duration_text,
};
use super::lexer::is_bare_name;

/// A name, quoted where it must be.
pub(super) struct Name<'a>(pub(super) &'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if is_bare_name(self.0) {
            return f.write_str(self.0);
        }
        escaped(f, self.0, '"')
    }
}

fn escaped(f: &mut Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    write!(f, "{quote}")?;
    for c in text.chars() {
        match c {
            '\n' => f.write_str("\\n")?,
            '\\' => f.write_str("\\\\")?,
            c if c == quote => write!(f, "\\{c}")?,
            c => write!(f, "{c}")?,
        }
    }
    write!(f, "{quote}")
}

fn list<T: Display>(f: &mut Formatter<'_>, items: impl IntoIterator<Item = T>) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source().replace('/', "\\/"))
    }
}

impl Display for Ref {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Name(&self.name))?;
        self.kind
            .map_or(Ok(()), |kind| write!(f, "::{}", kind.word()))
    }
}

impl Display for Operator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // The one function whose name is a keyword, which needs no quotes before a parenthesis.
        if self.name == "distinct" {
            f.write_str("distinct(")?;
        } else {
            write!(f, "{}(", Name(&self.name))?;
        }
        list(f, &self.args)?;
        f.write_str(")")
    }
}

/// Says whether a sign before an expression is parsed as a multiplication with 1 or -1.
fn takes_sign(expr: &Expr) -> bool {
    matches!(expr, Expr::Ref(_) | Expr::Call(_) | Expr::Paren(_))
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ref(reference) => reference.fmt(f),
            Self::Wildcard(None) => f.write_str("*"),
            Self::Wildcard(Some(kind)) => write!(f, "*::{}", kind.word()),
            Self::Pattern(pattern) => pattern.fmt(f),
            Self::Call(call) => call.fmt(f),
            Self::Binary {
                operator: Operator::Multiply,
                left,
                right,
            } if takes_sign(right) && **left == Self::Integer(-1) => write!(f, "-{right}"),
            Self::Binary {
                operator: Operator::Multiply,
                left,
                right,
            } if takes_sign(right) && **left == Self::Integer(1) => write!(f, "+{right}"),
            Self::Binary {
                operator,
                left,
                right,
            } => write!(f, "{left} {operator} {right}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Integer(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Number(value) => {
                let text = value.to_string();
                f.write_str(&text)?;
                if text.contains('.') {
                    Ok(())
                } else {
                    f.write_str(".0")
                }
            }
            Self::Text(text) => escaped(f, text, '\''),
            Self::Boolean(value) => value.fmt(f),
            Self::Duration(nanos) => f.write_str(&duration_text(*nanos)),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)?;
        self.alias
            .as_ref()
            .map_or(Ok(()), |alias| write!(f, " AS {}", Name(alias)))
    }
}

impl Display for MeasurementName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => Name(name).fmt(f),
            Self::Matching(pattern) => pattern.fmt(f),
        }
    }
}

impl Display for Measurement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{}.", Name(database))?;
        }
        if let Some(policy) = &self.retention_policy {
            write!(f, "{}", Name(policy))?;
        }
        if self.database.is_some() || self.retention_policy.is_some() {
            f.write_str(".")?;
        }
        self.name.fmt(f)
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measurement(measurement) => measurement.fmt(f),
            Self::Subquery(select) => write!(f, "({select})"),
        }
    }
}

impl Display for Limits {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (word, count) in [
            ("LIMIT", self.limit),
            ("OFFSET", self.offset),
            ("SLIMIT", self.slimit),
            ("SOFFSET", self.soffset),
        ] {
            if count > 0 {
                write!(f, " {word} {count}")?;
            }
        }
        Ok(())
    }
}

impl Display for Fill {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => Ok(()),
            Self::Null => f.write_str(" fill(null)"),
            Self::None => f.write_str(" fill(none)"),
            Self::Previous => f.write_str(" fill(previous)"),
            Self::Linear => f.write_str(" fill(linear)"),
            Self::Number(value) => write!(f, " fill({})", Expr::Number(*value)),
            Self::Integer(value) => write!(f, " fill({value})"),
        }
    }
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        list(f, &self.fields)?;
        f.write_str(" FROM ")?;
        list(f, &self.sources)?;
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        if !self.dimensions.is_empty() {
            f.write_str(" GROUP BY ")?;
            list(f, &self.dimensions)?;
        }
        self.fill.fmt(f)?;
        match self.order {
            None => {}
            Some(Direction::Ascending) => f.write_str(" ORDER BY time ASC")?,
            Some(Direction::Descending) => f.write_str(" ORDER BY time DESC")?,
        }
        self.limits.fmt(f)?;
        self.zone
            .map_or(Ok(()), |zone| write!(f, " tz('{}')", zone.name()))
    }
}
