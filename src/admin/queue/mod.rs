//! The queue, as operators ask for it and change it: this node's, and where several share one, that of all of them.

mod here;
mod others;
mod parts;
mod traces;

pub use others::answer_others;

use super::{
    protocol::{Answer, LeftOut, Request},
    service::{FAILED, Service, TEMPORARY, done, failed, progress as telling},
    trace::trace_view,
};
use crate::{mail::QueueId, queue::OperatorError};
use parts::{Part, Parts};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

impl Service {
    /// Answers what is asked of the queue; what that leaves out is told before.
    pub(super) async fn of_queue(&self, request: Request, progress: &mpsc::Sender<Answer>) -> Answer {
        let (answer, left_out) = self.of_whole_queue(request).await;
        if !left_out.is_empty()
            && let Ok(told) = telling(LeftOut { left_out })
        {
            // Whoever does not listen does not want to know.
            let _ = progress.try_send(told);
        }
        answer
    }

    /// Asks of the queue on behalf of a page: what is `done`, and what that leaves out, in sentences.
    ///
    /// # Errors
    /// The sentence for the operator.
    pub(super) async fn ask_queue<T: DeserializeOwned>(
        &self,
        request: Request,
    ) -> Result<(T, Vec<String>), String> {
        match self.of_whole_queue(request).await {
            (Answer::Done(value), left_out) => {
                let value = serde_json::from_value(value).map_err(|error| error.to_string())?;
                Ok((value, left_out))
            }
            (Answer::Failed { message, .. }, _) => Err(message),
            (Answer::Progress(_), _) => Err("the answer has no end".to_owned()),
        }
    }

    /// The answer, and what it leaves out.
    async fn of_whole_queue(&self, request: Request) -> (Answer, Vec<String>) {
        let here = match self.part_of_queue(&request).await {
            Part::Failed(why) => return (failed(FAILED, why), Vec::new()),
            part => part,
        };
        let rest = parts::rest(&request, &here);
        let mut parts = Parts::of(self.database.as_ref().map(|database| database.node()), here);
        if let (Some(database), Some(rest)) = (&self.database, rest) {
            match others::ask(database, &rest).await {
                Ok(said) => said.into_iter().for_each(|(node, part)| parts.add(&node, part)),
                Err(error) => parts.leave_out(format!("what other nodes have is left out: {error}")),
            }
        }
        let left_out = parts.left_out();
        let answer = match request {
            Request::QueueList { most, .. } => done(parts.messages(most)),
            Request::QueueShow { id } => match (parts.messages(1).pop(), id.parse::<QueueId>()) {
                (Some(message), _) => done(message),
                (None, Ok(id)) => failed(exit_code(&left_out), OperatorError::Unknown(id).to_string()),
                (None, Err(error)) => failed(FAILED, format!("{id}: {error}")),
            },
            Request::QueueChange { .. } => changed(parts, &left_out),
            Request::Trace { limit, .. } => {
                let traces = parts.traces(limit);
                let queued = |id: QueueId| {
                    let id = id.to_string();
                    traces.queued.iter().find(|message| message.id == id).cloned()
                };
                done(trace_view(traces.found, queued))
            }
            _ => failed(FAILED, "that is not asked of the queue"),
        };
        (answer, left_out)
    }
}

/// What was done. Where a node did not say whether it has done its part, that is no success, and no failure for good.
fn changed(parts: Parts, left_out: &[String]) -> Answer {
    let changed = parts.changed();
    let unknown = changed.unknown.iter().map(|id| format!("no message {id} in the queue"));
    let mut problems: Vec<String> = changed.problems.into_iter().chain(unknown).collect();
    if !left_out.is_empty() && problems.is_empty() {
        problems
            .push(format!("it was done to {} messages, and may not have been done to all", changed.count));
    }
    match problems.is_empty() {
        true => done(changed.count),
        false => failed(exit_code(left_out), problems.join("\n")),
    }
}

/// Of what was not found, or not done: where somebody was not asked, it is worth another try.
fn exit_code(left_out: &[String]) -> u8 {
    if left_out.is_empty() { FAILED } else { TEMPORARY }
}
