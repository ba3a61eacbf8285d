//! The queue: what was acknowledged is here, on stable storage, until the provider has it.

mod intake;

pub use intake::{CommitError, Intake, Receipt};
