//! `hostname`, `state_dir`, `[queue]`, `[limits]`, `[admin]`, `[history]` and `[log]`.

use super::{
    AdminSettings, Bounce, HistorySettings, Limits, LogFormat, LogSettings, QueueSettings,
    login::oauth_url,
    reader::{Reader, count, text, texts},
    tree::Entry,
    units,
};
use crate::mail::Domain;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tracing_subscriber::EnvFilter;
use url::Url;

type Tree = BTreeMap<String, Entry>;

/// Where the daemon of a host keeps its state.
pub(super) const DEFAULT_STATE_DIR: &str = "/var/lib/waxseal";
/// Where that one takes mail from that was left while it was down.
pub(super) const DEFAULT_SPOOL: &str = "/var/spool/waxseal";

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The entries of `[name]`; none where it is absent.
pub(super) fn section<'a>(root: &'a Tree, name: &str, empty: &'a Tree) -> &'a Tree {
    root.get(name).and_then(Entry::table).unwrap_or(empty)
}

/// `hostname`, else the system's.
pub(super) fn hostname(root: &Tree, reader: &mut Reader) -> String {
    let Some(entry) = root.get("hostname") else {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        return if Domain::parse(&name).is_ok() { name } else { "localhost".into() };
    };
    let name = text(root, "hostname").unwrap_or_default();
    if Domain::parse(name).is_err() {
        let help = "a host name such as \"relay.example.com\"";
        reader.error(
            entry,
            format!("found {}, which is no host name", entry.value.shown()),
            Some(help.into()),
        );
    }
    name.to_owned()
}

/// `state_dir`, else the first of `$STATE_DIRECTORY`, else `/var/lib/waxseal`.
pub(super) fn state_dir(root: &Tree, env: &BTreeMap<String, String>, reader: &Reader) -> PathBuf {
    let path = match (root.get("state_dir"), text(root, "state_dir")) {
        (Some(entry), Some(path)) => reader.resolve(entry, path),
        _ => env
            .get("STATE_DIRECTORY")
            .and_then(|paths| paths.split(':').next())
            .filter(|path| !path.is_empty())
            .unwrap_or(DEFAULT_STATE_DIR)
            .into(),
    };
    std::path::absolute(&path).unwrap_or(path)
}

/// `[queue] spool`. The default is the spool of this host for the state directory of this host alone: a second daemon,
/// with a state of its own, is not to take the first one's mail.
pub(super) fn spool(root: &Tree, env: &BTreeMap<String, String>, reader: &Reader) -> PathBuf {
    let empty = Tree::new();
    let table = section(root, "queue", &empty);
    if let (Some(entry), Some(path)) = (table.get("spool"), text(table, "spool")) {
        let path = reader.resolve(entry, path);
        return std::path::absolute(&path).unwrap_or(path);
    }
    let state_dir = state_dir(root, env, reader);
    if state_dir == Path::new(DEFAULT_STATE_DIR) { DEFAULT_SPOOL.into() } else { state_dir.join("spool") }
}

/// `[queue]`.
pub(super) fn queue(root: &Tree, reader: &mut Reader) -> QueueSettings {
    let empty = Tree::new();
    let table = section(root, "queue", &empty);
    let default = QueueSettings::default();
    let mut retry = default.retry;
    if let Some(entry) = table.get("retry") {
        let waits: Vec<_> = texts(Some(entry)).into_iter().map(|(entry, _)| entry.clone()).collect();
        retry = waits.iter().map(|wait| reader.duration(Some(wait), MINUTE)).collect();
        if retry.is_empty() {
            reader.error(entry, "found no wait".into(), Some("for example [\"1m\", \"5m\", \"1h\"]".into()));
        }
    }
    let bounce = bounce(table, reader);
    QueueSettings {
        retry,
        expire: reader.duration(table.get("expire"), default.expire),
        keep_failed: reader.duration(table.get("keep_failed"), default.keep_failed),
        bounce,
        postmaster: reader.mailbox(table.get("postmaster")),
        through_timeout: reader.duration(table.get("through_timeout"), default.through_timeout),
        max_size: reader.size(table.get("max_size"), default.max_size),
        min_free: reader.size(table.get("min_free"), default.min_free),
    }
}

