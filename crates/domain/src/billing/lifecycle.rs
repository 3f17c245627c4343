//! What happens when money ends: the timeline of the API's 2019 documentation.
//!
//! Days are spans of 24 hours; day 1 begins with the end of the paid time. Later documentation
//! has shorter grace periods, which are not followed here.

use jiff::{SignedDuration, Timestamp};

/// How far an instance is past its paid time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Paid for.
    Running,
    /// Days 1 to 15: unpaid, still serving.
    Expired,
    /// Days 16 to 30: stopped, data kept.
    Inactive,
    /// From day 31: to be released.
    Release,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Renewal runs that long before the end.
const RENEW_AHEAD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The stage of a prepaid instance that is paid until `end`.
pub fn prepaid_stage(end: Timestamp, now: Timestamp) -> Stage {
    stage(end, now)
}

/// The stage of the metered instances of an account that ran out of money at `since`.
pub fn arrears_stage(since: Timestamp, now: Timestamp) -> Stage {
    stage(since, now)
}

/// Whether an instance with automatic renewal is to be renewed: from 7 days before its end for
/// as long as there is something to renew.
pub fn renewal_due(end: Timestamp, now: Timestamp) -> bool {
    now.duration_since(end) >= -RENEW_AHEAD && prepaid_stage(end, now) != Stage::Release
}

fn stage(unpaid_since: Timestamp, now: Timestamp) -> Stage {
    let unpaid = now.duration_since(unpaid_since);
    if unpaid.is_negative() {
        Stage::Running
    } else if unpaid < DAY * 15 {
        Stage::Expired
    } else if unpaid < DAY * 30 {
        Stage::Inactive
    } else {
        Stage::Release
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const END: Timestamp = Timestamp::constant(1_547_827_200, 0);
    const DAY_SECONDS: i64 = 86_400;

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_second(END.as_second() + seconds).unwrap()
    }

    #[rstest]
    #[case(-1, Stage::Running)]
    #[case(0, Stage::Expired)]
    #[case(15 * DAY_SECONDS - 1, Stage::Expired)]
    #[case(15 * DAY_SECONDS, Stage::Inactive)]
    #[case(30 * DAY_SECONDS - 1, Stage::Inactive)]
    #[case(30 * DAY_SECONDS, Stage::Release)]
    #[case(9_999 * DAY_SECONDS, Stage::Release)]
    fn grace_lasts_fifteen_days_and_data_thirty(#[case] seconds: i64, #[case] stage: Stage) {
        assert_eq!(prepaid_stage(END, after(seconds)), stage);
        assert_eq!(arrears_stage(END, after(seconds)), stage);
    }

    #[rstest]
    #[case(-7 * DAY_SECONDS - 1, false)]
    #[case(-7 * DAY_SECONDS, true)]
    #[case(0, true)]
    #[case(30 * DAY_SECONDS - 1, true)]
    #[case(30 * DAY_SECONDS, false)]
    fn renewal_runs_from_seven_days_ahead_until_release(#[case] seconds: i64, #[case] due: bool) {
        assert_eq!(renewal_due(END, after(seconds)), due);
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        assert_eq!(prepaid_stage(Timestamp::MAX, Timestamp::MIN), Stage::Running);
        assert_eq!(prepaid_stage(Timestamp::MIN, Timestamp::MAX), Stage::Release);
        assert!(!renewal_due(Timestamp::MAX, Timestamp::MIN));
    }
}
