//! The end of the story: the service's totals beside what the clients added up, exactly.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::http::ask;
use super::ledger::{Ledger, LedgerKey, Tally, micros};
use super::scenario::{FIRST_DAY, ORDERING, ORG, SECOND_DAY};
use super::session::Session;
use super::timeline::{Timeline, usd};
use crate::cli::CommandError;

/// Where clients that ask as often as advised must stay below, in percent of a quota.
const MAX_USED_PCT: f64 = 105.0;

#[derive(Debug, Deserialize)]
struct Range {
    rows: Vec<RangeRow>,
    totals: Totals,
}

#[derive(Debug, Deserialize)]
struct RangeRow {
    day: String,
    app: String,
    model: String,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Totals {
    cost_usd_micros: u64,
    requests: u64,
    errors: u64,
    unpriced_requests: u64,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
}

impl Totals {
    /// Compares with a tally in every count.
    fn check(&self, what: &str, tally: &Tally) -> Result<(), CommandError> {
        let expected = Self {
            cost_usd_micros: u64::try_from(micros(tally.pico_usd))?,
            requests: tally.requests,
            errors: 0,
            unpriced_requests: 0,
            input_tokens: tally.tokens.input,
            output_tokens: tally.tokens.output,
            cache_read_input_tokens: tally.tokens.cache_read,
        };
        if *self != expected {
            return Err(format!("{what}: the service counted {self:?}, the clients {expected:?}").into());
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
struct DayOfApp {
    models: BTreeMap<String, DayOfLabel>,
}

#[derive(Debug, Deserialize)]
struct DayOfLabel {
    cost_usd_micros: u64,
    quota_usd_micros: u64,
    quota_pct: f64,
    quota_status: String,
    requests: u64,
}

/// Reads the aggregates with the organization's own client, shows them, and fails where anything differs.
pub(super) async fn run(
    http: &reqwest::Client,
    api: &str,
    mut session: Session,
    ledger: &Ledger,
    timeline: &mut Timeline<'_>,
) -> Result<(), CommandError> {
    let token = session.access_token().await?;
    let reader = Reader { http, base: format!("{api}/api/v1/orgs/{ORG}"), token };
    let range = format!("/aggregates?from={FIRST_DAY}&to={SECOND_DAY}&group_by=day,app,model");
    let range: Range = reader.get(&range).await?;
    compare(&range, ledger)?;
    let days = reader.days(ledger).await?;
    table(&days, ledger, timeline)?;
    let (total, own) = (&range.totals, ledger.total());
    timeline.line("")?;
    timeline.line(&format!(
        "counted by the service    {} in {} requests",
        usd(total.cost_usd_micros, 6),
        total.requests
    ))?;
    let own_cost = usd(u64::try_from(micros(own.pico_usd))?, 6);
    timeline.line(&format!("added up by the clients   {own_cost} in {} requests", own.requests))?;
    timeline.line("Totals are exactly equal, for every day, application and model, and in every token count.")
}

struct Reader<'a> {
    http: &'a reqwest::Client,
    base: String,
    token: String,
}

impl Reader<'_> {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CommandError> {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        ask(format!("GET {path}"), request).await?.expect(StatusCode::OK)
    }

    /// The day's aggregates of every day and application there was usage on: the one past by date, the other as today.
    async fn days(&self, ledger: &Ledger) -> Result<BTreeMap<(String, String), DayOfApp>, CommandError> {
        let wanted: BTreeSet<_> = ledger.iter().map(|(key, _)| (key.day.clone(), key.app.clone())).collect();
        let mut days = BTreeMap::new();
        for (day, app) in wanted {
            let name = if day == SECOND_DAY { "today" } else { &day };
            let aggregates = self.get(&format!("/apps/{app}/aggregates/{name}")).await?;
            days.insert((day, app), aggregates);
        }
        Ok(days)
    }
}

fn compare(range: &Range, ledger: &Ledger) -> Result<(), CommandError> {
    let counted: BTreeMap<LedgerKey, &Totals> = range
        .rows
        .iter()
        .map(|row| (LedgerKey { day: row.day.clone(), app: row.app.clone(), label: row.model.clone() }, &row.totals))
        .collect();
    if counted.len() != ledger.len() {
        return Err(format!("the service has {} totals, the clients {}: {range:?}", counted.len(), ledger.len()).into());
    }
    for (key, tally) in ledger.iter() {
        let what = format!("{} {} {}", key.day, key.app, key.label);
        counted.get(key).ok_or_else(|| format!("{what}: the service counted nothing"))?.check(&what, tally)?;
    }
    range.totals.check("totals", &ledger.total())
}

fn table(
    days: &BTreeMap<(String, String), DayOfApp>,
    ledger: &Ledger,
    timeline: &mut Timeline<'_>,
) -> Result<(), CommandError> {
    timeline.line("")?;
    timeline.line("day         application    model     requests        cost     quota     used  status")?;
    timeline.line("----------  -------------  --------  --------  ----------  --------  -------  --------")?;
    let mut tallies: Vec<_> = ledger.iter().collect();
    tallies.sort_by_key(|(key, _)| (&key.day, &key.app, ORDERING.iter().position(|label| key.label == *label)));
    for (LedgerKey { day, app, label }, tally) in tallies {
        let of_app = days.get(&(day.clone(), app.clone()));
        let row = of_app
            .and_then(|aggregates| aggregates.models.get(label))
            .ok_or_else(|| format!("{day} {app} {label}: missing in the day's aggregates"))?;
        if u128::from(row.cost_usd_micros) != micros(tally.pico_usd) || row.requests != tally.requests {
            return Err(format!("{day} {app} {label}: the day's aggregates have {row:?}, the clients {tally:?}").into());
        }
        if row.quota_pct >= MAX_USED_PCT {
            return Err(format!("{day} {app} {label}: the quota was overrun to {} %", row.quota_pct).into());
        }
        timeline.line(&format!(
            "{day}  {app:13}  {label:8}  {:>8}  {:>10}  {:>8}  {:6.2}%  {}",
            row.requests,
            usd(row.cost_usd_micros, 6),
            usd(row.quota_usd_micros, 2),
            row.quota_pct,
            row.quota_status,
        ))?;
    }
    Ok(())
}
