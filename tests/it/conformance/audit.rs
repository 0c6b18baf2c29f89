//! The audit trail.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::slice;
use std::sync::Arc;

use bedrock_cost_keeper::domain::audit::{
    AuditAction, AuditActor, AuditEvent, AuditOutcome, AuditPosition, MAX_STATE_BYTES,
};
use bedrock_cost_keeper::domain::ids::{ClientId, OrgId, Scope};
use bedrock_cost_keeper::storage::{Retention, Storage};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::maintenance::{keep_all, purge};
use crate::support::samples::{acme, app, app_scope, client, noon, noon_plus, org, org_id, org_scope};
use crate::support::stores::FreshStore;

/// A position at `noon() + millis`.
pub(super) fn position(millis: i64, id: u128) -> AuditPosition {
    AuditPosition { at: noon_plus(millis), id: Uuid::from_u128(id) }
}

/// A pending change of [`acme`] at `noon() + millis`; without anything that may be absent.
pub(super) fn event(millis: i64, id: u128) -> AuditEvent {
    AuditEvent {
        position: position(millis, id),
        actor: AuditActor::Operator,
        action: AuditAction::OrgUpdated,
        outcome: AuditOutcome::Pending,
        target: Some(org_scope()),
        subject: None,
        before: None,
        after: None,
        request_id: "r".to_owned(),
        address: None,
    }
}

/// [`event`] that concerns something else.
fn event_of(target: Option<Scope>, millis: i64, id: u128) -> AuditEvent {
    AuditEvent { target, ..event(millis, id) }
}

