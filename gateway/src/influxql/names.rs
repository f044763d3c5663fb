//! Names the columns of an answer.

use std::collections::HashMap;

use super::ast::{Call, Expr, Field, Ref};

/// Returns the tags that `top` and `bottom` add as columns behind their own.
pub(super) fn extra_refs(expr: &Expr) -> Vec<&Ref> {
    match expr {
        Expr::Call(Call { name, args }) if name == "top" || name == "bottom" => args
            .iter()
            .skip(1)
            .filter_map(|arg| match arg {
                Expr::Ref(reference) => Some(reference),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Returns the name that an expression gives its column.
pub(super) fn expr_name(expr: &Expr) -> String {
    match expr {
        Expr::Ref(reference) => reference.name.clone(),
        Expr::Call(call) => call.name.clone(),
        Expr::Paren(inner) => expr_name(inner),
        Expr::Binary { left, right, .. } => {
            let parts = [expr_name(left), expr_name(right)];
            let parts: Vec<&str> = parts
                .iter()
                .map(String::as_str)
                .filter(|part| !part.is_empty())
                .collect();
            parts.join("_")
        }
        _ => String::new(),
    }
}

/// Returns a field's name: its alias, or what its expression says.
pub(super) fn field_name(field: &Field) -> String {
    field
        .alias
        .clone()
        .unwrap_or_else(|| expr_name(&field.expr))
}

/// Returns the names of all columns, that of time first; names that collide get a number.
pub(super) fn column_names(time: &str, fields: &[Field]) -> Vec<String> {
    let mut wanted: Vec<(Option<String>, String)> = Vec::new();
    for field in fields {
        wanted.push((field.alias.clone(), expr_name(&field.expr)));
        for extra in extra_refs(&field.expr) {
            wanted.push((None, extra.name.clone()));
        }
    }
    let mut taken: HashMap<String, usize> = HashMap::new();
    for (alias, _) in &wanted {
        if let Some(alias) = alias {
            taken.insert(alias.clone(), 1);
        }
    }
    let mut columns = vec![time.to_owned()];
    for (alias, name) in wanted {
        columns.push(alias.unwrap_or_else(|| free_name(name, &mut taken)));
    }
    columns
}

fn free_name(name: String, taken: &mut HashMap<String, usize>) -> String {
    let Some(mut count) = taken.get(&name).copied() else {
        taken.insert(name.clone(), 1);
        return name;
    };
    loop {
        let candidate = format!("{name}_{count}");
        count += 1;
        if !taken.contains_key(&candidate) {
            taken.insert(name, count);
            taken.insert(candidate.clone(), 1);
            return candidate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, alias: Option<&str>) -> Field {
        Field {
            expr: Expr::Ref(Ref {
                name: name.to_owned(),
                kind: None,
            }),
            alias: alias.map(str::to_owned),
        }
    }

    #[test]
    fn colliding_names_get_numbers_and_aliases_stay() {
        let fields = [
            field("f", None),
            field("f", None),
            field("g", Some("f_1")),
            field("f", None),
        ];
        assert_eq!(
            column_names("time", &fields),
            ["time", "f", "f_2", "f_1", "f_3"]
        );
    }
}
