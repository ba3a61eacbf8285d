//! Builds every part from the configuration and joins them. The only module that knows all others.

mod alerts;
mod day;
mod gate;
mod learn;
mod prover;
pub mod shared;
mod sockets;
mod upstreams;

pub use learn::{Learning, Lesson};

use crate::{
    account::token::TokenState,
    admin::{self, AdminToken, Health, Refusal, Service},
    config::{Config, LiveConfig, Snapshot, front_door, load_from_process_env},
    database::Settings,
    history::History,
    inbound::{Admission, Pickup},
    oauth::{self, Tokens},
    queue::{Queue, SharedPacing, SharedQueue},
    spool::Spool,
    store,
};
use anyhow::Context as _;
use gate::QueueGate;
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, broadcast},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use upstreams::Upstreams;

/// How long sessions may take to end at a shutdown: as long as each listener gives its own, and a moment more.
const SESSIONS: Duration = Duration::from_secs(15);
/// How long transactions under way may take at a shutdown.
const DRAIN: Duration = Duration::from_secs(20);
/// How long token requests under way may take at a shutdown: longer than any of them may last.
const TOKEN_GRACE: Duration = Duration::from_secs(35);
/// How long a start waits until the nodes that share a store have heard of this one.
const JOINING: Duration = Duration::from_secs(3);
/// How often the queue is cleaned and compacted.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// The running daemon.
pub struct App {
    /// What operators can ask of it.
    pub service: Arc<Service>,
    queue: Queue,
    upstreams: Arc<Upstreams>,
    addresses: Vec<SocketAddr>,
    intake: CancellationToken,
    rest: CancellationToken,
    sessions: TaskTracker,
    tasks: TaskTracker,
}

impl App {
    /// Binds, opens, reads and starts everything. `path` is where a reload reads the configuration again; `None` is the
    /// default place.
    ///
    /// # Errors
    /// The first thing that does not work, in a sentence. Nothing is left running then.
    pub async fn start(config: Config, path: Option<PathBuf>) -> anyhow::Result<Self> {
        for warning in &config.warnings {
            tracing::warn!(target: "waxseal::config", "{warning}");
        }
        let listeners = sockets::bind(&config.listeners).await?;
        let admin_socket = match &config.admin {
            Some(admin) => Some(TcpListener::bind(admin.address).await.with_context(|| {
                format!(
                    "the admin address {} cannot be listened on; set another one, or \"off\"",
                    admin.address
                )
            })?),
            None => None,
        };
        let state_dir = config.state_dir.clone();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&state_dir).with_context(|| {
            format!(
                "the state directory {} cannot be made; set state_dir or its parent's owner",
                state_dir.display()
            )
        })?;
        // The queue's lock keeps a second daemon out before anything of the first is touched.
        let history = History::open(&state_dir.join("history"), config.history.keep)?;
        let (queue, recovery) = Queue::open(&state_dir.join("queue"), config.queue.clone(), history)?;
        tracing::info!(
            target: "waxseal::queue",
            waiting = recovery.waiting, failed = recovery.failed, damaged = recovery.damaged,
            torn = recovery.torn, orphans = recovery.orphans,
            "queue opened"
        );
        let database = shared::database(&config)?;
        let store = match &database {
            None => store::open(&state_dir)?,
            Some(database) => shared::open(database, &state_dir)?,
        };
        let tokens = Tokens::new(store, &config.accounts).await;
        let live = LiveConfig::new(config);
        let upstreams = Arc::new(Upstreams::new(queue.clone(), tokens.clone()));
        if let Some(database) = &database {
            queue.share(SharedQueue::new(database.clone()));
            queue.share_pacing(SharedPacing::new(database.clone()));
        }
        upstreams.configure(&live.get());

