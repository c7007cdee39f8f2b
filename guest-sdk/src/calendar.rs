//! Opening hours, holidays and time zones.

use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Deserialize;
use serde::de::Deserializer;

use crate::{OneOrMany, checked};

/// When somebody is there: hours of the week in one time zone, but for holidays.
///
/// A policy has no clock: the time is the query's, so that a decision can be repeated.
///
/// ```
/// use intertrunk_sdk::calendar::Calendar;
///
/// let office = Calendar::in_zone("Europe/London").unwrap()
///     .open("mon-fri 08:00-17:30").unwrap()
///     .open("sat 22:00-02:00").unwrap()                // into Sunday
///     .holiday("12-25").unwrap()                       // each year
///     .holiday("2026-04-03").unwrap();
/// let monday_noon_utc = 1_767_614_400_000;             // 2026-01-05
/// assert!(office.is_open(monday_noon_utc));
/// assert!(!office.is_open(monday_noon_utc + 8 * 3_600_000));
/// assert_eq!(office.local(monday_noon_utc).to_string(), "2026-01-05T12:00:00");
/// ```
///
/// In settings it is `{ zone = "Europe/London", open = "mon-fri 08:00-17:30", holidays = ["12-25"] }`;
/// both may be one text or a list. Without `open` it is open all week.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    open: Vec<Hours>,
    holidays: Vec<Holiday>,
}

impl Calendar {
    /// Open all week, in a time zone of the IANA database, such as `America/Los_Angeles`.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn in_zone(name: &str) -> Result<Self, String> {
        let zone = TimeZone::get(name).map_err(|_| {
            format!("there is no time zone {name:?}; use a name such as \"Europe/London\"")
        })?;
        Ok(Calendar {
            zone,
            open: Vec::new(),
            holidays: Vec::new(),
        })
    }

    /// Is open then, in the local time of its zone: `"mon-fri 08:00-17:30"`, `"sat,sun 10:00-24:00"`,
    /// `"daily 22:00-06:00"`. Hours that end before they begin last into the next day.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn open(mut self, hours: &str) -> Result<Self, String> {
        self.open.push(hours.parse()?);
        Ok(self)
    }

    /// Is closed on this day: `"2026-04-03"`, or `"12-25"` for each year.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn holiday(mut self, day: &str) -> Result<Self, String> {
        self.holidays.push(day.parse()?);
        Ok(self)
    }

    /// Whether it is open at this time, milliseconds since 1970 UTC: that of the query.
    pub fn is_open(&self, unix_ms: u64) -> bool {
        let now = self.local(unix_ms);
        let today = now.date();
        let yesterday = today.checked_sub(Span::new().days(1)).unwrap_or(today);
        let is_within = |hours: &Hours| {
            (hours.include(today)
                && hours.from <= now.time()
                && (now.time() < hours.to || hours.last_over_night())
                && !self.is_holiday(today))
                || (hours.last_over_night()
                    && hours.include(yesterday)
                    && now.time() < hours.to
                    && !self.is_holiday(yesterday))
        };
        match self.open.is_empty() {
            true => !self.is_holiday(today),
            false => self.open.iter().any(is_within),
        }
    }

    /// Whether this local day is a holiday.
    pub fn is_holiday(&self, day: Date) -> bool {
        self.holidays.iter().any(|holiday| match holiday {
            Holiday::Once(date) => *date == day,
            Holiday::Yearly {
                month,
                day_of_month,
            } => (*month, *day_of_month) == (day.month(), day.day()),
        })
    }

    /// Date and time on the clocks of its zone.
    pub fn local(&self, unix_ms: u64) -> DateTime {
        let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
        let timestamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
        self.zone.to_datetime(timestamp)
    }
}

/// Days of the week, and hours of those days.
#[derive(Clone, Debug)]
struct Hours {
    /// From Monday.
    days: [bool; 7],
    from: Time,
    to: Time,
}

impl Hours {
    fn include(&self, day: Date) -> bool {
        self.days[index(day.weekday())]
    }

    fn last_over_night(&self) -> bool {
        self.to <= self.from
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} are no hours; write them like \"mon-fri 08:00-17:30\"");
        let (named, times) = text.trim().split_once(' ').ok_or_else(wrong)?;
        let (from, to) = times.trim().split_once('-').ok_or_else(wrong)?;
        let time = |text: &str| match text {
            // Midnight at the end of a day is that at the beginning of the next.
            "24:00" => Some(Time::midnight()),
            text if text.len() == 5 => text.parse().ok(),
            _ => None,
        };
        let mut days = [false; 7];
        for part in named.split(',') {
            let (first, last) = match part.split_once('-') {
                _ if part == "daily" => (0, 6),
                Some((first, last)) => {
                    (day(first).ok_or_else(wrong)?, day(last).ok_or_else(wrong)?)
                }
                None => (day(part).ok_or_else(wrong)?, day(part).ok_or_else(wrong)?),
            };
            // `sat-mon` goes round the end of the week.
            let length = (last + 7 - first) % 7;
            (0..=length).for_each(|n| days[(first + n) % 7] = true);
        }
        Ok(Hours {
            days,
            from: time(from).ok_or_else(wrong)?,
            to: time(to).ok_or_else(wrong)?,
        })
    }
}

