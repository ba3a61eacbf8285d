//! An account's way upstream, walked step by step: name, connection, TLS, token, login, MAIL FROM. Nothing is sent.

use super::{
    Stage, Trouble, Upstream, auth, connect,
    dialogue::{Connection, Dialler},
    failure::{Cause, Failure},
};
use crate::{
    account::{DomainPattern, Login},
    mail::{Mailbox, Reply, ReplyClass},
};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, timeout};

/// How long one step may take: a person waits for it.
const PATIENCE: Duration = Duration::from_secs(40);

/// A step, in the order in which they are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// Name resolution.
    Name,
    /// TCP, and the greeting.
    Connection,
    /// STARTTLS, the handshake and the certificate.
    Tls,
    /// The access token, of OAuth accounts.
    Token,
    /// AUTH.
    Login,
    /// MAIL FROM, taken back by RSET.
    Sender,
}

impl Leg {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "DNS",
            Self::Connection => "TCP",
            Self::Tls => "TLS",
            Self::Token => "token",
            Self::Login => "AUTH",
            Self::Sender => "MAIL FROM",
        }
    }
}

/// What a step came to.
#[derive(Debug, Clone)]
pub struct Walked {
    /// Which.
    pub leg: Leg,
    /// What was seen; or what is wrong.
    pub outcome: Result<String, Trouble>,
    /// How long it took.
    pub took: Duration,
}

/// All steps up to the first that fails.
#[derive(Debug, Clone, Default)]
pub struct Examination {
    /// The steps.
    pub steps: Vec<Walked>,
}

impl Upstream {
    /// Walks the account's way upstream, as far as it goes.
    pub async fn examine(&self) -> Examination {
        let mut walk = Walk { upstream: self, done: Examination::default() };
        // Each failure is in the steps by then.
        let _ = walk.all().await;
        walk.done
    }
}

struct Walk<'a> {
    upstream: &'a Upstream,
    done: Examination,
}

/// The walk ends here; why is in its steps.
struct Ended;

