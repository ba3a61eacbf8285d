//! `[[listener]]` and `[application.ID]`.

use super::{
    Application, ListenAddress, ListenerSettings, ListenerTls,
    diagnostics::did_you_mean,
    reader::{Reader, text, text_of, texts},
    tls,
    tree::{Entry, Value},
};
use crate::{
    account::{ApplicationId, SenderPattern},
    smtp::Authentication,
};
use ipnet::IpNet;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::ffi::OsStrExt as _,
    sync::Arc,
};

type Tree = BTreeMap<String, Entry>;

/// Octets that a Unix socket's path may have (unix(7), `sun_path` without its NUL).
const SOCKET_PATH: usize = 107;

/// All applications, in the order of their ids.
pub(super) fn applications(root: &Tree, reader: &mut Reader) -> Vec<Application> {
    let mut seen: Vec<(IpNet, String, String)> = Vec::new();
    let mut applications = Vec::new();
    for (id, entry) in root.get("application").and_then(Entry::table).into_iter().flatten() {
        let clients = entry.table().map(|table| nets(table.get("clients"), reader)).unwrap_or_default();
        for (entry, net) in &clients {
            if let Some((_, other, place)) = seen.iter().find(|(seen, ..)| seen == net) {
                let problem = format!("{net} belongs to the application `{other}` as well ({place})");
                reader.error(entry, problem, Some("a client belongs to one application".into()));
            }
            seen.push((*net, id.clone(), reader.locate(&entry.place)));
        }
        let clients = clients.into_iter().map(|(_, net)| net).collect();
        let allowed_senders = entry.table().and_then(|table| table.get("allowed_senders"));
        let allowed_senders = allowed_senders.map(|entry| senders(entry, reader));
        applications.push(Application { id: ApplicationId::new(id), clients, allowed_senders });
    }
    applications
}

/// `allowed_senders`, which name somebody.
fn senders(entry: &Entry, reader: &mut Reader) -> Vec<SenderPattern> {
    let found = texts(Some(entry));
    if found.is_empty() {
        let help = "leave `allowed_senders` out where the application may send as anybody";
        reader.error(entry, "found no sender, so that it could send nothing".into(), Some(help.into()));
    }
    let mut patterns = Vec::new();
    for (entry, text) in found {
        // An address literal names a host, and nobody sends as all of a host.
        match SenderPattern::parse(text).ok().filter(|_| !text.starts_with("*@[")) {
            Some(pattern) => patterns.push(pattern),
            None => {
                let domain = text.trim_start_matches(['*', '@']);
                let help = match SenderPattern::parse(&format!("*@{domain}")) {
                    Ok(pattern) if !text.contains(['[', ' ']) && text.trim_start_matches('@') == domain => {
                        format!("all of the domain are \"{pattern}\"")
                    }
                    _ => "\"user@example.com\", \"*@example.com\" or \"*@*.example.com\"".to_owned(),
                };
                let problem = format!("found {}, which is no pattern of senders", entry.value.shown());
                reader.error(entry, problem, Some(help));
            }
        }
    }
    patterns
}

/// The application that `entry` names, if there is one.
pub(super) fn application(
    entry: Option<&Entry>,
    applications: &[Application],
    reader: &mut Reader,
) -> Option<ApplicationId> {
    let entry = entry?;
    let name = text_of(entry)?;
    if let Some(found) = applications.iter().find(|application| application.id.as_str() == name) {
        return Some(found.id.clone());
    }
    let help = did_you_mean(name, applications.iter().map(|application| application.id.as_str()))
        .unwrap_or_else(|| format!("declare it with a table `[application.{name}]`"));
    reader.error(entry, format!("there is no application `{name}`"), Some(help));
    None
}

/// All listeners; the default one where none is configured.
pub(super) fn listeners(
    root: &Tree,
    applications: &[Application],
    reader: &mut Reader,
) -> Vec<Arc<ListenerSettings>> {
    let items = match root.get("listener").map(|entry| (entry, &entry.value)) {
        Some((_, Value::List(items))) if !items.is_empty() => items,
        Some((entry, _)) => {
            reader.error(
                entry,
                "found no listener".into(),
                Some("leave `listener` out for 127.0.0.1:25".into()),
            );
            return Vec::new();
        }
        None => {
            let address = ListenAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 25)));
            let (tls, authentication) = (ListenerTls::None, Authentication::None);
            let listener =
                ListenerSettings { address, clients: None, application: None, tls, authentication };
            return vec![Arc::new(listener)];
        }
    };
    let mut listeners: Vec<Arc<ListenerSettings>> = Vec::new();
    for item in items {
        let Some(table) = item.table() else { continue };
        let Some(listener) = listener(item, table, root, applications, reader) else { continue };
        let port_is_chosen = !matches!(listener.address, ListenAddress::Tcp(address) if address.port() == 0);
        if port_is_chosen && listeners.iter().any(|other| other.address == listener.address) {
            reader.error(
                table.get("address").unwrap_or(item),
                format!("two listeners at {}", listener.address),
                None,
            );
        }
        listeners.push(Arc::new(listener));
    }
    listeners
}

