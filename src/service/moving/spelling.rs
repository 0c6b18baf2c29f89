//! Amounts, bytes and checksums as text, each in exactly one spelling.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256, shown as lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// The checksum of everything a context was fed.
    pub(super) fn of(context: Context) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    /// What computes one.
    pub(super) fn context() -> Context {
        Context::new(&SHA256)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An integer that is spelled as it would be written: no sign that says nothing, no leading zero.
fn canonical<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse().ok().filter(|number: &T| number.to_string() == text)
}

/// Pico-dollars as a decimal string: no JSON number is safe beyond 2⁵³.
pub(super) mod pico_usd {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::canonical;
    use crate::domain::money::PicoUsd;

    pub(in super::super) fn serialize<S: Serializer>(amount: &PicoUsd, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&amount.get())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PicoUsd, D::Error> {
        let text = String::deserialize(deserializer)?;
        canonical(&text).map(PicoUsd::new).ok_or_else(|| D::Error::custom("not an amount"))
    }
}

/// A signed difference in pico-dollars as a decimal string.
pub(super) mod cost_drift {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::canonical;
    use crate::domain::money::CostDrift;

    pub(in super::super) fn serialize<S: Serializer>(drift: &CostDrift, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&drift.get())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CostDrift, D::Error> {
        let text = String::deserialize(deserializer)?;
        canonical(&text).map(CostDrift::new).ok_or_else(|| D::Error::custom("not a difference"))
    }
}

/// A fixed number of bytes in base64.
pub(super) mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| D::Error::custom("not the right number of bytes"))
    }
}

/// A value by its own text form.
pub(super) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("not of that form"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        for good in ["0", "7", "340282366920938463463374607431768211455"] {
            assert_eq!(canonical::<u128>(good).unwrap().to_string(), good);
        }
        assert_eq!(canonical::<i128>("-170141183460469231731687303715884105728"), Some(i128::MIN));
        for bad in ["", "+1", "01", "-0", "1.0", "1e3", " 1", "340282366920938463463374607431768211456"] {
            assert_eq!(canonical::<u128>(bad), None, "{bad}");
            assert!(bad.parse::<u128>().is_err() || canonical::<i128>(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_checksum_is_shown_as_other_tools_show_it() {
        let mut context = Checksum::context();
        context.update(b"abc");
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Checksum::of(context).to_string(), known);
    }
}
