//! What an import came to.

use super::reader::Verified;

/// Most findings of a kind that are listed: enough to see what happened, and a bound for memory and screen.
pub const MAX_LISTED: usize = 20;

/// How many of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Were new and are here now, or with a dry run would be.
    pub new: u64,
    /// Were here already, with the same content.
    pub unchanged: u64,
}

/// What was found amiss.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// How often.
    pub count: u64,
    /// The first [`MAX_LISTED`] of them.
    pub first: Vec<String>,
}

impl Findings {
    pub(super) fn add(&mut self, finding: String) {
        self.count += 1;
        if self.first.len() < MAX_LISTED {
            self.first.push(finding);
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// What an import did, or with a dry run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveReport {
    /// Whether it was carried out.
    pub applied: bool,
    /// The file.
    pub file: Verified,
    /// Organizations.
    pub orgs: Tally,
    /// Applications.
    pub apps: Tally,
    /// Inference profiles.
    pub profiles: Tally,
    /// Daily totals.
    pub totals: Tally,
    /// Resources that are here with other content. Only a dry run reports them; else nothing is imported.
    pub conflicts: Findings,
    /// Daily totals that are here with other counters. They stay as they are.
    pub differing: Findings,
    /// Daily totals with which a sum would be too large to be counted. They were left out.
    pub overflowing: Findings,
}

impl MoveReport {
    pub(super) fn new(file: Verified, applied: bool) -> Self {
        Self {
            applied,
            file,
            orgs: Tally::default(),
            apps: Tally::default(),
            profiles: Tally::default(),
            totals: Tally::default(),
            conflicts: Findings::default(),
            differing: Findings::default(),
            overflowing: Findings::default(),
        }
    }

    /// Whether the store has, or would have, everything the file has.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.conflicts.is_empty() && self.differing.is_empty() && self.overflowing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_all_counted_and_the_first_are_listed() {
        let mut findings = Findings::default();
        for n in 0..1_000 {
            findings.add(n.to_string());
        }
        assert_eq!((findings.count, findings.first.len()), (1_000, MAX_LISTED));
        assert_eq!(findings.first.last().map(String::as_str), Some("19"));
    }
}
