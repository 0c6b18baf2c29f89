//! Daily totals of a file, a batch of one organization at a time.

use super::compare::{Matching, counter_differences, key_of};
use super::export::TOTALS_PAGE;
use super::import::{ImportError, Mode, resource};
use super::lines::MovedTotal;
use super::report::MoveReport;
use crate::domain::ids::{OrgId, Scope};
use crate::domain::usage::Counters;
use crate::service::Services;
use crate::service::error::ServiceError;
use crate::storage::{Breakdown, DailyTotal, DailyTotalKey, TotalImport};

/// Totals that were read and are still to be looked at.
pub(super) struct Totals<'a> {
    services: &'a Services,
    mode: Mode,
    org_id: Option<OrgId>,
    batch: Vec<DailyTotal>,
    max_batch: usize,
    /// The last total before the batch.
    before: Option<DailyTotalKey>,
}

impl<'a> Totals<'a> {
    pub(super) fn new(services: &'a Services, mode: Mode) -> Self {
        let max_batch = services.storage.ingest_limits().max_batch.min(TOTALS_PAGE as usize);
        Self { services, mode, org_id: None, batch: Vec::with_capacity(max_batch), max_batch, before: None }
    }

    /// The totals of this organization come next.
    pub(super) async fn begin(&mut self, org_id: OrgId, report: &mut MoveReport) -> Result<(), ImportError> {
        self.flush(report).await?;
        (self.org_id, self.before) = (Some(org_id), None);
        Ok(())
    }

    /// The next total of the organization.
    pub(super) async fn add(&mut self, total: MovedTotal, report: &mut MoveReport) -> Result<(), ImportError> {
        if self.mode == Mode::Check {
            return Ok(());
        }
        self.batch.push(total.into_total());
        if self.batch.len() >= self.max_batch { self.flush(report).await } else { Ok(()) }
    }

    /// Looks at what was collected.
    pub(super) async fn flush(&mut self, report: &mut MoveReport) -> Result<(), ImportError> {
        let mut batch = std::mem::take(&mut self.batch);
        let (Some(org_id), Some(last)) = (self.org_id, batch.last()) else { return Ok(()) };
        let last = key_of(last);
        if self.mode == Mode::Apply {
            self.take_over(org_id, &batch, report).await?;
        } else {
            for (total, here) in batch.iter().zip(self.here(org_id, &batch).await?) {
                match here {
                    None => report.totals.new += 1,
                    here => compare(org_id, total, here, report),
                }
            }
        }
        self.before = Some(last);
        batch.clear();
        self.batch = batch;
        Ok(())
    }

    async fn take_over(&self, org_id: OrgId, batch: &[DailyTotal], report: &mut MoveReport) -> Result<(), ImportError> {
        let outcomes = self.services.storage.import_totals(org_id, batch).await?;
        if outcomes.len() != batch.len() {
            return Err(ServiceError::Internal("the store did not answer for every total".to_owned()).into());
        }
        let mut present = Vec::new();
        for (total, outcome) in batch.iter().zip(outcomes) {
            match outcome {
                TotalImport::Imported => report.totals.new += 1,
                TotalImport::Overflow => report.overflowing.add(name(org_id, total)),
                TotalImport::Present => present.push(total.clone()),
            }
        }
        if present.is_empty() {
            return Ok(());
        }
        let mut here = self.here(org_id, &present).await?;
        if self.services.storage.consolidates() {
            // What an import counted that was interrupted may not be in the totals yet.
            let differs = |(total, here): &(&DailyTotal, &Option<Counters>)| here.as_ref() != Some(&total.counters);
            let mut days: Vec<_> = present.iter().zip(&here).filter(differs).map(|(total, _)| total.day).collect();
            days.dedup();
            for day in &days {
                self.services.storage.consolidate(org_id, *day).await?;
            }
            if !days.is_empty() {
                here = self.here(org_id, &present).await?;
            }
        }
        for (total, here) in present.iter().zip(here) {
            compare(org_id, total, here, report);
        }
        Ok(())
    }

    /// What the store has of totals that follow each other in the file, page by page.
    async fn here(&self, org_id: OrgId, batch: &[DailyTotal]) -> Result<Vec<Option<Counters>>, ImportError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(Vec::new()) };
        let days = first.day..=last.day;
        // Totals of the same day before the batch were looked at with the batch before.
        let mut after = self.before.clone().filter(|before| before.day == first.day);
        let mut matching = Matching::new(batch);
        while !matching.is_complete() {
            let page = self
                .services
                .storage
                .daily_totals(org_id, Breakdown::EveryApp, days.clone(), after.as_ref(), TOTALS_PAGE)
                .await?;
            matching.page(&page);
            if page.len() < TOTALS_PAGE as usize {
                break;
            }
            after = page.last().map(key_of);
        }
        Ok(matching.finish())
    }
}

fn compare(org_id: OrgId, total: &DailyTotal, here: Option<Counters>, report: &mut MoveReport) {
    let differences = match here {
        None => "it cannot be read here".to_owned(),
        Some(here) => counter_differences(&here, &total.counters),
    };
    if differences.is_empty() {
        report.totals.unchanged += 1;
    } else {
        report.differing.add(format!("{}: {differences}", name(org_id, total)));
    }
}

fn name(org_id: OrgId, total: &DailyTotal) -> String {
    let scope = Scope { org_id, app_id: total.app_id.clone() };
    format!("{} {} {}", resource(&scope), total.day, total.model_label)
}
