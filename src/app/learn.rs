//! `waxseal learn`: the listeners of the daemon with a gate that lets everybody in, keeps no message and writes down
//! what clients do.

use super::sockets;
use crate::{
    account::{Account, AccountId, ApplicationId, Users},
    config::{Config, Limits, ListenAddress, ListenerSettings, ListenerTls, Snapshot},
    inbound::{Admission, Budget, Client, Gate, Peer, Sink},
    learn::{self, Around, Certificate, Learned, Place, Reach, Who},
    mail::{EnhancedCode, Mailbox, QueueId, Reply, ReversePath},
    meter::{Meter, unix_millis},
    queue::{CommitError, Commitment, Receipt},
    smtp::{Authentication, Seen},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Octets of a message that are let in, whatever the configuration says: a larger one is refused for good, and its
/// application loses it. None of them are kept.
const MESSAGE: u64 = 1 << 30;

/// Everybody.
const ALL: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];

/// Listeners that learn.
pub struct Learning {
    /// Where they listen.
    pub places: Vec<Place>,
    gate: Arc<LearnGate>,
    sessions: TaskTracker,
    end: CancellationToken,
    snapshot: Snapshot,
}

impl Learning {
    /// Listens at `addresses`, or at the configuration's listeners where there is none. What is new about a client goes to
    /// `news`, a line each time.
    ///
    /// # Errors
    /// A sentence about the first address that cannot be had.
    pub async fn start(
        config: Config,
        addresses: &[ListenAddress],
        news: UnboundedSender<String>,
    ) -> anyhow::Result<Self> {
        let settings = open_to_all(&config.listeners, addresses);
        let listeners = sockets::bind(&settings).await.map_err(|error| name_way_out(error, &settings))?;
        let places = listeners.iter().zip(&settings).map(|(listener, settings)| {
            let configured = config.listeners.iter().find(|known| known.address == settings.address);
            place(settings, listener.local_addr(), configured.map(|known| known.authentication))
        });
        let places = places.collect();
        let message_size = config.limits.message_size.max(MESSAGE);
        let limits = Limits { message_size, ..config.limits.clone() };
        let admission = Admission::new(&limits);
        let gate = Arc::new(LearnGate {
            hostname: config.hostname.as_str().into(),
            limits,
            listeners: settings,
            envelopes: Arc::default(),
            meter: Meter::default(),
            users: Arc::new(Users::new(Vec::new())),
            learned: Mutex::default(),
            news,
        });
        let (sessions, end) = (TaskTracker::new(), CancellationToken::new());
        for (index, (listener, settings)) in listeners.into_iter().zip(&gate.listeners).enumerate() {
            let name: Arc<str> = settings.address.to_string().into();
            sessions.spawn(listener.run(gate.clone(), index, name, admission.clone(), end.clone()));
        }
        Ok(Self { places, gate, sessions, end, snapshot: Snapshot::new(config) })
    }

    /// Ends all sessions, and tells what was learned.
    pub async fn stop(self) -> Lesson {
        self.end.cancel();
        self.sessions.close();
        self.sessions.wait().await;
        let learned = std::mem::take(&mut *self.gate.learned());
        let config = &self.snapshot.config;
        let account_of = |sender: &str| {
            let path = ReversePath::parse(sender).ok()?;
            let routed = self.snapshot.route(None, &path).ok().map(|account| account.to_string());
            routed.or_else(|| meant_for(&config.accounts, path.mailbox()?))
        };
        let around = Around {
            places: &self.places,
            account_of: &account_of,
            accounts: config.accounts.iter().map(|account| account.id.to_string()).collect::<BTreeSet<_>>(),
            applications: config.applications.iter().map(|found| found.id.to_string()).collect(),
            message_size: config.limits.message_size,
        };
        let configuration = learn::configuration(&learned, &around);
        Lesson { learned, places: self.places, configuration }
    }
}

/// The account that has this sender and takes no mail of it: it is inactive, or an application's.
fn meant_for(accounts: &[Account], sender: &Mailbox) -> Option<String> {
    let has = |account: &&Account| {
        account.senders.iter().any(|known| known.matches(sender))
            || account.domains.iter().any(|domain| domain.covers(sender.domain()))
    };
    let account = accounts.iter().find(has)?;
    Some(match (&account.application, account.active) {
        (_, false) => format!("{}, which is inactive", account.id),
        (Some(application), true) => format!("{}, for the application {application} alone", account.id),
        (None, true) => account.id.to_string(),
    })
}

/// What was learned.
pub struct Lesson {
    /// Who came, and what they did.
    pub learned: Learned,
    /// Where, by the indexes of listeners.
    pub places: Vec<Place>,
    /// The configuration that takes it.
    pub configuration: String,
}

