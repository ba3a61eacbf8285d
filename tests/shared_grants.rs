//! Several daemons, one account, refresh tokens that rotate on every use: `[store]` has one of them refresh, and the
//! others take what it got. Ignored unless asked for, since it takes PostgreSQL:
//!
//! `cargo test --test shared_grants -- --ignored --nocapture`, with `SHARED_SECONDS` for how long each of the two runs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{
    io::Write as _,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::{
    House, browser, indented,
    nodes::{NODES, Scene, seconds},
    until, waxseal,
};
use waxseal::sandbox::SandboxOptions;

const LIFE: Duration = Duration::from_secs(5);
/// A refresher is ahead of the end by half of the life at most, so that two refreshes of one expiry are closer than this.
const APART: Duration = Duration::from_millis(2400);
/// Between two messages to a node.
const PAUSE: Duration = Duration::from_millis(150);

/// Nodes that share an account of type oauth2.
fn scene(options: SandboxOptions) -> Scene {
    Scene::new(options, |house, provider| house.oauth(provider, "support", "example.com"))
}

fn rotating(rotation_grace: Duration) -> SandboxOptions {
    SandboxOptions {
        rotate: true,
        rotation_grace,
        auto_approve: true,
        expires_in: LIFE,
        ..SandboxOptions::default()
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn three_nodes_refresh_a_rotating_token_once_an_expiry() {
    // Without any grace: a second use of a refresh token would be the end of the grant.
    let scene = scene(rotating(Duration::ZERO));
    let daemons = scene.serve();
    scene.houses[0].authorize("support");
    // Consent at one node serves all, at once.
    for house in &scene.houses {
        house.account_becomes("support", "ready");
    }
    let begun = Instant::now();
    let acknowledged = scene.load(begun + Duration::from_secs(seconds()), PAUSE, &AtomicBool::new(false));
    let took = begun.elapsed();
    let grants = scene.provider.grants();
    let times: Vec<Instant> = grants.refreshed_at();
    let closest = times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    until("all that was acknowledged", || (scene.arrived().0.len() >= acknowledged.len()).then_some(()));
    let (there, twice) = scene.arrived();
    println!(
        "{NODES} nodes, tokens of {} s for {:.0} s: {} refreshes, the closest two {:.2} s apart; {} dead tokens shown; {} \
         messages acknowledged, {} arrived, {twice} twice",
        LIFE.as_secs(),
        took.as_secs_f64(),
        times.len(),
        closest.as_secs_f64(),
        grants.dead_presented(),
        acknowledged.len(),
        there.len(),
    );
    assert!(closest >= APART, "two refreshes of one expiry: {closest:?}");
    assert!(times.len() as u64 >= took.as_secs() / LIFE.as_secs(), "{} refreshes", times.len());
    assert_eq!(grants.dead_presented(), 0);
    assert_eq!((there, twice), (acknowledged, 0));
    for house in &scene.houses {
        assert_eq!(house.account("support")["state"], "ready");
        assert!(!house.log().contains("refresh token refused"), "{}", house.log());
    }
    // Forgotten at one, it is gone at all of them.
    scene.houses[2].cli(&["account", "forget", "support"]).ok();
    for house in &scene.houses {
        house.account_becomes("support", "needs_authorization");
    }
    drop(daemons);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn no_grant_is_lost_while_nodes_are_killed_at_random() {
    // With a grace, as every provider with rotation has to have: a process that dies between the provider's answer and its
    // own COMMIT takes the only copy of the new token along.
    let scene = Arc::new(scene(rotating(Duration::from_secs(60))));
    let mut daemons = scene.serve();
    scene.houses[0].authorize("support");
    let done = Arc::new(AtomicBool::new(false));
    let loading = {
        let (scene, done) = (scene.clone(), done.clone());
        thread::spawn(move || scene.load(Instant::now() + Duration::from_secs(3600), PAUSE, &done))
    };
    let (begun, mut kills) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(seconds()) {
        thread::sleep(Duration::from_millis(fastrand::u64(200..2500)));
        let node = fastrand::usize(..NODES);
        daemons[node].kill();
        kills += 1;
        daemons[node] = scene.houses[node].serve();
    }
    done.store(true, Ordering::Relaxed);
    let acknowledged = loading.join().unwrap();
    until("all that was acknowledged", || {
        let (there, _) = scene.arrived();
        acknowledged.is_subset(&there).then_some(())
    });
    let (there, twice) = scene.arrived();
    let grants = scene.provider.grants();
    let times = grants.refreshed_at();
    let early = times.windows(2).filter(|pair| pair[1] - pair[0] < APART).count();
    println!(
        "{NODES} nodes, tokens of {} s for {} s, {kills} kills: {} refreshes, {early} of them again for one expiry; {} dead \
         tokens shown; {} messages acknowledged, 0 lost, {} not acknowledged and arrived, {twice} twice",
        LIFE.as_secs(),
        begun.elapsed().as_secs(),
        times.len(),
        grants.dead_presented(),
        acknowledged.len(),
        there.difference(&acknowledged).count(),
    );
    assert_eq!(grants.dead_presented(), 0);
    // Only a kill can cost a second refresh.
    assert!(early <= kills, "{early} of {kills}");
    for house in &scene.houses {
        house.account_becomes("support", "ready");
        assert!(!house.log().contains("refresh token refused"), "{}", house.log());
    }
}

/// Where the provider sends the browser, as it comes to the daemon of this house.
fn at(house: &House, page: &str) -> String {
    let location = browser::get(page).unwrap().location.unwrap();
    let (_, query) = location.split_once('?').unwrap();
    format!("http://{}/oauth/callback?{query}", house.admin)
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_consent_that_was_begun_at_one_node_is_finished_at_another() {
    let mut scene = scene(rotating(Duration::ZERO));
    let _daemons = scene.serve();
    let [begins, finishes, looks_on] = &scene.houses[..] else { panic!() };

    let (mut command, mut lines) = begins.begin("support", &[]);
    let back = at(finishes, &indented(&mut lines));
    let asked = scene.provider.grants().token_requests();
    assert_eq!(browser::get(&back).unwrap().status, 200);
    // Whoever waits where it began is told, and it is good once, wherever it comes to.
    let rest: Vec<String> = lines.collect();
    assert!(command.wait().success(), "{rest:?}");
    assert!(rest.iter().any(|line| line.starts_with("state") && line.ends_with("ready")), "{rest:?}");
    for house in &scene.houses {
        house.account_becomes("support", "ready");
        assert_eq!(
            browser::get(&back.replace(&finishes.admin.to_string(), &house.admin.to_string()))
                .unwrap()
                .status,
            400
        );
    }
    let first = looks_on.account("support")["authorized_at"].clone();

    // Pasted at another node, in place of one of its own, over a grant that works; its date is told in seconds.
    thread::sleep(Duration::from_millis(1100));
    let (mut command, mut lines) = begins.begin("support", &[]);
    let back = at(begins, &indented(&mut lines));
    let mut pasting = waxseal()
        .args(["account", "authorize", "support", "--paste", "--config"])
        .arg(finishes.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(pasting.stdin.take().unwrap(), "{back}").unwrap();
    let pasted = pasting.wait_with_output().unwrap();
    assert!(pasted.status.success(), "{pasted:?}");
    lines.for_each(drop);
    assert!(command.wait().success());
    until("the new grant everywhere", || {
        scene.houses.iter().all(|house| house.account("support")["authorized_at"] != first).then_some(())
    });

    // What was withdrawn where it began is unknown everywhere, and so is what the provider refused.
    let (mut command, mut lines) = begins.begin("support", &[]);
    let back = at(finishes, &indented(&mut lines));
    command.kill();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(browser::get(&back).unwrap().status, 400);

    // Without a database nobody finishes, nothing is lost, and the browser may come again.
    let (mut command, mut lines) = begins.begin("support", &[]);
    let back = at(finishes, &indented(&mut lines));
    scene.postgres.as_mut().unwrap().stop();
    let away = browser::get(&back).unwrap();
    assert_eq!(away.status, 400);
    assert!(away.body.contains("the database of [store] is away"), "{}", away.body);
    let refused = looks_on.cli(&["account", "authorize", "support", "--no-browser"]);
    assert_eq!(refused.code, 75, "{refused:?}");
    assert!(refused.stderr.contains("nobody can sign in now"), "{refused:?}");
    scene.postgres.as_mut().unwrap().run();
    assert_eq!(browser::get(&back).unwrap().status, 200);
    assert!(command.wait().success());
    assert_eq!(scene.provider.grants().dead_presented(), 0);
    assert!(scene.provider.grants().token_requests() > asked);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_single_host_moves_in_and_says_what_it_leaves_aside_until_then() {
    let scene = scene(rotating(Duration::ZERO));
    let house = &scene.houses[0];
    let shared = std::fs::read_to_string(house.config()).unwrap();
    let (before, after) = shared.split_once("[store]").unwrap();
    let (_, after) = after.split_once("\n\n").unwrap();
    std::fs::write(house.config(), format!("{before}{after}")).unwrap();
    let alone = house.serve();
    house.authorize("support");
    let refused = house.cli(&["store", "check"]);
    assert!(refused.code != 0 && refused.stderr.contains("there is no [store]"), "{refused:?}");
    drop(alone);

    std::fs::write(house.config(), &shared).unwrap();
    let without = house.serve();
    house.log_line(&["this host has tokens of its own"]);
    assert_eq!(house.account("support")["state"], "needs_authorization");
    drop(without);
    let moved = house.cli(&["store", "import"]).ok();
    assert!(moved.contains("support: taken in"), "{moved}");
    let again = house.cli(&["store", "import"]);
    assert!(again.code != 0 && again.stderr.contains("no tokens of this host's own"), "{again:?}");
    let _daemons = scene.serve();
    for house in &scene.houses {
        house.account_becomes("support", "ready");
    }
    let status = house.cli(&["status"]).ok();
    assert!(status.contains("PostgreSQL, as relay-0"), "{status}");
    assert_eq!(status.lines().filter(|line| line.contains(", there, 0 messages")).count(), NODES, "{status}");
    let link = scene.houses[1].cli(&["admin-url"]).ok();
    let entered = browser::get(link.trim()).unwrap();
    let cookie = entered.field("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let overview = format!("http://{}/", scene.houses[1].admin);
    let page = browser::ask("GET", &overview, &[("cookie", &cookie)], "").unwrap();
    assert!(page.body.contains("<code>relay-2</code>") && page.body.contains("(this one)"), "{page:?}");
    let checked = house.cli(&["store", "check"]).ok();
    assert!(checked.contains("PostgreSQL") && checked.contains("relay-2"), "{checked}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn two_daemons_of_one_name_are_told_of_it() {
    let scene = scene(rotating(Duration::ZERO));
    let text = std::fs::read_to_string(scene.houses[1].config()).unwrap();
    std::fs::write(scene.houses[1].config(), text.replace("relay-1", "relay-0")).unwrap();
    let _daemons = scene.serve();
    // Not before the lease of a process that was killed would have run out.
    let begun = Instant::now();
    let told = |house: &House| house.log().contains("another process has this node's name");
    while !scene.houses.iter().any(told) {
        assert!(begun.elapsed() < Duration::from_secs(90), "{}", scene.houses[0].log());
        thread::sleep(Duration::from_millis(100));
    }
}

/// Tokens that a node has in memory are good while they last, whatever becomes of the database; and mail is taken.
#[test]
#[ignore = "needs PostgreSQL"]
fn mail_goes_on_while_the_database_is_away_and_nothing_is_lost_after_it() {
    let mut scene = scene(rotating(Duration::from_secs(60)));
    let daemons = scene.serve();
    scene.houses[0].authorize("support");
    for house in &scene.houses {
        house.account_becomes("support", "ready");
    }
    scene.postgres.as_mut().unwrap().stop();
    scene.houses[0].log_line(&["the shared store is away"]);
    let begun = Instant::now();
    // Longer than any token lasts: from then on mail waits.
    let acknowledged = scene.load(begun + LIFE * 3, PAUSE, &AtomicBool::new(false));
    let status = scene.houses[0].cli(&["status"]).ok();
    assert!(status.contains("the database of [store] is away"), "{status}");
    assert_eq!(scene.provider.grants().dead_presented(), 0);
    scene.postgres.as_mut().unwrap().run();
    scene.houses[0].log_line(&["the shared store is back"]);
    until("all that was acknowledged", || (scene.arrived().0.len() >= acknowledged.len()).then_some(()));
    let (there, twice) = scene.arrived();
    println!(
        "{} messages acknowledged in {} s without a database: all arrived, {twice} twice",
        acknowledged.len(),
        (LIFE * 3).as_secs()
    );
    assert_eq!((there, twice), (acknowledged, 0));
    drop(daemons);
}
