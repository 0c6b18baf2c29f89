//! Sticky fallback states. They lie among the totals of their month, so that a selection is one query.

use async_trait::async_trait;
use jiff::Timestamp;

use super::attributes::{Item, corrupt, epoch_secs, instant_of, item, ms, n, number, parsed, s, text};
use super::connect::DynamoDbStorage;
use super::keys::{self, EXPIRES};
use super::watermark::Watermark;
use super::writes::{Commit, Step};
use crate::domain::calendar::Day;
use crate::domain::ids::Scope;
use crate::domain::selection::{FallbackReason, FallbackState};
use crate::storage::contract::{FallbackSwap, Fallbacks, Result, SelectionState};

#[async_trait]
impl Fallbacks for DynamoDbStorage {
    async fn selection_state(&self, scope: &Scope, day: Day) -> Result<SelectionState> {
        let (totals, updated_at, state) = self.scope_page(scope, day).await?;
        Ok(SelectionState { totals, updated_at, fallback: in_force(&self.watermark, state.as_ref())? })
    }

    async fn fallback(&self, scope: &Scope, day: Day) -> Result<Option<FallbackState>> {
        let item = self.get(&keys::fallback(scope, day), true).await?;
        in_force(&self.watermark, item.as_ref())
    }

    async fn swap_fallback(
        &self,
        scope: &Scope,
        day: Day,
        next: &FallbackState,
        expires_at: Timestamp,
    ) -> Result<FallbackSwap> {
        let state = self.put(&keys::fallback(scope, day), attributes(next, expires_at));
        // A first state is stored where there is none, a later one replaces exactly its predecessor; what expired
        // counts as none.
        let now = self.watermark.now().unwrap_or(Timestamp::MIN);
        let state = state.expression_attribute_values(":now", ms(now));
        let state = match next.version.checked_sub(1) {
            None | Some(0) => state.condition_expression("attribute_not_exists(pk) OR expires_ms < :now"),
            Some(replaced) => state
                .condition_expression("ver = :replaced AND expires_ms >= :now")
                .expression_attribute_values(":replaced", n(replaced)),
        };
        match self.commit(vec![state.step()?]).await? {
            Commit::Done => Ok(FallbackSwap::Stored),
            Commit::Refused(refusals) => Ok(FallbackSwap::Lost(in_force(&self.watermark, refusals.item(0))?)),
        }
    }

    async fn clear_fallback(&self, scope: &Scope, day: Day) -> Result<()> {
        self.write_one(self.delete(&keys::fallback(scope, day)).step()?).await?;
        Ok(())
    }
}

fn attributes(state: &FallbackState, expires_at: Timestamp) -> Item {
    let mut attributes = item([
        ("label", s(state.model_label.as_str())),
        ("idx", n(state.model_index)),
        ("prev", s(state.previous_model_label.as_str())),
        ("at", ms(state.activated_at)),
        ("ver", n(state.version)),
        ("expires_ms", ms(expires_at)),
        (EXPIRES, n(epoch_secs(expires_at))),
    ]);
    let reason = match &state.reason {
        FallbackReason::QuotaExceeded(label) => {
            attributes.insert("reason_label".to_owned(), s(label.as_str()));
            "QUOTA_EXCEEDED"
        }
        FallbackReason::ManualOverride => "MANUAL_OVERRIDE",
    };
    attributes.insert("reason".to_owned(), s(reason));
    attributes
}

/// The state of an item, unless there is none or it expired.
fn in_force(watermark: &Watermark, item: Option<&Item>) -> Result<Option<FallbackState>> {
    let Some(item) = item else { return Ok(None) };
    if watermark.hides(instant_of(item, "totals.expires_ms")?) {
        return Ok(None);
    }
    let reason = match text(item, "totals.reason")? {
        "QUOTA_EXCEEDED" => FallbackReason::QuotaExceeded(parsed(item, "totals.reason_label")?),
        "MANUAL_OVERRIDE" => FallbackReason::ManualOverride,
        _ => return Err(corrupt("totals.reason")),
    };
    Ok(Some(FallbackState {
        model_label: parsed(item, "totals.label")?,
        model_index: number(item, "totals.idx")?,
        previous_model_label: parsed(item, "totals.prev")?,
        reason,
        activated_at: instant_of(item, "totals.at")?,
        version: number(item, "totals.ver")?,
    }))
}
