//! Rules of InfluxQL that the recorded queries do not reach, as InfluxDB 1.6 answered each of these queries on these points.

use headroom_gateway::config::Flags;
use serde_json::{Value, json};

use crate::support::TestApp;

const POINTS: &str = r#"w,host=a,dc=e x=1,n=1i,s="p",b=true 1000000000
w,host=a,dc=e x=3 61000000000
w,host=b x=5,n=4i 601000000000
w,host=b x=2 61000000000
w,host=c y=7 1000000000"#;

/// Asks, and returns each series as its tags' values and its rows; the word "error" for an error.
async fn answer(app: &TestApp, query: &str) -> Value {
    let mut answer = app.query(query).await;
    let result = answer["results"][0].take();
    if result.get("error").is_some() {
        return json!("error");
    }
    let series = result["series"].as_array().cloned().unwrap_or_default();
    let shown = series.into_iter().map(|mut series| {
        let tags = series["tags"].as_object().cloned().unwrap_or_default();
        let tags: Vec<Value> = tags.into_iter().map(|(_, value)| value).collect();
        json!([tags, seconds(series["values"].take())])
    });
    shown.collect()
}

/// Turns the times of rows from nanoseconds into seconds.
fn seconds(mut rows: Value) -> Value {
    for row in rows.as_array_mut().expect("rows") {
        row[0] = json!(row[0].as_i64().expect("a time") / 1_000_000_000);
    }
    rows
}

