//! What is typed to have new accounts: out of another tool's configuration, or out of nothing.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `waxseal import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The tool
    pub tool: Tool,
    /// Its configuration: main.cf or its directory; msmtprc; emailproxy.config; ssmtp.conf, with revaliases
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Print the TOML, without secrets, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Make none of them the default account, for another one is
    #[arg(long)]
    pub no_default: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Tools that accounts can be imported from.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Tool {
    /// Postfix, with passwords or sasl-xoauth2
    Postfix,
    /// msmtp
    Msmtp,
    /// Email OAuth 2.0 Proxy
    Emailproxy,
    /// sSMTP
    Ssmtp,
}

/// `waxseal account add`.
#[derive(Debug, Args)]
pub struct AccountAdd {
    /// Its id: letters, digits, - and _; by default made of its domain
    pub id: Option<String>,
    /// basic, oauth2, google or microsoft
    #[arg(long = "type", value_name = "TYPE", value_parser = ["basic", "oauth2", "google", "microsoft"])]
    pub kind: Option<String>,
    /// A sender domain that it serves, or *.DOMAIN; several times for several
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Vec<String>,
    /// An exact sender that it serves; several times for several
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Vec<String>,
    /// Serve senders that no other account does
    #[arg(long)]
    pub default: bool,
    /// The application that it belongs to
    #[arg(long, value_name = "ID")]
    pub application: Option<String>,
    /// The SMTP server
    #[arg(long, value_name = "HOST")]
    pub address: Option<String>,
    /// Its port
    #[arg(long)]
    pub port: Option<u16>,
    /// How the connection is secured; auto: TLS at port 465, else STARTTLS
    #[arg(long, value_parser = ["auto", "none", "starttls", "tls"])]
    pub security: Option<String>,
    /// Who logs in
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// The server wants no login (basic)
    #[arg(long)]
    pub no_authentication: bool,
    /// The client (application) id (OAuth)
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// A file with the password, or the client secret, which stays there
    #[arg(long, value_name = "PATH", visible_aliases = ["password-file", "client-secret-file"])]
    pub secret_file: Option<PathBuf>,
    /// An environment variable of the daemon with it
    #[arg(long, value_name = "NAME", conflicts_with = "secret_file")]
    pub secret_env: Option<String>,
    /// A systemd credential of the daemon with it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["secret_file", "secret_env"])]
    pub secret_credential: Option<String>,
    /// Read the password, or the client secret, from standard input
    #[arg(long, conflicts_with_all = ["secret_file", "secret_env", "secret_credential"])]
    pub secret_stdin: bool,
    /// Microsoft's directory (tenant)
    #[arg(long)]
    pub tenant: Option<String>,
    /// Where a person signs in (oauth2)
    #[arg(long, value_name = "URL")]
    pub authorization_endpoint: Option<String>,
    /// Where tokens come from (oauth2)
    #[arg(long, value_name = "URL")]
    pub token_endpoint: Option<String>,
    /// What access is asked for (oauth2)
    #[arg(long)]
    pub scope: Option<String>,
    /// How the first token is got
    #[arg(long, value_parser = ["authorization_code", "device_code", "client_credentials", "service_account"])]
    pub grant: Option<String>,
    /// Where a code for another device is had (oauth2)
    #[arg(long, value_name = "URL")]
    pub device_authorization_endpoint: Option<String>,
    /// A certificate, PEM, in place of the client secret (oauth2, microsoft)
    #[arg(long, value_name = "PATH", requires = "client_key")]
    pub client_certificate: Option<PathBuf>,
    /// Its key, PEM; may be the same file
    #[arg(long, value_name = "PATH", requires = "client_certificate")]
    pub client_key: Option<PathBuf>,
    /// The key file of a service account (google)
    #[arg(long, value_name = "PATH")]
    pub service_account_file: Option<PathBuf>,
    /// Print the TOML, without secrets, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}
