//! Addresses of clients as networks of the configuration.

use super::Who;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// This host's own addresses.
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
/// Docker's bridge as it comes.
const DOCKER: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16);
/// From so many clients of one network on, the network is worth a thought.
const CROWD: usize = 4;

/// The network that stands for a client: this host as a whole, else its address alone.
pub(super) fn network(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(address) if LOOPBACK.contains(&address) => IpNet::V4(LOOPBACK),
        address => IpNet::from(address),
    }
}

/// The networks of these clients, each once; those without an address have none.
pub(super) fn networks(clients: impl Iterator<Item = Who>) -> BTreeSet<IpNet> {
    clients
        .filter_map(|who| match who {
            Who::Network(address) => Some(network(address)),
            Who::Local(_) => None,
        })
        .collect()
}

/// What to think of before these networks are taken as they are.
pub(super) fn hints(networks: &BTreeSet<IpNet>) -> Vec<String> {
    let mut hints = Vec::new();
    if networks.iter().any(|net| matches!(net, IpNet::V4(net) if DOCKER.contains(net))) {
        hints.push(format!(
            "172.17.0.0/16 is Docker's bridge unless it was set otherwise. Containers change their addresses: \
             \"{DOCKER}\" has all of them"
        ));
    }
    let mut crowds: BTreeMap<IpNet, usize> = BTreeMap::new();
    for net in networks {
        let wider = match net {
            IpNet::V4(net) if net.addr().is_loopback() || DOCKER.contains(net) => None,
            IpNet::V4(net) => Ipv4Net::new(net.addr(), 24).ok().map(|net| IpNet::V4(net.trunc())),
            IpNet::V6(net) if net.addr() == Ipv6Addr::LOCALHOST => None,
            IpNet::V6(net) => Ipv6Net::new(net.addr(), 64).ok().map(|net| IpNet::V6(net.trunc())),
        };
        if let Some(wider) = wider {
            *crowds.entry(wider).or_default() += 1;
        }
    }
    for (net, clients) in crowds {
        match net {
            IpNet::V6(_) => hints.push(format!(
                "IPv6 hosts often change their addresses: \"{net}\" has the ones to come, and its neighbours"
            )),
            IpNet::V4(_) if clients >= CROWD => hints.push(format!(
                "{clients} clients are in {net}: it can stand for them where all of it is yours"
            )),
            IpNet::V4(_) => {}
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(addresses: &[&str]) -> BTreeSet<IpNet> {
        networks(addresses.iter().map(|text| Who::Network(text.parse().unwrap())).chain([Who::Local(0)]))
    }

    #[test]
    fn the_smallest_networks_and_this_host_as_one() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&["127.0.0.1", "127.0.0.2"], &["127.0.0.0/8"]),
            (&["::1", "192.0.2.7", "192.0.2.6"], &["192.0.2.6/32", "192.0.2.7/32", "::1/128"]),
            (&["2001:db8::1"], &["2001:db8::1/128"]),
            (&[], &[]),
        ];
        for (addresses, wanted) in cases {
            let got: Vec<String> = of(addresses).iter().map(ToString::to_string).collect();
            assert_eq!(got, wanted);
        }
    }

    #[test]
    fn wider_networks_are_suggested_and_never_taken() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&["192.0.2.1", "192.0.2.2", "192.0.2.3"], &[]),
            (&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], &["4 clients are in 192.0.2.0/24"]),
            (&["172.17.0.2"], &["172.17.0.0/16 is Docker's"]),
            (&["2001:db8::1"], &["IPv6 hosts often change their addresses: \"2001:db8::/64\""]),
            (&["127.0.0.1", "::1"], &[]),
        ];
        for (addresses, wanted) in cases {
            let got = hints(&of(addresses));
            assert_eq!(got.len(), wanted.len(), "{got:?}");
            for (hint, wanted) in got.iter().zip(wanted) {
                assert!(hint.starts_with(wanted), "{hint}");
            }
        }
    }
}
