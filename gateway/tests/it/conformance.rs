//! The verdicts of InfluxDB 2 itself, compared with ours.
//!
//! Differences are sorted by rule and printed. A line that InfluxDB refuses and we accept would sink its batch there:
//! the one such difference is CR LF, which the sender leaves behind. The other direction is a client's data refused;
//! its ceiling is the measured number.

use std::{collections::BTreeMap, fs::File, io::Read};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::MultiGzDecoder;
use headroom_gateway::lines::{Precision, Rule, scan};
use serde::Deserialize;

use crate::support::shared;

#[derive(Deserialize)]
struct Case {
    input_b64: String,
    precision: String,
    influxdb_v2: String,
}

/// What is refused here and accepted by InfluxDB: invalid UTF-8, and names and values that its own parser loses.
const STRICTER_MAX: usize = 53;

#[test]
fn our_verdicts_agree_with_those_of_influxdb() {
    let Some(path) = shared("data/line-protocol/influxdb-v2-verdicts.jsonl.gz") else {
        return;
    };
    let mut text = String::new();
    MultiGzDecoder::new(File::open(path).expect("readable"))
        .read_to_string(&mut text)
        .expect("JSON lines");
    let (mut total, mut agreed, mut lax) = (0, 0, 0);
    let mut strict: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for case in text
        .lines()
        .map(|line| serde_json::from_str::<Case>(line).expect("a case"))
    {
        let input = STANDARD.decode(&case.input_b64).expect("base64");
        let precision = Precision::of_v2(&case.precision).expect("a precision");
        // InfluxDB judges a batch as a whole; we accept it if no line is refused.
        let refusal = scan(&input, precision).find_map(|line| line.verdict.err());
        total += 1;
        match (case.influxdb_v2.as_str(), refusal) {
            ("accept", Some(refusal)) => {
                strict
                    .entry(refusal.rule)
                    .or_default()
                    .push(String::from_utf8_lossy(&input).chars().take(60).collect());
            }
            ("reject", None) => {
                lax += 1;
                let text = String::from_utf8_lossy(&input);
                assert!(
                    text.contains('\r'),
                    "accepted here, refused by InfluxDB: {text:?}"
                );
            }
            _ => agreed += 1,
        }
    }
    let refused: usize = strict.values().map(Vec::len).sum();
    for (rule, inputs) in &strict {
        println!(
            "refused here, accepted by InfluxDB: {} × {}, such as {:?}",
            inputs.len(),
            rule.code(),
            inputs[0]
        );
    }
    println!("{agreed} of {total} verdicts agree; {lax} laxer, {refused} stricter");
    assert!(refused <= STRICTER_MAX, "{refused} are refused here alone");
}
