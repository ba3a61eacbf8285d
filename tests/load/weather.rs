//! A provider's bad days: faults in a fixed rotation, some for one message, some for a whole account.

use super::clients::NOBODY;
use crate::support::Provider;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use waxseal::sandbox::{Fault, Point};

/// Between two faults that concern a message.
const BEAT: Duration = Duration::from_millis(100);

/// Between two faults that concern an account, and whether refused logins are among them: an account is not tried
/// again for half a minute after one.
#[derive(Debug, Clone, Copy)]
pub struct Climate {
    pub between: Duration,
    pub logins: bool,
}

/// Faults until it is stopped.
pub struct Weather {
    provider: Arc<Provider>,
    stop: Arc<AtomicBool>,
    faults: Arc<AtomicUsize>,
    drops: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    pub faults: usize,
    /// Connections that were dropped after the dot: the message had arrived, and arrives again.
    pub drops: usize,
}

impl Weather {
    pub fn start(provider: &Arc<Provider>, climate: Climate) -> Self {
        let (stop, faults, drops): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        nobody_lives_there(provider);
        let rotation = Rotation {
            provider: provider.clone(),
            climate,
            faults: faults.clone(),
            drops: drops.clone(),
            turn: 0,
            blows: 0,
        };
        let stopped = stop.clone();
        let thread = thread::spawn(move || rotation.run(&stopped));
        Self { provider: provider.clone(), stop, faults, drops, thread }
    }

    /// The sky clears; only the recipient that is not there is not there still.
    pub fn stop(self) -> Past {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.provider.faults().clear();
        self.provider.grants().set_broken(false);
        nobody_lives_there(&self.provider);
        Past { faults: self.faults.load(Ordering::Relaxed), drops: self.drops.load(Ordering::Relaxed) }
    }
}

fn nobody_lives_there(provider: &Provider) {
    let refusal = Fault::Reply("550 5.1.1 nobody of that name".into());
    provider.faults().always(Point::Rcpt(Some(NOBODY.into())), refusal);
}

struct Rotation {
    provider: Arc<Provider>,
    climate: Climate,
    faults: Arc<AtomicUsize>,
    drops: Arc<AtomicUsize>,
    turn: usize,
    blows: usize,
}

impl Rotation {
    fn run(mut self, stopped: &AtomicBool) {
        let mut next = Instant::now() + self.climate.between;
        while !stopped.load(Ordering::Relaxed) {
            thread::sleep(BEAT);
            self.faults.fetch_add(1, Ordering::Relaxed);
            let (point, fault) = self.about_a_message();
            self.provider.faults().once(point, fault);
            if Instant::now() >= next {
                next += self.climate.between;
                self.about_an_account();
            }
            self.turn += 1;
        }
    }

    fn about_a_message(&self) -> (Point, Fault) {
        let reply = |text: &str| Fault::Reply(text.into());
        match self.turn % 8 {
            0 => (Point::Rcpt(None), reply("451 4.2.0 greylisted")),
            1 => (Point::Mail, reply("451 4.3.0 try again")),
            2 => (Point::Dot, Fault::Delay(Duration::from_millis(400))),
            3 => (Point::Data, reply("451 4.3.0 try again")),
            4 => (Point::Dot, reply("451 4.3.0 try again")),
            5 => (Point::Mail, Fault::Delay(Duration::from_millis(200))),
            6 => (Point::Rcpt(None), reply("452 4.5.3 too many recipients")),
            _ => (Point::Dot, reply("452 4.3.1 no room just now")),
        }
    }

    /// The last two keep an account from its mail for half a minute.
    fn about_an_account(&mut self) {
        let (faults, grants) = (self.provider.faults(), self.provider.grants());
        let bye = || Fault::ReplyAndDrop("421 4.3.2 closing".into());
        grants.set_broken(false);
        self.blows += 1;
        self.faults.fetch_add(1, Ordering::Relaxed);
        match self.blows % if self.climate.logins { 8 } else { 6 } {
            0 => faults.once(Point::Mail, bye()),
            1 | 3 => {
                self.drops.fetch_add(1, Ordering::Relaxed);
                faults.once(Point::Dot, Fault::Drop);
            }
            2 => faults.once(Point::Data, Fault::Drop),
            4 => faults.once(Point::Banner, bye()),
            5 => {
                faults.once(Point::Ehlo, Fault::Drop);
                faults.once(Point::Rcpt(None), Fault::Drop);
            }
            6 => {
                // The token in force is refused, and until the next blow there is no other.
                grants.revoke_access_tokens();
                grants.set_broken(true);
                faults.once(Point::Mail, Fault::Drop);
            }
            _ => {
                faults.once(Point::Auth, Fault::Reply("535 5.7.8 not today".into()));
                faults.once(Point::Mail, Fault::Drop);
            }
        }
    }
}
