//! The storage contract, asserted sentence by sentence against every store.
//!
//! Each rule is a function that gets a fresh store. [`every_rule`] lists those that hold on every store. What the
//! contract leaves open, stores decide differently: there is a list for each such kind of store, with the reason why
//! its rules hold there and not elsewhere. A store joins with one line in [`conformance_of`], and every rule of its lists
//! becomes a test of its own there, on a store of its own. A rule that is missing in the lists is dead code, which the
//! compiler reports.

mod audit;
mod concurrency;
mod consolidation;
mod credentials;
#[cfg(feature = "dynamodb")]
mod dynamodb;
#[cfg(feature = "dynamodb")]
mod dynamodb_cost;
#[cfg(feature = "dynamodb")]
mod dynamodb_ledger;
#[cfg(feature = "dynamodb")]
mod dynamodb_wire;
mod fallbacks;
mod ledger;
mod ledger_overflow;
mod maintenance;
mod moving;
#[cfg(feature = "postgres")]
mod postgres;
mod prices;
mod profiles;
mod repricing;
mod repricing_races;
mod repricing_walk;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tenants;
mod totals;

use bedrock_cost_keeper::domain::calendar::Day;
use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::domain::usage::Counters;
use bedrock_cost_keeper::storage::Storage;

/// Everything a scope used in the month of a day, over all labels.
async fn month_total(store: &dyn Storage, scope: &Scope, day: Day) -> Counters {
    let totals = store.totals(scope, day).await.unwrap();
    totals.values().fold(Counters::default(), |sum, spend| sum.checked_add(&spend.month).unwrap())
}

/// The stores, one line each, with the lists of rules that hold there besides those that hold everywhere.
macro_rules! conformance_of {
    ($($(#[$cfg:meta])* $store:ident => $fresh:path, $($kind:ident)+;)+) => {
        $($(#[$cfg])* mod $store {
            every_rule!($fresh);
            $(mod $kind { $kind!($fresh); })+
        })+
    };
}

/// Makes tests of rules.
macro_rules! tests_of {
    ($fresh:path; $($aggregate:ident { $($rule:ident)+ })+) => {
        $(mod $aggregate {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                crate::conformance::$aggregate::$rule($fresh().await).await;
            })+
        })+
    };
}

