//! How long finding a price takes. Run with `cargo bench --bench prices`.
//!
//! "Cold" walks over every model of the snapshot, so that no row is in the processor's first caches twice in a row;
//! "hot" asks for the same model again and again.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use bedrock_cost_keeper::domain::pricing::{Latency, PriceCatalog, PriceQuery, ServiceTier, embedded};
use bedrock_cost_keeper::domain::tokens::TokenCounts;
use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;

fn query(model_id: &str) -> PriceQuery<'_> {
    PriceQuery {
        model_id,
        region: Some("eu-west-1"),
        tier: ServiceTier::Default,
        latency: Latency::Standard,
        tokens: TokenCounts { input: 1_500, output: 800, ..TokenCounts::default() },
        cache_ttl_assumed: false,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn prices(criterion: &mut Criterion) {
    let book = embedded().unwrap();
    let mut models: Vec<String> = book.rows().map(|(model, ..)| model.to_owned()).collect();
    models.sort();
    models.dedup();
    let catalog = PriceCatalog::new(vec![Arc::new(book)]);

    criterion.bench_function("quote hot", |bencher| {
        bencher.iter(|| catalog.quote(black_box(&query("eu.anthropic.claude-sonnet-4-6")), None));
    });
    let mut next = models.iter().cycle();
    criterion.bench_function("quote cold, another model each time", |bencher| {
        bencher.iter(|| catalog.quote(black_box(&query(next.next().unwrap())), None));
    });
    criterion.bench_function("quote unknown model", |bencher| {
        bencher.iter(|| catalog.quote(black_box(&query("acme.unknown-v1:0")), None));
    });
    criterion.bench_function("load the embedded snapshot", |bencher| bencher.iter(|| embedded().unwrap().len()));
}

criterion_group!(benches, prices);
criterion_main!(benches);
