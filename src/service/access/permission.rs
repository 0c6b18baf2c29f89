//! What an access token permits.

/// What an access token permits, as its `scope` claim lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Read spend and quotas.
    ReadAggregates,
    /// Submit usage and costs.
    WriteCosts,
    /// Ask which model to use, and read the catalog.
    ReadModelSelection,
}

impl Permission {
    /// Every permission: what a client-credentials token carries.
    pub const ALL: [Self; 3] = [Self::ReadAggregates, Self::WriteCosts, Self::ReadModelSelection];

    /// As written in the claim.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadAggregates => "read:aggregates",
            Self::WriteCosts => "write:costs",
            Self::ReadModelSelection => "read:model-selection",
        }
    }
}
