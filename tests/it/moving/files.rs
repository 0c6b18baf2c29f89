//! Export and import through the services.

use bedrock_cost_keeper::domain::ids::{ClientId, Scope};
use bedrock_cost_keeper::service::moving::{FileError, ImportError, Tally};
use bedrock_cost_keeper::storage::{Credentials as _, Tenants as _};

use super::{acme_client, content, dry_run, everything, export, filled, import, service};
use crate::support::samples::{acme, app_scope, client, org, org_id};

#[tokio::test]
async fn a_store_that_imported_an_export_has_everything_the_other_has() {
    let (source, file) = filled().await;
    let target = service().await;
    let report = import(&target, &file).await.unwrap();
    assert!(report.applied && report.is_complete(), "{report:?}");
    let new = |new| Tally { new, unchanged: 0 };
    assert_eq!((report.orgs, report.apps, report.profiles), (new(2), new(3), new(3)));
    let expected = everything(&*source.store).await;
    assert_eq!(report.totals, new(expected.daily.len() as u64));
    assert!(expected.daily.len() == 45 && expected.months.len() == 16, "{} totals", expected.daily.len());
    assert_eq!(everything(&*target.store).await, expected);
}

#[tokio::test]
async fn every_export_of_the_same_content_has_the_same_lines_but_the_first_and_the_last() {
    let (source, first) = filled().await;
    source.at("2026-02-03T04:05:06Z");
    let second = export(&source).await;
    assert_ne!(first, second);
    assert_eq!(content(&first), content(&second));
    // Also from the store it was moved to: this is how a move is checked.
    let target = service().await;
    let report = import(&target, &first).await.unwrap();
    let moved = export(&target).await;
    assert_eq!(content(&moved), content(&first));
    assert_eq!(dry_run(&target, &moved).await.unwrap().file.content, report.file.content);
}

#[tokio::test]
async fn an_export_has_no_secret_and_no_token_epoch() {
    let (source, file) = filled().await;
    let text = String::from_utf8(file).unwrap();
    let credential = source.store.credential(&acme_client()).await.unwrap().unwrap();
    assert!(!text.contains(&credential.token_epoch.to_string()) && !text.contains("epoch"), "{text}");
    assert!(!text.contains("token_hash") && !text.contains("sealed"), "{text}");
}

#[tokio::test]
async fn each_import_gives_clients_new_token_epochs() {
    let (source, file) = filled().await;
    let (one, other) = (service().await, service().await);
    import(&one, &file).await.unwrap();
    import(&other, &file).await.unwrap();
    let mut epochs = std::collections::BTreeSet::new();
    for client_id in [acme_client(), ClientId::of(app_scope("shop"))] {
        for server in [&source, &one, &other] {
            epochs.insert(server.store.credential(&client_id).await.unwrap().unwrap().token_epoch);
        }
    }
    assert_eq!(epochs.len(), 6, "an epoch is in use twice");
}

#[tokio::test]
async fn an_import_repeated_changes_nothing() {
    let (_, file) = filled().await;
    let target = service().await;
    let first = import(&target, &file).await.unwrap();
    let epoch = target.store.credential(&acme_client()).await.unwrap().unwrap().token_epoch;
    let before = everything(&*target.store).await;
    let second = import(&target, &file).await.unwrap();
    assert!(second.is_complete(), "{second:?}");
    for (first, second) in [
        (first.orgs, second.orgs),
        (first.apps, second.apps),
        (first.profiles, second.profiles),
        (first.totals, second.totals),
    ] {
        assert_eq!(second, Tally { new: 0, unchanged: first.new });
    }
    assert_eq!(everything(&*target.store).await, before);
    assert_eq!(target.store.credential(&acme_client()).await.unwrap().unwrap().token_epoch, epoch);
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let (_, file) = filled().await;
    let target = service().await;
    let before = everything(&*target.store).await;
    let dry = dry_run(&target, &file).await.unwrap();
    assert!(!dry.applied && dry.is_complete());
    assert_eq!(everything(&*target.store).await, before);
    assert!(before.orgs.is_empty() && before.daily.is_empty());
    let real = import(&target, &file).await.unwrap();
    assert_eq!((dry.orgs, dry.apps, dry.profiles, dry.totals), (real.orgs, real.apps, real.profiles, real.totals));
    let again = dry_run(&target, &file).await.unwrap();
    assert_eq!(again.totals, Tally { new: 0, unchanged: real.totals.new });
    assert_eq!(again.profiles, Tally { new: 0, unchanged: 3 });
}

#[tokio::test]
async fn what_is_here_besides_stays() {
    let (_, file) = filled().await;
    let target = service().await;
    let own = org_id(u128::MAX);
    target.store.create_org(&org(own), &client(Scope::org(own), 77)).await.unwrap();
    let report = import(&target, &file).await.unwrap();
    assert_eq!(report.orgs, Tally { new: 2, unchanged: 0 });
    let orgs = target.store.list_orgs(None, 10).await.unwrap();
    assert_eq!(orgs.len(), 3);
    assert!(orgs.iter().any(|org| org.org_id == own) && orgs.iter().any(|org| org.org_id == acme()));
}

#[tokio::test]
async fn an_empty_store_moves_too() {
    let (empty, target) = (service().await, service().await);
    let file = export(&empty).await;
    assert_eq!(content(&file), [""; 0]);
    let report = import(&target, &file).await.unwrap();
    assert!(report.is_complete());
    assert_eq!((report.orgs, report.totals), (Tally::default(), Tally::default()));
}

#[tokio::test]
async fn a_damaged_file_changes_nothing() {
    let (_, file) = filled().await;
    let target = service().await;
    // In its last total: everything before it would be fine.
    let position = file.len() - 300;
    let mut damaged = file.clone();
    damaged[position] ^= 1;
    for damaged in [&damaged[..], &file[..position], &file[..file.len() - 1]] {
        assert!(matches!(import(&target, damaged).await, Err(ImportError::File(_))));
        assert!(matches!(dry_run(&target, damaged).await, Err(ImportError::File(_))));
    }
    let text = String::from_utf8(file).unwrap();
    assert!(text.contains("\"requests\":4,"), "{text}");
    let text = text.replacen("\"requests\":4,", "\"requests\":5,", 1);
    let error = import(&target, text.as_bytes()).await.unwrap_err();
    assert!(matches!(error, ImportError::File(FileError::Checksum)), "{error}");
    assert!(target.store.list_orgs(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn clients_log_in_at_the_new_store_with_their_old_secrets_and_old_tokens_are_not_good_there() {
    let source = service().await;
    let chat = source.chat(serde_json::json!({})).await;
    chat.spend("premium", 5).await;
    let file = export(&source).await;
    let target = service().await;
    import(&target, &file).await.unwrap();
    let path = "/api/v1/orgs/550e8400-e29b-41d4-a716-446655440000/apps/chat/aggregates/today";
    target.get(path).bearer(&chat.token).await.error(401, "UNAUTHORIZED");
    let tokens = target.token(&chat.client_id, &chat.secret).await.ok(200);
    let today = target.get(path).bearer(tokens.str("access_token")).await.ok(200);
    assert_eq!(today["total_cost_usd_micros"], 5);
}
