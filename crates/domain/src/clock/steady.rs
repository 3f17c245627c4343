//! A time that a jump of the time of day does not move.
//!
//! What is kept for a span of days is removed by steady time only, so a clock that is set to
//! another year removes nothing. Steady time may fall behind the time of day (after a jump, or
//! when the machine was off for long), and then things are kept longer; it is never ahead by
//! more than what the time of day was set back by, and [`Steady::due`] takes the earlier one.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::Uptime;

/// A difference between the time of day and the uptime that is a clock being corrected; more is
/// a jump.
const CORRECTION: SignedDuration = SignedDuration::from_mins(5);
/// While a machine was off only its time of day tells for how long: that much of it is believed.
const BELIEVED_OFF: SignedDuration = SignedDuration::from_hours(24);

/// Steady time, and what it was last measured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steady {
    trusted: Timestamp,
    wall: Timestamp,
    boot: String,
    elapsed: SignedDuration,
}

/// The text is not a steady time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a steady time")]
pub struct MalformedSteady;

impl Steady {
    /// Takes the time of day for true, for want of anything to compare it with.
    pub fn begin(now: Timestamp, uptime: &Uptime) -> Self {
        let Uptime { boot, elapsed } = uptime.clone();
        Self { trusted: now, wall: now, boot, elapsed }
    }

    /// Steady time at a later moment.
    #[must_use]
    pub fn after(self, now: Timestamp, uptime: &Uptime) -> Self {
        let by = self.gone_by(now, uptime).max(SignedDuration::ZERO);
        let trusted = self.trusted.checked_add(by).unwrap_or(Timestamp::MAX);
        Self { trusted, ..Self::begin(now, uptime) }
    }

    /// The time by which something may be overdue: no later than steady time, nor than the time
    /// of day.
    pub fn due(&self, now: Timestamp) -> Timestamp {
        self.trusted.min(now)
    }

    /// Steady time.
    pub fn trusted(&self) -> Timestamp {
        self.trusted
    }

    fn gone_by(&self, now: Timestamp, uptime: &Uptime) -> SignedDuration {
        let by_wall = now.duration_since(self.wall);
        if uptime.boot != self.boot {
            return by_wall.min(BELIEVED_OFF);
        }
        let by_uptime = uptime.elapsed.saturating_sub(self.elapsed);
        let difference = by_wall.saturating_sub(by_uptime);
        if (-CORRECTION..=CORRECTION).contains(&difference) { by_wall } else { by_uptime }
    }
}

/// Four parts: steady time, the time of day, the uptime in nanoseconds, and the boot.
impl fmt::Display for Steady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trusted, wall, boot, elapsed } = self;
        write!(f, "{trusted} {wall} {} {boot}", elapsed.as_nanos())
    }
}

impl FromStr for Steady {
    type Err = MalformedSteady;

