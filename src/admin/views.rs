//! Accounts and messages as operators see them.

use super::{
    protocol::{AccountView, MessageView},
    service::Service,
};
use crate::{
    account::{Account, forecast::died_of_testing, token::TokenState},
    mail::Timestamp,
    oauth::{GrantStatus, explain},
    queue::{LaneView, Listed},
};
use std::time::SystemTime;

impl Service {
    /// All configured accounts, as `account list` shows them.
    pub fn accounts(&self) -> Vec<AccountView> {
        let lanes = self.queue.lanes();
        let snapshot = self.live.get();
        let lane = |account: &Account| lanes.iter().find(|lane| lane.account == account.id);
        snapshot.config.accounts.iter().map(|account| self.view_with(account, lane(account))).collect()
    }

    pub(super) fn view(&self, account: &Account) -> AccountView {
        let lanes = self.queue.lanes();
        self.view_with(account, lanes.iter().find(|lane| lane.account == account.id))
    }

    fn view_with(&self, account: &Account, lane: Option<&LaneView>) -> AccountView {
        let grant = account.oauth().and_then(|_| self.tokens.status(&account.id));
        let authorize = || Some(format!("run `waxseal account authorize {}`", account.id));
        let lane_trouble = lane.and_then(|lane| lane.trouble.clone().map(|t| (t, lane.remedy.clone())));
        let unusable = (self.upstreams)(&account.id).and_then(Result::err).map(|error| (error, None));
        let (state, trouble) = match grant.as_ref().map(|grant| &grant.state) {
            _ if !account.active => ("inactive", None),
            _ if unusable.is_some() => ("failing", unusable),
            Some(TokenState::Unauthorized) => {
                ("needs_authorization", Some(("nobody has authorized it yet".to_owned(), authorize())))
            }
            Some(TokenState::Rejected { reason }) => {
                let remedy = if grant.as_ref().is_some_and(|grant| of_testing(account, grant)) {
                    Some(format!(
                        "the grant lived for seven days, as those of Google applications in testing do: publish the \
                         application (Google Cloud console, Audience), then run `waxseal account authorize {}`",
                        account.id
                    ))
                } else {
                    let cure =
                        explain(reason).map(|explained| format!("{}; ", explained.cure)).unwrap_or_default();
                    authorize().map(|authorize| format!("{cure}{authorize}"))
                };
                let meaning =
                    explain(reason).map_or_else(|| reason.clone(), |e| format!("{} ({reason})", e.meaning));
                ("needs_authorization", Some((meaning, remedy)))
            }
            _ if lane.is_some_and(|lane| lane.stopped.is_some() && lane.trouble.is_some()) => {
                ("failing", lane_trouble)
            }
            Some(TokenState::Refreshing { trouble: Some(trouble) }) => ("failing", Some(explained(trouble))),
            _ => ("ready", None),
        };
        let grant_trouble = grant.as_ref().and_then(|g| g.trouble.as_deref()).map(explained);
        let (last_error, remedy) = match trouble.or(grant_trouble) {
            Some((trouble, remedy)) => (Some(trouble), remedy),
            None => (None, None),
        };
        let forecast = grant.as_ref().and_then(|g| g.forecast);
        let time = |at: Option<SystemTime>| at.map(|at| Timestamp::new(at).to_string());
        AccountView {
            id: account.id.to_string(),
            name: account.name.clone(),
            description: account.description.clone(),
            r#type: account.kind.as_str().to_owned(),
            domains: account.domains.iter().map(ToString::to_string).collect(),
            active: account.active,
            application: account.application.as_ref().map(ToString::to_string),
            state: state.to_owned(),
            token_expires_at: time(grant.as_ref().and_then(|g| g.expires_at)),
            last_success_at: lane
                .and_then(|l| l.last_success_at)
                .map(|at| Timestamp::from_millis(at).to_string()),
            last_error,
            remedy,
            server: format!("{}:{}", account.server.host, account.server.port),
            username: account.username().map(str::to_owned),
            authorized_at: time(grant.as_ref().and_then(|g| g.authorized_at)),
            rotated_at: time(grant.as_ref().and_then(|g| g.rotated_at)),
            refreshed_at: time(grant.as_ref().and_then(|g| g.refreshed_at)),
            grant_ends_at: time(forecast.map(|forecast| forecast.ends_at)),
            grant_ends_because: forecast.map(|forecast| forecast.cause.to_string()),
            queued: lane.map_or(0, |lane| lane.tally.outstanding()),
            remark: None,
        }
    }
}

/// A trouble of the token side, with what it means and what cures it.
fn explained(trouble: &str) -> (String, Option<String>) {
    match explain(trouble) {
        Some(explained) => (format!("{} ({trouble})", explained.meaning), Some(explained.cure.to_owned())),
        None => (trouble.to_owned(), None),
    }
}

fn of_testing(account: &Account, grant: &GrantStatus) -> bool {
    grant
        .authorized_at
        .zip(grant.refreshed_at)
        .is_some_and(|(authorized, refreshed)| died_of_testing(account.kind, authorized, refreshed))
}

pub(super) fn message(listed: &Listed) -> MessageView {
    MessageView {
        id: listed.id.to_string(),
        node: None,
        state: listed.state.to_owned(),
        account: listed.account.to_string(),
        from: listed.from.clone(),
        to: listed.to.clone(),
        size: listed.size,
        received_at: Timestamp::from_millis(listed.received_at).to_string(),
        next_attempt_at: listed.next_attempt_at.map(|at| Timestamp::from_millis(at).to_string()),
        attempts: listed.attempts,
        last_reply: listed.last_reply.clone(),
    }
}
