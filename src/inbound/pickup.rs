//! Mail from the spool: the second entrance, through the same gate as the first.
//!
//! A message that is refused here has nobody waiting for the answer. What may become better stays where it is and is
//! tried again; what will not is set aside for an operator, and the log says so. Nothing is deleted that the queue does
//! not have.

use super::{Client, Gate};
use crate::{
    config::ListenAddress,
    failpoint::{self, Point},
    mail::{
        Canonicalizer, Envelope, QueueId,
        trace::{Headed, Heading, LocalTrace},
    },
    meter::SPOOL,
    queue::{CommitError, Intake, Receipt},
    smtp::limits,
    spool::{Spool, Spooled, Unfit},
};
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How often the spool is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How long after a message that has to wait.
const PAUSE: Duration = Duration::from_secs(15);
/// How long after the spool could not be used.
const LONG_PAUSE: Duration = Duration::from_secs(60);
/// Messages taken before their removal is made durable: what a loss of power may make come twice.
const BATCH: usize = 32;

/// Takes messages from a spool.
pub struct Pickup<G> {
    gate: Arc<G>,
    spool: Spool,
    listener: usize,
    /// What was said last about the spool as such, so that it is said once.
    said: String,
}

/// Why a message was not taken.
enum Obstacle {
    /// Not now.
    Later(String),
    /// Never, as it is.
    Never(String),
    /// There is none of this name any more.
    Gone,
}

impl From<Unfit> for Obstacle {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Io(error) => match error.kind() {
                ErrorKind::NotFound => Self::Gone,
                ErrorKind::OutOfMemory | ErrorKind::Interrupted => Self::Later(error.to_string()),
                _ if is_shortage(&error) => Self::Later(error.to_string()),
                _ => Self::Never(format!("it cannot be read: {error}")),
            },
            unfit => Self::Never(unfit.to_string()),
        }
    }
}

impl From<CommitError> for Obstacle {
    fn from(error: CommitError) -> Self {
        Self::Later(error.to_string())
    }
}

impl<G: Gate<Sink = Intake>> Pickup<G> {
    /// Mail from the spool is treated as if its user had brought it to the listener with this index.
    pub fn new(gate: Arc<G>, spool: Spool, listener: usize) -> Self {
        Self { gate, spool, listener, said: String::new() }
    }

    /// Takes what comes until `stop`; a message under way is brought to its end.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let pause = self.take_all(&stop).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Takes all there is; when to look again.
    async fn take_all(&mut self, stop: &CancellationToken) -> Duration {
        loop {
            let spool = self.spool.clone();
            let names = match blocking(move || spool.prepare().and_then(|()| spool.claim(BATCH))).await {
                Ok(names) => names,
                Err(problem) => {
                    self.say_once(
                        &problem.to_string(),
                        "the spool cannot be used, and mail left there waits",
                    );
                    return LONG_PAUSE;
                }
            };
            if names.is_empty() {
                self.said.clear();
                return EVERY;
            }
            let mut waiting = None;
            for name in names.iter().take_while(|_| !stop.is_cancelled()) {
                waiting = self.one(name).await.or(waiting);
            }
            let spool = self.spool.clone();
            waiting = blocking(move || spool.settle()).await.err().map(|error| error.to_string()).or(waiting);
            if let Some(reason) = waiting {
                self.say_once(&reason, "spooled mail has to wait");
                return PAUSE;
            }
            if stop.is_cancelled() {
                return EVERY;
            }
        }
    }

    /// Takes one message to where it belongs; why it has to wait, where it has to.
    async fn one(&self, name: &str) -> Option<String> {
        match self.take(name).await {
            Ok(()) => {
                failpoint::reach(Point::SpoolCommitted);
                let removed = self.with_spool(name, Spool::remove).await;
                removed.err().map(|problem| {
                    error!(target: "waxseal::inbound", file = name, %problem,
                        "a spooled message that the queue has cannot be removed: it will be sent again");
                    problem.to_string()
                })
            }
            Err(Obstacle::Gone) => None,
            Err(Obstacle::Later(reason)) => Some(reason),
            Err(Obstacle::Never(reason)) => match self.with_spool(name, Spool::set_aside).await {
                Ok(place) => {
                    let file = place.display();
                    error!(target: "waxseal::inbound", %file, reason, "spooled message set aside");
                    None
                }
                Err(problem) => Some(format!("{name} cannot be set aside: {problem}")),
            },
        }
    }

    async fn take(&self, name: &str) -> Result<(), Obstacle> {
        let (spool, file) = (self.spool.clone(), name.to_owned());
        let mut spooled = blocking(move || Ok(spool.open(&file))).await.map_err(Unfit::Io)??;
        let limits = self.gate.limits();
        if spooled.size() > limits.message_size {
            let sentence = format!("its {} octets are more than [limits] message_size", spooled.size());
            return Err(Obstacle::Never(sentence));
        }
        let client = self.client(spooled.uid());
        let application = self.gate.application(self.listener, client, None);
        let routed = self.gate.route(application.as_ref(), spooled.envelope().reverse_path());
        let account = routed.map_err(|reply| match reply.code() {
            500.. => Obstacle::Never(reply.to_string()),
            _ => Obstacle::Later(reply.to_string()),
        })?;
        if !self.gate.has_room(Some(spooled.size())) {
            return Err(CommitError::Full.into());
        }
        // A client would have been asked to send the message again for the others (RFC 5321 §4.5.3.1.10).
        for envelope in portions(spooled.envelope(), limits.recipients) {
            let receipt = Receipt { envelope, account: account.clone(), application: application.clone() };
            let uid = spooled.uid();
            let id;
            (spooled, id) = self.commit(spooled, receipt).await?;
            self.gate.meter().received(SPOOL, account.as_str(), id.unix_millis());
            info!(target: "waxseal::inbound", queue_id = %id, uid, file = name, "taken from the spool");
        }
        Ok(())
    }

