//! `[[listener]]` and `[application.ID]`.

use super::{
    Application, ListenAddress, ListenerSettings,
    diagnostics::did_you_mean,
    reader::{Reader, text, text_of, texts},
    tree::{Entry, Value},
};
use crate::account::ApplicationId;
use ipnet::IpNet;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

type Tree = BTreeMap<String, Entry>;

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
        applications.push(Application { id: ApplicationId::new(id), clients });
    }
    applications
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
) -> Vec<ListenerSettings> {
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
            return vec![ListenerSettings { address, clients: loopback(), application: None }];
        }
    };
    let mut listeners: Vec<ListenerSettings> = Vec::new();
    for item in items {
        let Some(table) = item.table() else { continue };
        let Some(listener) = listener(item, table, applications, reader) else { continue };
        let port_is_chosen = !matches!(listener.address, ListenAddress::Tcp(address) if address.port() == 0);
        if port_is_chosen && listeners.iter().any(|other| other.address == listener.address) {
            reader.error(
                table.get("address").unwrap_or(item),
                format!("two listeners at {}", listener.address),
                None,
            );
        }
        listeners.push(listener);
    }
    listeners
}

fn listener(
    item: &Entry,
    table: &Tree,
    applications: &[Application],
    reader: &mut Reader,
) -> Option<ListenerSettings> {
    if let Some(entry) = table.get("tls") {
        reader.supported_word(entry, &["none", "starttls", "required", "implicit"], 1);
    }
    if let Some(entry) = table.get("authentication") {
        reader.supported_word(entry, &["none", "optional", "required", "ignore"], 1);
    }
    let application = application(table.get("application"), applications, reader);
    let clients = table.get("clients").map(|entry| {
        let nets: Vec<_> = nets(Some(entry), reader).into_iter().map(|(_, net)| net).collect();
        if texts(Some(entry)).is_empty() {
            reader.error(entry, "found no client, so that nobody could submit".into(), None);
        }
        nets
    });
    let Some(entry) = table.get("address") else {
        let help = "for example `address = \"127.0.0.1:25\"`";
        reader.error(item, "this listener has no `address`".into(), Some(help.into()));
        return None;
    };
    let address = address(entry, text(table, "address").unwrap_or_default(), reader)?;
    if let (ListenAddress::Tcp(tcp), None) = (&address, &clients)
        && !tcp.ip().is_loopback()
    {
        let help = "say who may submit, for example `clients = [\"192.0.2.0/24\"]`, or listen on 127.0.0.1";
        let problem = format!(
            "{tcp} can be reached from beyond this host, and without `clients` nothing says who may send mail \
             as your accounts"
        );
        reader.error(entry, problem, Some(help.into()));
    }
    Some(ListenerSettings { address, clients: clients.unwrap_or_else(loopback), application })
}

fn address(entry: &Entry, text: &str, reader: &mut Reader) -> Option<ListenAddress> {
    if let Some(name) = text.strip_prefix("systemd:") {
        if name.is_empty() {
            reader.error(entry, "`systemd:` wants the socket's FileDescriptorName= after it".into(), None);
        }
        return Some(ListenAddress::Systemd(name.to_owned()));
    }
    if text.starts_with("unix:") {
        let help = "supported now: \"127.0.0.1:25\", \"[::1]:25\", \"systemd:NAME\"";
        reader.error(entry, format!("`address = {text:?}` is not supported yet"), Some(help.into()));
        return None;
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
        "an IP address and a port: \"127.0.0.1:25\", \"[::1]:25\"; or \"systemd:NAME\"".to_owned()
    };
    reader.error(
        entry,
        format!("found {}, which is no address to listen on", entry.value.shown()),
        Some(help),
    );
    None
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

fn loopback() -> Vec<IpNet> {
    let v4 = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    vec![IpNet::V4(v4), IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST))]
}
