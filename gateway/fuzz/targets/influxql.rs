//! The InfluxQL parser on any text: no panic, no endless recursion, and what it understood is printed so that it understands it again.

#![no_main]

use headroom_gateway::influxql::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parameters = serde_json::Map::new();
    let Ok(statements) = parse(text, &parameters) else {
        return;
    };
    for statement in statements {
        let printed = statement.to_string();
        let again = parse(&printed, &parameters)
            .unwrap_or_else(|error| panic!("{printed:?} was printed and is refused: {error}"));
        assert_eq!(again.len(), 1, "{printed:?}");
        assert_eq!(again[0].to_string(), printed);
    }
});
