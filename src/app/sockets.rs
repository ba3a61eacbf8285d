//! Listening sockets: bound here, or passed by systemd (sd_listen_fds(3)).

use crate::{
    config::{ListenAddress, ListenerSettings},
    inbound::Listener,
};
use anyhow::{Context as _, bail};
use listenfd::ListenFd;

/// One socket a listener, in order.
///
/// # Errors
/// A sentence about the first address that cannot be had.
pub(super) async fn bind(settings: &[ListenerSettings]) -> anyhow::Result<Vec<Listener>> {
    // Read before ListenFd takes the variables away.
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<&str> = names.split(':').collect();
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for listener in settings {
        let bound = match &listener.address {
            ListenAddress::Tcp(address) => Listener::bind(&listener.address).await.with_context(|| {
                let hint = match address.port() {
                    1..1024 => "; below 1024 that takes CAP_NET_BIND_SERVICE, or the socket unit",
                    _ => "",
                };
                format!("{address} cannot be listened on{hint}")
            })?,
            ListenAddress::Systemd(name) => {
                let index =
                    names.iter().position(|passed| passed == name).filter(|index| *index < passed.len());
                let Some(index) = index else {
                    bail!("systemd passed no socket named {name}: see FileDescriptorName= in waxseal.socket");
                };
                let socket = passed.take_tcp_listener(index).with_context(|| format!("systemd:{name}"))?;
                let socket = socket.with_context(|| format!("two listeners want systemd:{name}"))?;
                Listener::from_std(socket)?
            }
        };
        listeners.push(bound);
    }
    Ok(listeners)
}
