//! Runs every `tests/dialogues/*.txt`: what a client sends, what it gets to read, and what was committed.
//!
//! | line | is |
//! |---|---|
//! | `C: octets` | what the client sends; CRLF is added |
//! | `C+ octets` | the same, nothing is added |
//! | `S: line` | a line of a reply; `*` stands for anything up to its end |
//! | `E:` | the whole reply to EHLO, whatever it offers |
//! | `V: word from to… flags` | a committed envelope: the word behind `with` in the trace field, reverse-path and forward-paths in brackets, 8BITMIME and SMTPUTF8 where they were said |
//! | `D: wishes` | what it asks for about notifications, decoded, MAIL before the recipients |
//! | `Q: octets` | content committed, without the trace field, an added Date shown as NOW |
//! | `X` | the server closes, although the client would go on |
//! | `L: key=N` | a limit of the listener: `recipients` (2 otherwise) or `message_size` (400000) |
//!
//! Escapes are `\r \n \t \\ \xNN` and `\*N{text}`, the text N times, where `\#` is the number of the time. All that the
//! client has to say is sent without waiting, in one write and then octet by octet: PIPELINING is offered, so both must
//! read the same. Senders of example.com and below have an account, others have none.
//!
//! `#` starts a comment. The comments at the top are the script's head: fields, one `# name: text` each, continued by
//! comment lines that start with blanks. The table in `docs/smtp.md` is made of them, with what other servers answer
//! to the same octets beside it (`tests/interop/references.py`).
//!
//! | field | what it says |
//! |---|---|
//! | `what` | the case, in a sentence or less |
//! | `kind` | `ordinary`, `tolerance` (what old clients do and the standard does not have), `limit` or `attack` |
//! | `who` | the devices, clients or attackers that do it |
//! | `rfc` | number and sections, such as `5321 §4.1.1.2, 3461 §4` |
//! | `why` | why we answer so, and why it differs from what others do |
//! | `sent` | optional; how `references.py` sends it: `in steps` (the default: a line, its reply, the next line; content whole) or `at once` (all of it before the greeting has come) |
//! | `listener` | optional; what the listener is like, where it is not the plain one, and who comes to it: see below |
//! | `apart` | optional; what this test's gate does that the real daemon cannot be made to do in that tool: the daemon's answers are not held against the `S:` lines there |
//!
//! `listener: tls=required client=192.0.2.7`: `tls` is `none`, `starttls`, `required` or `implicit` (then the client
//! begins with a handshake, unless `handshake=no`, and the script is what is said under TLS), `authentication` as in the
//! configuration, `client` an address or `uid:1000`. There is a local user `printer` with the password `ink`; in base64
//! `cHJpbnRlcg==` and `aW5r`, and for PLAIN `AHByaW50ZXIAaW5r`.

// A test that fails is to say so at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/events.rs"]
mod events;
#[path = "support/tls.rs"]
mod tls;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::{either::Either, sync::CancellationToken};
use waxseal::{
    account::{AccountId, ApplicationId, LocalPassword, User, Users},
    config::{Limits, ListenAddress, ListenerSettings, ListenerTls, ServerTls},
    inbound::{Budget, Client, Gate, Peer, Sink, serve},
    mail::{BodyType, Content, EnhancedCode, Envelope, QueueId, Reply, ReversePath},
    meter::Meter,
    queue::{CommitError, Commitment, Receipt},
    smtp::Authentication,
};

type Queue = Arc<Mutex<Vec<Committed>>>;

struct Committed {
    octets: Vec<u8>,
    envelope: String,
    wishes: String,
}

struct FakeGate {
    queue: Queue,
    limits: Limits,
    meter: Meter,
}

struct FakeSink {
    octets: Vec<u8>,
    queue: Queue,
}

impl Gate for FakeGate {
    type Sink = FakeSink;