impl Walk<'_> {
    async fn all(&mut self) -> Result<(), Ended> {
        let dialler = self.upstream.dialler();
        let server = &dialler.account.server;
        self.walk(Leg::Name, Stage::Connect, connect::resolved(&server.host, server.port), |addresses| {
            addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ")
        })
        .await?;
        let mut connection = self.connection(&dialler).await?;
        let credentials = auth::Credentials::of(dialler.account, dialler.tokens);
        let token = matches!(dialler.account.login, Login::OAuth(_));
        let credentials = if token {
            self.walk(Leg::Token, Stage::Auth, credentials, |_| "there, with life left".to_owned()).await?
        } else {
            credentials.await.unwrap_or_default()
        };
        if let Some(credentials) = credentials {
            if connection.exposed && !server.allow_plaintext_authentication {
                return self.fails(Leg::Login, Failure::new(Stage::Auth, Cause::PlaintextLogin));
            }
            connection = self.login(&dialler, credentials, connection).await?;
        }
        let sender = self.sender();
        let command = format!("MAIL FROM:<{sender}>");
        let said = connection.held.wire.command(Stage::Mail, &command);
        let taken = async { said.await.and_then(|reply| good(Stage::Mail, reply)) };
        self.walk(Leg::Sender, Stage::Mail, taken, |reply| format!("{sender}: {reply}")).await?;
        connection.held.reset().await;
        connection.held.quit().await;
        Ok(())
    }

    /// AUTH. A token that is refused is replaced once, as it is on the way of mail; where there is no other one, that is
    /// what is wrong.
    async fn login(
        &mut self,
        dialler: &Dialler<'_>,
        credentials: auth::Credentials,
        connection: Opened,
    ) -> Result<Opened, Ended> {
        let (account, tokens) = (dialler.account, dialler.tokens);
        let server = (account.server.host.as_str(), account.server.port);
        let (mut credentials, mut connection) = (credentials, connection);
        for last in [false, true] {
            let begun = Instant::now();
            let offered = connection.held.capabilities.mechanisms;
            let login =
                timeout(PATIENCE, credentials.log_in(&mut connection.held.wire, offered, server)).await;
            let failure = match login.unwrap_or(Err(Failure::new(Stage::Auth, Cause::Silent))) {
                Ok(()) => {
                    let seen = format!("logged in as {}", account.username().unwrap_or_default());
                    self.done.steps.push(Walked {
                        leg: Leg::Login,
                        outcome: Ok(seen),
                        took: begun.elapsed(),
                    });
                    return Ok(connection);
                }
                Err(failure) => failure,
            };
            match credentials.renewed(&failure, account, tokens).await {
                Some(renewed) if !last => credentials = renewed,
                _ => {
                    let token = auth::Credentials::of(account, tokens).await;
                    return match token {
                        Err(no_token) => self.fails(Leg::Token, no_token),
                        Ok(_) => self.fails(Leg::Login, failure),
                    };
                }
            }
            match dialler.greet().await {
                Ok((held, _)) => connection = Opened { held, exposed: connection.exposed },
                Err(failure) => return self.fails(Leg::Connection, failure),
            }
        }
        // Both rounds return; the loop's shape hides it from the compiler.
        Err(Ended)
    }

    /// TCP, the greeting and TLS are one dialogue; where it breaks off tells them apart.
    async fn connection(&mut self, dialler: &Dialler<'_>) -> Result<Opened, Ended> {
        let begun = Instant::now();
        let opened = timeout(PATIENCE, dialler.greet()).await;
        let opened = opened.unwrap_or(Err(Failure::new(Stage::Banner, Cause::Silent)));
        let took = begun.elapsed();
        let mut passed = |leg, seen: String| {
            self.done.steps.push(Walked { leg, outcome: Ok(seen), took });
        };
        match opened {
            Ok((held, on_loopback)) => {
                passed(Leg::Connection, format!("{} greets", self.upstream.relay()));
                let plain = held.tls == "none";
                passed(Leg::Tls, if plain { "none, as configured".to_owned() } else { held.tls.clone() });
                Ok(Opened { exposed: plain && !on_loopback, held })
            }
            Err(failure) => {
                let leg = match failure.stage {
                    Stage::StartTls | Stage::Handshake => Leg::Tls,
                    _ => Leg::Connection,
                };
                if leg == Leg::Tls {
                    passed(Leg::Connection, format!("{} answers", self.upstream.relay()));
                }
                self.fails(leg, failure)
            }
        }
    }

    async fn walk<T>(
        &mut self,
        leg: Leg,
        stage: Stage,
        step: impl Future<Output = Result<T, Failure>>,
        seen: impl FnOnce(&T) -> String,
    ) -> Result<T, Ended> {
        let begun = Instant::now();
        let result = timeout(PATIENCE, step).await;
        match result.unwrap_or(Err(Failure::new(stage, Cause::Silent))) {
            Ok(value) => {
                self.done.steps.push(Walked { leg, outcome: Ok(seen(&value)), took: begun.elapsed() });
                Ok(value)
            }
            Err(failure) => self.fails(leg, failure),
        }
    }

    fn fails<T>(&mut self, leg: Leg, failure: Failure) -> Result<T, Ended> {
        let (_, trouble) = failure.judge(self.upstream.account().kind);
        self.done.steps.push(Walked { leg, outcome: Err(trouble), took: Duration::ZERO });
        Err(Ended)
    }

    /// Whom mail of this account would be from.
    fn sender(&self) -> String {
        let account = self.upstream.account();
        let of_domain = || {
            account.domains.iter().find_map(|domain| match domain {
                DomainPattern::Exact(domain) => Some(format!("postmaster@{}", domain.ascii())),
                DomainPattern::Below(_) => None,
            })
        };
        let own = account.username().and_then(|name| Mailbox::parse(name).ok()).map(|own| own.to_string());
        account.senders.first().map(ToString::to_string).or(own).or_else(of_domain).unwrap_or_default()
    }
}

/// A connection up to AUTH, and whether the network could read what is said on it.
struct Opened {
    held: Connection,
    exposed: bool,
}

fn good(stage: Stage, reply: Reply) -> Result<Reply, Failure> {
    match reply.class() {
        ReplyClass::Completed => Ok(reply),
        _ => Err(Failure::new(stage, Cause::Refused(reply))),
    }
}
