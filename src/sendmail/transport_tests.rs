use super::*;
use crate::{
    mail::{DsnRequest, ForwardPath, ReversePath},
    sendmail::{
        compose::{Author, Defaults},
        message::Draft,
    },
};
use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::net::UnixListener,
    thread::{self, JoinHandle},
    time::SystemTime,
};

fn message(text: &str) -> Message {
    let author = Author { address: "a@b".into(), name: String::new() };
    let defaults =
        Defaults { author: &author, domain: "b", date: SystemTime::UNIX_EPOCH, message_id: "<1@b>" };
    Draft::read(&mut text.as_bytes(), true).unwrap().complete(&defaults)
}

fn submission(message: &Message) -> Submission {
    Submission {
        sender: ReversePath::parse("a@b").unwrap(),
        recipients: vec![ForwardPath::parse("c@d").unwrap()],
        size: message.size(),
        eight_bit: false,
        dsn: DsnRequest::default(),
        notify: None,
    }
}

/// Answers one connection: the replies in turn, each after a line, the content behind 354 up to its end. What it heard.
fn serve(
    mut stream: impl Read + Write + Send + 'static,
    replies: &'static [&'static str],
) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut heard = String::new();
        let mut pending: Vec<u8> = Vec::new();
        let mut line = |stream: &mut dyn Read| -> Option<String> {
            loop {
                if let Some(end) = pending.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = pending.drain(..=end).collect();
                    return Some(String::from_utf8_lossy(&line).into_owned());
                }
                let mut octets = [0; 65536];
                match stream.read(&mut octets) {
                    Ok(read @ 1..) => pending.extend_from_slice(&octets[..read]),
                    _ => return None,
                }
            }
        };
        for reply in replies {
            if stream.write_all(format!("{reply}\r\n").as_bytes()).is_err() {
                break;
            }
            let content = reply.starts_with("354");
            while let Some(line) = line(&mut stream) {
                heard.push_str(&line);
                if !content || line == ".\r\n" {
                    break;
                }
            }
        }
        heard
    })
}

const GOOD: [&str; 6] = ["220 x", "250 x", "250 ok", "250 ok", "354 go", "250 2.0.0 queued"];

#[test]
fn the_socket_comes_first_and_then_the_next_door() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("smtp.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let doors = [Door::Unix(path.clone()), Door::Tcp(tcp.local_addr().unwrap())];
    let message = message("Subject: x\n\n.dot\n");
    let listen = thread::spawn(move || serve(tcp.accept().unwrap().0, &GOOD).join().unwrap());
    let fates = hand_over(&doors, "me", &submission(&message), &message);
    assert!(matches!(&fates[..], [Fate::Taken(reply)] if reply.text() == "queued"), "{fates:?}");
    assert!(listen.join().unwrap().contains("\r\n..dot\r\n.\r\n"));

    let unix = UnixListener::bind(&path).unwrap();
    let listen = thread::spawn(move || serve(unix.accept().unwrap().0, &GOOD).join().unwrap());
    assert!(matches!(&hand_over(&doors, "me", &submission(&message), &message)[..], [Fate::Taken(_)]));
    assert!(
        listen.join().unwrap().starts_with("EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nDate: ")
    );
}

#[test]
fn what_servers_do_instead() {
    type Wanted = fn(&Fate) -> bool;
    let put_off: Wanted = |fate| matches!(fate, Fate::PutOff { in_doubt: false, .. });
    let cases: [(&'static [&'static str], Wanted); 8] = [
        (&["421 4.3.2 going"], put_off),
        (&["HTTP/1.1 400 Bad Request"], put_off),
        (&[], put_off),
        (&["220 x"], put_off),
        (&["554 5.7.1 not you"], |fate| matches!(fate, Fate::Refused { of_recipient: false, .. })),
        (&["220 x", "250 x", "550 5.7.1 no account"], |fate| matches!(fate, Fate::Refused { .. })),
        (&["220 x", "250 x", "250 ok", "250 ok", "354 go"], |fate| {
            matches!(fate, Fate::PutOff { in_doubt: true, .. })
        }),
        (&["220 x", "250 x", "250 ok", "250 ok", "354 go", "451 no"], put_off),
    ];
    let message = message(&format!("Subject: x\n\n{}", "0123456789\n".repeat(100_000)));
    for (replies, wanted) in cases {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let door = Door::Tcp(tcp.local_addr().unwrap());
        let listen = thread::spawn(move || serve(tcp.accept().unwrap().0, replies).join().unwrap());
        let fates = hand_over(&[door], "me", &submission(&message), &message);
        assert!(wanted(&fates[0]), "{replies:?}: {fates:?}");
        listen.join().unwrap();
    }
    assert!(put_off(&hand_over(&[], "me", &submission(&message), &message)[0]));
}

/// The whole of a large message is what the server reads, dots undone.
#[test]
fn a_large_message_arrives_whole() {
    let body = ".starts with a dot\r\nordinary\r\n".repeat(40_000);
    let message = message(&format!("Subject: x\n\n{}", body.replace("\r\n", "\n")));
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = Door::Tcp(tcp.local_addr().unwrap());
    let listen = thread::spawn(move || {
        let mut stream = BufReader::new(tcp.accept().unwrap().0);
        let (mut content, mut line) = (String::new(), String::new());
        for reply in GOOD {
            stream.get_mut().write_all(format!("{reply}\r\n").as_bytes()).unwrap();
            loop {
                line.clear();
                if stream.read_line(&mut line).unwrap() == 0 || !reply.starts_with("354") || line == ".\r\n" {
                    break;
                }
                content.push_str(line.strip_prefix('.').unwrap_or(&line));
            }
        }
        content
    });
    assert!(matches!(&hand_over(&[door], "me", &submission(&message), &message)[..], [Fate::Taken(_)]));
    assert!(listen.join().unwrap().ends_with(&format!("Subject: x\r\n\r\n{body}")));
}