    fn hostname(&self) -> Arc<str> {
        "relay.test".into()
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn envelopes(&self) -> Arc<Budget> {
        Arc::default()
    }

    fn listener(&self, _: usize) -> Option<Arc<ListenerSettings>> {
        None
    }

    fn users(&self) -> Arc<Users> {
        let user = |id: &str, password: &str| User {
            id: id.into(),
            username: id.to_owned(),
            password: LocalPassword::parse(password).expect("a password"),
            application: None,
        };
        Arc::new(Users::new(vec![user("printer", "ink")]))
    }

    fn application(&self, _: usize, _: Client, _: Option<&str>) -> Option<ApplicationId> {
        None
    }

    fn route(&self, _: Option<&ApplicationId>, sender: &ReversePath) -> Result<AccountId, Reply> {
        match sender.mailbox().map(|m| m.domain().ascii()) {
            None => Ok(AccountId::new("main")),
            Some(domain) if domain == "example.com" || domain.ends_with(".example.com") => {
                Ok(AccountId::new("main"))
            }
            Some(domain) => Err(Reply::new(550, EnhancedCode(5, 7, 1), format!("no account for {domain}"))),
        }
    }

    fn has_room(&self, size: Option<u64>) -> bool {
        size != Some(123_456)
    }

    fn meter(&self) -> &Meter {
        &self.meter
    }

    fn begin(&self) -> FakeSink {
        FakeSink { octets: Vec::new(), queue: Arc::clone(&self.queue) }
    }
}

impl Sink for FakeSink {
    fn id(&self) -> QueueId {
        QueueId::from_number(7)
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), CommitError> {
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    async fn send_ahead(&mut self, _: &Receipt) {}

    async fn commit(self, receipt: Receipt) -> Result<Commitment, CommitError> {
        let content = Content::new(self.octets.clone().into()).expect("content is canonical");
        assert!(content.octets().starts_with(b"Received: from "));
        let (envelope, wishes) = (shown(&receipt.envelope, &self.octets), wishes(&receipt.envelope));
        self.queue.lock().unwrap().push(Committed { octets: self.octets, envelope, wishes });
        Ok(Commitment::Durable(QueueId::from_number(7)))
    }
}

/// An envelope in one line, as in `V:`.
fn shown(envelope: &Envelope, octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let with = text.split_once(" with ").and_then(|(_, rest)| rest.split(' ').next()).expect("a trace field");
    let mut words = vec![with.to_owned(), format!("<{}>", envelope.reverse_path())];
    words.extend(envelope.forward_paths().iter().map(|path| format!("<{path}>")));
    words.extend((envelope.body() == BodyType::EightBitMime).then(|| "8BITMIME".to_owned()));
    words.extend(envelope.smtputf8().then(|| "SMTPUTF8".to_owned()));
    words.join(" ")
}

/// What an envelope asks for about notifications, in one line.
fn wishes(envelope: &Envelope) -> String {
    let words = |words: [Option<String>; 2]| words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mail = envelope.dsn();
    let mut parts = vec![words([
        mail.ret.map(|ret| format!("RET={ret}")),
        mail.envid.as_ref().map(|id| format!("ENVID={}", id.as_str())),
    ])];
    for index in 0..envelope.forward_paths().len() {
        let rcpt = envelope.dsn_recipient(index);
        let original = rcpt.orcpt.as_ref();
        parts.push(words([
            rcpt.notify.map(|notify| format!("NOTIFY={notify}")),
            original.map(|orcpt| format!("ORCPT={};{}", orcpt.addr_type(), orcpt.address())),
        ]));
    }
    parts.join(" | ")
}

/// The certificate of all listeners here.
static CERTIFICATE: LazyLock<tls::Certificate> = LazyLock::new(tls::Certificate::new);

/// Who comes to what kind of listener.
#[derive(Clone)]
struct Scene {
    client: Client,
    settings: ListenerSettings,
    handshake: bool,
}

impl Default for Scene {
    fn default() -> Self {
        let settings = ListenerSettings {
            address: ListenAddress::Tcp(([127, 0, 0, 1], 25).into()),
            clients: None,
            application: None,
            tls: ListenerTls::None,
            authentication: Authentication::None,
        };
        Self { client: Client::at([127, 0, 0, 1].into()), settings, handshake: true }
    }
}

impl Scene {
    /// Takes in `key=value key=value`.
    fn set(&mut self, text: &str) {
        for (key, value) in text.split_whitespace().map(|word| word.split_once('=').expect("key=value")) {
            match key {
                "tls" => self.settings.tls = listener_tls(value),
                "authentication" => {
                    self.settings.authentication = match value {
                        "optional" => Authentication::Optional,
                        "required" => Authentication::Required,
                        "ignore" => Authentication::Ignore,
                        _ => panic!("there is no authentication={value}"),
                    };
                }
                "client" => self.client = client(value),
                "handshake" => self.handshake = value != "no",
                _ => panic!("a listener has no {key}"),
            }
        }
    }

