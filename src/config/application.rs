//! Which application a connection belongs to. Pure.

use super::{Application, ListenerSettings};
use crate::account::ApplicationId;
use std::net::IpAddr;

/// The application of a connection from `client` to `listener`: the one with the longest matching prefix among
/// its `clients`, else the listener's own, else none (organization level). IPv4 in IPv6 counts as IPv4.
pub fn application_of<'a>(
    listener: &'a ListenerSettings,
    applications: &'a [Application],
    client: IpAddr,
) -> Option<&'a ApplicationId> {
    let client = client.to_canonical();
    applications
        .iter()
        .flat_map(|application| application.clients.iter().map(move |net| (net, &application.id)))
        .filter(|(net, _)| net.contains(&client))
        .max_by_key(|(net, _)| net.prefix_len())
        .map(|(_, id)| id)
        .or(listener.application.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ListenAddress;

    #[test]
    fn the_longest_prefix_wins_then_the_listener() {
        let app = |id: &str, nets: &[&str]| Application {
            id: ApplicationId::new(id),
            clients: nets.iter().map(|net| net.parse().unwrap()).collect(),
        };
        let applications = [app("wide", &["10.0.0.0/8", "fd00::/8"]), app("narrow", &["10.1.0.0/16"])];
        let listener = |application: Option<&str>| ListenerSettings {
            address: ListenAddress::Systemd("x".into()),
            clients: Vec::new(),
            application: application.map(ApplicationId::new),
        };
        let cases = [
            ("10.1.2.3", None, Some("narrow")),
            ("10.2.2.3", Some("own"), Some("wide")),
            ("::ffff:10.1.2.3", None, Some("narrow")),
            ("fd00::1", None, Some("wide")),
            ("192.0.2.1", Some("own"), Some("own")),
            ("192.0.2.1", None, None),
        ];
        for (client, own, want) in cases {
            let listener = listener(own);
            let got = application_of(&listener, &applications, client.parse().unwrap());
            assert_eq!(got.map(ApplicationId::as_str), want, "{client}");
        }
    }
}