/// Every rule of the contract.
macro_rules! every_rule {
    ($fresh:path) => {
        tests_of! { $fresh;
            tenants {
                an_org_survives_a_round_trip_and_its_client_is_stored_with_it
                creating_a_registered_org_is_refused_and_changes_nothing_credential_included
                update_org_replaces_the_configuration_at_the_expected_version_and_credentials_stay
                update_org_conflicts_at_another_version_and_where_the_org_is_gone
                delete_org_ends_its_apps_clients_sealed_secrets_and_fallback_states
                deleting_no_org_answers_false
                delete_org_keeps_usage_totals_and_dedup_keys
                list_orgs_pages_in_ascending_order_of_id
                an_app_survives_a_round_trip_and_its_client_is_stored_with_it
                creating_a_registered_app_is_refused_and_changes_nothing_credential_included
                creating_an_app_of_no_org_conflicts_and_stores_nothing
                update_app_replaces_the_configuration_at_the_expected_version_and_credentials_stay
                update_app_conflicts_at_another_version_and_where_the_app_is_gone
                delete_app_ends_its_client_sealed_secrets_and_fallback_states_and_nobody_elses
                delete_app_keeps_usage_totals_and_dedup_keys
                list_apps_pages_in_ascending_byte_order_inside_one_org
                tenant_reads_the_org_and_where_asked_for_its_app
                a_tenant_created_again_has_a_new_life_in_which_old_tokens_and_secrets_stay_dead
            }
            profiles {
                every_field_of_a_profile_survives_a_round_trip
                profiles_of_an_application_are_in_order_of_label_and_nobody_elses
                a_label_registered_again_is_refused_and_changes_nothing
                a_profile_of_no_application_conflicts
                a_full_application_takes_no_more_profiles
                a_deleted_profile_is_gone_and_its_label_free
                an_application_and_an_organization_end_their_profiles
                a_tenant_is_read_with_its_profiles
                a_common_profile_is_what_every_application_means
                of_concurrent_registrations_exactly_one_succeeds_and_no_number_exceeds_the_most
            }
            credentials {
                a_credential_survives_a_round_trip
                replace_credential_replaces_at_the_expected_version_and_stores_the_sealed_secret_with_it
                replace_credential_conflicts_at_another_version_or_without_client_and_changes_nothing
                set_token_epoch_gives_a_new_epoch_and_the_version_grows_by_one
                set_token_epoch_answers_false_where_the_client_is_gone
                a_sealed_secret_is_taken_once
                a_sealed_secret_is_unknown_to_another_client_and_that_uses_nothing_up
                a_sealed_secret_is_gone_at_its_expiry_and_asking_then_uses_nothing_up
                a_taken_secret_is_unknown_after_its_expiry
                a_wrong_token_is_unknown
                revoking_a_token_ends_that_token_only
                revoking_a_session_ends_every_token_issued_from_it
                a_token_and_a_session_of_the_same_id_are_revoked_separately
                repeating_a_revocation_changes_nothing
                a_revocation_is_seen_by_other_instances
                token_state_has_the_current_epoch_and_none_where_the_client_is_gone
            }
            ledger {
                ingest_limits_admit_a_callers_batch
                a_full_batch_is_recorded
                recording_nothing_answers_nothing
                every_field_of_a_usage_record_survives_a_round_trip
                every_enumeration_value_survives_a_round_trip
                an_unknown_submission_is_none
                accepted_totals_include_the_record
                a_record_adds_to_its_application_and_its_organization_in_day_and_month
                every_counter_counts
                an_identical_repeat_is_a_duplicate_with_the_first_record_and_todays_totals_and_changes_nothing
                a_repeat_with_another_fingerprint_is_a_conflict_and_changes_nothing
                a_repeat_inside_one_call_is_a_duplicate
                another_submission_under_the_same_id_inside_one_call_is_a_conflict
                one_refused_record_does_not_affect_the_others_and_outcomes_are_in_order
                the_same_request_id_in_another_application_or_organization_is_another_submission
                a_batch_comes_to_what_its_records_one_by_one_come_to
                ten_thousand_submissions_of_a_fraction_of_a_micro_dollar_sum_exactly
                a_repeat_across_midnight_belongs_to_the_first_day
                drift_is_the_signed_sum_of_client_minus_server
            }
            ledger_overflow {
                an_amount_no_counter_can_hold_is_refused
            }
            repricing {
                a_correction_changes_a_record_and_its_four_totals_by_the_exact_difference
                a_correction_does_not_touch_what_others_added
                a_corrected_record_is_no_longer_repriceable_once_it_is_priced
                a_repeated_correction_is_stale_and_changes_nothing
                a_correction_from_other_figures_is_stale
                a_priced_record_is_never_corrected
                corrections_of_one_record_inside_one_call_see_each_other
                one_refused_correction_does_not_affect_the_others_and_outcomes_are_in_order
                correcting_nothing_answers_nothing
                the_charged_cost_of_a_client_stays_and_its_drift_follows
                a_correction_of_what_is_gone_changes_nothing
                a_repeated_submission_of_a_corrected_record_is_a_duplicate_with_the_new_figures
                totals_say_when_they_were_corrected
            }
            repricing_walk {
                repriceable_records_are_the_unpriced_and_the_estimated_and_nothing_else
                repriceable_records_are_filtered_by_scope_and_days
                repriceable_records_page_strictly_after_a_position_in_order
            }
            repricing_races {
                of_concurrent_corrections_of_one_record_exactly_one_applies
                concurrent_submissions_and_corrections_lose_nothing
                a_correction_dropped_half_way_is_made_once_when_repeated
                totals_equal_the_sum_of_records_after_any_sequence
            }
            totals {
                totals_have_every_label_with_usage_in_the_month
                a_day_and_a_month_end_at_their_boundary
                totals_of_an_org_are_the_sum_of_its_apps
                totals_of_a_scope_without_usage_are_empty
                label_totals_are_zero_without_usage
                daily_totals_are_ordered_by_day_application_and_label
                daily_totals_of_a_range_include_both_ends_and_nothing_else
                daily_totals_page_strictly_after_a_key_in_every_breakdown
                daily_totals_say_when_they_last_changed
                a_selection_says_when_any_of_its_totals_last_changed
            }
            fallbacks {
                a_scope_starts_without_state
                every_field_of_a_state_survives_a_round_trip
                a_first_state_is_stored_only_where_there_is_none
                a_later_state_replaces_exactly_its_predecessor
                a_later_state_without_predecessor_is_lost
                states_of_other_scopes_and_days_are_separate
                a_cleared_state_is_gone_and_the_next_one_is_a_first
                clearing_nothing_is_fine
                selection_state_has_totals_and_fallback
            }
            prices {
                a_store_starts_without_price_list
                a_price_list_survives_a_round_trip_and_is_seen_by_other_instances
                a_large_price_list_survives_a_round_trip
                a_first_price_list_is_stored_only_where_there_is_none
                a_later_price_list_replaces_exactly_the_one_it_names
                of_concurrent_replacements_of_one_price_list_exactly_one_stores
            }
            moving {
                an_imported_total_counts_in_the_four_sums_it_belongs_to
                an_imported_total_is_read_back_as_it_was
                an_import_adds_to_the_sums_of_usage_counted_here
                usage_adds_to_what_was_imported
                a_total_that_an_application_has_already_is_present_and_stays
                repeating_an_import_changes_nothing
                of_equal_keys_in_one_import_the_first_counts
                totals_of_one_import_do_not_affect_each_other_and_outcomes_are_in_order
                a_full_batch_of_totals_is_imported
                importing_nothing_answers_nothing
                a_total_without_application_is_refused
                of_concurrent_imports_of_one_total_exactly_one_counts
            }
            audit {
                a_store_starts_with_an_empty_trail
                every_field_of_an_event_survives_a_round_trip
                every_action_and_outcome_survives_a_round_trip
                events_are_in_descending_order_of_instant_and_of_id_within_a_millisecond
                pages_cover_the_trail_exactly_once_strictly_before_a_position
                an_organization_has_its_own_events_and_the_whole_trail_has_all
                appending_an_event_again_changes_nothing_also_after_it_was_settled
                only_a_pending_event_is_settled_and_once
                an_event_that_is_not_there_or_is_of_another_organization_is_not_settled
                of_concurrent_settlements_of_one_event_exactly_one_succeeds
                concurrent_appends_lose_nothing_and_repeat_nothing
                events_outlive_their_tenants
                the_largest_events_are_kept_whole_and_a_page_of_them_is_full
                the_trail_survives_close_and_is_seen_by_other_instances
                purge_forgets_events_strictly_before_and_nothing_else
            }
            maintenance {
                a_store_has_a_backend_name_and_answers_a_ping
                schema_status_tells_behind_from_current_and_changes_nothing
                migrating_twice_applies_each_step_once
                six_concurrent_starters_apply_each_step_once
                migrating_again_keeps_what_is_stored
                what_was_written_survives_close_and_reopen
                purge_forgets_usage_and_dedup_keys_recorded_strictly_before_and_keeps_totals
                purge_forgets_old_usage_behind_a_younger_record
                purge_forgets_totals_of_earlier_days_and_of_months_that_ended_before
                purge_forgets_expired_revocations_secrets_and_fallback_states
                purging_an_empty_store_forgets_nothing
            }
            concurrency {
                identical_concurrent_submissions_count_once
                of_concurrent_submissions_under_one_id_one_counts_and_all_agree_which
                concurrent_batches_lose_no_count
                of_concurrent_creations_of_one_org_exactly_one_succeeds
                of_concurrent_updates_of_one_org_exactly_one_wins
                of_concurrent_updates_of_one_app_exactly_one_wins
                of_concurrent_replacements_of_one_credential_exactly_one_wins
                of_concurrent_retrievals_of_one_secret_exactly_one_takes_it
                of_concurrent_first_fallback_states_exactly_one_is_stored
                of_concurrent_later_fallback_states_exactly_one_is_stored
                no_app_outlives_an_org_deleted_at_the_same_time
                a_call_dropped_half_way_counts_once_when_repeated
            }
        }
    };
}