async fn assert_answers(cases: &[(&str, Value)]) {
    let app = TestApp::start().await;
    assert_eq!(app.push("/write?db=telegraf", POINTS).await.0, 204);
    for (query, want) in cases {
        assert_eq!(answer(&app, query).await, *want, "{query}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_fill_is_of_its_columns_type_and_leaves_what_a_function_says_is_null() {
    let buckets = "FROM w WHERE time >= 0s AND time < 20m GROUP BY time(10m)";
    assert_answers(&[
        (
            &format!("SELECT stddev(x), count(n) {buckets} fill(9)"),
            json!([[[], [[0, 1, 1], [600, null, 1]]]]),
        ),
        (
            &format!("SELECT first(nothere), count(nothere), first(s) {buckets} fill(3.5)"),
            json!([[[], [[0, null, 3, "p"], [600, null, 3, ""]]]]),
        ),
        (
            "SELECT cumulative_sum(max(n)) FROM w WHERE time >= 0s AND time < 15m GROUP BY time(5m) fill(3.5)",
            json!([[[], [[0, 1], [300, 4], [600, 8]]]]),
        ),
        (
            "SELECT x, n, s, b FROM w WHERE host = 'a' fill(2.5)",
            json!([[[], [[1, 1, 1, "p", true], [61, 3, 2, 2.5, 2.5]]]]),
        ),
        ("SELECT x FROM w fill(none)", json!("error")),
        ("SELECT x FROM w fill(linear)", json!("error")),
    ])
    .await;
}

#[tokio::test]
async fn groups_are_limited_whether_they_have_points_or_not() {
    assert_answers(&[
        ("SELECT x FROM w GROUP BY host SOFFSET 1", json!([])),
        ("SELECT y FROM w GROUP BY host SLIMIT 1", json!([])),
        (
            "SELECT y FROM w GROUP BY host SLIMIT 1 SOFFSET 2",
            json!([[["c"], [[1, 7]]]]),
        ),
        ("SELECT sum(y) FROM w GROUP BY host SLIMIT 2", json!([])),
        (
            "SELECT max(x) FROM w GROUP BY dc SLIMIT 1",
            json!([[[""], [[601, 5]]]]),
        ),
        (
            "SELECT max(x) FROM w GROUP BY dc, host SLIMIT 1",
            json!([[["e", "a"], [[61, 3]]]]),
        ),
        (
            "SELECT m FROM (SELECT max(x) AS m FROM w GROUP BY host) GROUP BY host SLIMIT 1",
            json!([[["a"], [[61, 3]]]]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_an_error_where_no_point_shows_it() {
    assert_answers(&[
        ("SELECT sum(s) FROM w WHERE s = 'nothing'", json!("error")),
        ("SELECT sum(s) FROM w WHERE host = 'nobody'", json!([])),
        (
            "SELECT difference(last(s)) FROM w WHERE time >= 0s AND time < 20m GROUP BY time(10m)",
            json!("error"),
        ),
        ("SELECT stddev(nothere) + min(host) FROM w", json!("error")),
        ("SELECT mean(x) & mean(nothere) FROM w", json!("error")),
    ])
    .await;
}

#[tokio::test]
async fn of_points_of_one_time_in_a_subquery_the_greatest_is_first_and_last() {
    assert_answers(&[
        (
            "SELECT first(x) FROM (SELECT x FROM w WHERE time > 1s)",
            json!([[[], [[61, 3]]]]),
        ),
        (
            "SELECT last(x) FROM (SELECT x FROM w WHERE time < 10m)",
            json!([[[], [[61, 3]]]]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_wildcard_passes_over_the_tags_that_top_has_added() {
    assert_answers(&[
        (
            "SELECT count(*) FROM (SELECT top(x, host, 2) FROM w)",
            json!([[[], [[0, 2]]]]),
        ),
        (
            "SELECT * FROM (SELECT top(x, host, 2) FROM w)",
            json!([[[], [[61, 3], [601, 5]]]]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_remainder_by_zero_is_null_of_floats_and_zero_of_integers() {
    assert_answers(&[(
        "SELECT x % 0, n % 0 FROM w WHERE host = 'b'",
        json!([[[], [[61, null, null], [601, null, 0]]]]),
    )])
    .await;
}

#[tokio::test]
async fn an_integral_without_buckets_is_at_the_beginning_of_time() {
    assert_answers(&[(
        "SELECT integral(x) FROM w WHERE time >= 1s AND time < 20m AND host = 'a'",
        json!([[[], [[0, 120]]]]),
    )])
    .await;
}

#[tokio::test]
async fn a_missing_value_is_neither_true_nor_false_and_a_missing_tag_equals_none() {
    assert_answers(&[
        ("SELECT x FROM w WHERE b = false", json!([])),
        ("SELECT x FROM w WHERE b != false", json!([[[], [[1, 1]]]])),
        ("SELECT count(x) FROM w WHERE b != true", json!([])),
        (
            "SELECT count(x) FROM w WHERE dc = dc",
            json!([[[], [[0, 2]]]]),
        ),
        ("SELECT x FROM w WHERE dc = nothere", json!([])),
        (
            "SELECT count(x) FROM w WHERE dc != host",
            json!([[[], [[0, 4]]]]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn show_takes_every_name_for_a_tags() {
    let app = TestApp::start().await;
    let points = "v,value=t0 value=1 1\nv,value=t1 value=2 1";
    assert_eq!(app.push("/write?db=telegraf", points).await.0, 204);
    let keys = async |query: &str| {
        let answer = app.query(query).await;
        let values = answer["results"][0]["series"][0]["values"].clone();
        (values, answer["results"][0].get("error").is_some())
    };
    let other = "SHOW SERIES FROM v WHERE value != 't0'";
    assert_eq!(keys(other).await, (json!([["v,value=t1"]]), false));
    let all = "SHOW TAG VALUES FROM v WITH KEY = value WHERE value = 1";
    let all = keys(&all.replace("value", "\"value\"")).await;
    assert_eq!(all, (json!([["value", "t0"], ["value", "t1"]]), false));
    for query in [
        "SHOW SERIES FROM v WHERE value > 't0'",
        "SHOW TAG KEYS WHERE value < 't0'",
        "SHOW MEASUREMENTS WHERE value >= 1",
    ] {
        assert_eq!(keys(query).await, (Value::Null, true), "{query}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_subquery_has_the_buckets_of_the_query_around_it() {
    let ten = "WHERE time >= 0s AND time < 20m GROUP BY time(10m)";
    let thirtieth = 2.0 / 60.0;
    assert_answers(&[
        (
            "SELECT sum(r) FROM (SELECT derivative(mean(x), 1s) AS r FROM w GROUP BY host) WHERE time >= 0s AND time < 20m GROUP BY time(1m) fill(none)",
            json!([[[], [[60, thirtieth], [600, 3.0 / 540.0]]]]),
        ),
        (
            &format!("SELECT sum(r) FROM (SELECT r FROM (SELECT derivative(mean(x), 1s) AS r FROM w)) {ten}"),
            json!([[[], [[0, null], [600, 0.005]]]]),
        ),
        (
            &format!("SELECT max(r) FROM (SELECT difference(x) AS r FROM w GROUP BY host) {ten}"),
            json!([[[], [[0, 2], [600, 3]]]]),
        ),
        (
            "SELECT r FROM (SELECT derivative(mean(x), 1s) AS r FROM w GROUP BY host)",
            json!("error"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_transformation_takes_what_distinct_and_sample_leave() {
    let ten = "FROM w WHERE time >= 0s AND time < 20m GROUP BY time(10m)";
    assert_answers(&[
        (
            &format!("SELECT cumulative_sum(distinct(x)) {ten}"),
            json!([[[], [[0, 1], [0, 3], [0, 6], [600, 11]]]]),
        ),
        (
            &format!("SELECT derivative(distinct(x), 1s) {ten}"),
            json!([[[], [[600, 4.0 / 600.0]]]]),
        ),
        (
            &format!("SELECT cumulative_sum(sample(x, 9)) {ten}"),
            json!([[[], [[1, 1], [61, 3], [61, 6], [601, 11]]]]),
        ),
        (
            &format!("SELECT cumulative_sum(distinct(x)), cumulative_sum(max(x)) {ten}"),
            json!([[[], [[0, 1, 3], [0, 3, null], [0, 6, null], [600, 11, 8]]]]),
        ),
        (
            &format!("SELECT difference(bottom(x, 2)) {ten}"),
            json!("error"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn numbers_as_large_as_can_be_written_are_no_trouble() {
    let (integer, most) = (i64::MAX, u64::MAX);
    assert_answers(&[
        (
            &format!("SELECT x FROM w LIMIT {most} OFFSET 3"),
            json!([[[], [[601, 5]]]]),
        ),
        (
            &format!("SELECT max(x) FROM w WHERE time >= 0s AND time < 20m GROUP BY time(10m) LIMIT {most} OFFSET 1"),
            json!([[[], [[600, 5]]]]),
        ),
        (&format!("SELECT sum(x) FROM w LIMIT {most} OFFSET {most}"), json!([])),
        (
            &format!("SELECT y FROM w GROUP BY host SLIMIT {most} SOFFSET 2"),
            json!([[["c"], [[1, 7]]]]),
        ),
        (&format!("SELECT y FROM w GROUP BY host SLIMIT {most} SOFFSET {most}"), json!([])),
        (&format!("SELECT moving_average(x, {integer}) FROM w"), json!([])),
        (
            &format!("SELECT moving_average(max(x), {integer}) FROM w WHERE time < 20m GROUP BY time(10m)"),
            json!([]),
        ),
        (
            &format!("SELECT top(x, {integer}) FROM w WHERE host = 'b'"),
            json!([[[], [[61, 2], [601, 5]]]]),
        ),
        (
            &format!("SELECT sample(x, {integer}) FROM w WHERE host = 'b'"),
            json!([[[], [[61, 2], [601, 5]]]]),
        ),
        (
            "SELECT sum(x) FROM w WHERE time >= 0s AND time < 20m GROUP BY time(106751d)",
            json!([[[], [[0, 11]]]]),
        ),
        (
            &format!("SELECT count(x) FROM w WHERE time < (-{integer}ns - 1w) / -1"),
            json!([[[], [[0, 4]]]]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_selected_time_names_its_column() {
    let app = TestApp::start().await;
    assert_eq!(app.push("/write?db=telegraf", POINTS).await.0, 204);
    for (query, want) in [
        ("SELECT time AS t, x FROM w LIMIT 1", json!(["t", "x"])),
        ("SELECT x, time AS t FROM w LIMIT 1", json!(["t", "x"])),
        ("SELECT x AS t, time AS t FROM w LIMIT 1", json!(["t", "t"])),
        ("SELECT time AS t, max(x) FROM w", json!(["t", "max"])),
        ("SELECT time, x FROM w LIMIT 1", json!(["time", "x"])),
    ] {
        let answer = app.query(query).await;
        assert_eq!(
            answer["results"][0]["series"][0]["columns"], want,
            "{query}"
        );
    }
    app.stop().await;
}

#[tokio::test]
async fn forecasts_are_asked_of_the_forecaster() {
    let app = TestApp::start().await;
    assert_eq!(app.push("/write?db=telegraf", POINTS).await.0, 204);
    let query = "SELECT holt_winters(mean(x), 5, 0) FROM w WHERE time < 1h GROUP BY time(1m)";
    let answer = app.query(query).await;
    assert_eq!(
        answer["results"][0]["error"],
        "holt_winters is not supported; the forecaster writes its forecasts as points of the measurement \"forecast\", and \
         answers GET /api/v1/hosts/{host}/forecasts"
    );
    app.stop().await;
}

/// What a SHOW statement lists, one row after the other; the word "error" for an error.
async fn listed(app: &TestApp, query: &str) -> Value {
    let answer = app.query(query).await;
    let result = &answer["results"][0];
    if result.get("error").is_some() {
        return json!("error");
    }
    let series = result["series"].as_array().cloned().unwrap_or_default();
    let rows = series.iter().filter_map(|one| one["values"].as_array());
    rows.flatten()
        .filter_map(|row| row.as_array()?.last().cloned())
        .collect()
}

/// As 1.6 answers with its index on disk.
#[tokio::test]
async fn show_with_a_time_lists_what_has_points_in_the_weeks_of_it() {
    let app = TestApp::start().await;
    // Three weeks; of `long` the one in the middle has no point.
    let points = "m,host=old,a=1 x=1 1600000000\nn,zone=z x=1 1600000000\nm,host=new x=2 1700000000\n\
                  m,host=long x=3 1600000000\nm,host=long x=3 1700000000";
    let answer = app.push("/write?db=telegraf&precision=s", points).await;
    assert_eq!(answer.0, 204);
    let cases = [
        (
            "SHOW SERIES WHERE time > 1650000000s",
            json!(["m,host=long", "m,host=new"]),
        ),
        (
            "SHOW SERIES FROM m WHERE time < 1650000000s",
            json!(["m,a=1,host=old", "m,host=long"]),
        ),
        (
            "SHOW TAG VALUES FROM m WITH KEY = host WHERE time > 1650000000s",
            json!(["long", "new"]),
        ),
        (
            "SHOW TAG VALUES FROM m WITH KEY = host WHERE time > 1650000000s AND host = 'old'",
            json!([]),
        ),
        (
            "SHOW TAG VALUES FROM m WITH KEY = host WHERE time > 1640000000s AND time < 1650000000s",
            json!([]),
        ),
        // The week lasts to Monday, 20 November.
        (
            "SHOW TAG VALUES FROM m WITH KEY = host WHERE time > 1700400000s",
            json!(["long", "new"]),
        ),
        (
            "SHOW TAG VALUES FROM m WITH KEY = host WHERE time > 1700500000s",
            json!([]),
        ),
        ("SHOW TAG KEYS WHERE time > 1650000000s", json!(["host"])),
        (
            "SHOW TAG VALUES CARDINALITY WITH KEY = host WHERE time > 1650000000s",
            json!([2]),
        ),
        ("SHOW MEASUREMENTS WHERE time > 1650000000s", json!("error")),
        (
            "SHOW SERIES CARDINALITY WHERE time > 1650000000s",
            json!("error"),
        ),
        (
            "SHOW TAG KEY CARDINALITY WHERE time > 1650000000s",
            json!("error"),
        ),
    ];
    for (query, want) in &cases {
        assert_eq!(listed(&app, query).await, *want, "{query}");
    }
    // The same where points lie in chunks.
    let app = app.restart_with(Flags::default()).await;
    for (query, want) in &cases {
        assert_eq!(listed(&app, query).await, *want, "sealed: {query}");
    }
    app.stop().await;
}
