//! The configuration in force: replaced whole at a reload, read by everybody.

use super::{Config, application_of};
use crate::{
    account::{Account, AccountId, ApplicationId, routing::Routes},
    mail::ReversePath,
};
use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

/// One configuration, with what is derived from it once.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration.
    pub config: Config,
    /// Its routes.
    pub routes: Routes,
    /// Its host name, shared.
    pub hostname: Arc<str>,
}

impl Snapshot {
    /// Derives what is derived.
    pub fn new(config: Config) -> Self {
        let routes = Routes::new(&config.accounts);
        let hostname = config.hostname.as_str().into();
        Self { config, routes, hostname }
    }

    /// The account with this id.
    pub fn account(&self, id: &AccountId) -> Option<&Account> {
        self.config.accounts.iter().find(|account| account.id == *id)
    }

    /// The application of a connection; a client at a Unix socket has no address. `user` is the id of the local user who
    /// has logged in.
    pub fn application(
        &self,
        listener: usize,
        client: Option<IpAddr>,
        user: Option<&str>,
    ) -> Option<&ApplicationId> {
        let listener = self.config.listeners.get(listener)?;
        let user = user.and_then(|id| self.config.users.get(id));
        application_of(listener, &self.config.applications, client, user)
    }

    /// Whether an application may send as `sender`.
    ///
    /// # Errors
    /// A sentence for `550 5.7.1`.
    pub fn may_send(&self, application: Option<&ApplicationId>, sender: &ReversePath) -> Result<(), String> {
        let found = application.and_then(|id| self.config.applications.iter().find(|app| app.id == *id));
        found.and_then(|application| application.refusal(sender)).map_or(Ok(()), Err)
    }

    /// The account that a sender maps to.
    ///
    /// # Errors
    /// A sentence for `550 5.7.1`.
    pub fn route(
        &self,
        application: Option<&ApplicationId>,
        sender: &ReversePath,
    ) -> Result<AccountId, String> {
        self.routes.route(application, sender).map(|route| route.account).map_err(|none| none.to_string())
    }
}

/// The snapshot in force. A clone is another handle.
#[derive(Debug, Clone)]
pub struct LiveConfig(Arc<RwLock<Arc<Snapshot>>>);

impl LiveConfig {
    /// Begins with this configuration.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(Snapshot::new(config)))))
    }

    /// What is in force now.
    pub fn get(&self) -> Arc<Snapshot> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another one in force.
    pub fn set(&self, snapshot: Snapshot) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}
