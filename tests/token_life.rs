//! Thirty days in the life of twenty grants, on a clock that stands still but for our own waits: refresh tokens that rotate
//! on every use, with and without grace, and others that never do, an authorization server that is away, busy, or a
//! captive portal now and then, access tokens revoked ahead of their end, and two real `kill -9`s.
//!
//! A child process (this binary again) holds the daemon's own parts, `Tokens`, refresher and store, and the server beside
//! them, since a clock that stands still knows nothing of other processes. The server's memory is a file that is written
//! before each answer, so it outlives the kill as a server would.
//!
//! The kills come at the worst moments: one when the server has rotated a token and has not answered yet, one when a
//! rotated token is on disk and nobody has used it. What a server without any grace rotates in the very moment of a kill
//! is lost to every client (`tests/crash_tokens.rs`), so the first comes at an account with grace, as Microsoft's and
//! others' have, while no grant without it is between the server and the disk.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what is wrong by panicking"
)]

mod oauth_script;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use oauth_script::account;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use waxseal::{
    account::{Account, AccountId, Client, ClientProof, Grant, Login, token::TokenSet},
    oauth::{TokenSource, Tokens, refresher},
    store::{Kept, Over, Saved, StoreFuture, TokenStore, Version},
};

const ACCOUNTS: usize = 20;
const DAYS: u64 = 30;
const DAY: u64 = 86_400;
/// The instant at which it all begins, in seconds since the epoch.
const START: u64 = 1_800_000_000;
/// Access tokens that the server remembers of an account; to present an older one is a mistake.
const REMEMBERED: usize = 4;
/// Says to this binary that it is the child, and where its files are.
const CHILD: &str = "WAXSEAL_TOKEN_LIFE";

/// What the server makes of a refresh.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grants {
    /// A new refresh token each time; the one before ends at once.
    Rotating,
    /// A new one each time; the one before goes on working until the new one has been used.
    RotatingWithGrace,
    /// The same refresh token for good.
    Constant,
    /// Nobody's: the client has tokens in its own name.
    Unattended,
}

/// What an account is like.
#[derive(Clone, Copy)]
struct Kind {
    /// Life of its access tokens, in seconds.
    life: u64,
    grants: Grants,
    /// Nobody sends through it.
    idle: bool,
}

fn kind(account: usize) -> Kind {
    let life = match account {
        0 => 600,
        1..=10 => 3600,
        11..=14 => 5400,
        15..=17 => 8 * 3600,
        _ => DAY,
    };
    let grants = match account {
        9 | 17 => Grants::Unattended,
        1 | 5 | 10 | 13 | 18 => Grants::RotatingWithGrace,
        2 | 7 | 12 | 16 => Grants::Constant,
        _ => Grants::Rotating,
    };
    Kind { life, grants, idle: matches!(account, 4 | 13 | 16 | 19) }
}

/// What the authorization server remembers.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Server {
    /// Seconds since the epoch when it last answered.
    now: u64,
    /// Refresh tokens by number; a token is `ACCOUNT-NUMBER`.
    newest: BTreeMap<usize, u64>,
    /// The lowest number that still works.
    oldest: BTreeMap<usize, u64>,
    /// The latest access tokens, which are numbered, too, with their ends.
    access: BTreeMap<usize, VecDeque<(u64, u64)>>,
    requests: BTreeMap<usize, u64>,
    troubles: BTreeMap<String, u64>,
    presented: u64,
    kills: u64,
    most_in_flight: usize,
    wrongs: Vec<String>,
}

struct World {
    server: Mutex<Server>,
    /// Requests under way, by account.
    in_flight: Mutex<HashMap<usize, usize>>,
    /// Accounts with a rotated token that is not on disk yet.
    unsaved: Mutex<HashSet<usize>>,
    /// Access tokens that were revoked, and that this process has been told of.
    refused: Mutex<HashSet<(usize, u64)>>,
    file: PathBuf,
    begun: Instant,
    /// The server's time at `begun`.
    from: u64,
    random: Mutex<fastrand::Rng>,
}

