//! Providers by their endpoints and servers: which of them are Google or Microsoft, and what the others lack.

use super::names;
use crate::{
    account::{
        AccountType,
        presets::{Cloud, Preset},
    },
    draft::Draft,
};
use url::Url;

/// Whose OAuth endpoint it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provider {
    /// The type of account.
    pub(super) kind: AccountType,
    /// Microsoft's directory; `common` is not named.
    pub(super) tenant: Option<String>,
    /// Microsoft's cloud.
    pub(super) cloud: Cloud,
}

impl Provider {
    /// A provider of which there is nothing to say but its type.
    pub(super) const fn plain(kind: AccountType) -> Self {
        Self { kind, tenant: None, cloud: Cloud::Global }
    }

    /// The provider of an endpoint for tokens or for signing in.
    pub(super) fn of_endpoint(endpoint: &str) -> Self {
        let Ok(url) = Url::parse(endpoint) else { return Self::plain(AccountType::OAuth2) };
        let cloud = match url.host_str().unwrap_or_default() {
            "accounts.google.com" | "oauth2.googleapis.com" | "www.googleapis.com" => {
                return Self::plain(AccountType::Google);
            }
            "login.microsoftonline.com" | "login.windows.net" | "login.live.com" => Cloud::Global,
            "login.microsoftonline.us" => Cloud::UsGov,
            "login.partner.microsoftonline.cn" | "login.chinacloudapi.cn" => Cloud::China,
            _ => return Self::plain(AccountType::OAuth2),
        };
        let tenant = match url.host_str() {
            Some("login.live.com") => Some("consumers".to_owned()),
            _ => url.path_segments().and_then(|mut parts| parts.next()).map(str::to_owned),
        };
        let sound = |tenant: &String| tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let tenant = tenant.filter(|name| !name.is_empty() && name != "common").filter(sound);
        Self { kind: AccountType::Microsoft, tenant, cloud }
    }

    /// The provider of a server that mail is handed to.
    pub(super) fn of_server(host: &str) -> Self {
        match host.to_ascii_lowercase().as_str() {
            "smtp.gmail.com" | "smtp.googlemail.com" | "smtp-relay.gmail.com" => {
                Self::plain(AccountType::Google)
            }
            "smtp.office365.com" | "smtp-mail.outlook.com" | "outlook.office365.com" => {
                Self::plain(AccountType::Microsoft)
            }
            "smtp.office365.us" => Self { cloud: Cloud::UsGov, ..Self::plain(AccountType::Microsoft) },
            "outlook-dod.office365.us" => {
                Self { cloud: Cloud::UsGovDod, ..Self::plain(AccountType::Microsoft) }
            }
            "smtp.partner.outlook.cn" => Self { cloud: Cloud::China, ..Self::plain(AccountType::Microsoft) },
            _ => Self::plain(AccountType::OAuth2),
        }
    }

    /// What the configuration presumes of it.
    pub(super) fn preset(&self) -> Preset {
        Preset::of(self.kind, self.cloud, self.tenant.as_deref().unwrap_or("common"))
    }

    /// Sets tenant and cloud, where they are not what is presumed.
    pub(super) fn describe(&self, draft: &mut Draft) {
        draft.set_some("tenant", self.tenant.clone());
        draft.set_some(
            "cloud",
            match self.cloud {
                Cloud::Global => None,
                Cloud::UsGov => Some("us-gov"),
                Cloud::UsGovDod => Some("us-gov-dod"),
                Cloud::China => Some("china"),
            },
        );
    }
}

/// How a tool secures a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// Not at all.
    Clear,
    /// STARTTLS.
    StartTls,
    /// TLS from the first octet on.
    Tls,
}

