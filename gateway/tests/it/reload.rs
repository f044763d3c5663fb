//! SIGHUP: other tokens, and another contract, without a restart.

use std::{fs, time::Duration};

use reqwest::Client;

use crate::{
    process::{self, Gateway},
    support::init,
};

const OLD: &str = "old-0123456789abcdef";
const NEW: &str = "new-0123456789abcdef";

async fn pushed(gateway: &Gateway, token: &str) -> u16 {
    let request = Client::new()
        .post(format!("{}/write?db=telegraf", gateway.base))
        .header("authorization", format!("Token {token}"));
    let answer = request.body("m f=1 1").send().await.expect("an answer");
    answer.status().as_u16()
}

#[tokio::test]
async fn a_hangup_takes_the_tokens_anew_and_keeps_them_if_the_file_is_wrong() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let tokens = dir.path().join("tokens");
    fs::write(&tokens, format!("{OLD} write\n")).expect("writable");
    let mut command = process::program();
    command.arg("--tokens-file").arg(&tokens);
    let gateway = process::start(&mut command, &dir.path().join("data")).await;
    assert_eq!(
        (pushed(&gateway, OLD).await, pushed(&gateway, NEW).await),
        (204, 401)
    );
    fs::write(&tokens, format!("{NEW} write\n")).expect("writable");
    gateway.signal("HUP");
    let reloaded = async {
        while pushed(&gateway, NEW).await != 204 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), reloaded)
        .await
        .expect("it is read anew");
    assert_eq!(
        pushed(&gateway, OLD).await,
        401,
        "what is not in the file is out"
    );
    fs::write(&tokens, "short\n").expect("writable");
    gateway.signal("HUP");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        pushed(&gateway, NEW).await,
        204,
        "a wrong file changes nothing"
    );
}

#[tokio::test]
async fn a_gateway_without_tokens_says_so_and_one_with_tokens_does_not() {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let open = "anyone on this machine may write, read and delete";
    let gateway = process::start(&mut process::program(), &dir.path().join("open")).await;
    gateway.until_logged(open).await;
    assert!(gateway.log().contains("headroom-gateway token create"));
    let tokens = dir.path().join("tokens");
    fs::write(&tokens, format!("{OLD} write\n")).expect("writable");
    let mut command = process::program();
    command.arg("--tokens-file").arg(&tokens);
    let gateway = process::start(&mut command, &dir.path().join("closed")).await;
    gateway.until_logged("\"ready\"").await;
    assert!(!gateway.log().contains(open));
}

#[tokio::test]
async fn a_hangup_takes_the_contract_anew_without_dropping_a_push_and_keeps_it_if_the_file_is_wrong()
 {
    init();
    let dir = tempfile::tempdir().expect("a folder");
    let contract = dir.path().join("contract.toml");
    let takes = |measurements: &[&str]| {
        let entries = measurements
            .iter()
            .map(|name| format!("[[measurement]]\nname = \"{name}\"\n"));
        let text = format!(
            "other_measurements = \"refuse\"\n{}",
            entries.collect::<String>()
        );
        fs::write(&contract, text).expect("writable");
    };
    takes(&["cpu"]);
    let mut command = process::program();
    command.arg("--contract-file").arg(&contract);
    let gateway = process::start(&mut command, &dir.path().join("data")).await;
    let client = Client::new();
    let push = async |line: &'static str| {
        let request = client
            .post(format!("{}/write?db=telegraf", gateway.base))
            .body(line);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((push("cpu f=1").await, push("mem f=1").await), (204, 400));
    let stop = std::cell::Cell::new(false);
    let pushing = async {
        let mut pushes = 0;
        while !stop.get() {
            assert_eq!(push("cpu f=1").await, 204, "push {pushes}");
            pushes += 1;
        }
        pushes
    };
    let reloading = async {
        takes(&["cpu", "mem"]);
        gateway.signal("HUP");
        while push("mem f=1").await != 204 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fs::write(&contract, "other_measurements = \"perhaps\"").expect("writable");
        gateway.signal("HUP");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!((push("mem f=1").await, push("disk f=1").await), (204, 400));
        stop.set(true);
    };
    let both = futures_util::future::join(pushing, reloading);
    let (pushes, ()) = tokio::time::timeout(Duration::from_mins(1), both)
        .await
        .expect("it is read anew");
    assert!(pushes > 0);
}