impl World {
    fn now(&self) -> u64 {
        self.from + self.begun.elapsed().as_secs()
    }

    fn chance(&self, percent: f64) -> bool {
        self.random.lock().unwrap().f64() * 100.0 < percent
    }

    fn below(&self, most: u64) -> u64 {
        self.random.lock().unwrap().u64(..most)
    }

    /// What happened is remembered before anybody hears of it.
    fn remember(&self, server: &Server) {
        let next = self.file.with_extension("next");
        fs::write(&next, serde_json::to_vec(server).unwrap()).unwrap();
        fs::rename(next, &self.file).unwrap();
    }

    fn trouble(&self, what: &str) {
        *self.server.lock().unwrap().troubles.entry(what.to_owned()).or_default() += 1;
    }

    fn wrong(&self, what: String) {
        self.server.lock().unwrap().wrongs.push(what);
    }

    /// Dies here and now, where it is time to and nobody without grace loses by it.
    fn die_on(&self, kill: u64, day: u64, account: usize) {
        let due = {
            let server = self.server.lock().unwrap();
            let grace = kind(account).grants == Grants::RotatingWithGrace;
            server.kills == kill && self.now() > START + day * DAY && grace
        };
        let strict = |account: &usize| kind(*account).grants == Grants::Rotating;
        let precarious = self.unsaved.lock().unwrap().iter().any(strict);
        if due && !precarious {
            let mut server = self.server.lock().unwrap();
            server.kills += 1;
            server.now = self.now();
            self.remember(&server);
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            loop {
                std::thread::park();
            }
        }
    }
}

fn answer(status: u16, body: impl Into<String>) -> Response {
    (StatusCode::from_u16(status).unwrap(), body.into()).into_response()
}

async fn token(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let account: usize = form["client_id"].parse().unwrap();
    {
        let mut in_flight = world.in_flight.lock().unwrap();
        let count = in_flight.entry(account).or_default();
        *count += 1;
        let mut server = world.server.lock().unwrap();
        server.most_in_flight = server.most_in_flight.max(*count);
        *server.requests.entry(account).or_default() += 1;
    }
    let _ended = Ended { world: &world, account };
    sleep(Duration::from_millis(50 + world.below(2_000))).await;
    decide(&world, account, &form).await
}

/// A request ends with its answer, or with the client that no longer waits for one.
struct Ended<'a> {
    world: &'a World,
    account: usize,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        *self.world.in_flight.lock().unwrap().get_mut(&self.account).unwrap() -= 1;
    }
}

async fn decide(world: &World, account: usize, form: &HashMap<String, String>) -> Response {
    if world.chance(4.0) {
        world.trouble("500");
        return answer(500, "<h1>out of order</h1>");
    }
    if world.chance(1.0) {
        world.trouble("429");
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "90")], "").into_response();
    }
    if world.chance(1.0) {
        world.trouble("portal");
        return answer(200, "<html>log in to the wireless network</html>");
    }
    if world.chance(0.5) {
        world.trouble("silence");
        sleep(Duration::from_secs(3600)).await;
        return answer(504, "");
    }
    let Kind { life, grants, .. } = kind(account);
    let mut granted = serde_json::json!({ "token_type": "Bearer", "expires_in": life });
    {
        let mut server = world.server.lock().unwrap();
        if grants != Grants::Unattended {
            let number: u64 = form["refresh_token"].split_once('-').unwrap().1.parse().unwrap();
            let newest = server.newest.get(&account).copied().unwrap_or_default();
            let oldest = server.oldest.get(&account).copied().unwrap_or_default();
            if number < oldest || number > newest {
                server
                    .wrongs
                    .push(format!("account {account} came with {number}, good are {oldest} to {newest}"));
                return answer(400, r#"{"error":"invalid_grant"}"#);
            }
            if grants != Grants::Constant {
                server.newest.insert(account, newest + 1);
                // With grace the one before ends when the new one is used.
                let grace = grants == Grants::RotatingWithGrace;
                server.oldest.insert(account, if grace { number } else { newest + 1 });
                granted["refresh_token"] = format!("{account}-{}", newest + 1).into();
                world.unsaved.lock().unwrap().insert(account);
            }
        }
        let ends = world.now() + life;
        let tokens = server.access.entry(account).or_default();
        let number = tokens.back().map_or(0, |(number, _)| number + 1);
        tokens.push_back((number, ends));
        if tokens.len() > REMEMBERED {
            tokens.pop_front();
        }
        granted["access_token"] = format!("{account}-{number}").into();
        server.now = world.now();
        world.remember(&server);
    }
    world.die_on(0, 9, account);
    answer(200, granted.to_string())
}

