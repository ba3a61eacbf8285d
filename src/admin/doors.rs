//! Who may in to the console: one-time keys of `waxseal admin-url`, and the sessions of browsers. All of it is in memory,
//! by digests, so that nothing can show it; a restart logs everybody out.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a key waits for its browser.
pub(super) const KEY_LASTS: Duration = Duration::from_secs(10 * 60);
/// How long a session lasts that nobody uses.
pub(super) const SESSION_LASTS: Duration = Duration::from_secs(12 * 3600);
/// Keys and sessions at once; the oldest makes room.
const MOST: usize = 64;

type Digest = [u8; 32];

/// A sentence for the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flash {
    /// Something went wrong.
    pub(super) bad: bool,
    /// The sentence.
    pub(super) text: String,
}

/// Keys and sessions.
#[derive(Default)]
pub(super) struct Doors(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    keys: HashMap<Digest, Instant>,
    sessions: HashMap<Digest, Session>,
}

struct Session {
    ends: Instant,
    csrf: String,
    flash: Option<Flash>,
}

impl Doors {
    /// A key that opens once. `None` where the system has no randomness.
    pub(super) fn key(&self, now: Instant) -> Option<String> {
        let key = random()?;
        let mut inner = self.inner(now);
        make_room(&mut inner.keys, |ends| *ends);
        inner.keys.insert(digest_of(&key), now + KEY_LASTS);
        Some(key)
    }

    /// Uses a key up, for a session: what its cookie says.
    pub(super) fn redeem(&self, key: &str, now: Instant) -> Option<String> {
        self.inner(now).keys.remove(&digest_of(key))?;
        self.enter(now)
    }

    /// A session for somebody who has shown who they are: what its cookie says.
    pub(super) fn enter(&self, now: Instant) -> Option<String> {
        let (cookie, csrf) = (random()?, random()?);
        let mut inner = self.inner(now);
        make_room(&mut inner.sessions, |session| session.ends);
        let session = Session { ends: now + SESSION_LASTS, csrf, flash: None };
        inner.sessions.insert(digest_of(&cookie), session);
        Some(cookie)
    }

    /// The word that a session's forms carry; the session lasts on.
    pub(super) fn csrf(&self, cookie: &str, now: Instant) -> Option<String> {
        let mut inner = self.inner(now);
        let session = inner.sessions.get_mut(&digest_of(cookie))?;
        session.ends = now + SESSION_LASTS;
        Some(session.csrf.clone())
    }

    /// Ends a session.
    pub(super) fn leave(&self, cookie: &str, now: Instant) {
        self.inner(now).sessions.remove(&digest_of(cookie));
    }

    /// Leaves a sentence for the next page.
    pub(super) fn tell(&self, cookie: &str, flash: Flash, now: Instant) {
        if let Some(session) = self.inner(now).sessions.get_mut(&digest_of(cookie)) {
            session.flash = Some(flash);
        }
    }

    /// Takes that sentence.
    pub(super) fn told(&self, cookie: &str, now: Instant) -> Option<Flash> {
        self.inner(now).sessions.get_mut(&digest_of(cookie))?.flash.take()
    }

    /// Without what has ended.
    fn inner(&self, now: Instant) -> MutexGuard<'_, Inner> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.keys.retain(|_, ends| *ends > now);
        inner.sessions.retain(|_, session| session.ends > now);
        inner
    }
}

fn make_room<T>(all: &mut HashMap<Digest, T>, ends: impl Fn(&T) -> Instant) {
    if all.len() < MOST {
        return;
    }
    if let Some(oldest) = all.iter().min_by_key(|(_, one)| ends(one)).map(|(digest, _)| *digest) {
        all.remove(&oldest);
    }
}

fn digest_of(secret: &str) -> Digest {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    octets
}

fn random() -> Option<String> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).ok()?;
    Some(URL_SAFE_NO_PAD.encode(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_once_and_not_for_long() {
        let (doors, now) = (Doors::default(), Instant::now());
        let key = doors.key(now).unwrap();
        assert!(doors.redeem("guessed", now).is_none());
        assert!(doors.redeem(&key, now).is_some());
        assert!(doors.redeem(&key, now).is_none());
        let late = doors.key(now).unwrap();
        assert!(doors.redeem(&late, now + KEY_LASTS).is_none());
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_ends_where_it_is_left() {
        let (doors, now) = (Doors::default(), Instant::now());
        let cookie = doors.enter(now).unwrap();
        let csrf = doors.csrf(&cookie, now + SESSION_LASTS / 2).unwrap();
        assert_eq!(doors.csrf(&cookie, now + SESSION_LASTS), Some(csrf));
        assert_eq!(doors.csrf("guessed", now), None);
        doors.leave(&cookie, now);
        assert_eq!(doors.csrf(&cookie, now), None);
        let idle = doors.enter(now).unwrap();
        assert_eq!(doors.csrf(&idle, now + SESSION_LASTS), None);
    }

    #[test]
    fn a_sentence_is_told_once() {
        let (doors, now) = (Doors::default(), Instant::now());
        let cookie = doors.enter(now).unwrap();
        let flash = Flash { bad: false, text: "saved".to_owned() };
        doors.tell(&cookie, flash.clone(), now);
        assert_eq!(doors.told(&cookie, now), Some(flash));
        assert_eq!(doors.told(&cookie, now), None);
    }

    #[test]
    fn many_keys_cost_the_oldest() {
        let (doors, now) = (Doors::default(), Instant::now());
        let first = doors.key(now).unwrap();
        let keys: Vec<_> =
            (0..MOST).map(|i| doors.key(now + Duration::from_millis(1 + i as u64)).unwrap()).collect();
        let later = now + Duration::from_secs(1);
        assert!(doors.redeem(&first, later).is_none());
        assert!(doors.redeem(&keys[MOST - 1], later).is_some());
    }
}
