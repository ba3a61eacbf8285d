//! Accounts examined step by step, as operators ask for it: `account test` and `doctor`.

use super::{
    protocol::{Answer, ExaminationView, StepView},
    service::{self, CONFIGURATION, FAILED, Service, UNAVAILABLE, done, failed},
};
use crate::{
    account::Account,
    history::{Event, What},
    mail::{BodyType, Content, ContentSource, ForwardPath, Mailbox, ReversePath, trace::Rfc5322Date},
    meter::unix_millis,
    outbound::{Attempt, Disposition, Examination, Leg, Outcome, Upstream},
};
use std::{sync::Arc, time::SystemTime};
use tokio::sync::mpsc;

/// An examination as it is shown.
pub fn view(account: &Account, examined: Result<&Examination, String>) -> ExaminationView {
    let server = format!("{}:{}", account.server.host, account.server.port);
    let seen = |steps, verdict, cure, exit_code| ExaminationView {
        account: account.id.to_string(),
        server: server.clone(),
        steps,
        well: exit_code == 0,
        verdict,
        cure,
        exit_code,
    };
    let examination = match examined {
        Ok(examination) => examination,
        Err(problem) => return seen(Vec::new(), problem, String::new(), CONFIGURATION),
    };
    let steps = examination.steps.iter().map(|step| StepView {
        step: step.leg.as_str().to_owned(),
        ok: step.outcome.is_ok(),
        detail: step.outcome.clone().unwrap_or_else(|trouble| trouble.to_string()),
        ms: u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX),
    });
    let steps = steps.collect();
    let failed = examination.steps.iter().find_map(|step| Some((step.leg, step.outcome.as_ref().err()?)));
    match failed {
        None => seen(steps, "Nothing is missing.".to_owned(), String::new(), 0),
        Some((leg, trouble)) => {
            // A server that is away may come back by itself; the rest is somebody's to mend.
            let code = if matches!(leg, Leg::Name | Leg::Connection) { UNAVAILABLE } else { FAILED };
            seen(steps, sentence(&trouble.explanation), sentence(&trouble.remedy), code)
        }
    }
}

/// With its capital letter and its full stop; nothing of nothing.
fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}

impl Service {
    /// An upstream of its own, so that accounts that are inactive can be examined, too.
    fn separate_upstream(&self, account: &Account) -> Result<Upstream, String> {
        let hostname = self.live.get().hostname.clone();
        let upstream = Upstream::new(Arc::new(account.clone()), hostname, Arc::new(self.tokens.clone()));
        upstream.map_err(|error| error.to_string())
    }

    async fn examined(&self, account: &Account) -> ExaminationView {
        self.tokens.ask_again(&account.id);
        match self.separate_upstream(account) {
            Ok(upstream) => view(account, Ok(&upstream.examine().await)),
            Err(problem) => view(account, Err(problem)),
        }
    }

    /// Examines accounts one after the other.
    pub(super) async fn doctor(&self, ids: &[String], progress: &mpsc::Sender<Answer>) -> Answer {
        let mut accounts = Vec::new();
        for id in ids {
            match self.account(id) {
                Ok(account) => accounts.push(account),
                Err(answer) => return answer,
            }
        }
        if ids.is_empty() {
            let snapshot = self.live.get();
            accounts.extend(snapshot.config.accounts.iter().filter(|account| account.active).cloned());
        }
        for account in &accounts {
            let examined = self.examined(account).await;
            let answer = match service::progress(examined) {
                Ok(answer) => answer,
                Err(answer) => return answer,
            };
            if progress.send(answer).await.is_err() {
                return failed(FAILED, "nobody waits for the doctor");
            }
        }
        done(accounts.len())
    }

    /// Examines an account; its mail goes on where all is well, and a message of our own goes `to` somebody.
    pub(super) async fn test(&self, id: &str, to: Option<&str>, progress: &mpsc::Sender<Answer>) -> Answer {
        let account = match self.account(id) {
            Ok(account) => account,
            Err(answer) => return answer,
        };
        let to = match to.map(Mailbox::parse).transpose() {
            Ok(to) => to,
            Err(error) => return failed(FAILED, format!("--to {}: {error}", to.unwrap_or_default())),
        };
        let examined = self.examined(&account).await;
        let (well, verdict, code) = (examined.well, examined.verdict.clone(), examined.exit_code);
        let cure = examined.cure.clone();
        match service::progress(examined) {
            Ok(answer) => {
                let _ = progress.send(answer).await;
            }
            Err(answer) => return answer,
        }
        if !well {
            return failed(code, format!("{id}: {verdict} {cure}").trim_end());
        }
        self.queue.resume(&account.id);
        match to {
            Some(to) => self.send_test(&account, to).await,
            None => done(format!("{id}: connected and logged in; nothing was sent")),
        }
    }

