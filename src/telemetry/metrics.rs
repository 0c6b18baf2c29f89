//! The metrics the service exports: what each is called, means and counts.
//!
//! Histograms have fixed buckets, so that those of several instances can be added up. Counters without labels are there
//! from the start with 0, so that an alert sees the first increment too.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// What a metric is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A counter without labels.
    Counter,
    /// A counter with labels, which is there once it has counted.
    LabelledCounter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// From what a cache answers to the longest time a request may take by default.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0];
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0];

const METRICS: &[(&str, Kind, &str)] = &[
    ("service_info", Kind::Gauge, "Always 1; the version and the kind of store are labels"),
    ("http_request_duration_seconds", Kind::Histogram(SECONDS), "Time from a request's header to its answer"),
    ("http_connections", Kind::Gauge, "Connections that are open now, of all listeners"),
    ("http_connections_limit", Kind::Gauge, "server.max_connections, which holds for each listener"),
    ("rate_limited_total", Kind::LabelledCounter, "Requests refused by a limit of requests or of failed logins"),
    ("submissions_total", Kind::LabelledCounter, "Submissions the store has answered, by what became of them"),
    ("submissions_unpriced_total", Kind::Counter, "Submissions that were recorded without a known price"),
    ("model_selections_total", Kind::LabelledCounter, "Model selections by their result"),
    ("ingest_queue_submissions", Kind::Gauge, "Submissions that wait for the store, or are being committed"),
    ("ingest_queue_capacity", Kind::Gauge, "metering.queue_capacity"),
    ("ingest_group_size", Kind::Histogram(SIZES), "Submissions that were committed together"),
    ("ingest_commit_duration_seconds", Kind::Histogram(SECONDS), "Time of a commit that succeeded"),
    ("ingest_commit_failures_total", Kind::Counter, "Commits that failed; their callers got 503"),
    ("ingest_refused_total", Kind::Counter, "Requests with submissions that found no room in the queue"),
    ("consolidation_leader", Kind::Gauge, "1 where this instance adds up totals"),
    ("consolidation_days_visited_total", Kind::Counter, "Days of organizations that were looked at"),
    ("consolidation_days_changed_total", Kind::Counter, "Days of organizations whose totals had changed"),
    ("consolidation_failures_total", Kind::Counter, "Turns in which totals were not added up"),
    ("audit_events_total", Kind::LabelledCounter, "Events of the audit trail that are over, by action and outcome"),
    ("audit_write_failures_total", Kind::Counter, "Events or outcomes the audit trail could not take"),
    ("audit_events_suppressed_total", Kind::LabelledCounter, "Refusals of strangers that were counted and not stored"),
    ("purge_failures_total", Kind::Counter, "Runs that could not delete what is past its retention"),
    ("purged_rows_total", Kind::Counter, "Rows past their retention that were deleted"),
    ("secrets_refresh_failures_total", Kind::Counter, "Reads of keys that failed or found unfit ones"),
    ("tls_certificate_expires_timestamp_seconds", Kind::Gauge, "End of the TLS certificate in force, since 1970"),
    ("price_list_age_seconds", Kind::Gauge, "Age of the AWS price list in force"),
    ("price_list_rows", Kind::Gauge, "Prices in that list"),
    ("price_list_quarantined_models", Kind::Gauge, "Models whose new prices are not believed"),
    ("price_list_refresh_failures_total", Kind::Counter, "Fetches of the AWS price list that failed"),
    ("inference_profile_failures_total", Kind::Counter, "Inference profiles AWS was asked about in vain"),
    ("dynamodb_consumed_read_units_total", Kind::LabelledCounter, "Read request units as AWS reports them"),
    ("dynamodb_consumed_write_units_total", Kind::LabelledCounter, "Write request units as AWS reports them"),
];

/// Makes this process record its metrics.
///
/// # Errors
/// [`BuildError`] where something else records them already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = builder()?.install_recorder()?;
    describe();
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    METRICS.iter().try_fold(PrometheusBuilder::new(), |builder, (name, kind, _)| match kind {
        Kind::Histogram(buckets) => builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets),
        Kind::Counter | Kind::LabelledCounter | Kind::Gauge => Ok(builder),
    })
}

fn describe() {
    for &(name, kind, help) in METRICS {
        match kind {
            Kind::Counter => {
                metrics::describe_counter!(name, help);
                metrics::counter!(name).increment(0);
            }
            Kind::LabelledCounter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Histogram(_) => metrics::describe_histogram!(name, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Names after `counter!(`, `gauge!(` and `histogram!(` in all sources.
    fn recorded(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                recorded(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for macro_name in ["counter!(", "gauge!(", "histogram!("] {
                    for (position, _) in text.match_indices(&format!("metrics::{macro_name}")) {
                        let rest = text[position..].split_once('(').unwrap().1.trim_start();
                        if let Some(name) = rest.strip_prefix('"') {
                            found.insert(name.split('"').next().unwrap().to_owned());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_recorded_is_described_and_the_other_way_round() {
        let mut found = BTreeSet::new();
        recorded(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        // Chosen by operation, so the macro has no literal.
        found.extend(["read", "write"].map(|kind| format!("dynamodb_consumed_{kind}_units_total")));
        let described: BTreeSet<_> = METRICS.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(found, described);
        assert_eq!(described.len(), METRICS.len(), "a metric is described twice");
    }

    #[test]
    fn counters_are_there_from_the_start_and_histograms_have_buckets() {
        let recorder = builder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::histogram!("ingest_group_size").record(3.0);
        });
        let page = recorder.handle().render();
        assert!(page.contains("\ningest_commit_failures_total 0\n"), "{page}");
        assert!(page.contains("# TYPE ingest_group_size histogram"), "{page}");
        assert!(page.contains("ingest_group_size_bucket{le=\"5\"} 1"), "{page}");
    }
}
