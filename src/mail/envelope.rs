//! The envelope of a message (RFC 5321 §2.3.1).

use super::{Dsn, DsnRecipient, DsnRequest, ForwardPath, ReversePath};

/// What the client declared of the content with `BODY=` (RFC 6152).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyType {
    /// `BODY=7BIT`, or nothing said.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
}

/// An envelope was to be made without recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an envelope has at least one recipient")]
pub struct NoRecipients;

/// Sender, recipients and what was declared about the content. Never without recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    reverse_path: ReversePath,
    forward_paths: Vec<ForwardPath>,
    body: BodyType,
    smtputf8: bool,
    dsn: Option<Box<Dsn>>,
}

impl Envelope {
    /// Joins the parts; `smtputf8` is whether the client said SMTPUTF8 (RFC 6531).
    pub fn new(
        reverse_path: ReversePath,
        forward_paths: Vec<ForwardPath>,
        body: BodyType,
        smtputf8: bool,
    ) -> Result<Self, NoRecipients> {
        if forward_paths.is_empty() {
            return Err(NoRecipients);
        }
        Ok(Self { reverse_path, forward_paths, body, smtputf8, dsn: None })
    }

    /// Adds what was asked for about notifications, `recipients` in the order of the forward-paths (RFC 3461).
    #[must_use]
    pub fn with_dsn(mut self, request: DsnRequest, mut recipients: Vec<DsnRecipient>) -> Self {
        recipients.truncate(self.forward_paths.len());
        self.dsn = Dsn::new(request, recipients);
        self
    }

    /// Who gets notifications.
    pub fn reverse_path(&self) -> &ReversePath {
        &self.reverse_path
    }

    /// The recipients in the order they were named; a recipient is known by its index in this slice.
    pub fn forward_paths(&self) -> &[ForwardPath] {
        &self.forward_paths
    }

    /// The declared body type.
    pub fn body(&self) -> BodyType {
        self.body
    }

    /// Whether the client said SMTPUTF8.
    pub fn smtputf8(&self) -> bool {
        self.smtputf8
    }

    /// What MAIL asked for about notifications.
    pub fn dsn(&self) -> &DsnRequest {
        Dsn::request(self.dsn.as_deref())
    }

    /// What the RCPT of this index asked for about notifications.
    pub fn dsn_recipient(&self, index: usize) -> &DsnRecipient {
        Dsn::recipient(self.dsn.as_deref(), index)
    }

    /// All of this for an attempt at the recipients with these indexes.
    pub fn dsn_of(&self, indexes: &[usize]) -> Option<Box<Dsn>> {
        Dsn::of(self.dsn.as_deref(), indexes)
    }
}
