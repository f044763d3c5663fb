//! A body's verdicts do not hang on the pieces in which it comes: within a line, within a character, within a gzip member.
//!
//! The service gathers a body before it judges a line, so the property is that of the gathering; `scanner` holds the scanner itself to
//! the same verdicts wherever a text is split between two lines.

use futures_util::stream;
use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestRunner};
use reqwest::Body;

use crate::{
    scanner::text,
    support::{TestApp, gzip},
};

/// A server answers each case twice; more of them say little more.
const CASES: u32 = 150;

/// The pieces of a body that is split at some places, and whether it comes as gzip.
fn split() -> impl Strategy<Value = (String, Vec<Index>, bool)> {
    (text(), vec(any::<Index>(), 1..8), any::<bool>())
}

fn pieces(body: &[u8], places: &[Index]) -> Vec<Vec<u8>> {
    let mut ends: Vec<usize> = places
        .iter()
        .map(|place| place.index(body.len() + 1))
        .collect();
    ends.push(body.len());
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter()
        .map(|end| body[std::mem::replace(&mut start, end)..end].to_vec())
        .filter(|piece| !piece.is_empty())
        .collect()
}

/// What the service says of every line.
async fn verdicts(app: &TestApp, encoding: &str, body: Body) -> (u16, String) {
    let request = app
        .post("/api/v1/validate?precision=ms")
        .header("content-encoding", encoding)
        .body(body);
    crate::support::read(request).await
}

#[test]
fn every_split_of_a_body_into_chunks_gives_the_same_verdicts() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let app = runtime.block_on(TestApp::start());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(CASES));
    runner
        .run(&split(), |(text, places, packed)| {
            let (body, encoding) = if packed {
                (gzip(&text), "gzip")
            } else {
                (text.into_bytes(), "identity")
            };
            let chunks = pieces(&body, &places)
                .into_iter()
                .map(Ok::<_, std::io::Error>);
            let in_chunks = Body::wrap_stream(stream::iter(chunks.collect::<Vec<_>>()));
            let whole = runtime.block_on(verdicts(&app, encoding, body.into()));
            let split = runtime.block_on(verdicts(&app, encoding, in_chunks));
            prop_assert_eq!(split, whole);
            Ok(())
        })
        .expect("the same verdicts");
}

#[tokio::test]
async fn a_line_in_pieces_of_one_byte_is_one_line() {
    let app = TestApp::start().await;
    let body = "m,t=é f=1,s=\"a\nb\" 1\r\nbad\nm f=2 2";
    let bytes = body.bytes().map(|byte| Ok::<_, std::io::Error>(vec![byte]));
    let stream = Body::wrap_stream(stream::iter(bytes.collect::<Vec<_>>()));
    let request = app
        .post("/api/v2/write?bucket=telegraf&precision=s")
        .body(stream);
    let (status, answer) = crate::support::read(request).await;
    assert!(status == 400 && answer.contains("line 3"), "{answer}");
    let found = app.query("SELECT f, s FROM m").await;
    let rows = &found["results"][0]["series"][0]["values"];
    assert_eq!(
        rows,
        &serde_json::json!([[1_000_000_000, 1, "a\nb"], [2_000_000_000_u64, 2, null]])
    );
}