/// Sets address, port and security, as far as they are not presumed.
pub(super) fn set_server(draft: &mut Draft, preset: &Preset, host: &str, port: u16, security: Security) {
    let Some(host) = names::host(host) else {
        draft.lacks("address", "the SMTP server; what stands there is no host");
        return;
    };
    if preset.host != Some(host.as_str()) {
        draft.set("address", host);
    }
    if preset.host.is_none() || port != preset.port {
        draft.set("port", port);
    }
    let presumed = if port == 465 { Security::Tls } else { Security::StartTls };
    let word = match security {
        Security::Clear => "none",
        Security::StartTls => "starttls",
        Security::Tls => "tls",
    };
    if security != presumed {
        draft.set("security", word);
    }
}

/// Why a connection is more secure than it was.
pub(super) const NOT_CLEAR: &str = "the login went out in the clear; waxseal demands STARTTLS instead. For a server \
    that has none set `security = \"none\"` and `allow_plaintext_authentication = true`";

/// No login goes out in the clear where somebody could read it, whatever the tool did: `true` where that changes it.
pub(super) fn never_clear(security: &mut Security, host: &str) -> bool {
    let clear = *security == Security::Clear && !names::is_loopback(host);
    if clear {
        *security = Security::StartTls;
    }
    clear
}

/// Providers that have neither a type nor a way to be asked: by the host of their token endpoint.
pub(super) struct Known {
    /// Where a person signs in.
    pub(super) authorization_endpoint: &'static str,
    /// What is asked for.
    pub(super) scope: &'static str,
    /// The SMTP server, with TLS at port 465.
    pub(super) server: &'static str,
}

/// What is known of a provider by its token endpoint.
pub(super) fn known(token_endpoint: &str) -> Option<Known> {
    let url = Url::parse(token_endpoint).ok()?;
    match url.host_str()? {
        "api.login.yahoo.com" => Some(Known {
            authorization_endpoint: "https://api.login.yahoo.com/oauth2/request_auth",
            scope: "mail-w",
            server: "smtp.mail.yahoo.com",
        }),
        "api.login.aol.com" => Some(Known {
            authorization_endpoint: "https://api.login.aol.com/oauth2/request_auth",
            scope: "mail-w",
            server: "smtp.aol.com",
        }),
        _ => None,
    }
}

/// An endpoint as the configuration takes it: https, or http on loopback.
pub(super) fn is_endpoint(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        url.scheme() == "https" && !host.is_empty() || url.scheme() == "http" && names::is_loopback(&host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_known_by_their_endpoints() {
        let google = Provider::plain(AccountType::Google);
        let microsoft = |tenant: Option<&str>, cloud| Provider {
            kind: AccountType::Microsoft,
            tenant: tenant.map(str::to_owned),
            cloud,
        };
        for (endpoint, wanted) in [
            ("https://accounts.google.com/o/oauth2/auth", google.clone()),
            ("https://oauth2.googleapis.com/token", google),
            ("https://login.microsoftonline.com/common/oauth2/v2.0/token", microsoft(None, Cloud::Global)),
            (
                "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token",
                microsoft(Some("contoso.example"), Cloud::Global),
            ),
            ("https://login.microsoftonline.us/x/oauth2/v2.0/token", microsoft(Some("x"), Cloud::UsGov)),
            (
                "https://login.partner.microsoftonline.cn/x/oauth2/v2.0/token",
                microsoft(Some("x"), Cloud::China),
            ),
            ("https://login.microsoftonline.com/a%20b/token", microsoft(None, Cloud::Global)),
            ("https://login.example.com/token", Provider::plain(AccountType::OAuth2)),
            ("nothing", Provider::plain(AccountType::OAuth2)),
        ] {
            assert_eq!(Provider::of_endpoint(endpoint), wanted, "{endpoint}");
        }
    }

    #[test]
    fn endpoints_are_https_or_on_loopback() {
        assert!(is_endpoint("https://a.example/") && is_endpoint("http://[::1]:80/"));
        assert!(!is_endpoint("http://a.example/") && !is_endpoint("urn:x") && !is_endpoint(""));
    }
}
