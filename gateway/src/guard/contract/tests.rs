use super::*;
use crate::lines::{Precision, Scanner};

const DAY_NS: i64 = 86_400_000_000_000;

const CONTRACT: &str = r#"
other_measurements = "refuse"
max_past = "7d"
max_future = "10m"

[[measurement]]
name = "cpu"
other_tags = "refuse"
other_fields = "refuse"
max_past = "1d"

[measurement.tags]
host = { required = true, pattern = "web-[0-9]+" }
cpu = {}

[measurement.fields]
"usage_*" = "float"
usage_label = "string"
count = ["integer", "unsigned"]

[[measurement]]
name = "app.*"
"#;

/// Judges a line that came ten days after 1970.
fn judge(contract: &Contract, line: &str) -> Result<(), Refusal> {
    let text = line.as_bytes();
    let mut scanner = Scanner::new(text, Precision::Nanoseconds);
    let parts = scanner.next_line().expect("a line").verdict.expect("valid");
    contract.judge(parts, text, 10 * DAY_NS).map(drop)
}

#[test]
fn what_the_contract_names_is_taken() {
    let contract = Contract::parse(CONTRACT).expect("valid");
    for line in [
        "cpu,host=web-1 usage_idle=1",
        r"cpu,cpu=cpu\ 0,host=web-22 usage_idle=1,count=3u",
        "cpu,host=web-1 count=1i,usage_label=\"x\" 777600000000000",
        "app.shop,anything=goes f=t",
    ] {
        assert_eq!(judge(&contract, line), Ok(()), "{line}");
    }
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_rule_and_where_it_was() {
    let contract = Contract::parse(CONTRACT).expect("valid");
    for (line, rule, column, named) in [
        (
            "mem f=1",
            Rule::ContractMeasurement,
            1,
            "other_measurements",
        ),
        (
            "cpu usage_idle=1",
            Rule::ContractTagRequired,
            4,
            "tags.host.required",
        ),
        (
            "cpu,host=db-1 usage_idle=1",
            Rule::ContractTagPattern,
            10,
            "tags.host.pattern",
        ),
        (
            "cpu,host=web-1x usage_idle=1",
            Rule::ContractTagPattern,
            10,
            "web-[0-9]+",
        ),
        (
            "cpu,host=web-1,rack=2 usage_idle=1",
            Rule::ContractTag,
            16,
            "other_tags",
        ),
        (
            "cpu,host=web-1 usage_idle=1,idle=2",
            Rule::ContractField,
            29,
            "other_fields",
        ),
        (
            "cpu,host=web-1 usage_idle=1i",
            Rule::ContractFieldType,
            27,
            "fields.usage_*",
        ),
        (
            "cpu,host=web-1 count=1",
            Rule::ContractFieldType,
            22,
            "integer or unsigned",
        ),
        (
            "cpu,host=web-1 count=1i 691200000000000",
            Rule::ContractPast,
            25,
            "2d old",
        ),
        (
            "app.x f=1 172800000000000",
            Rule::ContractPast,
            11,
            "8d old",
        ),
        (
            "app.x f=1 864700000000000",
            Rule::ContractFuture,
            11,
            "11m 40s ahead",
        ),
    ] {
        let refusal = judge(&contract, line).expect_err(line);
        assert_eq!(
            (refusal.rule, refusal.column),
            (rule, Some(column)),
            "{line}: {refusal}"
        );
        assert!(refusal.reason.contains(named), "{line}: {refusal}");
    }
}

#[test]
fn names_are_compared_without_their_escapes() {
    let contract = Contract::parse(
        "other_measurements = \"refuse\"\n[[measurement]]\nname = \"my cpu\"\nother_tags = \"refuse\"\ntags.\"the host\" = { pattern = \"a=b\" }",
    )
    .expect("valid");
    assert_eq!(judge(&contract, r"my\ cpu,the\ host=a\=b f=1"), Ok(()));
    let refusal = judge(&contract, r"my\ cpu,the\ host=a\=c f=1").expect_err("another value");
    assert_eq!(refusal.rule, Rule::ContractTagPattern);
}

#[test]
fn a_contract_that_says_nothing_takes_everything() {
    let contract = Contract::parse("").expect("valid");
    assert_eq!(judge(&contract, "m,a=b f=1 -1"), Ok(()));
}

#[test]
fn a_wrong_contract_is_refused_with_what_would_be_right() {
    for (text, needle) in [
        ("other_measurement = \"refuse\"", "other_measurement"),
        ("other_measurements = \"deny\"", "`accept` or `refuse`"),
        ("other_measurements = \"refuse\"", "[[measurement]]"),
        ("max_past = \"1w\"", "such as 90s, 36h or 7d"),
        ("[[measurement]]", "name"),
        ("[[measurement]]\nname = \"\"", "empty name"),
        (
            "[[measurement]]\nname = \"m\"\n[[measurement]]\nname = \"m\"",
            "join them",
        ),
        (
            "[[measurement]]\nname = \"m\"\ntags.host.pattern = \"(\"",
            "tags.host.pattern",
        ),
        ("[[measurement]]\nname = \"m\"\ntags.host = \"x\"", "line 3"),
        (
            "[[measurement]]\nname = \"m\"\nfields.f = \"double\"",
            "float, integer",
        ),
        (
            "[[measurement]]\nname = \"m\"\nfields.f = []",
            "lists no type",
        ),
        ("x", "line 1"),
    ] {
        let error = Contract::parse(text).expect_err(text);
        assert!(error.contains(needle), "{text}: {error}");
    }
}
