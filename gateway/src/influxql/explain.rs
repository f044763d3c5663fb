//! `EXPLAIN`: what a query would read, and with `ANALYZE` how long that takes.

use std::time::Instant;

use super::answer::{Series, Table};
use super::ast::Select;
use super::context::Context;
use super::error::Outcome;
use super::formula::text;
use super::plan::{self, Prepared, Reader};
use super::source::judged_series;

/// Describes how a SELECT is answered, a line a row.
pub(super) fn explain(
    analyze: bool,
    select: &Select,
    context: &Context<'_>,
) -> Outcome<Vec<Series>> {
    let started = Instant::now();
    let prepared = plan::prepare(select, None, context)?;
    let mut lines = Vec::new();
    describe(&prepared, 0, context, &mut lines)?;
    if analyze {
        lines.push(format!("planning took {:?}", started.elapsed()));
        let started = Instant::now();
        let groups = super::select::run(&prepared, None, context)?;
        let rows: usize = groups.iter().map(|group| group.rows.len()).sum();
        lines.push(format!(
            "execution took {:?}: {rows} rows in {} series, {} values read",
            started.elapsed(),
            groups.len(),
            context.values_read()
        ));
    }
    let name = if analyze {
        "EXPLAIN ANALYZE"
    } else {
        "QUERY PLAN"
    };
    Ok(vec![Series {
        name: "".into(),
        tags: Vec::new(),
        columns: [name.to_owned()].into(),
        rows: Table::Plain(lines.iter().map(|line| vec![Some(text(line))]).collect()),
    }])
}

fn describe(
    prepared: &Prepared,
    depth: usize,
    context: &Context<'_>,
    lines: &mut Vec<String>,
) -> Outcome<()> {
    let indent = "    ".repeat(depth);
    let fields: Vec<String> = prepared.fields.iter().map(ToString::to_string).collect();
    lines.push(format!("{indent}EXPRESSION: {}", fields.join(", ")));
    if let Some(condition) = &prepared.condition {
        lines.push(format!("{indent}CONDITION: {condition}"));
    }
    if !prepared.dimensions.is_empty() {
        lines.push(format!("{indent}TAGS: {}", prepared.dimensions.join(", ")));
    }
    for source in &prepared.sources {
        context.check()?;
        match source {
            Reader::Subquery(inner) => {
                lines.push(format!("{indent}SUBQUERY:"));
                describe(inner, depth + 1, context, lines)?;
            }
            Reader::Measurement { view, name } => {
                let series =
                    judged_series(view, name, prepared.condition.as_ref(), &|| context.check())?;
                let numbers: Vec<u32> = series.iter().map(|(series, _)| series.number).collect();
                let extent = view.extent(name, &numbers, prepared.span.first, prepared.span.last);
                lines.push(format!("{indent}MEASUREMENT: {name}"));
                lines.push(format!("{indent}    NUMBER OF SERIES: {}", series.len()));
                lines.push(format!(
                    "{indent}    NUMBER OF CHUNKS: {} with all fields",
                    extent.chunks
                ));
                lines.push(format!(
                    "{indent}    SIZE OF CHUNKS: {} bytes",
                    extent.size_bytes
                ));
                lines.push(format!("{indent}    VALUES IN CHUNKS: {}", extent.values));
            }
        }
    }
    Ok(())
}
