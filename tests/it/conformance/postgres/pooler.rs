//! Behind a pooler: a real PgBouncer.

use std::time::Duration;

use bedrock_cost_keeper::storage::sql::PostgresStorage;
use bedrock_cost_keeper::storage::{Maintenance, PostgresOptions, StorageOptions, UsageLedger};

use super::{Database, number};
use crate::support::samples::{acme, app_id, org_scope, request_id, usage};
use crate::support::servers::pgbouncer::{PgBouncer, PoolMode};
use crate::support::servers::postgres::FreshDatabase;
use crate::support::stores::FreshStore;

fn unprepared() -> PostgresOptions {
    PostgresOptions { prepared_statements: false, ..PostgresOptions::default() }
}

/// A store behind the pooler that lends a server connection for one transaction.
async fn pooled() -> FreshStore {
    let database = FreshDatabase::create().await;
    let url = PgBouncer::shared(&database.url()).url(&database.url());
    let options = StorageOptions { postgres: unprepared(), ..StorageOptions::default() };
    FreshStore::new(url, database).with_options(options)
}

/// Rules of the contract that use every kind of statement, alone and at once.
macro_rules! behind_a_pooler {
    ($($aggregate:ident { $($rule:ident)+ })+) => {
        $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            crate::conformance::$aggregate::$rule(pooled().await).await;
        })+)+
    };
}

behind_a_pooler! {
    tenants {
        an_app_survives_a_round_trip_and_its_client_is_stored_with_it
        delete_org_ends_its_apps_clients_sealed_secrets_and_fallback_states
        list_apps_pages_in_ascending_byte_order_inside_one_org
    }
    profiles {
        a_tenant_is_read_with_its_profiles
        a_common_profile_is_what_every_application_means
        of_concurrent_registrations_exactly_one_succeeds_and_no_number_exceeds_the_most
    }
    credentials {
        replace_credential_replaces_at_the_expected_version_and_stores_the_sealed_secret_with_it
        revoking_a_session_ends_every_token_issued_from_it
    }
    ledger {
        a_full_batch_is_recorded
        every_field_of_a_usage_record_survives_a_round_trip
        one_refused_record_does_not_affect_the_others_and_outcomes_are_in_order
        a_batch_comes_to_what_its_records_one_by_one_come_to
    }
    ledger_overflow {
        records_that_still_fit_commit_beside_one_that_overflows
    }
    repricing {
        one_refused_correction_does_not_affect_the_others_and_outcomes_are_in_order
    }
    repricing_walk {
        repriceable_records_page_strictly_after_a_position_in_order
    }
    repricing_races {
        concurrent_submissions_and_corrections_lose_nothing
    }
    totals {
        daily_totals_page_strictly_after_a_key_in_every_breakdown
    }
    prices {
        a_large_price_list_survives_a_round_trip
    }
    moving {
        totals_of_one_import_do_not_affect_each_other_and_outcomes_are_in_order
    }
    maintenance {
        schema_status_tells_behind_from_current_and_changes_nothing
        six_concurrent_starters_apply_each_step_once
        purge_forgets_at_most_a_batch_of_each_kind
    }
    concurrency {
        identical_concurrent_submissions_count_once
        concurrent_batches_lose_no_count
        of_concurrent_retrievals_of_one_secret_exactly_one_takes_it
        of_concurrent_later_fallback_states_exactly_one_is_stored
        no_app_outlives_an_org_deleted_at_the_same_time
        a_reader_never_sees_half_a_batch
        totals_and_fallback_of_a_selection_are_read_together
        a_call_dropped_half_way_counts_once_when_repeated
    }
}

#[tokio::test]
async fn without_a_pooler_unprepared_statements_work_too() {
    let database = Database::new().await;
    let storage = database.with(&unprepared());
    storage.migrate().await.unwrap();
    for n in 0..5 {
        storage.record_usage(&[usage("shop", n)]).await.unwrap();
    }
    assert!(storage.usage(acme(), &app_id("shop"), request_id(4)).await.unwrap().is_some());
    assert_eq!(storage.totals(&org_scope(), usage("shop", 0).day).await.unwrap().len(), 1);
}

/// A pooler in session mode passes prepared statements on, and refuses to set anything when a connection is opened.
#[tokio::test]
async fn where_startup_options_are_refused_every_operation_brings_its_own_limits() {
    let database = Database::new().await;
    let pooler = PgBouncer::start(&database.url(), PoolMode::Session);
    let options = PostgresOptions { statement_timeout: Duration::from_millis(300), ..PostgresOptions::default() };
    let storage = PostgresStorage::new(&pooler.url(&database.url()), &options).unwrap();
    storage.check().await.unwrap();
    storage.migrate().await.unwrap();
    for n in 0..5 {
        storage.record_usage(&[usage("shop", n)]).await.unwrap();
    }
    let mut shell = database.shell().await;
    super::run(&mut shell, "BEGIN; LOCK TABLE totals").await;
    assert!(storage.record_usage(&[usage("shop", 9)]).await.unwrap_err().is_transient());
    super::run(&mut shell, "ROLLBACK").await;
    assert_eq!(number(&mut shell, "SELECT count(*) FROM usage_records").await, 5);
    storage.close().await;
}
