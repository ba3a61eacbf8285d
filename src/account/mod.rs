//! Outbound auth accounts: what they are, what providers presume, which one a sender maps to; and the local users who
//! may hand mail in. Pure.

mod model;
pub mod presets;
pub mod routing;
#[cfg(test)]
pub(crate) mod samples;
mod sender;
pub mod token;
mod user;

pub use model::{
    Account, AccountId, AccountType, ApplicationId, Delivery, DomainPattern, Grant, Login, OAuthLogin,
    Pacing, PasswordMechanism, Rate, SecurityMode, Server, SignIn, TokenMechanism,
};
pub use sender::SenderPattern;
pub use user::{HashError, LocalPassword, User, Users};
