//! What a local user's sendmail(8) needs of the configuration: where the daemon listens, what this host is called,
//! where the spool is. Read by people who may read neither the file nor its secrets, so that nothing else is looked at,
//! and whatever cannot be had is what it is by default.

use super::{
    ListenAddress, ListenerSettings, ListenerTls, listeners,
    load::{DEFAULT_PATH, join, read_sources},
    reader::{Reader, text, text_of},
    sections,
    tree::{Entry, Value},
};
use crate::smtp::Authentication;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The listener's socket where the configuration cannot be read.
const DEFAULT_SOCKET: &str = "/run/waxseal/smtp.sock";
/// The listener's port, likewise.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 25);

type Tree = BTreeMap<String, Entry>;

/// A way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP address of this host.
    Tcp(SocketAddr),
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// What there is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// Ways in, the best one first: Unix sockets, then loopback addresses in the configuration's order.
    pub doors: Vec<Door>,
    /// The host name that is configured.
    pub hostname: Option<String>,
    /// The spool.
    pub spool: PathBuf,
    /// Where the daemon's control socket is, for those who may use it.
    pub state_dir: PathBuf,
}

impl Default for Front {
    fn default() -> Self {
        let doors = vec![Door::Unix(DEFAULT_SOCKET.into()), Door::Tcp(DEFAULT_ADDRESS)];
        Self {
            doors,
            hostname: None,
            spool: sections::DEFAULT_SPOOL.into(),
            state_dir: sections::DEFAULT_STATE_DIR.into(),
        }
    }
}

/// Reads it. With `path` the file has to be there and to be TOML; the default file does not: then all is as by default.
///
/// # Errors
/// What is wrong with the file that `path` names.
pub fn front(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Front, String> {
    let env: BTreeMap<_, _> = env.collect();
    let mut reader = Reader::default();
    let main = path.unwrap_or(Path::new(DEFAULT_PATH));
    // The reader's own sentence is for whoever keeps the configuration; here the file's name and the reason do.
    if let Err(error) = std::fs::read_to_string(main) {
        return match path {
            Some(path) => Err(format!("{} cannot be read: {error}", path.display())),
            None => Ok(Front::default()),
        };
    }
    let trees = read_sources(main, &[], &env, &mut reader);
    if reader.misshapen && trees.first().is_none_or(BTreeMap::is_empty) {
        let errors = reader.stop_on_errors().err().filter(|_| path.is_some());
        return errors.map_or_else(|| Ok(Front::default()), |errors| Err(errors.to_string()));
    }
    let root = join(&trees, &mut reader);
    let listeners = addresses(&root, &mut reader);
    Ok(Front {
        doors: doors(listeners.iter().map(Option::as_ref)).into_iter().flat_map(|(_, doors)| doors).collect(),
        hostname: root.contains_key("hostname").then(|| sections::hostname(&root, &mut reader)),
        spool: sections::spool(&root, &env, &reader),
        state_dir: sections::state_dir(&root, &env, &reader),
    })
}

/// The address of each listener that talks to programs without certificate and password. Read by itself, not with all
/// that belongs to a listener: a user may not read its key.
fn addresses(root: &Tree, reader: &mut Reader) -> Vec<Option<ListenAddress>> {
    let Some(Value::List(items)) = root.get("listener").map(|entry| &entry.value) else {
        return vec![Some(ListenAddress::Tcp(DEFAULT_ADDRESS))];
    };
    let mut address = |item: &Entry| {
        let table = item.table()?;
        let open = matches!(text(table, "tls"), None | Some("none" | "starttls"))
            && text(table, "authentication") != Some("required");
        let entry = table.get("address").filter(|_| open)?;
        listeners::address(entry, text_of(entry)?, reader)
    };
    items.iter().map(&mut address).collect()
}

/// The listener that sendmail(8) comes to first, by its index: mail from the spool counts as having come there.
pub fn front_door(listeners: &[Arc<ListenerSettings>]) -> Option<usize> {
    let is_open = |listener: &Arc<ListenerSettings>| {
        matches!(listener.tls, ListenerTls::None | ListenerTls::Offered(_))
            && listener.authentication != Authentication::Required
    };
    let open = listeners.iter().map(|listener| Some(&listener.address).filter(|_| is_open(listener)));
    doors(open).first().map(|(index, _)| *index)
}

/// Listeners that a local program can come to, by index, the best one first.
fn doors<'a>(addresses: impl Iterator<Item = Option<&'a ListenAddress>>) -> Vec<(usize, Vec<Door>)> {
    let mut doors: Vec<_> =
        addresses.enumerate().filter_map(|(index, address)| Some((index, doors_of(address?)?))).collect();
    doors.sort_by_key(|(_, doors)| !matches!(doors.first(), Some(Door::Unix(_))));
    doors
}

