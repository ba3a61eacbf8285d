//! The token store, once on this host's disk and once in PostgreSQL: the same promises, the same tests. What needs a
//! server is ignored unless asked for: `cargo test --test shared_store -- --ignored`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use secrecy::ExposeSecret as _;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use support::postgres::{Postgres, give_key, node, settings};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use waxseal::{
    account::{
        AccountId,
        token::{Consent, TokenSet},
    },
    database::{Database, DatabaseError, News, migrate},
    store::{
        self, BegunConsent, Browser, ConsentStore, Finisher, Kept, Lease, Over, Saved, StoreError, Taken,
        TokenStore, Version,
    },
};

fn tokens(refresh: &str) -> TokenSet {
    // The store keeps whole milliseconds at least.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    TokenSet {
        consent: Some(Consent {
            refresh_token: refresh.into(),
            previous_refresh_token: Some("canary-before".into()),
            authorized_at: now,
            rotated_at: now,
            ends_at: None,
        }),
        access_token: Some(("canary-access".into(), now)),
        in_its_own_name: false,
        refreshed_at: now,
    }
}

fn refresh_token(kept: &Kept) -> Option<&str> {
    Some(kept.tokens.as_ref()?.consent.as_ref()?.refresh_token.expose_secret())
}

fn version(saved: Saved) -> Version {
    match saved {
        Saved::Kept(version) => version,
        Saved::Overtaken => panic!("overtaken"),
    }
}

/// What every store promises, whoever else uses it meanwhile.
async fn keeps_its_promises(store: &dyn TokenStore) {
    let (a, b) = (AccountId::new("a"), AccountId::new("b"));
    let nothing = store.load(&a).await.unwrap();
    assert_eq!((refresh_token(&nothing), nothing.version), (None, Version::default()));
    assert!(store.list().await.unwrap().is_empty());

    // The first tokens of an account are put in the place of none.
    let first =
        version(store.save(&a, &tokens("canary-1"), Over::Version(Version::default())).await.unwrap());
    assert_ne!(first, Version::default());
    let kept = store.load(&a).await.unwrap();
    assert_eq!((refresh_token(&kept), kept.version), (Some("canary-1"), first));
    let consent = kept.tokens.unwrap().consent.unwrap();
    assert_eq!(consent.previous_refresh_token.unwrap().expose_secret(), "canary-before");
    assert_eq!(consent.authorized_at, tokens("").refreshed_at);

    // Whoever knows another version than the one there changes nothing.
    let late = store.save(&a, &tokens("canary-late"), Over::Version(Version::default())).await.unwrap();
    assert_eq!(late, Saved::Overtaken);
    assert_eq!(refresh_token(&store.load(&a).await.unwrap()), Some("canary-1"));
    let second = version(store.save(&a, &tokens("canary-2"), Over::Version(first)).await.unwrap());
    assert_ne!(second, first);
    assert_eq!(store.save(&a, &tokens("canary-3"), Over::Version(first)).await.unwrap(), Saved::Overtaken);

    // A person's consent goes over everything.
    let third = version(store.save(&a, &tokens("canary-4"), Over::Whatever).await.unwrap());
    store.save(&b, &tokens("canary-b"), Over::Whatever).await.unwrap();
    assert_eq!(store.list().await.unwrap(), [a.clone(), b.clone()]);
    assert_eq!(refresh_token(&store.load(&b).await.unwrap()), Some("canary-b"));

    // What is forgotten is not brought back by whoever still had it.
    let forgotten = store.forget(&a).await.unwrap();
    assert!(store.load(&a).await.unwrap().tokens.is_none());
    assert_eq!(store.save(&a, &tokens("canary-5"), Over::Version(third)).await.unwrap(), Saved::Overtaken);
    assert_eq!(store.list().await.unwrap(), std::slice::from_ref(&b));
    version(store.save(&a, &tokens("canary-6"), Over::Version(forgotten)).await.unwrap());
    store.forget(&AccountId::new("never")).await.unwrap();

    // Of many at once one wins.
    let known = store.load(&b).await.unwrap().version;
    let mut kept = 0;
    for name in ["canary-x", "canary-y", "canary-z"] {
        kept += usize::from(
            store.save(&b, &tokens(name), Over::Version(known)).await.unwrap() != Saved::Overtaken,
        );
    }
    assert_eq!((kept, refresh_token(&store.load(&b).await.unwrap())), (1, Some("canary-x")));
    assert!(matches!(store.lease(&b).await.unwrap(), Lease::Ours { .. }));
}