        let (intake, rest) = (CancellationToken::new(), CancellationToken::new());
        let (sessions, tasks) = (TaskTracker::new(), TaskTracker::new());
        let reloaded = Arc::new(Notify::new());
        let reload = reload_with(
            path.clone(),
            live.clone(),
            queue.clone(),
            tokens.clone(),
            upstreams.clone(),
            reloaded.clone(),
        );
        let upstream_of = upstreams.clone();
        let service = Service::new(
            live.clone(),
            queue.clone(),
            tokens.clone(),
            reload,
            Arc::new(move |account| upstream_of.get(account)),
            Arc::new(prover::LoginProver { live: live.clone() }),
            path,
        );
        let service = Arc::new(service.sharing(database.clone()));
        let control = state_dir.join("control.sock");
        tasks.spawn(admin::serve_control(&control, service.clone(), rest.clone())?);
        let bound = Arc::new(AtomicBool::new(false));
        if let Some(socket) = admin_socket {
            let health = health_of(bound.clone(), queue.clone());
            let token = AdminToken::load_or_make(&state_dir)
                .with_context(|| format!("the admin token in {} is of no use", state_dir.display()))?;
            tasks.spawn(admin::serve_http(socket, service.clone(), health, token, rest.clone())?);
        }
        tasks.spawn(resume_on_new_tokens(tokens.clone(), queue.clone(), rest.clone()));
        tasks.spawn(oauth::refresher::run(tokens.clone(), rest.clone()));
        tasks.spawn(oauth::turn::follow(tokens.clone(), rest.clone()));
        if let Some(database) = database.clone() {
            tasks.spawn(database.clone().attend(rest.clone()));
            tasks.spawn(admin::answer_others(service.clone(), rest.clone()));
            // Mail that came before that would be on this host's disk alone for a moment.
            database.heard_of(JOINING).await;
        }
        tasks.spawn(alerts::watch(service.clone(), reloaded, rest.clone()));
        tasks.spawn(keep_house(queue.clone(), rest.clone()));
        tasks.spawn(day::keep(queue.clone(), &state_dir, rest.clone()));

        let snapshot = live.get();
        let admission = Admission::new(&snapshot.config.limits);
        let gate = Arc::new(QueueGate::new(live.clone(), queue.clone()));
        let mut addresses = Vec::new();
        for (index, (listener, settings)) in listeners.into_iter().zip(&snapshot.config.listeners).enumerate()
        {
            addresses.extend(listener.local_addr());
            let name: Arc<str> = settings.address.to_string().into();
            tracing::info!(target: "waxseal::inbound", listener = %name, "listening");
            sessions.spawn(listener.run(gate.clone(), index, name, admission.clone(), intake.clone()));
        }
        // Where no listener is for local programs, the first one stands for it.
        let door = front_door(&snapshot.config.listeners).unwrap_or(0);
        let spool = Spool::new(&snapshot.config.spool);
        // It is there once the daemon is ready; where that is not to be had, the pickup says so.
        let _ = spool.prepare();
        let pickup = Pickup::new(gate, spool, door);
        sessions.spawn(pickup.run(intake.clone()));
        bound.store(true, Ordering::Relaxed);
        Ok(Self { service, queue, upstreams, addresses, intake, rest, sessions, tasks })
    }

    /// The TCP addresses that listeners are bound to, in the configuration's order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Drains and stops: no new mail, transactions under way get a while, everything is made durable. At each step
    /// `may_take` hears how long it may take.
    pub async fn stop(self, may_take: impl Fn(Duration)) {
        may_take(SESSIONS);
        self.intake.cancel();
        self.sessions.close();
        self.sessions.wait().await;
        may_take(DRAIN);
        self.queue.shutdown(DRAIN).await;
        may_take(upstreams::GOODBYE);
        self.upstreams.close_idle().await;
        self.queue.give_shares_back().await;
        may_take(TOKEN_GRACE);
        self.rest.cancel();
        self.tasks.close();
        // A token request under way is waited for: a rotated token that is lost cannot be had again.
        if tokio::time::timeout(TOKEN_GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!(target: "waxseal", "some background task did not end in time");
        }
    }
}

fn health_of(bound: Arc<AtomicBool>, queue: Queue) -> Health {
    Arc::new(move || {
        let mut reasons = Vec::new();
        if !bound.load(Ordering::Relaxed) {
            reasons.push("the listeners are not bound yet".to_owned());
        }
        if !queue.has_room(None) {
            reasons
                .push("the queue has no room: max_size is reached or less than min_free is left".to_owned());
        }
        reasons
    })
}

