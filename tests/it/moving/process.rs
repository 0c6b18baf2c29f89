//! The commands as their users run them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
#[cfg(feature = "postgres")]
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::storage::{Breakdown, DailyTotal, Storage, StorageOptions, open};

use super::{content, everything, fill};
use crate::support::process::{Served, command, run, stderr, stdout};
#[cfg(feature = "postgres")]
use crate::support::process::{accepted, ended, signal};
use crate::support::samples::{acme, app_id, client, day, label, noon_plus, org, usage};
#[cfg(any(feature = "postgres", feature = "dynamodb"))]
use crate::support::stores::{self, FreshStore};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The store of the default configuration in a working directory.
async fn store_in(dir: &Path) -> Arc<dyn Storage> {
    let url = format!("sqlite://{}", dir.join("data/cost-keeper.db").display());
    let store = open::open(&url, &StorageOptions::default()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

async fn filled_dir() -> tempfile::TempDir {
    let dir = dir();
    let store = store_in(dir.path()).await;
    fill(&*store).await;
    store.close().await;
    dir
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(output), stderr(output));
    stdout(output)
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(output), stderr(output));
    stderr(output)
}

/// The value of a line that begins with a name.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in\n{text}")).trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_moves_to_another_one() {
    let (source, target) = (filled_dir().await, dir());
    let file = target.path().join("keeper.jsonl");
    let exported = run(source.path(), &["export", "--output", file.to_str().unwrap()]);
    assert_eq!(ok(&exported), "");
    let summary = stderr(&exported);
    let counts = "\norganizations 2, applications 3, inference profiles 3, daily totals 45\n";
    assert!(summary.contains(counts), "{summary}");
    let checksum = value(&summary, "content sha256").to_owned();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let dry = ok(&run(target.path(), &["import", "keeper.jsonl", "--dry-run"]));
    assert!(dry.contains("to import") && dry.contains("dry run: nothing was changed"), "{dry}");
    assert!(store_in(target.path()).await.list_orgs(None, 10).await.unwrap().is_empty());
    let imported = ok(&run(target.path(), &["import", "keeper.jsonl"]));
    assert!(imported.starts_with("export of sqlite of 2") && imported.ends_with("\ndone\n"), "{imported}");
    assert_eq!(value(&imported, "content sha256"), checksum);
    assert_eq!(value(&imported, "organizations").split_whitespace().collect::<Vec<_>>(), ["2", "0"]);
    let again = ok(&run(target.path(), &["import", "keeper.jsonl"]));
    assert_eq!(value(&again, "organizations").split_whitespace().collect::<Vec<_>>(), ["0", "2"]);

    // To standard output this time, from the store it was moved to.
    for args in [&["export"][..], &["export", "--output", "-"]] {
        let checked = run(target.path(), args);
        assert_eq!(value(&stderr(&checked), "content sha256"), checksum);
        assert_eq!(content(ok(&checked).as_bytes()), content(&fs::read(&file).unwrap()));
    }
    let (one, other) = (store_in(source.path()).await, store_in(target.path()).await);
    assert_eq!(everything(&*other).await, everything(&*one).await);
}

