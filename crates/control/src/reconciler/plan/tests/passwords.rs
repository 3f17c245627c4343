//! When a tenant's password is replaced.

use super::*;

#[rstest]
#[case(SINGLE, "k", FIRST)]
#[case(SINGLE, "ks", FIRST)]
#[case(SINGLE, "ka", Stage::Password(Passing::Admit))]
#[case::before_the_replica_is_started_with_the_wanted_one(
    PAIR,
    "ka.",
    Stage::Password(Passing::Admit)
)]
#[case::one_that_starts_may_have_the_former_one(PAIR, "kas", SECOND)]
#[case::before_the_link_that_may_need_it(PAIR, "kaa", Stage::Password(Passing::Admit))]
#[case(PAIR, "kal", Stage::Password(Passing::Admit))]
#[case::the_address_goes_first(PAIR, "kxl", Stage::Promote(Member::First))]
fn a_password_is_replaced_where_a_master_serves(
    #[case] members: &'static [Member],
    #[case] sight: &str,
    #[case] stage: Stage,
) {
    let wish = Wish { password: Some(Passing::Admit), live: true, ..wish(Intent::Run, members) };
    assert_eq!(plan(&wish, &seen(sight)), stage);
}

#[test]
fn former_passwords_go_once_the_wanted_one_is_proven_and_remembered() {
    let mut wish = Wish { password: Some(Passing::Admit), ..wish(Intent::Run, PAIR) };
    let mut stages = Vec::new();
    while stages.last() != Some(&Stage::Login) {
        let stage = plan(&wish, &seen("kal"));
        wish = stage.fulfilled(wish);
        stages.push(stage);
    }
    let passings =
        [Passing::Admit, Passing::NoteAdmitted, Passing::Dismiss, Passing::NoteDismissed];
    let expected = passings.map(Stage::Password).into_iter().chain([Stage::Login]);
    assert_eq!(stages, expected.collect::<Vec<_>>());
}

#[test]
fn what_should_stop_or_go_gets_no_password() {
    for intent in [Intent::Stop, Intent::Delete] {
        let wish = Wish { password: Some(Passing::Admit), ..wish(intent, PAIR) };
        assert!(matches!(plan(&wish, &seen("kal")), Stage::Stop(..)));
    }
}
