//! The steps of a session by which client and relay come to trust each other: the TLS handshake, and logins.

use super::{End, Next, Session, Waited};
use crate::{
    inbound::{
        Gate, Peer, auth,
        tls::{self, NoTls},
    },
    smtp::{Seen, line::is_tls_handshake, replies},
};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until, timeout_at},
};
use tracing::info;

/// How long a TLS handshake may take, all of it.
const HANDSHAKE: Duration = Duration::from_secs(30);

impl<S, G> Session<S, G>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    G: Gate,
{
    /// Does the handshake and serves the client under TLS, in a session of its own: this one ends here with all that
    /// it knows. What came behind STARTTLS already is the beginning of the handshake, or an attack.
    pub(super) async fn go_under_tls(mut self, greet: bool) -> End {
        let deadline = Instant::now() + self.gate.limits().command_timeout.min(HANDSHAKE);
        while self.input.octets().is_empty() {
            match self.await_command(deadline).await {
                Waited::Input => {}
                Waited::Gone => return End::Gone,
                Waited::TimedOut => return without_tls(&*self.gate, &self.peer, &NoTls::TimedOut),
                Waited::Shutdown => return End::Abandoned,
            }
        }
        if !is_tls_handshake(self.input.octets()) {
            // Whoever talks in the clear can read the answer; whoever waits for a handshake fails at it.
            let reply = replies::tls_expected();
            if let Some(conversation) = self.talk.conversation() {
                conversation.note_rejection("plaintext", &reply);
            }
            let next = self.close_with(&reply);
            return self.close(next).await;
        }
        let Self { stream, gate, peer, shutdown, talk, input, out, reception } = self;
        drop((talk, out, reception));
        let Some(server) = peer.settings.tls.server() else { return End::Abandoned };
        let handshake = timeout_at(deadline, tls::accept(stream, input, server));
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return End::Abandoned,
            accepted = handshake => accepted.unwrap_or(Err(NoTls::TimedOut)),
        };
        let (stream, cipher) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return without_tls(&*gate, &peer, &error),
        };
        gate.observe(&peer, &Seen::Secured);
        let mut session = Session::new(stream, gate, peer, shutdown, Some(cipher));
        if greet {
            session.greet();
        }
        session.run().await
    }

    /// Holds a login against the local users, and answers it, a wrong one after a while.
    pub(super) async fn verify(&mut self) -> Result<Next, End> {
        self.flush().await?;
        let made = Instant::now();
        let Some(credentials) = self.talk.conversation().and_then(|c| c.take_credentials()) else {
            return Ok(Next::Abandon);
        };
        let verdict = auth::verify(self.gate.users(), credentials).await;
        let Some(conversation) = self.talk.conversation() else { return Ok(Next::Abandon) };
        let (reply, next, wait) = conversation.settle_login(verdict);
        tokio::select! {
            biased;
            () = sleep_until(made + wait) => {}
            () = self.shutdown.cancelled() => return Ok(self.close_with(&replies::shutting_down())),
        }
        reply.iter().for_each(|reply| self.say(reply));
        Ok(next)
    }
}

fn without_tls(gate: &impl Gate, peer: &Peer, error: &NoTls) -> End {
    gate.observe(peer, &Seen::NoTls(&error.to_string()));
    info!(target: "waxseal::inbound", client = %peer.client, listener = %peer.listener_name, %error,
        "TLS handshake failed");
    End::Abandoned
}
