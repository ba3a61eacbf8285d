//! An account's connections: opened on demand, kept while they are fresh, never trusted blindly.

use super::{
    Attempt, LaneEffect, Outcome, Trouble, UpstreamError,
    dialogue::{Connection, Dialler},
    failure::Failure,
    report::report,
    tls::{bare_host, client_config},
    transaction::{Ahead, Work, transact},
};
use crate::{
    account::{Account, SecurityMode},
    failpoint::{self, Point},
    mail::QueueId,
    oauth::TokenSource,
};
use rustls::ClientConfig;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// How long an idle connection is kept: providers cut theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(30);
/// How long nothing is sent ahead to a server that has stumbled over it.
const IN_STEP: Duration = Duration::from_secs(3600);

/// The smarthost of one account. Used by several tasks at once; whoever calls it limits how many.
pub struct Upstream {
    account: Arc<Account>,
    hostname: Arc<str>,
    tokens: Arc<dyn TokenSource>,
    tls: Option<Arc<ClientConfig>>,
    idle: Arc<Idle>,
    step: Step,
    /// How many connections are open, idle ones included.
    open: Arc<AtomicUsize>,
}

/// An attempt whose commands went out behind the final dot of the one before; none of their replies has been read.
/// Dropped, it closes its connection: as no content has been sent, the server has nothing of it.
pub struct Begun {
    connection: Box<Connection>,
    queue_id: QueueId,
    /// As it was configured then.
    account: Arc<Account>,
}

/// Whether a server has stumbled over commands behind a final dot lately. Then each message waits for its turn: one
/// that was taken and whose reply is lost would come twice.
#[derive(Default)]
struct Step {
    kept_since: Mutex<Option<Instant>>,
}

impl Step {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.kept_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) {
        *self.lock() = Some(Instant::now());
    }

    fn is_kept(&self) -> bool {
        self.lock().is_some_and(|since| since.elapsed() < IN_STEP)
    }
}

/// Connections between transactions, the latest used last.
#[derive(Default)]
struct Idle {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    connections: Vec<(Connection, Instant)>,
    reaper: bool,
    /// Nothing will ask for them any more.
    retired: bool,
}

impl Upstream {
    /// Prepares what all connections share; `hostname` is the EHLO name. Reads `ca_file`, and the system's
    /// trusted roots.
    ///
    /// # Errors
    /// What the configuration has to change: an unusable `ca_file` or server name, no roots at all.
    pub fn new(
        account: Arc<Account>,
        hostname: Arc<str>,
        tokens: Arc<dyn TokenSource>,
    ) -> Result<Self, UpstreamError> {
        let tls = match account.server.security {
            SecurityMode::None => None,
            SecurityMode::StartTls | SecurityMode::Tls => Some(client_config(&account.server)?),
        };
        Ok(Self {
            account,
            hostname,
            tokens,
            tls,
            idle: Arc::default(),
            step: Step::default(),
            open: Arc::default(),
        })
    }

    /// Takes the place of another upstream of the same account, whose connections under way count on.
    #[must_use]
    pub fn in_place_of(self, other: &Self) -> Self {
        Self { open: other.open.clone(), ..self }
    }

    /// Tries the message once, on a kept connection where there is one. Never fails: what went wrong is in
    /// the outcome. Dropping the future closes its connection; the message then counts as not answered.
    pub async fn deliver(&self, attempt: &Attempt) -> Outcome {
        self.deliver_in_turn(attempt, None, None).await.0
    }

    /// Whether the commands of the next attempt may go out behind the final dot of this one.
    pub fn sends_ahead(&self) -> bool {
        !self.step.is_kept()
    }

