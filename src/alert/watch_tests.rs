//! What is told, when, as tables: minutes, what is so, what is told.

use super::*;
use crate::alert::facts::{AccountFact, AccountState, DiskFact, LaneFact, StoreFact};
use AccountState::{Failing, Inactive, NeedsAuthorization, Ready};

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
/// 2027-03-01T00:00:00Z.
const NOW: Millis = 1_803_859_200_000;

fn id() -> AccountId {
    AccountId::new("support")
}

/// Nothing is wrong, and it never was.
fn calm() -> Facts {
    Facts {
        accounts: Vec::new(),
        lanes: Vec::new(),
        disk: DiskFact { free: 1 << 40, min_free: 512 << 20, used: 0, max_size: 10 << 30 },
        store: None,
        started_at: NOW - 1000 * HOUR,
    }
}

fn account(state: AccountState) -> AccountFact {
    AccountFact {
        id: id(),
        state,
        granted: state != NeedsAuthorization,
        delivered_at: None,
        explanation: "535 5.7.3 no.".into(),
        remedy: "Do something.".into(),
        secret_ends: None,
        grant_ends: None,
    }
}

fn with(state: AccountState) -> Facts {
    Facts { accounts: vec![account(state)], ..calm() }
}

/// Mail that waits since so many minutes before `NOW`.
fn waiting(minutes: Millis) -> LaneFact {
    LaneFact { account: id(), messages: 3, oldest: NOW - minutes * MINUTE, delivered_at: None, paced: false }
}

fn told(notices: &[Notice]) -> Vec<(&'static str, &'static str)> {
    notices.iter().map(|notice| (notice.key.event.as_str(), notice.phase.as_str())).collect()
}

/// A minute, what is so, what is told.
type Step<'a> = (Millis, Facts, &'a [(&'a str, &'a str)]);

