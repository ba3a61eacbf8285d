//! Our own SASL exchange (RFC 4954, RFC 4616, XOAUTH2). One of the places where secrets leave their wrapper.

use super::{
    Stage,
    failure::{Cause, Failure},
    wire::Wire,
};
use crate::{
    account::{
        Account, Login, Mechanism,
        token::{AccessToken, NoToken},
    },
    mail::{EnhancedCode, Reply},
    oauth::TokenSource,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use smtp_proto::{AUTH_CRAM_MD5, AUTH_LOGIN, AUTH_OAUTHBEARER, AUTH_PLAIN, AUTH_XOAUTH2};
use zeroize::Zeroizing;

/// The one reply that says so (RFC 4954 §6); another good one is an answer to something else.
const LOGGED_IN: u16 = 235;

/// What proves who we are, for one attempt at logging in.
pub(super) enum Credentials {
    Password { username: String, password: SecretString },
    Token { username: String, token: AccessToken },
}

impl Credentials {
    /// The account's credentials, `None` where it does not log in. An OAuth account never gets a password.
    pub(super) async fn of(account: &Account, tokens: &dyn TokenSource) -> Result<Option<Self>, Failure> {
        match &account.login {
            Login::None => Ok(None),
            Login::Password { username, password } => {
                Ok(Some(Self::Password { username: username.clone(), password: password.clone() }))
            }
            Login::OAuth(oauth) => {
                let no_token = |why: NoToken| Failure::new(Stage::Auth, Cause::NoToken(why));
                let token = tokens.access_token(&account.id).await.map_err(no_token)?;
                Ok(Some(Self::Token { username: oauth.username.clone(), token }))
            }
        }
    }

    /// Logs in with one mechanism; a refusal is final, so that no account is locked by repetition.
    pub(super) async fn log_in(
        &self,
        wire: &mut Wire,
        offered: u64,
        configured: Mechanism,
    ) -> Result<(), Failure> {
        let has = |bit: u64| offered & bit != 0;
        match (self, configured) {
            (Self::Token { username, token }, _) if has(AUTH_XOAUTH2) => xoauth2(wire, username, token).await,
            (Self::Token { .. }, _) => Err(missing("XOAUTH2", offered)),
            (Self::Password { username, password }, Mechanism::Auto) if has(AUTH_PLAIN) => {
                plain(wire, username, password).await
            }
            (Self::Password { username, password }, Mechanism::Plain) if has(AUTH_PLAIN) => {
                plain(wire, username, password).await
            }
            (Self::Password { username, password }, Mechanism::Auto | Mechanism::Login)
                if has(AUTH_LOGIN) =>
            {
                login(wire, username, password).await
            }
            (Self::Password { .. }, Mechanism::Plain) => Err(missing("AUTH PLAIN", offered)),
            (Self::Password { .. }, Mechanism::Login) => Err(missing("AUTH LOGIN", offered)),
            (Self::Password { .. }, Mechanism::Auto) => Err(missing("AUTH PLAIN or LOGIN", offered)),
            (Self::Password { .. }, Mechanism::XOAuth2) => {
                Err(missing("a mechanism for this account's password", offered))
            }
        }
    }

    /// After a refused token: another one, where the source has one.
    pub(super) async fn renewed(
        &self,
        failure: &Failure,
        account: &Account,
        tokens: &dyn TokenSource,
    ) -> Option<Self> {
        let (Self::Token { username, token }, Cause::TokenRefused { reply, .. }) = (self, &failure.cause)
        else {
            return None;
        };
        // 5.7.139 is a policy: the token is good, and another would fare no better. 5.5.127: too near its end.
        let about_the_token = match reply.enhanced() {
            Some(EnhancedCode(5, 7, 139)) => false,
            Some(EnhancedCode(5, 5, 127)) => true,
            _ => reply.code() == 535,
        };
        if !about_the_token {
            return None;
        }
        tokens.refused(&account.id, token);
        let next = tokens.access_token(&account.id).await.ok()?;
        let other = next.secret.expose_secret() != token.secret.expose_secret();
        other.then(|| Self::Token { username: username.clone(), token: next })
    }
}

/// `user=` and the token, and the JSON challenge that a refusal is wrapped in.
async fn xoauth2(wire: &mut Wire, username: &str, token: &AccessToken) -> Result<(), Failure> {
    let token = token.secret.expose_secret();
    let response = Zeroizing::new(format!("user={username}\x01auth=Bearer {token}\x01\x01"));
    let encoded = Zeroizing::new(STANDARD.encode(response.as_bytes()));
    let mut reply = initial(wire, "XOAUTH2", &encoded).await?;
    if reply.code() == 334 && reply.text().trim().is_empty() {
        // A server without initial responses asks for it now.
        reply = secret_line(wire, &encoded).await?;
    }
    let mut reason = None;
    if reply.code() == 334 {
        reason = refusal_reason(reply.text());
        // The empty line: the answer that the error challenge wants. Only then comes the real reply.
        wire.push("");
        wire.flush(Stage::Auth).await?;
        reply = wire.reply(Stage::Auth).await?;
    }
    match reply.code() {
        LOGGED_IN => Ok(()),
        _ => Err(Failure::new(Stage::Auth, Cause::TokenRefused { reply, reason })),
    }
}

async fn plain(wire: &mut Wire, username: &str, password: &SecretString) -> Result<(), Failure> {
    let response = Zeroizing::new(format!("\0{username}\0{}", password.expose_secret()));
    let encoded = Zeroizing::new(STANDARD.encode(response.as_bytes()));
    let mut reply = initial(wire, "PLAIN", &encoded).await?;
    if reply.code() == 334 {
        reply = secret_line(wire, &encoded).await?;
    }
    settled(reply)
}

async fn login(wire: &mut Wire, username: &str, password: &SecretString) -> Result<(), Failure> {
    let mut reply = wire.command(Stage::Auth, "AUTH LOGIN").await?;
    for secret in [username, password.expose_secret()] {
        if reply.code() != 334 {
            break;
        }
        reply = secret_line(wire, &Zeroizing::new(STANDARD.encode(secret.as_bytes()))).await?;
    }
    settled(reply)
}

async fn initial(wire: &mut Wire, mechanism: &str, encoded: &str) -> Result<Reply, Failure> {
    let line = Zeroizing::new(format!("AUTH {mechanism} {encoded}\r\n"));
    wire.send_secret(Stage::Auth, line.as_bytes(), &format!("AUTH {mechanism} ***")).await?;
    wire.reply(Stage::Auth).await
}

async fn secret_line(wire: &mut Wire, encoded: &str) -> Result<Reply, Failure> {
    let line = Zeroizing::new(format!("{encoded}\r\n"));
    wire.send_secret(Stage::Auth, line.as_bytes(), "***").await?;
    wire.reply(Stage::Auth).await
}

fn settled(reply: Reply) -> Result<(), Failure> {
    match reply.code() {
        LOGGED_IN => Ok(()),
        _ => Err(Failure::new(Stage::Auth, Cause::Refused(reply))),
    }
}

fn missing(wanted: &'static str, offered: u64) -> Failure {
    let known = [
        (AUTH_PLAIN, "PLAIN"),
        (AUTH_LOGIN, "LOGIN"),
        (AUTH_CRAM_MD5, "CRAM-MD5"),
        (AUTH_XOAUTH2, "XOAUTH2"),
        (AUTH_OAUTHBEARER, "OAUTHBEARER"),
    ];
    let names: Vec<_> = known.iter().filter(|(bit, _)| offered & bit != 0).map(|(_, name)| *name).collect();
    let offered = if names.is_empty() { "no AUTH that is known here".to_owned() } else { names.join(", ") };
    Failure::new(Stage::Auth, Cause::NoMechanism { wanted, offered })
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
}
