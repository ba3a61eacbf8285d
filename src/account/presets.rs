//! What Google and Microsoft presume: servers, endpoints, scopes, limits. All of it can be set otherwise.

use super::{AccountType, Rate};
use std::time::Duration;

/// A Microsoft cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cloud {
    /// Everybody's, GCC included.
    #[default]
    Global,
    /// US Government GCC High.
    UsGov,
    /// US Government DoD.
    UsGovDod,
    /// China, operated by 21Vianet.
    China,
}

/// What a type of account presumes where its table is silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// SMTP server.
    pub host: Option<&'static str>,
    /// SMTP port with STARTTLS.
    pub port: u16,
    /// Authorization endpoint (RFC 6749 §3.1).
    pub authorization_endpoint: Option<String>,
    /// Token endpoint (RFC 6749 §3.2).
    pub token_endpoint: Option<String>,
    /// Device authorization endpoint (RFC 8628 §3.1), where it gives tokens for mail.
    pub device_endpoint: Option<String>,
    /// Space-separated scopes (RFC 6749 §3.3).
    pub scope: Option<String>,
    /// Scopes of a client in its own name (RFC 6749 §4.4).
    pub client_scope: Option<String>,
    /// Query parameters without which the authorization endpoint hands out no refresh token.
    pub authorization_parameters: Vec<(&'static str, String)>,
    /// Upstream connections at once.
    pub max_connections: usize,
    /// Messages per time.
    pub rate_limit: Option<Rate>,
    /// Recipients a day.
    pub daily_recipients: Option<u32>,
    /// Recipients in one transaction.
    pub max_recipients_per_message: Option<usize>,
}

impl Preset {
    /// The preset of a type; `cloud` and `tenant` matter to Microsoft alone.
    pub fn of(kind: AccountType, cloud: Cloud, tenant: &str) -> Self {
        match kind {
            AccountType::Basic | AccountType::OAuth2 => Self::generic(),
            AccountType::Google => Self::google(),
            AccountType::Microsoft => Self::microsoft(cloud, tenant),
        }
    }

    fn generic() -> Self {
        Self {
            host: None,
            port: 587,
            authorization_endpoint: None,
            token_endpoint: None,
            device_endpoint: None,
            scope: None,
            client_scope: None,
            authorization_parameters: Vec::new(),
            max_connections: 10,
            rate_limit: None,
            daily_recipients: None,
            max_recipients_per_message: None,
        }
    }

    /// Google has a device flow too, but gives no token for mail by it.
    fn google() -> Self {
        Self {
            host: Some("smtp.gmail.com"),
            authorization_endpoint: Some("https://accounts.google.com/o/oauth2/v2/auth".into()),
            token_endpoint: Some("https://oauth2.googleapis.com/token".into()),
            scope: Some("https://mail.google.com/".into()),
            authorization_parameters: vec![("access_type", "offline".into()), ("prompt", "consent".into())],
            max_recipients_per_message: Some(100),
            ..Self::generic()
        }
    }

    fn microsoft(cloud: Cloud, tenant: &str) -> Self {
        // Microsoft documents no SMTP name of its own for DoD; its Exchange Online host takes submission too.
        let (host, authority, resource) = match cloud {
            Cloud::Global => ("smtp.office365.com", "login.microsoftonline.com", "outlook.office.com"),
            Cloud::UsGov => ("smtp.office365.us", "login.microsoftonline.us", "outlook.office365.us"),
            Cloud::UsGovDod => {
                ("outlook-dod.office365.us", "login.microsoftonline.us", "outlook-dod.office365.us")
            }
            Cloud::China => {
                ("smtp.partner.outlook.cn", "login.partner.microsoftonline.cn", "partner.outlook.cn")
            }
        };
        Self {
            host: Some(host),
            authorization_endpoint: Some(format!("https://{authority}/{tenant}/oauth2/v2.0/authorize")),
            token_endpoint: Some(format!("https://{authority}/{tenant}/oauth2/v2.0/token")),
            device_endpoint: Some(format!("https://{authority}/{tenant}/oauth2/v2.0/devicecode")),
            scope: Some(format!("https://{resource}/SMTP.Send offline_access")),
            client_scope: Some(match cloud {
                // The name that Microsoft's own instructions have.
                Cloud::Global => "https://outlook.office365.com/.default".into(),
                _ => format!("https://{resource}/.default"),
            }),
            max_connections: 3,
            rate_limit: Some(Rate { count: 30, per: Duration::from_secs(60) }),
            daily_recipients: Some(10_000),
            max_recipients_per_message: Some(500),
            ..Self::generic()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microsoft_clouds() {
        let cases = [
            (Cloud::Global, "smtp.office365.com", "login.microsoftonline.com", "outlook.office.com"),
            (Cloud::UsGov, "smtp.office365.us", "login.microsoftonline.us", "outlook.office365.us"),
            (
                Cloud::UsGovDod,
                "outlook-dod.office365.us",
                "login.microsoftonline.us",
                "outlook-dod.office365.us",
            ),
            (
                Cloud::China,
                "smtp.partner.outlook.cn",
                "login.partner.microsoftonline.cn",
                "partner.outlook.cn",
            ),
        ];
        for (cloud, host, authority, resource) in cases {
            let preset = Preset::of(AccountType::Microsoft, cloud, "contoso.example");
            assert_eq!(preset.host, Some(host));
            assert_eq!(
                preset.token_endpoint,
                Some(format!("https://{authority}/contoso.example/oauth2/v2.0/token"))
            );
            assert_eq!(preset.scope, Some(format!("https://{resource}/SMTP.Send offline_access")));
            assert_eq!((preset.max_connections, preset.daily_recipients), (3, Some(10_000)));
        }
    }

    #[test]
    fn google_asks_for_a_refresh_token() {
        let preset = Preset::of(AccountType::Google, Cloud::Global, "common");
        assert_eq!(
            preset.authorization_parameters,
            [("access_type", "offline".to_owned()), ("prompt", "consent".to_owned())]
        );
        assert_eq!((preset.max_connections, preset.max_recipients_per_message), (10, Some(100)));
    }
}
