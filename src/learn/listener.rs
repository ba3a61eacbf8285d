//! `[[listener]]` for those who came to one, with what there is to choose.

use super::{
    Habits, Who,
    habits::named,
    network::{hints, networks},
    text::{comment, some},
};
use crate::draft::{id_of, quoted, tell_apart};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
};

/// Who can come to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Users of this host, through a Unix socket.
    Socket,
    /// Programs on this host.
    Loopback,
    /// Others.
    Network,
}

/// A certificate that a listener has, and how it uses it: `starttls` or `implicit`.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The word in the configuration.
    pub tls: &'static str,
    /// The file of the certificate.
    pub certificate: String,
    /// The file of its key.
    pub private_key: String,
}

/// Where was listened.
#[derive(Debug, Clone)]
pub struct Place {
    /// The address as the configuration writes it.
    pub address: String,
    /// Who can come there.
    pub reach: Reach,
    /// The certificate, where there is one.
    pub tls: Option<Certificate>,
    /// The application that it has.
    pub application: Option<String>,
    /// What it says of logins now, where it looks at them: `optional` or `required`.
    pub verifies: Option<&'static str>,
}

/// A client at a listener.
pub(super) type Client<'a> = (Who, &'a Habits);

/// The table, for those who sent; and what is to be said of the others.
pub(super) fn listener(out: &mut String, place: &Place, clients: &[Client<'_>]) {
    let (senders, others): (Vec<_>, Vec<_>) = clients.iter().copied().partition(|(_, habits)| habits.sends());
    if senders.is_empty() {
        comment(out, 0, &format!("Nobody sent at {}: no listener is needed there.", place.address));
    } else {
        table(out, place, &senders);
    }
    for (who, habits) in others {
        comment(out, 0, &stranger(who, habits, place));
    }
    if let Some((who, _)) = clients.iter().find(|(_, habits)| habits.undue_tls > 0)
        && place.reach != Reach::Socket
    {
        implicit(out, *who, place);
    }
    out.push('\n');
}

fn table(out: &mut String, place: &Place, clients: &[Client<'_>]) {
    let _ = writeln!(out, "[[listener]]\naddress = {}", quoted(&place.address).as_str());
    let networks = networks(clients.iter().map(|(who, _)| *who));
    if place.reach != Reach::Socket {
        for hint in hints(&networks) {
            comment(out, 0, &hint);
        }
        let list: Vec<String> = networks.iter().map(|net| format!("\"{net}\"")).collect();
        let _ = writeln!(out, "clients = [{}]", list.join(", "));
    }
    if let Some(application) = &place.application {
        let _ = writeln!(out, "application = {}", quoted(application).as_str());
    }
    encryption(out, place, clients);
    if let Some(word) = place.verifies {
        comment(
            out,
            0,
            &format!(
                "So far it says `authentication = \"{word}\"` here: keep that where those who log in are its users."
            ),
        );
    }
    authentication(out, place, clients);
}

fn encryption(out: &mut String, place: &Place, clients: &[Client<'_>]) {
    let names = |keep: fn(&Habits) -> bool| {
        let kept = clients.iter().filter(|(_, habits)| keep(habits));
        kept.map(|(who, _)| who.to_string()).collect::<Vec<_>>()
    };
    let asking = names(|habits| habits.starttls > 0);
    let in_the_clear = names(|habits| habits.in_the_clear > 0);
    if let Some(Certificate { tls, certificate, private_key }) = &place.tls {
        let _ = writeln!(
            out,
            "tls = \"{tls}\"\ncertificate = {}\nprivate_key = {}",
            quoted(certificate).as_str(),
            quoted(private_key).as_str()
        );
        if *tls == "starttls" && in_the_clear.is_empty() {
            comment(out, 0, "All of them use STARTTLS: `tls = \"required\"` would do, too.");
        } else if *tls == "starttls" {
            comment(out, 0, &format!("Sends in the clear: {}.", some(in_the_clear, 10, 0)));
        }
    } else if !asking.is_empty() {
        let asking = some(asking, 10, 0);
        comment(
            out,
            0,
            &format!("Asks for STARTTLS, and sends without: {asking}. With a certificate it can have it:"),
        );
        out.push_str("# tls = \"starttls\"\n# certificate = \"relay.pem\"\n# private_key = \"relay.key\"\n");
    }
}

fn authentication(out: &mut String, place: &Place, clients: &[Client<'_>]) {
    let logins: BTreeSet<(&str, &str)> = clients
        .iter()
        .flat_map(|(_, habits)| habits.logins.iter())
        .map(|((mechanism, username), _)| (*mechanism, username.as_str()))
        .collect();
    if logins.is_empty() {
        out.push_str("authentication = \"none\"\n");
        return;
    }
    let shown = logins.iter().map(|(mechanism, username)| format!("{} by {mechanism}", named(username)));
    comment(out, 0, &format!("Logs in: {}.", some(shown, 10, 0)));
    comment(
        out,
        0,
        "\"ignore\" takes any login and looks at none: `clients` alone says who may send. To have passwords \
         verified, say \"optional\" in its place, or \"required\" where everybody logs in, and take in the users below.",
    );
    if place.reach == Reach::Network && place.tls.is_none() {
        comment(
            out,
            0,
            "From beyond this host that takes `tls`, too: passwords that count are not taken in the clear.",
        );
    }
    out.push_str("authentication = \"ignore\"\n");
    let all_log_in = clients.iter().all(|(_, habits)| !habits.logins.is_empty());
    if !all_log_in {
        comment(out, 0, "Not everybody logs in, so \"required\" would keep some out.");
    }
}

/// `[user.NAME]` for all who logged in, as a suggestion: a password is the user's to write.
pub(super) fn users<'a>(out: &mut String, clients: impl Iterator<Item = Client<'a>>) {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (_, habits) in clients.filter(|(_, habits)| habits.sends()) {
        let readable = habits.logins.iter().map(|((_, username), _)| username);
        let readable = readable.filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
        // Names are compared without regard to case.
        for name in readable {
            if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.insert(name.clone());
            }
        }
    }
    if names.is_empty() {
        return;
    }
    comment(out, 0, "Those who log in, for \"optional\" and \"required\":");
    let mut taken = BTreeSet::new();
    for name in &names {
        let id = tell_apart(id_of(name, "user"), &mut taken);
        let _ = writeln!(out, "# [user.{id}]");
        if *name != id {
            let _ = writeln!(out, "# username = {}", quoted(name).as_str());
        }
        let _ = writeln!(out, "# password = {{ file = \"{id}.password\" }}  # or an argon2 hash");
    }
    out.push('\n');
}

/// A client that never came to its sender.
fn stranger(who: Who, habits: &Habits, place: &Place) -> String {
    let why = if habits.undue_tls > 0 {
        "it begins with TLS"
    } else if !habits.other_mechanisms.is_empty() {
        "it may want a login that there is not"
    } else if !habits.greetings.is_empty() && place.tls.is_none() {
        "where it is an application of yours, it may want STARTTLS, which is offered with a certificate"
    } else if habits.greetings.is_empty() {
        "it spoke no SMTP"
    } else {
        "it went before that"
    };
    format!("{who} came and named no sender, so it is not among the clients: {why}.")
}

fn implicit(out: &mut String, who: Who, place: &Place) {
    comment(
        out,
        0,
        &format!("{who} begins with TLS at {}. That takes a listener of its own:", place.address),
    );
    let client = networks(std::iter::once(who)).first().map(ToString::to_string).unwrap_or_default();
    let bound = place.address.parse::<SocketAddr>();
    let address = SocketAddr::new(bound.map_or(Ipv4Addr::UNSPECIFIED.into(), |bound| bound.ip()), 465);
    let _ = writeln!(
        out,
        "# [[listener]]\n# address = \"{address}\"\n# clients = [\"{client}\"]\n# tls = \"implicit\"\n\
         # certificate = \"relay.pem\"\n# private_key = \"relay.key\""
    );
}
