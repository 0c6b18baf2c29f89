//! What the command line leaves in the audit trail and in the log.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ORG;
use crate::support::process::{Served, run, stderr};

const DOCUMENT: &str = "
orgs:
  - org_id: 550e8400-e29b-41d4-a716-446655440000
    org_name: Acme
    timezone: UTC
    quota_scope: APP
    model_ordering: [premium]
    quotas: {premium: 10000000}
    apps: [{app_id: chat, app_name: Chat}]
";

/// Lines of the log that tell of the trail.
fn audit_lines(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "audit").collect()
}

#[tokio::test]
async fn a_command_is_the_operators_and_each_event_is_logged_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tenants.yaml"), DOCUMENT).unwrap();
    let imported = run(dir.path(), &["--set", "log.format=json", "import", "tenants.yaml"]);
    assert!(imported.status.success(), "{}", stderr(&imported));
    let logged = audit_lines(&stderr(&imported));

    let served = Served::start(dir.path(), &[]);
    let key = Served::provisioning_key(dir.path());
    let url = format!("{}/api/v1/audit", served.url);
    let answer = reqwest::Client::new().get(url).header("x-api-key", &key).send().await.unwrap();
    let trail: Value = answer.json().await.unwrap();
    let events = trail["items"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{trail}");
    let ids = |events: &[Value], member: &str| -> BTreeSet<String> {
        events.iter().map(|event| event[member].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(events, "action"), ["app_created", "org_created"].map(str::to_owned).into());
    assert!(events.iter().all(|event| event["actor"] == serde_json::json!({"type": "operator"})), "{trail}");
    assert_eq!(ids(events, "request_id").len(), 1, "one command, one id: {trail}");

    assert_eq!((logged.len(), ids(&logged, "event_id")), (2, ids(events, "event_id")));
    for line in &logged {
        assert_eq!(
            (&line["level"], &line["actor"], &line["outcome"]),
            (&"INFO".into(), &"operator".into(), &"succeeded".into())
        );
        assert_eq!(
            (&line["org_id"], line["request_id"].as_str()),
            (&ORG.into(), ids(events, "request_id").first().map(String::as_str))
        );
    }
}
