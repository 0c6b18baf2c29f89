//! Every key of the config table, and what a key is.
//!
//! `#` sorts before every character an application id or a label may contain, so keys put together with it sort like
//! their parts. An organization is its id as a lower-case hyphenated UUID, which sorts like its bytes.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use uuid::Uuid;

use super::attributes::{Item, corrupt, s, text};
use super::tables::Table;
use crate::domain::audit::AuditPosition;
use crate::domain::calendar::Day;
use crate::domain::ids::{AppId, ClientId, ModelLabel, OrgId, Scope};
use crate::storage::contract::{Result, Revocation};

/// The partition key of every table.
pub(super) const PK: &str = "pk";
/// The sort key of every table.
pub(super) const SK: &str = "sk";
/// The attribute of every table by which DynamoDB deletes.
pub(super) const EXPIRES: &str = "expires";

/// Where an item is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) table: Table,
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    pub(super) fn new(table: Table, pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { table, pk: pk.into(), sk: sk.into() }
    }

    /// The key as attributes.
    pub(super) fn attributes(&self) -> HashMap<String, AttributeValue> {
        HashMap::from([(PK.to_owned(), s(self.pk.as_str())), (SK.to_owned(), s(self.sk.as_str()))])
    }

    /// The key of an item that was read from a table.
    pub(super) fn of(table: Table, item: &Item) -> Result<Self> {
        Ok(Self::new(table, text(item, PK)?, text(item, SK)?))
    }
}

fn config(pk: impl Into<String>, sk: impl Into<String>) -> Key {
    Key::new(Table::Config, pk, sk)
}

/// The partition of an organization: itself, its applications and their profiles.
pub(super) fn org_partition(org_id: OrgId) -> String {
    format!("ORG#{org_id}")
}

/// An organization.
pub(super) fn org(org_id: OrgId) -> Key {
    config(org_partition(org_id), "ORG")
}

/// The largest shard count an organization of this id ever had. Outlives it: counters of a former life must be found.
pub(super) fn shards(org_id: OrgId) -> Key {
    config(org_partition(org_id), "SHARDS")
}

/// What the sort key of an application starts with.
pub(super) const APP_PREFIX: &str = "APP#";

/// An application.
pub(super) fn app(org_id: OrgId, app_id: &AppId) -> Key {
    config(org_partition(org_id), format!("{APP_PREFIX}{app_id}"))
}

/// What the sort key of any profile of an organization starts with.
pub(super) const PROFILE_PREFIX: &str = "PROFILE#";

/// What the sort key of a profile of an application starts with.
pub(super) fn profile_prefix(app_id: &AppId) -> String {
    format!("{PROFILE_PREFIX}{app_id}#")
}

/// An inference profile.
pub(super) fn profile(org_id: OrgId, app_id: &AppId, label: &ModelLabel) -> Key {
    config(org_partition(org_id), format!("{}{label}", profile_prefix(app_id)))
}

/// Application and label of a profile's sort key.
pub(super) fn profile_parts(sk: &str) -> Result<(AppId, ModelLabel)> {
    let unreadable = || corrupt("config.sk");
    let (app_id, label) =
        sk.strip_prefix(PROFILE_PREFIX).and_then(|rest| rest.split_once('#')).ok_or_else(unreadable)?;
    Ok((app_id.parse().map_err(|_| unreadable())?, label.parse().map_err(|_| unreadable())?))
}

/// The partition that lists organizations.
pub(super) const ORGS: &str = "ORGS";

/// An organization's entry in the list.
pub(super) fn org_entry(org_id: OrgId) -> Key {
    config(ORGS, org_id.to_string())
}

/// The partition of a client: its credential and its sealed secrets.
pub(super) fn client_partition(client_id: &ClientId) -> String {
    format!("CLIENT#{client_id}")
}

/// A client's credential.
pub(super) fn credential(client_id: &ClientId) -> Key {
    config(client_partition(client_id), "CREDENTIAL")
}

/// A client's sealed secret, by the hash of its retrieval token.
pub(super) fn secret(client_id: &ClientId, token_hash: &[u8; 32]) -> Key {
    config(client_partition(client_id), format!("SECRET#{}", hex(token_hash)))
}

/// A revoked token or session.
pub(super) fn revocation(revocation: Revocation) -> Key {
    let (kind, id): (_, Uuid) = match revocation {
        Revocation::Token(id) => ("TOKEN", id),
        Revocation::Session(id) => ("SESSION", id),
    };
    config(format!("REVOKED#{kind}#{}", id.as_hyphenated()), "-")
}

/// The partition that tells about price lists.
pub(super) const PRICES: &str = "PRICES";

/// What the price list in force is, and where its parts are.
pub(super) fn price_head() -> Key {
    config(PRICES, "HEAD")
}

/// What the sort key of a set of parts starts with.
pub(super) const PRICE_SET_PREFIX: &str = "SET#";

/// A set of parts that somebody began to write.
pub(super) fn price_set(set: &str) -> Key {
    config(PRICES, format!("{PRICE_SET_PREFIX}{set}"))
}

/// The partition of a price list's parts.
pub(super) fn price_partition(set: &str) -> String {
    format!("PRICES#{set}")
}

