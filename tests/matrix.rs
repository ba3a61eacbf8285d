//! Every account type with every grant, mechanism and security mode: the real daemon, one account a cell, one message each.
//! The table in `docs/accounts.md` is the one below.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{fmt::Write as _, fs};
use support::{
    House, Provider,
    client::{message, submit},
    keys::Keys,
};
use waxseal::sandbox::{SandboxOptions, SandboxSecurity};

/// How an account gets what it logs in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    NoLogin,
    Password,
    AuthorizationCode,
    AuthorizationCodeByCertificate,
    RefreshToken,
    DeviceCode,
    ClientCredentials,
    ClientCredentialsByCertificate,
    ServiceAccount,
}

impl Way {
    /// As the table names it.
    fn name(self) -> &'static str {
        match self {
            Self::NoLogin => "`use_authentication = false`",
            Self::Password => "`password`",
            Self::AuthorizationCode => "`authorization_code`",
            Self::AuthorizationCodeByCertificate => "`authorization_code`, `client_certificate`",
            Self::RefreshToken => "`authorization_code`, first `refresh_token`",
            Self::DeviceCode => "`device_code`",
            Self::ClientCredentials => "`client_credentials`",
            Self::ClientCredentialsByCertificate => "`client_credentials`, `client_certificate`",
            Self::ServiceAccount => "`service_account`",
        }
    }

    fn mechanisms(self) -> &'static [&'static str] {
        match self {
            Self::NoLogin => &[""],
            Self::Password => &["auto", "plain", "login", "cram-md5"],
            _ => &["auto", "xoauth2", "oauthbearer"],
        }
    }
}

/// What there is; everything else is refused by the configuration (`tests/config/bad`).
const ROWS: [(&str, Way); 18] = [
    ("basic", Way::NoLogin),
    ("basic", Way::Password),
    ("oauth2", Way::AuthorizationCode),
    ("oauth2", Way::AuthorizationCodeByCertificate),
    ("oauth2", Way::RefreshToken),
    ("oauth2", Way::DeviceCode),
    ("oauth2", Way::ClientCredentials),
    ("oauth2", Way::ClientCredentialsByCertificate),
    ("google", Way::AuthorizationCode),
    ("google", Way::RefreshToken),
    ("google", Way::DeviceCode),
    ("google", Way::ServiceAccount),
    ("microsoft", Way::AuthorizationCode),
    ("microsoft", Way::AuthorizationCodeByCertificate),
    ("microsoft", Way::RefreshToken),
    ("microsoft", Way::DeviceCode),
    ("microsoft", Way::ClientCredentials),
    ("microsoft", Way::ClientCredentialsByCertificate),
];

/// One account, and what has to arrive from it.
struct Cell {
    id: String,
    text: String,
    way: Way,
    mechanism: Option<&'static str>,
}

fn cell(
    house: &House,
    provider: &Provider,
    security: &str,
    kind: &str,
    way: Way,
    mechanism: &'static str,
) -> Cell {
    let options = provider.options();
    let number = ROWS.iter().position(|row| *row == (kind, way)).unwrap();
    let id = format!("a{number}-{mechanism}");
    let mut text = format!(
        "[account.{id}]\ntype = \"{kind}\"\ndomain = \"{id}.example\"\nsecurity = \"{security}\"\nrate_limit = \"none\"\n{}",
        house.server(provider)
    );
    let mut line = |key: &str, value: &str| writeln!(text, "{key} = \"{value}\"").unwrap();
    if way != Way::NoLogin {
        line("username", &options.username);
        line("mechanism", mechanism);
    }
    let secret = options.client_secret.as_deref().unwrap();
    let certified = matches!(way, Way::AuthorizationCodeByCertificate | Way::ClientCredentialsByCertificate);
    match way {
        Way::NoLogin | Way::Password => {}
        Way::ServiceAccount => {
            line("service_account_file", "robot.json");
            line("token_endpoint", &provider.token_endpoint());
        }
        _ => {
            line("client_id", &options.client_id);
            if certified {
                line("client_certificate", "app.pem");
                line("client_key", "app.pem");
            } else {
                line("client_secret", secret);
            }
            line("token_endpoint", &provider.token_endpoint());
            if kind == "oauth2" {
                line("scope", "mail");
            }
        }
    }
    match way {
        Way::NoLogin => {
            text = text.replace("/ca.pem", "/open-ca.pem") + "use_authentication = false\n";
        }
        Way::Password => line("password", &options.password),
        Way::AuthorizationCode | Way::AuthorizationCodeByCertificate => {
            line("authorization_endpoint", &provider.authorization_endpoint());
        }
        Way::RefreshToken => {
            line("authorization_endpoint", &provider.authorization_endpoint());
            line("refresh_token", &provider.grants().issue_refresh_token());
        }
        Way::DeviceCode => {
            line("grant", "device_code");
            line("device_authorization_endpoint", &provider.device_authorization_endpoint());
        }
        Way::ClientCredentials | Way::ClientCredentialsByCertificate => {
            line("grant", "client_credentials");
            if kind == "microsoft" {
                line("tenant", "contoso.example");
            }
        }
        Way::ServiceAccount => line("grant", "service_account"),
    }
    let mechanism = match (way, mechanism) {
        (Way::NoLogin, _) => None,
        (Way::Password, "auto" | "plain") => Some("PLAIN"),
        (Way::Password, "login") => Some("LOGIN"),
        (Way::Password, _) => Some("CRAM-MD5"),
        (_, "oauthbearer") => Some("OAUTHBEARER"),
        _ => Some("XOAUTH2"),
    };
    Cell { id, text, way, mechanism }
}

