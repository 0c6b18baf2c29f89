//! The lease that decides who consolidates: one item, so that idle instances cost nothing.

use jiff::Timestamp;

use super::attributes::{instant_of, ms, n, optional_instant, parsed, s};
use super::connect::DynamoDbStorage;
use super::keys;
use super::singles::Written;
use super::writes::Step;
use crate::storage::contract::{ConsolidationLease, ConsolidationProgress, Result};

impl DynamoDbStorage {
    /// Who leads; `None` where nobody ever did.
    pub(super) async fn read_lease(&self) -> Result<Option<ConsolidationLease>> {
        let Some(item) = self.get(&keys::lease(), true).await? else { return Ok(None) };
        let active_until = optional_instant(&item, "config.active_until")?;
        let all_until = optional_instant(&item, "config.all_until")?;
        let progress = active_until.zip(all_until);
        Ok(Some(ConsolidationLease {
            holder: parsed(&item, "config.holder")?,
            expires_at: instant_of(&item, "config.expires_ms")?,
            progress: progress.map(|(active_until, all_until)| ConsolidationProgress { active_until, all_until }),
        }))
    }

    /// Takes or renews the lease where nobody else holds an unexpired one. Progress that is not given stays: whoever
    /// takes over has none of its own yet.
    pub(super) async fn take_lease(&self, lease: &ConsolidationLease, now: Timestamp) -> Result<bool> {
        self.watermark.saw(now);
        let mut update = self
            .update(&keys::lease())
            .condition_expression("attribute_not_exists(pk) OR holder = :holder OR expires_ms <= :now")
            .expression_attribute_values(":holder", s(lease.holder.as_hyphenated().to_string()))
            .expression_attribute_values(":expires", ms(lease.expires_at))
            .expression_attribute_values(":now", n(now.as_millisecond()));
        update = match lease.progress {
            None => update.update_expression("SET holder = :holder, expires_ms = :expires"),
            Some(progress) => update
                .update_expression(
                    "SET holder = :holder, expires_ms = :expires, active_until = :active, all_until = :all",
                )
                .expression_attribute_values(":active", ms(progress.active_until))
                .expression_attribute_values(":all", ms(progress.all_until)),
        };
        // A repeat after a lost answer is the holder's own, which the condition admits.
        Ok(matches!(self.write_one(update.step()?).await?, Written::Done))
    }
}
