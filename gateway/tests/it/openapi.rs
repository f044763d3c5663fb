//! The published document.

use std::{fs, path::Path};

use serde_json::Value;

const COMMITTED: &str = "../openapi/gateway.json";

#[test]
fn the_committed_document_is_the_one_that_the_code_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COMMITTED);
    let committed = fs::read_to_string(path).expect("openapi/gateway.json; run `make openapi`");
    let made = headroom_gateway::openapi::print().expect("JSON");
    assert!(
        committed == made,
        "openapi/gateway.json has drifted from the code: run `make openapi`"
    );
}

#[test]
fn every_operation_is_described_with_an_example() {
    let text = headroom_gateway::openapi::print().expect("JSON");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1")
    );
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            operations += 1;
            for key in ["summary", "description", "operationId", "tags"] {
                assert!(!operation[key].is_null(), "{method} {path} has no {key}");
            }
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let description = response["description"].as_str().unwrap_or_default();
                assert!(
                    !description.is_empty(),
                    "{method} {path} {status} has no description"
                );
            }
            let has_example =
                operation.to_string().contains("\"example\"") || path.ends_with("/ping");
            assert!(has_example, "{method} {path} has no example");
        }
    }
    assert!(operations >= 9, "{operations}");
}
