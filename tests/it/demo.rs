//! The demo, which is an end-to-end test of its own, and the sample organization.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bedrock_cost_keeper::app::{App, Parts};
use bedrock_cost_keeper::clock::{Clock, ManualClock};
use bedrock_cost_keeper::config::Config;
use bedrock_cost_keeper::config::secrets::ResolvedSecrets;
use bedrock_cost_keeper::demo::sample::{self, CHAT, ORG_ID, WRITER};
use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::domain::signing_key::SigningKey;
use bedrock_cost_keeper::ids::SequenceRng;
use bedrock_cost_keeper::service::Services;
use bedrock_cost_keeper::service::access::{Caller, Origin};
use bedrock_cost_keeper::service::aggregates::range::{Grouping, RangeQuery};
use serde_json::{Value, json};

use crate::support::process::{command, stderr, stdout};
use crate::support::samples::at;
use crate::support::stores;

/// Runs `demo --fast` with a directory for temporary files of its own.
fn demo() -> (String, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let output = command(dir.path()).env("TMPDIR", dir.path()).args(["demo", "--fast"]).output().unwrap();
    assert!(output.status.success(), "{}\n{}", stdout(&output), stderr(&output));
    (stdout(&output), dir)
}

#[test]
fn the_demo_shows_every_phase_of_the_day_within_seconds_and_leaves_nothing_behind() {
    let started = Instant::now();
    let (text, dir) = demo();
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let mut rest = text.as_str();
    for phase in [
        "premium   NORMAL",
        "duplicate: true",
        "renewed with the refresh token",
        "TIGHT",
        "standard  QUOTA_EXCEEDED_PREMIUM",
        "standard  STICKY_FALLBACK",
        "economy   QUOTA_EXCEEDED_STANDARD",
        "429 QUOTA_EXCEEDED",
        "midnight in America/New_York",
        "support-chat   premium   NORMAL",
        "charged to 2026-01-23",
        "EXCEEDED",
        "Totals are exactly equal",
    ] {
        let (_, after) =
            rest.split_once(phase).unwrap_or_else(|| panic!("{phase} is missing, or comes too early, in\n{text}"));
        rest = after;
    }
    for line in text.lines().filter(|line| line.contains("report-writer") && line.contains("mode")) {
        assert!(line.contains("premium") && line.ends_with("NORMAL"), "{line}");
    }
    assert!(!text.contains('\u{1b}'), "a pipe gets no terminal sequences");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the demo left something behind");
}

#[test]
fn the_demo_tells_the_same_story_to_everybody_in_lines_of_a_terminals_width() {
    let text = demo().0;
    assert_eq!(text, demo().0);
    assert!(text.lines().count() < 90, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}

#[test]
fn a_stopped_demo_fails_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path())
        .env("TMPDIR", dir.path())
        .arg("demo")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while std::fs::read_dir(dir.path()).unwrap().count() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let sent = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert!(!child.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the demo left something behind");
}

/// An application over a fresh store, at a fixed time.
async fn services(store: &stores::FreshStore, now: &str) -> (Arc<Services>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(at(now)));
    let signing = SigningKey::hs256("a signing secret of tests, 32 bytes at least");
    let secrets = ResolvedSecrets::given(vec!["a-provisioning-key-of-tests".into()], signing);
    let parts = Parts {
        storage: store.migrated().await,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        random: Arc::new(SequenceRng::new(1)),
        metrics: None,
        profile_resolver: None,
        key_source: None,
    };
    (App::new(&Config::default(), &secrets, parts).unwrap().services, clock)
}

/// The holder of the provisioning key.
fn administrator(services: &Services) -> Caller {
    let origin = Origin { request_id: "a-test".to_owned(), address: None };
    services.administrator("a-provisioning-key-of-tests", origin).unwrap()
}

/// Every total of the sample, as the administrator sees it.
async fn totals(services: &Services) -> String {
    let caller = administrator(services);
    let access = caller.aggregates(Scope::org(ORG_ID)).unwrap();
    let query = RangeQuery {
        from: "2026-01-01".parse().unwrap(),
        to: "2026-01-23".parse().unwrap(),
        group_by: Grouping { day: true, app: true, model: true },
        after: None,
        limit: 1_000,
    };
    let page = services.range_aggregates(&access, query).await.unwrap();
    page.rows.iter().map(|row| format!("{:?} {:?}\n", row.key, row.counters)).collect()
}

