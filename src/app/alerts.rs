//! Looks after the state of things and has alerts told: the facts come from everywhere, so they are gathered here.

use crate::{
    account::{Account, AccountId, forecast::Ending, token::TokenState},
    admin::{Service, protocol::AccountView},
    alert::{AccountFact, AccountState, Alerts, DiskFact, Facts, LaneFact, Limits, StoreFact},
    meter::unix_millis,
    queue::{LaneBacklog, LaneView},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::Notify, sync::broadcast::error::RecvError, time::sleep};
use tokio_util::sync::CancellationToken;

/// How often it looks without any occasion.
const EVERY: Duration = Duration::from_secs(30);
/// A change of many accounts' tokens at once is looked at once.
const GATHER: Duration = Duration::from_millis(200);

/// Looks at start, every 30 s, after each reload and whenever tokens come or go, until `stop`.
pub(super) async fn watch(service: Arc<Service>, reloaded: Arc<Notify>, stop: CancellationToken) {
    let mut changed = service.tokens.subscribe();
    let state_dir = service.live.get().config.state_dir.clone();
    let mut alerts = Alerts::open(&state_dir, Limits::default()).await;
    loop {
        let facts = facts(&service);
        alerts.look(&facts, &service.live.get(), &service.queue, unix_millis()).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EVERY) => {}
            () = reloaded.notified() => {}
            () = alerts.command_ended() => {}
            changed = changed.recv() => match changed {
                Ok(_) | Err(RecvError::Lagged(_)) => sleep(GATHER).await,
                Err(RecvError::Closed) => return,
            },
        }
    }
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn facts(service: &Service) -> Facts {
    let snapshot = service.live.get();
    let lanes = service.queue.lanes();
    let fact = |view: AccountView| {
        let account = snapshot.account(&AccountId::new(&view.id))?;
        let lane = lanes.iter().find(|lane| lane.account == account.id);
        Some(account_fact(service, account, view, lane))
    };
    let lane = |lane: LaneBacklog| LaneFact {
        account: lane.account,
        messages: lane.messages,
        oldest: lane.oldest,
        delivered_at: lane.last_success_at,
        paced: lane.paced,
    };
    Facts {
        accounts: service.accounts().into_iter().filter_map(fact).collect(),
        lanes: service.queue.backlogs().into_iter().map(lane).collect(),
        disk: DiskFact {
            free: service.queue.free_octets(),
            min_free: snapshot.config.queue.min_free,
            used: service.queue.octets(),
            max_size: snapshot.config.queue.max_size,
        },
        store: service
            .store_standing()
            .map(|standing| StoreFact { trouble: standing.trouble, since: standing.since.map(millis) }),
        started_at: millis(service.started_at),
    }
}

fn account_fact(
    service: &Service,
    account: &Account,
    view: AccountView,
    lane: Option<&LaneView>,
) -> AccountFact {
    let oauth = account.oauth();
    // The secret's end has marks of its own, and what is used daily does not end of disuse.
    let forecast = service.tokens.status(&account.id).and_then(|status| status.forecast);
    let ends = forecast.filter(|forecast| forecast.cause == Ending::RefreshToken);
    AccountFact {
        state: match view.state.as_str() {
            "needs_authorization" => AccountState::NeedsAuthorization,
            "failing" => AccountState::Failing,
            "inactive" => AccountState::Inactive,
            _ => AccountState::Ready,
        },
        granted: oauth.is_none() || matches!(service.tokens.state(&account.id), TokenState::Valid { .. }),
        delivered_at: lane.and_then(|lane| lane.last_success_at),
        explanation: view.last_error.unwrap_or_default(),
        remedy: view.remedy.unwrap_or_default(),
        secret_ends: oauth.and_then(|oauth| oauth.client_secret_expires()),
        grant_ends: ends.map(|forecast| millis(forecast.ends_at)),
        id: account.id.clone(),
    }
}
