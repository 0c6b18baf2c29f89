//! Every key of usage records, counters and totals.

use super::attributes::corrupt;
use super::keys::{FALLBACK_MARK, Key, fallback, totals_prefix};
use super::tables::Table;
use crate::domain::calendar::{Day, Month};
use crate::domain::ids::{AppId, ModelLabel, OrgId, Scope};
use crate::domain::usage::{UsageKey, UsageRecord};
use crate::storage::contract::{RepricePosition, Result};

/// Most shards of an organization's counters, and how many it has as long as nobody said.
pub(super) const MAX_SHARDS: u8 = 64;

/// Sorts after every id, label and digit, and so ends a range of keys.
pub(super) const LAST: &str = "~";

/// A usage record, which is its own dedup key.
pub(super) fn usage(key: &UsageKey) -> Key {
    Key::new(Table::Usage, format!("U#{}#{}#{}", key.org_id, key.app_id, key.request_id), "U")
}

/// Whose record an item of this partition is.
pub(super) fn usage_parts(pk: &str) -> Result<UsageKey> {
    let unreadable = || corrupt("usage.pk");
    let mut parts = pk.strip_prefix("U#").ok_or_else(unreadable)?.split('#');
    let key = UsageKey {
        org_id: parts.next().and_then(|part| part.parse().ok()).ok_or_else(unreadable)?,
        app_id: parts.next().and_then(|part| part.parse().ok()).ok_or_else(unreadable)?,
        request_id: parts.next().and_then(|part| part.parse().ok()).ok_or_else(unreadable)?,
    };
    if parts.next().is_none() { Ok(key) } else { Err(unreadable()) }
}

/// Partitions that list repriceable records: one for each first digit of an organization's id, which sorts like the
/// ids themselves.
pub(super) fn pointer_partitions() -> impl Iterator<Item = String> {
    (0..16_u8).map(|digit| format!("R#{digit:x}"))
}

/// The partition that lists an organization's repriceable records.
pub(super) fn pointer_partition(org_id: OrgId) -> String {
    format!("R#{:x}", org_id.0.as_bytes().first().map_or(0, |byte| byte >> 4))
}

/// What the sort key of every pointer of an organization, from a day on, starts with or comes after.
pub(super) fn pointers_from(org_id: OrgId, day: Option<Day>) -> String {
    day.map_or_else(|| format!("{org_id}#"), |day| format!("{org_id}#{day}#"))
}

/// What every pointer of an organization, up to a day, comes before.
pub(super) fn pointers_to(org_id: OrgId, day: Option<Day>) -> String {
    format!("{}{LAST}", pointers_from(org_id, day))
}

/// The sort key of a position. Positions sort like their keys.
pub(super) fn pointer_sk(position: &RepricePosition) -> String {
    format!("{}#{}#{}#{}", position.org_id, position.day, position.app_id, position.request_id)
}

/// What says that a record is repriceable, and where it stands.
pub(super) fn pointer(record: &UsageRecord) -> Key {
    Key::new(Table::Usage, pointer_partition(record.org_id), pointer_sk(&RepricePosition::of(record)))
}

/// The inverse of [`pointer_sk`].
pub(super) fn pointer_parts(sk: &str) -> Result<RepricePosition> {
    let unreadable = || corrupt("usage.sk");
    let mut parts = sk.splitn(4, '#');
    Ok(RepricePosition {
        org_id: parts.next().and_then(|part| part.parse().ok()).ok_or_else(unreadable)?,
        day: parts.next().and_then(|part| part.parse().ok()).ok_or_else(unreadable)?,
        app_id: parts.next().and_then(|part| part.parse().ok()).ok_or_else(unreadable)?,
        request_id: parts.next().and_then(|part| part.parse().ok()).ok_or_else(unreadable)?,
    })
}

/// The partition of one shard of an organization's counters of a day.
pub(super) fn counter_partition(org_id: OrgId, day: Day, shard: u8) -> String {
    format!("{org_id}#{day}#{shard:02}")
}

/// One counter: a shard of an application's day and label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CounterKey {
    pub(super) org_id: OrgId,
    pub(super) day: Day,
    pub(super) app_id: AppId,
    pub(super) label: ModelLabel,
    pub(super) shard: u8,
}

impl CounterKey {
    /// The counter of a record's key in a shard.
    pub(super) fn of(record: &UsageRecord, shard: u8) -> Self {
        Self {
            org_id: record.org_id,
            day: record.day,
            app_id: record.app_id.clone(),
            label: record.model_label.clone(),
            shard,
        }
    }

    pub(super) fn key(&self) -> Key {
        let partition = counter_partition(self.org_id, self.day, self.shard);
        Key::new(Table::Counters, partition, format!("{}#{}", self.app_id, self.label))
    }
}

