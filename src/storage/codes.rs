//! Enumerations as stored texts, the same in every store.

use crate::domain::pricing::{Latency, PriceSource, PricingStatus, ServiceTier};
use crate::domain::usage::{CallStatus, CostSource};

/// The text of an enumeration. The texts are part of every schema; in SQL a CHECK lists them.
macro_rules! text_codes {
    ($type:ty, $write:ident, $read:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        pub(crate) fn $write(value: $type) -> &'static str {
            match value {
                $(<$type>::$variant => $text,)+
            }
        }

        pub(crate) fn $read(text: &str) -> Option<$type> {
            match text {
                $($text => Some(<$type>::$variant),)+
                _ => None,
            }
        }
    };
}

text_codes!(CallStatus, status_text, status_of { Ok => "OK", Error => "ERROR" });
text_codes!(CostSource, cost_source_text, cost_source_of { Server => "SERVER", Client => "CLIENT" });
text_codes!(PricingStatus, pricing_status_text, pricing_status_of {
    Priced => "PRICED",
    Estimated => "ESTIMATED",
    Unpriced => "UNPRICED",
});
text_codes!(PriceSource, price_source_text, price_source_of {
    PricingApi => "PRICING_API",
    Config => "CONFIG",
    Cached => "CACHED",
    Embedded => "EMBEDDED",
});
text_codes!(ServiceTier, service_tier_text, service_tier_of {
    Default => "default",
    Priority => "priority",
    Flex => "flex",
    Batch => "batch",
});
text_codes!(Latency, latency_text, latency_of { Standard => "standard", Optimized => "optimized" });