    fn peer(&self) -> Peer {
        let settings = Arc::new(self.settings.clone());
        Peer { client: self.client, listener: 0, listener_name: "test".into(), settings }
    }
}

fn listener_tls(word: &str) -> ListenerTls {
    let server = || ServerTls::read(&CERTIFICATE.certificate, &CERTIFICATE.private_key).expect("a key pair");
    match word {
        "none" => ListenerTls::None,
        "starttls" => ListenerTls::Offered(server()),
        "required" => ListenerTls::Required(server()),
        "implicit" => ListenerTls::Implicit(server()),
        _ => panic!("there is no tls={word}"),
    }
}

fn client(text: &str) -> Client {
    match text.strip_prefix("uid:") {
        Some(uid) => Client::Local { uid: uid.parse().expect("a number") },
        None => Client::at(text.parse().expect("an address")),
    }
}

/// A session on a duplex stream, and the queue behind it.
fn start_in(
    scene: &Scene,
    shutdown: &CancellationToken,
) -> (DuplexStream, Queue, tokio::task::JoinHandle<()>) {
    start_with(scene, limits(), 64 * 1024, shutdown)
}

fn start(shutdown: &CancellationToken) -> (DuplexStream, Queue, tokio::task::JoinHandle<()>) {
    start_in(&Scene::default(), shutdown)
}

fn limits() -> Limits {
    Limits {
        message_size: 400_000,
        recipients: 2,
        connections: 10,
        connections_per_client: 10,
        command_timeout: Duration::from_secs(300),
        data_timeout: Duration::from_secs(600),
    }
}

/// The same with other limits, and so many octets on the way in each direction.
fn start_with(
    scene: &Scene,
    limits: Limits,
    on_the_way: usize,
    shutdown: &CancellationToken,
) -> (DuplexStream, Queue, tokio::task::JoinHandle<()>) {
    events::record();
    let queue = Queue::default();
    let gate = Arc::new(FakeGate { queue: Arc::clone(&queue), limits, meter: Meter::default() });
    let (client, server) = tokio::io::duplex(on_the_way);
    let session = tokio::spawn(serve(server, gate, scene.peer(), shutdown.clone()));
    (client, queue, session)
}

struct Script {
    scene: Scene,
    head: Vec<(String, String)>,
    sent: Vec<u8>,
    replies: Vec<Wanted>,
    committed: Vec<Vec<u8>>,
    envelopes: Vec<String>,
    wishes: Vec<String>,
    closed: bool,
    limits: Limits,
}

/// What the server is to say.
enum Wanted {
    Line(String),
    /// All lines of the reply to EHLO.
    Ehlo,
}

impl Wanted {
    /// How many lines at the start of these are the wanted ones.
    fn fits(&self, lines: &[&str]) -> Option<usize> {
        match self {
            Self::Ehlo => {
                let last = lines.iter().position(|line| !line.starts_with("250-"))?;
                (last > 0 && lines[last].starts_with("250 ")).then_some(last + 1)
            }
            Self::Line(wanted) => {
                let line = lines.first()?;
                let same = wanted.strip_suffix('*').map_or(line == wanted, |start| line.starts_with(start));
                same.then_some(1)
            }
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Line(line) => line,
            Self::Ehlo => "(the reply to EHLO)",
        })
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (octets, used) = match escape.as_bytes()[0] {
            b'r' => (vec![b'\r'], 1),
            b'n' => (vec![b'\n'], 1),
            b't' => (vec![b'\t'], 1),
            b'x' => (vec![u8::from_str_radix(&escape[1..3], 16).expect("two hex digits")], 3),
            b'*' => {
                let (open, close) = (escape.find('{').expect("{"), escape.find('}').expect("}"));
                let times: usize = escape[1..open].parse().expect("a number");
                let text = &escape[open + 1..close];
                let one = |n: usize| unescape(&text.replace("\\#", &n.to_string()));
                ((1..=times).flat_map(one).collect(), close + 1)
            }
            other => (vec![other], 1),
        };
        out.extend(octets);
        rest = &escape[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn read(path: &Path) -> Script {
    let mut script = Script {
        scene: Scene::default(),
        head: head(path),
        sent: Vec::new(),
        replies: Vec::new(),
        committed: Vec::new(),
        envelopes: Vec::new(),
        wishes: Vec::new(),
        closed: false,
        limits: limits(),
    };
    let text_of = |text: &str| String::from_utf8(unescape(text)).unwrap();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let (kind, text) = line.split_at(line.len().min(3));
        match kind.trim_end() {
            "C:" => {
                script.sent.extend(unescape(text));
                script.sent.extend_from_slice(b"\r\n");
            }
            "C+" => script.sent.extend(unescape(text)),
            "S:" => {
                let lines = text_of(text);
                script.replies.extend(
                    lines.trim_end_matches('\n').split('\n').map(|line| Wanted::Line(line.to_owned())),
                );
            }
            "E:" => script.replies.push(Wanted::Ehlo),
            "Q:" => script.committed.push(unescape(text)),
            "V:" => script.envelopes.push(text_of(text)),
            "D:" => script.wishes.push(text_of(text)),
            "L:" => match text.split_once('=').map(|(key, value)| (key, value.parse().unwrap())) {
                Some(("recipients", limit)) => script.limits.recipients = limit,
                Some(("message_size", limit)) => script.limits.message_size = limit as u64,
                _ => panic!("{}: {line}", path.display()),
            },
            "X" => script.closed = true,
            kind => assert!(kind.is_empty() || kind.starts_with('#'), "{}: {line}", path.display()),
        }
    }
    script.head = head(path);
    if let Some((_, text)) = script.head.iter().find(|(name, _)| name == "listener") {
        script.scene.set(text);
    }
    script
}

/// The fields of a script's head, folded lines joined.
fn head(path: &Path) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let text = std::fs::read_to_string(path).unwrap();
    for comment in text.lines().map_while(|line| line.strip_prefix('#')) {
        let named = comment
            .strip_prefix(' ')
            .filter(|text| !text.starts_with(' '))
            .and_then(|text| text.split_once(": "));
        match (named, fields.last_mut()) {
            (Some((name, text)), _) => fields.push((name.to_owned(), text.trim().to_owned())),
            (None, Some((_, text))) if comment.starts_with("  ") => {
                text.push(' ');
                text.push_str(comment.trim());
            }
            _ => {
                panic!("{}: `#{comment}` is neither a field of the head nor the rest of one", path.display())
            }
        }
    }
    fields
}

/// Without the `Received` field, and with `NOW` for a date that was added: both differ from run to run.
fn without_trace(content: &[u8]) -> Vec<u8> {
    let folded = memchr::memmem::find_iter(content, b"\r\n").find(|end| content.get(end + 2) != Some(&b'\t'));
    let text = &content[folded.expect("a Received field") + 2..];
    let added = |line: &[u8]| line.starts_with(b"Date: ") && line.ends_with(b" +0000\r\n");
    let lines = text.split_inclusive(|b| *b == b'\n');
    lines.map(|line| if added(line) { b"Date: NOW\r\n" } else { line }).collect::<Vec<_>>().concat()
}

/// Plays a script in pieces of so many octets. `Err` is what was not as the script has it.
async fn play(script: &Script, piece: usize) -> Result<(), String> {
    let (client, queue, session) =
        start_with(&script.scene, script.limits.clone(), 64 * 1024, &CancellationToken::new());
    let client = match script.scene.settings.tls {
        ListenerTls::Implicit(_) if script.scene.handshake => {
            Either::Right(CERTIFICATE.connect(client).await.expect("a handshake"))
        }
        _ => Either::Left(client),
    };
    let (mut from_server, mut to_server) = tokio::io::split(client);
    let sent = script.sent.clone();
    let closed = script.closed;
    let sender = tokio::spawn(async move {
        for octets in sent.chunks(piece) {
            // A server that closed the connection reads no more: the replies tell whether it should have.
            if to_server.write_all(octets).await.is_err() {
                return None;
            }
        }
        if !closed {
            let _ = to_server.shutdown().await;
        }
        // Kept open: a server that should close has to do so by itself.
        if closed { Some(to_server) } else { None }
    });
    let mut got = Vec::new();
    from_server.read_to_end(&mut got).await.unwrap();
    drop((sender.await.unwrap(), from_server));
    session.await.unwrap();
    let got = String::from_utf8(got).unwrap();
    let lines: Vec<&str> = got.split_terminator("\r\n").collect();
    let mut rest = &lines[..];
    for (i, wanted) in script.replies.iter().enumerate() {
        let line = rest.first().copied().unwrap_or("(nothing)");
        let Some(fits) = wanted.fits(rest) else {
            return Err(format!("reply {} is\n  {line}\nnot\n  {wanted}\nin\n{got}", i + 1));
        };
        rest = &rest[fits..];
    }
    if !rest.is_empty() {
        return Err(format!("too many replies in\n{got}"));
    }
    let queue = queue.lock().unwrap();
    let octets: Vec<String> =
        queue.iter().map(|c| without_trace(&c.octets).escape_ascii().to_string()).collect();
    let wanted: Vec<String> = script.committed.iter().map(|c| c.escape_ascii().to_string()).collect();
    same("content", &octets, &wanted)?;
    let envelopes: Vec<String> = queue.iter().map(|c| c.envelope.clone()).collect();
    if !script.envelopes.is_empty() {
        same("envelopes", &envelopes, &script.envelopes)?;
    }
    let wishes: Vec<String> = queue.iter().map(|c| c.wishes.clone()).collect();
    if !script.wishes.is_empty() {
        same("wishes", &wishes, &script.wishes)?;
    }
    Ok(())
}

fn same(what: &str, got: &[String], wanted: &[String]) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}\n  {got:?}\nnot\n  {wanted:?}")) }
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "txt"));
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

