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

/// How a client shows that it is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Secret,
    Certificate,
    /// A public client shows nothing.
    Nothing,
    /// The key of a service account.
    KeyFile,
}

/// How an account gets what it logs in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    NoLogin,
    Password,
    Tokens { grant: &'static str, proof: Proof, first: bool },
}

impl Way {
    /// As the table names it.
    fn name(self) -> String {
        let Self::Tokens { grant, proof, first } = self else {
            return if self == Self::Password { "`password`" } else { "`use_authentication = false`" }
                .to_owned();
        };
        let proof = match proof {
            Proof::Secret | Proof::KeyFile => "",
            Proof::Certificate => ", `client_certificate`",
            Proof::Nothing => ", public client",
        };
        format!("`{grant}`{proof}{}", if first { ", first `refresh_token`" } else { "" })
    }

    fn mechanisms(self) -> &'static [&'static str] {
        match self {
            Self::NoLogin => &[""],
            Self::Password => &["auto", "plain", "login", "cram-md5"],
            Self::Tokens { .. } => &["auto", "xoauth2", "oauthbearer"],
        }
    }
}

const TYPES: [&str; 3] = ["oauth2", "google", "microsoft"];
const PROOFS: [Proof; 4] = [Proof::Secret, Proof::Certificate, Proof::Nothing, Proof::KeyFile];

/// The proofs that a type takes with each grant, and whether a person's refresh token may come from another tool.
const GRANTS: [(&str, &[&str], &[Proof], bool); 6] = [
    (
        "authorization_code",
        &["oauth2", "microsoft"],
        &[Proof::Secret, Proof::Certificate, Proof::Nothing],
        true,
    ),
    ("authorization_code", &["google"], &[Proof::Secret], true),
    ("device_code", &["oauth2", "microsoft"], &[Proof::Secret, Proof::Certificate, Proof::Nothing], true),
    ("device_code", &["google"], &[Proof::Secret], true),
    ("client_credentials", &["oauth2", "microsoft"], &[Proof::Secret, Proof::Certificate], false),
    ("service_account", &["google"], &[Proof::KeyFile], false),
];

/// What there is; `what_is_not_in_the_matrix_is_refused` tries everything else.
fn rows() -> Vec<(&'static str, Way)> {
    let mut rows = vec![("basic", Way::NoLogin), ("basic", Way::Password)];
    for kind in TYPES {
        for (grant, _, proofs, movable) in GRANTS.into_iter().filter(|(_, kinds, ..)| kinds.contains(&kind)) {
            for proof in proofs {
                let firsts: &[bool] = if movable { &[false, true] } else { &[false] };
                rows.extend(
                    firsts.iter().map(|first| (kind, Way::Tokens { grant, proof: *proof, first: *first })),
                );
            }
        }
    }
    rows
}

/// Everything that could be written down for tokens, sense or not.
fn combinations() -> Vec<(&'static str, Way)> {
    let mut all = Vec::new();
    for kind in TYPES {
        for grant in ["authorization_code", "device_code", "client_credentials", "service_account"] {
            for proof in PROOFS {
                all.extend([false, true].map(|first| (kind, Way::Tokens { grant, proof, first })));
            }
        }
    }
    all
}

/// One account, and what has to arrive from it.
struct Cell {
    id: String,
    text: String,
    way: Way,
    mechanism: Option<&'static str>,
}

/// The providers of one security mode; each knows other clients, and has an authority of its own.
struct Providers {
    /// Knows its client by secret or key.
    known: Provider,
    /// Knows a public client.
    public: Provider,
    /// Wants no login.
    open: Provider,
}

impl Providers {
    fn start(security: SandboxSecurity, keys: &Keys) -> Self {
        let options = SandboxOptions {
            security,
            auto_approve: true,
            mechanisms: vec!["XOAUTH2", "OAUTHBEARER", "PLAIN", "LOGIN", "CRAM-MD5"],
            ..SandboxOptions::default()
        };
        Self {
            open: Provider::start(SandboxOptions { mechanisms: Vec::new(), ..options.clone() }),
            public: Provider::start(SandboxOptions { client_secret: None, ..options.clone() }),
            known: Provider::start(SandboxOptions { assertion_key: Some(keys.public.clone()), ..options }),
        }
    }

    /// The one for a way, and the file of its authority.
    fn of(&self, way: Way) -> (&Provider, &'static str) {
        match way {
            Way::NoLogin => (&self.open, "open.pem"),
            Way::Tokens { proof: Proof::Nothing, .. } => (&self.public, "public.pem"),
            Way::Password | Way::Tokens { .. } => (&self.known, "ca.pem"),
        }
    }
}

/// A house with what accounts need beside them.
fn house(providers: &Providers, keys: &Keys) -> House {
    let house = House::beside(&providers.known);
    fs::write(house.path("open.pem"), providers.open.ca_pem()).unwrap();
    fs::write(house.path("public.pem"), providers.public.ca_pem()).unwrap();
    keys.write_pair(&house.path("app.pem"));
    keys.write_service_account(&house.path("robot.json"));
    house
}