/// The store of the daemon, which tells when a token is safe.
struct Watched {
    store: Arc<dyn TokenStore>,
    world: Arc<World>,
}

impl TokenStore for Watched {
    fn load<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Kept> {
        self.store.load(account)
    }

    fn save<'a>(
        &'a self,
        account: &'a AccountId,
        tokens: &'a TokenSet,
        over: Over,
    ) -> StoreFuture<'a, Saved> {
        Box::pin(async move {
            let saved = self.store.save(account, tokens, over).await?;
            self.world.unsaved.lock().unwrap().remove(&account.as_str().parse().unwrap());
            Ok(saved)
        })
    }

    fn forget<'a>(&'a self, account: &'a AccountId) -> StoreFuture<'a, Version> {
        self.store.forget(account)
    }

    fn list(&self) -> StoreFuture<'_, Vec<AccountId>> {
        self.store.list()
    }
}

/// Somebody who sends through an account now and then, and the mail server that looks at the token.
async fn send(world: Arc<World>, tokens: Tokens, account: usize) {
    let id = AccountId::new(&account.to_string());
    loop {
        sleep(Duration::from_secs(60 + world.below(4 * 3600))).await;
        let Ok(token) = tokens.access_token(&id).await else { continue };
        world.die_on(1, 21, account);
        let number: u64 = token.secret.expose_secret().split_once('-').unwrap().1.parse().unwrap();
        let known =
            world.server.lock().unwrap().access[&account].iter().find(|known| known.0 == number).copied();
        if known.is_none_or(|(_, ends)| ends <= world.now()) {
            world.wrong(format!(
                "account {account} presented {number}, known as {known:?} at {}",
                world.now()
            ));
        }
        if world.refused.lock().unwrap().contains(&(account, number)) {
            world.wrong(format!("account {account} presented {number} again, which had been refused"));
        }
        world.server.lock().unwrap().presented += 1;
        // An administrator ends sessions now and then. The client cannot know before the mail server says so.
        if world.chance(2.0) {
            world.trouble("revoked");
            world.refused.lock().unwrap().insert((account, number));
            tokens.refused(&id, &token);
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn live(directory: &Path) {
    let file = directory.join("server.json");
    let server: Server =
        fs::read(&file).ok().map(|octets| serde_json::from_slice(&octets).unwrap()).unwrap_or_default();
    // A start takes a while.
    let from = server.now.max(START) + 5;
    let world = Arc::new(World {
        random: Mutex::new(fastrand::Rng::with_seed(7 + server.kills)),
        server: Mutex::new(server),
        in_flight: Mutex::default(),
        unsaved: Mutex::default(),
        refused: Mutex::default(),
        file,
        begun: Instant::now(),
        from,
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = oauth_script::Provider::at(listener.local_addr().unwrap());
    let app = Router::new().fallback(token).with_state(world.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let clock = world.clone();
    let clock =
        Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.from) + clock.begun.elapsed());
    let accounts: Vec<Account> = (0..ACCOUNTS).map(|number| of(&provider, number)).collect();
    let store = waxseal::store::open_with(directory, None).unwrap();
    let store = Arc::new(Watched { store, world: world.clone() });
    let tokens = Tokens::with_clock(store, &accounts, clock).await;
    let stop = CancellationToken::new();
    let refreshing = tokio::spawn(refresher::run(tokens.clone(), stop.clone()));
    for account in (0..ACCOUNTS).filter(|account| !kind(*account).idle) {
        tokio::spawn(send(world.clone(), tokens.clone(), account));
    }
    let left = (START + DAYS * DAY).saturating_sub(world.now());
    sleep(Duration::from_secs(left)).await;
    stop.cancel();
    refreshing.await.unwrap();
    for account in &accounts {
        // No grant is lost: each still gives a token.
        let mut last = None;
        for _ in 0..20 {
            match tokens.refresh_now(&account.id).await {
                Ok(_) => break,
                Err(error) => last = Some(error),
            }
            sleep(Duration::from_secs(60)).await;
        }
        if !matches!(tokens.state(&account.id), waxseal::account::token::TokenState::Valid { .. }) {
            world.wrong(format!("account {} has no token at the end: {last:?}", account.id));
        }
    }
    let server = world.server.lock().unwrap();
    world.remember(&server);
}

fn of(provider: &oauth_script::Provider, number: usize) -> Account {
    let first = format!("{number}-0");
    let mut account = account(provider, Some(&first));
    account.id = AccountId::new(&number.to_string());
    if let Login::OAuth(login) = &mut account.login {
        let client = Client { id: number.to_string(), proof: ClientProof::Nothing };
        login.grant = match (&login.grant, kind(number).grants) {
            (_, Grants::Unattended) => Grant::ClientCredentials(client),
            (Grant::SignIn(_, sign_in), _) => Grant::SignIn(client, sign_in.clone()),
            (grant, _) => grant.clone(),
        };
    }
    account
}

#[test]
fn thirty_days_and_two_kills_present_no_dead_token_and_lose_no_grant() {
    if let Some(directory) = std::env::var_os(CHILD) {
        live(Path::new(&directory));
        return;
    }
    // `kill -9` leaves files in memory as they are, like the page cache; on a disk the syncs alone would take minutes.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let begun = std::time::Instant::now();
    let mut kills = 0;
    loop {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["thirty_days_and_two_kills", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        match status.signal() {
            Some(9) => kills += 1,
            _ => {
                assert!(status.success(), "{status}");
                break;
            }
        }
    }
    let server: Server =
        serde_json::from_slice(&fs::read(directory.path().join("server.json")).unwrap()).unwrap();
    let requests: u64 = server.requests.values().sum();
    println!(
        "{DAYS} days, {ACCOUNTS} accounts, {kills} kill -9, {:.1} s: {requests} token requests, {} tokens presented, troubles {:?}",
        begun.elapsed().as_secs_f64(),
        server.presented,
        server.troubles
    );
    for (account, requests) in &server.requests {
        let Kind { life, grants, idle } = kind(*account);
        let grants = match grants {
            Grants::Rotating => "rotating",
            Grants::RotatingWithGrace => "rotating with grace",
            Grants::Constant => "constant",
            Grants::Unattended => "in its own name",
        };
        println!(
            "account {account:2}: {:6.2} requests a day (tokens of {:4} min, {grants}{})",
            *requests as f64 / DAYS as f64,
            life / 60,
            if idle { ", idle" } else { "" },
        );
    }
    assert!(server.wrongs.is_empty(), "{:#?}", server.wrongs);
    assert_eq!((kills, server.kills), (2, 2));
    assert_eq!(server.most_in_flight, 1, "requests of one account at once");
    assert_eq!(server.requests.len(), ACCOUNTS);
    assert!(server.troubles.len() == 5 && server.presented > 1_000, "{server:?}");
    // An hour's token costs some thirty requests a day, and trouble a few more: nobody hammers the server.
    assert!(
        server
            .requests
            .iter()
            .all(|(account, requests)| { *requests <= DAYS * (DAY * 3 / kind(*account).life + 8) })
    );
}
