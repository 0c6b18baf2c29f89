//! HTTPS by configuration: certificates, their renewal, and what is refused.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{AlertDescription, Error, ProtocolVersion};

use crate::support::https::{Files, Issued, address, replace};
use crate::support::process::{Served, run, stderr, stdout};
use crate::support::raw::RawAnswer;

const HSTS: &str = "strict-transport-security";
/// No test waits longer for something to happen; a failure, not a measure.
const PATIENCE: Duration = Duration::from_secs(30);

fn start(dir: &Path, files: &Files, more: &[&str]) -> Served {
    let args = files.args();
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Served::start_logging(dir, &args, &dir.join("log"))
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_certificate_makes_it_https_and_every_answer_says_to_insist_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let issued = Issued::by_an_intermediate();
    let files = issued.write(dir.path());
    let origin = "https://console.example";
    let served = start(dir.path(), &files, &["--set", &format!("server.cors_origins={origin}")]);
    assert!(served.url.starts_with("https://127.0.0.1:"), "{}", served.url);
    for (request, status) in [
        (get("/livez"), 200),
        (get("/nowhere"), 404),
        (get("/api/v1/orgs"), 401),
        (
            format!(
                "OPTIONS /livez HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\naccess-control-request-method: GET\r\nconnection: close\r\n\r\n"
            ),
            200,
        ),
    ] {
        let answer = RawAnswer::first(issued.ask(&served.url, &request).await.as_bytes());
        assert_eq!((answer.status, answer.header(HSTS)), (status, "max-age=31536000"), "{request}");
    }
    let nonsense = RawAnswer::first(issued.ask(&served.url, "GARBAGE\r\n\r\n").await.as_bytes());
    assert_eq!(nonsense.header(HSTS), "max-age=31536000");
    nonsense.error(400, "INVALID_REQUEST").announced_last();
}

#[tokio::test]
async fn the_header_that_insists_on_https_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let issued = Issued::self_signed();
    let served = start(dir.path(), &issued.write(dir.path()), &["--set", "server.tls.hsts_max_age_secs=0"]);
    assert_eq!(RawAnswer::first(issued.ask(&served.url, &get("/livez")).await.as_bytes()).header(HSTS), "");
}

#[tokio::test]
async fn it_speaks_tls_1_2_and_1_3_and_http_1_1_alone() {
    let dir = tempfile::tempdir().unwrap();
    let issued = Issued::self_signed();
    let served = start(dir.path(), &issued.write(dir.path()), &[]);
    for (version, negotiated) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let stream = issued.connect_with(&served.url, &[b"h2", b"http/1.1"], &[version]).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(negotiated));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
    }
    // A client that says nothing of protocols means HTTP/1.1.
    assert!(issued.connect_with(&served.url, &[], &[&TLS13]).await.is_ok());
    let error = issued.connect_with(&served.url, &[b"h2"], &[&TLS13]).await.unwrap_err();
    let reason = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    assert_eq!(reason, Some(&Error::AlertReceived(AlertDescription::NoApplicationProtocol)), "{error}");
    // Whoever trusts another authority is not served.
    assert!(Issued::self_signed().connect(&served.url).await.is_err());
}

async fn presents(issued: &Issued, url: &str) -> bool {
    issued
        .connect(url)
        .await
        .is_ok_and(|stream| stream.get_ref().1.peer_certificates().unwrap()[0] == issued.end_entity)
}

#[tokio::test]
async fn a_renewed_certificate_is_for_new_connections_and_a_bad_one_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Issued::self_signed(), Issued::self_signed());
    let files = old.write(dir.path());
    let served = start(dir.path(), &files, &["--set", "server.tls.reload_interval_secs=1"]);
    let mut early = old.connect(&served.url).await.unwrap();

    let errors = || log(dir.path()).matches("the new TLS certificate cannot be used").count();
    // Half a renewal: a certificate without its key.
    replace(&files.certificate, new.chain_pem.as_bytes());
    until("the mismatch is logged", async || errors() == 1).await;
    assert!(presents(&old, &served.url).await);
    // The other half.
    replace(&files.private_key, new.key_pem.as_bytes());
    until("the new certificate is served", async || presents(&new, &served.url).await).await;
    assert!(!presents(&old, &served.url).await);

    for (content, errors_then) in [(&b"rubbish"[..], 2), (b"", 3)] {
        replace(&files.certificate, content);
        until("the rubbish is logged", async || errors() == errors_then).await;
    }
    std::fs::remove_file(&files.private_key).unwrap();
    until("the loss is logged", async || errors() == 4).await;
    assert!(presents(&new, &served.url).await);

    // A connection from before is not disturbed by any of it.
    early.write_all(get("/livez").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    early.read_to_end(&mut answer).await.unwrap();
    assert_eq!(RawAnswer::first(&answer).status, 200);

    let log = log(dir.path());
    assert_eq!(log.matches("TLS certificate in force").count(), 2, "{log}");
    assert!(log.contains("sha256=") && log.contains("not_after="), "{log}");
    assert!(!log.contains("PRIVATE KEY") && !log.contains("rubbish"), "{log}");
}

