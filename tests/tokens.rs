//! Grants against a scripted authorization server on loopback: what is asked, what is kept, in which order.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not recognise as such")]

mod oauth_script;

use oauth_script::*;
use secrecy::ExposeSecret;
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};
use waxseal::{
    account::token::{NoToken, TokenSet, TokenState},
    oauth::{AuthorizeError, Authorized, Callback, TokenSource, Tokens, WAITED_FOR, refresher},
    store::TokenStore,
};

#[tokio::test]
async fn a_refresh_asks_once_and_serves_from_memory_after() {
    let bench = Bench::new(Some(stale("r1", None)), [grants("a1", None)]).await;
    assert_eq!(bench.got().await, "a1");
    assert_eq!(bench.got().await, "a1");
    let requests = bench.provider.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["grant_type"], "refresh_token");
    assert_eq!(requests[0]["client_id"], "client-1");
    assert_eq!(requests[0]["client_secret"], "canary-secret");
    assert!(matches!(bench.state(), TokenState::Valid { .. }));
}

#[tokio::test]
async fn a_rotated_token_is_on_disk_before_the_access_token_is_used() {
    let bench = Bench::new(Some(stale("r1", None)), [grants("a1", Some("r2"))]).await;
    assert_eq!(bench.got().await, "a1");
    assert_eq!(bench.journal(), ["asked", "kept r2 r1"]);
}

#[tokio::test]
async fn the_previous_token_goes_once_the_new_one_has_worked() {
    let bench = Bench::new(Some(stale("r1", None)), [grants("a1", Some("r2")), grants("a2", None)]).await;
    assert_eq!(bench.got().await, "a1");
    bench.tokens.refresh_now(&id()).await.unwrap();
    assert_eq!(bench.journal(), ["asked", "kept r2 r1", "asked", "kept r2 -"]);
}

#[tokio::test]
async fn a_rotated_token_that_cannot_be_kept_is_not_used_until_it_can() {
    let bench = Bench::new(Some(stale("r1", None)), [grants("a1", Some("r2"))]).await;
    bench.store.full.store(true, Ordering::SeqCst);
    let error = bench.get().await.unwrap_err();
    assert!(matches!(&error, NoToken::Unavailable { reason, .. } if reason.contains("disk full")), "{error}");
    bench.store.full.store(false, Ordering::SeqCst);
    bench.tokens.reconfigure(&[account(&bench.provider, None)]).await;
    assert_eq!(bench.got().await, "a1");
    assert_eq!(bench.journal(), ["asked", "kept r2 r1"]);
}

