//! Codes and tokens that the sandbox has handed out.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// An authorization code that waits to be redeemed.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) challenge: String,
    pub(super) redirect_uri: String,
    pub(super) client_id: String,
}

/// How a device code stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Device {
    /// Never given out, or used up.
    Unknown,
    /// Nobody has decided yet.
    Undecided,
    /// Somebody said no.
    Denied,
    /// Somebody agreed.
    Approved,
}

#[derive(Debug, Default)]
struct State {
    codes: HashMap<String, Code>,
    access: HashMap<String, (usize, Instant)>,
    /// Refresh tokens, and the end of those that have been rotated out.
    refresh: HashMap<String, Option<Instant>>,
    /// Device codes with what a person types and what they decided.
    devices: HashMap<String, (String, Device)>,
    /// Names of assertions that have been used.
    assertions: HashSet<String>,
    handed_out: usize,
    token_requests: usize,
    refreshed_at: Vec<Instant>,
    dead_presented: usize,
    invalid_grant: bool,
    broken: bool,
}

/// The grants of one sandbox, for tests to look at and to spoil.
#[derive(Debug, Default)]
pub struct Grants(Mutex<State>);

impl Grants {
    /// Requests that the token endpoint has had.
    pub fn token_requests(&self) -> usize {
        self.state().token_requests
    }

    /// When a refresh token was last taken, each time.
    pub fn refreshed_at(&self) -> Vec<Instant> {
        self.state().refreshed_at.clone()
    }

    /// How often the mail server was shown an access token that was not alive.
    pub fn dead_presented(&self) -> usize {
        self.state().dead_presented
    }

    /// An access token that works for `life`, handed out without ceremony.
    pub fn issue_access_token(&self, life: Duration) -> String {
        let mut state = self.state();
        state.handed_out += 1;
        let token = random();
        let number = state.handed_out;
        state.access.insert(token.clone(), (number, Instant::now() + life));
        token
    }

    /// A refresh token, handed out without ceremony.
    pub fn issue_refresh_token(&self) -> String {
        let token = random();
        self.state().refresh.insert(token.clone(), None);
        token
    }

    /// Ends every access token.
    pub fn revoke_access_tokens(&self) {
        self.state().access.clear();
    }

    /// Ends every refresh token.
    pub fn revoke_refresh_tokens(&self) {
        self.state().refresh.clear();
    }

    /// Whether the token endpoint answers every grant with `invalid_grant`.
    pub fn set_invalid_grant(&self, on: bool) {
        self.state().invalid_grant = on;
    }

    /// Whether the token endpoint answers with a 500 and a page of HTML.
    pub fn set_broken(&self, on: bool) {
        self.state().broken = on;
    }

    /// The number of a live access token.
    pub(super) fn live(&self, token: &str) -> Option<usize> {
        let mut state = self.state();
        let alive =
            state.access.get(token).filter(|(_, end)| *end > Instant::now()).map(|(number, _)| *number);
        state.dead_presented += usize::from(alive.is_none());
        alive
    }

    pub(super) fn add_code(&self, code: Code) -> String {
        let name = random();
        self.state().codes.insert(name.clone(), code);
        name
    }

    /// A code is good once.
    pub(super) fn take_code(&self, name: &str) -> Option<Code> {
        self.state().codes.remove(name)
    }

    /// A new device code and its user code.
    pub(super) fn add_device(&self, approved: bool) -> (String, String) {
        let (device_code, user_code) = (random(), random()[..8].to_uppercase());
        let device = if approved { Device::Approved } else { Device::Undecided };
        self.state().devices.insert(device_code.clone(), (user_code.clone(), device));
        (device_code, user_code)
    }

    /// Takes a person's decision; whether there is such a code.
    pub(super) fn decide(&self, user_code: &str, approved: bool) -> bool {
        let mut state = self.state();
        let device = state.devices.values_mut().find(|(known, _)| known == user_code);
        device.is_some_and(|(_, device)| {
            *device = if approved { Device::Approved } else { Device::Denied };
            true
        })
    }

    /// How a device code stands; decided, it is used up.
    pub(super) fn take_device(&self, device_code: &str) -> Device {
        let mut state = self.state();
        let device = state.devices.get(device_code).map_or(Device::Unknown, |(_, device)| *device);
        if device != Device::Undecided {
            state.devices.remove(device_code);
        }
        device
    }

    /// Whether an assertion of this name has not been here before.
    pub(super) fn is_new(&self, name: &str) -> bool {
        self.state().assertions.insert(name.to_owned())
    }

    /// Counts a request; whether the endpoint is broken, and whether it refuses all grants.
    pub(super) fn count_request(&self) -> (bool, bool) {
        let mut state = self.state();
        state.token_requests += 1;
        (state.broken, state.invalid_grant)
    }

    /// Whether the refresh token is good; with `rotate_out` it ends after that time.
    pub(super) fn use_refresh_token(&self, token: &str, rotate_out: Option<Duration>) -> bool {
        let mut state = self.state();
        let Some(end) = state.refresh.get_mut(token) else { return false };
        let now = Instant::now();
        if end.is_some_and(|end| end <= now) {
            return false;
        }
        if let Some(grace) = rotate_out {
            end.get_or_insert(now + grace);
        }
        state.refreshed_at.push(now);
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 bits that nobody guesses.
fn random() -> String {
    let mut octets = [0u8; 32];
    // Without the system's randomness a sandbox may as well hand out weaker names.
    if getrandom::fill(&mut octets).is_err() {
        octets.iter_mut().for_each(|octet| *octet = fastrand::u8(..));
    }
    URL_SAFE_NO_PAD.encode(octets)
}