/// A part of a price list. Parts sort by number: there are far fewer than ten thousand.
pub(super) fn price_part(set: &str, number: usize) -> Key {
    config(price_partition(set), format!("{number:04}"))
}

/// The fallback state of a scope on a day, among the totals of its month: one query reads both. `!` sorts before every
/// label and is part of none.
pub(super) fn fallback(scope: &Scope, day: Day) -> Key {
    let day_text = day.to_string();
    let day_of_month = day_text.rsplit_once('-').map_or("", |(_, day)| day);
    Key::new(
        Table::Totals,
        scope.org_id.to_string(),
        format!("{}{FALLBACK_MARK}{day_of_month}", totals_prefix(&day.month().to_string(), scope.app_id.as_ref())),
    )
}

/// What tells a fallback state from a label.
pub(super) const FALLBACK_MARK: char = '!';

/// What the sort keys of a month's totals and fallback states of one scope start with; the organization is `''`.
pub(super) fn totals_prefix(month: &str, app_id: Option<&AppId>) -> String {
    format!("{month}#{}#", app_id.map_or("", AppId::as_str))
}

/// The partition of an organization's audit trail; `None` is everybody's.
///
/// One partition takes several hundred events a second, far more than there are, and has no bound in size.
pub(super) fn audit_partition(org_id: Option<OrgId>) -> String {
    org_id.map_or_else(|| "AUDIT".to_owned(), |org_id| format!("AUDIT#{org_id}"))
}

/// An event of the audit trail.
pub(super) fn audit_event(org_id: Option<OrgId>, position: AuditPosition) -> Key {
    config(audit_partition(org_id), audit_sk(position))
}

/// The sort key of a position. Positions sort like their keys.
pub(super) fn audit_sk(position: AuditPosition) -> String {
    format!("{}#{}", audit_instant(position.at), position.id.as_hyphenated())
}

/// What the sort key of every event at an instant starts with, and that of every later one comes after.
pub(super) fn audit_instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The position of a sort key.
pub(super) fn audit_position(sk: &str) -> Result<AuditPosition> {
    let unreadable = || corrupt("config.sk");
    let (at, id) = sk.split_once('#').ok_or_else(unreadable)?;
    Ok(AuditPosition { at: at.parse().map_err(|_| unreadable())?, id: id.parse().map_err(|_| unreadable())? })
}

/// The version of the schema.
pub(super) fn schema() -> Key {
    config("SCHEMA", "-")
}

/// Who leads consolidation.
pub(super) fn lease() -> Key {
    config("LEASE", "CONSOLIDATION")
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_sort_by_application_and_label() {
        let org_id: OrgId = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
        let sk = |app: &str, label: &str| profile(org_id, &app.parse().unwrap(), &label.parse().unwrap()).sk;
        let sorted = [sk("a", "x"), sk("a", "x-y"), sk("a", "x_y"), sk("a-b", "a"), sk("a.b", "a"), sk("ab", "a")];
        assert!(sorted.is_sorted(), "{sorted:?}");
        assert_eq!(profile_parts(&sk("a-b", "x_y")).unwrap(), ("a-b".parse().unwrap(), "x_y".parse().unwrap()));
        assert!(profile_parts("PROFILE#a").is_err() && profile_parts("APP#a").is_err());
    }

    #[test]
    fn an_id_sorts_like_its_bytes() {
        let ids = [1, 0x7f << 120, 1 << 127, u128::MAX].map(|n| OrgId(Uuid::from_u128(n)));
        assert!(ids.map(|id| org_entry(id).sk).is_sorted());
    }

    #[test]
    fn a_fallback_state_lies_among_the_totals_of_its_month() {
        let org_id = OrgId(Uuid::from_u128(1));
        let day: Day = "2026-01-05".parse().unwrap();
        let app = fallback(&Scope::app(org_id, "shop".parse().unwrap()), day);
        assert_eq!((app.pk, app.sk.as_str()), (org_id.to_string(), "2026-01#shop#!05"));
        assert_eq!(fallback(&Scope::org(org_id), day).sk, "2026-01##!05");
    }

    #[test]
    fn a_position_of_the_audit_trail_sorts_like_its_key_and_is_read_back() {
        let at = |text: &str, id: u128| AuditPosition { at: text.parse().unwrap(), id: Uuid::from_u128(id) };
        let positions = [
            at("1969-12-31T23:59:59.999Z", u128::MAX),
            at("1970-01-01T00:00:00Z", 1),
            at("2026-01-23T12:00:00Z", 0x7f << 120),
            at("2026-01-23T12:00:00Z", 1 << 127),
            at("2026-01-23T12:00:00.001Z", 0),
            at("2026-01-23T12:00:00.010Z", 0),
            at("9999-12-30T12:00:00.100Z", 0),
        ];
        assert!(positions.is_sorted() && positions.map(audit_sk).is_sorted(), "{:?}", positions.map(audit_sk));
        for position in positions {
            assert_eq!(audit_position(&audit_sk(position)).unwrap(), position);
            assert!(audit_instant(position.at) < audit_sk(position));
        }
        for unreadable in ["", "2026-01-23T12:00:00.000Z", "x#y", "2026-01-23T12:00:00.000Z#1"] {
            assert!(audit_position(unreadable).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }
}
