//! Several daemons that share a PostgreSQL, beside one provider.

use super::{
    House, Provider, Running,
    client::{Client, message},
    postgres::{Postgres, give_key},
};
use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use waxseal::sandbox::SandboxOptions;

pub const NODES: usize = 3;
const SENDER: &str = "app@example.com";

/// How long tests with a length go on: `SHARED_SECONDS`.
pub fn seconds() -> u64 {
    std::env::var("SHARED_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

/// Nodes on one database, with one account in common: `support`, for `example.com`.
pub struct Scene {
    pub postgres: Option<Postgres>,
    pub provider: Provider,
    pub houses: Vec<House>,
}

impl Scene {
    /// The account is `[account.support]` as `account` says for each house.
    pub fn new(options: SandboxOptions, account: impl Fn(&House, &Provider) -> String) -> Self {
        Self::on(Postgres::start(), options, account)
    }

    /// As [`Scene::new`], on this server.
    pub fn on(
        postgres: Postgres,
        options: SandboxOptions,
        account: impl Fn(&House, &Provider) -> String,
    ) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let url = runtime.block_on(postgres.database());
        let provider = Provider::start(options);
        let houses: Vec<House> = (0..NODES).map(|_| House::beside(&provider)).collect();
        for (number, house) in houses.iter().enumerate() {
            give_key(&house.state());
            let store = format!("[store]\nurl = \"{url}\"\nnode = \"relay-{number}\"\n\n");
            house.configure(&(store + &account(house, &provider)));
        }
        Self { postgres: Some(postgres), provider, houses }
    }

    pub fn serve(&self) -> Vec<Running> {
        self.houses.iter().map(House::serve).collect()
    }

    /// Messages to every node, one each `pause`, until the end or until `done`; those that were acknowledged.
    pub fn load(&self, end: Instant, pause: Duration, done: &AtomicBool) -> HashSet<String> {
        let acknowledged = Mutex::new(HashSet::new());
        thread::scope(|scope| {
            for (number, house) in self.houses.iter().enumerate() {
                let acknowledged = &acknowledged;
                scope.spawn(move || {
                    for count in 0.. {
                        if Instant::now() >= end || done.load(Ordering::Relaxed) {
                            break;
                        }
                        let subject = format!("node-{number}-{count}");
                        if submit(house, &subject) {
                            acknowledged.lock().unwrap().insert(subject);
                        }
                        thread::sleep(pause);
                    }
                });
            }
        });
        acknowledged.into_inner().unwrap()
    }

    /// So many messages to every node, at once.
    pub fn fill(&self, count: usize) {
        thread::scope(|scope| {
            for (number, house) in self.houses.iter().enumerate() {
                scope.spawn(move || {
                    let mut client = Client::connect(house.smtp).unwrap();
                    client.hello().unwrap();
                    for message_number in 0..count {
                        let content = message(&format!("node-{number}-{message_number}"));
                        let reply = client.send(SENDER, "to@example.net", &content).unwrap();
                        assert!(reply.starts_with("250"), "{reply}");
                    }
                });
            }
        });
    }

    /// The subjects that arrived, and how many came twice.
    pub fn arrived(&self) -> (HashSet<String>, usize) {
        let all: Vec<String> =
            self.provider.received().iter().map(|message| subject(&message.octets)).collect();
        let distinct: HashSet<String> = all.iter().cloned().collect();
        let twice = all.len() - distinct.len();
        (distinct, twice)
    }
}

fn submit(house: &House, subject: &str) -> bool {
    let sent = Client::connect(house.smtp).and_then(|mut client| {
        client.hello()?;
        client.send(SENDER, "to@example.net", &message(subject))
    });
    sent.is_ok_and(|reply| reply.starts_with("250"))
}

/// A message's Subject.
pub fn subject(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content).into_owned();
    text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).unwrap_or_default()
}
