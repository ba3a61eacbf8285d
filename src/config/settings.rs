//! The configuration as the rest of the program sees it: checked, resolved, free of serde.

use super::ListenerTls;
use crate::{
    account::{Account, ApplicationId, SenderPattern, Users},
    mail::{Mailbox, ReversePath},
    smtp::Authentication,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// Everything that the daemon is built from.
#[derive(Debug, Clone)]
pub struct Config {
    /// EHLO name, Received, Message-ID.
    pub hostname: String,
    /// Store and queue.
    pub state_dir: PathBuf,
    /// Where sendmail(8) leaves mail while the daemon is down: `[queue] spool`.
    pub spool: PathBuf,
    /// Where mail comes in.
    pub listeners: Vec<Arc<ListenerSettings>>,
    /// Applications by id, in the order of their ids.
    pub applications: Vec<Application>,
    /// Local users, in the order of their ids.
    pub users: Arc<Users>,
    /// All accounts, inactive ones too, in the order of their ids.
    pub accounts: Vec<Account>,
    /// `[queue]`.
    pub queue: QueueSettings,
    /// `[limits]`.
    pub limits: Limits,
    /// `[admin]`; `None` where the address is `"off"`.
    pub admin: Option<AdminSettings>,
    /// `[history]`.
    pub history: HistorySettings,
    /// `[alert]`.
    pub alert: AlertSettings,
    /// `[log]`.
    pub log: LogSettings,
    /// `[store]`; `None` where this host's disk is the store.
    pub store: Option<crate::database::Settings>,
    /// What an operator should know, although the configuration is valid: the old form, plain-text logins,
    /// validation turned off. One sentence each, with file and line where known.
    pub warnings: Vec<String>,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket, by the path of its file.
    Unix(PathBuf),
    /// A socket that systemd passes, by its `FileDescriptorName=`.
    Systemd(String),
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// One `[[listener]]`.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// Where it listens.
    pub address: ListenAddress,
    /// Who may submit over the network; `None` where the configuration does not say. Never there for a Unix socket.
    pub clients: Option<Vec<IpNet>>,
    /// The application that mail from here belongs to.
    pub application: Option<ApplicationId>,
    /// How it is secured.
    pub tls: ListenerTls,
    /// Whether its clients log in.
    pub authentication: Authentication,
}

impl ListenerSettings {
    /// Who may submit over the network: this host, where the configuration says nothing.
    pub fn clients(&self) -> &[IpNet] {
        self.clients.as_deref().unwrap_or(&LOOPBACK)
    }

    /// Whether a client at this address may submit. IPv4 in IPv6 counts as IPv4.
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.clients().iter().any(|network| network.contains(&client))
    }
}

impl ListenerSettings {
    /// How it is secured and whom it believes, in a few words: `STARTTLS offered, AUTH required`.
    pub fn in_words(&self) -> String {
        let tls = match self.tls {
            ListenerTls::None => "no TLS",
            ListenerTls::Offered(_) => "STARTTLS offered",
            ListenerTls::Required(_) => "STARTTLS demanded",
            ListenerTls::Implicit(_) => "TLS from the first octet",
        };
        let authentication = match self.authentication {
            Authentication::None => "no AUTH",
            Authentication::Optional => "AUTH optional",
            Authentication::Required => "AUTH required",
            Authentication::Ignore => "any login accepted and none looked at",
        };
        format!("{tls}, {authentication}")
    }
}

/// This host.
static LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// One `[application.ID]`.
#[derive(Debug, Clone)]
pub struct Application {
    /// Its id.
    pub id: ApplicationId,
    /// Connections from here belong to it, whichever the listener. The longest prefix wins.
    pub clients: Vec<IpNet>,
    /// Whom it may send as; `None` is no restriction, and never an empty list. The null reverse-path is nobody's, and
    /// always allowed: vacation notices and reports come with it.
    pub allowed_senders: Option<Vec<SenderPattern>>,
}

impl Application {
    /// Why it may not send as `sender`, a sentence for `550 5.7.1`; `None` where it may.
    pub fn refusal(&self, sender: &ReversePath) -> Option<String> {
        let (Some(allowed), Some(mailbox)) = (&self.allowed_senders, sender.mailbox()) else { return None };
        let covered = allowed.iter().any(|pattern| pattern.covers(mailbox));
        (!covered).then(|| format!("the application {} may not send as {mailbox}", self.id))
    }
}

/// Who is notified of a failure (RFC 3464).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bounce {
    /// The reverse-path of the message.
    #[default]
    Sender,
    /// [`QueueSettings::postmaster`].
    Postmaster,
    /// Both of them.
    Both,
    /// Nobody.
    None,
}

/// `[queue]`.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// Waits between attempts; the last one repeats. Never empty.
    pub retry: Vec<Duration>,
    /// The age at which a message fails.
    pub expire: Duration,
    /// How long failed messages stay.
    pub keep_failed: Duration,
    /// Who is notified of a failure.
    pub bounce: Bounce,
    /// Who looks after the mail here. Always there where `bounce` is `Postmaster` or `Both`.
    pub postmaster: Option<Mailbox>,
    /// How long a client waits for the provider's verdict where an account has `delivery = "through"`.
    pub through_timeout: Duration,
    /// Octets on disk past which new mail gets 452 4.3.1.
    pub max_size: u64,
    /// Octets that must stay free on the disk.
    pub min_free: u64,
}

/// What holds where the configuration says nothing.
impl Default for QueueSettings {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            retry: [1, 5, 15, 60].map(minutes).to_vec(),
            expire: minutes(5 * 24 * 60),
            keep_failed: minutes(14 * 24 * 60),
            bounce: Bounce::default(),
            postmaster: None,
            through_timeout: Duration::from_secs(30),
            max_size: 10 << 30,
            min_free: 512 << 20,
        }
    }
}

/// `[limits]`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Octets of content.
    pub message_size: u64,
    /// Recipients of one message.
    pub recipients: usize,
    /// Connections at once, all listeners together.
    pub connections: usize,
    /// Connections at once from one client address, or one user of this host at Unix sockets.
    pub connections_per_client: usize,
    /// Longest wait for a command.
    pub command_timeout: Duration,
    /// Longest silence inside a message; used up as well by a client that sends less than 500 octets a second.
    pub data_timeout: Duration,
}

/// `[admin]`.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// The address to listen on; loopback only, for now.
    pub address: SocketAddr,
    /// How browsers reach it; the redirect URI is this and `/oauth/callback`.
    pub public_url: url::Url,
}

/// `[history]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySettings {
    /// How long what became of a message is kept.
    pub keep: Duration,
}

/// `[alert]`. Without a command and a mailbox, alerts are in the log alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertSettings {
    /// The program, an absolute path, and its arguments; empty where there is none.
    pub command: Vec<String>,
    /// Who gets alerts by mail.
    pub mail_to: Option<Mailbox>,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Journald's prefixes under systemd, text elsewhere.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Form of the lines.
    pub format: LogFormat,
    /// A tracing filter: a level, or directives.
    pub level: String,
}