/// As large as an event can be.
pub(super) fn largest(millis: i64) -> AuditEvent {
    let state = |letter: &str| {
        let state = json!({ "quotas": letter.repeat(MAX_STATE_BYTES - r#"{"quotas":""}"#.len()) });
        assert_eq!(state.to_string().len(), MAX_STATE_BYTES);
        Some(state)
    };
    AuditEvent {
        before: state("b"),
        after: state("a"),
        actor: AuditActor::Administrator("k".repeat(64)),
        subject: Some("s".repeat(128)),
        request_id: "r".repeat(128),
        address: Some("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()),
        ..event(millis, u128::MAX)
    }
}

async fn append(store: &dyn Storage, events: &[AuditEvent]) {
    for event in events {
        store.append_audit(event).await.unwrap();
    }
}

/// The whole trail, of one organization or of all.
async fn trail(store: &dyn Storage, org_id: Option<OrgId>) -> Vec<AuditEvent> {
    store.audit_events(org_id, None, 1_000).await.unwrap()
}

async fn positions(store: &dyn Storage, org_id: Option<OrgId>) -> Vec<AuditPosition> {
    trail(store, org_id).await.iter().map(|event| event.position).collect()
}

pub(super) async fn a_store_starts_with_an_empty_trail(fresh: FreshStore) {
    let store = fresh.migrated().await;
    assert_eq!(trail(&*store, None).await, []);
    assert_eq!(trail(&*store, Some(acme())).await, []);
    assert_eq!(store.audit_events(None, Some(position(0, 1)), 10).await.unwrap(), []);
}

pub(super) async fn every_field_of_an_event_survives_a_round_trip(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let actors = [
        AuditActor::Administrator("ops-key \"1\" 🚀".to_owned()),
        AuditActor::Client(ClientId::of(app_scope("shop"))),
        AuditActor::Client(ClientId::of(org_scope())),
        AuditActor::Operator,
        AuditActor::Anonymous,
    ];
    let addresses: [Option<IpAddr>; 5] = [
        None,
        Some("192.0.2.7".parse().unwrap()),
        Some("2001:db8::7".parse().unwrap()),
        // Not the same as the one above it is mapped from.
        Some("::ffff:192.0.2.7".parse().unwrap()),
        Some("::".parse().unwrap()),
    ];
    let states = [
        None,
        Some(Value::Null),
        Some(json!({})),
        Some(json!({ "quotas": { "premium": i64::MAX, "z": u64::MAX, "a": -1 }, "name": "Größe 🚀 \"\\ \u{0}\n'x'" })),
        Some(json!(["", 0, true, null, { "a": [] }])),
    ];
    let subjects = [None, Some(""), Some("premium"), Some("% _ \\ 'x' 🚀"), Some("session")];
    let mut events = Vec::new();
    for (n, actor) in actors.into_iter().enumerate() {
        for (m, target) in [None, Some(org_scope()), Some(app_scope("shop"))].into_iter().enumerate() {
            let turn = |by: usize| (n + by * m) % 5;
            events.push(AuditEvent {
                actor: actor.clone(),
                target,
                subject: subjects[turn(1)].map(str::to_owned),
                before: states[turn(2)].clone(),
                after: states[turn(3)].clone(),
                request_id: format!("request {n}.{m}"),
                address: addresses[turn(4)],
                ..event(i64::try_from(n).unwrap(), m as u128)
            });
        }
    }
    append(&*store, &events).await;
    events.reverse();
    assert_eq!(trail(&*store, None).await, events);
    events.retain(|event| event.target.is_some());
    assert_eq!(trail(&*store, Some(acme())).await, events);
}

pub(super) async fn every_action_and_outcome_survives_a_round_trip(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let outcomes = [AuditOutcome::Pending, AuditOutcome::Succeeded, AuditOutcome::Refused];
    let combined = AuditAction::ALL.iter().flat_map(|action| outcomes.map(|outcome| (*action, outcome)));
    let events: Vec<_> =
        combined.zip(1..).map(|((action, outcome), n)| AuditEvent { action, outcome, ..event(-n, 1) }).collect();
    append(&*store, &events).await;
    assert_eq!(trail(&*store, None).await, events);
}

pub(super) async fn events_are_in_descending_order_of_instant_and_of_id_within_a_millisecond(fresh: FreshStore) {
    let store = fresh.migrated().await;
    // Ids order as unsigned bytes; a month, a year and the length of a number change in between.
    let ids = [0, 1, 0x7f << 120, 1 << 127, u128::MAX];
    let millis = [-1_767_873_600_123 + 999_999_999_999, -2_000_000_000, -1, 0, 1, 700_000_000, 30_000_000_000];
    let mut expected: Vec<_> =
        millis.iter().flat_map(|millis| ids.map(|id| event_of(Some(org_scope()), *millis, id))).collect();
    expected.sort_by_key(|event| std::cmp::Reverse(event.position));
    // Appended in an order that is neither.
    let mut shuffled = expected.clone();
    shuffled.sort_by_key(|event| (event.position.id.as_u128().rotate_left(3), event.position.at));
    append(&*store, &shuffled).await;
    assert_eq!(trail(&*store, None).await, expected);
    assert_eq!(trail(&*store, Some(acme())).await, expected);
}

pub(super) async fn pages_cover_the_trail_exactly_once_strictly_before_a_position(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let other = org_id(7);
    // Three in each millisecond, of two organizations and of none.
    let events: Vec<_> = (0..8)
        .rev()
        .flat_map(|millis| {
            let targets = [(5, None), (3, Some(org_scope())), (1, Some(Scope::org(other)))];
            targets.map(|(id, target)| event_of(target, millis, id))
        })
        .collect();
    append(&*store, &events).await;
    for org_id in [None, Some(acme()), Some(other)] {
        let expected: Vec<_> =
            events.iter().filter(|event| org_id.is_none() || event.org_id() == org_id).cloned().collect();
        for limit in [1, 2, 5, 24, 25] {
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let page = store.audit_events(org_id, before, limit).await.unwrap();
                assert!(page.len() <= limit as usize);
                let Some(last) = page.last() else { break };
                before = Some(last.position);
                seen.extend(page);
            }
            assert_eq!(seen, expected, "{org_id:?} by {limit}");
        }
        // Positions without an event there, before, between and after events of the same millisecond.
        for at in -1..9 {
            for id in [0, 2, 4, u128::MAX] {
                let before = position(at, id);
                let page = store.audit_events(org_id, Some(before), 2).await.unwrap();
                let next: Vec<_> = expected.iter().filter(|event| event.position < before).take(2).cloned().collect();
                assert_eq!(page, next, "{org_id:?} before {before:?}");
            }
        }
        assert_eq!(store.audit_events(org_id, None, 0).await.unwrap(), []);
    }
}

pub(super) async fn an_organization_has_its_own_events_and_the_whole_trail_has_all(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let other = org_id(7);
    let events = [
        event_of(None, 1, 1),
        event_of(Some(org_scope()), 2, 1),
        event_of(Some(app_scope("shop")), 3, 1),
        event_of(Some(Scope::org(other)), 4, 1),
        event_of(Some(Scope::app(other, "shop".parse().unwrap())), 5, 1),
    ];
    append(&*store, &events).await;
    let ids = async |org_id| positions(&*store, org_id).await.iter().map(|at| at.at).collect::<Vec<_>>();
    assert_eq!(ids(None).await, [5, 4, 3, 2, 1].map(noon_plus));
    assert_eq!(ids(Some(acme())).await, [3, 2].map(noon_plus));
    assert_eq!(ids(Some(other)).await, [5, 4].map(noon_plus));
    assert_eq!(ids(Some(org_id(8))).await, []);
    // An event makes no tenant.
    assert!(store.list_orgs(None, 10).await.unwrap().is_empty());
    assert!(store.tenant(&org_scope()).await.unwrap().is_none());
}

pub(super) async fn appending_an_event_again_changes_nothing_also_after_it_was_settled(fresh: FreshStore) {
    let store = fresh.migrated().await;
    for (millis, target) in [(0, None), (1, Some(org_scope())), (2, Some(app_scope("shop")))] {
        let event = event_of(target, millis, 1);
        append(&*store, &[event.clone(), event.clone()]).await;
        assert_eq!(store.audit_events(None, None, 1).await.unwrap(), slice::from_ref(&event));
        assert!(store.settle_audit(event.position, event.org_id(), AuditOutcome::Succeeded).await.unwrap());
        append(&*store, slice::from_ref(&event)).await;
        let settled = AuditEvent { outcome: AuditOutcome::Succeeded, ..event };
        assert_eq!(store.audit_events(None, None, 1).await.unwrap(), [settled]);
    }
    assert_eq!(trail(&*store, None).await.len(), 3);
    assert_eq!(trail(&*store, Some(acme())).await.len(), 2);
}

pub(super) async fn only_a_pending_event_is_settled_and_once(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let settle =
        async |event: &AuditEvent, outcome| store.settle_audit(event.position, event.org_id(), outcome).await.unwrap();
    for (millis, target) in [(0, None), (10, Some(org_scope())), (20, Some(app_scope("shop")))] {
        for (n, outcome) in [AuditOutcome::Succeeded, AuditOutcome::Refused].into_iter().enumerate() {
            let event = AuditEvent {
                before: Some(json!({ "a": 1 })),
                ..event_of(target.clone(), millis + i64::try_from(n).unwrap(), 1)
            };
            append(&*store, slice::from_ref(&event)).await;
            assert!(!settle(&event, AuditOutcome::Pending).await, "pending is no outcome to give");
            assert!(settle(&event, outcome).await);
            for again in [AuditOutcome::Succeeded, AuditOutcome::Refused, AuditOutcome::Pending] {
                assert!(!settle(&event, again).await);
            }
            // Nothing but the outcome changed, wherever the event is read.
            let settled = AuditEvent { outcome, ..event };
            assert_eq!(store.audit_events(None, None, 1).await.unwrap(), slice::from_ref(&settled));
            if let Some(org_id) = settled.org_id() {
                assert_eq!(store.audit_events(Some(org_id), None, 1).await.unwrap(), [settled]);
            }
        }
        // One that was appended with its outcome.
        let done = AuditEvent { outcome: AuditOutcome::Refused, ..event_of(target, millis + 5, 1) };
        append(&*store, slice::from_ref(&done)).await;
        assert!(!settle(&done, AuditOutcome::Succeeded).await);
        assert_eq!(store.audit_events(None, None, 1).await.unwrap(), [done]);
    }
}

pub(super) async fn an_event_that_is_not_there_or_is_of_another_organization_is_not_settled(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let (of_org, of_none) = (event(0, 1), event_of(None, 0, 2));
    append(&*store, &[of_org.clone(), of_none.clone()]).await;
    for (position, org_id) in [
        (position(1, 1), Some(acme())),
        (position(0, 3), Some(acme())),
        (position(0, 3), None),
        (of_org.position, None),
        (of_org.position, Some(org_id(7))),
        (of_none.position, Some(acme())),
    ] {
        assert!(!store.settle_audit(position, org_id, AuditOutcome::Succeeded).await.unwrap(), "{position:?}");
    }
    assert_eq!(trail(&*store, None).await, [of_none, of_org.clone()]);
    assert_eq!(trail(&*store, Some(acme())).await, [of_org]);
}

pub(super) async fn of_concurrent_settlements_of_one_event_exactly_one_succeeds(fresh: FreshStore) {
    let first = fresh.migrated().await;
    let stores = [Arc::clone(&first), fresh.instance().await, fresh.instance().await];
    for millis in 0..4 {
        let target = if millis % 2 == 0 { None } else { Some(org_scope()) };
        let event = event_of(target, millis, 1);
        append(&*first, slice::from_ref(&event)).await;
        let outcomes = [AuditOutcome::Succeeded, AuditOutcome::Refused].into_iter().cycle();
        let calls = stores.iter().cycle().zip(outcomes).take(6).map(|(store, outcome)| {
            let (store, position, org_id) = (Arc::clone(store), event.position, event.org_id());
            tokio::spawn(async move { (outcome, store.settle_audit(position, org_id, outcome).await.unwrap()) })
        });
        let winners: Vec<_> =
            join_all(calls).await.into_iter().map(Result::unwrap).filter(|(_, settled)| *settled).collect();
        let [(outcome, _)] = winners[..] else { panic!("{winners:?}") };
        let settled = AuditEvent { outcome, ..event };
        assert_eq!(first.audit_events(None, None, 1).await.unwrap(), slice::from_ref(&settled));
        if let Some(org_id) = settled.org_id() {
            assert_eq!(first.audit_events(Some(org_id), None, 1).await.unwrap(), [settled]);
        }
    }
}

pub(super) async fn concurrent_appends_lose_nothing_and_repeat_nothing(fresh: FreshStore) {
    let first = fresh.migrated().await;
    let stores = [Arc::clone(&first), fresh.instance().await];
    // Every event twice at once, from two instances.
    let events: Vec<_> = (0..10).map(|n| event(n / 3, u128::from(n.unsigned_abs()))).collect();
    let calls = events.iter().flat_map(|event| stores.iter().map(move |store| (event.clone(), Arc::clone(store))));
    let calls = calls.map(|(event, store)| tokio::spawn(async move { store.append_audit(&event).await.unwrap() }));
    join_all(calls).await.into_iter().for_each(Result::unwrap);
    let mut expected = events;
    expected.sort_by_key(|event| std::cmp::Reverse(event.position));
    for store in stores {
        assert_eq!(trail(&*store, None).await, expected);
        assert_eq!(trail(&*store, Some(acme())).await, expected);
    }
}

pub(super) async fn events_outlive_their_tenants(fresh: FreshStore) {
    let store = fresh.migrated().await;
    store.create_org(&org(acme()), &client(org_scope(), 1)).await.unwrap();
    store.create_app(&app(acme(), "shop"), &client(app_scope("shop"), 2)).await.unwrap();
    let pending = event_of(Some(app_scope("shop")), 2, 1);
    let events = [pending.clone(), event(1, 1), event_of(None, 0, 1)];
    append(&*store, &events).await;
    assert!(store.delete_app(acme(), &"shop".parse().unwrap()).await.unwrap());
    assert!(store.delete_org(acme()).await.unwrap());
    assert_eq!(trail(&*store, None).await, events);
    assert_eq!(trail(&*store, Some(acme())).await, events[..2]);
    // It is settled, and added to, after the tenant is gone: that is what a deletion does.
    assert!(store.settle_audit(pending.position, Some(acme()), AuditOutcome::Succeeded).await.unwrap());
    append(&*store, &[event(3, 1)]).await;
    assert_eq!(positions(&*store, Some(acme())).await, [position(3, 1), position(2, 1), position(1, 1)]);
    // The next life of the organization has the trail of the one before, and is deleted without it too.
    store.create_org(&org(acme()), &client(org_scope(), 3)).await.unwrap();
    assert_eq!(trail(&*store, Some(acme())).await.len(), 3);
    assert!(store.delete_org(acme()).await.unwrap());
    assert!(store.list_orgs(None, 10).await.unwrap().is_empty());
    assert_eq!(trail(&*store, Some(acme())).await.len(), 3);
    assert_eq!(trail(&*store, None).await.len(), 4);
}

pub(super) async fn the_largest_events_are_kept_whole_and_a_page_of_them_is_full(fresh: FreshStore) {
    let store = fresh.migrated().await;
    // Together more than a store may answer at once.
    let events: Vec<_> = (0..40).rev().map(largest).collect();
    append(&*store, &events).await;
    assert!(store.settle_audit(events[0].position, Some(acme()), AuditOutcome::Succeeded).await.unwrap());
    for org_id in [None, Some(acme())] {
        let page = store.audit_events(org_id, Some(events[0].position), 39).await.unwrap();
        assert!(page == events[1..], "{} of 39 events, or others", page.len());
        assert!(store.audit_events(org_id, Some(events[39].position), 39).await.unwrap().is_empty());
    }
}

pub(super) async fn the_trail_survives_close_and_is_seen_by_other_instances(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let other = fresh.instance().await;
    append(&*store, &[event(0, 1)]).await;
    assert_eq!(trail(&*other, Some(acme())).await, [event(0, 1)]);
    assert!(other.settle_audit(position(0, 1), Some(acme()), AuditOutcome::Refused).await.unwrap());
    let settled = AuditEvent { outcome: AuditOutcome::Refused, ..event(0, 1) };
    assert_eq!(trail(&*store, None).await, slice::from_ref(&settled));
    store.close().await;
    other.close().await;
    drop((store, other));
    assert_eq!(trail(&*fresh.instance().await, None).await, [settled]);
}

pub(super) async fn purge_forgets_events_strictly_before_and_nothing_else(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let targets = [(2, Some(org_scope())), (1, None)];
    let events: Vec<_> =
        (-2..=1).rev().flat_map(|millis| targets.clone().map(|(id, target)| event_of(target, millis, id))).collect();
    append(&*store, &events).await;
    purge(&*store, &keep_all(), 0).await;
    // Retention of other kinds is no matter.
    purge(&*store, &Retention { now: noon_plus(9), usage_before: noon_plus(9), ..keep_all() }, 0).await;
    assert_eq!(trail(&*store, None).await, events);
    for rows in [4, 0] {
        purge(&*store, &Retention { audit_before: noon(), ..keep_all() }, rows).await;
    }
    let kept: BTreeSet<_> = events.iter().map(|event| event.position).filter(|at| at.at >= noon()).collect();
    assert_eq!(positions(&*store, None).await, kept.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(positions(&*store, Some(acme())).await, [position(1, 2), position(0, 2)]);
    // Pages end where retention does, wherever they begin.
    for before in [position(0, 0), position(-1, 9), position(-9, 0)] {
        for org_id in [None, Some(acme())] {
            assert_eq!(store.audit_events(org_id, Some(before), 10).await.unwrap(), [], "{before:?}");
        }
    }
    assert_eq!(store.audit_events(None, Some(position(0, 2)), 10).await.unwrap().len(), 1);
    // What is gone has no outcome to get.
    for (at, org_id) in [(position(-1, 1), None), (position(-1, 2), Some(acme()))] {
        assert!(!store.settle_audit(at, org_id, AuditOutcome::Succeeded).await.unwrap());
    }
    assert!(store.settle_audit(position(0, 2), Some(acme()), AuditOutcome::Succeeded).await.unwrap());
}

pub(super) async fn purge_forgets_at_most_a_batch_of_events_the_oldest_first(fresh: FreshStore) {
    let store = fresh.migrated().await;
    let events: Vec<_> = (-5..=0).map(|millis| event(millis, 1)).collect();
    append(&*store, &events).await;
    let retention = Retention { audit_before: noon(), ..keep_all() };
    for (gone, left) in [(2, 4), (2, 2), (1, 1), (0, 1)] {
        assert_eq!(store.purge(&retention, 2).await.unwrap(), gone);
        let expected: Vec<_> = events.iter().rev().take(left).map(|event| event.position).collect();
        assert_eq!(positions(&*store, None).await, expected);
        assert_eq!(positions(&*store, Some(acme())).await, expected);
    }
}
