//! Messages of 4 KiB from a client to the sink, through a session as the listener runs it.

use crate::material;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_util::sync::CancellationToken;
use waxseal::{
    account::{AccountId, ApplicationId, Users},
    config::{Limits, ListenAddress, ListenerSettings, ListenerTls},
    inbound::{Budget, Client, Gate, Peer, Sink, serve},
    mail::{QueueId, Reply, ReversePath},
    meter::Meter,
    outbound::DotStuffer,
    queue::{CommitError, Commitment, Receipt},
    smtp::Authentication,
};

/// Takes everything.
struct Open {
    hostname: Arc<str>,
    limits: Limits,
    users: Arc<Users>,
    envelopes: Arc<Budget>,
    meter: Meter,
}

/// Keeps a message until it is whole.
struct Memory(Vec<u8>);

impl Gate for Open {
    type Sink = Memory;

    fn hostname(&self) -> Arc<str> {
        self.hostname.clone()
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn listener(&self, _: usize) -> Option<Arc<ListenerSettings>> {
        None
    }

    fn users(&self) -> Arc<Users> {
        self.users.clone()
    }

    fn application(&self, _: usize, _: Client, _: Option<&str>) -> Option<ApplicationId> {
        None
    }

    fn route(&self, _: Option<&ApplicationId>, _: &ReversePath) -> Result<AccountId, Reply> {
        Ok(AccountId::new("support"))
    }

    fn has_room(&self, _: Option<u64>) -> bool {
        true
    }

    fn envelopes(&self) -> Arc<Budget> {
        self.envelopes.clone()
    }

    fn meter(&self) -> &Meter {
        &self.meter
    }

    fn begin(&self) -> Memory {
        Memory(Vec::new())
    }
}

impl Sink for Memory {
    fn id(&self) -> QueueId {
        QueueId::from_number(7)
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), CommitError> {
        self.0.extend_from_slice(octets);
        Ok(())
    }

    async fn send_ahead(&mut self, _: &Receipt) {}

    async fn commit(self, _: Receipt) -> Result<Commitment, CommitError> {
        assert!(self.0.ends_with(b"\r\n"));
        Ok(Commitment::Durable(QueueId::from_number(7)))
    }
}

/// Says something and takes the reply, which has to be this.
async fn say(stream: &mut DuplexStream, octets: &[u8], code: &[u8]) {
    stream.write_all(octets).await.unwrap();
    let mut reply = [0; 512];
    let read = stream.read(&mut reply).await.unwrap();
    assert!(reply[..read].starts_with(code), "{}", String::from_utf8_lossy(&reply[..read]));
}

/// Says what a client says that does not pipeline.
async fn converse(mut stream: DuplexStream, messages: usize) {
    let (mut stuffer, mut content) = (DotStuffer::default(), Vec::new());
    stuffer.encode(&material::content(4 << 10), &mut content);
    stuffer.finish(&mut content);
    say(&mut stream, b"", b"220").await;
    say(&mut stream, b"EHLO app.example.com\r\n", b"250").await;
    for _ in 0..messages {
        say(&mut stream, b"MAIL FROM:<app@example.com> SIZE=4096\r\n", b"250").await;
        say(&mut stream, b"RCPT TO:<customer@example.org>\r\n", b"250").await;
        say(&mut stream, b"DATA\r\n", b"354").await;
        say(&mut stream, &content, b"250").await;
    }
    say(&mut stream, b"QUIT\r\n", b"221").await;
}

pub fn run(messages: usize) {
    let settings = ListenerSettings {
        address: ListenAddress::Tcp(([127, 0, 0, 1], 25).into()),
        clients: None,
        application: None,
        tls: ListenerTls::None,
        authentication: Authentication::None,
    };
    let gate = Arc::new(Open {
        hostname: "relay.example.com".into(),
        limits: Limits {
            message_size: 32 << 20,
            recipients: 1000,
            connections: 100,
            connections_per_client: 100,
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(180),
        },
        users: Arc::new(Users::new(Vec::new())),
        envelopes: Arc::default(),
        meter: Meter::default(),
    });
    let peer = Peer {
        client: Client::at([127, 0, 0, 1].into()),
        listener: 0,
        listener_name: "127.0.0.1:25".into(),
        settings: Arc::new(settings),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        tokio::join!(serve(theirs, gate, peer, CancellationToken::new()), converse(ours, messages));
    });
}
