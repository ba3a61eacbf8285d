//! The ways to a first token beyond a browser that comes back: by device, as a service account, with a certificate; and
//! what new tokens have to prove before they are kept.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not recognise as such")]

mod oauth_script;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth_script::*;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use secrecy::ExposeSecret;
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::broadcast,
    time::{Instant, timeout},
};
use waxseal::{
    account::{
        Account, AccountId, Client, ClientCertificate, ClientProof, Grant, Login, OAuthLogin, ServiceAccount,
        SignIn, SignInWay,
        token::{NoToken, TokenSet, TokenState},
    },
    database::News,
    oauth::{AuthorizeError, Authorized, Proof, TokenSource, Tokens, WAITED_FOR},
    store::{ConsentStore, Kept, Over, Saved, StoreFuture, TokenStore, Version, consents_here},
};

const NO_TOKEN_YET: &str = r#"{"error":"authorization_pending"}"#;

fn with(bench: &Bench, change: impl FnOnce(&mut OAuthLogin)) -> Account {
    let mut account = account(&bench.provider, None);
    if let Login::OAuth(login) = &mut account.login {
        change(login);
    }
    account
}

/// The account signs in by device, at this provider.
fn by_device(bench: &Bench) -> Account {
    let endpoint = bench.provider.url.join("/device").unwrap();
    with(bench, |login| {
        let way = SignInWay::Device { endpoint };
        login.grant = Grant::SignIn(client(), SignIn { way, first_refresh_token: None });
    })
}

fn code(interval: u64, expires_in: u64) -> Answer {
    let body = format!(
        r#"{{"device_code":"canary-device","user_code":"AB-12","verification_uri":"https://x.example/device","expires_in":{expires_in},"interval":{interval}}}"#
    );
    json(200, &body)
}

async fn device_bench(answers: impl IntoIterator<Item = Answer>) -> Bench {
    let mut bench = Bench::new(None, answers).await;
    bench.restart(&by_device(&bench)).await;
    bench
}

/// Runs the whole flow on a clock that stands still but for our own waits; the waits between requests, in seconds.
async fn asked_by_device(bench: &Bench) -> (Result<Authorized, AuthorizeError>, u64) {
    let begun = bench.tokens.begin_device(&id()).await.unwrap();
    assert_eq!(
        (begun.user_code.as_str(), begun.verification_uri.as_str()),
        ("AB-12", "https://x.example/device")
    );
    tokio::time::pause();
    let start = Instant::now();
    let result = bench.tokens.finish_device(begun, willing()).await;
    let waited = start.elapsed().as_secs();
    tokio::time::resume();
    (result, waited)
}