    /// Makes a message durable in the queue. Where that fails, nothing is left there.
    async fn commit(&self, mut spooled: Spooled, receipt: Receipt) -> Result<(Spooled, QueueId), Obstacle> {
        let mut intake = self.gate.begin();
        let (mut heading, mut canonicalizer) = (Heading::default(), Canonicalizer::default());
        // A line's start that may be a header field's, and besides never more than one chunk.
        let (mut pending, mut end) = (Vec::new(), false);
        let hostname = self.gate.hostname();
        let trace =
            LocalTrace { uid: spooled.uid(), hostname: &hostname, id: intake.id(), at: SystemTime::now() };
        intake.write(trace.received().as_bytes()).await?;
        spooled.rewind();
        while !end {
            let read;
            (spooled, read) = blocking(move || {
                let read = spooled.next_chunk();
                Ok((spooled, read))
            })
            .await
            .map_err(Unfit::Io)?;
            let chunk = read?;
            end = chunk.is_empty();
            // A user has left it there: it is canonical because it is made so here, not because it should be.
            let new = pending.len();
            canonicalizer.feed(&chunk, &mut pending);
            if end {
                std::mem::take(&mut canonicalizer).finish(&mut pending);
            }
            let headed = heading.advance(&pending, new, end);
            if heading.scan().hops() > limits::HOPS {
                return Err(Obstacle::Never("it has been through too many hops, and seems to loop".into()));
            }
            if let Headed::Part(part) | Headed::End(part) = headed {
                intake.write(&pending[..part]).await?;
                pending.drain(..part);
            }
            match headed {
                Headed::Part(_) => continue,
                Headed::End(_) => intake.write(trace.missing(heading.scan()).as_bytes()).await?,
                Headed::Past => {}
            }
            intake.write(&pending).await?;
            pending.clear();
        }
        // Nobody waits for a provider's verdict here, however the account delivers.
        Ok((spooled, intake.commit_to_queue(receipt).await?))
    }

    /// Who would have come to the listener.
    fn client(&self, uid: u32) -> Client {
        let listener = self.gate.listener(self.listener);
        let unix = listener.is_some_and(|listener| matches!(listener.address, ListenAddress::Unix(_)));
        if unix { Client::Local { uid } } else { Client::at(IpAddr::V4(Ipv4Addr::LOCALHOST)) }
    }

    async fn with_spool<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Spool, &str) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (spool, name) = (self.spool.clone(), name.to_owned());
        blocking(move || work(&spool, &name)).await
    }

    fn say_once(&mut self, reason: &str, sentence: &'static str) {
        if reason != self.said {
            let spool = self.spool.root().display();
            warn!(target: "waxseal::inbound", %spool, reason, "{sentence}");
            reason.clone_into(&mut self.said);
        }
    }
}

/// No descriptors left, for this process or for the host.
fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|short| errno == Some(short.raw_os_error()))
}

/// Envelopes of `most` recipients each.
fn portions(envelope: &Envelope, most: usize) -> Vec<Envelope> {
    let (paths, most) = (envelope.forward_paths(), most.max(1));
    let portion = |start: usize| {
        let end = paths.len().min(start + most);
        let wishes = (start..end).map(|index| envelope.dsn_recipient(index).clone()).collect();
        let (from, to) = (envelope.reverse_path().clone(), paths[start..end].to_vec());
        let portion = Envelope::new(from, to, envelope.body(), envelope.smtputf8()).ok()?;
        Some(portion.with_dsn(envelope.dsn().clone(), wishes))
    };
    (0..paths.len()).step_by(most).filter_map(portion).collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{BodyType, DsnRecipient, DsnRequest, ForwardPath, Notify, ReversePath};

    #[test]
    fn portions_are_all_of_it() {
        let paths: Vec<_> = (0..7).map(|n| ForwardPath::parse(&format!("r{n}@x")).unwrap()).collect();
        let wish = DsnRecipient { notify: Some(Notify::NEVER), orcpt: None };
        let whole = Envelope::new(ReversePath::Null, paths.clone(), BodyType::EightBitMime, true)
            .unwrap()
            .with_dsn(DsnRequest::default(), vec![wish.clone(); 7]);
        for (most, sizes) in [(7, vec![7]), (1000, vec![7]), (3, vec![3, 3, 1]), (1, vec![1; 7])] {
            let portions = portions(&whole, most);
            assert_eq!(portions.iter().map(|p| p.forward_paths().len()).collect::<Vec<_>>(), sizes);
            let together: Vec<_> = portions.iter().flat_map(|p| p.forward_paths().to_vec()).collect();
            assert_eq!(together, paths);
            let last = portions.last().unwrap();
            assert_eq!(last.dsn_recipient(0), &wish);
            assert_eq!((last.body(), last.smtputf8()), (whole.body(), true));
        }
    }
}