#[tokio::test]
async fn the_sample_is_provisioned_once_and_records_nothing_twice() {
    let store = stores::sqlite().await;
    let (services, clock) = services(&store, "2026-01-23T15:30:00Z").await;
    let first = sample::provision(&services).await.unwrap();
    let before = totals(&services).await;
    assert!(before.lines().count() > 14, "{before}");
    assert!(first.instructions("http://h", "$KEY").contains("SECRET='"));

    clock.set(at("2026-01-23T15:40:00Z"));
    let second = sample::provision(&services).await.unwrap();
    assert_eq!(totals(&services).await, before);
    let told = second.instructions("http://h", "$KEY");
    assert!(!told.contains("SECRET='") && told.contains("/credentials/rotate"), "{told}");

    // Deleted by somebody and provisioned again: its usage is still there, and counts once.
    let admin = administrator(&services).provisioning().unwrap();
    services.delete_org(&admin, ORG_ID).await.unwrap();
    sample::provision(&services).await.unwrap();
    assert_eq!(totals(&services).await, before);
}

#[tokio::test]
async fn the_sample_has_an_application_that_fell_back_also_just_after_midnight() {
    for now in ["2026-01-23T00:00:00Z", "2026-01-23T00:00:05Z", "2026-01-23T23:59:59.999Z"] {
        let store = stores::sqlite().await;
        let (services, _) = services(&store, now).await;
        sample::provision(&services).await.unwrap();
        let caller = administrator(&services);
        let chat = services.recommend(&caller.selection(ORG_ID, CHAT.parse().unwrap()).unwrap(), false).await.unwrap();
        assert_eq!((chat.label.as_str(), chat.reason.to_string().as_str()), ("standard", "QUOTA_EXCEEDED_PREMIUM"));
        assert!(chat.tight, "{chat:?}");
        let writer =
            services.recommend(&caller.selection(ORG_ID, WRITER.parse().unwrap()).unwrap(), false).await.unwrap();
        assert_eq!((writer.label.as_str(), writer.tight), ("premium", false));
    }
}

/// Runs what a person would paste, from the output of a served process.
fn paste(dir: &std::path::Path, script: &str) -> String {
    let script: String = script.lines().filter(|line| line.starts_with("  ")).map(|line| format!("{line}\n")).collect();
    let output = std::process::Command::new("sh").current_dir(dir).args(["-c", &script]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{script}\n{}", stderr(&output));
    stdout(&output)
}

/// A process that serves the sample, and what it told about the sample, up to the browser. Killed when dropped.
struct ServedSample {
    child: Child,
    told: String,
}

impl ServedSample {
    fn start(dir: &std::path::Path) -> Self {
        let mut child = command(dir)
            .args(["serve", "--listen", "127.0.0.1:0", "--sample"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.lines().map(Result::unwrap);
        let sample = lines.skip_while(|line| !line.starts_with("Sample organization"));
        let told = sample.take_while(|line| !line.starts_with("In the browser")).map(|line| line + "\n").collect();
        Self { child, told }
    }
}

impl Drop for ServedSample {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_serve_tells_to_paste_works_on_the_first_and_on_a_later_start() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for start in 1..=2 {
        let served = ServedSample::start(dir.path());
        let answers = paste(dir.path(), &served.told);
        let json: Vec<Value> =
            answers.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(Value::is_object).collect();
        let [selection, receipt, today, range] = json.as_slice() else { panic!("{}\n{answers}", served.told) };
        let reason = if start == 1 { "QUOTA_EXCEEDED_PREMIUM" } else { "STICKY_FALLBACK" };
        assert_eq!(selection["recommended_model"]["reason"], reason);
        assert_eq!(receipt["duplicate"], start == 2);
        assert_eq!(today["models"]["premium"]["quota_status"], "EXCEEDED");
        assert!(range["rows"].as_array().unwrap().len() >= 8, "{range}");
        assert_eq!(range["group_by"], json!(["day", "model"]));
        let csv: Vec<_> = answers.lines().filter(|line| line.contains(WRITER)).collect();
        assert_eq!(csv.len(), 7, "{answers}");
    }
}
