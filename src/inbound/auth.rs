//! Logins: how far a client has come with one, and what it comes to, held against the local users off the runtime's own
//! threads, since a hash takes milliseconds of one core (RFC 4954 §4).

use crate::{
    account::Users,
    mail::Reply,
    smtp::{
        Authentication,
        auth::{self, Auth, Credentials, Exchange, Mechanism, Step},
        replies,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::spawn_blocking};
use zeroize::Zeroizing;

/// Hashes at once. Each takes the memory that its parameters say, and further ones wait.
static PLACES: Semaphore = Semaphore::const_new(2);

/// What a login came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is this user, by id.
    User(Arc<str>),
    /// It is nobody; `Some` is the user whose password it is not.
    Nobody(Option<Arc<str>>),
    /// That could not be found out.
    Unknown,
}

/// Looks at a login. It goes on to its end where nobody waits for it any more, and keeps its place so long.
pub(super) async fn verify(users: Arc<Users>, credentials: Credentials) -> Verdict {
    let Ok(place) = PLACES.acquire().await else { return Verdict::Unknown };
    let work = move || {
        let Credentials { username, password } = credentials;
        let verdict = match users.verify(&username, &password) {
            Some(user) => Verdict::User(user.id.clone()),
            None => Verdict::Nobody(users.named(&username).map(|user| user.id.clone())),
        };
        drop(place);
        verdict
    };
    spawn_blocking(work).await.unwrap_or(Verdict::Unknown)
}

/// What there is to say after a step.
pub(super) enum Said {
    Reply(Reply),
    /// Nothing yet: the credentials are to be looked at.
    Nothing,
    /// That the login is good, since nobody looks at it. This is whose it is said to be.
    LetThrough(Mechanism, Zeroizing<String>),
}

/// A session's login.
#[derive(Debug, Default)]
pub(super) struct Login {
    state: State,
    /// Logins that failed.
    failures: u32,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Out,
    /// The next line is the client's answer. The other half is what the listener does with logins.
    Asked(Exchange, Authentication),
    /// The client has said all, and nobody has looked at it.
    Given(Credentials),
    /// As this local user, by id.
    In(Arc<str>),
    /// As nobody: logins are not looked at here.
    LetThrough,
}

impl Login {
    /// AUTH.
    pub(super) fn begin(&mut self, auth: Auth, authentication: Authentication) -> Said {
        // Without one that there is, the exchange does not begin.
        let mechanism = auth.mechanism.unwrap_or(Mechanism::Plain);
        self.take(Exchange::begin(auth, authentication != Authentication::Ignore), mechanism, authentication)
    }

    pub(super) fn awaits_response(&self) -> bool {
        matches!(self.state, State::Asked(..))
    }

    /// The line behind a 334.
    pub(super) fn respond(&mut self, line: &[u8]) -> Said {
        match std::mem::take(&mut self.state) {
            State::Asked(exchange, authentication) => {
                let mechanism = exchange.mechanism();
                self.take(exchange.answer(line), mechanism, authentication)
            }
            other => {
                self.state = other;
                Said::Reply(replies::auth_syntax())
            }
        }
    }

    fn take(&mut self, step: Step, mechanism: Mechanism, authentication: Authentication) -> Said {
        let (state, said) = match step {
            Step::Ask(exchange, reply) => (State::Asked(exchange, authentication), Said::Reply(reply)),
            Step::Refused(reply) => (State::Out, Said::Reply(reply)),
            Step::Done(credentials) if authentication == Authentication::Ignore => {
                (State::LetThrough, Said::LetThrough(mechanism, credentials.username))
            }
            Step::Done(credentials) => (State::Given(credentials), Said::Nothing),
        };
        self.state = state;
        said
    }

    /// Ends an exchange without a login.
    pub(super) fn forget(&mut self) {
        if self.awaits_response() {
            self.state = State::Out;
        }
    }

    pub(super) fn take_credentials(&mut self) -> Option<Credentials> {
        match std::mem::take(&mut self.state) {
            State::Given(credentials) => Some(credentials),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The reply, and how long after the login was made it is given.
    pub(super) fn settle(&mut self, verdict: Verdict) -> (Reply, Duration) {
        match verdict {
            Verdict::User(user) => {
                self.state = State::In(user);
                (replies::logged_in(), Duration::ZERO)
            }
            Verdict::Nobody(_) => {
                self.failures += 1;
                // Counted from the login on and longer than a look takes, so that it tells nothing of what was wrong.
                (replies::auth_failed(), auth::wait(self.failures))
            }
            Verdict::Unknown => (replies::auth_trouble(), Duration::ZERO),
        }
    }

    /// The local user who has logged in.
    pub(super) fn user(&self) -> Option<&Arc<str>> {
        match &self.state {
            State::In(user) => Some(user),
            _ => None,
        }
    }

    /// Whether the client was let through as if it had logged in.
    pub(super) fn is_let_through(&self) -> bool {
        matches!(self.state, State::LetThrough)
    }
}
