//! What sessions see of the rest: the configuration in force and the queue.

use crate::{
    account::{AccountId, ApplicationId, Users},
    config::{Limits, ListenerSettings, LiveConfig},
    inbound::{Budget, Client, Gate},
    mail::{EnhancedCode, Reply, ReversePath},
    meter::Meter,
    queue::{Intake, Queue},
};
use std::sync::Arc;

/// Sends mail to the queue.
pub(super) struct QueueGate {
    live: LiveConfig,
    queue: Queue,
    envelopes: Arc<Budget>,
}

impl QueueGate {
    pub(super) fn new(live: LiveConfig, queue: Queue) -> Self {
        Self { live, queue, envelopes: Arc::default() }
    }
}

impl Gate for QueueGate {
    type Sink = Intake;

    fn hostname(&self) -> Arc<str> {
        self.live.get().hostname.clone()
    }

    fn limits(&self) -> Limits {
        self.live.get().config.limits.clone()
    }

    fn listener(&self, index: usize) -> Option<Arc<ListenerSettings>> {
        self.live.get().config.listeners.get(index).cloned()
    }

    fn users(&self) -> Arc<Users> {
        self.live.get().config.users.clone()
    }

    fn application(&self, listener: usize, client: Client, user: Option<&str>) -> Option<ApplicationId> {
        self.live.get().application(listener, client.address(), user).cloned()
    }

    fn route(&self, application: Option<&ApplicationId>, sender: &ReversePath) -> Result<AccountId, Reply> {
        let snapshot = self.live.get();
        let routed =
            snapshot.may_send(application, sender).and_then(|()| snapshot.route(application, sender));
        routed.map_err(|sentence| Reply::new(550, EnhancedCode(5, 7, 1), sentence))
    }

    fn has_room(&self, size: Option<u64>) -> bool {
        self.queue.has_room(size)
    }

    fn envelopes(&self) -> Arc<Budget> {
        self.envelopes.clone()
    }

    fn meter(&self) -> &Meter {
        self.queue.meter()
    }

    fn begin(&self) -> Intake {
        self.queue.begin()
    }
}
