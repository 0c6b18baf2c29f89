//! What is here already with other content is never changed.

use bedrock_cost_keeper::domain::ids::{ClientId, Scope};
use bedrock_cost_keeper::domain::money::PicoUsd;
use bedrock_cost_keeper::domain::profile::InferenceProfile;
use bedrock_cost_keeper::domain::tenant::{App, Org};
use bedrock_cost_keeper::domain::usage::{Counters, UsageRecord};
use bedrock_cost_keeper::service::moving::{ImportError, MAX_LISTED, Tally};
use bedrock_cost_keeper::storage::{
    DailyTotal, Moving as _, NewClient, Profiles as _, Storage, Tenants as _, UsageLedger as _,
};

use super::{acme_client, dry_run, everything, fill, filled, import, other_org, service, shop, submissions};
use crate::support::samples::{acme, app_scope, client, hash, label, noon, org, profile, usage};
use crate::support::server::TestServer;

/// Asserts that an import is refused because of this and nothing else, and that it changes nothing.
async fn refused(target: &TestServer, file: &[u8], conflict: &str) {
    let before = everything(&*target.store).await;
    let error = import(target, file).await.unwrap_err();
    let text = error.to_string();
    let ImportError::Conflicts(findings) = error else { panic!("{text}") };
    assert_eq!((findings.count, &findings.first[..]), (1, &[conflict.to_owned()][..]));
    assert!(text.contains(conflict), "{text}");
    let dry = dry_run(target, file).await.unwrap();
    assert!(!dry.is_complete());
    assert_eq!(dry.conflicts, findings);
    assert_eq!(everything(&*target.store).await, before);
}

async fn replace(store: &dyn Storage, client_id: ClientId, change: impl FnOnce(&mut NewClient)) {
    let credential = store.credential(&client_id).await.unwrap().unwrap();
    let version = credential.version;
    let mut client = NewClient { credential, sealed: None };
    change(&mut client);
    store.replace_credential(&client, version).await.unwrap();
}

#[tokio::test]
async fn an_organization_with_another_configuration_is_named_with_what_differs() {
    let (_, file) = filled().await;
    let target = service().await;
    let mut changed = org(other_org());
    changed.config.timezone = "UTC".to_owned();
    changed.config.overrides.exhausted_policy = None;
    target.store.create_org(&changed, &client(Scope::org(other_org()), 2)).await.unwrap();
    refused(&target, &file, &format!("orgs/{}: overrides, timezone", other_org())).await;
    assert_eq!(target.store.list_orgs(None, 10).await.unwrap(), [changed]);
}

#[tokio::test]
async fn a_client_with_another_secret_is_a_conflict() {
    let (source, file) = filled().await;
    replace(&*source.store, acme_client(), |client| client.credential.current = hash(200)).await;
    refused(&source, &file, &format!("orgs/{}: client secret", acme())).await;
}

#[tokio::test]
async fn a_client_with_another_previous_secret_is_a_conflict() {
    let (source, file) = filled().await;
    replace(&*source.store, ClientId::of(app_scope("blog")), |client| client.credential.previous = None).await;
    refused(&source, &file, &format!("orgs/{}/apps/blog: client secret", acme())).await;
}

#[tokio::test]
async fn an_application_with_another_configuration_is_a_conflict() {
    let (source, file) = filled().await;
    let stored = source.store.list_apps(acme(), None, 10).await.unwrap();
    let mut changed: App = stored.into_iter().find(|app| app.app_id == shop()).unwrap();
    changed.config.model_ordering = None;
    let version = changed.version;
    source.store.update_app(&App { version: version + 1, ..changed }, version).await.unwrap();
    refused(&source, &file, &format!("orgs/{}/apps/shop: model_ordering", acme())).await;
}

#[tokio::test]
async fn a_profile_that_means_something_else_is_a_conflict() {
    let (source, file) = filled().await;
    source.store.delete_profile(acme(), &shop(), &label("mine")).await.unwrap();
    source.store.create_profile(&profile("shop", "mine", 9), 100).await.unwrap();
    let expected = format!("orgs/{}/apps/shop/inference-profiles/mine: inference_profile_arn, description", acme());
    refused(&source, &file, &expected).await;
}

#[tokio::test]
async fn profiles_that_do_not_fit_beside_those_that_are_here_are_a_conflict() {
    let (source, file) = filled().await;
    source.store.delete_profile(acme(), &shop(), &label("ours")).await.unwrap();
    for n in 0..99 {
        let created = source.store.create_profile(&profile("shop", &format!("x{n}"), 1_000 + n), 100).await;
        created.unwrap();
    }
    let expected =
        format!("orgs/{}/apps/shop/inference-profiles/ours: the application has 100 profiles already", acme());
    refused(&source, &file, &expected).await;
}