#[tokio::test]
async fn a_device_flow_asks_at_the_servers_pace_until_somebody_has_agreed() {
    let script = [
        code(3, 900),
        json(400, NO_TOKEN_YET),
        json(428, NO_TOKEN_YET),
        json(400, r#"{"error":"slow_down"}"#),
        json(400, NO_TOKEN_YET),
        grants("a1", Some("r1")),
    ];
    let bench = device_bench(script).await;
    let (done, waited) = asked_by_device(&bench).await;
    assert_eq!(done.unwrap(), Authorized { account: id(), proved: true, remark: None });
    // Three of 3 seconds, and two of 8 after the server said slow_down (RFC 8628 §3.5).
    assert_eq!(waited, 25);
    let requests = bench.provider.requests();
    assert_eq!(requests[0]["scope"], "https://mail.google.com/ offline_access");
    assert_eq!(requests[0]["client_id"], "client-1");
    assert_eq!(requests.len(), 6);
    for request in &requests[1..] {
        assert_eq!(request["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
        assert_eq!(request["device_code"], "canary-device");
        assert_eq!(request["client_secret"], "canary-secret");
    }
    assert_eq!(bench.journal().last().unwrap(), "kept r1 -");
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn a_device_flow_ends_where_the_person_or_the_clock_says_no() {
    let declined = json(400, r#"{"error":"access_denied","error_description":"no canary-device way"}"#);
    let bench = device_bench([code(1, 900), declined]).await;
    let error = asked_by_device(&bench).await.0.unwrap_err();
    assert_eq!(error.to_string(), "the provider refused: access_denied: no [redacted] way");

    let bench = device_bench([code(1, 900), json(400, r#"{"error":"expired_token"}"#)]).await;
    let error = asked_by_device(&bench).await.0.unwrap_err();
    assert!(matches!(error, AuthorizeError::TookTooLong), "{error}");

    // The server forgets to say so: our own clock knows.
    let script = std::iter::once(code(5, 12)).chain(std::iter::repeat_n(json(400, NO_TOKEN_YET), 9));
    let bench = device_bench(script).await;
    let (result, waited) = asked_by_device(&bench).await;
    assert!(matches!(result, Err(AuthorizeError::TookTooLong)));
    assert_eq!((waited, bench.provider.requests().len()), (15, 3));

    // A client that the server does not know is nothing to wait for.
    let bench = device_bench([code(1, 900), json(401, r#"{"error":"invalid_client"}"#)]).await;
    let error = asked_by_device(&bench).await.0.unwrap_err();
    assert!(error.to_string().contains("invalid_client"), "{error}");
    assert!(bench.store.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_device_flow_outlives_a_server_that_is_away_and_asks_it_less_and_less() {
    let away = json(503, "<html>");
    let bench = device_bench([code(5, 900), away.clone(), away, grants("a1", Some("r1"))]).await;
    let (done, waited) = asked_by_device(&bench).await;
    done.unwrap();
    assert_eq!(waited, 5 + 10 + 20);
}

#[tokio::test]
async fn no_device_endpoint_and_a_refused_begin_are_told_plainly() {
    let bench = Bench::new(None, []).await;
    let error = bench.tokens.begin_device(&id()).await.unwrap_err();
    assert!(error.to_string().contains("device_authorization_endpoint"), "{error}");
    let refusal = json(400, r#"{"error":"invalid_scope","error_description":"not for devices"}"#);
    let bench = device_bench([refusal]).await;
    let error = bench.tokens.begin_device(&id()).await.unwrap_err();
    assert!(error.to_string().contains("invalid_scope: not for devices"), "{error}");
    // A browser is not how this account signs in.
    let error = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap_err();
    assert!(error.to_string().contains("--device"), "{error}");
}

/// The parts of an assertion, its signature verified with the fixture's public key.
fn verified(assertion: &str, algorithm: &'static dyn VerificationAlgorithm) -> (Value, Value) {
    let pair = signature::RsaKeyPair::from_der(rsa::rsa().secret_der()).unwrap();
    let public = signature::KeyPair::public_key(&pair).as_ref().to_vec();
    let (message, signed) = assertion.rsplit_once('.').unwrap();
    let signed = URL_SAFE_NO_PAD.decode(signed).unwrap();
    UnparsedPublicKey::new(algorithm, public).verify(message.as_bytes(), &signed).unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let part = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (part(header), part(claims))
}

fn seconds_from_now(claims: &Value, name: &str) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    claims[name].as_i64().unwrap() - i64::try_from(now).unwrap()
}

#[tokio::test]
async fn a_service_account_signs_for_the_mailbox_and_nobody_signs_in() {
    let mut bench = Bench::new(None, [grants("a1", None), grants("a2", None)]).await;
    let service = ServiceAccount {
        issuer: "robot@project.example".into(),
        key_id: Some("key-7".into()),
        key: rsa_key(),
    };
    let account = with(&bench, |login| login.grant = Grant::ServiceAccount(service));
    bench.restart(&account).await;
    assert!(matches!(bench.state(), TokenState::Refreshing { trouble: None }));
    assert_eq!(bench.got().await, "a1");
    let form = &bench.provider.requests()[0];
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert!(!form.contains_key("client_id") && !form.contains_key("client_secret"));
    let (header, claims) = verified(&form["assertion"], &signature::RSA_PKCS1_2048_8192_SHA256);
    assert_eq!((header["alg"].as_str(), header["kid"].as_str()), (Some("RS256"), Some("key-7")));
    assert_eq!(claims["iss"], "robot@project.example");
    assert_eq!(claims["sub"], "support@example.com");
    assert_eq!(claims["aud"], bench.provider.url.as_str());
    assert_eq!(claims["scope"], "https://mail.google.com/ offline_access");
    // Google takes at most an hour, and nothing from the future.
    assert!((-60..=0).contains(&seconds_from_now(&claims, "iat")));
    assert!((60..=3600).contains(&seconds_from_now(&claims, "exp")));

    let error = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap_err();
    assert!(error.to_string().contains("its grant is service_account"), "{error}");
    // Each assertion is one of its own.
    bench.tokens.refresh_now(&id()).await.unwrap();
    let again =
        verified(&bench.provider.requests()[1]["assertion"], &signature::RSA_PKCS1_2048_8192_SHA256).1;
    assert_ne!(claims["jti"], again["jti"]);
    bench.restart(&account).await;
    assert_eq!(bench.got().await, "a2");
    assert_eq!(bench.journal(), ["asked", "kept - -", "asked", "kept - -"]);
}

#[tokio::test]
async fn a_service_account_that_is_refused_is_the_operators_to_mend() {
    let refusal = r#"{"error":"unauthorized_client","error_description":"Client is unauthorized to retrieve access tokens using this method"}"#;
    let mut bench = Bench::new(None, [json(401, refusal)]).await;
    let service = ServiceAccount { issuer: "robot@project.example".into(), key_id: None, key: rsa_key() };
    bench.restart(&with(&bench, |login| login.grant = Grant::ServiceAccount(service))).await;
    let error = bench.get().await.unwrap_err();
    assert!(
        matches!(&error, NoToken::Misconfigured { reason, .. } if reason.contains("unauthorized_client"))
    );
}

#[test]
fn the_rfcs_own_example_is_signed_as_the_rfc_has_it() {
    // RFC 7515 §A.2.1.
    let message = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let random = ring::rand::SystemRandom::new();
    let signed = rsa_key().sign(false, message.as_bytes(), &random).unwrap();
    let text = URL_SAFE_NO_PAD.encode(signed);
    assert!(text.starts_with("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh"));
    assert!(text.ends_with("Bp0igcN_IoypGlUPQGe77Rw"));
}

fn certified(prefers_pss: bool) -> Client {
    let certificate = ClientCertificate { sha1: [1; 20], sha256: [2; 32], key: rsa_key(), prefers_pss };
    Client { id: "client-1".into(), proof: ClientProof::Certificate(certificate) }
}

#[tokio::test]
async fn a_certificate_takes_the_place_of_the_secret_in_every_request() {
    let algorithms: [(bool, &str, &'static dyn VerificationAlgorithm); 2] = [
        (false, "RS256", &signature::RSA_PKCS1_2048_8192_SHA256),
        (true, "PS256", &signature::RSA_PSS_2048_8192_SHA256),
    ];
    for (prefers_pss, name, algorithm) in algorithms {
        let script = [
            grants("a1", Some("r1")),
            grants("a2", Some("r2")),
            code(1, 900),
            grants("a3", Some("r3")),
            grants("a4", None),
        ];
        let mut bench = Bench::new(None, script).await;
        let account = with(&bench, |login| {
            let Grant::SignIn(_, mut sign_in) = login.grant.clone() else { panic!() };
            if let SignInWay::Browser { device_endpoint, .. } = &mut sign_in.way {
                *device_endpoint = Some(login.token_endpoint.join("/device").unwrap());
            }
            login.grant = Grant::SignIn(certified(prefers_pss), sign_in);
        });
        bench.restart(&account).await;
        let state = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap().state;
        bench.tokens.finish(callback(&state, "c1"), willing()).await.unwrap();
        bench.tokens.refresh_now(&id()).await.unwrap();
        asked_by_device(&bench).await.0.unwrap();
        let own = with(&bench, |login| login.grant = Grant::ClientCredentials(certified(prefers_pss)));
        bench.restart(&own).await;
        assert_eq!(bench.got().await, "a4");

        let requests = bench.provider.requests();
        assert_eq!(requests.len(), 5);
        let mut names = Vec::new();
        for form in &requests {
            assert!(!form.contains_key("client_secret"));
            assert_eq!(
                form["client_assertion_type"],
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            );
            let (header, claims) = verified(&form["client_assertion"], algorithm);
            assert_eq!(header["alg"], name);
            assert_eq!(header["x5t#S256"], URL_SAFE_NO_PAD.encode([2; 32]));
            assert_eq!(
                (claims["iss"].as_str(), claims["sub"].as_str()),
                (Some("client-1"), Some("client-1"))
            );
            assert_eq!(claims["aud"], bench.provider.url.as_str());
            names.push(claims["jti"].to_string());
        }
        names.dedup();
        assert_eq!(names.len(), 5);
    }
}

/// An answer with an ID token of this mailbox.
fn grants_to(mailbox: &str) -> Answer {
    let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"email":"{mailbox}"}}"#));
    json(
        200,
        &format!(
            r#"{{"access_token":"a1","refresh_token":"r1","expires_in":3600,"id_token":"e30.{claims}.sig"}}"#
        ),
    )
}

async fn finished(bench: &Bench, proof: Proof) -> Result<Authorized, AuthorizeError> {
    let state = bench.tokens.begin(&id(), &redirect(), WAITED_FOR).await.unwrap().state;
    bench.tokens.finish(callback(&state, "c1"), Arc::new(Says(proof))).await
}

#[tokio::test]
async fn tokens_that_do_not_log_in_never_take_the_place_of_those_that_do() {
    for proof in [Proof::Refused("535 5.7.3 no".into()), Proof::Untried("no connection".into())] {
        let bench = Bench::new(Some(stale("r0", None)), [grants("a0", None), grants("a1", Some("r1"))]).await;
        assert_eq!(bench.got().await, "a0");
        let error = finished(&bench, proof).await.unwrap_err();
        assert!(matches!(error, AuthorizeError::Unproved(_)), "{error}");
        assert_eq!(bench.got().await, "a0");
        assert_eq!(bench.journal().last().unwrap(), "asked");
    }
}

#[tokio::test]
async fn where_there_was_nothing_before_the_tokens_are_kept_and_the_trouble_told() {
    let bench = Bench::new(None, [grants("a1", Some("r1"))]).await;
    let done = finished(&bench, Proof::Refused("535 5.7.139 disabled".into())).await.unwrap();
    assert!(done.remark.unwrap().contains("535 5.7.139 disabled"));
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn another_mailbox_than_the_accounts_is_found_out() {
    let bench = Bench::new(None, [grants_to("boss@example.com"), grants_to("boss@example.com")]).await;
    let refused = || Proof::Refused("535 5.7.3 no".into());
    let error = finished(&bench, refused()).await.unwrap_err().to_string();
    assert!(
        error.contains("boss@example.com") && error.contains("sign in as support@example.com"),
        "{error}"
    );
    assert!(bench.store.list().await.unwrap().is_empty());
    // A delegate of a shared mailbox is another one too, and the mail server lets them.
    let done = finished(&bench, Proof::Works).await.unwrap();
    assert!(done.remark.unwrap().contains("boss@example.com"));
    assert_eq!(bench.got().await, "a1");
}

#[tokio::test]
async fn the_end_of_a_refresh_token_is_kept_where_the_provider_tells_it() {
    let week =
        r#"{"access_token":"a1","refresh_token":"r1","expires_in":3600,"refresh_token_expires_in":604799}"#;
    let rotated = r#"{"access_token":"a2","refresh_token":"r2","expires_in":3600}"#;
    let bench = Bench::new(None, [json(200, week), json(200, rotated)]).await;
    let start = SystemTime::now();
    finished(&bench, Proof::Works).await.unwrap();
    let consent = async || bench.store.load(&id()).await.unwrap().tokens.unwrap().consent.unwrap();
    let left = consent().await.ends_at.unwrap().duration_since(start).unwrap();
    assert!(left >= Duration::from_secs(604_799) && left < Duration::from_secs(604_860));
    bench.tokens.refresh_now(&id()).await.unwrap();
    // The new one has a life of its own, of which nothing is known.
    assert_eq!(consent().await.refresh_token.expose_secret(), "r2");
    assert!(consent().await.ends_at.is_none() && consent().await.rotated_at > consent().await.authorized_at);
}

/// A store that several nodes share, which hear nothing of each other.
struct Shared {
    beneath: Arc<Memory>,
    consents: Arc<dyn ConsentStore>,
    news: broadcast::Sender<News>,
}

impl TokenStore for Shared {
    fn load<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Kept> {
        self.beneath.load(account)
    }

    fn save<'a>(
        &'a self,
        account: &'a AccountId,
        tokens: &'a TokenSet,
        over: Over,
    ) -> StoreFuture<'a, Saved> {
        self.beneath.save(account, tokens, over)
    }

    fn forget<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Version> {
        self.beneath.forget(account)
    }

    fn list(&self) -> StoreFuture<'_, Vec<AccountId>> {
        self.beneath.list()
    }

    fn consents(&self) -> Arc<dyn ConsentStore> {
        self.consents.clone()
    }

    fn changes(&self) -> Option<broadcast::Receiver<News>> {
        Some(self.news.subscribe())
    }
}

#[tokio::test]
async fn whoever_waits_where_a_consent_was_begun_learns_what_came_of_it_at_another_node() {
    let script =
        [grants("a1", Some("r1")), grants("a2", Some("r2")), json(503, "<html>"), grants("a3", None)];
    let bench = Bench::new(None, script).await;
    let store = Arc::new(Shared {
        beneath: bench.store.clone(),
        consents: consents_here(),
        news: broadcast::channel(1).0,
    });
    let node = async || Tokens::new(store.clone(), &[account(&bench.provider, None)]).await;
    let (one, two) = (node().await, node().await);
    let begin = async || one.begin(&id(), &redirect(), WAITED_FOR).await.unwrap().state;
    let wait = |state: &str| tokio::spawn(one.finished_elsewhere(&id(), state));

    // Of two that are waited for, each ends with its own.
    let (state, other) = (begin().await, begin().await);
    let (first, second) = (wait(&state), wait(&other));
    two.finish(callback(&state, "c1"), willing()).await.unwrap();
    first.await.unwrap().unwrap();
    // Until the other one has looked, too.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(4)).await;
    tokio::time::resume();
    assert!(!second.is_finished());
    assert_eq!(one.access_token(&id()).await.unwrap().secret.expose_secret(), "a1");
    two.finish(callback(&other, "c2"), willing()).await.unwrap();
    second.await.unwrap().unwrap();

    // One that came to nothing there, and a refresh there meanwhile.
    let state = begin().await;
    let lost = wait(&state);
    two.finish(callback(&state, "c3"), willing()).await.unwrap_err();
    two.refresh_now(&id()).await.unwrap();
    tokio::time::pause();
    let since = Instant::now();
    let error = lost.await.unwrap().unwrap_err();
    assert!(matches!(error, AuthorizeError::LostElsewhere), "{error}");
    assert!((100..140).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());

    // A host that is alone waits for nobody else.
    let alone = bench.tokens.finished_elsewhere(&id(), "state");
    assert!(timeout(Duration::from_secs(3600), alone).await.is_err());
}
