//! The smarthost of an account: address, port, security, trust.

use super::{
    login,
    reader::{Reader, count, flag, text},
    tree::Entry,
};
use crate::{
    account::{AccountType, Login, SecurityMode, Server, presets::Preset},
    mail::Domain,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

type Tree = BTreeMap<String, Entry>;

/// The smarthost; `None` where it could not be made out, which has been reported.
pub(super) fn server(
    id: &str,
    kind: AccountType,
    entry: &Entry,
    table: &Tree,
    preset: &Preset,
    reader: &mut Reader,
) -> Option<Server> {
    let security = table
        .get("security")
        .and_then(|entry| reader.word(entry, &["auto", "none", "starttls", "tls"]))
        .unwrap_or_default();
    let port = count(table, "port").unwrap_or(if security == 3 { 465 } else { preset.port });
    let security = match (security, port) {
        (1, _) => SecurityMode::None,
        (3, _) | (0, 465) => SecurityMode::Tls,
        _ => SecurityMode::StartTls,
    };
    let host = match table.get("address") {
        Some(entry) => Some(host(entry, text(table, "address").unwrap_or_default(), reader)?),
        None => preset.host.map(str::to_owned),
    };
    if host.is_none() {
        login::lacks(id, kind, entry, "address", "the SMTP server", reader);
    }
    let certificate_validation = flag(table, "certificate_validation", true);
    if let Some(entry) = table.get("certificate_validation").filter(|_| !certificate_validation) {
        reader.warn(
            entry,
            "the server's certificate is not looked at, so that anyone on the way can read the login; for a \
             private authority set `ca_file` instead",
        );
    }
    Some(Server {
        host: host?,
        port,
        security,
        allow_plaintext_authentication: flag(table, "allow_plaintext_authentication", false),
        certificate_validation,
        ca_file: ca_file(table, reader),
    })
}

fn host(entry: &Entry, text: &str, reader: &mut Reader) -> Option<String> {
    let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if literal.parse::<IpAddr>().is_ok() {
        return Some(literal.to_owned());
    }
    if !text.starts_with('[')
        && let Ok(domain) = Domain::parse(text)
    {
        return Some(domain.ascii().to_owned());
    }
    let help = match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.contains("//") => {
            format!("the port is a key of its own: `address = {host:?}`, `port = {port}`")
        }
        _ => "a host name, \"smtp.example.com\", or an IP address".to_owned(),
    };
    reader.error(entry, format!("found {}, which is no host", entry.value.shown()), Some(help));
    None
}

/// Read now, so that a wrong file is found at `waxseal check` and not at the first delivery.
pub(super) fn ca_file(table: &Tree, reader: &mut Reader) -> Option<PathBuf> {
    let entry = table.get("ca_file")?;
    let path = reader.resolve(entry, text(table, "ca_file")?);
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(error) => {
            let why = if error.kind() == std::io::ErrorKind::NotFound {
                "it does not exist".to_owned()
            } else {
                error.to_string()
            };
            reader.error(entry, format!("{} cannot be read: {why}", path.display()), None);
            return None;
        }
    };
    let problem = match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => {
            return Some(std::path::absolute(&path).unwrap_or(path));
        }
        Ok(_) => "holds no certificate",
        Err(_) => "is not valid PEM",
    };
    let help = "a PEM file: `-----BEGIN CERTIFICATE-----` and so on";
    reader.error(entry, format!("{} {problem}", path.display()), Some(help.into()));
    None
}

/// A login over plain text wants an explicit word, unless it stays on this host.
pub(super) fn check_plaintext(
    id: &str,
    entry: &Entry,
    table: &Tree,
    login: &Login,
    server: &Server,
    reader: &mut Reader,
) {
    let loopback = server.host == "localhost"
        || server.host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    if matches!(login, Login::None) || server.security != SecurityMode::None || loopback {
        return;
    }
    let at = table.get("security").unwrap_or(entry);
    if server.allow_plaintext_authentication {
        reader.warn(at, &format!("the account `{id}` logs in to {} over plain text", server.host));
        return;
    }
    let problem = format!(
        "the account `{id}` would log in to {} over plain text, for anyone on the way to read",
        server.host
    );
    let help =
        "use `security = \"starttls\"` or \"tls\"; if it must be, `allow_plaintext_authentication = true`";
    reader.error(at, problem, Some(help.into()));
}
