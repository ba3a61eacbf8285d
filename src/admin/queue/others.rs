//! What the other nodes have of the queue: asking them, and answering them.

use super::parts::Part;
use crate::{
    admin::{protocol::Request, service::Service},
    database::{Database, DatabaseError, Membership},
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How long an operator waits for nodes that are there and do not answer: to look, and to change something, which may be
/// many thousand messages.
const TO_LOOK: Duration = Duration::from_secs(15);
const TO_CHANGE: Duration = Duration::from_secs(45);
/// Questions are looked for so often, should the news of one be lost.
const LOOK: Duration = Duration::from_secs(5);

/// What all other nodes have to say, with their names; `None` of one that does not answer.
pub(super) async fn ask(
    database: &Database,
    request: &Request,
) -> Result<Vec<(String, Option<Part>)>, DatabaseError> {
    let patience = if matches!(request, Request::QueueChange { .. }) { TO_CHANGE } else { TO_LOOK };
    let said = database.ask_others(&write(request), patience).await?;
    let read = |text: String| {
        let of_another_version = || Part::Failed("its program is of another version".to_owned());
        serde_json::from_str(&text).unwrap_or_else(|_| of_another_version())
    };
    Ok(said.into_iter().map(|said| (said.node, said.answer.map(read))).collect())
}

/// Answers what other nodes ask of this one's queue, until `stop`. Without other nodes there is nothing to do.
pub async fn answer_others(service: Arc<Service>, stop: CancellationToken) {
    let Some(database) = service.database.clone() else { return };
    let mut news = database.news();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = database.until_asked(&mut news, LOOK) => {}
        }
        let Ok(questions) = database.questions().await else { continue };
        for question in questions {
            let (service, database) = (service.clone(), database.clone());
            tokio::spawn(async move {
                let part = service.part_for_others(&database, &question.text).await;
                // Whoever asked says that this node does not answer.
                let _ = database.answer(&question, &write(&part)).await;
            });
        }
    }
}

impl Service {
    async fn part_for_others(&self, database: &Database, question: &str) -> Part {
        if *database.membership().borrow() != Membership::Ready {
            return Part::Failed("it is finding out which messages are its own".to_owned());
        }
        match serde_json::from_str::<Request>(question) {
            Ok(request) => self.part_of_queue(&request).await,
            Err(_) => Part::Failed("its program is of another version".to_owned()),
        }
    }
}

/// What is asked and said has nothing that could not be written.
fn write(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