#[tokio::test]
async fn a_full_disk_does_not_stop_a_provider_that_does_not_rotate() {
    let bench = Bench::new(Some(stale("r1", None)), [grants("a1", None)]).await;
    bench.store.full.store(true, Ordering::SeqCst);
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn the_previous_token_is_tried_when_the_new_one_is_refused() {
    let script = [invalid_grant(), grants("a3", Some("r3"))];
    let bench = Bench::new(Some(stale("r2", Some("r1"))), script).await;
    assert_eq!(bench.got().await, "a3");
    assert_eq!(bench.provider.refresh_tokens(), ["r2", "r1"]);
    assert_eq!(bench.journal().last().unwrap(), "kept r3 r1");
}

#[tokio::test]
async fn invalid_grant_rejects_and_keeps_the_tokens() {
    let stored = stale("canary-refresh", None);
    let bench = Bench::new(Some(stored), [invalid_grant(), grants("a1", None)]).await;
    let mut changes = bench.tokens.subscribe();
    let error = bench.get().await.unwrap_err();
    assert!(matches!(&error, NoToken::Rejected { reason, .. } if reason.contains("AADSTS700082")), "{error}");
    assert!(!format!("{error} {error:?} {:?}", bench.tokens.status(&id())).contains("canary"));
    assert!(matches!(bench.get().await, Err(NoToken::Rejected { .. })));
    assert!(matches!(bench.state(), TokenState::Rejected { .. }));
    assert_eq!(bench.provider.requests().len(), 1);
    assert!(bench.store.load(&id()).await.unwrap().tokens.is_some());
    assert_eq!(changes.recv().await.unwrap(), id());
    // The operator may insist.
    bench.tokens.refresh_now(&id()).await.unwrap();
    assert_eq!(changes.recv().await.unwrap(), id());
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn the_configurations_token_is_used_first_and_again_when_the_stores_is_dead() {
    let bench = Bench::with_first(None, Some("r0"), [grants("a1", None)]).await;
    assert!(matches!(bench.state(), TokenState::Refreshing { trouble: None }));
    assert_eq!(bench.got().await, "a1");
    assert_eq!(bench.journal(), ["asked", "kept r0 -"]);

    let script = [invalid_grant(), grants("a1", None)];
    let bench = Bench::with_first(Some(stale("r1", None)), Some("r0"), script).await;
    assert_eq!(bench.got().await, "a1");
    assert_eq!(bench.provider.refresh_tokens(), ["r1", "r0"]);
}

#[tokio::test]
async fn without_a_grant_nobody_is_asked() {
    let bench = Bench::new(None, []).await;
    assert!(matches!(bench.get().await, Err(NoToken::Unauthorized { .. })));
    assert!(matches!(bench.state(), TokenState::Unauthorized));
    assert!(bench.provider.requests().is_empty());
}

#[tokio::test]
async fn trouble_at_the_server_says_nothing_of_the_grant() {
    let html = Answer { header: ("content-type", "text/html"), ..json(200, "<html>portal</html>") };
    let large = json(200, &"x".repeat(70_000));
    let redirect = Answer { header: ("location", "/elsewhere"), ..json(302, "") };
    for answer in [json(500, ""), json(503, "{}"), html, large, redirect, json(200, "{}")] {
        let bench = Bench::new(Some(stale("r1", None)), [answer, grants("a1", None)]).await;
        let error = bench.get().await.unwrap_err();
        let NoToken::Unavailable { reason, retry_after } = &error else { panic!("{error}") };
        assert!(!reason.contains("canary") && !reason.is_empty(), "{reason}");
        assert!(*retry_after >= Duration::from_secs(20));
        assert!(matches!(bench.state(), TokenState::Refreshing { trouble: Some(_) }));
        // The back-off holds for everybody, the operator excepted.
        assert!(matches!(bench.get().await, Err(NoToken::Unavailable { .. })));
        assert_eq!(bench.provider.requests().len(), 1);
        bench.tokens.refresh_now(&id()).await.unwrap();
        assert_eq!(bench.got().await, "a1");
    }
}

#[tokio::test]
async fn an_expired_client_secret_is_the_operators_to_mend_and_costs_no_grant() {
    let refusal =
        json(401, r#"{"error":"invalid_client","error_description":"AADSTS7000222 canary-secret"}"#);
    let bench = Bench::new(Some(stale("r1", None)), [refusal, grants("a1", None)]).await;
    for _ in 0..2 {
        let error = bench.get().await.unwrap_err();
        assert!(matches!(error, NoToken::Misconfigured { .. }), "{error}");
        assert!(
            error.to_string().contains("AADSTS7000222") && !error.to_string().contains("canary"),
            "{error}"
        );
    }
    assert_eq!(bench.provider.requests().len(), 1, "and it is asked slowly");
    bench.tokens.refresh_now(&id()).await.unwrap();
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn retry_after_is_heeded() {
    let busy = Answer { header: ("retry-after", "3000"), ..json(429, "") };
    let bench = Bench::new(Some(stale("r1", None)), [busy]).await;
    let Err(NoToken::Unavailable { retry_after, .. }) = bench.get().await else { panic!() };
    assert_eq!(retry_after, Duration::from_secs(3000));
}

#[tokio::test]
async fn an_operators_word_ends_the_back_off() {
    let busy = Answer { header: ("retry-after", "3000"), ..json(429, "") };
    let bench = Bench::new(Some(stale("r1", None)), [busy, grants("a1", None)]).await;
    for _ in 0..2 {
        assert!(matches!(bench.get().await, Err(NoToken::Unavailable { .. })));
    }
    bench.tokens.ask_again(&id());
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn a_server_that_is_not_there_and_plain_http_are_unavailable() {
    let mut bench = Bench::new(Some(stale("r1", None)), []).await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    bench.provider.url = format!("http://{}/token", gone.local_addr().unwrap()).parse().unwrap();
    drop(gone);
    bench.tokens.reconfigure(&[account(&bench.provider, None)]).await;
    let error = bench.get().await.unwrap_err();
    assert!(matches!(&error, NoToken::Unavailable { reason, .. } if reason.contains("refused")), "{error}");
    bench.provider.url = "http://example.com/token".parse().unwrap();
    bench.tokens.reconfigure(&[account(&bench.provider, None)]).await;
    let error = bench.get().await.unwrap_err();
    assert!(error.to_string().contains("must be https"), "{error}");
}

#[tokio::test]
async fn twenty_callers_make_one_request() {
    let slow = Answer { delay: Duration::from_millis(100), ..grants("a1", Some("r2")) };
    let bench = Bench::new(Some(stale("r1", None)), [slow]).await;
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let tokens = bench.tokens.clone();
            tokio::spawn(async move { tokens.access_token(&id()).await.is_ok() })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.unwrap());
    }
    assert_eq!(bench.provider.requests().len(), 1);
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_lose_the_rotated_token() {
    let slow = Answer { delay: Duration::from_millis(100), ..grants("a1", Some("r2")) };
    let bench = Bench::new(Some(stale("r1", None)), [slow]).await;
    assert!(tokio::time::timeout(Duration::from_millis(20), bench.get()).await.is_err());
    bench.tokens.settle().await;
    assert_eq!(bench.journal(), ["asked", "kept r2 r1"]);
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn a_refused_token_is_not_given_out_again_and_renewed_once_a_minute() {
    let script = [grants("a1", None), grants("a2", None), grants("a3", None)];
    let bench = Bench::new(Some(stale("r1", None)), script).await;
    let first = bench.get().await.unwrap();
    bench.tokens.refused(&id(), &first);
    let second = bench.get().await.unwrap();
    assert_eq!(second.secret.expose_secret(), "a2");
    // Late news of the first token change nothing.
    bench.tokens.refused(&id(), &first);
    assert_eq!(bench.got().await, "a2");
    bench.tokens.refused(&id(), &second);
    let Err(NoToken::Unavailable { retry_after, .. }) = bench.get().await else { panic!() };
    assert!(retry_after <= Duration::from_secs(60) && retry_after > Duration::from_secs(50));
    assert_eq!(bench.provider.requests().len(), 2);
}

#[tokio::test]
async fn a_consent_is_exchanged_with_its_verifier_and_kept() {
    use base64::Engine;
    let bench = Bench::new(None, [grants("a1", Some("r1"))]).await;
    let mut changes = bench.tokens.subscribe();
    let begun = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap();
    let query: Form = begun.url.query_pairs().into_owned().collect();
    assert_eq!(query["state"], begun.state);
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["access_type"], "offline");
    assert_eq!(query["redirect_uri"], redirect().as_str());
    assert_eq!(query["scope"], "https://mail.google.com/ offline_access");
    let done = bench.tokens.finish(callback(&begun.state, "c1"), willing()).await;
    assert_eq!(done.unwrap(), Authorized { account: id(), proved: true, remark: None });

    let form = &bench.provider.requests()[0];
    assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", "c1"));
    assert_eq!(form["redirect_uri"], redirect().as_str());
    let digest = ring::digest::digest(&ring::digest::SHA256, form["code_verifier"].as_bytes());
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest);
    assert_eq!(query["code_challenge"], challenge);

    assert_eq!(changes.recv().await.unwrap(), id());
    assert_eq!(bench.journal(), ["asked", "kept r1 -"]);
    assert_eq!(bench.got().await, "a1");
    let text = format!("{begun:?} {:?} {:?}", bench.tokens.status(&id()), bench.get().await);
    assert!(!text.contains(&begun.state) && !text.contains("\"a1\""), "{text}");
}

#[tokio::test]
async fn forged_replayed_and_late_callbacks_change_nothing() {
    let bench = Bench::new(None, [grants("a1", Some("r1"))]).await;
    let begun = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap();
    let forged = bench.tokens.finish(callback("forged", "c1"), willing()).await;
    assert!(matches!(forged, Err(AuthorizeError::UnknownState)));
    bench.tokens.finish(callback(&begun.state, "c1"), willing()).await.unwrap();
    let replayed = bench.tokens.finish(callback(&begun.state, "c1"), willing()).await;
    assert!(matches!(replayed, Err(AuthorizeError::UnknownState)));
    let begun = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap();
    bench.tokens.abandon(&begun.state).await;
    let late = bench.tokens.finish(callback(&begun.state, "c1"), willing()).await;
    assert!(matches!(late, Err(AuthorizeError::UnknownState)));
    assert_eq!(bench.provider.requests().len(), 1);
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn a_failed_consent_leaves_the_working_grant() {
    let script = [grants("a1", None), grants("a2", None), invalid_grant()];
    let bench = Bench::new(Some(stale("r1", None)), script).await;
    assert_eq!(bench.got().await, "a1");
    let begin = async || bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap().state;
    let error = bench.tokens.finish(callback(&begin().await, "c1"), willing()).await.unwrap_err();
    assert!(matches!(error, AuthorizeError::NoRefreshToken(_)), "{error}");
    assert!(error.to_string().contains("prompt=consent"), "{error}");
    let error = bench.tokens.finish(callback(&begin().await, "c2"), willing()).await.unwrap_err();
    assert!(matches!(error, AuthorizeError::Exchange(_)), "{error}");
    let denied = Callback::from_query(&format!("error=access_denied&state={}", begin().await)).unwrap();
    let error = bench.tokens.finish(denied, willing()).await.unwrap_err();
    assert!(matches!(error, AuthorizeError::Refused(_)), "{error}");
    assert_eq!(bench.got().await, "a1");
    assert_eq!(bench.journal().iter().filter(|line| line.starts_with("kept")).count(), 1);
}

#[tokio::test]
async fn forget_drops_the_tokens() {
    let bench = Bench::new(Some(stale("r1", None)), [grants("a1", None)]).await;
    bench.got().await;
    bench.tokens.forget(&id()).await.unwrap();
    assert!(matches!(bench.get().await, Err(NoToken::Unauthorized { .. })));
    assert!(bench.store.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_refresher_goes_on_by_itself_and_stops_when_told() {
    let short = |access: &str, refresh: &str| {
        json(200, &format!(r#"{{"access_token":"{access}","expires_in":2,"refresh_token":"{refresh}"}}"#))
    };
    let script = [short("a1", "r1"), short("a2", "r2"), grants("a3", Some("r3"))];
    let bench = Bench::new(Some(stale("r0", None)), script).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(refresher::run(bench.tokens.clone(), stop.clone()));
    for _ in 0..100 {
        if bench.provider.requests().len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(bench.provider.refresh_tokens(), ["r0", "r1", "r2"]);
    assert_eq!(bench.got().await, "a3");
}

#[tokio::test]
async fn thirty_days_of_rotation_lose_no_grant() {
    let hours = 30 * 24;
    let script = (1..=hours).map(|hour| grants(&format!("a{hour}"), Some(&format!("r{hour}"))));
    let bench = Bench::new(Some(stale("r0", None)), script).await;
    let (start, hour) = (SystemTime::now(), Arc::new(std::sync::atomic::AtomicU64::new(0)));
    let now = hour.clone();
    let clock = Arc::new(move || start + Duration::from_secs(3600 * now.load(Ordering::SeqCst)));
    let accounts = [account(&bench.provider, None)];
    let mut tokens = Tokens::with_clock(bench.store.clone(), &accounts, clock.clone()).await;
    for at in 0..hours {
        hour.store(at, Ordering::SeqCst);
        // Every other day the daemon is restarted.
        if at % 48 == 47 {
            tokens = Tokens::with_clock(bench.store.clone(), &accounts, clock.clone()).await;
        }
        let token = tokens.access_token(&id()).await.unwrap();
        assert_eq!(token.secret.expose_secret(), format!("a{}", at + 1));
    }
    let asked: Vec<_> = (0..hours).map(|hour| format!("r{hour}")).collect();
    assert_eq!(bench.provider.refresh_tokens(), asked);
}

#[tokio::test]
async fn a_client_in_its_own_name_asks_by_itself_and_nobody_signs_in() {
    let mut bench = Bench::unattended(None, [grants("a1", None)]).await;
    assert!(matches!(bench.state(), TokenState::Refreshing { trouble: None }));
    assert_eq!(bench.got().await, "a1");
    let requests = bench.provider.requests();
    assert_eq!(requests[0]["grant_type"], "client_credentials");
    assert_eq!(requests[0]["scope"], "https://outlook.example/.default");
    assert_eq!(requests[0]["client_secret"], "canary-secret");
    assert!(!requests[0].contains_key("refresh_token"));
    assert_eq!(bench.tokens.status(&id()).unwrap().authorized_at, None);
    let refused = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap_err();
    assert!(matches!(refused, AuthorizeError::NobodySignsIn { .. }), "{refused}");

    // A restart has it from the store.
    assert_eq!(bench.journal(), ["asked", "kept - -"]);
    let own = in_its_own_name(&bench.provider);
    bench.restart(&own).await;
    assert_eq!(bench.got().await, "a1");
    assert_eq!(bench.provider.requests().len(), 1);
}

#[tokio::test]
async fn a_refused_client_in_its_own_name_needs_nobody_but_its_operator() {
    let secret = json(401, r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#);
    for refusal in [secret, invalid_grant()] {
        let bench = Bench::unattended(None, [refusal, grants("a1", None)]).await;
        let error = bench.get().await.unwrap_err();
        assert!(
            matches!(&error, NoToken::Misconfigured { reason, .. } if reason.contains("AADSTS")),
            "{error}"
        );
        assert!(matches!(bench.state(), TokenState::Refreshing { trouble: Some(_) }));
        // It is asked again slowly, and at once after a reload.
        assert!(bench.get().await.is_err());
        assert_eq!(bench.provider.requests().len(), 1);
        bench.tokens.reconfigure(&[in_its_own_name(&bench.provider)]).await;
        assert_eq!(bench.got().await, "a1");
    }
}

#[tokio::test]
async fn a_client_in_its_own_name_is_asked_once_by_twenty_callers_and_ahead_by_the_refresher() {
    let short = json(200, r#"{"access_token":"a1","expires_in":2}"#);
    let slow = Answer { delay: Duration::from_millis(100), ..short };
    let bench = Bench::unattended(None, [slow, grants("a2", None)]).await;
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let tokens = bench.tokens.clone();
            tokio::spawn(async move { tokens.access_token(&id()).await.is_ok() })
        })
        .collect();
    for caller in callers {
        assert!(caller.await.unwrap());
    }
    assert_eq!(bench.provider.requests().len(), 1);
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(refresher::run(bench.tokens.clone(), stop.clone()));
    for _ in 0..100 {
        if bench.provider.requests().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(bench.got().await, "a2");
}

#[tokio::test]
async fn a_full_disk_does_not_stop_a_client_in_its_own_name() {
    let bench = Bench::unattended(None, [grants("a1", None)]).await;
    bench.store.full.store(true, Ordering::SeqCst);
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn a_consent_outlives_a_grant_that_needs_none_and_neither_has_the_others_token() {
    let now = SystemTime::now();
    let ends = now + Duration::from_secs(3600);
    let stored =
        TokenSet { access_token: Some(("a-person".into(), ends)), refreshed_at: now, ..stale("r1", None) };
    let mut bench = Bench::unattended(Some(stored), [grants("a-client", None), grants("a2", None)]).await;
    assert!(matches!(bench.state(), TokenState::Refreshing { .. }));
    assert_eq!(bench.tokens.status(&id()).unwrap().authorized_at, None);
    assert_eq!(bench.got().await, "a-client");
    assert_eq!(bench.journal(), ["asked", "kept r1 -"]);

    // The operator goes back, by a reload and by a restart.
    let person = account(&bench.provider, None);
    bench.tokens.reconfigure(std::slice::from_ref(&person)).await;
    assert!(matches!(bench.state(), TokenState::Refreshing { .. }));
    bench.restart(&person).await;
    assert_eq!(bench.got().await, "a2");
    assert_eq!(bench.provider.refresh_tokens(), ["r1"]);
}

/// Somebody consents anew, at another node, while this one's refresh is on its way: what a person agreed to stays.
#[tokio::test]
async fn a_refresh_that_comes_too_late_does_not_replace_what_another_node_has_kept() {
    let late = Answer { delay: Duration::from_millis(400), ..grants("late", Some("late-refresh")) };
    let bench = Bench::new(Some(stale("before", None)), [late]).await;
    let mut consented = stale("consented", None);
    consented.refreshed_at = SystemTime::now();
    consented.access_token = Some(("fresh".into(), SystemTime::now() + Duration::from_secs(3600)));
    let (got, ()) = tokio::join!(bench.got(), async {
        while bench.provider.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        bench.store.put(&id(), &consented).await;
    });
    assert_eq!(got, "fresh");
    let kept = bench.store.load(&id()).await.unwrap().tokens.unwrap().consent.unwrap();
    assert_eq!(kept.refresh_token.expose_secret(), "consented");
}
