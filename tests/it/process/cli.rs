//! The command line.

use std::path::Path;

use serde_json::Value;

use super::ORG;
use crate::support::process::{Served, command, run, stderr, stdout};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn help_names_every_command_and_serve_is_the_default() {
    let help = stdout(&run(dir().path(), &["--help"]));
    for word in ["serve", "migrate", "import", "openapi", "health", "demo", "config", "--config", "--set", "--data-dir"]
    {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    let serve = stdout(&run(dir().path(), &["serve", "--help"]));
    assert!(serve.contains("--listen") && serve.contains("--sample"), "{serve}");
}

#[test]
fn the_committed_openapi_document_is_the_binarys() {
    let printed: Value = serde_json::from_str(&stdout(&run(dir().path(), &["openapi"]))).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(printed == committed, "run scripts/openapi to bring openapi/openapi.json up to date");
    assert_eq!(printed["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
}

#[test]
fn config_names_the_origin_of_each_value_and_no_secret() {
    let dir = dir();
    std::fs::write(dir.path().join("cost-keeper.yaml"), "log:\n  level: debug\n").unwrap();
    let output = command(dir.path())
        .env("COST_KEEPER_AUTH__JWT_SECRET", "0123456789abcdef-do-not-print-0123456789abcdef")
        .args(["--set", "metering.queue_capacity=777", "config"])
        .output()
        .unwrap();
    let text = stdout(&output);
    let line = |key: &str| {
        text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} in\n{text}")).to_owned()
    };
    assert!(line("log.level").contains("debug") && line("log.level").contains("cost-keeper.yaml"));
    assert!(line("metering.queue_capacity").contains("777"));
    assert!(
        line("auth.jwt_secret").contains("redacted")
            && line("auth.jwt_secret").contains("COST_KEEPER_AUTH__JWT_SECRET")
    );
    assert!(!text.contains("do-not-print"));
}

#[test]
fn a_bad_configuration_refuses_the_start_and_says_what_where_and_why() {
    let output = command(dir().path()).env("COST_KEEPER_SERVER__LISTEN", "everywhere").arg("serve").output().unwrap();
    assert!(!output.status.success());
    let message = stderr(&output);
    for word in ["server.listen", "everywhere", "COST_KEEPER_SERVER__LISTEN"] {
        assert!(message.contains(word), "{word} is missing in {message}");
    }
    let typo = command(dir().path()).env("COST_KEEPER_SERVER__LISTNE", "127.0.0.1:1").arg("serve").output().unwrap();
    assert!(!typo.status.success() && stderr(&typo).contains("LISTNE"), "{}", stderr(&typo));
}

#[test]
#[cfg(all(feature = "postgres", feature = "dynamodb"))]
fn a_store_that_cannot_be_reached_is_named_without_its_password() {
    // Nobody listens on port 9 of this machine.
    for url in [
        "postgres://user:hunter2@127.0.0.1:9/keeper",
        "dynamodb://key:hunter2@?region=us-east-1&endpoint=http://127.0.0.1:9",
    ] {
        let output = command(dir().path())
            .env("COST_KEEPER_STORAGE__URL", url)
            .env("COST_KEEPER_AUTH__JWT_SECRET", "8f2b6c1d9e7a4b3c8f2b6c1d9e7a4b3c8f2b6c1d9e7a4b3c")
            .env("COST_KEEPER_AUTH__PROVISIONING_KEYS", "b7d1f0a2c3e4958677f1")
            .arg("migrate")
            .output()
            .unwrap();
        let message = stderr(&output);
        assert!(!output.status.success() && message.contains("error: "), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn migrate_can_run_twice() {
    let dir = dir();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    assert!(stdout(&run(dir.path(), &["migrate"])).contains("applied"));
    let again = run(dir.path(), &["migrate"]);
    assert!(again.status.success() && stdout(&again).contains("up to date"), "{}", stderr(&again));
}

/// What `migrate --print` prints for a store; nothing is created for it.
fn planned(url: &str) -> String {
    let dir = dir();
    let output = run(dir.path(), &["--set", &format!("storage.url={url}"), "migrate", "--print"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    stdout(&output)
}

#[test]
fn the_migrations_of_an_embedded_store_are_printed_in_their_order() {
    let sql = planned("sqlite://data/x.db");
    let headings: Vec<_> = sql.lines().filter(|line| line.starts_with("-- V")).collect();
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite")).unwrap();
    assert_eq!(headings.len(), files.count());
    for (number, heading) in headings.iter().enumerate() {
        assert!(heading.starts_with(&format!("-- V{}__", number + 1)), "{heading}");
    }
    assert!(sql.contains("CREATE TABLE orgs"), "{sql}");
}

#[test]
#[cfg(feature = "postgres")]
fn the_migrations_of_a_shared_store_are_printed_without_connecting_to_it() {
    // Nobody listens on port 9 of this machine.
    let sql = planned("postgres://user:hunter2@127.0.0.1:9/keeper");
    assert!(sql.contains("-- V1__initial_schema\n") && sql.contains("JSON   NOT NULL"), "{sql}");
    assert!(!sql.contains("hunter2"));
}

#[test]
#[cfg(feature = "dynamodb")]
fn tables_are_printed_as_cloudformation_has_them() {
    let text = planned("dynamodb://AKIA:hunter2@?endpoint=http://127.0.0.1:9&table_prefix=x-");
    let document: Value = serde_json::from_str(&text).unwrap();
    let tables = document["Tables"].as_array().unwrap();
    assert_eq!(
        tables.iter().map(|table| table["TableName"].as_str().unwrap()).collect::<Vec<_>>(),
        ["x-config", "x-usage", "x-counters", "x-totals"]
    );
    assert!(tables.iter().all(|table| table["TimeToLiveSpecification"]["Enabled"] == true));
    assert!(!text.contains("hunter2"));
}

#[test]
fn the_schema_of_the_configuration_needs_no_configuration() {
    let dir = dir();
    std::fs::write(dir.path().join("cost-keeper.yaml"), "nonsense: [").unwrap();
    let schema: Value = serde_json::from_str(&stdout(&run(dir.path(), &["config", "--schema"]))).unwrap();
    assert_eq!(schema["properties"]["server"]["properties"]["listen"]["type"], serde_json::json!(["string", "null"]));
    assert!(!run(dir.path(), &["config"]).status.success());
}

const IMPORT: &str = "
orgs:
  - org_id: 550e8400-e29b-41d4-a716-446655440000
    org_name: Acme
    timezone: Europe/Berlin
    quota_scope: APP
    model_ordering: [premium, economy]
    quotas: { premium: 10000000, economy: 1000000 }
    apps:
      - app_id: chat
        app_name: Chat
        quotas: { premium: 5 }
";

#[test]
fn import_says_what_it_changes_and_is_idempotent() {
    let dir = dir();
    std::fs::write(dir.path().join("tenants.yaml"), IMPORT).unwrap();
    let dry = stdout(&run(dir.path(), &["import", "tenants.yaml", "--dry-run"]));
    assert!(dry.contains(&format!("create     orgs/{ORG}")) && dry.contains("nothing was changed"), "{dry}");
    let first = stdout(&run(dir.path(), &["import", "tenants.yaml"]));
    assert!(
        first.contains(&format!("create     orgs/{ORG}/apps/chat")) && first.contains("/credentials/secret?token="),
        "{first}"
    );
    let second = stdout(&run(dir.path(), &["import", "tenants.yaml"]));
    assert!(second.contains("unchanged") && !second.contains("create") && !second.contains("token="), "{second}");
    std::fs::write(dir.path().join("tenants.yaml"), IMPORT.replace("premium: 5", "premium: 6")).unwrap();
    let third = stdout(&run(dir.path(), &["import", "tenants.yaml"]));
    assert!(third.contains(&format!("update     orgs/{ORG}/apps/chat  quotas")), "{third}");
}

#[test]
fn an_import_with_a_mistake_names_the_place_and_changes_nothing() {
    let dir = dir();
    std::fs::write(dir.path().join("tenants.yaml"), IMPORT.replace("Europe/Berlin", "Mars/Base")).unwrap();
    let output = run(dir.path(), &["import", "tenants.yaml"]);
    assert!(!output.status.success() && stderr(&output).contains("orgs[0].timezone"), "{}", stderr(&output));
    std::fs::write(dir.path().join("tenants.yaml"), IMPORT).unwrap();
    assert!(stdout(&run(dir.path(), &["import", "tenants.yaml", "--dry-run"])).contains("create"));
}

#[test]
fn health_exits_with_what_the_service_says() {
    let dir = dir();
    let served = Served::start(dir.path(), &[]);
    let url = format!("{}/health", served.url);
    let healthy = run(dir.path(), &["health", "--url", &url]);
    assert!(healthy.status.success() && stdout(&healthy).contains("\"healthy\""));
    drop(served);
    let gone = run(dir.path(), &["health", "--url", &url]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stdout(&gone).contains("does not answer"), "{}", stdout(&gone));
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let dir = dir();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(dir.path(), &["serve", "--listen", &address]);
    assert!(!output.status.success() && stderr(&output).contains("server.listen"), "{}", stderr(&output));
}

#[tokio::test]
async fn metrics_on_a_listener_of_their_own_are_not_on_the_main_one() {
    let dir = dir();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let served = Served::start(dir.path(), &["--set", &format!("metrics.listen={free}")]);
    let _ = reqwest::get(format!("{}/health", served.url)).await.unwrap();
    let invented = reqwest::Method::from_bytes(b"INVENTED").unwrap();
    let refused = reqwest::Client::new().request(invented, format!("{}/health", served.url)).send().await.unwrap();
    assert_eq!(refused.status(), 405);
    let text = reqwest::get(format!("http://{free}/metrics")).await.unwrap().text().await.unwrap();
    assert!(text.contains("http_request_duration_seconds"), "{text}");
    assert!(!text.contains("INVENTED"), "a caller made a label of its own:\n{text}");
    assert_eq!(reqwest::get(format!("{}/metrics", served.url)).await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_probe_beside_the_metrics_is_answered_while_the_api_has_no_connection_left() {
    use std::io::{Read as _, Write as _};
    let dir = dir();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = ["--set", &format!("metrics.listen={free}"), "--set", "server.max_connections=1"];
    let served = Served::start(dir.path(), &settings);
    let mut only = std::net::TcpStream::connect(served.url.trim_start_matches("http://")).unwrap();
    only.write_all(b"GET /livez HTTP/1.1\r\nhost: keeper\r\n\r\n").unwrap();
    // Answered, so it is accepted; and kept open.
    only.read_exact(&mut [0; 12]).unwrap();
    let probe = reqwest::get(format!("http://{free}/livez")).await.unwrap();
    assert_eq!((probe.status().as_u16(), probe.text().await.unwrap().as_str()), (200, r#"{"status":"ok"}"#));
}
