//! An account for tests.

use super::{
    Account, AccountId, AccountType, Client, ClientProof, Delivery, DomainPattern, Grant, Login, OAuthLogin,
    Pacing, SecurityMode, SenderPolicy, Server, SignIn, SignInWay, TokenMechanism,
};
use url::Url;

/// An organization's account without a login, for these domains.
pub(crate) fn account(id: &str, domains: &[&str]) -> Account {
    Account {
        id: AccountId::new(id),
        name: id.to_owned(),
        description: String::new(),
        active: true,
        application: None,
        kind: AccountType::Basic,
        domains: domains.iter().map(|domain| DomainPattern::parse(domain).unwrap()).collect(),
        senders: Vec::new(),
        default: false,
        server: Server {
            host: "smtp.example.com".into(),
            port: 587,
            security: SecurityMode::StartTls,
            allow_plaintext_authentication: false,
            certificate_validation: true,
            ca_file: None,
        },
        login: Login::None,
        sender: SenderPolicy::Keep,
        pacing: Pacing {
            max_connections: 1,
            rate_limit: None,
            daily_recipients: None,
            max_recipients_per_message: None,
        },
        delivery: Delivery::Queue,
    }
}

/// The same, for which a person signs in.
pub(crate) fn oauth(id: &str) -> Account {
    let endpoint = |path: &str| Url::parse(&format!("https://login.example.com/{path}")).unwrap();
    let way =
        SignInWay::Browser { endpoint: endpoint("authorize"), parameters: Vec::new(), device_endpoint: None };
    let client = Client { id: "client".into(), proof: ClientProof::Nothing };
    let login = OAuthLogin {
        username: "support@example.com".into(),
        mechanism: TokenMechanism::Auto,
        token_endpoint: endpoint("token"),
        scope: "mail".into(),
        grant: Grant::SignIn(client, SignIn { way, first_refresh_token: None }),
    };
    Account {
        kind: AccountType::OAuth2,
        login: Login::OAuth(Box::new(login)),
        ..account(id, &["example.com"])
    }
}