/// The listeners, each for everybody and for every login. One that demands STARTTLS offers it: who comes without is to be
/// seen, too. An address that was asked for has the certificate of the listener that it is, else any.
fn open_to_all(
    configured: &[Arc<ListenerSettings>],
    addresses: &[ListenAddress],
) -> Vec<Arc<ListenerSettings>> {
    let open = |listener: &ListenerSettings| {
        let tls = match listener.tls.clone() {
            ListenerTls::Required(server) => ListenerTls::Offered(server),
            other => other,
        };
        let clients = (!matches!(listener.address, ListenAddress::Unix(_))).then(|| ALL.to_vec());
        ListenerSettings { clients, tls, authentication: Authentication::Ignore, ..listener.clone() }
    };
    if addresses.is_empty() {
        return configured.iter().map(|listener| Arc::new(open(listener))).collect();
    }
    let certificate = configured.iter().find_map(|listener| listener.tls.server());
    let at = |address: &ListenAddress| match configured.iter().find(|listener| listener.address == *address) {
        Some(listener) => open(listener),
        None => open(&ListenerSettings {
            address: address.clone(),
            clients: None,
            application: None,
            tls: certificate.cloned().map_or(ListenerTls::None, ListenerTls::Offered),
            authentication: Authentication::Ignore,
        }),
    };
    addresses.iter().map(|address| Arc::new(at(address))).collect()
}

/// `bound` has the port that the system chose for port 0; `authentication` is what the configuration says there.
fn place(
    settings: &ListenerSettings,
    bound: Option<SocketAddr>,
    authentication: Option<Authentication>,
) -> Place {
    let address = match (&settings.address, bound) {
        (ListenAddress::Tcp(_), Some(bound)) => bound.to_string(),
        (address, _) => address.to_string(),
    };
    let reach = match bound {
        None => Reach::Socket,
        Some(bound) if bound.ip().to_canonical().is_loopback() => Reach::Loopback,
        Some(_) => Reach::Network,
    };
    let tls = settings.tls.server().map(|server| Certificate {
        tls: settings.tls.word(),
        certificate: server.certificate().display().to_string(),
        private_key: server.private_key().display().to_string(),
    });
    let application = settings.application.as_ref().map(ToString::to_string);
    let verifies = authentication.filter(|authentication| authentication.asks()).map(Authentication::word);
    Place { address, reach, tls, application, verifies }
}

fn name_way_out(error: anyhow::Error, settings: &[Arc<ListenerSettings>]) -> anyhow::Error {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    if let Some(cause) = cause.filter(|cause| cause.kind() == io::ErrorKind::AddrInUse) {
        // What is said of ports below 1024 is no matter here.
        let what = error.to_string().split(';').next().unwrap_or_default().to_owned();
        return anyhow::anyhow!(
            "{what}: {cause}; the daemon or another mail server has it. Stop it first (`systemctl stop waxseal.socket \
             waxseal`), or name another address with --listen"
        );
    }
    if settings.iter().any(|listener| matches!(listener.address, ListenAddress::Systemd(_))) {
        return anyhow::anyhow!(
            "{error:#}; outside of its service no socket is passed: name an address with --listen"
        );
    }
    error
}

struct LearnGate {
    hostname: Arc<str>,
    limits: Limits,
    listeners: Vec<Arc<ListenerSettings>>,
    envelopes: Arc<Budget>,
    meter: Meter,
    users: Arc<Users>,
    learned: Mutex<Learned>,
    news: UnboundedSender<String>,
}

impl LearnGate {
    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate for LearnGate {
    type Sink = Nowhere;

    fn hostname(&self) -> Arc<str> {
        self.hostname.clone()
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn listener(&self, index: usize) -> Option<Arc<ListenerSettings>> {
        self.listeners.get(index).cloned()
    }

    fn users(&self) -> Arc<Users> {
        self.users.clone()
    }

    fn application(&self, _: usize, _: Client, _: Option<&str>) -> Option<ApplicationId> {
        None
    }

    /// Every sender is let in: no message is.
    fn route(&self, _: Option<&ApplicationId>, _: &ReversePath) -> Result<AccountId, Reply> {
        Ok(AccountId::new("none"))
    }

    fn has_room(&self, _: Option<u64>) -> bool {
        true
    }

    fn envelopes(&self) -> Arc<Budget> {
        self.envelopes.clone()
    }

    fn meter(&self) -> &Meter {
        &self.meter
    }

    fn begin(&self) -> Nowhere {
        Nowhere
    }

    fn observe(&self, peer: &Peer, seen: &Seen<'_>) {
        let who = match peer.client {
            Client::Network(address) => Who::Network(address),
            Client::Local { uid } => Who::Local(uid),
        };
        let news = self.learned().take(peer.listener, who, seen);
        if let Some(news) = news {
            let line = match self.listeners.len() {
                1 => news,
                _ => format!("{}: {news}", peer.listener_name),
            };
            // Whoever listened for news may have gone.
            let _ = self.news.send(line);
        }
    }
}

/// A message that is heard to its end and kept nowhere. Its client keeps it.
struct Nowhere;

impl Sink for Nowhere {
    fn id(&self) -> QueueId {
        QueueId::new(unix_millis(), 0)
    }

    async fn write(&mut self, _: &[u8]) -> Result<(), CommitError> {
        Ok(())
    }

    async fn send_ahead(&mut self, _: &Receipt) {}

    async fn commit(self, _: Receipt) -> Result<Commitment, CommitError> {
        let text = "This relay is only learning and takes no message; keep it and try again later";
        Ok(Commitment::Refused(Reply::new(451, EnhancedCode(4, 3, 2), text)))
    }
}
