//! The way of a gzip body: what unpacks within the limit is what another decoder unpacks, and nothing goes beyond it.
//!
//! The first byte chooses the limit.

#![no_main]

use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use headroom_gateway::body::decode;
use libfuzzer_sys::fuzz_target;

/// Far more than an input unpacks to that a fuzzer finds by itself; the smaller limits are met all the time.
const LIMIT_MOST: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let [choice, raw @ ..] = data else {
        return;
    };
    let limit = LIMIT_MOST >> (choice % 21);
    let Ok(text) = decode(raw, limit) else {
        return;
    };
    assert!(text.len() as u64 <= limit);
    if raw.is_empty() {
        assert!(text.is_empty());
        return;
    }
    // A byte at a time, so that every border between two reads is met.
    let mut expected = Vec::new();
    let mut decoder = MultiGzDecoder::new(std::io::BufReader::with_capacity(1, raw));
    decoder
        .read_to_end(&mut expected)
        .expect("just unpacked in one go");
    assert_eq!(text, expected);
});