#[tokio::test(start_paused = true)]
async fn every_dialogue_reads_the_same_in_one_write_and_octet_by_octet() {
    let mut failures = Vec::new();
    for path in scripts() {
        let script = read(&path);
        for piece in [usize::MAX, 1] {
            if let Err(failure) = play(&script, piece).await {
                failures.push(format!("{}, pieces of {piece}: {failure}", path.display()));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n\n"));
}

#[test]
fn every_dialogue_says_what_it_is_about() {
    const MUST: [&str; 5] = ["what", "kind", "who", "rfc", "why"];
    const MAY: [(&str, Option<&[&str]>); 4] = [
        ("kind", Some(&["ordinary", "tolerance", "limit", "attack"])),
        ("sent", Some(&["in steps", "at once"])),
        ("apart", None),
        ("listener", None),
    ];
    for path in scripts() {
        let (name, head) = (path.display(), read(&path).head);
        let mut names: Vec<&str> = head.iter().map(|(name, _)| name.as_str()).collect();
        for must in MUST {
            assert!(names.contains(&must), "{name}: the head has no `{must}`");
        }
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{name}: a field is there twice");
        for (field, text) in &head {
            assert!(!text.is_empty(), "{name}: `{field}` says nothing");
            match MAY.iter().find(|(may, _)| may == field) {
                Some((_, Some(words))) => assert!(words.contains(&text.as_str()), "{name}: {field}: {text}"),
                Some((_, None)) => {}
                None => assert!(MUST.contains(&field.as_str()), "{name}: `{field}` is no field"),
            }
        }
    }
}

const START: &[u8] = b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@x>\r\nDATA\r\n";

/// Reads until a line with `text` has come.
async fn expect(client: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut got = Vec::new();
    let has_come = |got: &[u8]| {
        let got = String::from_utf8_lossy(got);
        got.split_once(text).is_some_and(|(_, rest)| rest.contains("\r\n"))
    };
    while !has_come(&got) {
        assert!(client.read_buf(&mut got).await.unwrap() > 0, "{}", String::from_utf8_lossy(&got));
    }
    String::from_utf8(got).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_inside_data_leaves_nothing() {
    let (mut client, queue, session) = start(&CancellationToken::new());
    client.write_all(START).await.unwrap();
    client.write_all(b"Subject: half\r\n\r\nbody\r\n").await.unwrap();
    expect(&mut client, "354 ").await;
    drop(client);
    session.await.unwrap();
    assert!(queue.lock().unwrap().is_empty());
}

/// The same up to a first chunk of 100 octets, of which 40 have come.
const CHUNK: &[u8] = b"EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@x>\r\nBDAT 100\r\nSubject: half a chunk of a message\r\n\r\nxyz";

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_inside_a_chunk_or_between_two_leaves_nothing() {
    for sent in [CHUNK, &[CHUNK, &[b'x'; 60]].concat()] {
        let (mut client, queue, session) = start(&CancellationToken::new());
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        session.await.unwrap();
        assert!(queue.lock().unwrap().is_empty());
    }
}

/// Every phase in which a client may fall silent, with what it is waited for, in seconds.
fn phases() -> [(&'static str, Vec<u8>, u64); 6] {
    let hello = b"EHLO a\r\n".to_vec();
    [
        ("before the first command", Vec::new(), 300),
        ("between commands", hello.clone(), 300),
        ("inside a command", [&hello[..], b"MAIL FR"].concat(), 300),
        ("inside DATA", [START, b"Subject: x"].concat(), 600),
        ("inside a chunk", CHUNK.to_vec(), 600),
        ("between chunks", [CHUNK, &[b'x'; 60]].concat(), 300),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_told_so_and_closed_whatever_it_was_about() {
    for (phase, sent, seconds) in phases() {
        let (mut client, queue, session) = start(&CancellationToken::new());
        let before = tokio::time::Instant::now();
        client.write_all(&sent).await.unwrap();
        expect(&mut client, "421 4.4.2 ").await;
        let waited = before.elapsed().as_secs();
        assert!((seconds..seconds + 2).contains(&waited), "{phase}: {waited} s");
        drop(client);
        session.await.unwrap();
        assert!(queue.lock().unwrap().is_empty(), "{phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn dribbling_octets_does_not_put_the_deadline_off() {
    let dribbled = ["inside a command", "inside DATA", "inside a chunk"];
    for (phase, sent, seconds) in phases().into_iter().filter(|(phase, ..)| dribbled.contains(phase)) {
        let (client, _, _session) = start(&CancellationToken::new());
        let (mut from_server, mut to_server) = tokio::io::split(client);
        to_server.write_all(&sent).await.unwrap();
        let before = tokio::time::Instant::now();
        let dribble = tokio::spawn(async move {
            while to_server.write_all(b"N").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
        });
        let mut got = Vec::new();
        from_server.read_to_end(&mut got).await.unwrap();
        assert!(String::from_utf8_lossy(&got).contains("421 4.4.2 "), "{phase}");
        let waited = before.elapsed().as_secs();
        assert!((seconds..seconds + 5).contains(&waited), "{phase}: {waited} s");
        dribble.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn small_chunks_do_not_put_the_deadline_of_a_message_off() {
    let (client, queue, _session) = start(&CancellationToken::new());
    let (mut from_server, mut to_server) = tokio::io::split(client);
    let before = tokio::time::Instant::now();
    tokio::spawn(async move {
        to_server.write_all(&START[..START.len() - 6]).await.unwrap();
        while to_server.write_all(b"BDAT 1\r\nx").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(200)).await;
        }
    });
    let mut got = Vec::new();
    from_server.read_to_end(&mut got).await.unwrap();
    let got = String::from_utf8(got).unwrap();
    assert_eq!(got.matches("1 octets received").count(), 4, "{got}");
    assert!((600..610).contains(&before.elapsed().as_secs()), "{got}");
    assert!(queue.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_is_waited_for() {
    let (mut client, queue, _session) = start(&CancellationToken::new());
    client.write_all(START).await.unwrap();
    client.write_all(b"Subject: an old modem\r\n\r\n").await.unwrap();
    // More than eleven minutes at 500 octets a second.
    for _ in 0..70_000 {
        client.write_all(&[b'x'; 5]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.write_all(b"\r\n.\r\n").await.unwrap();
    expect(&mut client, "250 2.0.0 queued").await;
    assert_eq!(queue.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_its_replies_is_given_up() {
    let (client, _, session) = start_with(&Scene::default(), limits(), 4096, &CancellationToken::new());
    let (_from_server, mut to_server) = tokio::io::split(client);
    let before = tokio::time::Instant::now();
    tokio::spawn(async move { while to_server.write_all(b"VRFY someone\r\n").await.is_ok() {} });
    session.await.unwrap();
    assert!(before.elapsed() <= Duration::from_secs(310), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn refusals_come_slowly_past_the_tenth() {
    let (mut client, _, _session) = start(&CancellationToken::new());
    let before = tokio::time::Instant::now();
    for _ in 0..20 {
        client.write_all(b"MAIL FROM:<a@elsewhere.org>\r\n").await.unwrap();
    }
    expect(&mut client, "421 4.7.0 ").await;
    assert_eq!(before.elapsed().as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_one_deadline_however_slowly_it_comes() {
    for (mode, hello) in [
        ("implicit", &b"\x16\x03\x01\x02\x00"[..]),
        ("starttls", b"STARTTLS\r\n\x16\x03\x01"),
        ("implicit", b""),
    ] {
        let mut scene = Scene::default();
        scene.set(&format!("tls={mode} client=192.0.2.7"));
        let (mut client, _, session) = start_in(&scene, &CancellationToken::new());
        let before = tokio::time::Instant::now();
        client.write_all(hello).await.unwrap();
        let dribble = async {
            while client.write_all(b"\x01").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(7)).await;
            }
        };
        if hello.is_empty() {
            session.await.unwrap();
        } else {
            let (ended, ()) = tokio::join!(session, dribble);
            ended.unwrap();
        }
        let after = before.elapsed();
        assert!((29..40).contains(&after.as_secs()), "{mode}: {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_said_in_the_clear_is_known_under_tls() {
    let mut scene = Scene::default();
    scene.set("tls=starttls client=192.0.2.7");
    let (mut client, queue, session) = start_in(&scene, &CancellationToken::new());
    let clear = b"EHLO in-the-clear\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@x>\r\nSTARTTLS\r\n";
    client.write_all(clear).await.unwrap();
    expect(&mut client, "220 2.0.0 ").await;
    let mut client = CERTIFICATE.connect(client).await.unwrap();
    client.write_all(b"RCPT TO:<b@x>\r\nDATA\r\nSTARTTLS\r\n").await.unwrap();
    let text = expect(&mut client, "TLS is active").await;
    assert!(text.starts_with("503 5.5.1 Need MAIL first\r\n503 5.5.1 Need MAIL first\r\n503 "), "{text}");
    client.write_all(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@x>\r\nDATA\r\n.\r\nQUIT\r\n").await.unwrap();
    let text = expect(&mut client, "221 ").await;
    assert!(!text.contains("220 "), "no second greeting: {text}");
    drop(client);
    session.await.unwrap();
    let trace = String::from_utf8(queue.lock().unwrap()[0].octets.clone()).unwrap();
    let wanted = "Received: from unknown ([192.0.2.7])\r\n\t(using TLSv1.3 with cipher TLS_";
    assert!(trace.starts_with(wanted), "{trace}");
    assert!(!trace.contains("in-the-clear"), "{trace}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_login_is_answered_later_each_time_and_the_right_one_at_once() {
    let mut scene = Scene::default();
    scene.set("authentication=required");
    let (mut client, _, session) = start_in(&scene, &CancellationToken::new());
    expect(&mut client, "220 ").await;
    let mut waits = Vec::new();
    for line in [
        &b"AUTH PLAIN AHByaW50ZXIAaW4\r\n"[..],
        b"AUTH PLAIN AG5vYm9keQBpbms=\r\n",
        b"AUTH PLAIN AABpbms\r\n",
    ] {
        let made = tokio::time::Instant::now();
        client.write_all(line).await.unwrap();
        expect(&mut client, "535 5.7.8 ").await;
        waits.push(made.elapsed().as_secs());
    }
    assert_eq!(waits, [1, 2, 4]);
    for wait in [8, 8] {
        let made = tokio::time::Instant::now();
        client.write_all(b"AUTH LOGIN\r\ncHJpbnRlcg==\r\ndG9uZXI=\r\n").await.unwrap();
        expect(&mut client, "535 5.7.8 ").await;
        assert_eq!(made.elapsed().as_secs(), wait);
    }
    let made = tokio::time::Instant::now();
    client.write_all(b"AUTH PLAIN AHByaW50ZXIAaW5r\r\n").await.unwrap();
    expect(&mut client, "235 2.7.0 ").await;
    assert!(made.elapsed() < Duration::from_secs(1));
    drop(client);
    session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn ten_wrong_logins_end_a_session_of_whatever_kind_they_are() {
    let wrong = ["AHByaW50ZXIAaW4", "AG5vYm9keQBpbms=", "c2Nhbm5lcgBwcmludGVyAGluaw=="];
    let mut scene = Scene::default();
    scene.set("authentication=optional");
    let (mut client, _, session) = start_in(&scene, &CancellationToken::new());
    for line in wrong.iter().cycle().take(9) {
        client.write_all(format!("AUTH PLAIN {line}\r\n").as_bytes()).await.unwrap();
        expect(&mut client, "535 5.7.8 ").await;
    }
    client.write_all(b"AUTH PLAIN AHByaW50ZXIAaW4\r\n").await.unwrap();
    expect(&mut client, "421 4.7.0 ").await;
    drop(client);
    session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_wrong_login() {
    let mut scene = Scene::default();
    scene.set("authentication=required");
    let shutdown = CancellationToken::new();
    let (mut client, _, session) = start_in(&scene, &shutdown);
    client.write_all(b"AUTH PLAIN AHByaW50ZXIAaW4\r\n").await.unwrap();
    expect(&mut client, "220 ").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    shutdown.cancel();
    let text = expect(&mut client, "421 4.3.2 ").await;
    assert!(!text.contains("535"), "{text}");
    drop(client);
    session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_has_logged_in_is_told_in_the_trace_field_and_who_was_let_through_is_not() {
    for (settings, wanted) in [
        ("tls=implicit authentication=required client=192.0.2.7", " with ESMTPSA id "),
        ("authentication=optional", " with ESMTPA id "),
        ("authentication=ignore client=192.0.2.7", " with ESMTP id "),
    ] {
        let mut scene = Scene::default();
        scene.set(settings);
        let (client, queue, session) = start_in(&scene, &CancellationToken::new());
        let mut client = match scene.settings.tls {
            ListenerTls::Implicit(_) => Either::Right(CERTIFICATE.connect(client).await.unwrap()),
            _ => Either::Left(client),
        };
        let words = [b"EHLO a\r\nAUTH PLAIN AHByaW50ZXIAaW5r\r\n", START, b".\r\nQUIT\r\n"].concat();
        client.write_all(&words).await.unwrap();
        expect(&mut client, "221 ").await;
        drop(client);
        session.await.unwrap();
        let trace = String::from_utf8(queue.lock().unwrap()[0].octets.clone()).unwrap();
        assert!(trace.contains(wanted), "{settings}: {trace}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_idle_sessions_and_lets_content_come_to_its_end() {
    let shutdown = CancellationToken::new();
    let (mut idle, _, idle_session) = start(&shutdown);
    let (mut busy, queue, busy_session) = start(&shutdown);
    let (mut stuck, _, _stuck_session) = start(&shutdown);
    expect(&mut idle, "220 ").await;
    for client in [&mut busy, &mut stuck] {
        client.write_all(START).await.unwrap();
        expect(client, "354 ").await;
    }
    shutdown.cancel();
    expect(&mut idle, "421 4.3.2 ").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    busy.write_all(b"Subject: x\r\n\r\nx\r\n.\r\n").await.unwrap();
    let text = expect(&mut busy, "421 4.3.2 ").await;
    assert!(text.starts_with("250 2.0.0 queued as "), "{text}");
    assert_eq!(queue.lock().unwrap().len(), 1);
    expect(&mut stuck, "421 4.3.2 ").await;
    drop((idle, busy));
    idle_session.await.unwrap();
    busy_session.await.unwrap();
}

/// A task's memory is its future's, and most sessions are idle.
#[test]
fn an_idle_session_is_small() {
    let gate = Arc::new(FakeGate { queue: Queue::default(), limits: limits(), meter: Meter::default() });
    let (_client, server) = tokio::io::duplex(64);
    let session = serve(server, gate, Scene::default().peer(), CancellationToken::new());
    assert!(std::mem::size_of_val(&session) <= 2560, "{}", std::mem::size_of_val(&session));
}