/// Moves a directory to a store that several instances can share, and on to another directory.
#[cfg(any(feature = "postgres", feature = "dynamodb"))]
async fn through(shared: FreshStore) {
    let (source, middle, target) = (filled_dir().await, dir(), dir());
    let exported = run(source.path(), &["export", "--output", "x.jsonl"]);
    ok(&exported);
    let checksum = value(&stderr(&exported), "content sha256").to_owned();
    let file = source.path().join("x.jsonl");
    let on_shared = |args: &[&str]| {
        command(middle.path())
            .envs([
                ("COST_KEEPER_STORAGE__URL", shared.url()),
                ("COST_KEEPER_AUTH__JWT_SECRET", "c0a1f3d85b7e492680d4b9e12f6a7c35e8914d20b67fa3c1"),
                ("COST_KEEPER_AUTH__PROVISIONING_KEYS", "b7d1f0a2c3e4958677f1"),
            ])
            .args(args)
            .output()
            .unwrap()
    };
    for args in [&["import", file.to_str().unwrap()][..], &["export"]] {
        let message = refused(&on_shared(args));
        assert!(message.contains("run `bedrock-cost-keeper migrate` first"), "{message}");
    }
    ok(&on_shared(&["migrate"]));
    let imported = ok(&on_shared(&["import", file.to_str().unwrap()]));
    assert!(imported.ends_with("\ndone\n"), "{imported}");
    let exported = on_shared(&["export", "--output", "y.jsonl"]);
    ok(&exported);
    assert_eq!(value(&stderr(&exported), "content sha256"), checksum);
    let file = middle.path().join("y.jsonl");
    ok(&run(target.path(), &["import", file.to_str().unwrap()]));
    assert_eq!(value(&stderr(&run(target.path(), &["export"])), "content sha256"), checksum);
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_moves_to_postgresql_and_back() {
    through(stores::postgres().await).await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_moves_to_dynamodb_and_back() {
    through(stores::dynamodb().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_replaces_a_file_only_by_force_and_leaves_nothing_half_done() {
    let source = filled_dir().await;
    let target = dir();
    let file = target.path().join("keeper.jsonl");
    let path = file.to_str().unwrap();
    fs::write(&file, "precious").unwrap();
    let message = refused(&run(source.path(), &["export", "--output", path]));
    assert!(message.contains("is there already") && message.contains("--force"), "{message}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    ok(&run(source.path(), &["export", "--force", "--output", path]));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&file).unwrap().ends_with("\"}\n"));
    // A device is never replaced, a directory that is missing is named.
    assert!(refused(&run(source.path(), &["export", "--force", "--output", "/dev/null"])).contains("is not a file"));
    assert!(refused(&run(source.path(), &["export", "--output", "missing/x.jsonl"])).contains("missing/x.jsonl"));
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);
}

/// The names of what is in a directory.
#[cfg(feature = "postgres")]
fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[cfg(feature = "postgres")]
#[test]
fn an_export_that_is_stopped_leaves_nothing_half_done() {
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        for args in [&["export", "--output", "x.jsonl"][..], &["export"]] {
            let dir = dir();
            // It waits for a store that never says anything.
            let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("postgres://keeper@{}/keeper?sslmode=prefer", silent.local_addr().unwrap());
            let mut child = command(dir.path())
                .args(args)
                .envs([
                    ("COST_KEEPER_STORAGE__URL", url.as_str()),
                    ("COST_KEEPER_AUTH__JWT_SECRET", "c0a1f3d85b7e492680d4b9e12f6a7c35e8914d20b67fa3c1"),
                    ("COST_KEEPER_AUTH__PROVISIONING_KEYS", "b7d1f0a2c3e4958677f1"),
                ])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let _asking = accepted(&silent);
            let partial = names(dir.path());
            let to_file = args.len() > 1;
            assert_eq!(partial.len(), usize::from(to_file), "{partial:?}");
            assert!(partial.iter().all(|name| name.ends_with(".partial")), "{partial:?}");
            signal(&child, name);
            let status = ended(&mut child);
            // The code says that the process ended itself, also as the first one of a container.
            assert_eq!((status.code(), status.signal()), (Some(code), None), "{args:?}");
            assert_eq!(names(dir.path()), [""; 0], "{name} {args:?}");
            let message = stderr(&child.wait_with_output().unwrap());
            assert_eq!(message.contains("stopped; nothing was written"), to_file, "{message}");
        }
    }
}

#[test]
fn an_export_of_no_store_is_refused_and_creates_none() {
    let dir = dir();
    let message = refused(&run(dir.path(), &["export", "--output", "x.jsonl"]));
    assert!(message.contains("there is no store at sqlite://data/cost-keeper.db"), "{message}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_export_migrates_nothing() {
    let dir = dir();
    fs::create_dir(dir.path().join("data")).unwrap();
    fs::write(dir.path().join("data/cost-keeper.db"), "").unwrap();
    let message = refused(&run(dir.path(), &["export"]));
    assert!(message.contains("not migrated") && message.contains("bedrock-cost-keeper migrate"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_reader_goes_away_has_failed() {
    let source = filled_dir().await;
    let mut child = command(source.path()).arg("export").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let message = refused(&child.wait_with_output().unwrap());
    assert!(message.contains("cannot write the export"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_against_an_import_is_named_and_the_exit_code_says_so() {
    let (source, target) = (filled_dir().await, dir());
    let export = run(source.path(), &["export"]).stdout;
    let import = |bytes: &[u8], args: &[&str]| {
        fs::write(target.path().join("x.jsonl"), bytes).unwrap();
        run(target.path(), &[&["import", "x.jsonl"], args].concat())
    };
    let cut = refused(&import(&export[..export.len() / 2], &[]));
    assert!(cut.contains("nothing was imported: the file ends after line"), "{cut}");
    let text = String::from_utf8(export.clone()).unwrap();
    let changed = refused(&import(text.replacen("\"version\":3", "\"version\":4", 1).as_bytes(), &["--dry-run"]));
    assert!(changed.contains("checksum"), "{changed}");

    let store = store_in(target.path()).await;
    store.create_org(&org(acme()), &client(Scope::org(acme()), 99)).await.unwrap();
    let conflict = refused(&import(&export, &[]));
    assert!(conflict.contains("nothing was imported: 1 of the file's resources"), "{conflict}");
    assert!(conflict.contains(&format!("\n  orgs/{}: client secret", acme())), "{conflict}");
    let dry = import(&export, &["--dry-run"]);
    assert!(refused(&dry).is_empty() && stdout(&dry).contains("1 resources are here"), "{}", stdout(&dry));
    store.delete_org(acme()).await.unwrap();

    // Usage that somebody submitted to the new store too early.
    let early = super::submissions().into_iter().find(|record| record.org_id == acme()).unwrap();
    store.record_usage(&[early]).await.unwrap();
    let partly = import(&export, &[]);
    assert!(!refused(&partly).contains("error: "));
    let text = stdout(&partly);
    assert!(text.contains("1 daily totals are here with other counters"), "{text}");
    assert!(text.ends_with("done, except for what is listed above\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_must_be_a_file() {
    let source = filled_dir().await;
    let export = run(source.path(), &["export"]).stdout;
    let mut child = command(source.path())
        .args(["import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may not read to the end.
    let _ = child.stdin.take().unwrap().write_all(&export);
    let message = refused(&child.wait_with_output().unwrap());
    assert!(message.contains("must be a file, not standard input"), "{message}");
    let dir = dir();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writing = pipe.clone();
    let writer = std::thread::spawn(move || fs::write(writing, export));
    let message = refused(&run(source.path(), &["import", pipe.to_str().unwrap()]));
    assert!(message.contains("is not a file"), "{message}");
    let _ = writer.join().unwrap();
}

#[test]
fn a_configuration_document_is_imported_as_ever() {
    let dir = dir();
    let document = r#"{"orgs":[{"org_id":"550e8400-e29b-41d4-a716-446655440000","org_name":"Acme","timezone":"UTC",
        "quota_scope":"APP","model_ordering":["premium"],"quotas":{"premium":5}}]}"#;
    fs::write(dir.path().join("tenants.json"), document).unwrap();
    assert!(ok(&run(dir.path(), &["import", "tenants.json"])).contains("create     orgs/550e8400"));
    let mut child = command(dir.path())
        .args(["import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    assert!(ok(&child.wait_with_output().unwrap()).contains("unchanged  orgs/550e8400"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_is_completed_by_repeating_it() {
    let (source, target) = (dir(), dir());
    let store = store_in(source.path()).await;
    store.create_org(&org(acme()), &client(Scope::org(acme()), 1)).await.unwrap();
    for n in 0..10_000_u32 {
        if n % 500 == 0 {
            let totals: Vec<_> = (n..n + 500).map(total).collect();
            store.import_totals(acme(), &totals).await.unwrap();
        }
    }
    let file = target.path().join("x.jsonl");
    ok(&run(source.path(), &["export", "--output", file.to_str().unwrap()]));
    let arrived = store_in(target.path()).await;
    let mut child = command(target.path()).args(["import", "x.jsonl"]).stdout(Stdio::null()).spawn().unwrap();
    // As soon as some of the totals are there.
    loop {
        let days = day("0001-01-01")..=day("9999-12-31");
        let some = arrived.daily_totals(acme(), Breakdown::EveryApp, days, None, 1).await.unwrap();
        if !some.is_empty() || child.try_wait().unwrap().is_some() {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let completed = ok(&run(target.path(), &["import", "x.jsonl"]));
    assert!(value(&completed, "organizations").ends_with('1'), "{completed}");
    let checked = run(target.path(), &["export"]);
    assert_eq!(content(ok(&checked).as_bytes()), content(&fs::read(&file).unwrap()));
}

fn total(n: u32) -> DailyTotal {
    let date = jiff::civil::date(2096, 1, 1).saturating_add(jiff::Span::new().days(i64::from(n) / 50));
    DailyTotal {
        day: date.to_string().parse().unwrap(),
        app_id: Some(app_id(&format!("app-{:02}", n % 50))),
        model_label: label("premium"),
        counters: usage("shop", u128::from(n)).counters(),
        updated_at: noon_plus(i64::from(n)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_store_moves_with_its_clients_and_totals() {
    let (source, target) = (dir(), dir());
    let client = reqwest::Client::new();
    let served = Served::start(source.path(), &[]);
    let key = Served::provisioning_key(source.path());
    let token = crate::process::provision(&client, &served.url, &key).await;
    let id = "7f3c2a10-5b0e-4c55-9b1a-2f6f5f0c9d11";
    let submitted = client
        .post(format!("{}/api/v1/orgs/{}/apps/chat/costs", served.url, crate::process::ORG))
        .bearer_auth(&token)
        .json(&crate::process::cost(id, 1_234))
        .send()
        .await
        .unwrap();
    assert_eq!(submitted.status(), 202);
    drop(served);
    let file = target.path().join("x.jsonl");
    ok(&run(source.path(), &["export", "--output", file.to_str().unwrap()]));
    ok(&run(target.path(), &["import", "x.jsonl"]));
    let served = Served::start(target.path(), &[]);
    let refused = crate::process::today(&client, &served, &token).await;
    assert_eq!(refused["error"], "UNAUTHORIZED", "a token of the old store is good at the new one");
    let key = Served::provisioning_key(target.path());
    let rotated: serde_json::Value = client
        .post(format!("{}/api/v1/orgs/{}/apps/chat/credentials/rotate", served.url, crate::process::ORG))
        .header("x-api-key", &key)
        .json(&serde_json::json!({"secret_delivery": "inline"}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let grant = serde_json::json!({
        "grant_type": "client_credentials",
        "client_id": rotated["client_id"],
        "client_secret": rotated["client_secret"],
    });
    let tokens: serde_json::Value =
        client.post(format!("{}/auth/token", served.url)).json(&grant).send().await.unwrap().json().await.unwrap();
    let token = tokens["access_token"].as_str().unwrap_or_else(|| panic!("{rotated} {tokens}"));
    let today = crate::process::today(&client, &served, token).await;
    assert_eq!(today["total_cost_usd_micros"], 1_234, "{today}");
}
