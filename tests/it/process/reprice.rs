//! `reprice` on the command line.

use bedrock_cost_keeper::domain::money::PicoUsd;
use bedrock_cost_keeper::domain::pricing::PricingStatus;
use bedrock_cost_keeper::domain::tokens::TokenCounts;
use bedrock_cost_keeper::domain::usage::{RecordPricing, UsageRecord};
use bedrock_cost_keeper::storage::{StorageOptions, open};

use crate::support::process::{run, stderr, stdout};
use crate::support::samples::{acme, app_id, day, label, usage};

const MODEL: &str = "acme.house-model-v1:0";

const CONFIG: &str = "
labels:
  house:
    bedrock_model_id: acme.house-model-v1:0
    prices: { input_usd_micros_per_1m: 1000000, output_usd_micros_per_1m: 500000 }
";

fn unpriced(app: &str, id: u128, on: &str) -> UsageRecord {
    UsageRecord {
        model_label: label("house"),
        day: day(on),
        cost: PicoUsd::ZERO,
        server_cost: None,
        tokens: TokenCounts { input: 1_000, output: 1_000, ..TokenCounts::default() },
        pricing: RecordPricing {
            status: PricingStatus::Unpriced,
            source: None,
            version: None,
            model_id: MODEL.to_owned(),
        },
        ..usage(app, id)
    }
}

#[tokio::test]
async fn reprice_shows_first_and_applies_once_whatever_the_number_of_records() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    std::fs::write(dir.path().join("cost-keeper.yaml"), CONFIG).unwrap();
    assert!(run(dir.path(), &["migrate"]).status.success());
    let database = dir.path().join("data/cost-keeper.db");
    let store = open::open(&format!("sqlite://{}", database.display()), &StorageOptions::default()).await.unwrap();
    // More than one call of the service looks at.
    for n in 0..12_u128 {
        let records: Vec<_> = (0..200).map(|m| unpriced("shop", n * 200 + m, "2026-01-22")).collect();
        store.record_usage(&records).await.unwrap();
    }
    store.record_usage(&[unpriced("blog", 1, "2026-01-23")]).await.unwrap();
    store.close().await;

    let org = acme().to_string();
    let dry = stdout(&run(dir.path(), &["reprice"]));
    let shop: Vec<_> = dry.lines().find(|line| line.contains("shop")).unwrap().split_whitespace().collect();
    assert_eq!(shop, [&org, "2026-01-22", "shop", "house", "2400", "0.000000", "3.600000", "+3.600000", "0.000000"]);
    assert!(dry.contains("2401 to correct, 0 unchanged") && dry.contains("nothing was changed"), "{dry}");
    assert_eq!(stdout(&run(dir.path(), &["reprice"])), dry, "a dry run changes nothing");

    let one = stdout(&run(dir.path(), &["reprice", "--apply", "--org", &org, "--app", "blog", "--from", "2026-01-23"]));
    assert!(one.contains("1 corrected") && one.ends_with("done\n"), "{one}");
    let rest = stdout(&run(dir.path(), &["reprice", "--apply"]));
    assert!(rest.contains("2400 corrected"), "{rest}");
    let nothing = stdout(&run(dir.path(), &["reprice", "--apply"]));
    assert_eq!(nothing, "0 unpriced or estimated records: 0 corrected, 0 unchanged\ndone\n");

    let store = open::open(&format!("sqlite://{}", database.display()), &StorageOptions::default()).await.unwrap();
    for (app, on, requests) in [("shop", "2026-01-22", 2_400_u64), ("blog", "2026-01-23", 1)] {
        let totals = store.label_totals(acme(), &app_id(app), &label("house"), day(on)).await.unwrap();
        assert_eq!((totals.app.day.requests, totals.app.day.unpriced_requests), (requests, 0));
        assert_eq!(totals.app.day.cost, PicoUsd::new(u128::from(requests) * 1_500_000_000));
        assert_eq!(totals.org.month.cost, PicoUsd::new(2_401 * 1_500_000_000));
    }
}

#[test]
fn a_filter_that_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (args, word) in [
        (&["reprice", "--app", "chat"][..], "--org"),
        (&["reprice", "--org", "acme"], "--org"),
        (&["reprice", "--from", "yesterday"], "YYYY-MM-DD"),
        (&["reprice", "--from", "2026-01-02", "--to", "2026-01-01"], "--to"),
    ] {
        let output = run(dir.path(), args);
        assert!(!output.status.success() && stderr(&output).contains(word), "{}", stderr(&output));
    }
}