/// A consent with this word for a verifier.
fn begun(verifier: &str) -> BegunConsent {
    let redirect = "http://localhost:8025/oauth/callback".parse().unwrap();
    BegunConsent { account: AccountId::new("a"), verifier: verifier.into(), redirect }
}

const LONG: Duration = Duration::from_secs(60);

/// The verifier of a consent that was taken.
fn verifier(taken: Taken) -> Option<String> {
    match taken {
        Taken::Begun(begun) => {
            assert_eq!((begun.account.as_str(), begun.redirect.path()), ("a", "/oauth/callback"));
            Some(begun.verifier.expose_secret().to_owned())
        }
        Taken::AnotherBrowsers | Taken::Unknown => None,
    }
}

/// What every store promises of consents, wherever they were begun (`one`) and are finished (`two`).
async fn finishes_consents_once(one: &dyn ConsentStore, two: &dyn ConsentStore) {
    let unknown =
        async |state: &str| matches!(two.take(state, Finisher::Operator).await.unwrap(), Taken::Unknown);
    assert!(unknown("never").await && !two.is_open("never").await.unwrap());

    // Taken once, and each for itself.
    one.begin("s1", begun("canary-1"), None, LONG).await.unwrap();
    one.begin("s2", begun("canary-2"), None, LONG).await.unwrap();
    assert!(one.is_open("s1").await.unwrap() && two.is_open("s1").await.unwrap());
    let stranger = Finisher::Browser(None);
    assert_eq!(verifier(two.take("s1", stranger).await.unwrap()).as_deref(), Some("canary-1"));
    assert!(!one.is_open("s1").await.unwrap());
    assert!(matches!(one.take("s1", stranger).await.unwrap(), Taken::Unknown) && unknown("s1").await);
    let both = tokio::join!(one.take("s2", Finisher::Operator), two.take("s2", stranger));
    let taken = [both.0, both.1].into_iter().filter_map(|taken| verifier(taken.unwrap())).count();
    assert_eq!(taken, 1);

    // Whoever began it abandons it.
    one.begin("s3", begun("canary-3"), None, LONG).await.unwrap();
    one.take("s3", Finisher::Operator).await.unwrap();
    assert!(unknown("s3").await);

    // A browser's own is for that browser, and stays when another one comes.
    let own = Browser::with("cookie");
    one.begin("s4", begun("canary-4"), Some(own), LONG).await.unwrap();
    for other in [None, Some(Browser::with("another"))] {
        let refused = two.take("s4", Finisher::Browser(other)).await.unwrap();
        assert!(matches!(refused, Taken::AnotherBrowsers));
    }
    let taken = two.take("s4", Finisher::Browser(Some(own))).await.unwrap();
    assert_eq!(verifier(taken).as_deref(), Some("canary-4"));
    one.begin("s5", begun("canary-5"), Some(own), LONG).await.unwrap();
    assert_eq!(verifier(two.take("s5", Finisher::Operator).await.unwrap()).as_deref(), Some("canary-5"));

    // Too late is unknown.
    one.begin("s6", begun("canary-6"), Some(own), Duration::from_millis(300)).await.unwrap();
    assert!(two.is_open("s6").await.unwrap());
    sleep(Duration::from_millis(400)).await;
    assert!(!two.is_open("s6").await.unwrap() && unknown("s6").await);
    assert!(matches!(two.take("s6", stranger).await.unwrap(), Taken::Unknown));
}

