//! `reprice`: what was recorded without a price, or with a stand-in for one, gets the price in force now.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::table::aligned;
use super::{CommandError, CommandResult, ready_app};
use crate::app::App;
use crate::config::Config;
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, OrgId, Scope};
use crate::domain::money::{CostDrift, PicoUsd};
use crate::service::access::ProvisioningAccess;
use crate::service::error::ServiceError;
use crate::service::reprice::{MAX_EXAMINED, RepriceAmounts, RepriceReport, RepriceRequest};
use crate::storage::RepriceFilter;

#[derive(Debug, Args)]
pub(super) struct RepriceArgs {
    /// Only this organization's records; default: everybody's
    #[arg(long, value_name = "ORG_ID")]
    org: Option<OrgId>,
    /// Only this application's records
    #[arg(long, value_name = "APP_ID", requires = "org")]
    app: Option<AppId>,
    /// Only of this local day and later ones
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<Day>,
    /// Only of this local day and earlier ones
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<Day>,
    /// Carry it out; without this it only says what would change. May be interrupted and repeated at any time
    #[arg(long)]
    apply: bool,
}

impl RepriceArgs {
    fn request(self) -> Result<RepriceRequest, CommandError> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            return Err("--from must not be after --to".into());
        }
        let scope = self.org.map(|org_id| Scope { org_id, app_id: self.app });
        let filter = RepriceFilter { scope, from: self.from, to: self.to };
        Ok(RepriceRequest { filter, dry_run: !self.apply, after: None, budget: MAX_EXAMINED })
    }
}

pub(super) async fn run(config: &Config, args: RepriceArgs) -> CommandResult {
    let request = args.request()?;
    let app = ready_app(config).await?;
    let mut report = RepriceReport { applied: !request.dry_run, ..RepriceReport::default() };
    let outcome = walk(&app, request, &mut report).await;
    app.stop().await;
    // Also after a failure: what was corrected until then stays corrected.
    write!(std::io::stdout(), "{}", table(&report)?)?;
    outcome.map_err(|error| format!("{error}; run the same command again to complete it"))?;
    Ok(ExitCode::SUCCESS)
}

/// Repeats until nothing is left. It ends: each call starts after the records of the one before.
async fn walk(app: &App, mut request: RepriceRequest, report: &mut RepriceReport) -> Result<(), ServiceError> {
    let access = ProvisioningAccess::of_operator(app.services.random.as_ref());
    loop {
        report.continue_with(app.services.reprice(&access, &request).await?)?;
        match &report.next {
            Some(next) => request.after = Some(next.clone()),
            None => return Ok(()),
        }
    }
}

/// Names of the columns; the first four are text, the others numbers.
const HEAD: [&str; 9] =
    ["organization", "day", "application", "label", "records", "old USD", "new USD", "difference USD", "drift USD"];
const TEXT_COLUMNS: usize = 4;

fn table(report: &RepriceReport) -> Result<String, CommandError> {
    let mut rows: Vec<[String; 9]> = Vec::with_capacity(report.groups.len() + 2);
    rows.push(HEAD.map(str::to_owned));
    for (group, amounts) in &report.groups {
        let key =
            [group.org_id.to_string(), group.day.to_string(), group.app_id.to_string(), group.model_label.to_string()];
        rows.push(row(key, amounts));
    }
    rows.push(row(["total", "", "", ""].map(str::to_owned), &report.totals()?));
    let mut out = String::new();
    if !report.groups.is_empty() {
        for line in aligned(&rows, TEXT_COLUMNS) {
            writeln!(out, "{line}")?;
        }
        writeln!(out)?;
    }
    let RepriceReport { examined, changed, unchanged, stale, refused, .. } = report;
    let verb = if report.applied { "corrected" } else { "to correct" };
    write!(out, "{examined} unpriced or estimated records: {changed} {verb}, {unchanged} unchanged")?;
    if *stale > 0 {
        write!(out, ", {stale} changed by somebody else meanwhile")?;
    }
    if *refused > 0 {
        write!(out, ", {refused} too large to count")?;
    }
    writeln!(out)?;
    writeln!(out, "{}", if report.applied { "done" } else { "dry run: nothing was changed; --apply carries it out" })?;
    Ok(out)
}

fn row([org_id, day, app_id, label]: [String; 4], amounts: &RepriceAmounts) -> [String; 9] {
    [
        org_id,
        day,
        app_id,
        label,
        amounts.records().to_string(),
        usd(amounts.old.cost),
        usd(amounts.new.cost),
        signed_usd(amounts.cost_difference()),
        signed_usd(amounts.drift_difference()),
    ]
}

/// Dollars with six decimals, rounded half-up.
fn usd(cost: PicoUsd) -> String {
    let micros = cost.to_micros_half_up();
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn signed_usd(amount: CostDrift) -> String {
    let magnitude = usd(PicoUsd::new(amount.get().unsigned_abs()));
    match amount.to_micros_half_up() {
        0 => magnitude,
        micros if micros < 0 => format!("-{magnitude}"),
        _ => format!("+{magnitude}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::usage::Counters;
    use crate::service::reprice::RepriceGroup;

    #[test]
    fn the_table_is_aligned_and_ends_with_totals_and_what_to_do() {
        let counters = |requests, pico| Counters { requests, cost: PicoUsd::new(pico), ..Counters::default() };
        let group = |day: &str, label: &str| RepriceGroup {
            org_id: "550e8400-e29b-41d4-a716-446655440000".parse().unwrap(),
            day: day.parse().unwrap(),
            app_id: "chat".parse().unwrap(),
            model_label: label.parse().unwrap(),
        };
        let mut report = RepriceReport { examined: 14, changed: 13, unchanged: 1, ..RepriceReport::default() };
        let dearer = RepriceAmounts { old: counters(12, 0), new: counters(12, 12_345_678_900_000) };
        let cheaper = RepriceAmounts { old: counters(1, 3_000_000), new: counters(1, 1_000_000) };
        report.groups.insert(group("2026-01-22", "premium"), dearer);
        report.groups.insert(group("2026-01-23", "economy"), cheaper);
        let expected = "\
organization                          day         application  label    records   old USD    new USD  difference USD  drift USD
550e8400-e29b-41d4-a716-446655440000  2026-01-22  chat         premium       12  0.000000  12.345679      +12.345679   0.000000
550e8400-e29b-41d4-a716-446655440000  2026-01-23  chat         economy        1  0.000003   0.000001       -0.000002   0.000000
total                                                                        13  0.000003  12.345680      +12.345677   0.000000

14 unpriced or estimated records: 13 to correct, 1 unchanged
dry run: nothing was changed; --apply carries it out
";
        assert_eq!(table(&report).unwrap(), expected);
        let nothing = RepriceReport { applied: true, ..RepriceReport::default() };
        let text = table(&nothing).unwrap();
        assert_eq!(text, "0 unpriced or estimated records: 0 corrected, 0 unchanged\ndone\n");
    }
}
