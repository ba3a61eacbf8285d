//! One screen: how the daemon stands.

use super::AccountView;
use serde::{Deserialize, Serialize};

/// A listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListenerView {
    /// Its address.
    pub address: String,
    /// `none`, `starttls`, `required` or `implicit`.
    pub tls: String,
    /// `none`, `optional`, `required` or `ignore`.
    pub authentication: String,
    /// The application that its mail belongs to.
    pub application: Option<String>,
    /// The same in words.
    pub words: String,
}

/// One screen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    /// waxseal's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Since when (RFC 3339).
    pub started_at: String,
    /// The listeners' addresses.
    pub listeners: Vec<String>,
    /// What holds on each of them, in the same order.
    #[serde(default)]
    pub listener_settings: Vec<ListenerView>,
    /// Local users.
    #[serde(default)]
    pub users: usize,
    /// Accounts by state.
    pub accounts: Vec<AccountView>,
    /// Messages in the queue by state.
    pub queue: std::collections::BTreeMap<String, usize>,
    /// Octets that the queue takes on disk.
    pub queue_bytes: u64,
    /// Messages `received`, `delivered`, `deferred`, `failed` and `rejected` of late.
    #[serde(default)]
    pub rates: std::collections::BTreeMap<String, RateView>,
    /// Since when the configuration in force has been in force (RFC 3339).
    #[serde(default)]
    pub configured_at: String,
    /// The last reload, where it was refused; `null` where it was not.
    #[serde(default)]
    pub refused_reload: Option<RefusedReload>,
    /// The database that the nodes share; `null` where this host's disk is the store.
    #[serde(default)]
    pub store: Option<StoreView>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// The nodes' database, as one of them sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreView {
    /// Who this node is.
    pub node: String,
    /// Why the database does not serve, where it does not.
    pub trouble: Option<String>,
    /// Since when that is so, or when it came back (RFC 3339).
    pub since: Option<String>,
    /// Messages that are on this host's disk alone.
    #[serde(default)]
    pub uncopied: usize,
    /// The nodes, where they could be asked for.
    pub nodes: Vec<NodeView>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its waxseal's version.
    pub version: String,
    /// Since when it runs (RFC 3339).
    pub started_at: String,
    /// It was heard of lately.
    pub there: bool,
    /// Seconds since it was heard of.
    pub silent_seconds: u64,
    /// Messages in its queue.
    #[serde(default)]
    pub messages: u64,
}

impl StoreView {
    /// What an operator should know of it.
    pub fn warnings(&self) -> Vec<String> {
        let gone = self
            .nodes
            .iter()
            .filter(|node| !node.there)
            .map(|node| format!("the node {} has said nothing for {} s", node.name, node.silent_seconds));
        let trouble = self.trouble.iter().map(|trouble| {
            format!("{trouble}. Mail is taken and kept here, and goes out once the database is back")
        });
        let alone = (self.uncopied > 0).then(|| {
            format!("{} messages are on this host's disk alone until the database takes them", self.uncopied)
        });
        trouble.chain(alone).chain(gone).collect()
    }
}

/// A reload that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedReload {
    /// When (RFC 3339).
    pub at: String,
    /// Why, in one line.
    pub problem: String,
}

/// How many there were of late.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct RateView {
    /// In the last five minutes.
    pub five_minutes: u64,
    /// In the last hour.
    pub hour: u64,
    /// In the last day.
    pub day: u64,
}
