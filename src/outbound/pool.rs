//! An account's connections: opened on demand, kept while they are fresh, never trusted blindly.

use super::{
    Attempt, LaneEffect, Outcome, Trouble, UpstreamError,
    dialogue::{Connection, Dialler},
    failure::Failure,
    report::report,
    tls::{bare_host, client_config},
    transaction::transact,
};
use crate::{
    account::{Account, SecurityMode},
    failpoint::{self, Point},
    oauth::TokenSource,
};
use rustls::ClientConfig;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// How long an idle connection is kept: providers cut theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(30);

/// The smarthost of one account. Used by several tasks at once; whoever calls it limits how many.
pub struct Upstream {
    account: Arc<Account>,
    hostname: Arc<str>,
    tokens: Arc<dyn TokenSource>,
    tls: Option<Arc<ClientConfig>>,
    idle: Arc<Idle>,
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
        Ok(Self { account, hostname, tokens, tls, idle: Arc::default() })
    }

    /// Tries the message once, on a kept connection where there is one. Never fails: what went wrong is in
    /// the outcome. Dropping the future closes its connection; the message then counts as not answered.
    pub async fn deliver(&self, attempt: &Attempt) -> Outcome {
        let mut kept = self.idle.take().await;
        loop {
            let reused = kept.is_some();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match self.dialler().open().await {
                    Ok(connection) => connection,
                    Err(failure) => return self.untried(&failure),
                },
            };
            failpoint::reach(Point::LoggedIn);
            let transacted = transact(&mut connection, attempt, &self.account.sender).await;
            failpoint::reach(Point::Transacted);
            if reused && transacted.unanswered {
                // The server had given the connection up; nothing of this message was said on it that counts.
                tracing::debug!(account = %self.account.id, "a kept connection had gone stale");
                continue;
            }
            let tls = connection.tls.clone();
            let dsn_passed_on = connection.capabilities.dsn;
            let (dispositions, lane, trouble) = report(transacted.answers, self.account.kind);
            // A server that no longer knows who we are does so until somebody logs in anew.
            if transacted.usable && lane != LaneEffect::Pause {
                self.idle.keep(connection);
            }
            return Outcome { dispositions, lane, trouble, relay: self.relay(), tls, dsn_passed_on };
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

    /// How many idle connections are kept.
    pub fn idle_connections(&self) -> usize {
        self.idle.lock().connections.len()
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
