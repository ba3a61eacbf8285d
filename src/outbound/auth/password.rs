//! The mechanisms that prove a password.

use super::{Cause, Failure, LOGGED_IN, Reply, STANDARD, Stage, Wire, initial, secret_line};
use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use md5::Md5;
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// PLAIN (RFC 4616).
pub(super) async fn plain(wire: &mut Wire, username: &str, password: &SecretString) -> Result<(), Failure> {
    let response = Zeroizing::new(format!("\0{username}\0{}", password.expose_secret()));
    let encoded = Zeroizing::new(STANDARD.encode(response.as_bytes()));
    let mut reply = initial(wire, "PLAIN", &encoded).await?;
    if reply.code() == 334 {
        reply = secret_line(wire, &encoded).await?;
    }
    settled(reply)
}

/// LOGIN: user name and password, each asked for.
pub(super) async fn login(wire: &mut Wire, username: &str, password: &SecretString) -> Result<(), Failure> {
    let mut reply = wire.command(Stage::Auth, "AUTH LOGIN").await?;
    for secret in [username, password.expose_secret()] {
        if reply.code() != 334 {
            break;
        }
        reply = secret_line(wire, &Zeroizing::new(STANDARD.encode(secret.as_bytes()))).await?;
    }
    settled(reply)
}

/// CRAM-MD5 (RFC 2195): the password's keyed digest of what the server says.
pub(super) async fn cram_md5(
    wire: &mut Wire,
    username: &str,
    password: &SecretString,
) -> Result<(), Failure> {
    let reply = wire.command(Stage::Auth, "AUTH CRAM-MD5").await?;
    if reply.code() != 334 {
        return settled(reply);
    }
    let nonsense = || Failure::new(Stage::Auth, Cause::Nonsense);
    let challenge = STANDARD.decode(reply.text().trim()).map_err(|_| nonsense())?;
    let response = digest_response(username, password, &challenge).ok_or_else(nonsense)?;
    settled(secret_line(wire, &Zeroizing::new(STANDARD.encode(response.as_bytes()))).await?)
}

/// User name and digest, in hexadecimal.
fn digest_response(username: &str, password: &SecretString, challenge: &[u8]) -> Option<Zeroizing<String>> {
    let mut mac = Hmac::<Md5>::new_from_slice(password.expose_secret().as_bytes()).ok()?;
    mac.update(challenge);
    let mut response = Zeroizing::new(format!("{username} "));
    for octet in mac.finalize().into_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(response, "{octet:02x}");
    }
    Some(response)
}

fn settled(reply: Reply) -> Result<(), Failure> {
    match reply.code() {
        LOGGED_IN => Ok(()),
        _ => Err(Failure::new(Stage::Auth, Cause::Refused(reply))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2195() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let response = digest_response("tim", &"tanstaaftanstaaf".to_owned().into(), challenge);
        assert_eq!(*response.unwrap(), "tim b913a602c7eda7a495b4e6e7334d3890");
    }
}