/// Number of a weekday, from Monday.
fn day(name: &str) -> Option<usize> {
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        .iter()
        .position(|day| *day == name)
}

fn index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).expect("days are counted from 0")
}

#[derive(Clone, Debug)]
enum Holiday {
    Once(Date),
    Yearly { month: i8, day_of_month: i8 },
}

impl FromStr for Holiday {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no day; write it like \"2026-04-03\", or \"12-25\" for each year")
        };
        if text.len() == 5 {
            // A leap year, which has every day.
            let date: Date = format!("2024-{text}").parse().map_err(|_| wrong())?;
            return Ok(Holiday::Yearly {
                month: date.month(),
                day_of_month: date.day(),
            });
        }
        text.parse().map(Holiday::Once).map_err(|_| wrong())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarKeys {
    zone: String,
    #[serde(default)]
    open: OneOrMany<String>,
    #[serde(default)]
    holidays: OneOrMany<String>,
}

impl TryFrom<CalendarKeys> for Calendar {
    type Error = String;

    fn try_from(keys: CalendarKeys) -> Result<Self, String> {
        let calendar = Calendar::in_zone(&keys.zone)?;
        let calendar = keys
            .open
            .0
            .iter()
            .try_fold(calendar, |it, hours| it.open(hours))?;
        keys.holidays
            .0
            .iter()
            .try_fold(calendar, |it, day| it.holiday(day))
    }
}

impl<'de> Deserialize<'de> for Calendar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        checked::<CalendarKeys, _, _>(deserializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Milliseconds of a UTC time.
    fn at(text: &str) -> u64 {
        let timestamp: Timestamp = text.parse().unwrap();
        timestamp.as_millisecond().try_into().unwrap()
    }

    fn calendar(zone: &str, open: &[&str], holidays: &[&str]) -> Calendar {
        let calendar = Calendar::in_zone(zone).unwrap();
        let calendar = open
            .iter()
            .fold(calendar, |it, hours| it.open(hours).unwrap());
        holidays
            .iter()
            .fold(calendar, |it, day| it.holiday(day).unwrap())
    }

    #[test]
    fn hours_are_local_in_summer_and_in_winter() {
        let office = calendar("America/Los_Angeles", &["mon-fri 08:00-17:00"], &[]);
        for (time, is_open) in [
            ("2026-01-05T15:59:59Z", false),
            ("2026-01-05T16:00:00Z", true),
            ("2026-01-06T00:59:59Z", true),
            ("2026-01-06T01:00:00Z", false),
            ("2026-07-06T15:00:00Z", true),
            ("2026-07-07T00:00:00Z", false),
            ("2026-01-10T18:00:00Z", false),
        ] {
            assert_eq!(office.is_open(at(time)), is_open, "{time}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night = calendar("UTC", &["fri 22:00-06:00"], &["2026-01-16"]);
        for (time, is_open) in [
            ("2026-01-09T21:59:00Z", false),
            ("2026-01-09T22:00:00Z", true),
            ("2026-01-10T05:59:00Z", true),
            ("2026-01-10T06:00:00Z", false),
            ("2026-01-09T05:00:00Z", false),
            ("2026-01-16T23:00:00Z", false),
            ("2026-01-17T03:00:00Z", false),
        ] {
            assert_eq!(night.is_open(at(time)), is_open, "{time}");
        }
    }

    #[test]
    fn midnight_ends_a_day_and_a_week_goes_round() {
        let late = calendar("UTC", &["sat-mon 18:00-24:00"], &[]);
        for (time, is_open) in [
            ("2026-01-10T23:59:59Z", true),
            ("2026-01-11T00:00:00Z", false),
            ("2026-01-12T20:00:00Z", true),
            ("2026-01-13T20:00:00Z", false),
        ] {
            assert_eq!(late.is_open(at(time)), is_open, "{time}");
        }
        let always = calendar("UTC", &["daily 00:00-24:00"], &["12-25"]);
        assert!(always.is_open(at("2026-12-24T23:59:59Z")));
        assert!(!always.is_open(at("2026-12-25T00:00:00Z")));
        assert!(!always.is_open(at("2027-12-25T12:00:00Z")));
    }

    #[test]
    fn without_hours_it_is_open_but_for_holidays() {
        let shop = calendar("UTC", &[], &["12-25"]);
        assert!(shop.is_open(at("2026-12-24T03:00:00Z")));
        assert!(!shop.is_open(at("2026-12-25T03:00:00Z")));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        for hours in [
            "mon",
            "mon 8:00-17:00",
            "mon-fry 08:00-17:00",
            "mon 08:00",
            "mon 25:00-26:00",
        ] {
            assert!(hours.parse::<Hours>().is_err(), "{hours}");
        }
        for day in ["13-01", "2026-02-30", "christmas", "02-30"] {
            assert!(day.parse::<Holiday>().is_err(), "{day}");
        }
        let text = "office = { zone = 'Mars/Olympus' }";
        #[derive(Deserialize, Debug)]
        struct Settings {
            #[serde(rename = "office")]
            _office: Calendar,
        }
        let faults = crate::settings::<Settings>(text).unwrap_err();
        assert!(
            faults[0]
                .to_string()
                .starts_with("line 1: office: there is no time zone"),
            "{}",
            faults[0]
        );
    }
}
