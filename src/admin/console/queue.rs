//! The queue: searched, looked into, and changed.

use super::{
    entrance::Visitor,
    fields::Fields,
    frame::{Frame, go, problem, segment, show},
};
use crate::admin::{
    http::Web,
    protocol::{MessageView, QueueChange, Request, TraceView, TracedView},
};
use askama::Template;
use axum::{
    extract::{Extension, Path, State},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};

/// Messages that are looked at for a search; reading more of them would keep the disk busy.
const SEARCHED: usize = 5000;
/// Messages on a page.
const SHOWN: usize = 200;
const STATES: [&str; 5] = ["queued", "active", "deferred", "held", "failed"];
/// What can be done to messages: the word in a form, the button, and what is said afterwards.
const CHANGES: [(&str, &str, &str, QueueChange); 4] = [
    ("retry", "Retry", "Messages due now", QueueChange::Retry),
    ("hold", "Hold", "Messages held", QueueChange::Hold),
    ("release", "Release", "Messages released", QueueChange::Release),
    ("remove", "Remove", "Messages removed", QueueChange::Remove),
];

/// The buttons: word and name.
pub(super) fn buttons() -> impl Iterator<Item = (&'static str, &'static str)> {
    CHANGES.into_iter().map(|(word, name, ..)| (word, name))
}

#[derive(Template)]
#[template(path = "queue.html")]
struct QueuePage {
    frame: Frame,
    search: String,
    state: String,
    account: String,
    accounts: Vec<String>,
    messages: Vec<MessageView>,
    is_of_nodes: bool,
    /// What the list leaves out, in sentences.
    left_out: Vec<String>,
}

impl QueuePage {
    fn states(&self) -> [&'static str; 5] {
        STATES
    }
}

pub(super) async fn page(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let account = Some(fields.get("account").to_owned()).filter(|account| !account.is_empty());
    let (search, state) = (fields.get("q").to_lowercase(), fields.get("state"));
    let filters = !search.is_empty() || !state.is_empty();
    let most = if filters { SEARCHED } else { SHOWN + 1 };
    let request = Request::QueueList { account, most };
    let (messages, others) = match web.service.ask_queue::<Vec<MessageView>>(request).await {
        Ok(listed) => listed,
        Err(why) => return problem(&web, &visitor, "/queue", StatusCode::INTERNAL_SERVER_ERROR, why),
    };
    let looked_at = messages.len();
    let mut found: Vec<_> =
        messages.into_iter().filter(|message| is_wanted(message, &search, state)).collect();
    let matches = found.len();
    found.truncate(SHOWN);
    let left_out = if filters && looked_at == most {
        Some(format!("Only the oldest {SEARCHED} messages were looked at, and at most {SHOWN} are shown."))
    } else if matches > SHOWN {
        Some(format!("The oldest {SHOWN} are shown."))
    } else {
        None
    };
    let snapshot = web.service.live.get();
    let page = QueuePage {
        frame: Frame::of(&web, &visitor, "/queue", "Queue"),
        search: fields.get("q").to_owned(),
        state: state.to_owned(),
        account: fields.get("account").to_owned(),
        accounts: snapshot.config.accounts.iter().map(|account| account.id.to_string()).collect(),
        is_of_nodes: found.iter().any(|message| message.node.is_some()),
        messages: found,
        left_out: others.into_iter().chain(left_out).collect(),
    };
    show(StatusCode::OK, &page)
}

/// Whether a message has the state and the text that are searched for, in lower case.
fn is_wanted(message: &MessageView, search: &str, state: &str) -> bool {
    let texts = [&message.id, &message.from, &message.last_reply].into_iter().chain(&message.to);
    let has_text = || texts.clone().any(|text| text.to_lowercase().contains(search));
    (state.is_empty() || message.state == state) && (search.is_empty() || has_text())
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    frame: Frame,
    message: MessageView,
    traced: Option<TracedView>,
}

/// One message, with what became of it so far.
pub(super) async fn message(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Response {
    let message = match web.service.ask::<MessageView>(Request::QueueShow { id: id.clone() }).await {
        Ok(message) => message,
        // It may have left the queue: its trace tells.
        Err(_) => return Redirect::to(&format!("/trace?q={}", segment(&id))).into_response(),
    };
    let traced = web.service.ask::<TraceView>(Request::Trace { query: id.clone(), limit: 1 }).await;
    let traced = traced.ok().and_then(|view| view.messages.into_iter().next());
    let frame = Frame::of(&web, &visitor, "/queue", format!("Message {id}"));
    show(StatusCode::OK, &MessagePage { frame, message, traced })
}

#[derive(Template)]
#[template(path = "remove.html")]
struct Sure {
    frame: Frame,
    ids: Vec<String>,
    back: String,
}

/// Does something to messages. Nobody is told of one that is removed, so that is asked again.
pub(super) async fn change(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let ids = fields.all("id");
    let back = match fields.get("back") {
        "message" if ids.len() == 1 => format!("/queue/{}", segment(&ids[0])),
        _ => "/queue".to_owned(),
    };
    let Some((_, _, done, change)) = CHANGES.into_iter().find(|(word, ..)| *word == fields.get("change"))
    else {
        return go(&web, &visitor, &back, Err("There is nothing of that name to do.".to_owned()));
    };
    if ids.is_empty() {
        return go(&web, &visitor, &back, Err("No message is ticked.".to_owned()));
    }
    if change == QueueChange::Remove && fields.get("sure") != "yes" {
        let frame = Frame::of(&web, &visitor, "/queue", "Remove messages");
        return show(StatusCode::OK, &Sure { frame, ids, back });
    }
    let back = if change == QueueChange::Remove { "/queue".to_owned() } else { back };
    let request = Request::QueueChange { change, ids, account: None, all: false };
    let said = web.service.ask::<usize>(request).await;
    go(&web, &visitor, &back, said.map(|count| format!("{done}: {count}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_looks_at_id_addresses_and_reply() {
        let message = MessageView {
            id: "4XyZ".to_owned(),
            node: None,
            state: "held".to_owned(),
            account: "support".to_owned(),
            from: "App@Example.com".to_owned(),
            to: vec!["someone@example.org".to_owned()],
            size: 1,
            received_at: String::new(),
            next_attempt_at: None,
            attempts: 0,
            last_reply: "535 5.7.3 Unsuccessful".to_owned(),
        };
        for (search, state, want) in [
            ("", "", true),
            ("", "held", true),
            ("", "failed", false),
            ("app@example", "", true),
            ("someone", "held", true),
            ("5.7.3", "", true),
            ("4xyz", "", true),
            ("support", "", false),
        ] {
            assert_eq!(is_wanted(&message, search, state), want, "{search} {state}");
        }
    }
}
