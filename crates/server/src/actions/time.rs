//! Times as the service writes them: to the second in most answers, to the minute in windows of
//! queries and of plans. Always UTC, always with the `Z`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The form of windows.
const MINUTES: &str = "%Y-%m-%dT%H:%MZ";

/// `YYYY-MM-DDThh:mm:ssZ`.
pub(super) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `YYYY-MM-DDThh:mmZ`.
pub(super) fn minutes(at: Timestamp) -> String {
    at.strftime(MINUTES).to_string()
}

/// Reads `YYYY-MM-DDThh:mmZ`, and nothing else.
pub(super) fn parse_minutes(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime(MINUTES, text).ok()?;
    let at = TimeZone::UTC.to_timestamp(civil).ok()?;
    // Parsers are more generous than the form: whatever would be written otherwise is not it.
    (minutes(at) == text).then_some(at)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn times_have_no_fraction() {
        let at = "2019-01-18T16:00:59.999Z".parse().unwrap();
        assert_eq!(seconds(at), "2019-01-18T16:00:59Z");
        assert_eq!(minutes(at), "2019-01-18T16:00Z");
    }

    #[rstest]
    #[case("2019-03-11T10:00Z")]
    #[case("2010-01-01T00:00Z")]
    #[case("2050-12-31T23:59Z")]
    fn reads_what_it_writes(#[case] text: &str) {
        assert_eq!(minutes(parse_minutes(text).unwrap()), text);
    }

    #[rstest]
    #[case("")]
    #[case("2019-03-11")]
    #[case("2019-03-11T10:00:00Z")]
    #[case("2019-03-11T10:00")]
    #[case("2019-03-11 10:00Z")]
    #[case("2019-3-11T10:00Z")]
    #[case("2019-03-11T24:00Z")]
    #[case("2019-02-29T10:00Z")]
    #[case("2019-03-11T10:00+08:00")]
    #[case(" 2019-03-11T10:00Z")]
    fn refuses_any_other_form(#[case] text: &str) {
        assert_eq!(parse_minutes(text), None);
    }
}