#[tokio::test]
async fn the_disks_store_keeps_its_promises() {
    let directory = tempfile::tempdir().unwrap();
    let store = store::open_with(directory.path(), None).unwrap();
    keeps_its_promises(&*store).await;
    let consents = store.consents();
    finishes_consents_once(&*consents, &*consents).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_consent_is_begun_at_one_node_and_finished_at_any_once() {
    let mut postgres = Postgres::start();
    let (url, state) = (postgres.database().await, tempfile::tempdir().unwrap());
    let (one, two) = (open(&url, "one", state.path()), open(&url, "two", state.path()));
    let (one, two) = (one.consents(), two.consents());
    finishes_consents_once(&*one, &*two).await;

    // A row names no state, and says nothing of what it is worth.
    let look = node(&url, "look");
    one.begin("canary-state", begun("canary-7"), Some(Browser::with("canary-cookie")), LONG).await.unwrap();
    let dumped: Vec<u8> = sqlx::query_scalar(
        "SELECT convert_to(string_agg(to_jsonb(c)::text, ''), 'UTF8') || string_agg(state || sealed || browser, '')
         FROM waxseal.consent c",
    )
    .fetch_one(look.pool())
    .await
    .unwrap();
    assert!(dumped.len() > 500 && !dumped.windows(6).any(|w| w == b"canary"));
    assert!(!dumped.windows(9).any(|w| w == b"localhost"));

    // Nothing moves from one row to another, nor from one table to the other.
    one.begin("s8", begun("canary-8"), None, LONG).await.unwrap();
    let move_it =
        "UPDATE waxseal.consent SET sealed = (SELECT sealed FROM waxseal.consent WHERE browser IS NOT NULL)
                   WHERE browser IS NULL";
    sqlx::query(move_it).execute(look.pool()).await.unwrap();
    let error = two.take("s8", Finisher::Operator).await.err().unwrap();
    assert!(error.to_string().contains("damaged"), "{error}");
    let tokens_there = open(&url, "one", state.path());
    let move_it =
        "INSERT INTO waxseal.token (account, sealed, version) SELECT 'a', sealed, 7 FROM waxseal.consent";
    sqlx::query(move_it).execute(look.pool()).await.unwrap();
    let error = tokens_there.load(&AccountId::new("a")).await.err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");

    // What is too old goes when another one comes, and so do the oldest where there are too many.
    let count = async || {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM waxseal.consent");
        count.fetch_one(look.pool()).await.unwrap()
    };
    one.begin("s9", begun("canary-9"), None, Duration::from_millis(1)).await.unwrap();
    one.begin("s10", begun("canary-10"), None, LONG).await.unwrap();
    assert_eq!(count().await, 2);
    let many = "INSERT INTO waxseal.consent SELECT sha256(i::text::bytea), 'x', NULL,
                       clock_timestamp() - make_interval(secs => 5000 - i), clock_timestamp() + interval '1 minute'
                FROM generate_series(1, 1500) AS i";
    sqlx::query(many).execute(look.pool()).await.unwrap();
    let at_once: Vec<_> = (0..8)
        .map(|number| {
            let consents = [&one, &two][number % 2].clone();
            tokio::spawn(async move {
                consents.begin(&format!("last-{number}"), begun("canary"), None, LONG).await.unwrap();
            })
        })
        .collect();
    for begun in at_once {
        begun.await.unwrap();
    }
    // Those that came at once may not have seen each other.
    assert!((1000..1008).contains(&count().await), "{}", count().await);
    assert!(two.is_open("s10").await.unwrap() && two.is_open("last-3").await.unwrap());
    assert!(!two.is_open("1").await.unwrap() && two.is_open("1500").await.unwrap());

    // Without a database nobody begins nor finishes, and what was begun is there afterwards.
    postgres.stop();
    for away in [
        one.begin("s11", begun("canary-11"), None, LONG).await.err(),
        two.take("s10", Finisher::Operator).await.err(),
        two.is_open("s10").await.err(),
    ] {
        assert!(away.is_some_and(|error| error.is_away()));
    }
    postgres.run();
    assert_eq!(verifier(two.take("s10", Finisher::Operator).await.unwrap()).as_deref(), Some("canary-10"));
}

/// A node's store.
fn open(url: &str, name: &str, state: &Path) -> Arc<dyn TokenStore> {
    give_key(state);
    store::open_shared_with(node(url, name), state, None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn the_nodes_store_keeps_its_promises_and_each_node_sees_the_others() {
    let postgres = Postgres::start();
    let (url, state) = (postgres.database().await, tempfile::tempdir().unwrap());
    let (one, two) = (open(&url, "one", state.path()), open(&url, "two", state.path()));
    keeps_its_promises(&*one).await;
    let a = AccountId::new("a");
    let there = two.load(&a).await.unwrap();
    assert_eq!(refresh_token(&there), Some("canary-6"));
    version(two.save(&a, &tokens("canary-two"), Over::Version(there.version)).await.unwrap());
    let late = one.save(&a, &tokens("canary-one"), Over::Version(there.version)).await.unwrap();
    assert_eq!(late, Saved::Overtaken);
    assert_eq!(refresh_token(&one.load(&a).await.unwrap()), Some("canary-two"));

    // No table holds a token in clear.
    let dumped: Vec<u8> = sqlx::query_scalar("SELECT string_agg(sealed, '') FROM waxseal.token")
        .fetch_one(node(&url, "look").pool())
        .await
        .unwrap();
    assert!(dumped.len() > 200 && !dumped.windows(6).any(|w| w == b"canary"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn one_node_has_the_lease_until_it_gives_it_back_saves_or_dies() {
    let postgres = Postgres::start();
    let (url, state) = (postgres.database().await, tempfile::tempdir().unwrap());
    let (one, two) = (open(&url, "one", state.path()), open(&url, "two", state.path()));
    let a = AccountId::new("a");
    let Lease::Ours { held, there } = one.lease(&a).await.unwrap() else { panic!() };
    assert_eq!(there.unwrap().version, Version::default());
    assert!(matches!(two.lease(&a).await.unwrap(), Lease::Anothers));
    assert!(matches!(two.lease(&AccountId::new("b")).await.unwrap(), Lease::Ours { .. }));
    // Kept up for longer than it lasts.
    sleep(Duration::from_secs(17)).await;
    assert!(matches!(two.lease(&a).await.unwrap(), Lease::Anothers));
    version(one.save(&a, &tokens("canary-1"), Over::Version(Version::default())).await.unwrap());
    // Saved, it is over, and whoever comes next sees what was saved.
    let Lease::Ours { held: next, there } = two.lease(&a).await.unwrap() else { panic!() };
    assert_eq!(refresh_token(&there.unwrap()), Some("canary-1"));
    // The first one's end does not end the second one's.
    drop(held);
    sleep(Duration::from_millis(300)).await;
    assert!(matches!(one.lease(&a).await.unwrap(), Lease::Anothers));
    drop(next);
    let freed = timeout(Duration::from_secs(5), async {
        while !matches!(one.lease(&a).await.unwrap(), Lease::Ours { .. }) {
            sleep(Duration::from_millis(20)).await;
        }
    });
    freed.await.unwrap();
    // A node that dies says nothing; its lease runs out by the database's clock.
    let Lease::Ours { held, .. } = one.lease(&AccountId::new("c")).await.unwrap() else { panic!() };
    std::mem::forget(held);
    let dead = "UPDATE waxseal.token SET holder = 1 WHERE account = 'c'";
    sqlx::query(dead).execute(node(&url, "look").pool()).await.unwrap();
    assert!(matches!(two.lease(&AccountId::new("c")).await.unwrap(), Lease::Anothers));
    sleep(Duration::from_secs(16)).await;
    assert!(matches!(two.lease(&AccountId::new("c")).await.unwrap(), Lease::Ours { .. }));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn another_key_than_the_nodes_is_refused_and_none_is_made() {
    let postgres = Postgres::start();
    let (url, state, other) =
        (postgres.database().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = open(&url, "one", state.path());
    one.save(&AccountId::new("a"), &tokens("canary"), Over::Whatever).await.unwrap();
    let missing = store::open_shared_with(node(&url, "two"), other.path(), None).err().unwrap();
    assert!(matches!(missing, StoreError::NodesKeyMissing { .. }), "{missing}");
    assert!(!other.path().join("store.key").exists());
    give_key(other.path());
    std::fs::write(other.path().join("store.key"), [8; 32]).unwrap();
    let two = store::open_shared_with(node(&url, "two"), other.path(), None).unwrap();
    for refused in [
        two.load(&AccountId::new("a")).await.map(drop),
        two.save(&AccountId::new("b"), &tokens("canary"), Over::Whatever).await.map(drop),
        two.lease(&AccountId::new("c")).await.map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::NotTheNodesKey { .. })), "{refused:?}");
    }
    assert_eq!(one.list().await.unwrap(), [AccountId::new("a")]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn the_tables_are_made_once_by_whoever_is_first_and_programs_say_what_they_miss() {
    let postgres = Postgres::start();
    let url = postgres.url("postgres", &postgres.empty_database().await);
    let missing = node(&url, "early").nodes().await.unwrap_err();
    assert_eq!(missing, DatabaseError::NoSchema);
    let at_once = (0..4).map(|number| {
        let settings = settings(&url, &number.to_string());
        tokio::spawn(async move { migrate(&settings).await.unwrap() })
    });
    let mut made = 0;
    for done in at_once.collect::<Vec<_>>() {
        let (_, after) = done.await.unwrap();
        assert_eq!(after.version, after.readable_from.max(after.version));
        made += 1;
    }
    assert_eq!(made, 4);
    let steps: i64 = sqlx::query_scalar("SELECT count(*) FROM waxseal.migration")
        .fetch_one(node(&url, "look").pool())
        .await
        .unwrap();
    let (before, after) = migrate(&settings(&url, "again")).await.unwrap();
    assert_eq!((before.as_ref(), i64::from(after.version)), (Some(&after), steps));

    // A later program's tables, which this one still understands, and then ones that it does not.
    let known = after.version;
    let set = |readable: i32| {
        let text = format!("UPDATE waxseal.schema SET version = {}, readable_from = {readable}", known + 1);
        let url = url.clone();
        async move {
            sqlx::query(sqlx::AssertSqlSafe(text)).execute(node(&url, "later").pool()).await.unwrap();
        }
    };
    set(known).await;
    node(&url, "one").nodes().await.unwrap();
    set(known + 1).await;
    let error = node(&url, "two").nodes().await.unwrap_err();
    assert!(error.to_string().contains("install a newer waxseal"), "{error}");
}

/// Least privilege: the role of the nodes can do all that a node does, and neither make nor drop a table.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn the_role_script_lets_nodes_work_and_nothing_else() {
    let postgres = Postgres::start();
    let database = postgres.empty_database().await;
    let script = std::fs::read_to_string("config/postgresql/roles.sql").unwrap();
    postgres.execute(&database, &script).await;
    let url = postgres.url("waxseal", &database);
    let refused = migrate(&settings(&url, "one")).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Refused(_)), "{refused}");
    migrate(&settings(&postgres.url("waxseal_owner", &database), "owner")).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let store = open(&url, "one", state.path());
    keeps_its_promises(&*store).await;
    finishes_consents_once(&*store.consents(), &*store.consents()).await;
    let nodes = node(&url, "one");
    let stop = CancellationToken::new();
    let attending = tokio::spawn(nodes.clone().attend(stop.clone()));
    let there = timeout(Duration::from_secs(10), async {
        while nodes.nodes().await.unwrap().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    there.await.unwrap();
    nodes.examine().await.unwrap();
    stop.cancel();
    attending.await.unwrap();
    for forbidden in
        ["DROP TABLE waxseal.token", "CREATE TABLE waxseal.mine (x int)", "CREATE TABLE mine (x int)"]
    {
        let done = sqlx::query(forbidden).execute(nodes.pool()).await;
        assert!(done.is_err(), "{forbidden}");
    }
}

/// Hears until this comes.
async fn hears(news: &mut tokio::sync::broadcast::Receiver<News>, wanted: &News) {
    let heard = timeout(Duration::from_secs(15), async { while news.recv().await.unwrap() != *wanted {} });
    heard.await.unwrap_or_else(|_| panic!("{wanted:?} was not heard"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn nodes_hear_of_each_other_also_after_the_database_was_away() {
    let mut postgres = Postgres::start();
    let (url, state) = (postgres.database().await, tempfile::tempdir().unwrap());
    let attend =
        |database: &Database, stop: &CancellationToken| tokio::spawn(database.clone().attend(stop.clone()));
    let (one, two, stop) = (node(&url, "one"), node(&url, "two"), CancellationToken::new());
    let mut news = two.news();
    let attending = [attend(&one, &stop), attend(&two, &stop)];
    hears(&mut news, &News::Missed).await;
    give_key(state.path());
    let store = store::open_shared_with(one.clone(), state.path(), None).unwrap();
    let a = AccountId::new("a");
    store.save(&a, &tokens("canary"), Over::Whatever).await.unwrap();
    hears(&mut news, &News::Tokens("a".into())).await;

    postgres.stop();
    let error = store.load(&a).await.unwrap_err();
    assert!(error.is_away(), "{error}");
    assert!(one.standing().trouble.is_some());
    postgres.run();
    // What was told meanwhile is lost: it has to look.
    hears(&mut news, &News::Missed).await;
    assert_eq!(refresh_token(&store.load(&a).await.unwrap()), Some("canary"));
    assert!(one.standing().trouble.is_none());
    store.forget(&a).await.unwrap();
    hears(&mut news, &News::Tokens("a".into())).await;

    let there: Vec<String> = one.nodes().await.unwrap().into_iter().map(|node| node.name).collect();
    assert_eq!(there, ["one", "two"]);
    stop.cancel();
    for attending in attending {
        attending.await.unwrap();
    }
    assert!(node(&url, "look").nodes().await.unwrap().is_empty(), "nodes that stop say goodbye");
}