/// Stores whose counters are columns of 64 bits, and so refuse what does not fit. Elsewhere counters are wider than any
/// sum of what records can hold.
#[cfg_attr(not(feature = "sql"), allow(unused_macros))]
macro_rules! bounded_counters {
    ($fresh:path) => {
        tests_of! { $fresh;
            ledger_overflow {
                a_counter_that_would_leave_its_range_refuses_the_record_and_never_wraps
                records_that_still_fit_commit_beside_one_that_overflows
                an_organization_total_can_overflow_where_no_application_total_does
                a_month_can_overflow_where_no_day_does
                a_refused_record_leaves_its_request_id_free
            }
            repricing {
                a_correction_that_would_leave_a_counters_range_changes_nothing
            }
            moving {
                an_import_that_would_leave_a_counters_range_changes_nothing
            }
        }
    };
}

/// Stores with transactions of any size over everything they hold. The records of a call commit together, and the totals
/// with them; whoever reads sees one moment. Elsewhere a call takes several steps where it is large, and totals follow
/// label by label.
#[cfg_attr(not(feature = "sql"), allow(unused_macros))]
macro_rules! transactions {
    ($fresh:path) => {
        tests_of! { $fresh;
            concurrency {
                a_reader_never_sees_half_a_batch
                totals_and_fallback_of_a_selection_are_read_together
                a_call_dropped_half_way_is_recorded_whole_or_not_at_all
            }
            consolidation {
                there_is_nothing_to_consolidate
            }
        }
    };
}