    fn from_str(text: &str) -> Result<Self, MalformedSteady> {
        let parts: Vec<_> = text.splitn(4, ' ').collect();
        let [trusted, wall, elapsed, boot] = parts[..] else { return Err(MalformedSteady) };
        let time = |text: &str| text.parse::<Timestamp>().map_err(|_| MalformedSteady);
        let nanos: i64 = elapsed.parse().map_err(|_| MalformedSteady)?;
        Ok(Self {
            trusted: time(trusted)?,
            wall: time(wall)?,
            boot: boot.to_owned(),
            elapsed: SignedDuration::from_nanos(nanos),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::clock::{Clock, ManualClock};

    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    const MINUTE: SignedDuration = SignedDuration::from_mins(1);
    const START: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn begun() -> (ManualClock, Steady) {
        let clock = ManualClock::new(START);
        let steady = Steady::begin(START, &clock.uptime());
        (clock, steady)
    }

    fn measured(steady: Steady, clock: &ManualClock) -> Steady {
        steady.after(clock.now(), &clock.uptime())
    }

    #[test]
    fn goes_with_the_time_of_day_while_nobody_sets_that() {
        let (clock, mut steady) = begun();
        for _ in 0..3 {
            clock.advance(DAY);
            steady = measured(steady, &clock);
            assert_eq!((steady.trusted(), steady.due(clock.now())), (clock.now(), clock.now()));
        }
    }

    #[rstest]
    #[case::an_hour(HOUR)]
    #[case::ten_years(DAY * 3653)]
    fn a_jump_forward_makes_nothing_due(#[case] jump: SignedDuration) {
        let (clock, steady) = begun();
        clock.jump(jump);
        let steady = measured(steady, &clock);
        assert_eq!(steady.due(clock.now()), START);
        clock.advance(DAY);
        assert_eq!(measured(steady, &clock).due(clock.now()), START + DAY);
    }

    #[test]
    fn a_jump_back_makes_nothing_due_and_is_made_good() {
        let (clock, steady) = begun();
        clock.jump(-HOUR);
        let steady = measured(steady, &clock);
        assert_eq!(steady.due(clock.now()), START - HOUR);
        clock.jump(HOUR);
        let steady = measured(steady, &clock);
        assert_eq!(steady.due(clock.now()), START);
    }

    #[test]
    fn a_jump_is_found_out_whatever_time_went_by_beside_it() {
        let (clock, steady) = begun();
        clock.advance(DAY);
        clock.jump(DAY * 365);
        assert_eq!(measured(steady, &clock).due(clock.now()), START + DAY);
    }

    #[rstest]
    #[case::forward(MINUTE * 5)]
    #[case::back(-MINUTE * 5)]
    fn a_correction_is_followed(#[case] correction: SignedDuration) {
        let (clock, steady) = begun();
        clock.advance(HOUR);
        clock.jump(correction);
        assert_eq!(measured(steady, &clock).trusted(), START + HOUR + correction);
    }

    #[test]
    fn a_machine_that_slept_has_aged() {
        // CLOCK_BOOTTIME counts on, as the time of day does.
        let (clock, steady) = begun();
        clock.advance(DAY * 30);
        assert_eq!(measured(steady, &clock).due(clock.now()), START + DAY * 30);
    }

    #[rstest]
    #[case::at_once(SignedDuration::ZERO, SignedDuration::ZERO)]
    #[case::after_an_hour(HOUR, HOUR)]
    #[case::after_a_month(DAY * 30, DAY)]
    #[case::with_a_dead_battery(DAY * -20_000, SignedDuration::ZERO)]
    #[case::in_another_century(DAY * 36_525, DAY)]
    fn of_a_restart_at_most_a_day_is_believed(
        #[case] by_wall: SignedDuration,
        #[case] believed: SignedDuration,
    ) {
        let (clock, steady) = begun();
        clock.jump(by_wall);
        clock.reboot();
        assert_eq!(measured(steady, &clock).trusted(), START + believed);
    }

    #[test]
    fn is_kept_as_text() {
        let (clock, steady) = begun();
        clock.advance(SignedDuration::new(77, 123_456_789));
        let steady = measured(steady, &clock);
        assert_eq!(steady.to_string().parse(), Ok(steady));
        let nameless = Uptime { boot: String::new(), elapsed: HOUR };
        let steady = Steady::begin(START, &nameless);
        assert_eq!(steady.to_string().parse(), Ok(steady));
    }

    #[rstest]
    #[case("")]
    #[case("2023-11-14T22:13:20Z 2023-11-14T22:13:20Z 5")]
    #[case("2023-11-14T22:13:20Z yesterday 5 boot")]
    #[case("2023-11-14T22:13:20Z 2023-11-14T22:13:20Z many boot")]
    fn refuses_other_texts(#[case] text: &str) {
        assert_eq!(text.parse::<Steady>(), Err(MalformedSteady));
    }

    #[derive(Debug, Clone)]
    enum Happening {
        Passes(u32),
        Jumps(i64),
        Restarts,
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            (0..10_000_000_u32).prop_map(Happening::Passes),
            (-400_000_000..400_000_000_i64).prop_map(Happening::Jumps),
            Just(Happening::Restarts),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_it_goes_forward_and_not_too_far(
            happenings in prop::collection::vec(happening(), 0..30)
        ) {
            let (clock, mut steady) = begun();
            let mut latest = START;
            for happening in happenings {
                let before = steady.trusted();
                match happening {
                    Happening::Passes(seconds) => {
                        clock.advance(SignedDuration::from_secs(seconds.into()));
                        latest += SignedDuration::from_secs(seconds.into());
                    }
                    Happening::Jumps(seconds) => {
                        clock.jump(SignedDuration::from_secs(seconds));
                        latest += CORRECTION;
                    }
                    Happening::Restarts => {
                        clock.reboot();
                        latest += BELIEVED_OFF;
                    }
                }
                steady = measured(steady, &clock);
                prop_assert!(before <= steady.trusted() && steady.trusted() <= latest);
                prop_assert!(steady.due(clock.now()) <= clock.now());
            }
        }

        #[test]
        fn the_ends_of_time_are_no_trouble(
            trusted in any::<i64>(), now in any::<i64>(), elapsed in any::<i64>(), same in any::<bool>()
        ) {
            let time = |number: i64| {
                let range = Timestamp::MAX.as_second() - Timestamp::MIN.as_second();
                let second = Timestamp::MIN.as_second() + number.rem_euclid(range);
                Timestamp::from_second(second).unwrap()
            };
            let uptime = |boot: &str, secs| {
                Uptime { boot: boot.into(), elapsed: SignedDuration::from_secs(secs) }
            };
            let steady = Steady::begin(time(trusted), &uptime("a", 1));
            let later = uptime(if same { "a" } else { "b" }, elapsed);
            prop_assert!(steady.after(time(now), &later).trusted() >= time(trusted));
        }
    }
}
