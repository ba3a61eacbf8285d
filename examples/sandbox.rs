//! The sandbox provider as a process, for tests in other languages.
//!
//! It prints one JSON line with its addresses once it is ready, and ends when its standard input ends or with SIGTERM.

#![allow(clippy::print_stdout)] // the ready line is what this program is for

use clap::{Parser, ValueEnum};
use serde_json::json;
use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use waxseal::sandbox::{Received, SandboxOptions, SandboxProvider, SandboxSecurity};

/// A mail provider on loopback: an OAuth 2.0 authorization server, and SMTP submission.
#[derive(Debug, Parser)]
#[command(name = "sandbox")]
struct Arguments {
    /// How the SMTP port is secured
    #[arg(long, value_enum, default_value = "starttls")]
    security: Security,
    /// AUTH mechanisms, separated by commas; empty for none
    #[arg(long, value_delimiter = ',', default_value = "XOAUTH2,PLAIN,LOGIN")]
    mechanisms: Vec<String>,
    /// Who may log in
    #[arg(long, default_value = "support@example.com")]
    username: String,
    /// With which password
    #[arg(long, default_value = "sandbox-password")]
    password: String,
    /// OAuth client id
    #[arg(long, default_value = "sandbox-client")]
    client_id: String,
    /// OAuth client secret; empty for a public client
    #[arg(long, default_value = "sandbox-secret")]
    client_secret: String,
    /// Every refresh hands out a new refresh token and ends the old one
    #[arg(long)]
    rotate: bool,
    /// Life of access tokens, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    expires_in: u64,
    /// The authorization endpoint agrees by itself
    #[arg(long)]
    auto_approve: bool,
    /// SMTP port; 0 is any free one
    #[arg(long, default_value_t = 0)]
    smtp_port: u16,
    /// Port of the authorization server; 0 is any free one
    #[arg(long, default_value_t = 0)]
    http_port: u16,
    /// Host names and addresses in the certificate, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "localhost,127.0.0.1")]
    certificate_names: Vec<String>,
    /// Where each message is written: NNNNNN.eml, then NNNNNN.json
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Where the authority's certificate is written, as PEM
    #[arg(long, value_name = "PATH")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Security {
    None,
    Starttls,
    Tls,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    // Taken first, so that no signal finds its default action.
    let mut terminate = signal(SignalKind::terminate())?;
    let sandbox = SandboxProvider::start(options(&arguments)?).await?;
    if let Some(path) = &arguments.ca {
        sandbox.write_ca(path)?;
    }
    let ready = json!({
        "smtp": sandbox.smtp_address().to_string(),
        "authorization_endpoint": sandbox.authorization_endpoint(),
        "token_endpoint": sandbox.token_endpoint(),
        "ca": arguments.ca,
    });
    println!("{ready}");
    io::stdout().flush()?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        () = end_of_input() => Ok(()),
        result = describe(&sandbox, arguments.directory.as_deref()) => result,
    }
}

fn options(arguments: &Arguments) -> io::Result<SandboxOptions> {
    let known = ["XOAUTH2", "OAUTHBEARER", "PLAIN", "LOGIN"];
    let mut mechanisms = Vec::new();
    for name in arguments.mechanisms.iter().filter(|name| !name.is_empty()) {
        let Some(mechanism) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
            return Err(io::Error::other(format!("{name}: not one of {}", known.join(", "))));
        };
        mechanisms.push(*mechanism);
    }
    Ok(SandboxOptions {
        security: match arguments.security {
            Security::None => SandboxSecurity::None,
            Security::Starttls => SandboxSecurity::StartTls,
            Security::Tls => SandboxSecurity::Tls,
        },
        username: arguments.username.clone(),
        password: arguments.password.clone(),
        mechanisms,
        certificate_names: arguments.certificate_names.clone(),
        client_id: arguments.client_id.clone(),
        client_secret: Some(arguments.client_secret.clone()).filter(|secret| !secret.is_empty()),
        auto_approve: arguments.auto_approve,
        expires_in: Duration::from_secs(arguments.expires_in),
        rotate: arguments.rotate,
        smtp_port: arguments.smtp_port,
        http_port: arguments.http_port,
        directory: arguments.directory.clone(),
        ..SandboxOptions::default()
    })
}

/// Returns when nobody holds the other end any more. A thread of its own reads, since a read cannot be called off.
async fn end_of_input() {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = tell.send(());
    });
    let _ = told.await;
}

/// Writes the JSON file beside each message. It comes into being whole, after the message's own file.
async fn describe(sandbox: &SandboxProvider, directory: Option<&Path>) -> io::Result<()> {
    let mut described = 0;
    loop {
        let all = sandbox.wait_for(described + 1).await;
        for message in &all[described..] {
            described += 1;
            let Some(directory) = directory else { continue };
            let draft = directory.join(format!("{described:06}.json.new"));
            std::fs::write(&draft, sidecar(message).to_string())?;
            std::fs::rename(&draft, directory.join(format!("{described:06}.json")))?;
        }
    }
}

fn sidecar(message: &Received) -> serde_json::Value {
    json!({
        "from": message.from,
        "mail_parameters": message.mail_parameters,
        "to": message.to,
        "user": message.user,
        "mechanism": message.mechanism,
        "token": message.token,
        "tls": message.tls,
        "connection": message.connection,
    })
}