#[tokio::test]
async fn versions_and_instants_are_no_conflict() {
    let (source, file) = filled().await;
    let stored: Org = source.store.list_orgs(None, 1).await.unwrap().remove(0);
    let version = stored.version;
    let touched = Org { version: version + 1, updated_at: noon(), ..stored };
    source.store.update_org(&touched, version).await.unwrap();
    replace(&*source.store, acme_client(), |client| client.credential.version += 1).await;
    let report = import(&source, &file).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.orgs, Tally { new: 0, unchanged: 2 });
}

#[tokio::test]
async fn a_configuration_is_carried_whatever_the_catalog_of_the_target_knows() {
    let source = service().await;
    let mut config = org(acme());
    config.config.model_ordering = vec![label("unheard-of")];
    source.store.create_org(&config, &client(Scope::org(acme()), 1)).await.unwrap();
    let file = super::export(&source).await;
    let target = service().await;
    import(&target, &file).await.unwrap();
    assert_eq!(target.store.list_orgs(None, 10).await.unwrap(), [config]);
}

#[tokio::test]
async fn all_conflicts_are_counted_and_the_first_are_listed() {
    let (source, file) = (service().await, service().await);
    for (server, seed) in [(&source, 1), (&file, 2)] {
        server.store.create_org(&org(acme()), &client(Scope::org(acme()), 1)).await.unwrap();
        for n in 0..25 {
            let name = format!("app-{n:02}");
            let app = crate::support::samples::app(acme(), &name);
            server.store.create_app(&app, &client(app_scope(&name), seed)).await.unwrap();
        }
    }
    let file = super::export(&file).await;
    let Err(ImportError::Conflicts(findings)) = import(&source, &file).await else { panic!("it was imported") };
    assert_eq!((findings.count, findings.first.len()), (25, MAX_LISTED));
    assert_eq!(findings.first[19], format!("orgs/{}/apps/app-19: client secret", acme()));
}

#[tokio::test]
async fn totals_that_differ_are_reported_and_stay_and_all_others_are_imported() {
    let (source, file) = filled().await;
    let target = service().await;
    // The same tenants, and usage that somebody submitted too early.
    let early = submissions().into_iter().find(|record| record.org_id == acme()).unwrap();
    let early = UsageRecord { cost: PicoUsd::new(5), ..early };
    target.store.record_usage(std::slice::from_ref(&early)).await.unwrap();
    let dry = dry_run(&target, &file).await.unwrap();
    let report = import(&target, &file).await.unwrap();
    let expected = everything(&*source.store).await;
    assert_eq!(report.totals, Tally { new: expected.daily.len() as u64 - 1, unchanged: 0 });
    assert_eq!((dry.totals, &dry.differing), (report.totals, &report.differing));
    assert!(!report.is_complete());
    assert_eq!(report.differing.count, 1);
    let text = &report.differing.first[0];
    let name = format!("orgs/{}/apps/{} {} {}: ", acme(), early.app_id, early.day, early.model_label);
    assert!(text.starts_with(&name) && text.contains("cost_usd_picos 5 here, "), "{text}");
    let counted = target.store.label_totals(acme(), &early.app_id, &early.model_label, early.day).await.unwrap();
    assert_eq!(counted.app.day, early.counters());
}

#[tokio::test]
async fn totals_that_would_overflow_are_reported_and_left_out() {
    let source = service().await;
    source.store.create_org(&org(acme()), &client(Scope::org(acme()), 1)).await.unwrap();
    let total = |day: &str| DailyTotal {
        day: day.parse().unwrap(),
        app_id: Some(shop()),
        model_label: label("premium"),
        counters: Counters { requests: i64::MAX.unsigned_abs(), ..usage("shop", 1).counters() },
        updated_at: noon(),
    };
    // Two such days fit into no month; these are of two months.
    source.store.import_totals(acme(), &[total("2096-01-31"), total("2096-02-01")]).await.unwrap();
    let file = super::export(&source).await;
    let target = service().await;
    target.store.record_usage(&[UsageRecord { day: total("2096-02-02").day, ..usage("blog", 1) }]).await.unwrap();
    let report = import(&target, &file).await.unwrap();
    assert_eq!(report.totals, Tally { new: 1, unchanged: 0 });
    assert_eq!(report.overflowing.first, [format!("orgs/{}/apps/shop 2096-02-01 premium", acme())]);
    assert!(!report.is_complete() && report.differing.is_empty());
}

#[tokio::test]
async fn a_profile_counts_as_the_same_whenever_it_was_registered() {
    let (source, file) = filled().await;
    let here = source.store.profiles(acme(), &shop()).await.unwrap().remove(0);
    source.store.delete_profile(acme(), &shop(), &here.profile_label).await.unwrap();
    let again = InferenceProfile { created_at: noon(), ..here };
    source.store.create_profile(&again, 100).await.unwrap();
    assert!(import(&source, &file).await.unwrap().is_complete());
}

#[tokio::test]
async fn a_store_that_was_filled_by_hand_with_the_same_is_the_same() {
    let (_, file) = filled().await;
    let twin = service().await;
    fill(&*twin.store).await;
    let report = import(&twin, &file).await.unwrap();
    assert!(report.is_complete() && report.totals.new == 0 && report.orgs.new == 0, "{report:?}");
}
