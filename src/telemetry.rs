//! The log: how lines look, and one function per event in a message's life, so that every event is written in one
//! way. Bodies and header fields are no arguments here, so they never reach a log.

mod recent;

pub use recent::{LogLine, recent};

use crate::{
    account::AccountId,
    mail::{QueueId, ReversePath},
};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{self, FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

const TARGET: &str = "waxseal::mail";

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With time and level, for a terminal.
    Text,
    /// Journald adds time and host itself: a priority prefix (sd-daemon(3)) and the text.
    Journald,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error, with the last lines kept for [`recent()`]. `filter` is a level or tracing
/// directives; what cannot be read of it falls back to `info`. Only the first call in a process takes effect.
pub fn start(format: Format, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let writer = || recent::Tee;
    let _ = match format {
        Format::Text => {
            registry.with(fmt::layer().with_writer(writer).with_target(false).with_ansi(false)).try_init()
        }
        Format::Journald => registry
            .with(fmt::layer().with_writer(writer).with_ansi(false).event_format(Prioritized))
            .try_init(),
        Format::Json => registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init(),
    };
}

/// A line for journald: its priority in front (sd-daemon(3)), no time and no level, which journald has itself.
struct Prioritized;

impl<S, N> FormatEvent<S, N> for Prioritized
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// What every event of a message says.
#[derive(Debug, Clone, Copy)]
pub struct MailEvent<'a> {
    /// The message.
    pub queue_id: QueueId,
    /// Its account.
    pub account: &'a AccountId,
    /// Its reverse-path.
    pub from: &'a ReversePath,
    /// How many recipients the event is about.
    pub to: usize,
    /// Octets of content.
    pub size: u64,
}

/// What an attempt adds.
#[derive(Debug, Clone, Copy)]
pub struct AttemptEvent<'a> {
    /// `host:port`.
    pub relay: &'a str,
    /// TLS version and suite, or `none`.
    pub tls: &'a str,
    /// The provider's reply, or our sentence.
    pub reply: &'a str,
    /// Milliseconds since receipt.
    pub delay_ms: u64,
}

/// The message is on stable storage.
pub fn received(mail: &MailEvent<'_>, application: Option<&str>) {
    let MailEvent { queue_id, account, from, to, size } = mail;
    let application = application.unwrap_or("");
    tracing::info!(target: TARGET, %queue_id, %account, application, %from, to, size, "received");
}

macro_rules! attempt_event {
    ($(#[$doc:meta])* $name:ident, $level:ident) => {
        $(#[$doc])*
        pub fn $name(mail: &MailEvent<'_>, attempt: &AttemptEvent<'_>) {
            let MailEvent { queue_id, account, from, to, size } = mail;
            let AttemptEvent { relay, tls, reply, delay_ms } = attempt;
            tracing::$level!(
                target: TARGET,
                %queue_id, %account, %from, to, size, relay, tls, reply, delay_ms,
                stringify!($name)
            );
        }
    };
}

attempt_event!(
    /// The provider answered for these recipients.
    delivered, info
);
attempt_event!(
    /// These recipients are tried again.
    deferred, info
);
attempt_event!(
    /// These recipients will not get the message.
    failed, warn
);
attempt_event!(
    /// The message has outlived `expire`.
    expired, warn
);

/// Somebody was told that these recipients failed.
pub fn bounced(mail: &MailEvent<'_>, told: &str, notification: QueueId) {
    let MailEvent { queue_id, account, from, to, size } = mail;
    tracing::info!(target: TARGET, %queue_id, %account, %from, to, size, told, %notification, "bounced");
}

/// An account's lane stopped.
pub fn account_trouble(account: &AccountId, state: &str, trouble: &str, remedy: &str) {
    tracing::warn!(target: "waxseal::account", %account, state, trouble, remedy, "account in trouble; its mail is kept");
}

/// An account's lane runs again.
pub fn account_recovered(account: &AccountId) {
    tracing::info!(target: "waxseal::account", %account, "account works again");
}
