//! Mail in: listeners and sessions.
