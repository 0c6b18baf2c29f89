//! Decimal texts of prices as integers, digit by digit: no float ever sees a price.

use super::super::rates::MAX_PRICE;

/// Pico-dollars in a dollar, as a power of ten.
const PICO_DIGITS: i32 = 12;
/// Longest text that is looked at. The price list writes ten decimals.
const MAX_TEXT: usize = 40;

/// A price per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PerToken {
    /// Pico-dollars per token.
    pub(super) pico: u64,
    /// A remainder below one pico-dollar was rounded up.
    pub(super) rounded: bool,
}

/// A price in dollars per `10^unit_digits` tokens as pico-dollars per token. `None` where the text is no plain decimal
/// (an exponent is allowed), or the price is above [`MAX_PRICE`]. A remainder is rounded up: never to the benefit of
/// a quota that should have been exceeded.
pub(super) fn per_token(dollars: &str, unit_digits: u8) -> Option<PerToken> {
    if dollars.len() > MAX_TEXT {
        return None;
    }
    let (mantissa, exponent) = match dollars.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok().filter(|e| (-30..=30).contains(e))?),
        None => (dollars, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || (mantissa.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut digits: u128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        let digit = byte.is_ascii_digit().then(|| u128::from(byte - b'0'))?;
        digits = digits.checked_mul(10)?.checked_add(digit)?;
    }
    let shift = PICO_DIGITS + exponent - i32::try_from(fraction.len()).ok()? - i32::from(unit_digits);
    let power = 10u128.checked_pow(shift.unsigned_abs());
    let (pico, remainder) = match (shift >= 0, power) {
        (true, Some(power)) => (digits.checked_mul(power)?, 0),
        (true, None) if digits == 0 => (0, 0),
        (true, None) => return None,
        (false, Some(power)) => (digits / power, digits % power),
        // Divided by more than any number of digits there is: something, or nothing.
        (false, None) => (0, digits),
    };
    let rounded = remainder > 0;
    let pico = u64::try_from(pico).ok()?.checked_add(u64::from(rounded))?;
    (pico <= MAX_PRICE).then_some(PerToken { pico, rounded })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(dollars: &str, unit_digits: u8) -> Option<u64> {
        per_token(dollars, unit_digits).filter(|price| !price.rounded).map(|price| price.pico)
    }

    #[test]
    fn published_texts_come_out_exact() {
        assert_eq!(exact("0.0008000000", 3), Some(800_000));
        assert_eq!(exact("0.0080000000", 3), Some(8_000_000));
        assert_eq!(exact("3.3000000000", 6), Some(3_300_000));
        assert_eq!(exact("0.0000000001", 3), per_token("0.0000000001", 3).map(|_| 0).and(None));
        assert_eq!(exact("0", 3), Some(0));
        assert_eq!(exact("8.0E-7", 0), Some(800_000));
        assert_eq!(exact("1e-6", 0), Some(1_000_000));
        assert_eq!(exact("0.0000000000", 3), Some(0));
    }

    #[test]
    fn a_remainder_below_one_pico_dollar_rounds_up_and_is_said() {
        assert_eq!(per_token("0.0000000001", 3), Some(PerToken { pico: 1, rounded: true }));
        assert_eq!(per_token("0.0000000011", 3), Some(PerToken { pico: 2, rounded: true }));
        assert_eq!(per_token("1e-30", 6), Some(PerToken { pico: 1, rounded: true }));
        assert_eq!(per_token("0e30", 0), Some(PerToken { pico: 0, rounded: false }));
    }

    #[test]
    fn what_is_no_plain_decimal_is_no_price() {
        for text in
            ["", ".", ".5", "5.", "-1", "+1", "1,5", "NaN", "inf", "1 ", "0x1", "1.2.3", "1e", "e5", "1e99", "١"]
        {
            assert_eq!(per_token(text, 3), None, "{text}");
        }
        assert_eq!(per_token("2", 0), None, "above one dollar per token");
        assert_eq!(per_token(&"9".repeat(40), 6), None);
        assert_eq!(per_token(&"0".repeat(41), 6), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*", digits in 0u8..=9) {
            let _ = per_token(&text, digits);
        }

        #[test]
        fn an_integer_of_pico_dollars_survives_its_text(pico in 0..=MAX_PRICE, per_million in any::<bool>()) {
            let unit = if per_million { 6 } else { 3 };
            // The price of 10^unit tokens, written with 12 decimals.
            let price = u128::from(pico) * 10u128.pow(unit);
            let text = format!("{}.{:012}", price / 10u128.pow(12), price % 10u128.pow(12));
            let read = per_token(&text, u8::try_from(unit).unwrap());
            prop_assert_eq!(read, Some(PerToken { pico, rounded: false }));
        }

        #[test]
        fn rounding_adds_less_than_one_pico_dollar(digits in 0u64..10_000_000_000) {
            // Ten decimals per thousand tokens: 10^-13 dollars per token and digit.
            let text = format!("0.{digits:010}");
            let read = per_token(&text, 3).unwrap();
            prop_assert_eq!(read.pico, digits.div_ceil(10));
            prop_assert_eq!(read.rounded, digits % 10 != 0);
        }
    }
}
