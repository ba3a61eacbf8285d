//! `[store]`, as far as a database is concerned.

use super::DatabaseError;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::path::{Path, PathBuf};
use url::{Host, Url};

/// Where the database is, and who this node is there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE`, with libpq's parameters.
    pub url: SecretString,
    /// The node's name.
    pub node: String,
    /// Certificates that the server's has to descend from, in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// What is wrong with a URL. The URL itself may hold a password, and is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No URL at all, or one of another scheme.
    #[error("this is no URL of a PostgreSQL database")]
    NoUrl,
    /// No name of a database.
    #[error("this URL names no database")]
    NoDatabase,
    /// A TLS mode that libpq does not know.
    #[error("this URL has an unknown sslmode")]
    SslMode,
}

impl SettingsError {
    /// The way out.
    pub fn help(self) -> &'static str {
        match self {
            Self::NoUrl | Self::NoDatabase => "for example \"postgres://waxseal@db.example.com/waxseal\"",
            Self::SslMode => "disable, allow, prefer, require, verify-ca or verify-full",
        }
    }
}

impl Settings {
    /// Whether this is a URL that [`super::Database::open`] can use.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(url: &SecretString) -> Result<(), SettingsError> {
        let url = Url::parse(url.expose_secret()).map_err(|_| SettingsError::NoUrl)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(SettingsError::NoUrl);
        }
        let named = url.path().trim_start_matches('/').is_empty();
        if named && !url.query_pairs().any(|(key, value)| key == "dbname" && !value.is_empty()) {
            return Err(SettingsError::NoDatabase);
        }
        match ssl_mode(&url) {
            Some(mode) if mode.parse::<PgSslMode>().is_err() => Err(SettingsError::SslMode),
            _ => Ok(()),
        }
    }

    /// What tells one store from another. As secret as the URL.
    pub fn identity(&self) -> (&str, &str, Option<&Path>) {
        (self.url.expose_secret(), &self.node, self.ca_file.as_deref())
    }

    /// Whether octets may pass the network in clear text, or to whoever answers: no verified TLS beyond this host.
    pub fn is_exposed(url: &SecretString) -> bool {
        let Ok(url) = Url::parse(url.expose_secret()) else { return false };
        let verified = ssl_mode(&url).is_none_or(|mode| mode.starts_with("verify-"));
        !verified && !is_local(&url)
    }

    /// Beyond this host the server has to prove itself, unless `sslmode` says otherwise.
    pub(super) fn options(&self) -> Result<PgConnectOptions, DatabaseError> {
        let text = self.url.expose_secret();
        let unusable = || DatabaseError::Settings("`url` is no URL of a PostgreSQL database".to_owned());
        let url = Url::parse(text).map_err(|_| unusable())?;
        let mut options: PgConnectOptions = text.parse().map_err(|_| unusable())?;
        if ssl_mode(&url).is_none() && (!is_local(&url) || self.ca_file.is_some()) {
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
        if let Some(path) = &self.ca_file {
            options = options.ssl_root_cert(path);
        }
        // Statements are the program's own and say nothing to an operator.
        Ok(options.application_name("waxseal").disable_statement_logging())
    }
}

fn ssl_mode(url: &Url) -> Option<String> {
    let mode = url.query_pairs().find(|(key, _)| matches!(&**key, "sslmode" | "ssl-mode"));
    mode.map(|(_, value)| value.into_owned())
}

fn is_local(url: &Url) -> bool {
    let host = url.query_pairs().find(|(key, _)| key == "host").map(|(_, value)| value.into_owned());
    let host = match (host, url.host()) {
        (Some(host), _) => host,
        (None, Some(Host::Ipv4(ip))) => return ip.is_loopback(),
        (None, Some(Host::Ipv6(ip))) => return ip.is_loopback(),
        (None, Some(Host::Domain(name))) => name.to_owned(),
        (None, None) => return true,
    };
    let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    // A host that begins with a slash, however written, is a directory with a Unix socket.
    is_loopback
        || host == "localhost"
        || host.starts_with('/')
        || host.to_ascii_lowercase().starts_with("%2f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_database_and_a_known_sslmode() {
        let cases = [
            ("postgres://waxseal@db.example.com/waxseal", None),
            ("postgresql:///waxseal?host=/run/postgresql", None),
            ("postgres://db/waxseal?sslmode=verify-ca", None),
            ("postgres://db?dbname=waxseal", None),
            ("mysql://db/waxseal", Some(SettingsError::NoUrl)),
            ("db.example.com", Some(SettingsError::NoUrl)),
            ("postgres://db.example.com", Some(SettingsError::NoDatabase)),
            ("postgres://db/waxseal?sslmode=yes", Some(SettingsError::SslMode)),
        ];
        for (url, wrong) in cases {
            assert_eq!(Settings::check(&url.into()).err(), wrong, "{url}");
        }
    }

    #[test]
    fn beyond_this_host_the_server_proves_itself_unless_told_otherwise() {
        let mode = |url: &str, ca_file: Option<&str>| {
            let ca_file = ca_file.map(PathBuf::from);
            let settings = Settings { url: url.into(), node: "a".into(), ca_file };
            format!("{:?}", settings.options().unwrap().get_ssl_mode())
        };
        for (url, ca_file, wanted, exposed) in [
            ("postgres://db.example.com/waxseal", None, "VerifyFull", false),
            ("postgres://db.example.com/waxseal?sslmode=require", None, "Require", true),
            ("postgres://127.0.0.1:5433/waxseal", None, "Prefer", false),
            ("postgres://localhost/waxseal", Some("/etc/ca.pem"), "VerifyFull", false),
            ("postgres:///waxseal?host=/run/postgresql", None, "Prefer", false),
            ("postgres://[::1]/waxseal?sslmode=disable", None, "Disable", false),
            ("postgres://db/waxseal?sslmode=disable", None, "Disable", true),
        ] {
            assert_eq!(mode(url, ca_file), wanted, "{url}");
            assert_eq!(Settings::is_exposed(&url.into()), exposed, "{url}");
        }
    }
}
