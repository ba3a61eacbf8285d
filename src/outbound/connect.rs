//! TCP and TLS, by way of mail-send: the one file that names it. What of it is not used, and why, is in
//! `docs/decisions/0003`.

use super::{
    Stage,
    failure::{Cause, Failure},
    tls::{bare_host, explain},
};
use mail_send::{Error, SmtpClient};
use rustls::ClientConfig;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long one address may take; the next is tried after it.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to the first address of `host` that answers, within the timeout of [`Stage::Connect`].
pub(super) async fn tcp(host: &str, port: u16) -> Result<TcpStream, Failure> {
    let deadline = Instant::now() + Stage::Connect.timeout();
    let mut last = String::new();
    for address in resolved(host, port).await? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match SmtpClient::connect(address, left.min(ADDRESS_TIMEOUT)).await {
            Ok(client) => {
                // Flights are written whole, so Nagle's algorithm could only delay them.
                let _ = client.stream.set_nodelay(true);
                return Ok(client.stream);
            }
            Err(error) => last = format!("{address}: {}", plain(&error)),
        }
    }
    Err(unreachable(last))
}

/// The addresses of `host`, at least one, within the timeout of [`Stage::Connect`].
pub(super) async fn resolved(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let host = bare_host(host);
    let looked_up = timeout(Stage::Connect.timeout(), lookup_host((host, port)));
    let addresses: Vec<SocketAddr> = looked_up
        .await
        .map_err(|_| unreachable(format!("the name {host} was not resolved in time")))?
        .map_err(|error| unreachable(format!("the name {host} does not resolve: {error}")))?
        .collect();
    if addresses.is_empty() {
        Err(unreachable(format!("the name {host} has no address")))
    } else {
        Ok(addresses)
    }
}

fn unreachable(why: String) -> Failure {
    Failure::new(Stage::Connect, Cause::Unreachable(why))
}

/// Shakes hands over `stream`; the certificate has to bear `host`.
pub(super) async fn tls(
    stream: TcpStream,
    config: &Arc<ClientConfig>,
    host: &str,
) -> Result<TlsStream<TcpStream>, Failure> {
    let stage = Stage::Handshake;
    let client = SmtpClient { stream, timeout: stage.timeout() };
    match client.into_tls(&TlsConnector::from(config.clone()), bare_host(host)).await {
        Ok(client) => Ok(client.stream),
        Err(Error::Tls(error)) => Err(Failure::new(stage, explain(&error, host))),
        Err(Error::Timeout) => Err(Failure::new(stage, Cause::Silent)),
        Err(error) => Err(Failure::new(stage, Cause::Lost(plain(&error)))),
    }
}

fn plain(error: &Error) -> String {
    match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the server closed it".to_owned()
        }
        Error::Io(error) => error.to_string(),
        Error::Timeout => "no answer in time".to_owned(),
        other => other.to_string(),
    }
}
