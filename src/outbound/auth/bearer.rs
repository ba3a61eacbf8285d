//! Access tokens (RFC 6750) in the two mechanisms that carry them.

use super::{Cause, Failure, LOGGED_IN, STANDARD, Stage, Wire, initial, secret_line};
use base64::Engine as _;
use zeroize::Zeroizing;

/// Who logs in where, and with which token.
pub(super) struct Bearer<'a> {
    pub(super) username: &'a str,
    /// The server as the account names it.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) token: &'a str,
}

impl Bearer<'_> {
    /// XOAUTH2, as Google and Microsoft describe it. A refusal is acknowledged by an empty line.
    pub(super) async fn xoauth2(&self, wire: &mut Wire) -> Result<(), Failure> {
        let Self { username, token, .. } = self;
        let response = Zeroizing::new(format!("user={username}\x01auth=Bearer {token}\x01\x01"));
        exchange(wire, "XOAUTH2", &response, "").await
    }

    /// OAUTHBEARER (RFC 7628 §3.1). A refusal is acknowledged by a single ^A (§3.2.3).
    pub(super) async fn oauthbearer(&self, wire: &mut Wire) -> Result<(), Failure> {
        exchange(wire, "OAUTHBEARER", &self.client_response(), &STANDARD.encode("\x01")).await
    }

    /// The client's only message: a GS2 header without channel binding (RFC 5801 §4), then keys and values.
    fn client_response(&self) -> Zeroizing<String> {
        let Self { username, host, port, token } = self;
        let saslname = username.replace('=', "=3D").replace(',', "=2C");
        Zeroizing::new(format!(
            "n,a={saslname},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"
        ))
    }
}

/// Gives the response; where it is refused, hears the reason, which comes as JSON in a challenge, and acknowledges it.
/// Only then comes the real reply.
async fn exchange(
    wire: &mut Wire,
    mechanism: &str,
    response: &str,
    acknowledgement: &str,
) -> Result<(), Failure> {
    let encoded = Zeroizing::new(STANDARD.encode(response.as_bytes()));
    let mut reply = initial(wire, mechanism, &encoded).await?;
    if reply.code() == 334 && reply.text().trim().is_empty() {
        // A server without initial responses asks for it now.
        reply = secret_line(wire, &encoded).await?;
    }
    let mut reason = None;
    if reply.code() == 334 {
        reason = refusal_reason(reply.text());
        wire.push(acknowledgement);
        wire.flush(Stage::Auth).await?;
        reply = wire.reply(Stage::Auth).await?;
    }
    match reply.code() {
        LOGGED_IN => Ok(()),
        _ => Err(Failure::new(Stage::Auth, Cause::TokenRefused { reply, reason })),
    }
}

/// `status 401, scope https://mail.google.com/` out of the base64 JSON of a 334.
fn refusal_reason(challenge: &str) -> Option<String> {
    let json = STANDARD.decode(challenge.trim()).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&json).ok()?;
    let field = |name: &str| {
        let text = match value.get(name)? {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        (!text.is_empty()).then(|| format!("{name} {text}"))
    };
    let parts: Vec<_> = ["status", "schemes", "scope"].into_iter().filter_map(field).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_refusal_is_read_out_of_its_challenge() {
        let challenge =
            STANDARD.encode(r#"{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}"#);
        assert_eq!(
            refusal_reason(&challenge).as_deref(),
            Some("status 401, schemes bearer, scope https://mail.google.com/")
        );
        assert_eq!(refusal_reason(&STANDARD.encode(r#"{"status":400}"#)).as_deref(), Some("status 400"));
        for nonsense in ["", "!", "bm8=", "e30="] {
            assert_eq!(refusal_reason(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_example_of_rfc_7628() {
        let bearer = Bearer {
            username: "user@example.com",
            host: "server.example.com",
            port: 587,
            token: "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
        };
        let encoded = "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRm\
            dDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
        assert_eq!(STANDARD.encode(bearer.client_response().as_bytes()), encoded);
    }

    #[test]
    fn a_user_name_cannot_end_the_gs2_header() {
        let bearer = Bearer { username: "a,b=c", host: "h", port: 25, token: "t" };
        assert_eq!(*bearer.client_response(), "n,a=a=2Cb=3Dc,\x01host=h\x01port=25\x01auth=Bearer t\x01\x01");
    }
}