fn cell(
    house: &House,
    providers: &Providers,
    security: &str,
    id: String,
    (kind, way): (&str, Way),
    mechanism: &str,
) -> Cell {
    let (provider, authority) = providers.of(way);
    let options = provider.options();
    let mut text = format!(
        "[account.{id}]\ntype = \"{kind}\"\ndomain = \"{id}.example\"\nsecurity = \"{security}\"\nrate_limit = \"none\"\n{}",
        house.server(provider).replace("ca.pem", authority)
    );
    let mut line = |key: &str, value: &str| writeln!(text, "{key} = \"{value}\"").unwrap();
    if way != Way::NoLogin {
        line("username", &options.username);
        line("mechanism", mechanism);
    }
    match way {
        Way::NoLogin => text += "use_authentication = false\n",
        Way::Password => line("password", &options.password),
        Way::Tokens { grant, proof, first } => {
            line("grant", grant);
            line("token_endpoint", &provider.token_endpoint());
            if kind == "oauth2" {
                line("scope", "mail");
            }
            if kind == "microsoft" {
                line("tenant", "contoso.example");
            }
            if proof != Proof::KeyFile {
                line("client_id", &options.client_id);
            }
            match proof {
                Proof::Secret => line("client_secret", options.client_secret.as_deref().unwrap()),
                Proof::Certificate => {
                    line("client_certificate", "app.pem");
                    line("client_key", "app.pem");
                }
                Proof::Nothing => {}
                Proof::KeyFile => line("service_account_file", "robot.json"),
            }
            match grant {
                "authorization_code" => line("authorization_endpoint", &provider.authorization_endpoint()),
                "device_code" => {
                    line("device_authorization_endpoint", &provider.device_authorization_endpoint());
                }
                _ => {}
            }
            if first {
                line("refresh_token", &provider.grants().issue_refresh_token());
            }
        }
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
    let providers = Providers::start(sandbox, &keys);
    let house = house(&providers, &keys);
    let mut cells = Vec::new();
    for (number, row) in rows().into_iter().enumerate() {
        for mechanism in row.1.mechanisms() {
            let id = format!("a{number}-{mechanism}");
            cells.push(cell(&house, &providers, security, id, row, mechanism));
        }
    }
    house.configure(&cells.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>().join("\n"));
    let _daemon = house.serve();
    for cell in &cells {
        match cell.way {
            Way::Tokens { grant: "authorization_code", first: false, .. } => {
                house.authorize(&cell.id);
            }
            Way::Tokens { grant: "device_code", first: false, .. } => {
                house.cli(&["account", "authorize", &cell.id]).ok();
            }
            _ => {}
        }
    }
    for cell in &cells {
        submit(house.smtp, &format!("app@{}.example", cell.id), &message(&cell.id)).unwrap();
    }
    house.queue_empties();
    for cell in &cells {
        let of = format!("app@{}.example", cell.id);
        let (provider, _) = providers.of(cell.way);
        let received = provider.received();
        let received =
            received.iter().find(|received| received.from == of).unwrap_or_else(|| panic!("{}", cell.text));
        assert_eq!(received.mechanism.as_deref(), cell.mechanism, "{}", cell.text);
        let user = cell.mechanism.map(|_| provider.options().username.as_str());
        assert_eq!(received.user.as_deref(), user, "{}", cell.text);
        assert_eq!(received.tls != "none", secured, "{} {}", received.tls, cell.text);
    }
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
fn what_is_not_in_the_matrix_is_refused() {
    let keys = Keys::new();
    let providers = Providers::start(SandboxSecurity::StartTls, &keys);
    let house = house(&providers, &keys);
    let rows = rows();
    let all = ["auto", "plain", "login", "cram-md5", "xoauth2", "oauthbearer"];
    let (mut taken, mut refused) = (0, 0);
    let basic = [("basic", Way::Password)];
    for row in combinations().into_iter().chain(basic) {
        for mechanism in all {
            let cell = cell(&house, &providers, "starttls", "a".into(), row, mechanism);
            house.configure(&cell.text);
            let checked = house.cli(&["check"]);
            let is_in = rows.contains(&row) && row.1.mechanisms().contains(&mechanism);
            assert_eq!(checked.code, if is_in { 0 } else { 78 }, "{}\n{}", cell.text, checked.stderr);
            *if is_in { &mut taken } else { &mut refused } += 1;
        }
    }
    println!("{taken} combinations are taken, {refused} refused");
}

#[test]
fn the_document_has_this_matrix() {
    let mut table = String::from(
        "| type | grant | mechanism | `security = \"none\"` | `\"starttls\"` | `\"tls\"` |\n|---|---|---|---|---|---|\n",
    );
    for (kind, way) in rows() {
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
