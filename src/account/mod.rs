//! Outbound auth accounts: what they are, what providers presume, which one a sender maps to; and the local users who
//! may hand mail in. Pure.

pub mod forecast;
mod model;
mod oauth;
pub mod presets;
pub mod routing;
#[cfg(test)]
pub(crate) mod samples;
mod sender;
mod signing;
pub mod token;
mod user;

pub use model::{
    Account, AccountId, AccountType, ApplicationId, Delivery, DomainPattern, Login, Pacing,
    PasswordMechanism, Rate, SecurityMode, SenderPolicy, Server, TokenMechanism, is_id,
};
pub use oauth::{
    Client, ClientCertificate, ClientProof, Grant, OAuthLogin, ServiceAccount, SignIn, SignInWay,
};
pub use sender::SenderPattern;
pub use signing::{SigningAlgorithm, SigningKey, SigningKeyError};
pub use user::{HashError, LocalPassword, User, Users};