    /// As [`Upstream::deliver`], in a row of attempts on one connection. The attempt goes on where it was `begun`, and
    /// the commands of `next` go out behind its final dot where the server takes that (RFC 2920 §3.1), which saves them
    /// a round trip; `next` is then to be called for with what is given back. What another attempt or another
    /// configuration of the account has begun is not gone on with.
    pub async fn deliver_in_turn(
        &self,
        attempt: &Attempt,
        begun: Option<Begun>,
        next: Option<&Attempt>,
    ) -> (Outcome, Option<Begun>) {
        let mut next = next.filter(|_| self.sends_ahead());
        let begun = begun
            .filter(|begun| begun.queue_id == attempt.queue_id && Arc::ptr_eq(&begun.account, &self.account));
        let (mut kept, mut begun) = match begun {
            Some(Begun { connection, .. }) => (Some(*connection), true),
            None => (self.idle.take().await, false),
        };
        loop {
            let reused = kept.is_some();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match self.dialler().open().await {
                    Ok(connection) => connection,
                    Err(failure) => return (self.untried(&failure), None),
                },
            };
            failpoint::reach(Point::LoggedIn);
            let policy = &self.account.sender;
            let work = Work { attempt, policy, begun: std::mem::take(&mut begun), next };
            let transacted = transact(&mut connection, work).await;
            failpoint::reach(Point::Transacted);
            if transacted.ahead == Ahead::Stumbled {
                self.step.keep();
                next = None;
                tracing::debug!(account = %self.account.id,
                    "the server may not take commands behind a final dot; none are sent ahead for an hour");
            }
            if reused && transacted.unanswered {
                // The server had given the connection up; nothing of this message was said on it that counts.
                tracing::debug!(account = %self.account.id, "a kept connection had gone stale");
                continue;
            }
            let tls = connection.tls.clone();
            let dsn_passed_on = connection.capabilities.dsn;
            let (dispositions, lane, trouble) = report(transacted.answers, self.account.kind);
            let mut ahead = None;
            // A server that no longer knows who we are does so until somebody logs in anew.
            if transacted.usable && lane != LaneEffect::Pause {
                match next.filter(|_| transacted.ahead == Ahead::Begun) {
                    Some(next) => {
                        let (connection, account) = (Box::new(connection), self.account.clone());
                        ahead = Some(Begun { connection, queue_id: next.queue_id, account });
                    }
                    None => self.idle.keep(connection),
                }
            }
            let relay = self.relay();
            return (Outcome { dispositions, lane, trouble, relay, tls, dsn_passed_on }, ahead);
        }
    }

    /// Connects, secures the connection, logs in, and says goodbye.
    ///
    /// # Errors
    /// What it means for the lane, and what to tell the operator.
    pub async fn probe(&self) -> Result<(), (LaneEffect, Trouble)> {
        match self.dialler().open().await {
            Ok(connection) => {
                connection.quit().await;
                Ok(())
            }
            Err(failure) => Err(failure.judge(self.account.kind)),
        }
    }

    /// Takes leave of the idle connections. Those in use are not touched.
    pub async fn close_idle(&self) {
        let connections = std::mem::take(&mut self.idle.lock().connections);
        for (connection, _) in connections {
            connection.quit().await;
        }
    }

    /// Takes leave of those idle connections, the longest idle first, that are too many where no more than `most` may be
    /// open.
    pub fn close_beyond(&self, most: usize) {
        let excess = self.connections().saturating_sub(most);
        let mut kept = self.idle.lock();
        let count = excess.min(kept.connections.len());
        for (connection, _) in kept.connections.drain(..count) {
            tokio::spawn(connection.quit());
        }
    }

    /// Takes leave of the idle connections, and of those in use once their transactions are over: another takes this
    /// one's place.
    pub async fn retire(&self) {
        self.idle.lock().retired = true;
        self.close_idle().await;
    }

    /// How many idle connections are kept.
    pub fn idle_connections(&self) -> usize {
        self.idle.lock().connections.len()
    }

    /// How many connections are open, idle ones included.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// `host:port` of the server.
    pub fn relay(&self) -> String {
        let server = &self.account.server;
        let host = bare_host(&server.host);
        if host.contains(':') {
            format!("[{host}]:{}", server.port)
        } else {
            format!("{host}:{}", server.port)
        }
    }

    /// Whose smarthost it is.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    pub(super) fn dialler(&self) -> Dialler<'_> {
        Dialler {
            account: &self.account,
            hostname: &self.hostname,
            tls: self.tls.as_ref(),
            tokens: self.tokens.as_ref(),
            open: &self.open,
        }
    }

    fn untried(&self, failure: &Failure) -> Outcome {
        let (lane, trouble) = failure.judge(self.account.kind);
        Outcome {
            dispositions: Vec::new(),
            lane,
            trouble: Some(trouble),
            relay: self.relay(),
            tls: "none".to_owned(),
            dsn_passed_on: false,
        }
    }
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last that is still quiet; whatever else turns up dead on the way is dropped.
    async fn take(&self) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.lock().connections.pop()?;
            if since.elapsed() < IDLE && connection.wire.is_quiet().await {
                return Some(connection);
            }
        }
    }

    fn keep(self: &Arc<Self>, connection: Connection) {
        let mut kept = self.lock();
        if kept.retired {
            tokio::spawn(connection.quit());
            return;
        }
        kept.connections.push((connection, Instant::now()));
        if !std::mem::replace(&mut kept.reaper, true) {
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }
}

/// Closes connections that have been idle too long, and ends when there are none.
async fn reap(idle: Weak<Idle>) {
    loop {
        let due = {
            let Some(idle) = idle.upgrade() else { return };
            let mut kept = idle.lock();
            let Some((_, since)) = kept.connections.first() else {
                kept.reaper = false;
                return;
            };
            *since + IDLE
        };
        sleep_until(due).await;
        let Some(idle) = idle.upgrade() else { return };
        let now = Instant::now();
        let old: Vec<_> = {
            let mut kept = idle.lock();
            let count = kept.connections.iter().take_while(|(_, since)| *since + IDLE <= now).count();
            kept.connections.drain(..count).collect()
        };
        for (connection, _) in old {
            connection.quit().await;
        }
    }
}
