//! Which application a connection belongs to. Pure.

use super::{Application, ListenerSettings};
use crate::account::{ApplicationId, User};
use std::net::IpAddr;

/// The application of a connection from `client` to `listener`, on which `user` has logged in: the user's, else the one
/// with the longest matching prefix among its `clients`, else the listener's own, else none (organization level). IPv4
/// in IPv6 counts as IPv4. A client at a Unix socket has no address.
pub fn application_of<'a>(
    listener: &'a ListenerSettings,
    applications: &'a [Application],
    client: Option<IpAddr>,
    user: Option<&'a User>,
) -> Option<&'a ApplicationId> {
    if let Some(application) = user.and_then(|user| user.application.as_ref()) {
        return Some(application);
    }
    let client = client.map(|client| client.to_canonical());
    applications
        .iter()
        .flat_map(|application| application.clients.iter().map(move |net| (net, &application.id)))
        .filter(|(net, _)| client.is_some_and(|client| net.contains(&client)))
        .max_by_key(|(net, _)| net.prefix_len())
        .map(|(_, id)| id)
        .or(listener.application.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::LocalPassword,
        config::{ListenAddress, ListenerTls},
    };

    #[test]
    fn the_user_wins_then_the_longest_prefix_then_the_listener() {
        let app = |id: &str, nets: &[&str]| Application {
            id: ApplicationId::new(id),
            clients: nets.iter().map(|net| net.parse().unwrap()).collect(),
            allowed_senders: None,
        };
        let applications = [app("wide", &["10.0.0.0/8", "fd00::/8"]), app("narrow", &["10.1.0.0/16"])];
        let listener = |application: Option<&str>| ListenerSettings {
            address: ListenAddress::Systemd("x".into()),
            clients: None,
            application: application.map(ApplicationId::new),
            tls: ListenerTls::default(),
            authentication: Default::default(),
        };
        let cases = [
            (Some("10.1.2.3"), None, Some("narrow")),
            (Some("10.2.2.3"), Some("own"), Some("wide")),
            (Some("::ffff:10.1.2.3"), None, Some("narrow")),
            (Some("fd00::1"), None, Some("wide")),
            (Some("192.0.2.1"), Some("own"), Some("own")),
            (Some("192.0.2.1"), None, None),
            (None, Some("own"), Some("own")),
            (None, None, None),
        ];
        for (client, own, want) in cases {
            let listener = listener(own);
            let address = client.map(|client| client.parse().unwrap());
            let user = |application: Option<&str>| User {
                id: "printer".into(),
                username: "printer".into(),
                password: LocalPassword::parse("ink").unwrap(),
                application: application.map(ApplicationId::new),
            };
            for (user, want) in
                [(None, want), (Some(user(None)), want), (Some(user(Some("theirs"))), Some("theirs"))]
            {
                let got = application_of(&listener, &applications, address, user.as_ref());
                assert_eq!(got.map(ApplicationId::as_str), want, "{client:?} {user:?}");
            }
        }
    }
}
