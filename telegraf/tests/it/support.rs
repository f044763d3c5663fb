//! A small fleet, the text of batches, and a gateway that answers as it is told.

use std::{io::Read, time::Duration};

use flate2::read::MultiGzDecoder;
use headroom_simulator::{
    backfill::{Span, generate},
    fleet,
    host::Host,
    lines::Agent,
    push::{Batch, Destination, Gateway},
};

/// A Saturday in November 2026.
pub(crate) const NOW_S: i64 = 1_795_276_800;

pub(crate) fn agents(count: usize, seed: u64, scenarios: &[(&str, &str)]) -> Vec<Agent> {
    let scenarios: Vec<_> = scenarios
        .iter()
        .map(|(host, scenario)| {
            (
                (*host).to_owned(),
                scenario.parse().expect("a good scenario"),
            )
        })
        .collect();
    fleet::assemble(fleet::numbered(count, &[]), &scenarios)
        .expect("a good fleet")
        .iter()
        .map(|spec| Agent::new(Host::new(spec, seed, NOW_S)))
        .collect()
}

pub(crate) fn text_of(batch: &Batch) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(&batch.body[..])
        .read_to_string(&mut text)
        .expect("gzip of text");
    text
}

/// Writes a span of the agents as text.
pub(crate) fn written(agents: &mut [Agent], from_s: i64, through_s: i64, step_s: i64) -> String {
    let mut text = String::new();
    let span = Span {
        from_s,
        through_s,
        step_s,
    };
    generate(agents, span, 5000, |batch| {
        text.push_str(&text_of(&batch));
        true
    });
    text
}

pub(crate) fn gateway(url: &str, token: Option<&str>) -> Gateway {
    // The only failure is a provider that another test installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Gateway::new(Destination {
        url: url.parse().expect("a URL"),
        token: token.map(|token| token.to_owned().into()),
        org: "headroom".into(),
        bucket: "telegraf".into(),
        precision: "ns",
        in_flight: 2,
        give_up_after: Duration::from_secs(20),
    })
    .expect("a client")
}
