//! Chooses series by a condition on tags, and leaves the conditions on fields to be asked row by row.

use super::super::ast::{Expr, Kind, Operator, Ref};
use super::super::error::Outcome;
use crate::store::{SeriesInfo, View};

/// Series that are judged before the query's bounds are looked at again.
const SERIES_BETWEEN_CHECKS: usize = 4_096;

/// Fails when the query has to end.
pub(in crate::influxql) type Check<'a> = &'a dyn Fn() -> Outcome<()>;

/// What a condition says about a whole series.
#[derive(Debug, Clone)]
enum Verdict {
    All,
    None,
    /// Its rows are asked one by one.
    Rows(Expr),
}

/// What names of a condition stand for in a measurement.
struct Names<'a> {
    view: &'a View,
    measurement: &'a str,
    /// Whether every name is a tag's, be there a field of that name or not.
    tags_only: bool,
}

impl Names<'_> {
    fn is_field(&self, reference: &Ref) -> bool {
        match reference.kind {
            Some(Kind::Tag) => false,
            _ if self.tags_only => false,
            None => self
                .view
                .field_type(self.measurement, &reference.name)
                .is_some(),
            Some(_) => true,
        }
    }

    fn judge(&self, condition: &Expr, series: &SeriesInfo) -> Verdict {
        match condition {
            Expr::Paren(inner) => match self.judge(inner, series) {
                Verdict::Rows(rest) => Verdict::Rows(Expr::Paren(Box::new(rest))),
                verdict => verdict,
            },
            Expr::Boolean(true) => Verdict::All,
            Expr::Boolean(false) => Verdict::None,
            Expr::Binary {
                operator,
                left,
                right,
            } => match operator {
                Operator::And => match (self.judge(left, series), self.judge(right, series)) {
                    (Verdict::None, _) | (_, Verdict::None) => Verdict::None,
                    (Verdict::All, other) | (other, Verdict::All) => other,
                    (Verdict::Rows(left), Verdict::Rows(right)) => both(*operator, left, right),
                },
                Operator::Or => match (self.judge(left, series), self.judge(right, series)) {
                    (Verdict::All, _) | (_, Verdict::All) => Verdict::All,
                    (Verdict::None, other) | (other, Verdict::None) => other,
                    (Verdict::Rows(left), Verdict::Rows(right)) => both(*operator, left, right),
                },
                _ => self.judge_comparison(condition, *operator, left, right, series),
            },
            other => Verdict::Rows(other.clone()),
        }
    }

    fn judge_comparison(
        &self,
        condition: &Expr,
        operator: Operator,
        left: &Expr,
        right: &Expr,
        series: &SeriesInfo,
    ) -> Verdict {
        let ((Expr::Ref(reference), value) | (value, Expr::Ref(reference))) = (left, right) else {
            return Verdict::Rows(condition.clone());
        };
        let other_is_field = matches!(value, Expr::Ref(other) if self.is_field(other));
        let is_calculated = matches!(value, Expr::Binary { .. } | Expr::Paren(_) | Expr::Call(_));
        if self.is_field(reference) || other_is_field || is_calculated {
            return Verdict::Rows(condition.clone());
        }
        let tag = if reference.name == "_name" {
            self.measurement
        } else {
            series.tag(&reference.name)
        };
        let holds = match (operator, value) {
            (Operator::Equal, Expr::Text(text)) => tag == text,
            (Operator::NotEqual, Expr::Text(text)) => tag != text,
            (Operator::Matches, Expr::Pattern(pattern)) => pattern.matches(tag),
            (Operator::MatchesNot, Expr::Pattern(pattern)) => !pattern.matches(tag),
            (Operator::Equal | Operator::NotEqual, Expr::Ref(_)) if self.tags_only => true,
            // A tag that is missing equals none, itself included.
            (Operator::Equal, Expr::Ref(other)) => {
                !tag.is_empty() && tag == series.tag(&other.name)
            }
            (Operator::NotEqual, Expr::Ref(other)) => {
                tag.is_empty() || tag != series.tag(&other.name)
            }
            (Operator::NotEqual | Operator::MatchesNot, _) => true,
            _ => self.tags_only,
        };
        if holds { Verdict::All } else { Verdict::None }
    }

    /// Judges every series that may be left.
    fn judged(
        &self,
        condition: Option<&Expr>,
        check: Check<'_>,
    ) -> Outcome<Vec<(SeriesInfo, Option<Expr>)>> {
        let mut required = Vec::new();
        if let Some(condition) = condition {
            self.required(condition, &mut required);
        }
        check()?;
        let found = self.view.series(self.measurement, &required);
        let Some(condition) = condition else {
            return Ok(found.into_iter().map(|series| (series, None)).collect());
        };
        let mut left = Vec::with_capacity(found.len());
        for (index, series) in found.into_iter().enumerate() {
            if index.is_multiple_of(SERIES_BETWEEN_CHECKS) {
                check()?;
            }
            match self.judge(condition, &series) {
                Verdict::All => left.push((series, None)),
                Verdict::None => {}
                Verdict::Rows(rest) => left.push((series, Some(rest))),
            }
        }
        Ok(left)
    }

    /// Collects the tags that every answer must have, to ask the index for them.
    fn required<'a>(&self, condition: &'a Expr, required: &mut Vec<(&'a str, &'a str)>) {
        match condition {
            Expr::Paren(inner) => self.required(inner, required),
            Expr::Binary {
                operator: Operator::And,
                left,
                right,
            } => {
                self.required(left, required);
                self.required(right, required);
            }
            Expr::Binary {
                operator: Operator::Equal,
                left,
                right,
            } => {
                if let (Expr::Ref(reference), Expr::Text(text))
                | (Expr::Text(text), Expr::Ref(reference)) = (left.as_ref(), right.as_ref())
                    && !text.is_empty()
                    && reference.name != "_name"
                    && !self.is_field(reference)
                {
                    required.push((&reference.name, text));
                }
            }
            _ => {}
        }
    }
}

fn both(operator: Operator, left: Expr, right: Expr) -> Verdict {
    Verdict::Rows(Expr::Binary {
        operator,
        left: Box::new(left),
        right: Box::new(right),
    })
}

/// Lists the series of a measurement that a condition of SHOW leaves: every name is a tag's, and what is not about tags and
/// texts leaves all. Not for what deletes.
pub(in crate::influxql) fn series_of_tags(
    view: &View,
    measurement: &str,
    condition: Option<&Expr>,
    check: Check<'_>,
) -> Outcome<Vec<SeriesInfo>> {
    let names = Names {
        view,
        measurement,
        tags_only: true,
    };
    let judged = names.judged(condition, check)?;
    Ok(judged.into_iter().map(|(series, _)| series).collect())
}

/// Lists a measurement's series that a condition leaves, or that it has to be asked about row by row.
pub(in crate::influxql) fn judged_series(
    view: &View,
    measurement: &str,
    condition: Option<&Expr>,
    check: Check<'_>,
) -> Outcome<Vec<(SeriesInfo, Option<Expr>)>> {
    let names = Names {
        view,
        measurement,
        tags_only: false,
    };
    names.judged(condition, check)
}
