//! The history of a queue with a scripted carrier: every event of a message's life is told, and whatever the history
//! loses at its end is taken from the journal at the next start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod scripted;

use scripted::{Script, account, carry, delivered, outcome, settings, trouble};
use std::{fs, path::Path, sync::Arc, time::Duration};
use waxseal::{
    account::{ApplicationId, Delivery},
    config::QueueSettings,
    history::{Event, History, Query, search},
    mail::{BodyType, Envelope, ForwardPath, QueueId, ReversePath},
    outbound::{Disposition, LaneEffect, Outcome},
    queue::{Commitment, Queue, Receipt},
};

/// A state directory with a queue in it and a history beside it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn history(&self) -> std::path::PathBuf {
        self.0.path().join("history")
    }

    fn open(&self, settings: QueueSettings) -> Queue {
        let history = History::open(&self.history(), Duration::from_secs(30 * 86_400)).unwrap();
        let queue = Queue::open(&self.0.path().join("queue"), settings, history).unwrap().0;
        scripted::share(&queue, self.0.path());
        queue
    }

    /// What the files say of a message, as `what to: reply`.
    fn says(&self, id: QueueId) -> Vec<String> {
        let say = |event: Event| {
            let to: String = event.to.iter().map(|to| &to[..1]).collect();
            format!("{} {to}: {}", event.event.as_str(), event.reply).trim_end_matches([' ', ':']).to_owned()
        };
        self.events(id).into_iter().map(say).collect()
    }

    fn events(&self, id: QueueId) -> Vec<Event> {
        let Ok(found) = search(&self.history(), &Query::Id(id), 20, &|| false) else { return Vec::new() };
        found.messages.into_iter().flat_map(|message| message.events).collect()
    }
}

fn carry_out(queue: &Queue, delivery: Delivery, outcomes: Vec<Outcome>) {
    let script = Script::default();
    script.outcomes.lock().unwrap().extend(outcomes);
    carry(queue, delivery, Arc::new(script));
}

async fn submit(queue: &Queue, content: &[u8]) -> Commitment {
    let mut intake = queue.begin();
    intake.write(content).await.unwrap();
    let to = ["a@example.org", "b@example.org"].map(|to| ForwardPath::parse(to).unwrap());
    let from = ReversePath::parse("app@example.com").unwrap();
    let envelope = Envelope::new(from, to.to_vec(), BodyType::EightBitMime, false).unwrap();
    let application = Some(ApplicationId::new("ticketing"));
    intake.commit(Receipt { envelope, account: account(), application }).await.unwrap()
}

const MESSAGE: &[u8] = b"Message-ID:\r\n <m1@app>\r\nSubject: secret\r\n\r\nbody\r\n";

async fn queued(queue: &Queue) -> QueueId {
    let commitment = submit(queue, MESSAGE).await;
    let Commitment::Durable(id) = commitment else { panic!("{commitment:?}") };
    id
}