#[tokio::test]
async fn files_that_cannot_be_used_refuse_the_start_and_name_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let (issued, other) = (Issued::self_signed(), Issued::self_signed());
    let path = |name: &str| dir.path().join(name).display().to_string();
    for (name, content) in [
        ("good.crt", issued.chain_pem.as_str()),
        ("good.key", issued.key_pem.as_str()),
        ("other.key", other.key_pem.as_str()),
        ("empty", ""),
        ("garbage", "no PEM at all"),
        ("noder", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("nokey", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("broken.key", "-----BEGIN PRIVATE KEY-----\n!!secret!!\n-----END PRIVATE KEY-----\n"),
    ] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    std::fs::create_dir(dir.path().join("directory")).unwrap();
    for (certificate, key, named, says) in [
        ("missing", "good.key", "certificate_file", "No such file"),
        ("directory", "good.key", "certificate_file", "is not a file"),
        ("empty", "good.key", "certificate_file", "no certificate"),
        ("garbage", "good.key", "certificate_file", "no certificate"),
        ("good.key", "good.key", "certificate_file", "no certificate"),
        ("noder", "good.key", "certificate_file", "cannot be used"),
        ("good.crt", "missing", "private_key_file", "No such file"),
        ("good.crt", "garbage", "private_key_file", "no private key"),
        ("good.crt", "good.crt", "private_key_file", "no private key"),
        ("good.crt", "broken.key", "private_key_file", "no private key"),
        ("good.crt", "nokey", "private_key_file", "no RSA"),
        ("good.crt", "other.key", "private_key_file", "does not belong to"),
        ("good.crt", "", "private_key_file", "the path of a PEM file"),
        ("", "good.key", "certificate_file", "the path of a PEM file"),
    ] {
        let mut args = vec!["serve".to_owned()];
        for (setting, name) in [("certificate_file", certificate), ("private_key_file", key)] {
            if !name.is_empty() {
                args.extend(["--set".to_owned(), format!("server.tls.{setting}={}", path(name))]);
            }
        }
        let output = run(dir.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
        let message = stderr(&output);
        assert!(!output.status.success(), "{certificate} {key}");
        assert!(message.contains(&format!("server.tls.{named}")), "{certificate} {key}: {message}");
        assert!(message.contains(says), "{certificate} {key}: {message}");
        assert!(!message.contains("secret!!"), "{message}");
    }
    assert!(!dir.path().join("data").exists(), "a start that is refused creates nothing");
}

#[tokio::test]
async fn a_key_that_everybody_can_read_and_a_certificate_that_ends_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let expired = Issued::valid_until(Some(2020));
    let files = expired.write(dir.path());
    let logged = |dir: &Path, warnings: [bool; 2]| {
        let log = log(dir);
        assert_eq!(log.contains("can be read by every user"), warnings[0], "{log}");
        assert_eq!(log.contains("the TLS certificate has expired"), warnings[1], "{log}");
    };
    let mut served = start(dir.path(), &files, &[]);
    until("the end is warned of", async || log(dir.path()).contains("expired")).await;
    served.signal("INT");
    served.child.wait().unwrap();
    logged(dir.path(), [false, true]);

    std::fs::remove_file(dir.path().join("log")).unwrap();
    let files = Issued::self_signed().write(dir.path());
    std::fs::set_permissions(&files.private_key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut served = start(dir.path(), &files, &[]);
    served.signal("INT");
    served.child.wait().unwrap();
    logged(dir.path(), [true, false]);
}

#[tokio::test]
async fn health_trusts_the_configured_certificate_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    // Expired, and for another name than the address: what is pinned need not be believed by anybody else.
    let (issued, other) = (Issued::valid_until(Some(2020)), Issued::self_signed());
    let files = issued.write(dir.path());
    let served = start(dir.path(), &files, &[]);
    let health = |certificate: &Path, url: &str| {
        let certificate = format!("server.tls.certificate_file={}", certificate.display());
        let key = format!("server.tls.private_key_file={}", files.private_key.display());
        run(dir.path(), &["--set", &certificate, "--set", &key, "health", "--url", url])
    };
    let url = format!("{}/health", served.url);
    let healthy = health(&files.certificate, &url);
    assert!(healthy.status.success(), "{}{}", stdout(&healthy), stderr(&healthy));
    assert_eq!(serde_json::from_str::<Value>(stdout(&healthy).trim()).unwrap()["status"], "healthy");
    let missing = health(&files.certificate, &format!("{}/nowhere", served.url));
    assert_eq!(missing.status.code(), Some(1), "{}", stdout(&missing));

    let elsewhere = dir.path().join("other.crt");
    std::fs::write(&elsewhere, &other.chain_pem).unwrap();
    let refused = health(&elsewhere, &url);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stdout(&refused).contains("another certificate"), "{}", stdout(&refused));
    // The wrong way round, each says so soon.
    let plain = health(&files.certificate, &url.replace("https:", "http:"));
    assert_eq!(plain.status.code(), Some(1), "{}", stdout(&plain));
    let unconfigured = run(dir.path(), &["health", "--url", &url]);
    assert_eq!(unconfigured.status.code(), Some(1));
    assert!(stdout(&unconfigured).contains("server.tls.certificate_file"), "{}", stdout(&unconfigured));
}