/// What was taken over from another store. It lies in the first shard, beside the counter of the same key.
pub(super) fn imported(org_id: OrgId, app_id: &AppId, label: &ModelLabel, day: Day) -> Key {
    Key::new(Table::Counters, counter_partition(org_id, day, 0), format!("{app_id}#{label}#import"))
}

/// Application and label of a counter's sort key.
pub(super) fn counter_parts(sk: &str) -> Result<(AppId, ModelLabel)> {
    let unreadable = || corrupt("counters.sk");
    let (app_id, label) = sk.strip_suffix("#import").unwrap_or(sk).split_once('#').ok_or_else(unreadable)?;
    Ok((app_id.parse().map_err(|_| unreadable())?, label.parse().map_err(|_| unreadable())?))
}

/// The partition of marks: days that changed although nobody would look at them any more.
pub(super) const MARKS: &str = "DIRTY";

/// The mark of a day.
pub(super) fn mark(org_id: OrgId, day: Day) -> Key {
    Key::new(Table::Counters, MARKS, format!("{org_id}#{day}"))
}

/// The day of a mark.
pub(super) fn mark_parts(sk: &str) -> Result<(OrgId, Day)> {
    let unreadable = || corrupt("counters.sk");
    let (org_id, day) = sk.split_once('#').ok_or_else(unreadable)?;
    Ok((org_id.parse().map_err(|_| unreadable())?, day.parse().map_err(|_| unreadable())?))
}

/// The partition of an organization's totals and fallback states.
pub(super) fn totals_partition(org_id: OrgId) -> String {
    org_id.to_string()
}

/// What the sort key of every total and fallback state of an organization's month starts with.
pub(super) fn month_prefix(month: Month) -> String {
    format!("{month}#")
}

/// The totals of one label in a month, one attribute per day. The organization's own have no application.
pub(super) fn total(org_id: OrgId, app_id: Option<&AppId>, label: &ModelLabel, month: Month) -> Key {
    Key::new(Table::Totals, totals_partition(org_id), format!("{}{label}", totals_prefix(&month.to_string(), app_id)))
}

/// The range of sort keys with everything a selection reads: a day's fallback state and every total of its month.
/// Fallback states of earlier days, which may not be deleted yet, are before it; later ones do not exist.
pub(super) fn selection_range(scope: &Scope, day: Day) -> (String, String) {
    let prefix = totals_prefix(&day.month().to_string(), scope.app_id.as_ref());
    (fallback(scope, day).sk, format!("{prefix}{LAST}"))
}

/// What the sort key of a total says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TotalParts {
    pub(super) month: Month,
    pub(super) app_id: Option<AppId>,
    pub(super) label: ModelLabel,
}

/// Reads the sort key of a total; `None` is a fallback state's.
pub(super) fn total_parts(sk: &str) -> Result<Option<TotalParts>> {
    let unreadable = || corrupt("totals.sk");
    let mut parts = sk.splitn(3, '#');
    let (Some(month), Some(app), Some(label)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(unreadable());
    };
    if label.starts_with(FALLBACK_MARK) {
        return Ok(None);
    }
    Ok(Some(TotalParts {
        month: month.parse().map_err(|_| unreadable())?,
        app_id: if app.is_empty() { None } else { Some(app.parse().map_err(|_| unreadable())?) },
        label: label.parse().map_err(|_| unreadable())?,
    }))
}

/// The attribute of a day in a month's totals: `d01` to `d31`.
pub(super) fn column(day: Day) -> String {
    format!("d{}", two_digits(day))
}

/// The day of an attribute of a month's totals; `None` where it is another attribute.
pub(super) fn column_day(month: Month, attribute: &str) -> Option<Day> {
    let digits = attribute.strip_prefix('d').filter(|digits| digits.len() == 2)?;
    format!("{month}-{digits}").parse().ok()
}