/// An account that gets tokens sends its held mail at once.
async fn resume_on_new_tokens(tokens: Tokens, queue: Queue, stop: CancellationToken) {
    let mut changed = tokens.subscribe();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            account = changed.recv() => match account {
                Ok(account) if matches!(tokens.state(&account), TokenState::Valid { .. }) => queue.resume(&account),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    for lane in queue.lanes() {
                        queue.resume(&lane.account);
                    }
                }
                Err(broadcast::error::RecvError::Closed) => return,
            },
        }
    }
}

async fn keep_house(queue: Queue, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HOUSEKEEPING) => queue.keep_house().await,
        }
    }
}

/// The reload that operators ask for: the old configuration stays where the new one is wrong.
fn reload_with(
    path: Option<PathBuf>,
    live: LiveConfig,
    queue: Queue,
    tokens: Tokens,
    upstreams: Arc<Upstreams>,
    reloaded: Arc<Notify>,
) -> admin::Reload {
    Arc::new(move || {
        let (path, live, reloaded) = (path.clone(), live.clone(), reloaded.clone());
        let (queue, tokens, upstreams) = (queue.clone(), tokens.clone(), upstreams.clone());
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || read_again(path.as_deref())).await;
            let config = read.unwrap_or_else(|e| Err(e.to_string().into())).inspect_err(|refusal| {
                let problem = &refusal.line;
                tracing::error!(target: "waxseal::config", "reload refused, the old configuration stays: {problem}");
            })?;
            let (config, kept) = keep_what_is_bound(config, &live.get().config);
            for warning in &config.warnings {
                tracing::warn!(target: "waxseal::config", "{warning}");
            }
            queue.set_settings(config.queue.clone());
            queue.history().set_keep(config.history.keep);
            tokens.reconfigure(&config.accounts).await;
            live.set(Snapshot::new(config));
            upstreams.configure(&live.get());
            reloaded.notify_one();
            tracing::info!(target: "waxseal::config", "reloaded");
            Ok(std::iter::once("reloaded".to_owned()).chain(kept).collect::<Vec<_>>().join("\n"))
        })
    })
}

fn read_again(path: Option<&Path>) -> Result<Config, Refusal> {
    load_from_process_env(path).map_err(|errors| Refusal::from(&errors))
}

/// What a running process is bound to stays, and is said: at once, and as a warning for as long as it is so.
fn keep_what_is_bound(mut config: Config, old: &Config) -> (Config, Vec<String>) {
    let mut kept = Vec::new();
    let mut keep = |changed: bool, what: &str| {
        if changed {
            kept.push(format!("{what}: that takes effect at the next start"));
        }
        changed
    };
    let sockets = |config: &Config| config.listeners.iter().map(|l| l.address.clone()).collect::<Vec<_>>();
    let listeners = "the address of a [[listener]], or their number or order, has changed, so that all of them stay as they \
                     are";
    if keep(sockets(&config) != sockets(old), listeners) {
        config.listeners.clone_from(&old.listeners);
    }
    if keep(config.spool != old.spool, "[queue] spool has changed") {
        config.spool.clone_from(&old.spool);
    }
    if keep(config.state_dir != old.state_dir, "state_dir has changed") {
        config.state_dir.clone_from(&old.state_dir);
    }
    let places = |config: &Config| (config.limits.connections, config.limits.connections_per_client);
    if keep(places(&config) != places(old), "[limits] connections or connections_per_client has changed") {
        config.limits.connections = old.limits.connections;
        config.limits.connections_per_client = old.limits.connections_per_client;
    }
    let was = old.store.as_ref().map(Settings::identity);
    if keep(config.store.as_ref().map(Settings::identity) != was, "[store] has changed") {
        config.store.clone_from(&old.store);
    }
    if keep(config.log != old.log, "[log] has changed") {
        config.log.clone_from(&old.log);
    }
    let address = |config: &Config| config.admin.as_ref().map(|admin| admin.address);
    if keep(address(&config) != address(old), "[admin] address has changed, so that [admin] stays as it is") {
        config.admin.clone_from(&old.admin);
    }
    config.warnings.extend(kept.iter().cloned());
    (config, kept)
}