fn play(watch: &mut Watch, steps: &[Step<'_>]) {
    for (minute, facts, wanted) in steps {
        assert_eq!(told(&watch.look(facts, NOW + minute * MINUTE)), *wanted, "in minute {minute}");
    }
}

fn watch() -> Watch {
    Watch::new(Limits::default())
}

/// The same watch after a restart.
fn restarted(watch: &Watch) -> Watch {
    Watch::resume(Limits::default(), watch.told().clone())
}

const NEEDS: &str = "account_needs_authorization";
const FAILS: &str = "account_failing";
const STUCK: &str = "queue_stuck";
const DISK: &str = "disk_low";
const FULL: &str = "queue_nearly_full";
const DAY_MINUTES: Millis = 24 * 60;

#[test]
fn an_account_that_needs_authorization_is_told_at_once_daily_and_when_it_is_over() {
    play(
        &mut watch(),
        &[
            (0, with(Ready), &[]),
            (1, with(NeedsAuthorization), &[(NEEDS, "begins")]),
            (2, with(NeedsAuthorization), &[]),
            (DAY_MINUTES, with(NeedsAuthorization), &[]),
            (DAY_MINUTES + 1, with(NeedsAuthorization), &[(NEEDS, "lasts")]),
            (DAY_MINUTES + 2, with(NeedsAuthorization), &[]),
            (2 * DAY_MINUTES + 1, with(NeedsAuthorization), &[(NEEDS, "lasts")]),
            (2 * DAY_MINUTES + 2, with(Ready), &[(NEEDS, "ended")]),
            (2 * DAY_MINUTES + 3, with(Ready), &[]),
        ],
    );
}

#[test]
fn a_failing_account_is_told_after_five_minutes_on_end() {
    play(
        &mut watch(),
        &[
            (0, with(Failing), &[]),
            (4, with(Failing), &[]),
            (5, with(Ready), &[]),
            (6, with(Failing), &[]),
            (10, with(Failing), &[]),
            (11, with(Failing), &[(FAILS, "begins")]),
            (12, with(Failing), &[]),
        ],
    );
}

#[test]
fn what_is_told_says_what_is_wrong_since_when_and_what_to_do() {
    let mut watch = watch();
    watch.look(&with(Failing), NOW);
    let notice = watch.look(&with(Failing), NOW + 5 * MINUTE).remove(0);
    assert_eq!(notice.explanation, "The account support cannot send: 535 5.7.3 no.");
    assert_eq!(notice.remedy, "Do something.");
    assert_eq!((notice.since, notice.at), (NOW, NOW + 5 * MINUTE));
}

#[test]
fn a_failing_account_works_again_once_a_delivery_proves_it_or_nothing_speaks_against_it_for_long() {
    let proven = |minute: Millis| {
        let fact = AccountFact { delivered_at: Some(NOW + minute * MINUTE), ..account(Ready) };
        Facts { accounts: vec![fact], ..calm() }
    };
    let mut watch = watch();
    play(&mut watch, &[(0, with(Failing), &[]), (5, with(Failing), &[(FAILS, "begins")])]);
    let mut other = restarted(&watch);
    // A delivery before the trouble proves nothing.
    play(&mut watch, &[(6, proven(0), &[])]);
    let ended = watch.look(&proven(6), NOW + 7 * MINUTE);
    assert_eq!(told(&ended), [(FAILS, "ended")]);
    assert!(ended[0].explanation.ends_with("works again: mail was delivered through it."), "{ended:?}");
    // After a restart all accounts look well until they are tried.
    play(
        &mut other,
        &[
            (6, with(Ready), &[]),
            (10, with(Ready), &[]),
            (10, with(Failing), &[]),
            (11, with(Ready), &[]),
            (15, with(Ready), &[]),
            (16, with(Ready), &[(FAILS, "ended")]),
        ],
    );
}

#[test]
fn authorization_ends_with_a_token_whatever_the_account_does_then() {
    let asking = |state| {
        let fact = AccountFact { granted: false, ..account(state) };
        Facts { accounts: vec![fact], ..calm() }
    };
    play(
        &mut watch(),
        &[
            (0, with(NeedsAuthorization), &[(NEEDS, "begins")]),
            (1, asking(Ready), &[]),
            (2, asking(Failing), &[]),
            (3, with(Failing), &[(NEEDS, "ended")]),
        ],
    );
}

#[test]
fn accounts_that_are_switched_off_or_gone_end_their_alerts() {
    for facts in [with(Inactive), calm()] {
        play(
            &mut watch(),
            &[(0, with(NeedsAuthorization), &[(NEEDS, "begins")]), (1, facts, &[(NEEDS, "ended")])],
        );
    }
}

#[test]
fn a_restart_neither_tells_again_nor_forgets() {
    let mut first = watch();
    play(&mut first, &[(0, with(NeedsAuthorization), &[(NEEDS, "begins")])]);
    play(
        &mut restarted(&first),
        &[
            (1, with(NeedsAuthorization), &[]),
            (DAY_MINUTES, with(NeedsAuthorization), &[(NEEDS, "lasts")]),
            (DAY_MINUTES + 1, with(Ready), &[(NEEDS, "ended")]),
        ],
    );
}

#[test]
fn a_clock_that_is_set_back_silences_nothing_for_longer_than_a_day() {
    let mut watch = watch();
    assert_eq!(told(&watch.look(&with(NeedsAuthorization), NOW + 1000 * HOUR)), [(NEEDS, "begins")]);
    play(
        &mut watch,
        &[(0, with(NeedsAuthorization), &[]), (DAY_MINUTES, with(NeedsAuthorization), &[(NEEDS, "lasts")])],
    );
}

#[test]
fn a_queue_is_stuck_when_mail_waits_for_an_hour_and_nothing_was_delivered() {
    let ago = |minutes: Millis| Some(NOW - minutes * MINUTE);
    let lane = |minutes| vec![waiting(minutes)];
    let all = |state, lanes| Facts { lanes, ..with(state) };
    let none: &[(&str, &str)] = &[];
    let begins: &[(&str, &str)] = &[(STUCK, "begins")];
    let cases = [
        ("it waits for less than an hour", all(Ready, lane(59)), none),
        ("it waits for an hour", all(Ready, lane(60)), begins),
        ("others were delivered", all(Ready, vec![LaneFact { delivered_at: ago(59), ..waiting(600) }]), none),
        (
            "others were delivered long ago",
            all(Ready, vec![LaneFact { delivered_at: ago(60), ..waiting(600) }]),
            begins,
        ),
        ("pacing keeps it", all(Ready, vec![LaneFact { paced: true, ..waiting(600) }]), none),
        ("the daemon has just started", Facts { started_at: NOW - HOUR / 2, ..all(Ready, lane(600)) }, none),
        ("the account is switched off", all(Inactive, lane(600)), begins),
        ("the account is not configured", Facts { accounts: Vec::new(), ..all(Ready, lane(600)) }, begins),
        ("the account has its own alert", all(NeedsAuthorization, lane(600)), &[(NEEDS, "begins")]),
        ("the account fails", all(Failing, lane(600)), none),
    ];
    for (name, facts, wanted) in cases {
        assert_eq!(told(&watch().look(&facts, NOW)), wanted, "{name}");
    }
}

#[test]
fn a_stuck_queue_ends_when_mail_is_delivered_or_gone_and_not_by_a_restart() {
    let stuck = Facts { lanes: vec![waiting(600)], ..with(Ready) };
    let mut first = watch();
    let notices = first.look(&stuck, NOW);
    assert_eq!(
        notices[0].explanation,
        "3 messages of the account support are waiting, and nothing was delivered through it for more than 1h."
    );
    assert_eq!(notices[0].since, NOW - 600 * MINUTE);
    let delivered = LaneFact { delivered_at: Some(NOW + MINUTE), ..waiting(600) };
    let moving = Facts { lanes: vec![delivered], ..with(Ready) };
    let just_started = Facts { started_at: NOW, ..stuck.clone() };
    play(&mut restarted(&first), &[(1, just_started, &[]), (2, moving, &[(STUCK, "ended")])]);
    play(&mut restarted(&first), &[(1, with(Failing), &[(STUCK, "ended")])]);
}

#[test]
fn a_database_that_is_away_for_longer_than_a_failover_is_told_of() {
    const AWAY: &str = "store_away";
    let store = |trouble: Option<&str>| {
        let trouble = trouble.map(str::to_owned);
        Facts { store: Some(StoreFact { trouble, since: Some(NOW) }), ..calm() }
    };
    play(
        &mut watch(),
        &[
            (0, store(Some("it is away")), &[]),
            (1, store(Some("it is away")), &[]),
            (3, store(Some("it is away")), &[(AWAY, "begins")]),
            (4, store(None), &[(AWAY, "ended")]),
        ],
    );
}

#[test]
fn disk_and_queue_are_told_below_their_marks_and_over_with_some_way_back() {
    let free = |mib: u64| Facts { disk: DiskFact { free: mib << 20, ..calm().disk }, ..calm() };
    let used = |mib: u64| Facts { disk: DiskFact { used: mib << 20, ..calm().disk }, ..calm() };
    play(
        &mut watch(),
        &[
            (0, free(1024), &[]),
            (1, free(1023), &[(DISK, "begins")]),
            (2, free(1100), &[]),
            (3, free(1000), &[]),
            (4, free(1280), &[(DISK, "ended")]),
            (5, used(8192), &[]),
            (6, used(8193), &[(FULL, "begins")]),
            (7, used(7681), &[]),
            (8, used(7680), &[(FULL, "ended")]),
        ],
    );
    let said = |facts: Facts| watch().look(&facts, NOW).remove(0).explanation;
    assert!(said(free(1023)).starts_with("Only 1023MiB are free"), "{}", said(free(1023)));
    assert!(said(used(10_000_000)).starts_with("The queue takes 9765GiB;"), "{}", said(used(10_000_000)));
    let no_limit = DiskFact { free: 0, min_free: 0, used: u64::MAX, max_size: u64::MAX };
    assert_eq!(told(&watch().look(&Facts { disk: no_limit, ..calm() }, NOW)), [(FULL, "begins")]);
}

#[test]
fn the_end_of_a_client_secret_is_told_sixty_thirty_and_seven_days_ahead_once_each() {
    let ends = |day: &str| {
        let fact = AccountFact { secret_ends: Day::parse(day), ..account(Ready) };
        Facts { accounts: vec![fact], ..calm() }
    };
    let may = || ends("2027-05-01");
    let mut first = watch();
    // 2027-03-01 is 61 days before it.
    let days =
        [(0, ""), (1, "60 days"), (2, ""), (30, ""), (31, "30 days"), (53, ""), (54, "7 days"), (60, "")];
    for (day, wanted) in days {
        let notices = first.look(&may(), NOW + day * DAY);
        let said: Vec<_> = notices.iter().map(|notice| notice.explanation.clone()).collect();
        let wanted = format!("The client secret of the account support ends on 2027-05-01, in {wanted}.");
        assert_eq!(said, if wanted.ends_with("in .") { vec![] } else { vec![wanted] }, "on day {day}");
    }
    assert_eq!(told(&restarted(&first).look(&may(), NOW + 61 * DAY)), []);
    // A new secret, and one whose end was told late.
    assert_eq!(told(&first.look(&ends("2028-05-01"), NOW + 61 * DAY)), []);
    assert_eq!(told(&first.look(&may(), NOW + 61 * DAY)), [("client_secret_expires", "begins")]);
    let late = watch().look(&may(), NOW + 90 * DAY);
    assert_eq!(late[0].explanation, "The client secret of the account support ended on 2027-05-01.");
}

#[test]
fn the_end_of_a_grant_is_told_three_days_ahead_and_daily_until_it_is_renewed() {
    let ends = |at: Option<Millis>| {
        let fact = AccountFact { grant_ends: at, ..account(Ready) };
        Facts { accounts: vec![fact], ..calm() }
    };
    let week = Some(NOW + 7 * DAY);
    let mut watch = watch();
    let days = [(0, None), (3, None), (4, Some("begins")), (5, Some("lasts")), (6, Some("lasts"))];
    for (day, phase) in days {
        let wanted: Vec<_> = phase.map(|phase| ("grant_ends", phase)).into_iter().collect();
        assert_eq!(told(&watch.look(&ends(week), NOW + day * DAY)), wanted, "on day {day}");
    }
    assert_eq!(told(&watch.look(&ends(Some(NOW + 14 * DAY)), NOW + 7 * DAY)), [("grant_ends", "ended")]);
    assert_eq!(told(&watch.look(&ends(None), NOW + 8 * DAY)), []);
}

#[test]
fn an_account_under_suspicion_carries_no_alerts() {
    let mut watch = watch();
    assert!(!watch.suspects(&id()));
    watch.look(&with(NeedsAuthorization), NOW);
    assert!(watch.suspects(&id()) && !watch.suspects(&AccountId::new("other")));
    watch.look(&with(Ready), NOW + 1);
    assert!(!watch.suspects(&id()));
}
