//! Successes: who asked with NOTIFY=SUCCESS, and whose provider tells of no delivery, is told that the message was handed
//! on (RFC 3461 §5.2.2).

use super::letter;
use crate::{
    account::AccountId,
    history::{Event, What},
    mail::{
        ContentSource, Reply,
        notification::{Kind, Original, is_notifiable, is_wanted},
    },
    outbound::{Disposition, Outcome},
    queue::{Queue, entry::Received, read_back::blocking, told},
};

impl Queue {
    /// Commits the notification of what an attempt at the recipients `tried` handed on. Before the departure of the
    /// message is written: a crash between the two makes message and notification come twice, never the first alone.
    pub(in crate::queue) async fn tell_relayed(
        &self,
        account: &AccountId,
        received: &Received,
        content: &ContentSource,
        tried: &[usize],
        outcome: &Outcome,
    ) {
        let handed_on = handed_on(received, tried, outcome);
        let (Some(sender), Some(desk)) = (received.envelope.reverse_path().mailbox(), self.desk()) else {
            return;
        };
        if handed_on.is_empty() || received.notification {
            return;
        }
        let wanted = Original::octets_wanted(Kind::Relayed, received.envelope.dsn().ret, received.size);
        let source = content.clone();
        let told = async {
            let octets = blocking(move || letter::beginning(&source, wanted)).await?;
            if !is_notifiable(received.envelope.reverse_path(), &octets) {
                return Ok(None);
            }
            let report = |letterhead| {
                letter::relayed(letterhead, received, &handed_on, &outcome.relay, &octets).compose()
            };
            self.send(&desk, account, sender, report).await
        };
        match told.await {
            Ok(Some(sent)) => {
                let explanation = format!("of the delivery, as {sent}");
                let event = told::done_to(received.id, account, What::Notified, &explanation, self.now());
                self.history().prepare(&[Event { to: vec![sender.to_string()], ..event }]).tell();
            }
            Ok(None) => {}
            // The message was delivered all the same, and it stays so.
            Err(error) => {
                let queue_id = received.id;
                tracing::warn!(target: "waxseal::queue", %queue_id, %error, "notification of success not queued");
            }
        }
    }
}

/// The recipients that have the message, whose sender wants to hear of it from us, with the reply to each. Empty, and
/// costing nothing, for mail that asks for no notification.
fn handed_on(received: &Received, tried: &[usize], outcome: &Outcome) -> Vec<(usize, Reply)> {
    if outcome.dsn_passed_on {
        return Vec::new();
    }
    let wanted =
        |index: usize| is_wanted(Kind::Relayed, received.envelope.dsn_recipient(index).notify, false);
    let has_it = |(index, disposition): (&usize, &Disposition)| match disposition {
        Disposition::Delivered(reply) if wanted(*index) => Some((*index, reply.clone())),
        _ => None,
    };
    tried.iter().zip(&outcome.dispositions).filter_map(has_it).collect()
}
