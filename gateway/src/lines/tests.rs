use super::*;

fn judge(line: &[u8], precision: Precision) -> Result<Point<'_>, Refusal> {
    let mut lines = scan(line, precision);
    let verdict = lines.next().expect("a line").verdict;
    assert_eq!(lines.next(), None, "one line");
    verdict
}

fn one(line: &str) -> Result<Point<'_>, Refusal> {
    judge(line.as_bytes(), Precision::Nanoseconds)
}

#[test]
fn a_line_becomes_a_point() {
    let point =
        one(r#"cpu\ 1,host=web\ 1,b=\= idle=.5,n=3i,u=4u,s="a \"b\"",up=t 12"#).expect("valid");
    assert_eq!(point.measurement, "cpu 1");
    assert_eq!(
        point.tags,
        [("host".into(), "web 1".into()), ("b".into(), "=".into())]
    );
    assert_eq!(
        point.fields,
        [
            ("idle".into(), FieldValue::Float(0.5)),
            ("n".into(), FieldValue::Integer(3)),
            ("u".into(), FieldValue::Unsigned(4)),
            ("s".into(), FieldValue::Text("a \"b\"".into())),
            ("up".into(), FieldValue::Boolean(true)),
        ]
    );
    assert_eq!(point.time_ns, Some(12));
}

#[test]
fn what_influxdb_takes_is_taken() {
    for line in [
        "_m f=1",
        "m=x f=1",
        "\"m\" f=1",
        r"m\,x f=1",
        "m,_time=1 f=1",
        "m,t=\"a\" f=1",
        r"m,t=a\=b f=1",
        "m,b=1,a=2 f=1",
        "m f=1.",
        "m f=1.e5",
        "m f=\"\"",
        "m f=\"a\nb\"",
        "m f=1,f=2",
        "m  f=1  -1",
        "m f=1 9223372036854775806",
        r"\#m f=1",
    ] {
        assert!(one(line).is_ok(), "{line}: {:?}", one(line));
    }
}

#[test]
fn what_influxdb_refuses_is_refused_by_the_right_rule() {
    for (line, rule) in [
        ("m", Rule::Field),
        ("m ", Rule::Field),
        (",t=a f=1", Rule::Measurement),
        ("m, f=1", Rule::Tag),
        ("m,t= f=1", Rule::Tag),
        ("m,=a f=1", Rule::Tag),
        ("m,t f=1", Rule::Tag),
        ("m,t=a=b f=1", Rule::Tag),
        ("m,t=a,t=b f=1", Rule::DuplicateTag),
        ("m,time=1 f=1", Rule::ReservedName),
        ("m,_field=1 f=1", Rule::ReservedName),
        ("m time=1", Rule::ReservedName),
        ("m\tf=1", Rule::Field),
        ("m f=", Rule::Field),
        ("m =1", Rule::Field),
        ("m f=1,", Rule::Field),
        ("m f=1,,g=2", Rule::Field),
        ("m ,f=1", Rule::Field),
        ("m f = 1", Rule::Field),
        ("m f=1e400", Rule::NumberRange),
        ("m f=NaN", Rule::Value),
        ("m f=oops", Rule::Value),
        ("m f=\"a", Rule::Quotes),
        ("m f=\"a\"b", Rule::Quotes),
        ("m f=1 +1", Rule::Timestamp),
        ("m f=1 1.5", Rule::Timestamp),
        ("m f=1 1 2", Rule::Timestamp),
        ("m f=1 9223372036854775807", Rule::TimeRange),
        ("m f=1 99999999999999999999", Rule::TimeRange),
        (r"m,t=a\ f=1", Rule::Tag),
        ("{\"json\": 1}", Rule::Field),
    ] {
        let refusal = one(line).expect_err(line);
        assert_eq!(refusal.rule, rule, "{line}: {refusal}");
    }
    assert_eq!(
        judge(b"m\xff f=1", Precision::Nanoseconds)
            .expect_err("not UTF-8")
            .rule,
        Rule::Encoding
    );
}

#[test]
fn keys_and_strings_have_a_longest() {
    let fits = format!("{} f=1", "m".repeat(KEY_MAX_BYTES - 5));
    assert!(one(&fits).is_ok());
    assert_eq!(
        one(&format!("m{fits}")).expect_err("too long").rule,
        Rule::TooLong
    );
    let text = "x".repeat(STRING_MAX_BYTES + 1);
    assert_eq!(
        one(&format!("m f=\"{text}\"")).expect_err("too long").rule,
        Rule::TooLong
    );
}

#[test]
fn a_refusal_names_its_column() {
    let refusal = one("cpu,host=a idle=oops").expect_err("no number");
    assert_eq!(refusal.column, Some(17));
}

#[test]
fn a_column_counts_from_the_lines_first_byte_and_on_across_its_rows() {
    let second = |text: &str| {
        let line = scan(text.as_bytes(), Precision::Seconds).nth(1);
        let line = line.expect("two lines");
        (line.number, line.verdict.expect_err(text).column)
    };
    // Each fault stands at the byte that an editor shows.
    for (line, column) in [
        ("  m f=x", 7),
        ("\t m f=1 x", 9),
        ("  m,t= f=1", 7),
        ("  m,a=1,a=2 f=1", 9),
        ("  m time=1", 5),
        (" m s=\"a\nb\",f=x", 14),
        ("m s=\"open\n", 5),
    ] {
        let text = format!("  a s=\"two\nrows\" 1\n{line}");
        assert_eq!(second(&text), (3, Some(column)), "{line:?}");
    }
    let text = b"a f=1\n  m f=\"\xff\"";
    let line = scan(text, Precision::Seconds).nth(1).expect("two lines");
    assert_eq!(line.verdict.expect_err("no UTF-8").column, Some(8));
}

#[test]
fn a_bad_line_leaves_its_neighbours_alone() {
    let text = "a f=1 1\nb f=oops\n# c\r\nc f=\"x\ny\" 2\r\nd f=3 3";
    let lines: Vec<_> = scan(text.as_bytes(), Precision::Seconds).collect();
    let verdicts: Vec<_> = lines
        .iter()
        .map(|line| (line.number, line.verdict.is_ok()))
        .collect();
    assert_eq!(verdicts, [(1, true), (2, false), (4, true), (6, true)]);
    assert_eq!(
        lines[2].verdict.as_ref().map(|point| point.time_ns),
        Ok(Some(2_000_000_000))
    );
}