fn doors_of(address: &ListenAddress) -> Option<Vec<Door>> {
    match address {
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            let loopback =
                if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
            Some(vec![Door::Tcp(SocketAddr::new(loopback, address.port()))])
        }
        ListenAddress::Tcp(address) => {
            address.ip().to_canonical().is_loopback().then(|| vec![Door::Tcp(*address)])
        }
        ListenAddress::Unix(path) => Some(vec![Door::Unix(path.clone())]),
        // Where systemd listens its unit says, and mostly what is the default here as well.
        ListenAddress::Systemd(_) => Some(Front::default().doors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Front {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waxseal.toml");
        std::fs::write(&path, text).unwrap();
        front(Some(&path), std::iter::empty()).unwrap()
    }

    fn doors_in(text: &str) -> Vec<String> {
        read(text).doors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ways_in() {
        let cases: &[(&str, &[&str])] = &[
            ("", &["127.0.0.1:25"]),
            ("[[listener]]\naddress = \"127.0.0.1:2525\"\n", &["127.0.0.1:2525"]),
            (
                "[[listener]]\naddress = \"192.0.2.1:25\"\nclients = [\"192.0.2.0/24\"]\n\
                 [[listener]]\naddress = \"[::1]:2525\"\n",
                &["[::1]:2525"],
            ),
            ("[[listener]]\naddress = \"0.0.0.0:26\"\nclients = [\"127.0.0.0/8\"]\n", &["127.0.0.1:26"]),
            ("[[listener]]\naddress = \"[::]:26\"\nclients = [\"::1\"]\n", &["[::1]:26"]),
            (
                "[[listener]]\naddress = \"127.0.0.1:26\"\n[[listener]]\naddress = \"unix:/run/x/smtp.sock\"\n",
                &["/run/x/smtp.sock", "127.0.0.1:26"],
            ),
            // Keys that this user cannot read.
            (
                "[[listener]]\naddress = \"127.0.0.1:465\"\ntls = \"implicit\"\ncertificate = \"/nowhere\"\n\
                 private_key = \"/nowhere\"\n[[listener]]\naddress = \"127.0.0.1:587\"\ntls = \"required\"\n\
                 [[listener]]\naddress = \"127.0.0.1:26\"\nauthentication = \"required\"\n\
                 [[listener]]\naddress = \"127.0.0.1:25\"\ntls = \"starttls\"\nauthentication = \"optional\"\n\
                 certificate = \"/nowhere\"\nprivate_key = \"/nowhere\"\n",
                &["127.0.0.1:25"],
            ),
            ("[[listener]]\naddress = \"systemd:smtp\"\n", &["/run/waxseal/smtp.sock", "127.0.0.1:25"]),
            ("[[listener]]\naddress = \"192.0.2.1:25\"\nclients = [\"192.0.2.0/24\"]\n", &[]),
        ];
        for (text, wanted) in cases {
            assert_eq!(doors_in(text), *wanted, "{text}");
        }
    }

    #[test]
    fn what_does_not_concern_it_may_be_wrong_or_out_of_reach() {
        let front = read(
            "hostname = \"relay.example.com\"\nstate_dir = \"/srv/wax\"\nnonsense = 1\n\
             [account.a]\ntype = \"basic\"\ndomain = \"x\"\npassword = { file = \"/nowhere/secret\" }\n\
             [[listener]]\naddress = \"127.0.0.1:2525\"\n",
        );
        assert_eq!(front.hostname.as_deref(), Some("relay.example.com"));
        assert_eq!(front.spool, Path::new("/srv/wax/spool"));
        assert_eq!(front.doors.len(), 1);
        assert_eq!(read("state_dir = \"/var/lib/waxseal\"").spool, Path::new("/var/spool/waxseal"));
        assert_eq!(read("[queue]\nspool = \"/srv/s\"").spool, Path::new("/srv/s"));
        assert_eq!(read("").hostname, None);
    }

    #[test]
    fn a_named_file_has_to_be_good_and_the_default_one_need_not_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("waxseal.toml");
        let named = || front(Some(&path), std::iter::empty());
        assert!(named().unwrap_err().contains("waxseal.toml cannot be read"));
        std::fs::write(&path, "[[listener").unwrap();
        assert!(named().unwrap_err().contains("waxseal.toml:1"));
        if !Path::new(DEFAULT_PATH).exists() {
            assert_eq!(front(None, std::iter::empty()), Ok(Front::default()));
        }
    }
}
