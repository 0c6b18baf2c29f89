//! What an import leaves in the audit trail.

use std::collections::BTreeMap;

use bedrock_cost_keeper::domain::audit::{AuditAction, AuditActor, AuditEvent, AuditOutcome};
use bedrock_cost_keeper::storage::AuditTrail as _;

use super::{dry_run, filled, import, service};
use crate::support::faulty::Fault;
use crate::support::server::TestServer;

async fn trail(server: &TestServer) -> Vec<AuditEvent> {
    server.store.audit_events(None, None, 1_000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_leaves_an_event_for_each_resource_it_created_and_none_for_the_others() {
    let (_source, export) = filled().await;
    let server = service().await;
    dry_run(&server, &export).await.unwrap();
    assert_eq!(trail(&server).await, []);
    let report = import(&server, &export).await.unwrap();
    let events = trail(&server).await;
    let mut actions = BTreeMap::new();
    for event in &events {
        *actions.entry(event.action.to_string()).or_insert(0) += 1;
        assert!(event.outcome == AuditOutcome::Succeeded && event.after.is_some(), "{event:?}");
        assert!(matches!(event.actor, AuditActor::Administrator(_)), "{event:?}");
    }
    let expected = [
        (AuditAction::OrgCreated, report.orgs.new),
        (AuditAction::AppCreated, report.apps.new),
        (AuditAction::ProfileRegistered, report.profiles.new),
    ];
    assert_eq!(actions, expected.map(|(action, number)| (action.to_string(), number)).into());
    assert!(report.orgs.new == 2 && report.apps.new == 3 && report.profiles.new == 3, "{report:?}");
    import(&server, &export).await.unwrap();
    assert_eq!(trail(&server).await, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trail_nothing_is_imported() {
    let (_source, export) = filled().await;
    let server = service().await;
    server.store.fail_announcements(Fault::Unavailable);
    import(&server, &export).await.unwrap_err();
    assert_eq!(super::everything(&*server.store).await.orgs, []);
    server.store.fail_announcements(None);
    assert!(import(&server, &export).await.unwrap().is_complete());
}