fn two_digits(day: Day) -> String {
    let text = day.to_string();
    text.rsplit_once('-').map_or_else(String::new, |(_, digits)| digits.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::ids::RequestId;
    use uuid::Uuid;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn position() -> impl Strategy<Value = RepricePosition> {
        let id = prop_oneof![0..4_u128, Just(1 << 124), Just(1 << 127), Just(u128::MAX)];
        let days = prop_oneof![Just("2025-12-31"), Just("2026-01-01"), Just("2026-01-10")];
        (id.clone(), days, "[A-Za-z0-9][A-Za-z0-9._-]{0,3}", id).prop_map(|(org, on, app, request)| RepricePosition {
            org_id: OrgId(Uuid::from_u128(org)),
            day: day(on),
            app_id: app.parse().unwrap(),
            request_id: RequestId(Uuid::from_u128(request)),
        })
    }

    proptest! {
        #[test]
        fn pointers_sort_like_positions_and_survive_a_round_trip(left in position(), right in position()) {
            let sorts = |position: &RepricePosition| (pointer_partition(position.org_id), pointer_sk(position));
            prop_assert_eq!(sorts(&left).cmp(&sorts(&right)), left.cmp(&right));
            let read = pointer_parts(&pointer_sk(&left)).unwrap();
            prop_assert_eq!(&read, &left);
            prop_assert!(pointer_partitions().any(|partition| partition == pointer_partition(left.org_id)));
            let sk = pointer_sk(&left);
            for (from, to) in [(None, None), (Some(left.day), Some(left.day))] {
                prop_assert!(pointers_from(left.org_id, from) < sk && sk < pointers_to(left.org_id, to));
            }
            prop_assert!(left.day.previous().is_none_or(|before| pointers_to(left.org_id, Some(before)) < sk));
            prop_assert!(left.day.next().is_none_or(|next| sk < pointers_from(left.org_id, Some(next))));
        }

        #[test]
        fn totals_sort_by_month_application_and_label_and_selections_read_only_their_own(
            left in position(), right in position(), label in "[a-z][a-z0-9_-]{0,3}", other in "[a-z][a-z0-9_-]{0,3}"
        ) {
            let parts = |position: &RepricePosition, label: &str| TotalParts {
                month: position.day.month(),
                app_id: Some(position.app_id.clone()),
                label: label.parse().unwrap(),
            };
            let sk = |parts: &TotalParts| total(left.org_id, parts.app_id.as_ref(), &parts.label, parts.month).sk;
            let (one, two) = (parts(&left, &label), parts(&right, &other));
            let order = |parts: &TotalParts| (parts.month, parts.app_id.clone(), parts.label.clone());
            prop_assert_eq!(sk(&one).cmp(&sk(&two)), order(&one).cmp(&order(&two)));
            prop_assert_eq!(total_parts(&sk(&one)).unwrap(), Some(one.clone()));
            let scope = Scope::app(left.org_id, left.app_id.clone());
            let (from, to) = selection_range(&scope, left.day);
            let reads = |sk: &str| from.as_str() <= sk && sk <= to.as_str();
            prop_assert!(reads(&sk(&one)) && reads(&fallback(&scope, left.day).sk));
            prop_assert_eq!(reads(&sk(&two)), (one.month, one.app_id) == (two.month, two.app_id));
            prop_assert_eq!(total_parts(&fallback(&scope, left.day).sk).unwrap(), None);
        }

        #[test]
        fn a_usage_key_and_a_counter_key_survive_a_round_trip(position in position(), label in "[a-z][a-z0-9_-]{0,3}") {
            let label: ModelLabel = label.parse().unwrap();
            let key = UsageKey {
                org_id: position.org_id,
                app_id: position.app_id.clone(),
                request_id: position.request_id,
            };
            prop_assert_eq!(usage_parts(&usage(&key).pk).unwrap(), key);
            let counter = CounterKey {
                org_id: position.org_id,
                day: position.day,
                app_id: position.app_id.clone(),
                label: label.clone(),
                shard: 7,
            };
            let parts = (position.app_id.clone(), label.clone());
            let import = imported(position.org_id, &position.app_id, &label, position.day);
            for sk in [&counter.key().sk, &import.sk] {
                prop_assert_eq!(&counter_parts(sk).unwrap(), &parts);
            }
            prop_assert_ne!(import.sk, counter.key().sk);
            let mark = mark(position.org_id, position.day);
            prop_assert_eq!(mark_parts(&mark.sk).unwrap(), (position.org_id, position.day));
        }
    }

    #[test]
    fn an_organizations_own_totals_are_apart_from_every_applications() {
        let org_id = OrgId(Uuid::from_u128(7));
        let month = day("2026-01-23").month();
        let own = total(org_id, None, &"premium".parse().unwrap(), month);
        assert_eq!(own.sk, "2026-01##premium");
        assert_eq!(total_parts(&own.sk).unwrap().unwrap().app_id, None);
        let (from, to) = selection_range(&Scope::org(org_id), day("2026-01-23"));
        assert_eq!((from.as_str(), to.as_str()), ("2026-01##!23", "2026-01##~"));
        assert!(to < totals_prefix("2026-01", Some(&"0".parse().unwrap())));
    }

    #[test]
    fn a_column_belongs_to_a_day_of_its_month() {
        let month = day("2026-02-01").month();
        assert_eq!(column(day("2026-02-05")), "d05");
        assert_eq!(column_day(month, "d05"), Some(day("2026-02-05")));
        for other in ["d30", "d00", "dr", "d5", "d005", "expires", "pk"] {
            assert_eq!(column_day(month, other), None, "{other}");
        }
    }

    #[test]
    fn what_no_writer_of_ours_left_is_reported_and_not_guessed() {
        for pk in ["", "U#", "U#x#shop#y", "R#0"] {
            assert!(usage_parts(pk).is_err(), "{pk}");
        }
        assert!(pointer_parts("x").is_err() && counter_parts("shop").is_err() && mark_parts("x").is_err());
        assert!(total_parts("2026-01").is_err() && total_parts("2026-13##premium").is_err());
    }
}
