//! How an OAuth account gets its tokens: the client, the grant, and what each grant takes.

use super::{SigningKey, TokenMechanism};
use crate::mail::Day;
use secrecy::SecretString;
use url::Url;

/// How an OAuth account gets its tokens.
#[derive(Debug, Clone)]
pub struct OAuthLogin {
    /// The mailbox that logs in: `user=` of XOAUTH2.
    pub username: String,
    /// How the access token is handed over.
    pub mechanism: TokenMechanism,
    /// Token endpoint (RFC 6749 §3.2).
    pub token_endpoint: Url,
    /// Space-separated scopes (RFC 6749 §3.3).
    pub scope: String,
    /// The grant that yields the first token.
    pub grant: Grant,
}

impl OAuthLogin {
    /// How a person signs in, where one has to.
    pub fn sign_in(&self) -> Option<&SignIn> {
        match &self.grant {
            Grant::SignIn(_, sign_in) => Some(sign_in),
            Grant::ClientCredentials(_) | Grant::ServiceAccount(_) => None,
        }
    }

    /// The registered application, where one is needed.
    pub fn client(&self) -> Option<&Client> {
        match &self.grant {
            Grant::SignIn(client, _) | Grant::ClientCredentials(client) => Some(client),
            Grant::ServiceAccount(_) => None,
        }
    }

    /// The day on which the client secret ends, where somebody wrote it down.
    pub fn client_secret_expires(&self) -> Option<Day> {
        match &self.client()?.proof {
            ClientProof::Secret { expires, .. } => *expires,
            ClientProof::Nothing | ClientProof::Certificate(_) => None,
        }
    }
}

/// Where the tokens come from.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one an account, and it lies in a box already")]
pub enum Grant {
    /// A person signs in; refreshed ever after.
    SignIn(Client, SignIn),
    /// The client has tokens in its own name (RFC 6749 §4.4), and nobody signs in.
    ClientCredentials(Client),
    /// A key that may speak for every mailbox of a domain (RFC 7523 §2.1, Google's domain-wide delegation).
    ServiceAccount(ServiceAccount),
}

impl Grant {
    /// The word in the configuration.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::SignIn(_, SignIn { way: SignInWay::Browser { .. }, .. }) => "authorization_code",
            Self::SignIn(_, SignIn { way: SignInWay::Device { .. }, .. }) => "device_code",
            Self::ClientCredentials(_) => "client_credentials",
            Self::ServiceAccount(_) => "service_account",
        }
    }
}

/// An application that is registered at the provider.
#[derive(Debug, Clone)]
pub struct Client {
    /// Client identifier (RFC 6749 §2.2).
    pub id: String,
    /// How it shows that it is this client (RFC 6749 §2.3).
    pub proof: ClientProof,
}

/// How a client shows that it is the one it says.
#[derive(Debug, Clone)]
pub enum ClientProof {
    /// Not at all: a public client.
    Nothing,
    /// By a shared secret.
    Secret {
        /// The secret.
        secret: SecretString,
        /// The day on which it ends, where somebody wrote it down.
        expires: Option<Day>,
    },
    /// By a signed assertion: `private_key_jwt` (RFC 7523 §2.2).
    Certificate(ClientCertificate),
}

/// A certificate that is registered at the provider, and the key that signs for it.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// SHA-1 of its DER form: `x5t` (RFC 7515 §4.1.7), by which older servers find it.
    pub sha1: [u8; 20],
    /// SHA-256 of its DER form: `x5t#S256` (RFC 7515 §4.1.8).
    pub sha256: [u8; 32],
    /// Its private key.
    pub key: SigningKey,
    /// Sign by PS256, as Microsoft asks of RSA keys; elsewhere RS256 is what every server knows.
    pub prefers_pss: bool,
}

/// What it takes for a person to sign in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Where they do it.
    pub way: SignInWay,
    /// A refresh token brought from another tool, used until the store has one of its own.
    pub first_refresh_token: Option<SecretString>,
}

impl SignIn {
    /// The device authorization endpoint (RFC 8628 §3.1), where the provider has one.
    pub fn device_endpoint(&self) -> Option<&Url> {
        match &self.way {
            SignInWay::Browser { device_endpoint, .. } => device_endpoint.as_ref(),
            SignInWay::Device { endpoint } => Some(endpoint),
        }
    }
}

/// Where a person signs in.
#[derive(Debug, Clone)]
pub enum SignInWay {
    /// In a browser that comes back to us (RFC 6749 §4.1 with PKCE, RFC 7636).
    Browser {
        /// Authorization endpoint (RFC 6749 §3.1).
        endpoint: Url,
        /// Query parameters that the provider wants there to hand out a refresh token.
        parameters: Vec<(&'static str, String)>,
        /// For those who rather use another device.
        device_endpoint: Option<Url>,
    },
    /// On any device, with a code that we show (RFC 8628).
    Device {
        /// Device authorization endpoint (RFC 8628 §3.1).
        endpoint: Url,
    },
}

/// A service account that speaks for the mailbox that logs in.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// Who signs: `client_email` of Google's key file.
    pub issuer: String,
    /// Which of its keys: `private_key_id`.
    pub key_id: Option<String>,
    /// That key.
    pub key: SigningKey,
}