/// Waits until the message is gone, or in this state.
async fn becomes(queue: &Queue, id: QueueId, state: Option<&str>) {
    for _ in 0..4000 {
        if queue.show(id).ok().map(|listed| listed.state) == state {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{id} does not become {state:?}: {:?}", queue.show(id));
}

/// Closes the queue, with all that is under way.
async fn close(queue: Queue) {
    queue.shutdown(Duration::from_secs(5)).await;
    queue.history().sync().await;
}

#[tokio::test]
async fn a_life_is_told_from_receipt_to_the_last_reply() {
    let place = Place::new();
    let queue = place.open(settings());
    carry_out(
        &queue,
        Delivery::Queue,
        vec![
            outcome(vec![], LaneEffect::BackOff),
            outcome(vec![delivered(), Disposition::Deferred(trouble(450, "4.2.1 busy"))], LaneEffect::None),
        ],
    );
    let id = queued(&queue).await;
    // The lane backs off for seconds; an operator is quicker.
    loop {
        queue.history().sync().await;
        if place.says(id).len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    queue.resume(&account());
    becomes(&queue, id, None).await;
    close(queue).await;
    assert_eq!(
        place.says(id),
        [
            "received ab",
            "deferred ab: 421 4.3.2 away",
            "delivered a: 250 2.0.0 taken",
            "deferred b: 450 4.2.1 busy",
            "delivered b: 250 2.0.0 taken"
        ]
    );
    let events = place.events(id);
    let receipt = &events[0];
    assert_eq!(receipt.from.as_deref(), Some("app@example.com"));
    assert_eq!(receipt.message_id.as_deref(), Some("<m1@app>"));
    assert_eq!(
        (receipt.application.as_deref(), receipt.size),
        (Some("ticketing"), Some(MESSAGE.len() as u64))
    );
    assert_eq!(
        events.iter().map(|event| event.attempt).collect::<Vec<_>>(),
        [None, None, Some(1), Some(1), Some(2)]
    );
    assert!(events.iter().all(|event| event.account == "support"));
    assert!(
        events[1..].iter().all(|event| event.relay == "smtp.example.com:587" && event.delay_ms.is_some())
    );
    for entry in fs::read_dir(place.history()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("secret") && !text.contains("body"), "{text}");
    }
}

#[tokio::test]
async fn what_operators_and_time_do_is_told() {
    let place = Place::new();
    let queue = place.open(QueueSettings { keep_failed: Duration::ZERO, ..settings() });
    let failed = || Disposition::Failed(trouble(550, "5.1.1 unknown"));
    let refused = || outcome(vec![failed(), failed()], LaneEffect::None);
    let (held, removed) = (queued(&queue).await, queued(&queue).await);
    queue.hold(held).await.unwrap();
    queue.remove(removed).await.unwrap();
    carry_out(&queue, Delivery::Queue, vec![refused(), refused()]);
    queue.release(held, |_| Some(account())).await.unwrap();
    becomes(&queue, held, Some("failed")).await;
    queue.retry(held).await.unwrap();
    becomes(&queue, held, Some("failed")).await;
    tokio::time::sleep(Duration::from_millis(2)).await; // Past `keep_failed`.
    queue.keep_house().await;
    close(queue).await;
    let failure = "failed ab: 550 5.1.1 unknown";
    assert_eq!(place.says(held), ["received ab", "held", "released", failure, "retried", failure, "removed"]);
    assert_eq!(place.says(removed), ["received ab", "removed"]);
    let explained = |id| place.events(id).pop().unwrap().explanation;
    assert_eq!(explained(held), "failed, and kept for keep_failed");
    assert_eq!(explained(removed), "by an operator");
}

#[tokio::test]
async fn expiry_is_told_for_everybody_outstanding() {
    let place = Place::new();
    let queue = place.open(QueueSettings { expire: Duration::ZERO, ..settings() });
    let id = queued(&queue).await;
    tokio::time::sleep(Duration::from_millis(2)).await; // Past `expire`.
    let last =
        outcome(vec![delivered(), Disposition::Deferred(trouble(450, "4.2.1 busy"))], LaneEffect::None);
    carry_out(&queue, Delivery::Queue, vec![last]);
    becomes(&queue, id, Some("failed")).await;
    close(queue).await;
    assert_eq!(place.says(id), ["received ab", "delivered a: 250 2.0.0 taken", "expired b: 450 4.2.1 busy"]);
}

#[tokio::test]
async fn what_goes_through_has_a_history_although_the_queue_never_had_it() {
    let place = Place::new();
    let queue = place.open(settings());
    let refused = || Disposition::Failed(trouble(550, "5.7.1 not you"));
    carry_out(&queue, Delivery::Through, vec![outcome(vec![delivered(), delivered()], LaneEffect::None)]);
    let content = b"Message-ID: <through@app>\r\n\r\n";
    let Commitment::Relayed(id, _) = submit(&queue, content).await else { panic!("not relayed") };
    carry_out(&queue, Delivery::Through, vec![outcome(vec![refused(), refused()], LaneEffect::None)]);
    assert!(matches!(submit(&queue, content).await, Commitment::Refused(_)));
    close(queue).await;
    let told = ["received ab", "delivered ab: 250 2.0.0 taken"];
    assert_eq!(place.says(id), told);
    let both = search(&place.history(), &Query::parse("<through@app>"), 20, &|| false).unwrap();
    assert_eq!(place.says(both.messages[0].id), ["received ab", "failed ab: 550 5.7.1 not you"]);

    // The journal has it too.
    fs::remove_dir_all(place.history()).unwrap();
    close(place.open(settings())).await;
    assert_eq!(place.says(id), told);
}

#[tokio::test]
async fn large_content_is_known_by_its_message_id_too() {
    let place = Place::new();
    let queue = place.open(settings());
    let content = [&b"Message-ID: <large@app>\r\n\r\n"[..], &b"0123456789\r\n".repeat(60_000)].concat();
    submit(&queue, &content).await;
    close(queue).await;
    let found = search(&place.history(), &Query::parse("large@app"), 20, &|| false).unwrap();
    assert_eq!(found.messages[0].events[0].size, Some(content.len() as u64));
}

/// Everything from a sync on is lost, as when the power goes before the next one; or all of it.
#[tokio::test]
async fn what_the_history_lost_is_taken_from_the_journal_at_the_next_start() {
    let place = Place::new();
    let queue = place.open(settings());
    let waiting = queued(&queue).await;
    queue.hold(waiting).await.unwrap();
    close(queue).await;
    let synced = copy(&place.history());

    let queue = place.open(settings());
    carry_out(
        &queue,
        Delivery::Queue,
        vec![outcome(vec![delivered(), Disposition::Deferred(trouble(450, "4.2.1 busy"))], LaneEffect::None)],
    );
    let gone = queued(&queue).await;
    becomes(&queue, gone, None).await;
    queue.release(waiting, |_| None).await.unwrap();
    becomes(&queue, waiting, None).await;
    close(queue).await;
    let want = [waiting, gone].map(|id| (id, place.says(id)));
    assert_eq!(want.each_ref().map(|(_, events)| events.len()), [4, 4], "{want:?}");

    // A torn line, where the power went; then nothing at all, with what the journal has not removed by now.
    for torn in [true, false] {
        fs::remove_dir_all(place.history()).unwrap();
        if torn {
            fs::create_dir(place.history()).unwrap();
            for (name, octets) in &synced {
                fs::write(place.history().join(name), octets).unwrap();
                if name.ends_with(".jsonl") {
                    fs::write(place.history().join(name), [octets, &b"{\"at\":17639"[..]].concat()).unwrap();
                }
            }
        }
        close(place.open(settings())).await;
        for (id, events) in &want[usize::from(!torn)..] {
            assert_eq!(place.says(*id), *events, "torn: {torn}");
        }
    }
}

fn copy(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

/// Dead segments go at a start, but not before the history has what they say.
#[tokio::test]
async fn a_history_that_cannot_be_written_holds_up_neither_mail_nor_the_journal() {
    let place = Place::new();
    fs::write(place.history(), "in the way").unwrap();
    let queue = place.open(settings());
    carry_out(&queue, Delivery::Queue, vec![]);
    let id = queued(&queue).await;
    becomes(&queue, id, None).await;
    queue.history().sync().await;
    assert!(queue.history().trouble().is_some());
    close(queue).await;
    let queue = place.open(settings());
    assert!(queue.history().trouble().is_some());
    close(queue).await;
    let first = place.0.path().join("queue/journal/0000000001.wxj");
    assert!(first.exists(), "the newest segment of a run is left alone by the next");

    fs::remove_file(place.history()).unwrap();
    let queue = place.open(settings());
    assert_eq!(queue.history().trouble(), None);
    assert_eq!(place.says(id), ["received ab", "delivered ab: 250 2.0.0 taken"]);
    close(queue).await;
    assert!(!first.exists());
}
