//! TLS with certificates that are made here, and replaced while it serves.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Certificate, Client, Version};

use crate::{
    process::{self, Gateway},
    support::init,
};

struct Files {
    dir: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Makes a first pair, and answers what a client must trust.
    fn new() -> (Self, Certificate) {
        let dir = tempfile::tempdir().expect("a folder");
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let files = Self {
            dir,
            certificate,
            key,
        };
        let trusted = files.replace();
        (files, trusted)
    }

    /// Puts a new pair in the place of the old one.
    fn replace(&self) -> Certificate {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("made");
        fs::write(&self.certificate, made.cert.pem()).expect("writable");
        fs::write(&self.key, made.signing_key.serialize_pem()).expect("writable");
        Certificate::from_pem(made.cert.pem().as_bytes()).expect("a certificate")
    }

    async fn serve(&self, client: &Client) -> Gateway {
        self.serve_with(client, &[]).await
    }

    async fn serve_with(&self, client: &Client, arguments: &[&str]) -> Gateway {
        let mut command = process::program();
        command.args(arguments);
        command.arg("--tls-cert-file").arg(&self.certificate);
        command.arg("--tls-key-file").arg(&self.key);
        process::start_seen_by(client, &mut command, &self.dir.path().join("data")).await
    }
}

fn trusting(certificates: &[&Certificate]) -> Client {
    let trusted = certificates.iter().map(|one| (*one).clone());
    let builder = Client::builder().tls_certs_only(trusted);
    // Every request makes a connection of its own, and so meets the certificate of the day.
    builder.pool_max_idle_per_host(0).build().expect("a client")
}

async fn push(client: &Client, gateway: &Gateway) -> reqwest::Result<(u16, Version)> {
    let request = client.post(format!("{}/write?db=telegraf", gateway.base));
    let answer = request.body("m f=1 1").send().await?;
    Ok((answer.status().as_u16(), answer.version()))
}

#[tokio::test]
async fn pushes_are_taken_over_tls_and_only_over_it() {
    init();
    let (files, trusted) = Files::new();
    let client = trusting(&[&trusted]);
    let gateway = files.serve(&client).await;
    assert!(gateway.base.starts_with("https://"));
    let (status, version) = push(&client, &gateway).await.expect("an answer");
    assert_eq!((status, version), (204, Version::HTTP_2));
    let old = Client::builder().tls_certs_only([trusted]).http1_only();
    let old = old.build().expect("a client");
    let (status, version) = push(&old, &gateway).await.expect("an answer");
    assert_eq!((status, version), (204, Version::HTTP_11));
    let plain = gateway.base.replace("https://", "http://");
    assert!(
        Client::new()
            .get(format!("{plain}/ping"))
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_replaced_certificate_is_served_without_losing_a_request() {
    init();
    let (files, first) = Files::new();
    let gateway = files.serve(&trusting(&[&first])).await;
    let second = files.replace();
    let (new, both) = (trusting(&[&second]), trusting(&[&first, &second]));
    let mut taken = 0;
    let turned = async {
        // Whoever trusts both never notices; whoever trusts the new one alone gets in at last.
        while push(&new, &gateway).await.is_err() {
            assert_eq!(push(&both, &gateway).await.expect("an answer").0, 204);
            taken += 1;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), turned)
        .await
        .expect("it changes by itself");
    assert!(
        push(&trusting(&[&first]), &gateway).await.is_err(),
        "{taken}"
    );
}

#[tokio::test]
async fn a_wrong_replacement_leaves_the_certificate_in_use() {
    init();
    let (files, first) = Files::new();
    let client = trusting(&[&first]);
    let gateway = files.serve(&client).await;
    fs::write(&files.key, "no key").expect("writable");
    gateway.signal("HUP");
    gateway.until_logged("HEADROOM_TLS_KEY_FILE").await;
    assert_eq!(push(&client, &gateway).await.expect("an answer").0, 204);
}

#[tokio::test]
async fn a_hangup_with_a_wrong_certificate_changes_neither_tokens_nor_contract() {
    init();
    let (files, first) = Files::new();
    let client = trusting(&[&first]);
    let (tokens, contract) = (files.dir.path().join("tokens"), files.dir.path().join("c"));
    let taken = "other_measurements = \"refuse\"\n[[measurement]]\nname = \"m\"\n";
    fs::write(&tokens, "old-0123456789abcdef write\n").expect("writable");
    fs::write(&contract, taken).expect("writable");
    let names = [&tokens, &contract].map(|path| path.to_str().expect("UTF-8"));
    let arguments = ["--tokens-file", names[0], "--contract-file", names[1]];
    let gateway = files.serve_with(&client, &arguments).await;
    let push = async |token: &str, line: &'static str| {
        let request = client.post(format!("{}/write?db=telegraf", gateway.base));
        let answer = request.bearer_auth(token).body(line).send().await;
        answer.expect("an answer").status().as_u16()
    };
    let (old, new) = ("old-0123456789abcdef", "new-0123456789abcdef");
    fs::write(&tokens, format!("{new} write\n")).expect("writable");
    fs::write(&contract, taken.replace("\"m\"", "\"n\"")).expect("writable");
    let key = fs::read(&files.key).expect("a key");
    fs::write(&files.key, "no key").expect("writable");
    gateway.signal("HUP");
    gateway.until_logged("nothing is read anew").await;
    assert_eq!(
        (push(old, "m f=1").await, push(new, "m f=1").await),
        (204, 401)
    );
    assert_eq!(push(old, "n f=1").await, 400);
    fs::write(&files.key, key).expect("writable");
    gateway.signal("HUP");
    gateway
        .until_logged("tokens, contract and certificate are read anew")
        .await;
    assert_eq!(
        (push(old, "n f=1").await, push(new, "n f=1").await),
        (401, 204)
    );
    assert_eq!(push(new, "m f=1").await, 400);
}

#[test]
fn files_that_do_not_fit_are_named_at_the_start() {
    let (files, _) = Files::new();
    let (others, _) = Files::new();
    let refused = |certificate: &Path, key: &Path| {
        let mut command = process::program();
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(files.dir.path().join("data"));
        command.arg("--tls-cert-file").arg(certificate);
        command.arg("--tls-key-file").arg(key);
        let ended = command.output().expect("it runs");
        assert!(!ended.status.success());
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    for (said, needle) in [
        (
            refused(&files.certificate, &others.key),
            "must be the key of",
        ),
        (refused(&files.key, &files.key), "no certificate chain"),
        (
            refused(&files.certificate, &files.certificate),
            "no private key",
        ),
        (refused(Path::new("/nowhere"), &files.key), "/nowhere"),
    ] {
        assert!(said.contains(needle), "{said}");
        assert!(
            !said.contains("PRIVATE KEY--"),
            "no key in a message: {said}"
        );
    }
}
