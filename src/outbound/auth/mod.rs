//! Our own SASL exchanges (RFC 4954), one mechanism an attempt. One of the places where secrets leave their wrapper.

mod bearer;
mod password;

use super::{
    Stage,
    failure::{Cause, Failure},
    wire::Wire,
};
use crate::{
    account::{
        Account, Login, PasswordMechanism, TokenMechanism,
        token::{AccessToken, NoToken},
    },
    mail::{EnhancedCode, Reply},
    oauth::TokenSource,
};
use base64::engine::general_purpose::STANDARD;
use bearer::Bearer;
use secrecy::{ExposeSecret, SecretString};
use smtp_proto::{AUTH_CRAM_MD5, AUTH_LOGIN, AUTH_OAUTHBEARER, AUTH_PLAIN, AUTH_XOAUTH2};
use zeroize::Zeroizing;

/// The one reply that says so (RFC 4954 §6); another good one is an answer to something else.
const LOGGED_IN: u16 = 235;

/// What proves who we are, for one attempt at logging in.
pub(super) enum Credentials {
    Password { username: String, password: SecretString, mechanism: PasswordMechanism },
    Token { username: String, token: AccessToken, mechanism: TokenMechanism },
}

impl Credentials {
    /// The account's credentials, `None` where it does not log in. An OAuth account never gets a password.
    pub(super) async fn of(account: &Account, tokens: &dyn TokenSource) -> Result<Option<Self>, Failure> {
        match &account.login {
            Login::None => Ok(None),
            Login::Password { username, password, mechanism } => Ok(Some(Self::Password {
                username: username.clone(),
                password: password.clone(),
                mechanism: *mechanism,
            })),
            Login::OAuth(oauth) => {
                let no_token = |why: NoToken| Failure::new(Stage::Auth, Cause::NoToken(why));
                let token = tokens.access_token(&account.id).await.map_err(no_token)?;
                let (username, mechanism) = (oauth.username.clone(), oauth.mechanism);
                Ok(Some(Self::Token { username, token, mechanism }))
            }
        }
    }

    /// Logs in to `host` with one mechanism out of those in `offered`, smtp-proto's bits. A refusal is final, so that no
    /// account is locked by repetition.
    pub(super) async fn log_in(
        &self,
        wire: &mut Wire,
        offered: u64,
        (host, port): (&str, u16),
    ) -> Result<(), Failure> {
        let has = |bit: u64| offered & bit != 0;
        match self {
            Self::Password { username, password, mechanism } => {
                let wanted = match mechanism {
                    PasswordMechanism::Auto if has(AUTH_PLAIN) => PasswordMechanism::Plain,
                    PasswordMechanism::Auto if has(AUTH_LOGIN) => PasswordMechanism::Login,
                    PasswordMechanism::Auto if has(AUTH_CRAM_MD5) => PasswordMechanism::CramMd5,
                    configured => *configured,
                };
                match wanted {
                    PasswordMechanism::Plain if has(AUTH_PLAIN) => {
                        password::plain(wire, username, password).await
                    }
                    PasswordMechanism::Login if has(AUTH_LOGIN) => {
                        password::login(wire, username, password).await
                    }
                    PasswordMechanism::CramMd5 if has(AUTH_CRAM_MD5) => {
                        password::cram_md5(wire, username, password).await
                    }
                    PasswordMechanism::Auto => Err(missing("AUTH PLAIN, LOGIN or CRAM-MD5", offered)),
                    PasswordMechanism::Plain => Err(missing("AUTH PLAIN", offered)),
                    PasswordMechanism::Login => Err(missing("AUTH LOGIN", offered)),
                    PasswordMechanism::CramMd5 => Err(missing("AUTH CRAM-MD5", offered)),
                }
            }
            Self::Token { username, token, mechanism } => {
                let bearer = Bearer { username, host, port, token: token.secret.expose_secret() };
                match mechanism {
                    TokenMechanism::Auto | TokenMechanism::XOAuth2 if has(AUTH_XOAUTH2) => {
                        bearer.xoauth2(wire).await
                    }
                    TokenMechanism::Auto | TokenMechanism::OAuthBearer if has(AUTH_OAUTHBEARER) => {
                        bearer.oauthbearer(wire).await
                    }
                    TokenMechanism::Auto => Err(missing("XOAUTH2 or OAUTHBEARER", offered)),
                    TokenMechanism::XOAuth2 => Err(missing("XOAUTH2", offered)),
                    TokenMechanism::OAuthBearer => Err(missing("OAUTHBEARER", offered)),
                }
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
        let (Self::Token { username, token, mechanism }, Cause::TokenRefused { reply, .. }) =
            (self, &failure.cause)
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
        other.then(|| Self::Token { username: username.clone(), token: next, mechanism: *mechanism })
    }
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
