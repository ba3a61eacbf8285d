//! Ids, senders, files: what all importers do alike.

use super::{Files, Found};
use crate::{
    account::DomainPattern,
    draft::{self, Draft, Secret, Value},
    mail::Mailbox,
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Gives accounts of one id a number behind it.
pub(super) fn tell_apart(accounts: &mut [Found]) {
    let mut taken = BTreeSet::new();
    for found in accounts {
        found.draft.id = draft::tell_apart(std::mem::take(&mut found.draft.id), &mut taken);
    }
}

/// Whose mail an account takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Serves {
    /// One sender.
    Sender(String),
    /// A domain, or all below one.
    Domain(String),
}

/// `joe@example.com`, `@example.com`, `*@example.com`.
pub(super) fn serves(pattern: &str) -> Option<Serves> {
    let pattern = pattern.trim();
    let domain = pattern.strip_prefix("*@").or_else(|| pattern.strip_prefix('@'));
    match domain {
        Some(domain) => self::domain(domain).map(Serves::Domain),
        None if pattern.contains(['*', '?', '%']) => None,
        None => Mailbox::parse(pattern).ok().map(|_| Serves::Sender(pattern.to_owned())),
    }
}

/// A domain that senders may have: with a dot, and no address literal.
pub(super) fn domain(text: &str) -> Option<String> {
    let sound = text.contains('.') && !text.contains('[') && DomainPattern::parse(text).is_ok();
    sound.then(|| text.to_ascii_lowercase())
}

/// Adds to whom an account serves.
pub(super) fn serve(draft: &mut Draft, serves: Serves) {
    let (key, text) = match serves {
        Serves::Sender(sender) => ("senders", sender),
        Serves::Domain(domain) => ("domains", domain),
    };
    let mut texts = draft.texts(key).to_vec();
    if !texts.iter().any(|known| known.eq_ignore_ascii_case(&text)) {
        texts.push(text);
    }
    draft.set(key, texts);
}

/// Says that a draft serves nobody, where it does not.
pub(super) fn must_serve(draft: &mut Draft) {
    if !draft.flag("default") && draft.texts("senders").is_empty() && draft.texts("domains").is_empty() {
        draft.lacks(
            "domain",
            "the sender domains that this account serves, or `senders`, or `default = true`",
        );
    }
}

/// Files with the authorities that every host trusts anyway.
const BUNDLES: [&str; 9] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/certs/ca-bundle.crt",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/usr/share/ssl/certs/ca-bundle.crt",
];

/// Sets `ca_file`; a host's own authorities are trusted without being named. `Err` says why it does not come along.
pub(super) fn trust(draft: &mut Draft, file: &str, files: &dyn Files) -> Result<(), String> {
    if BUNDLES.contains(&file) || file == "system" || file.is_empty() {
        return Ok(());
    }
    let path = Path::new(file);
    if !path.is_absolute() {
        return Err(
            "it is no absolute path; the authorities of this host are trusted instead, or set `ca_file`"
                .to_owned(),
        );
    }
    match files.read(path) {
        Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => {
            draft.set("ca_file", file);
            Ok(())
        }
        Ok(_) => {
            Err("it holds no certificate; the authorities of this host are trusted instead, or set `ca_file`"
                .to_owned())
        }
        Err(why) => Err(format!(
            "it cannot be read ({why}); the authorities of this host are trusted instead, or set `ca_file`"
        )),
    }
}

/// Where a server is on this host, plain text is nobody's to read.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The words for yes that these tools know, in any case; `None` for neither yes nor no.
pub(super) fn yes(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A path with `~` in front, as shells take it.
pub(super) fn expand_home(path: &str, files: &dyn Files) -> PathBuf {
    match (path.strip_prefix("~/"), files.home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// A secret given in the text of a file.
pub(super) fn given(text: &str) -> Value {
    Secret::Given(text.into()).into()
}

/// A host that the configuration will take, without the brackets around an address.
pub(super) fn host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let bare = bare.strip_prefix("IPv6:").or_else(|| bare.strip_prefix("ipv6:")).unwrap_or(bare);
    let sound = bare.parse::<std::net::IpAddr>().is_ok()
        || !bare.contains('[') && crate::mail::Domain::parse(bare).is_ok();
    sound.then(|| bare.to_owned())
}

/// A port by number or by the name that `/etc/services` has for it.
pub(super) fn port(text: &str) -> Option<u16> {
    match text.trim() {
        "smtp" => Some(25),
        "submission" => Some(587),
        "smtps" | "submissions" => Some(465),
        number => number.parse().ok().filter(|port| *port != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_and_domains() {
        assert_eq!(serves("joe@example.com"), Some(Serves::Sender("joe@example.com".into())));
        for pattern in ["@Example.com", "*@example.com"] {
            assert_eq!(serves(pattern), Some(Serves::Domain("example.com".into())));
        }
        for none in ["joe", "*", "j*@example.com", "@", "@localhost", "%U@example.com", ""] {
            assert_eq!(serves(none), None, "{none}");
        }
    }

    #[test]
    fn ports_and_hosts() {
        assert_eq!((port("submission"), port("smtps"), port("2525")), (Some(587), Some(465), Some(2525)));
        assert_eq!((port("0"), port("x"), port("70000")), (None, None, None));
        assert_eq!(host("[192.0.2.1]").as_deref(), Some("192.0.2.1"));
        assert_eq!(host("[IPv6:2001:db8::1]").as_deref(), Some("2001:db8::1"));
        assert_eq!(host("a b"), None);
    }
}