fn listener(
    item: &Entry,
    table: &Tree,
    root: &Tree,
    applications: &[Application],
    reader: &mut Reader,
) -> Option<ListenerSettings> {
    let tls = tls::listener_tls(item, table, reader);
    let authentication = table.get("authentication").map(|entry| authentication(entry, root, reader));
    let application = application(table.get("application"), applications, reader);
    let clients = clients(table.get("clients"), reader);
    let Some(entry) = table.get("address") else {
        let help = "for example `address = \"127.0.0.1:25\"`";
        reader.error(item, "this listener has no `address`".into(), Some(help.into()));
        return None;
    };
    let address = address(entry, text(table, "address").unwrap_or_default(), reader)?;
    match (&address, table.get("clients")) {
        (ListenAddress::Tcp(tcp), None) if !tcp.ip().is_loopback() => {
            let help =
                "say who may submit, for example `clients = [\"192.0.2.0/24\"]`, or listen on 127.0.0.1";
            let problem = format!(
                "{tcp} can be reached from beyond this host, and without `clients` nothing says who may send mail \
                 as your accounts"
            );
            reader.error(entry, problem, Some(help.into()));
        }
        (ListenAddress::Unix(_), Some(clients)) => {
            let help = "leave it out: whoever may open the socket's file may submit, and its directory says who that is";
            let problem = "a Unix socket's clients have no address that a network could hold".to_owned();
            reader.error_at_key(clients, problem, Some(help.into()));
        }
        _ => {}
    }
    let authentication = authentication.unwrap_or_default();
    let listener = ListenerSettings { address, clients, application, tls, authentication };
    if let Some(entry) = table.get("authentication") {
        check_logins(entry, &listener, reader);
    }
    Some(listener)
}

fn authentication(entry: &Entry, root: &Tree, reader: &mut Reader) -> Authentication {
    let authentication = match reader.word(entry, &["none", "optional", "required", "ignore"]) {
        Some(1) => Authentication::Optional,
        Some(2) => Authentication::Required,
        Some(3) => Authentication::Ignore,
        _ => Authentication::None,
    };
    if authentication.asks() && !root.contains_key("user") {
        let help = "add a table `[user.NAME]` with a `password`; for devices that insist on a login there is \"ignore\"";
        reader.error(entry, "there is no user who could log in".into(), Some(help.into()));
    }
    authentication
}

/// Logins that would never be taken: passwords do not travel in the clear.
fn check_logins(entry: &Entry, listener: &ListenerSettings, reader: &mut Reader) {
    let ListenAddress::Tcp(address) = &listener.address else { return };
    let readable = matches!(listener.tls, ListenerTls::None) && !address.ip().is_loopback();
    if !readable || !listener.authentication.asks() {
        return;
    }
    let said =
        format!("from beyond this host no login is taken at {address}, since it would come in the clear");
    if listener.authentication == Authentication::Required {
        let help = "set `tls` with a certificate; for devices that insist on a login there is \"ignore\"";
        reader.error(entry, said, Some(help.into()));
    } else {
        reader.warn(entry, &said);
    }
}

/// `clients`, which name somebody where they are there.
fn clients(entry: Option<&Entry>, reader: &mut Reader) -> Option<Vec<IpNet>> {
    let entry = entry?;
    let nets: Vec<_> = nets(Some(entry), reader).into_iter().map(|(_, net)| net).collect();
    if texts(Some(entry)).is_empty() {
        reader.error(entry, "found no client, so that nobody could submit".into(), None);
    }
    Some(nets)
}

/// Where a listener listens.
pub(super) fn address(entry: &Entry, text: &str, reader: &mut Reader) -> Option<ListenAddress> {
    if let Some(name) = text.strip_prefix("systemd:") {
        if name.is_empty() {
            reader.error(entry, "`systemd:` wants the socket's FileDescriptorName= after it".into(), None);
        }
        return Some(ListenAddress::Systemd(name.to_owned()));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(entry, path, reader);
    }
    if let Ok(address) = text.parse() {
        return Some(ListenAddress::Tcp(address));
    }
    let help = if let Some(port) = text.strip_prefix("localhost:") {
        format!("an IP address and a port: \"127.0.0.1:{port}\" or \"[::1]:{port}\"")
    } else if let Some(port) =
        text.strip_prefix(':').or(Some(text)).filter(|port| port.parse::<u16>().is_ok())
    {
        format!("an IP address and a port: \"127.0.0.1:{port}\" for this host, \"0.0.0.0:{port}\" for all")
    } else if text.parse::<IpAddr>().is_ok() {
        "the port is missing: \"127.0.0.1:25\", \"[::1]:25\"".to_owned()
    } else {
        "an IP address and a port: \"127.0.0.1:25\", \"[::1]:25\"; or \"unix:PATH\", or \"systemd:NAME\""
            .to_owned()
    };
    reader.error(
        entry,
        format!("found {}, which is no address to listen on", entry.value.shown()),
        Some(help),
    );
    None
}

fn unix(entry: &Entry, path: &str, reader: &mut Reader) -> Option<ListenAddress> {
    let help = "for example \"unix:/run/waxseal/smtp.sock\"";
    if path.is_empty() || path.ends_with('/') {
        reader.error(entry, "`unix:` wants the path of the socket after it".into(), Some(help.into()));
        return None;
    }
    let path = reader.resolve(entry, path);
    let path = std::path::absolute(&path).unwrap_or(path);
    let length = path.as_os_str().as_bytes().len();
    if length > SOCKET_PATH {
        let problem = format!("the path has {length} octets, and the system takes {SOCKET_PATH} at most");
        reader.error(entry, problem, Some(help.into()));
        return None;
    }
    Some(ListenAddress::Unix(path))
}

/// Networks, and single addresses as networks of one.
fn nets<'a>(entry: Option<&'a Entry>, reader: &mut Reader) -> Vec<(&'a Entry, IpNet)> {
    let mut nets = Vec::new();
    for (entry, text) in texts(entry) {
        match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) => nets.push((entry, net.trunc())),
            Err(_) => {
                let help = "an address or network: \"192.0.2.7\", \"192.0.2.0/24\", \"2001:db8::/32\"";
                let problem = format!("found {}, which is no network", entry.value.shown());
                reader.error(entry, problem, Some(help.into()));
            }
        }
    }
    nets
}
