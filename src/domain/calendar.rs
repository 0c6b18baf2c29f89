//! Days and months as the organization lives them.
//!
//! A day and a month are local calendar units in an IANA time zone, daylight saving included: a day may have 23, 24
//! or 25 hours. Usage belongs to the day of its own timestamp. The time zone database is compiled in, so every
//! instance agrees whatever its host has installed.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How far before the start of the current local day a submission may lie.
pub const ACCEPTED_BEFORE_DAY_START: SignedDuration = SignedDuration::from_hours(24);
/// How far in the future a submission's clock may be.
pub const ACCEPTED_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A text that is no calendar value, or an instant outside what the calendar can express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// Not the name of an IANA time zone.
    #[error("not an IANA time zone name, such as Europe/Berlin or UTC")]
    UnknownTimeZone,
    /// Not `YYYY-MM-DD`, or no day of the calendar.
    #[error("must be a calendar day as YYYY-MM-DD")]
    InvalidDay,
    /// Not `YYYY-MM`.
    #[error("must be a calendar month as YYYY-MM")]
    InvalidMonth,
    /// Outside years −9999 to 9999.
    #[error("outside the supported calendar range")]
    OutOfRange,
}

/// A local calendar day, written `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl Day {
    /// The month this day belongs to.
    #[must_use]
    pub fn month(self) -> Month {
        Month(self.0.first_of_month())
    }

    /// The following day, or `None` at the end of the supported calendar.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.tomorrow().ok().map(Self)
    }

    /// The day before, or `None` at the start of the supported calendar.
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        self.0.yesterday().ok().map(Self)
    }

    /// Whole days from this day to `later`; negative where `later` is earlier.
    #[must_use]
    pub fn days_until(self, later: Self) -> i64 {
        later.0.duration_since(self.0).as_hours() / 24
    }

    /// Without separators, `YYYYMMDD`, as `org_day` of a model selection is written.
    #[must_use]
    pub fn compact(self) -> String {
        format!("{:04}{:02}{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

impl FromStr for Day {
    type Err = CalendarError;
    fn from_str(text: &str) -> Result<Self, CalendarError> {
        // The library also reads other ISO forms; the contract has one.
        let shape_ok = text.len() == 10
            && text.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
        if !shape_ok {
            return Err(CalendarError::InvalidDay);
        }
        text.parse().map(Self).map_err(|_| CalendarError::InvalidDay)
    }
}

impl TryFrom<String> for Day {
    type Error = CalendarError;
    fn try_from(text: String) -> Result<Self, CalendarError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

/// A local calendar month, written `YYYY-MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(Date);

impl Month {
    /// The first day of the month.
    #[must_use]
    pub fn first_day(self) -> Day {
        Day(self.0)
    }

    /// The last day of the month.
    #[must_use]
    pub fn last_day(self) -> Day {
        Day(self.0.last_of_month())
    }
}

impl FromStr for Month {
    type Err = CalendarError;
    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let day: Day = format!("{text}-01").parse().map_err(|_| CalendarError::InvalidMonth)?;
        Ok(day.month())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

/// The calendar of one organization.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
}

impl Calendar {
    /// The calendar of an IANA time zone.
    ///
    /// # Errors
    /// [`CalendarError::UnknownTimeZone`] for a name the compiled-in database does not have.
    pub fn new(timezone: &str) -> Result<Self, CalendarError> {
        // The library would read a POSIX rule or `:path` too; the contract is a database name.
        let zone = TimeZone::get(timezone).map_err(|_| CalendarError::UnknownTimeZone)?;
        if zone.is_unknown() {
            return Err(CalendarError::UnknownTimeZone);
        }
        Ok(Self { zone })
    }

    /// The local day of an instant.
    #[must_use]
    pub fn day_of(&self, instant: Timestamp) -> Day {
        Day(instant.to_zoned_datetime(self.zone.clone()).date())
    }

    /// The first instant of a local day. Where midnight does not exist (a clock turned forward over it), the first
    /// instant that does.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] at the very ends of the supported calendar.
    pub fn start_of(&self, day: Day) -> Result<Timestamp, CalendarError> {
        let midnight = day.0.to_zoned_datetime(self.zone.clone()).map_err(|_| CalendarError::OutOfRange)?;
        let start = midnight.start_of_day().map_err(|_| CalendarError::OutOfRange)?;
        Ok(start.timestamp())
    }

    /// The instant a local day ends: the start of the next one.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] at the end of the supported calendar.
    pub fn end_of(&self, day: Day) -> Result<Timestamp, CalendarError> {
        self.start_of(day.next().ok_or(CalendarError::OutOfRange)?)
    }

    /// The instant a local month ends: the first of the next one.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] at the end of the supported calendar.
    pub fn end_of_month(&self, month: Month) -> Result<Timestamp, CalendarError> {
        self.end_of(month.last_day())
    }

    /// The range of timestamps a submission may carry now: from 24 hours before the start of the current local day
    /// to five minutes ahead, both inclusive.
    ///
    /// # Errors
    /// [`CalendarError::OutOfRange`] at the ends of the supported calendar.
    pub fn accepted_window(&self, now: Timestamp) -> Result<AcceptedWindow, CalendarError> {
        let start = self.start_of(self.day_of(now))?;
        Ok(AcceptedWindow {
            from: start.checked_sub(ACCEPTED_BEFORE_DAY_START).map_err(|_| CalendarError::OutOfRange)?,
            to: now.checked_add(ACCEPTED_CLOCK_SKEW).map_err(|_| CalendarError::OutOfRange)?,
        })
    }

    /// Local wall time with its offset, RFC 3339: `2026-01-23T10:30:45-05:00`.
    #[must_use]
    pub fn local_time(&self, instant: Timestamp) -> String {
        let zoned = instant.to_zoned_datetime(self.zone.clone());
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }
}

/// Inclusive range of instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedWindow {
    /// Earliest accepted instant.
    pub from: Timestamp,
    /// Latest accepted instant.
    pub to: Timestamp,
}

impl AcceptedWindow {
    /// Whether an instant lies inside.
    #[must_use]
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.from <= instant && instant <= self.to
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hours(calendar: &Calendar, day: &str) -> i64 {
        let day = day.parse().unwrap();
        let length = calendar.end_of(day).unwrap().duration_since(calendar.start_of(day).unwrap());
        length.as_hours()
    }

    #[test]
    fn a_day_has_23_or_25_hours_when_the_clock_changes_in_both_hemispheres() {
        let north = Calendar::new("Europe/Berlin").unwrap();
        assert_eq!(hours(&north, "2026-03-29"), 23);
        assert_eq!(hours(&north, "2026-10-25"), 25);
        assert_eq!(hours(&north, "2026-10-26"), 24);
        let south = Calendar::new("Australia/Sydney").unwrap();
        assert_eq!(hours(&south, "2026-04-05"), 25);
        assert_eq!(hours(&south, "2026-10-04"), 23);
    }

    #[test]
    fn a_day_whose_midnight_does_not_exist_starts_at_its_first_instant() {
        let cairo = Calendar::new("Africa/Cairo").unwrap();
        // Clocks went from 00:00 to 01:00 on 26 April 2024.
        assert_eq!(cairo.start_of("2024-04-26".parse().unwrap()).unwrap(), at("2024-04-25T22:00:00Z"));
        assert_eq!(cairo.local_time(at("2024-04-25T22:00:00Z")), "2024-04-26T01:00:00+03:00");
    }

    #[test]
    fn an_instant_belongs_to_the_local_day() {
        let kiritimati = Calendar::new("Pacific/Kiritimati").unwrap();
        let honolulu = Calendar::new("Pacific/Honolulu").unwrap();
        assert_eq!(kiritimati.day_of(at("2026-01-23T10:00:00Z")).to_string(), "2026-01-24");
        assert_eq!(honolulu.day_of(at("2026-01-23T09:59:59Z")).to_string(), "2026-01-22");
        assert_eq!(honolulu.day_of(at("2026-01-23T10:00:00Z")).compact(), "20260123");
    }

    #[test]
    fn the_accepted_window_reaches_24_hours_before_today_and_5_minutes_ahead() {
        let utc = Calendar::new("UTC").unwrap();
        let window = utc.accepted_window(at("2026-01-23T15:30:00Z")).unwrap();
        assert_eq!(window.from, at("2026-01-22T00:00:00Z"));
        assert_eq!(window.to, at("2026-01-23T15:35:00Z"));
        assert!(window.contains(window.from) && window.contains(window.to));
        assert!(!window.contains(at("2026-01-21T23:59:59.999Z")));
    }

    #[test]
    fn months_end_on_their_last_local_day() {
        let new_york = Calendar::new("America/New_York").unwrap();
        let february: Month = "2028-02".parse().unwrap();
        assert_eq!(february.last_day().to_string(), "2028-02-29");
        assert_eq!(new_york.end_of_month(february).unwrap(), at("2028-03-01T05:00:00Z"));
    }

    #[test]
    fn only_database_names_are_time_zones_and_only_plain_dates_are_days() {
        for bad in ["", "Mars/Olympus", "EST5EDT,M3.2.0,M11.1.0", "+02:00", "../etc/passwd", "Etc/Unknown"] {
            assert!(Calendar::new(bad).is_err(), "{bad}");
        }
        for bad in ["", "2026-1-1", "2026-02-30", "20260101", "2026-01-01T00", "+002026-01-01", "٢٠٢٦-٠١-٠١"] {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
    }

    const ZONES: [&str; 8] = [
        "UTC",
        "America/New_York",
        "America/Sao_Paulo",
        "Europe/London",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
    ];

    proptest! {
        #[test]
        fn every_instant_lies_in_exactly_its_own_day(zone in 0..ZONES.len(), seconds in 0i64..4_102_444_800) {
            let calendar = Calendar::new(ZONES.get(zone).unwrap()).unwrap();
            let instant = Timestamp::from_second(seconds).unwrap();
            let day = calendar.day_of(instant);
            prop_assert!(calendar.start_of(day).unwrap() <= instant);
            prop_assert!(instant < calendar.end_of(day).unwrap());
            prop_assert_eq!(day.to_string().parse::<Day>().unwrap(), day);
            prop_assert!(day.month().first_day() <= day && day <= day.month().last_day());
        }
    }
}
