//! Outbound auth accounts: what they are, what providers presume, which one a sender maps to. Pure.

mod model;
pub mod presets;
pub mod routing;
#[cfg(test)]
pub(crate) mod samples;
pub mod token;

pub use model::{
    Account, AccountId, AccountType, ApplicationId, Delivery, DomainPattern, Grant, Login, Mechanism,
    OAuthLogin, Pacing, Rate, SecurityMode, Server,
};
