//! What of a publication is believed. A publication is judged as a whole before any of it counts: a wrong price is
//! worse than an old one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::super::book::{PriceBook, RowQuery};
use super::super::model_id::ModelRef;
use super::super::rates::{RateCard, Rates};
use super::super::scope::PriceScope;
use super::list::{CardKey, Group, ListRow, PriceList, Route};
use super::parse::Publication;

/// A price that changed by more than this factor, up or down, is not believed.
const MAX_JUMP: u128 = 5;

/// What a publication is measured by.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Fewest rows of a publication; AWS publishes thousands.
    pub min_rows: usize,
    /// How long a row stays in force that newer publications no longer have.
    pub keep_for: SignedDuration,
}

/// Why the new prices of one model are not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quarantine {
    /// Two prices for one thing.
    Contradiction,
    /// Prices without input or output.
    Incomplete,
    /// Long prompts cost more, but nobody says from which length on.
    LongPromptUnknown,
    /// The higher price of long prompts is gone without a word.
    LongPromptLost,
    /// A price changed by more than a factor of five.
    Jump,
}

impl Quarantine {
    /// For logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Contradiction => "contradiction",
            Self::Incomplete => "incomplete",
            Self::LongPromptUnknown => "long_prompt_unknown",
            Self::LongPromptLost => "long_prompt_lost",
            Self::Jump => "jump",
        }
    }
}

/// Why a publication is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No publication date.
    #[error("it has no publication date")]
    Undated,
    /// Older than what is in force.
    #[error("it is of {published}, older than {in_force}, which is in force")]
    Older {
        /// Its publication date.
        published: String,
        /// That of the list in force.
        in_force: String,
    },
    /// Hardly any row.
    #[error("it has only {rows} usable rows, expected at least {min}")]
    TooFew {
        /// Usable rows.
        rows: usize,
        /// Fewest rows.
        min: usize,
    },
    /// Much less than the previous one.
    #[error("it has {rows} usable rows, the one before had {before}")]
    Shrunk {
        /// Usable rows.
        rows: usize,
        /// Rows of the previous publication.
        before: usize,
    },
    /// Most models are in quarantine.
    #[error("the prices of {quarantined} of {models} models are not believable")]
    MostlyQuarantined {
        /// Models in quarantine.
        quarantined: usize,
        /// Models in it.
        models: usize,
    },
}

/// A believed publication, merged with what it leaves in force.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The list to put in force.
    pub list: PriceList,
    /// Why models of the publication stay at their old prices.
    pub quarantined: BTreeMap<Box<str>, Quarantine>,
    /// Rows that are no longer published and stay in force for a while.
    pub kept: usize,
}

/// Judges a publication against the list in force and the embedded prices.
///
/// # Errors
/// [`Refusal`]: nothing of it may count.
pub fn validate(
    publication: Publication,
    previous: Option<&PriceList>,
    embedded: &PriceBook,
    limits: Limits,
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    let Publication { version, groups, suspects, .. } = publication;
    let version = version.ok_or(Refusal::Undated)?;
    let rows = groups.values().map(Vec::len).sum();
    if let Some(previous) = previous {
        if date(&version) < date(&previous.version) {
            return Err(Refusal::Older { published: version.to_string(), in_force: previous.version.to_string() });
        }
        let before = published_rows(previous);
        // A third of everything does not retire in a day.
        if rows * 3 < before * 2 {
            return Err(Refusal::Shrunk { rows, before });
        }
    }
    if rows < limits.min_rows {
        return Err(Refusal::TooFew { rows, min: limits.min_rows });
    }
    let models = groups.len();
    let mut merged = Merge { previous, embedded, keep_since: saturating_ago(now, limits.keep_for), now, kept: 0 };
    let mut list = PriceList { version, groups: BTreeMap::new(), quarantined: BTreeSet::new() };
    let mut quarantined = BTreeMap::new();
    for (model, rows) in groups {
        let reason = suspects.get(&model).copied().or_else(|| merged.judge(&model, &rows));
        let group = match reason {
            Some(reason) => {
                quarantined.insert(model.clone(), reason);
                merged.old(&model)
            }
            None if rows.is_empty() => merged.old(&model),
            None => Some(Group { version: list.version.clone(), rows: merged.with_kept(&model, rows) }),
        };
        if let Some(group) = group {
            list.groups.insert(model, group);
        }
    }
    if quarantined.len() * 2 > models {
        return Err(Refusal::MostlyQuarantined { quarantined: quarantined.len(), models });
    }
    for model in previous.into_iter().flat_map(|previous| previous.groups.keys()) {
        if !list.groups.contains_key(model)
            && !quarantined.contains_key(model)
            && let Some(group) = merged.old(model)
        {
            merged.kept += group.rows.len();
            list.groups.insert(model.clone(), group);
        }
    }
    list.quarantined = quarantined.keys().cloned().collect();
    Ok(Accepted { list, quarantined, kept: merged.kept })
}