/// Stores that delete what a purge forgets, a batch at a time. Elsewhere the backend deletes what expired, and a purge
/// only takes note of the limits, so that there are no numbers to check and no batches.
#[cfg_attr(not(feature = "sql"), allow(unused_macros))]
macro_rules! deleting_by_hand {
    ($fresh:path) => {
        tests_of! { $fresh;
            maintenance {
                purge_forgets_at_most_a_batch_of_each_kind
                purging_an_empty_batch_forgets_nothing
            }
            audit {
                purge_forgets_at_most_a_batch_of_events_the_oldest_first
            }
        }
    };
}

/// Stores whose totals follow when they are told to. [`every_rule`] runs on instances that tell them before every read.
#[cfg_attr(not(feature = "dynamodb"), allow(unused_macros))]
macro_rules! consolidating {
    ($fresh:path) => {
        tests_of! { $fresh;
            consolidation {
                totals_are_those_of_the_last_consolidation
                consolidating_again_changes_nothing
                a_consolidation_is_of_one_day_of_one_organization
                an_instance_that_saw_less_takes_nothing_back
                totals_never_go_back_however_many_consolidate
                corrected_days_are_unconsolidated_until_they_are_consolidated
                the_last_days_of_a_deleted_organization_are_unconsolidated
                nobody_leads_a_new_store
                a_lease_is_its_holders_until_it_expires
                a_holder_renews_its_lease_and_publishes_its_progress
                of_concurrent_holders_at_most_one_gets_the_lease
            }
        }
    };
}

conformance_of! {
    #[cfg(feature = "sqlite")]
    on_sqlite => crate::support::stores::sqlite, bounded_counters transactions deleting_by_hand;
    #[cfg(feature = "postgres")]
    on_postgres => crate::support::stores::postgres, bounded_counters transactions deleting_by_hand;
    #[cfg(feature = "dynamodb")]
    on_dynamodb => crate::support::stores::dynamodb, consolidating;
}