#[tokio::test]
async fn health_finds_the_address_and_the_certificate_in_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let files = Issued::self_signed().write(dir.path());
    let served = start(dir.path(), &files, &[]);
    let args = files.args();
    let listen = format!("server.listen={}", address(&served.url));
    let args: Vec<_> = args.iter().map(String::as_str).chain(["--set", &listen, "health"]).collect();
    let healthy = run(dir.path(), &args);
    assert!(healthy.status.success(), "{}{}", stdout(&healthy), stderr(&healthy));
}

#[tokio::test]
async fn plain_http_on_the_tls_port_and_tls_on_a_plain_port_end_soon() {
    let dir = tempfile::tempdir().unwrap();
    let issued = Issued::self_signed();
    let files = issued.write(dir.path());
    let served = start(dir.path(), &files, &[]);
    let mut stream = TcpStream::connect(address(&served.url)).await.unwrap();
    stream.write_all(get("/livez").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Before the ten seconds a silent client has.
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server ends the connection");
    assert!(!answer.starts_with(b"HTTP/"), "nothing is served without TLS");
    assert!(issued.ask(&served.url, &get("/livez")).await.starts_with("HTTP/1.1 200"));
    drop(served);

    let plain = Served::start(dir.path(), &[]);
    let refused = tokio::time::timeout(Duration::from_secs(5), issued.connect(&plain.url)).await;
    assert!(refused.expect("the server ends the connection").is_err());
    assert_eq!(reqwest::get(format!("{}/livez", plain.url)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_is_bounded_and_takes_a_place_so_long() {
    let dir = tempfile::tempdir().unwrap();
    let issued = Issued::self_signed();
    let files = issued.write(dir.path());
    let served =
        start(dir.path(), &files, &["--set", "server.read_timeout_secs=1", "--set", "server.max_connections=1"]);
    // Nothing, the start of a ClientHello, and a record that promises more.
    for start in [&b""[..], b"\x16\x03\x01", b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03"] {
        let mut silent = TcpStream::connect(address(&served.url)).await.unwrap();
        silent.write_all(start).await.unwrap();
        // There is one place: this is served once the silent one has lost it.
        assert!(issued.ask(&served.url, &get("/livez")).await.starts_with("HTTP/1.1 200"));
        let _ = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut Vec::new())).await.expect("it was ended");
    }
}

#[tokio::test]
async fn a_silent_handshake_does_not_hold_up_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let issued = Issued::self_signed();
    let mut served = start(dir.path(), &issued.write(dir.path()), &["--set", "server.read_timeout_secs=300"]);
    let _silent = TcpStream::connect(address(&served.url)).await.unwrap();
    assert!(issued.ask(&served.url, &get("/livez")).await.starts_with("HTTP/1.1 200"));
    served.signal("INT");
    let status = tokio::task::spawn_blocking(move || served.child.wait());
    assert!(tokio::time::timeout(Duration::from_secs(10), status).await.unwrap().unwrap().unwrap().success());
    assert!(!log(dir.path()).contains("did not finish in time"));
}

#[tokio::test]
async fn metrics_on_a_listener_of_their_own_stay_plain() {
    let dir = tempfile::tempdir().unwrap();
    let issued = Issued::self_signed();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _served = start(dir.path(), &issued.write(dir.path()), &["--set", &format!("metrics.listen={free}")]);
    let page = reqwest::get(format!("http://{free}/metrics")).await.unwrap();
    assert_eq!((page.status().as_u16(), page.headers().get(HSTS)), (200, None));
}
