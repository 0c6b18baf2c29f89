//! The simulated day as text: plain, aligned, one line for each thing worth telling.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::client::Selection;
use crate::cli::CommandError;
use crate::clock::{Clock, ManualClock};
use crate::domain::calendar::Calendar;

/// Dollars with the given number of decimals, at most 6; what lies below is cut off.
pub(super) fn usd(micros: u64, decimals: u32) -> String {
    let unit = 10_u64.pow(6 - decimals.min(6));
    let (dollars, rest) = (micros / 1_000_000, micros % 1_000_000 / unit);
    format!("${dollars}.{rest:0width$}", width = usize::try_from(decimals).unwrap_or(6))
}

/// Where the story is told.
pub(super) struct Timeline<'a> {
    out: &'a mut dyn Write,
    clock: Arc<ManualClock>,
    calendar: Calendar,
    pause: Duration,
}

impl<'a> Timeline<'a> {
    /// Tells on `out` with local times of `timezone`, and rests after each line of the day.
    pub(super) fn new(
        out: &'a mut dyn Write,
        clock: Arc<ManualClock>,
        timezone: &str,
        pause: Duration,
    ) -> Result<Self, CommandError> {
        Ok(Self { out, clock, calendar: Calendar::new(timezone)?, pause })
    }

    /// The simulated local time, `HH:MM`.
    fn time(&self) -> String {
        let local = self.calendar.local_time(self.clock.now());
        local.get(11..16).unwrap_or_default().to_owned()
    }

    /// A line of its own.
    pub(super) fn line(&mut self, text: &str) -> Result<(), CommandError> {
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// The head of the columns that [`row`](Self::row) fills.
    pub(super) fn head(&mut self) -> Result<(), CommandError> {
        self.line("")?;
        self.line("time   application    use       because                   spent today  of quota     used  mode")?;
        self.line("-----  -------------  --------  ------------------------  -----------  --------  -------  ------")
    }

    /// What a model selection answered.
    pub(super) async fn row(&mut self, app: &str, selection: &Selection) -> Result<(), CommandError> {
        let (model, quota) = (&selection.recommended_model, &selection.quota_status);
        let row = format!(
            "{:5}  {app:13}  {:8}  {:24}  {:>11}  {:>8}  {:6.2}%  {}",
            self.time(),
            model.label,
            model.reason,
            usd(quota.spend_usd_micros, 4),
            usd(quota.quota_usd_micros, 2),
            quota.quota_pct,
            quota.mode,
        );
        self.line(&row)?;
        self.rest().await;
        Ok(())
    }

    /// Something else that happened.
    pub(super) async fn note(&mut self, app: &str, text: &str) -> Result<(), CommandError> {
        let note = format!("{:5}  {app:13}  * {text}", self.time());
        self.line(&note)?;
        self.rest().await;
        Ok(())
    }

    async fn rest(&mut self) {
        // A pipe is not flushed line by line; who watches one should see the day pass as well.
        let _ = self.out.flush();
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_cut_to_the_decimals_asked_for() {
        assert_eq!(usd(1_234_567, 4), "$1.2345");
        assert_eq!(usd(2_000_000, 2), "$2.00");
        assert_eq!(usd(7, 6), "$0.000007");
    }
}
