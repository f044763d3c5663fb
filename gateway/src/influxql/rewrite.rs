//! Expands wildcards and regular expressions into the names that the sources have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::ast::{Call, Expr, Field, Kind, Pattern, Ref, Select};
use super::error::{Outcome, StatementError};
use super::names::{expr_name, field_name};
use super::plan::{Reader, kind_in_all, kind_of_expr};
use super::source::kind_of;

/// Lists the fields and the tags of all sources.
fn names_of(sources: &[Reader]) -> (BTreeMap<String, Kind>, BTreeSet<Arc<str>>) {
    let mut fields = BTreeMap::new();
    let mut tags = BTreeSet::new();
    for reader in sources {
        match reader {
            Reader::Measurement { view, name } => {
                for field in view.fields(name) {
                    let name = field.name.to_string();
                    let kind = kind_in_all(sources, &name).unwrap_or(kind_of(field.field_type));
                    fields.insert(name, kind);
                }
                tags.extend(view.tag_keys(name));
            }
            Reader::Subquery(inner) => {
                for field in &inner.fields {
                    if let Ok(Some(kind)) = kind_of_expr(&field.expr) {
                        fields.insert(field_name(field), kind);
                    }
                }
                tags.extend(inner.dimensions.iter().cloned());
            }
        }
    }
    (fields, tags)
}

/// Returns the name of the column of time: what a selected `time` is called.
pub(super) fn time_name(select: &Select) -> &str {
    let is_time =
        |field: &&Field| matches!(&field.expr, Expr::Ref(reference) if reference.name == "time");
    let alias = select.fields.iter().find(is_time);
    alias
        .and_then(|field| field.alias.as_deref())
        .unwrap_or("time")
}

/// Returns the selected fields with wildcards expanded, and without `time`, which is always there.
pub(super) fn fields(select: &Select, sources: &[Reader]) -> Outcome<Vec<Field>> {
    let named: Vec<&Field> = select
        .fields
        .iter()
        .filter(|field| !matches!(&field.expr, Expr::Ref(reference) if reference.name == "time"))
        .collect();
    if named.is_empty() {
        return Err(StatementError::invalid(
            "at least 1 non-time field must be queried",
        ));
    }
    let (fields, mut tags) = names_of(sources);
    let all_dimensions = select
        .dimensions
        .iter()
        .any(|dimension| matches!(dimension, Expr::Wildcard(_) | Expr::Pattern(_)));
    for dimension in &select.dimensions {
        if let Expr::Ref(reference) = dimension {
            tags.remove(reference.name.as_str());
        }
    }
    let mut refs: Vec<Ref> = fields
        .iter()
        .map(|(name, kind)| Ref {
            name: name.clone(),
            kind: Some(*kind),
        })
        .collect();
    if !all_dimensions && !refs.is_empty() {
        refs.extend(tags.iter().map(|tag| Ref {
            name: tag.to_string(),
            kind: Some(Kind::Tag),
        }));
    }
    refs.sort();
    let mut expanded = Vec::new();
    for field in named {
        expand(field, &refs, &mut expanded)?;
    }
    Ok(expanded)
}

fn expand(field: &Field, refs: &[Ref], expanded: &mut Vec<Field>) -> Outcome<()> {
    let plain = |reference: &Ref| Field {
        expr: Expr::Ref(reference.clone()),
        alias: None,
    };
    match &field.expr {
        Expr::Wildcard(kind) => expanded.extend(
            refs.iter()
                .filter(|reference| match kind {
                    None => true,
                    Some(Kind::Tag) => reference.kind == Some(Kind::Tag),
                    Some(_) => reference.kind != Some(Kind::Tag),
                })
                .map(plain),
        ),
        Expr::Pattern(pattern) => {
            expanded.extend(
                refs.iter()
                    .filter(|reference| pattern.matches(&reference.name))
                    .map(plain),
            );
        }
        Expr::Call(call) => return expand_call(field, call, refs, expanded),
        Expr::Binary { .. } | Expr::Paren(_) => {
            let mut wild = None;
            field.expr.walk(&mut |expr| match expr {
                Expr::Wildcard(_) => wild = Some("wildcard"),
                Expr::Pattern(_) => wild = Some("regex field"),
                _ => {}
            });
            if let Some(wild) = wild {
                return Err(StatementError::invalid(format!(
                    "unsupported expression with {wild}: {}; name the fields",
                    field.expr
                )));
            }
            expanded.push(field.clone());
        }
        _ => expanded.push(field.clone()),
    }
    Ok(())
}

/// Returns the innermost first argument of a call.
fn innermost(call: &Call) -> (&Call, Option<&Expr>) {
    match call.args.first() {
        Some(Expr::Call(inner)) => innermost(inner),
        other => (call, other),
    }
}

fn replace_innermost(call: &mut Call, reference: &Ref) {
    match call.args.first_mut() {
        Some(Expr::Call(inner)) => replace_innermost(inner, reference),
        Some(first) => *first = Expr::Ref(reference.clone()),
        None => {}
    }
}

fn expand_call(field: &Field, call: &Call, refs: &[Ref], expanded: &mut Vec<Field>) -> Outcome<()> {
    let (inner, argument) = innermost(call);
    let pattern: Option<&Pattern> = match argument {
        Some(Expr::Wildcard(Some(Kind::Tag))) => {
            return Err(StatementError::invalid(format!(
                "unable to use tag wildcard in {}(); functions work on fields",
                inner.name
            )));
        }
        Some(Expr::Wildcard(_)) => None,
        Some(Expr::Pattern(pattern)) => Some(pattern),
        _ => {
            expanded.push(field.clone());
            return Ok(());
        }
    };
    for reference in refs {
        let fits = match reference.kind {
            Some(Kind::Float | Kind::Integer | Kind::Unsigned) => true,
            Some(Kind::Text) => takes_text(&inner.name),
            Some(Kind::Boolean) => {
                takes_text(&inner.name) || matches!(inner.name.as_str(), "min" | "max")
            }
            _ => false,
        };
        if !fits || pattern.is_some_and(|pattern| !pattern.matches(&reference.name)) {
            continue;
        }
        let mut copy = call.clone();
        replace_innermost(&mut copy, reference);
        let prefix = field
            .alias
            .clone()
            .unwrap_or_else(|| expr_name(&field.expr));
        expanded.push(Field {
            expr: Expr::Call(copy),
            alias: Some(format!("{prefix}_{}", reference.name)),
        });
    }
    Ok(())
}

fn takes_text(function: &str) -> bool {
    matches!(
        function,
        "count" | "first" | "last" | "distinct" | "elapsed" | "mode" | "sample"
    )
}

/// Returns the tags of GROUP BY, sorted, each once.
pub(super) fn dimensions(select: &Select, sources: &[Reader]) -> Vec<Arc<str>> {
    let mut dimensions: BTreeSet<Arc<str>> = BTreeSet::new();
    for dimension in &select.dimensions {
        match dimension {
            Expr::Ref(reference) => {
                dimensions.insert(reference.name.as_str().into());
            }
            Expr::Wildcard(_) => dimensions.extend(names_of(sources).1),
            Expr::Pattern(pattern) => {
                dimensions.extend(
                    names_of(sources)
                        .1
                        .into_iter()
                        .filter(|tag| pattern.matches(tag)),
                );
            }
            _ => {}
        }
    }
    dimensions.into_iter().collect()
}
