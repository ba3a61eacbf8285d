//! Clients of every sort: large and small messages, one or many on a connection, polite, rude and lost.

use super::ledger::{Fate, Ledger};
use crate::support::client::{Client, stuffed};
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The recipient that the provider refuses for good.
pub const NOBODY: &str = "nobody@example.org";
/// Clients at once.
pub const CLIENTS: usize = 8;
/// Connections that a client leaves behind without a word, at most.
const LEFT_BEHIND: usize = 4;
/// Between two messages of all clients together that are bound to fail.
const BETWEEN_FAILURES: Duration = Duration::from_secs(4);

/// A load.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub ledger: Arc<Ledger>,
    /// Domains of the senders, an account each.
    pub domains: Vec<String>,
    pub seed: u64,
    /// Messages a second, all clients together; `None` is as many as go.
    pub rate: Option<f64>,
    /// Whether there are rude clients and refused recipients among it.
    pub rough: bool,
    pub until: Instant,
}

impl Load {
    pub fn start(&self) -> Vec<JoinHandle<()>> {
        let client = |number| {
            let random = fastrand::Rng::with_seed(self.seed.wrapping_add(number as u64));
            let next_failure = Instant::now() + BETWEEN_FAILURES;
            let mut client = Sender {
                load: self.clone(),
                first: number == 0,
                random,
                next_failure,
                connection: None,
                left: VecDeque::new(),
            };
            thread::spawn(move || client.run())
        };
        (0..CLIENTS).map(client).collect()
    }
}

struct Sender {
    load: Load,
    first: bool,
    random: fastrand::Rng,
    next_failure: Instant,
    /// The connection, and how many messages more it is to carry.
    connection: Option<(Client, usize)>,
    left: VecDeque<Client>,
}

impl Sender {
    fn run(&mut self) {
        let between = self.load.rate.map(|rate| Duration::from_secs_f64(CLIENTS as f64 / rate));
        // Clients do not keep step.
        let mut due = Instant::now() + between.unwrap_or_default().mul_f64(self.random.f64());
        while Instant::now() < self.load.until {
            if let Some(between) = between {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                due += between;
            }
            let fate = self.fate();
            if let Err(error) = self.send(fate) {
                self.connection = None;
                self.load.ledger.refusals.lock().unwrap().push(error.to_string());
            }
        }
        if let Some((mut client, _)) = self.connection.take() {
            let _ = client.command("QUIT");
        }
    }

    fn fate(&mut self) -> Fate {
        if !self.load.rough {
            return Fate::Arrives;
        }
        if self.first && Instant::now() >= self.next_failure {
            self.next_failure += BETWEEN_FAILURES;
            return Fate::Fails;
        }
        if self.random.u8(..50) == 0 { Fate::BreaksOff } else { Fate::Arrives }
    }

    fn send(&mut self, fate: Fate) -> io::Result<()> {
        let ledger = self.load.ledger.clone();
        let (mut client, left) = self.connected()?;
        let number = ledger.number();
        let content = content(number, self.size());
        ledger.sends(number, fate, &content);
        let domain = &self.load.domains[self.random.usize(..self.load.domains.len())];
        match fate {
            Fate::Arrives => {
                // Senders are many, as in life, and so they do not share one turn.
                let from = format!("app{}@{domain}", number % 97);
                client.send(&from, "someone@example.org", &content)?;
                ledger.acknowledged(number);
            }
            Fate::Fails => {
                client.send(&format!("doomed-{number}@{domain}"), NOBODY, &content)?;
                ledger.acknowledged(number);
            }
            Fate::BreaksOff => {
                client.begin(&format!("app@{domain}"), "someone@example.org")?;
                let octets = stuffed(&content);
                client.write(&octets[..self.random.usize(..octets.len() - 5)])?;
                return Ok(());
            }
        }
        self.go_on(client, left - 1);
        Ok(())
    }

    fn connected(&mut self) -> io::Result<(Client, usize)> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => {
                let mut client = Client::connect(self.load.address)?;
                client.hello()?;
                Ok((client, self.random.usize(1..40)))
            }
        }
    }

    /// Keeps the connection, or takes leave of it in one of the ways that clients have.
    fn go_on(&mut self, mut client: Client, left: usize) {
        if left > 0 {
            self.connection = Some((client, left));
            return;
        }
        match self.random.u8(..10) {
            // Gone without a word.
            0 if self.load.rough => {}
            // There for good, and silent.
            1 | 2 if self.load.rough => {
                self.left.push_back(client);
                if self.left.len() > LEFT_BEHIND {
                    self.left.pop_front();
                }
            }
            _ => {
                let _ = client.command("QUIT");
            }
        }
    }

    /// Mostly small; one in forty has a file of its own in the queue.
    fn size(&mut self) -> usize {
        match self.random.u8(..200) {
            0 => 1 << 20,
            1..=4 => 300 << 10,
            5..=24 => 64 << 10,
            25..=74 => 8 << 10,
            _ => 1 << 10,
        }
    }
}

/// A message of about so many octets, with dots to stuff and octets beyond ASCII.
fn content(number: u64, size: usize) -> Vec<u8> {
    let mut octets = format!(
        "From: app@example.com\r\nTo: someone@example.org\r\nSubject: soak {number}\r\n\
         Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
         Message-ID: <soak-{number}@soak.example>\r\n\r\n"
    )
    .into_bytes();
    let mut line = vec![b'a' + (number % 26) as u8; 70];
    line[0] = b'.';
    line[1..3].copy_from_slice(&[0xc3, 0xa9]);
    line.extend_from_slice(b"\r\n");
    while octets.len() < size {
        octets.extend_from_slice(&line);
    }
    octets
}