    async fn send_test(&self, account: &Account, to: Mailbox) -> Answer {
        let upstream = match self.separate_upstream(account) {
            Ok(upstream) => upstream,
            Err(problem) => return failed(CONFIGURATION, problem),
        };
        let own = account.senders.first().cloned();
        let own = own.or_else(|| account.username().and_then(|name| Mailbox::parse(name).ok()));
        let Some(from) = own else {
            let why = "its username is no address, so there is nobody to send from: name one in `senders`";
            return failed(FAILED, format!("{}: {why}", account.id));
        };
        // The queue never has it, but its trace is to be found under an id as that of any other.
        let queue_id = self.queue.begin().id();
        let hostname = self.live.get().hostname.clone();
        let message_id = format!("<test-{queue_id}@{hostname}>");
        let text = format!(
            "Date: {}\r\nFrom: <{from}>\r\nTo: <{to}>\r\nSubject: waxseal account test {}\r\n\
             Message-ID: {message_id}\r\nAuto-Submitted: auto-generated\r\n\r\n\
             waxseal on {hostname} has sent this through its account {}.\r\n",
            Rfc5322Date(SystemTime::now()),
            account.id,
            account.id
        );
        let size = text.len() as u64;
        let Ok(content) = Content::new(text.into_bytes().into()) else {
            return failed(FAILED, "the test message cannot be written");
        };
        let attempt = Attempt {
            queue_id,
            reverse_path: ReversePath::Mailbox(from),
            recipients: vec![ForwardPath::Mailbox(to.clone())],
            body: BodyType::SevenBit,
            smtputf8: false,
            dsn: None,
            content: ContentSource::Memory(content).into(),
        };
        let outcome = upstream.deliver(&attempt).await;
        upstream.close_idle().await;
        self.tell_test(&attempt, account, size, message_id, &outcome);
        let Outcome { dispositions, trouble, relay, .. } = outcome;
        let trouble = match dispositions.into_iter().next() {
            Some(Disposition::Delivered(reply)) => {
                return done(format!(
                    "{}: sent to {to} through {relay}: {reply} (trace {queue_id})",
                    account.id
                ));
            }
            Some(Disposition::Deferred(trouble) | Disposition::Failed(trouble)) => Some(trouble),
            None => trouble,
        };
        let why = trouble.map(|trouble| format!(": {trouble}. {}", trouble.remedy)).unwrap_or_default();
        failed(FAILED, format!("{}: not sent{why}", account.id).trim_end())
    }

    /// What became of a test message, for its trace.
    fn tell_test(
        &self,
        attempt: &Attempt,
        account: &Account,
        size: u64,
        message_id: String,
        outcome: &Outcome,
    ) {
        let came = attempt.queue_id.unix_millis();
        let to: Vec<String> = attempt.recipients.iter().map(ToString::to_string).collect();
        let received = Event {
            account: account.id.to_string(),
            from: Some(attempt.reverse_path.to_string()),
            to: to.clone(),
            size: Some(size),
            message_id: Some(message_id),
            ..Event::new(came, attempt.queue_id, What::Received)
        };
        let (reply, explanation, what) = match outcome.dispositions.first() {
            Some(Disposition::Delivered(reply)) => (Some(reply), String::new(), What::Delivered),
            Some(Disposition::Deferred(trouble) | Disposition::Failed(trouble)) => {
                (trouble.reply.as_ref(), trouble.explanation.clone(), What::Failed)
            }
            None => {
                let trouble = outcome.trouble.as_ref();
                let explanation = trouble.map(|trouble| trouble.explanation.clone()).unwrap_or_default();
                (trouble.and_then(|trouble| trouble.reply.as_ref()), explanation, What::Failed)
            }
        };
        let now = unix_millis();
        let ended = Event {
            account: account.id.to_string(),
            to,
            relay: outcome.relay.clone(),
            tls: outcome.tls.clone(),
            reply: reply.map(ToString::to_string).unwrap_or_default(),
            explanation,
            delay_ms: Some(now.saturating_sub(came)),
            attempt: Some(1),
            ..Event::new(now, attempt.queue_id, what)
        };
        self.queue.history().prepare(&[received, ended]).tell();
    }
}
