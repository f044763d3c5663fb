//! What is printed parses to the same tree. The strategies are boxed: whole ones are too large for a test's stack.

use proptest::prelude::*;
use serde_json::Map;

use crate::influxql::parse;

fn name() -> BoxedStrategy<String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,6}",
        "[a-zA-Z0-9 .,=é-]{1,8}".prop_map(|text| format!("\"{text}\"")),
        Just(r#""a\"b\\c\nd""#.to_owned()),
        Just("\"select\"".to_owned()),
    ]
    .boxed()
}

fn literal() -> BoxedStrategy<String> {
    prop_oneof![
        any::<u32>().prop_map(|number| number.to_string()),
        (0..1_000u32, 0..1_000u32).prop_map(|(whole, part)| format!("{whole}.{part:03}")),
        "[a-z0-9 ]{0,8}".prop_map(|text| format!("'{text}'")),
        Just(r"'it\'s \\ a\ntest'".to_owned()),
        Just("18446744073709551615".to_owned()),
        (1..500u32, "ns|u|ms|s|m|h|d|w").prop_map(|(count, unit)| format!("{count}{unit}")),
        Just("true".to_owned()),
    ]
    .boxed()
}

fn reference() -> BoxedStrategy<String> {
    let kind = prop_oneof![
        4 => Just(""),
        1 => Just("::field"),
        1 => Just("::tag"),
        1 => Just("::float"),
    ];
    (name(), kind)
        .prop_map(|(name, kind)| format!("{name}{kind}"))
        .boxed()
}

fn pattern() -> BoxedStrategy<String> {
    prop_oneof![
        Just("/^a.*b$/".to_owned()),
        Just(r"/a\/b[0-9]+/".to_owned())
    ]
    .boxed()
}

fn expression() -> BoxedStrategy<String> {
    let leaf = prop_oneof![3 => reference(), 2 => literal()];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop_oneof![
            Just("+"),
            Just("-"),
            Just("*"),
            Just("/"),
            Just("%"),
            Just("&"),
            Just("|"),
            Just("^")
        ];
        let call = prop_oneof![
            Just("mean"),
            Just("max"),
            Just("distinct"),
            Just("derivative"),
            Just("\"select\""),
            Just("\"a b\"")
        ];
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            inner.clone().prop_map(|inner| format!("-{inner}")),
            inner.clone().prop_map(|inner| format!("+{inner}")),
            (call, inner).prop_map(|(call, argument)| format!("{call}({argument})")),
        ]
    })
    .boxed()
}

fn condition() -> BoxedStrategy<String> {
    let operator = prop_oneof![
        Just("="),
        Just("!="),
        Just("<>"),
        Just("<"),
        Just("<="),
        Just(">"),
        Just(">=")
    ];
    let leaf = prop_oneof![
        3 => (reference(), operator, literal())
            .prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        1 => (reference(), pattern()).prop_map(|(left, right)| format!("{left} =~ {right}")),
        1 => Just("time >= now() - 1h".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("{left} AND {right}")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("{left} OR {right}")),
            inner.prop_map(|inner| format!("({inner})")),
        ]
    })
    .boxed()
}

fn source() -> BoxedStrategy<String> {
    prop_oneof![
        name(),
        (name(), name()).prop_map(|(policy, name)| format!("{policy}.{name}")),
        (name(), name()).prop_map(|(database, name)| format!("{database}..{name}")),
        pattern(),
    ]
    .boxed()
}

fn clause(words: &'static str) -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), Just(words.to_owned())].boxed()
}

fn select() -> BoxedStrategy<String> {
    let fields = prop::collection::vec(
        prop_oneof![
            expression(),
            Just("*".to_owned()),
            pattern(),
            (expression(), name()).prop_map(|(expr, alias)| format!("{expr} AS {alias}")),
        ],
        1..3,
    );
    let filter = prop::option::of(condition());
    let tail = (
        clause(" GROUP BY time(5m, 1m), host, *"),
        prop_oneof![
            Just(""),
            Just(" fill(none)"),
            Just(" fill(-1.5)"),
            Just(" fill(7)")
        ],
        clause(" ORDER BY time DESC"),
        clause(" LIMIT 5 OFFSET 2 SLIMIT 3"),
        clause(" tz('Europe/Berlin')"),
    );
    (fields, source(), filter, tail)
        .prop_map(
            |(fields, source, filter, (group, fill, order, limit, zone))| {
                let fields = fields.join(", ");
                let filter = filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"));
                format!("SELECT {fields} FROM {source}{filter}{group}{fill}{order}{limit}{zone}")
            },
        )
        .boxed()
}

fn statement() -> BoxedStrategy<String> {
    prop_oneof![
        6 => select(),
        1 => (select(), name()).prop_map(|(inner, name)| format!("SELECT {name} FROM ({inner})")),
        1 => (source(), condition()).prop_map(|(from, filter)| format!("DELETE FROM {from} WHERE {filter}")),
        1 => (source(), condition()).prop_map(|(from, filter)| format!("DROP SERIES FROM {from} WHERE {filter}")),
        1 => select().prop_map(|select| format!("EXPLAIN ANALYZE {select}")),
        1 => (name(), name()).prop_map(|(policy, database)| {
            format!("ALTER RETENTION POLICY {policy} ON {database} DURATION 3d DEFAULT")
        }),
        1 => name().prop_map(|name| format!("CREATE DATABASE {name} WITH DURATION 1w NAME {name}")),
        1 => (source(), name()).prop_map(|(from, key)| format!("SHOW TAG VALUES FROM {from} WITH KEY IN ({key}, b)")),
        1 => condition().prop_map(|filter| format!("SHOW SERIES EXACT CARDINALITY WHERE {filter} LIMIT 3")),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_printed_parses_to_the_same_tree(text in statement()) {
        // Not all that is made here is InfluxQL: two wildcards cannot be added.
        if let Ok(statements) = parse(&text, &Map::new()) {
            let printed = statements[0].to_string();
            let again = parse(&printed, &Map::new());
            prop_assert_eq!(again.as_ref().ok(), Some(&statements), "{} was printed as {}", text, printed);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused_without_a_panic(text in "\\PC{0,60}") {
        if let Err(error) = parse(&text, &Map::new()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn most_of_what_the_test_makes_is_influxql() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let parsed = (0..200)
        .filter(|_| {
            let text = statement().new_tree(&mut runner).expect("a tree").current();
            parse(&text, &Map::new()).is_ok()
        })
        .count();
    assert!(parsed > 120, "{parsed} of 200");
}
