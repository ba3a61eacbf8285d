//! The history as its users see it: told, waited for, read back.

use super::*;
use crate::mail::QueueId;
use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

const KEEP: Duration = Duration::from_secs(30 * 86_400);
const DAY: u64 = ledger::DAY;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn event(at: u64, sequence: u32) -> Event {
    Event::new(at, QueueId::new(at, sequence), What::Received)
}

fn known(directory: &Path, event: &Event) -> bool {
    let found = search(directory, &Query::Id(event.id), 20, &|| false);
    found.is_ok_and(|found| found.messages.iter().any(|message| message.events.contains(event)))
}

#[track_caller]
fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !seen() {
        assert!(Instant::now() < deadline, "not seen in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_told_is_there_after_a_sync_and_after_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history");
    let at = now();
    {
        let history = History::open(&path, KEEP).unwrap();
        assert!(!path.exists(), "nothing is touched before something is told");
        history.prepare(&[event(at, 1), event(at, 2)]).tell();
        history.sync_blocking();
        assert!(known(&path, &event(at, 1)) && known(&path, &event(at, 2)));
        history.prepare(&[event(at, 3)]).tell();
    }
    assert!(known(&path, &event(at, 3)));
    assert!(History::open(&path, KEEP).unwrap().recalls_from() >= at - SLACK);
}

#[test]
fn without_anybody_waiting_it_is_synced_within_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path(), KEEP).unwrap();
    let at = now();
    history.prepare(&[event(at, 1)]).tell();
    until("a mark", || days::read_mark(directory.path()) >= at);
    assert!(known(directory.path(), &event(at, 1)));
}

#[test]
fn what_is_announced_and_not_told_is_left_to_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let at = now() - 60_000;
    {
        let history = History::open(directory.path(), KEEP).unwrap();
        let untold = history.prepare(&[event(at, 1)]);
        history.prepare(&[event(now(), 2)]).tell();
        history.sync_blocking();
        drop(untold);
    }
    let history = History::open(directory.path(), KEEP).unwrap();
    assert_eq!(history.recalls_from(), at - SLACK);
    history.recall(&event(at, 1));
    history.recall(&event(at - SLACK - 1, 3));
    history.sync_blocking();
    assert!(known(directory.path(), &event(at, 1)));
    assert!(!known(directory.path(), &event(at - SLACK - 1, 3)), "that is known from the last run");
}

/// The directory's place is taken by a file at first: every write fails, until that goes.
#[test]
fn a_disk_that_refuses_costs_nobody_a_wait_and_is_written_to_again_when_it_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history");
    fs::write(&path, "in the way").unwrap();
    let history = History::open(&path, KEEP).unwrap();
    let at = now();
    history.prepare(&[event(at, 1)]).tell();
    history.sync_blocking();
    assert!(history.trouble().is_some());
    history.prepare(&[event(at, 2)]).tell();
    fs::remove_file(&path).unwrap();
    until("the end of the trouble", || history.trouble().is_none());
    until("the lines", || known(&path, &event(at, 1)) && known(&path, &event(at, 2)));
}

/// `/dev/full` takes the name of the day's file: ENOSPC.
#[test]
fn a_full_disk_loses_what_finds_no_room_and_the_next_start_asks_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = now();
    let file = days::Day::of(at).path(directory.path());
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let history = History::open(directory.path(), KEEP).unwrap();
    let long = Event { explanation: "x".repeat(1 << 20), ..event(at, 0) };
    let told = 12;
    for sequence in 0..told {
        history.recall(&Event { id: QueueId::new(at, sequence), ..long.clone() });
        history.sync_blocking();
    }
    assert!(history.trouble().unwrap().contains("space"), "{:?}", history.trouble());
    fs::remove_file(&file).unwrap();
    until("the end of the trouble", || history.trouble().is_none());
    history.sync_blocking();
    drop(history);
    let all = fs::read(&file).unwrap().iter().filter(|octet| **octet == b'\n').count();
    assert!((1..told as usize).contains(&all), "{all} of {told} found room");
    assert!(History::open(directory.path(), KEEP).unwrap().recalls_from() <= at - SLACK);
}

#[test]
fn work_waits_for_what_was_told_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path(), KEEP).unwrap();
    let at = now();
    let seen = Arc::new(Mutex::new(Vec::new()));
    for sequence in 0..20 {
        history.prepare(&[event(at, sequence)]).tell();
        let (seen, path) = (seen.clone(), directory.path().to_owned());
        history.then(move || seen.lock().unwrap().push(known(&path, &event(at, sequence))));
    }
    history.sync_blocking();
    assert_eq!(*seen.lock().unwrap(), [true; 20]);
}

#[test]
fn the_last_handle_may_go_in_work_of_the_writer() {
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path(), KEEP).unwrap();
    let (go, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (last, wait, done) = (history.clone(), go.clone(), gone.clone());
    history.then(move || {
        while !wait.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        drop(last);
        done.store(true, Ordering::Relaxed);
    });
    let other = thread::spawn(move || drop(history));
    go.store(true, Ordering::Relaxed);
    other.join().unwrap();
    until("the end of the work", || gone.load(Ordering::Relaxed));
}

#[test]
fn days_go_when_they_have_been_kept_and_a_shorter_keep_takes_effect() {
    let directory = tempfile::tempdir().unwrap();
    let today = now() / DAY * DAY;
    let file = |ago: u64| days::Day::of(today - ago * DAY).path(directory.path());
    for ago in [5, 29, 30, 31, 400] {
        fs::write(file(ago), "x\n").unwrap();
    }
    let history = History::open(directory.path(), KEEP).unwrap();
    history.sync_blocking();
    // Work comes before the cleaning; what is done after it is seen by the next one.
    until("the cleaning", || !file(31).exists());
    assert_eq!([5, 29, 30, 400].map(|ago| file(ago).exists()), [true, true, true, false]);
    history.set_keep(Duration::from_secs(6 * 86_400));
    history.prepare(&[event(now(), 1)]).tell();
    until("the cleaning", || !file(30).exists());
    assert!(file(5).exists());
}