fn date(version: &str) -> Option<Timestamp> {
    version.parse().ok()
}

fn saturating_ago(now: Timestamp, time: SignedDuration) -> Timestamp {
    now.checked_sub(time).unwrap_or(Timestamp::MIN)
}

/// Rows of the last publication alone, without those kept from earlier ones.
fn published_rows(list: &PriceList) -> usize {
    let rows = || list.groups.values().flat_map(|group| &group.rows);
    let last = rows().map(|row| row.seen).max();
    rows().filter(|row| Some(row.seen) == last).count()
}

struct Merge<'a> {
    previous: Option<&'a PriceList>,
    embedded: &'a PriceBook,
    keep_since: Timestamp,
    now: Timestamp,
    kept: usize,
}

impl Merge<'_> {
    fn old_rows(&self, model: &str) -> &[ListRow] {
        self.previous.and_then(|previous| previous.groups.get(model)).map_or(&[], |group| &group.rows)
    }

    /// The group as it was, without rows that nobody has published for long.
    fn old(&self, model: &str) -> Option<Group> {
        let group = self.previous?.groups.get(model)?;
        let rows: Vec<_> = group.rows.iter().filter(|row| row.seen >= self.keep_since).cloned().collect();
        (!rows.is_empty()).then(|| Group { version: group.version.clone(), rows })
    }

    /// New rows, and the old ones they do not replace: what is missing in a publication must not change a price, and a
    /// price that counts from tomorrow leaves today's in force.
    fn with_kept(&mut self, model: &str, mut rows: Vec<ListRow>) -> Vec<ListRow> {
        let in_force: BTreeSet<CardKey> =
            rows.iter().filter(|row| row.card.in_force(self.now)).map(ListRow::key).collect();
        let published = rows.len();
        for old in self.old_rows(model) {
            let replaced = in_force.contains(&old.key())
                || rows.iter().any(|row| row.key() == old.key() && row.card.effective_from == old.card.effective_from);
            if !replaced && old.seen >= self.keep_since {
                rows.push(old.clone());
            }
        }
        self.kept += rows.len() - published;
        rows
    }

    /// Compares with the prices in force: the list's own, or for a row it does not have the embedded ones.
    fn judge(&self, model: &str, rows: &[ListRow]) -> Option<Quarantine> {
        rows.iter().find_map(|row| {
            let old =
                self.card_in_force(self.old_rows(model), &row.key()).or_else(|| self.embedded_card(model, row))?;
            if jumps(&old.base, &row.card.base) {
                return Some(Quarantine::Jump);
            }
            match (old.above.first(), row.card.above.first()) {
                (Some((_, old)), Some((_, new))) => jumps(old, new).then_some(Quarantine::Jump),
                (Some(_), None) => Some(Quarantine::LongPromptLost),
                (None, _) => None,
            }
        })
    }

    fn card_in_force<'r>(&self, rows: &'r [ListRow], key: &CardKey) -> Option<&'r RateCard> {
        let cards = rows.iter().filter(|row| row.key() == *key).map(|row| &row.card);
        cards.filter(|card| card.in_force(self.now)).max_by_key(|card| card.effective_from)
    }

    fn embedded_card(&self, model: &str, row: &ListRow) -> Option<&RateCard> {
        let scope = match row.route {
            Route::Global => PriceScope::Global,
            Route::Regional | Route::Geo => PriceScope::InRegion,
        };
        let query = RowQuery {
            model: ModelRef { model, scope, region: Some(&row.region) },
            region: None,
            tier: row.card.tier,
            latency: row.card.latency,
            at: self.now,
        };
        self.embedded.find(&query).filter(|found| !found.stand_ins.any()).map(|found| found.card)
    }
}

/// Whether any price that both have changed by more than [`MAX_JUMP`]; from and to zero is a jump as well.
fn jumps(old: &Rates, new: &Rates) -> bool {
    let pairs = [
        (old.input, new.input),
        (old.output, new.output),
        (old.cache_read, new.cache_read),
        (old.cache_write_5m, new.cache_write_5m),
        (old.cache_write_1h, new.cache_write_1h),
    ];
    pairs.into_iter().any(|pair| match pair {
        (Some(old), Some(new)) => {
            let (old, new) = (u128::from(old), u128::from(new));
            old * MAX_JUMP < new || new * MAX_JUMP < old
        }
        _ => false,
    })
}
