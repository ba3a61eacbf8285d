//! Which account a sender maps to, and why.