fn every_account_sends(security: &str, sandbox: SandboxSecurity, secured: bool) {
    let keys = Keys::new();
    let options = SandboxOptions {
        security: sandbox,
        auto_approve: true,
        assertion_key: Some(keys.public.clone()),
        mechanisms: vec!["XOAUTH2", "OAUTHBEARER", "PLAIN", "LOGIN", "CRAM-MD5"],
        ..SandboxOptions::default()
    };
    // Where nobody logs in, no server that wants it will do.
    let open = Provider::start(SandboxOptions { mechanisms: Vec::new(), ..options.clone() });
    let provider = Provider::start(options);
    let house = House::beside(&provider);
    fs::write(house.path("open-ca.pem"), open.ca_pem()).unwrap();
    keys.write_pair(&house.path("app.pem"));
    keys.write_service_account(&house.path("robot.json"));
    let cells: Vec<Cell> = ROWS
        .into_iter()
        .flat_map(|(kind, way)| way.mechanisms().iter().map(move |mechanism| (kind, way, *mechanism)))
        .map(|(kind, way, mechanism)| {
            let provider = if way == Way::NoLogin { &open } else { &provider };
            cell(&house, provider, security, kind, way, mechanism)
        })
        .collect();
    house.configure(&cells.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>().join("\n"));
    let _daemon = house.serve();
    for cell in &cells {
        match cell.way {
            Way::AuthorizationCode | Way::AuthorizationCodeByCertificate => {
                house.authorize(&cell.id);
            }
            Way::DeviceCode => {
                house.cli(&["account", "authorize", &cell.id]).ok();
            }
            _ => {}
        }
    }
    for cell in &cells {
        submit(house.smtp, &format!("app@{}.example", cell.id), &message(&cell.id)).unwrap();
    }
    let mut arrived = provider.arrivals(cells.len() - 1);
    arrived.extend(open.arrivals(1));
    for cell in &cells {
        let of = format!("app@{}.example", cell.id);
        let received = arrived.iter().find(|received| received.from == of).unwrap();
        assert_eq!(received.mechanism.as_deref(), cell.mechanism, "{}", cell.text);
        let user = cell.mechanism.map(|_| provider.options().username.as_str());
        assert_eq!(received.user.as_deref(), user, "{}", cell.text);
        assert_eq!(received.tls != "none", secured, "{} {}", received.tls, cell.text);
    }
    house.queue_empties();
}

#[test]
fn every_type_and_grant_in_the_clear_on_loopback() {
    every_account_sends("none", SandboxSecurity::None, false);
}

#[test]
fn every_type_and_grant_over_starttls() {
    every_account_sends("starttls", SandboxSecurity::StartTls, true);
}

#[test]
fn every_type_and_grant_over_tls() {
    every_account_sends("tls", SandboxSecurity::Tls, true);
}

#[test]
fn the_document_has_this_matrix() {
    let mut table = String::from(
        "| type | grant | mechanism | `security = \"none\"` | `\"starttls\"` | `\"tls\"` |\n|---|---|---|---|---|---|\n",
    );
    for (kind, way) in ROWS {
        let mechanisms: Vec<_> = way.mechanisms().iter().filter(|word| !word.is_empty()).copied().collect();
        let mechanisms = if mechanisms.is_empty() { "–".to_owned() } else { mechanisms.join(", ") };
        let _ = write!(table, "| {kind} | {} | {mechanisms} |", way.name());
        for test in ["in_the_clear_on_loopback", "over_starttls", "over_tls"] {
            let _ = write!(table, " `tests/matrix.rs::every_type_and_grant_{test}` |");
        }
        table.push('\n');
    }
    let document = fs::read_to_string("docs/accounts.md").unwrap();
    assert!(document.contains(&table), "docs/accounts.md should have\n{table}");
}
