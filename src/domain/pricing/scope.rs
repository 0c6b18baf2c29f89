//! Where a call is processed, which is what a price depends on besides the model.

use std::fmt;

/// Geographic inference profiles, by the prefix of their ids.
const GEOS: [&str; 9] = ["us-gov", "us", "eu", "apac", "jp", "au", "in", "ca", "sa"];

/// A geographic inference profile, by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Geo(&'static str);

impl Geo {
    /// The profile of a prefix, where it is a known one.
    #[must_use]
    pub fn parse(prefix: &str) -> Option<Self> {
        GEOS.into_iter().find(|known| *known == prefix).map(Self)
    }
}

/// Scope of a price or of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceScope {
    /// The model called directly.
    InRegion,
    /// Through a geographic inference profile.
    Geo(Geo),
    /// Through the global inference profile.
    Global,
}

impl PriceScope {
    /// Reads `in_region`, `global` or `geo:<prefix>`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "in_region" => Some(Self::InRegion),
            "global" => Some(Self::Global),
            _ => Geo::parse(text.strip_prefix("geo:")?).map(Self::Geo),
        }
    }

    /// The scope a prefix of a model id names.
    #[must_use]
    pub fn of_prefix(prefix: &str) -> Option<Self> {
        match prefix {
            "global" => Some(Self::Global),
            _ => Geo::parse(prefix).map(Self::Geo),
        }
    }
}

impl fmt::Display for PriceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InRegion => f.write_str("in_region"),
            Self::Geo(Geo(prefix)) => write!(f, "geo:{prefix}"),
            Self::Global => f.write_str("global"),
        }
    }
}
