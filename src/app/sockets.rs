//! Listening sockets: bound here, or passed by systemd (sd_listen_fds(3)).

use crate::{
    config::{ListenAddress, ListenerSettings},
    inbound::Listener,
};
use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use std::sync::Arc;

/// One socket a listener, in order.
///
/// # Errors
/// A sentence about the first address that cannot be had.
pub(super) async fn bind(settings: &[Arc<ListenerSettings>]) -> anyhow::Result<Vec<Listener>> {
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
            ListenAddress::Unix(path) => Listener::bind(&listener.address).await.with_context(|| {
                let missing = path.parent().is_some_and(|directory| !directory.exists());
                let hint = match missing {
                    true => {
                        "; its directory has to be there: the service's RuntimeDirectory= makes /run/waxseal"
                    }
                    false => "",
                };
                format!("{} cannot be listened on{hint}", path.display())
            })?,
            ListenAddress::Systemd(name) => {
                let index =
                    names.iter().position(|passed| passed == name).filter(|index| *index < passed.len());
                let Some(index) = index else {
                    bail!("systemd passed no socket named {name}: see FileDescriptorName= in waxseal.socket");
                };
                take_over(&mut passed, index, listener).with_context(|| format!("systemd:{name}"))?
            }
        };
        listeners.push(bound);
    }
    Ok(listeners)
}

/// A socket that systemd passes, TCP or Unix. What the configuration cannot know of it is held against it now.
fn take_over(passed: &mut ListenFd, index: usize, settings: &ListenerSettings) -> anyhow::Result<Listener> {
    // Asked for as what it is not, a socket stays where it is.
    if let Ok(socket) = passed.take_tcp_listener(index) {
        let socket = socket.context("two listeners want this socket")?;
        let address = socket.local_addr()?;
        if settings.clients.is_none() && !address.ip().to_canonical().is_loopback() {
            bail!(
                "{address} can be reached from beyond this host, and without `clients` nothing says who may send \
                 mail as your accounts; say who may submit, or have ListenStream= name 127.0.0.1"
            );
        }
        return Ok(Listener::from_tcp(socket)?);
    }
    let socket = passed.take_unix_listener(index)?.context("two listeners want this socket")?;
    if settings.clients.is_some() {
        bail!(
            "it is a Unix socket, whose clients have no address that `clients` could hold; leave `clients` out"
        );
    }
    Ok(Listener::from_unix(socket)?)
}
