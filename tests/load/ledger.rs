//! What was sent and what became of it, in a few octets a message.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use waxseal::sandbox::Received;

/// What is to become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrives,
    /// Its recipient is refused for good, and its sender is told.
    Fails,
    /// Its client breaks off in the middle of the content.
    BreaksOff,
}

#[derive(Debug)]
struct Entry {
    fate: Fate,
    checksum: u32,
    acknowledged: bool,
    arrivals: u32,
    notifications: u32,
}

/// The messages by their number.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Mutex<HashMap<u64, Entry>>,
    next: AtomicU64,
    /// What clients that did nothing wrong were told instead of a 250.
    pub refusals: Mutex<Vec<String>>,
}

/// How it stands.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub acknowledged: usize,
    pub arrived: usize,
    pub duplicates: usize,
    pub failed: usize,
    pub notified: usize,
    pub broken_off: usize,
}

impl Ledger {
    /// A number for a message that is about to be sent.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn sends(&self, number: u64, fate: Fate, content: &[u8]) {
        let checksum = crc32fast::hash(content);
        let entry = Entry { fate, checksum, acknowledged: false, arrivals: 0, notifications: 0 };
        self.entries.lock().unwrap().insert(number, entry);
    }

    pub fn acknowledged(&self, number: u64) {
        self.entries.lock().unwrap().get_mut(&number).unwrap().acknowledged = true;
    }

    /// Takes in what arrived at the provider: a message as it was sent, or a notification.
    #[track_caller]
    pub fn arrived(&self, message: &Received) {
        let mut entries = self.entries.lock().unwrap();
        if message.from.is_empty() {
            let number = message.to[0].split(['-', '@']).nth(1).and_then(|number| number.parse().ok());
            let entry = number.and_then(|number: u64| entries.get_mut(&number));
            entry.unwrap_or_else(|| panic!("a notification to {:?}", message.to)).notifications += 1;
            return;
        }
        let original = without_trace(&message.octets);
        let number = number_of(original);
        let entry = entries.get_mut(&number).unwrap_or_else(|| panic!("{number} was never sent"));
        assert_eq!(crc32fast::hash(original), entry.checksum, "{number} arrived changed");
        assert_eq!(entry.fate, Fate::Arrives, "{number} should not have arrived");
        entry.arrivals += 1;
    }

    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for entry in self.entries.lock().unwrap().values() {
            tally.acknowledged += usize::from(entry.acknowledged);
            tally.arrived += usize::from(entry.arrivals > 0);
            // A notification is a message like others, and may come twice for the same reasons.
            tally.duplicates += entry.arrivals.saturating_sub(1) as usize;
            tally.duplicates += entry.notifications.saturating_sub(1) as usize;
            tally.failed += usize::from(entry.fate == Fate::Fails && entry.acknowledged);
            tally.notified += usize::from(entry.notifications > 0);
            tally.broken_off += usize::from(entry.fate == Fate::BreaksOff);
        }
        tally
    }

    /// Every acknowledged message has arrived, or failed and was told of. How often is for the tally to say.
    #[track_caller]
    pub fn check(&self) {
        let entries = self.entries.lock().unwrap();
        let wrong = |(_, entry): &(&u64, &Entry)| match entry.fate {
            Fate::Arrives => entry.acknowledged && entry.arrivals == 0 || entry.notifications > 0,
            Fate::Fails => entry.acknowledged && entry.notifications == 0,
            Fate::BreaksOff => entry.acknowledged || entry.arrivals + entry.notifications > 0,
        };
        let wrong: Vec<_> = entries.iter().filter(wrong).collect();
        assert!(wrong.is_empty(), "LOST or untold, {}: {:?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    }
}

/// The content behind the one trace field that the relay puts in front.
fn without_trace(octets: &[u8]) -> &[u8] {
    assert!(octets.starts_with(b"Received: "), "no trace field");
    let ends = |window: &[u8]| window[..2] == *b"\r\n" && !matches!(window[2], b' ' | b'\t');
    let end = octets.windows(3).position(ends).expect("an end of the trace field");
    &octets[end + 2..]
}

fn number_of(content: &[u8]) -> u64 {
    let head = std::str::from_utf8(&content[..content.len().min(300)]).unwrap_or_default();
    let (_, rest) =
        head.split_once("Message-ID: <soak-").unwrap_or_else(|| panic!("no Message-ID in {head}"));
    rest.split('@').next().unwrap().parse().unwrap()
}
