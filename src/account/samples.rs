//! An account for tests.

use super::{
    Account, AccountId, AccountType, Delivery, DomainPattern, Login, Pacing, SecurityMode, SenderPolicy,
    Server,
};

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