/// `bounce`, which names somebody whom `postmaster` has to name in turn.
fn bounce(table: &Tree, reader: &mut Reader) -> Bounce {
    let Some(entry) = table.get("bounce") else { return Bounce::default() };
    let bounce = match reader.word(entry, &["sender", "postmaster", "both", "none"]) {
        Some(1) => Bounce::Postmaster,
        Some(2) => Bounce::Both,
        Some(3) => Bounce::None,
        _ => Bounce::Sender,
    };
    if matches!(bounce, Bounce::Postmaster | Bounce::Both) && !table.contains_key("postmaster") {
        let problem = format!("found {}, and no `postmaster` to notify", entry.value.shown());
        reader.error(entry, problem, Some("set `postmaster = \"ops@example.com\"` beside it".into()));
    }
    bounce
}

/// `[limits]`.
pub(super) fn limits(root: &Tree, reader: &mut Reader) -> Limits {
    let empty = Tree::new();
    let table = section(root, "limits", &empty);
    let limits = Limits {
        message_size: reader.size(table.get("message_size"), 50 << 20),
        recipients: count(table, "recipients").unwrap_or(1000),
        connections: count(table, "connections").unwrap_or(1000),
        connections_per_client: count(table, "connections_per_client").unwrap_or(100),
        command_timeout: reader.duration(table.get("command_timeout"), 5 * MINUTE),
        data_timeout: reader.duration(table.get("data_timeout"), 10 * MINUTE),
    };
    // Below that an ordinary message of text does not fit (RFC 5321 §4.5.3.1.7 asks for 64 KiB).
    if let Some(entry) = table.get("message_size").filter(|_| limits.message_size < 64 << 10) {
        let found = units::show_size(limits.message_size);
        reader.error(entry, format!("found {found}, less than the 64KiB that RFC 5321 asks for"), None);
    }
    limits
}

/// `[admin]`; `None` where it is `"off"`.
pub(super) fn admin(root: &Tree, reader: &mut Reader) -> Option<AdminSettings> {
    let empty = Tree::new();
    let table = section(root, "admin", &empty);
    let found = text(table, "address").unwrap_or("127.0.0.1:8025");
    if found == "off" {
        return None;
    }
    let address = match (found.parse::<SocketAddr>(), table.get("address")) {
        (Ok(address), Some(entry)) if !address.ip().is_loopback() => {
            let help = "the console has no TLS yet and stays on loopback: use \"127.0.0.1:8025\", or \"off\"";
            reader.error(entry, format!("{address} is beyond loopback"), Some(help.into()));
            return None;
        }
        (Ok(address), _) => address,
        (Err(_), Some(entry)) => {
            let help = "an IP address and a port, such as \"127.0.0.1:8025\", or \"off\"";
            reader.error(entry, format!("found {}", entry.value.shown()), Some(help.into()));
            return None;
        }
        (Err(_), None) => return None,
    };
    let public_url = match table.get("public_url") {
        Some(entry) => oauth_url(entry, reader)?,
        None => Url::parse(&format!("http://localhost:{}", address.port())).ok()?,
    };
    Some(AdminSettings { address, public_url })
}

/// `[history]`.
pub(super) fn history(root: &Tree, reader: &mut Reader) -> HistorySettings {
    let empty = Tree::new();
    let table = section(root, "history", &empty);
    HistorySettings { keep: reader.duration(table.get("keep"), 30 * DAY) }
}

/// `[log]`.
pub(super) fn log(root: &Tree, reader: &mut Reader) -> LogSettings {
    let empty = Tree::new();
    let table = section(root, "log", &empty);
    let format = table.get("format").and_then(|entry| reader.word(entry, &["auto", "text", "json"]));
    let format = match format {
        Some(1) => LogFormat::Text,
        Some(2) => LogFormat::Json,
        _ => LogFormat::Auto,
    };
    let level = text(table, "level").unwrap_or("info");
    if let Some(entry) = table.get("level") {
        // A lone word that is no level would pass as the name of a module, and silence everything else.
        if level.contains(['=', ',']) {
            if let Err(error) = EnvFilter::try_new(level) {
                reader.error(entry, format!("{} is no log filter: {error}", entry.value.shown()), None);
            }
        } else {
            reader.word(entry, &["off", "error", "warn", "info", "debug", "trace"]);
        }
    }
    LogSettings { format, level: level.to_owned() }
}
