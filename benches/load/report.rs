//! What is printed: ratios first, then figures.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::bare::Bare;
use crate::calls::Kind;
use crate::generator::{Acknowledged, Run};
use crate::ledger::{Ledger, dollars};

/// One measurement.
pub(crate) struct Figure {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Requests due in a second; `None` where each connection sent as fast as it was answered.
    pub(crate) offered_per_sec: Option<f64>,
    pub(crate) rss: Option<u64>,
    pub(crate) run: Run,
}

impl Figure {
    fn quantile_millis(&self, quantile: f64) -> f64 {
        self.run.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    fn line(&self) -> String {
        let load = self.offered_per_sec.map_or_else(|| "closed".to_owned(), |rate| format!("open {rate:.0}/s"));
        format!(
            "{:<20} {:>4} {:<13} {:>9.0} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>8}",
            self.kind.name(),
            self.connections,
            load,
            self.run.per_sec(),
            self.quantile_millis(0.5),
            self.quantile_millis(0.99),
            self.quantile_millis(0.999),
            self.run.latencies.max() as f64 / 1000.0,
            self.rss.map_or_else(|| "?".to_owned(), |rss| format!("{}", rss >> 20)),
        )
    }
}

/// A ratio and what it is one of.
struct Ratio {
    of: String,
    to: String,
    value: f64,
}

pub(crate) struct Report {
    store: String,
    pub(crate) bare: Option<Bare>,
    pub(crate) ready: Duration,
    pub(crate) ledger: Option<Ledger>,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(url: &str) -> Self {
        // The kind of store: the rest may have a password.
        let store = url.split(':').next().unwrap_or_default().to_owned();
        Self { store, bare: None, ready: Duration::ZERO, ledger: None, figures: Vec::new() }
    }

    pub(crate) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Says the newest figure at once: a run takes minutes.
    pub(crate) fn progress(&self) {
        if let Some(figure) = self.figures.last() {
            eprintln!("{}", figure.line());
        }
    }

    fn closed(&self, kind: Kind) -> impl Iterator<Item = &Figure> {
        self.figures.iter().filter(move |figure| figure.kind == kind && figure.offered_per_sec.is_none())
    }

    /// The largest throughput of a kind of call.
    pub(crate) fn most_per_sec(&self, kind: Kind) -> f64 {
        self.closed(kind).map(|figure| figure.run.per_sec()).fold(1.0, f64::max)
    }

    pub(crate) fn acknowledged(&self) -> Acknowledged {
        self.figures.iter().fold(Acknowledged::NONE, |sum, figure| sum.and(figure.run.acknowledged))
    }

    pub(crate) fn ledger_is_exact(&self) -> bool {
        self.ledger.as_ref().is_some_and(Ledger::is_exact)
    }

    fn ratios(&self) -> Vec<Ratio> {
        let mut ratios = Vec::new();
        for figure in self.figures.iter().filter(|figure| figure.offered_per_sec.is_none()) {
            let of = format!("{}, {} connections", figure.kind.name(), figure.connections);
            if let Some(baseline) = figure.kind.baseline()
                && let Some(base) = self.closed(baseline).find(|base| base.connections == figure.connections)
            {
                let value = figure.run.per_sec() / base.run.per_sec();
                ratios.push(Ratio { of: of.clone(), to: baseline.name().to_owned(), value });
            }
            if figure.kind.records() > 0
                && let Some(bare) = &self.bare
            {
                let records = figure.run.per_sec() * figure.kind.records() as f64;
                ratios.push(Ratio { of, to: "bare store".to_owned(), value: records / bare.per_sec() });
            }
        }
        ratios
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("\n{}: ratios\n", self.store);
        for Ratio { of, to, value } in self.ratios() {
            let _ = writeln!(text, "  {value:>5.2}  {of}  /  {to}");
        }
        let _ = writeln!(
            text,
            "\n{:<20} {:>4} {:<13} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
            "call", "conn", "load", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "RSS MiB"
        );
        for figure in &self.figures {
            let _ = writeln!(text, "{}", figure.line());
        }
        if let Some(bare) = &self.bare {
            let _ = writeln!(
                text,
                "bare store: {:.0} records/s, commit p99 {:.2} ms",
                bare.per_sec(),
                bare.commit_p99_millis()
            );
        }
        let _ = writeln!(text, "start to ready: {:.0} ms", self.ready.as_secs_f64() * 1000.0);
        if let Some(Ledger { acknowledged, stored }) = &self.ledger {
            let _ = writeln!(
                text,
                "ledger: acknowledged {} in {} submissions, stored {} in {}: {}",
                dollars(acknowledged.cost),
                acknowledged.records,
                dollars(stored.cost),
                stored.records,
                if self.ledger_is_exact() { "exact" } else { "WRONG" },
            );
        }
        text
    }

    pub(crate) fn to_json(&self) -> String {
        let ratios: Vec<_> = self
            .ratios()
            .into_iter()
            .map(|ratio| json!({"of": ratio.of, "to": ratio.to, "ratio": ratio.value}))
            .collect();
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|figure| {
                json!({
                    "call": figure.kind.name(), "connections": figure.connections,
                    "offered_per_sec": figure.offered_per_sec, "calls_per_sec": figure.run.per_sec(),
                    "p50_ms": figure.quantile_millis(0.5), "p99_ms": figure.quantile_millis(0.99),
                    "p999_ms": figure.quantile_millis(0.999), "rss_bytes": figure.rss,
                })
            })
            .collect();
        let bare = self
            .bare
            .as_ref()
            .map(|bare| json!({"records_per_sec": bare.per_sec(), "commit_p99_ms": bare.commit_p99_millis()}));
        let document = json!({
            "store": self.store, "ratios": ratios, "figures": figures, "bare_store": bare,
            "ready_ms": self.ready.as_secs_f64() * 1000.0, "ledger_exact": self.ledger_is_exact(),
        });
        format!("{document:#}\n")
    }
}
