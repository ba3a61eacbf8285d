//! `waxseal sendmail`, `sendmail`, `mailq` and `newaliases`: sendmail(8), whose command line and exit codes are its own.

use super::{
    client::{SOCKET, converse, tell_left_out},
    output::{complain, say},
};
use crate::{
    admin::{
        answer_stopped,
        protocol::{Answer, MessageView, QueueChange, Request},
    },
    config::{Front, front, process_env},
    sendmail::{
        Exit, bridge,
        options::{self, HELP, Mode},
        submit,
    },
    spool::Spool,
};
use std::{
    ffi::{OsStr, OsString},
    io::{self, ErrorKind},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Names by which sendmail(8) is called.
const NAMES: [&str; 3] = ["sendmail", "mailq", "newaliases"];

/// A call of sendmail(8): its name, the configuration named before it, its words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    called: String,
    config: Option<PathBuf>,
    words: Vec<OsString>,
}

impl Call {
    /// `waxseal sendmail` with these words.
    pub(super) fn new(config: Option<PathBuf>, words: Vec<OsString>) -> Self {
        Self { called: NAMES[0].to_owned(), config, words }
    }

    /// The call that a process's arguments are, where they are one: through a link of such a name, or `waxseal
    /// sendmail`. It is not for clap to read, whose `-h` and `-V` are others.
    pub(super) fn recognize(arguments: &[OsString]) -> Option<Self> {
        let (program, mut words) = arguments.split_first()?;
        let called = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
        if NAMES.contains(&called) {
            return Some(Self { called: called.to_owned(), config: None, words: words.to_vec() });
        }
        let mut config = None;
        loop {
            match words {
                [word, rest @ ..] if word == NAMES[0] => return Some(Self::new(config, rest.to_vec())),
                [option, path, rest @ ..] if option == "--config" => {
                    (config, words) = (Some(path.into()), rest);
                }
                [option, rest @ ..] => {
                    let path = option.to_str().and_then(|option| option.strip_prefix("--config="))?;
                    (config, words) = (Some(path.into()), rest);
                }
                [] => return None,
            }
        }
    }

    /// Runs it.
    pub(super) fn run(self) -> ExitCode {
        ExitCode::from(self.end().code())
    }

    fn end(self) -> Exit {
        // What is not UTF-8 is no address; a name in another charset loses its letters, and not the message.
        let words = self.words.iter().map(|word| word.to_string_lossy().into_owned());
        let options = match options::parse(&self.called, words) {
            Ok(options) => options,
            Err(error) => {
                complain(&error.to_string());
                return Exit::Usage;
            }
        };
        match options.mode {
            Mode::Help => {
                say(HELP.trim_end());
                return Exit::Ok;
            }
            Mode::Version => {
                say(&format!("waxseal {}", env!("WAXSEAL_VERSION")));
                return Exit::Ok;
            }
            Mode::Aliases => return Exit::Ok,
            _ => {}
        }
        let config = options.config.as_deref().or(self.config.as_deref());
        let front = match front(config, process_env()) {
            Ok(front) => front,
            Err(problem) => {
                complain(&problem);
                return Exit::Config;
            }
        };
        match options.mode {
            Mode::Smtp => bridge(&front),
            Mode::ListQueue => list(&front),
            Mode::Flush => flush(&front),
            _ => {
                let report = submit(&options, &front, &mut io::stdin().lock());
                report.complaints.iter().for_each(|complaint| complain(complaint));
                if options.verbose {
                    report.remarks.iter().for_each(|remark| complain(remark));
                }
                report.exit
            }
        }
    }
}

/// Asks the daemon. `Err` is the exit code, after the reason has been printed; `None` where none listens.
fn ask(front: &Front, request: &Request) -> Result<Option<serde_json::Value>, Exit> {
    let path = front.state_dir.join(SOCKET);
    match UnixStream::connect(&path) {
        // Whatever goes wrong from here on has been printed.
        Ok(stream) => {
            converse(stream, &path, request, &mut tell_left_out).map(Some).map_err(|_| Exit::Unavailable)
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => {
            complain(&format!(
                "{}: {error}; the queue is for root and the daemon's user: try sudo",
                path.display()
            ));
            Err(Exit::NoPermission)
        }
    }
}

/// Postfix's form, which monitoring knows. Of a daemon that is stopped its files are read.
fn list(front: &Front) -> Exit {
    let request = Request::QueueList { account: None, most: 100_000 };
    let answer = match ask(front, &request) {
        Ok(Some(answer)) => answer,
        Ok(None) => match answer_stopped(&front.state_dir, &request, &mut |_| {}) {
            Answer::Done(answer) | Answer::Progress(answer) => {
                complain("the daemon is not running: this is from its files");
                answer
            }
            Answer::Failed { message, .. } => {
                complain(&format!("the daemon is not running; by its files: {message}"));
                return Exit::Unavailable;
            }
        },
        Err(exit) => return exit,
    };
    let Ok(messages) = serde_json::from_value::<Vec<MessageView>>(answer) else {
        complain("the daemon's answer is of another version");
        return Exit::Software;
    };
    say(listing(&messages).trim_end());
    let spool = Spool::new(&front.spool);
    let spooled = spool.count_waiting();
    if spooled > 0 {
        let place = spool.root().display();
        complain(&format!(
            "besides, {spooled} messages are in the spool {place}: the daemon takes them when it runs"
        ));
    }
    Exit::Ok
}

fn listing(messages: &[MessageView]) -> String {
    if messages.is_empty() {
        return "Mail queue is empty\n".into();
    }
    let mut out = String::from("-Queue ID-----  --Size-- ----Arrival Time---- -Sender/Recipient-------\n");
    for message in messages {
        let mark = match message.state.as_str() {
            "active" => '*',
            "held" => '!',
            _ => ' ',
        };
        let from = if message.from.is_empty() { "MAILER-DAEMON" } else { &message.from };
        out.push_str(&format!("{}{mark} {:>8} {}  {from}\n", message.id, message.size, message.received_at));
        if !message.last_reply.is_empty() {
            out.push_str(&format!("  ({})\n", message.last_reply.replace('\n', " ")));
        }
        for to in &message.to {
            out.push_str(&format!("{:46}{to}\n", ""));
        }
        out.push('\n');
    }
    let kilobytes = messages.iter().map(|message| message.size).sum::<u64>().div_ceil(1024);
    let requests = if messages.len() == 1 { "Request" } else { "Requests" };
    out.push_str(&format!("-- {kilobytes} Kbytes in {} {requests}.\n", messages.len()));
    out
}

/// The queue is tried again by itself: whoever may not hasten it has lost nothing.
fn flush(front: &Front) -> Exit {
    let change =
        Request::QueueChange { change: QueueChange::Retry, ids: Vec::new(), account: None, all: true };
    match ask(front, &change) {
        Ok(Some(_)) | Err(Exit::NoPermission) => Exit::Ok,
        Ok(None) => {
            complain("waxseal is not running; what waits goes by itself once it is");
            Exit::Unavailable
        }
        Err(exit) => exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_called() {
        let recognized = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            Call::recognize(&words).map(|call| {
                let config = call.config.map(|path| path.display().to_string()).unwrap_or_default();
                let words: Vec<_> = call.words.iter().map(|word| word.to_str().unwrap()).collect();
                format!("{} [{config}] {}", call.called, words.join(" "))
            })
        };
        let cases = [
            ("/usr/sbin/sendmail -t -i", Some("sendmail [] -t -i")),
            ("mailq", Some("mailq [] ")),
            ("/usr/bin/newaliases", Some("newaliases [] ")),
            ("waxseal sendmail -V x a@b", Some("sendmail [] -V x a@b")),
            ("/usr/bin/waxseal --config c.toml sendmail -t", Some("sendmail [c.toml] -t")),
            ("waxseal --config=c.toml sendmail --config d.toml", Some("sendmail [c.toml] --config d.toml")),
            ("waxseal serve", None),
            ("waxseal", None),
            ("waxseal --config sendmail", None),
            ("waxseal route sendmail", None),
            ("sendmail.waxseal -t", None),
        ];
        for (line, wanted) in cases {
            assert_eq!(recognized(line).as_deref(), wanted, "{line}");
        }
    }

    #[test]
    fn listings_read_as_monitoring_expects_them() {
        assert_eq!(listing(&[]), "Mail queue is empty\n");
        let message = MessageView {
            node: None,
            id: "01KB0R5V7QX2C".into(),
            state: "held".into(),
            account: "a".into(),
            from: String::new(),
            to: vec!["a@b".into(), "c@d".into()],
            size: 1500,
            received_at: "2026-11-23T22:25:56Z".into(),
            next_attempt_at: None,
            attempts: 1,
            last_reply: "451 4.7.0 later\nor never".into(),
        };
        let text = listing(std::slice::from_ref(&message));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "01KB0R5V7QX2C!     1500 2026-11-23T22:25:56Z  MAILER-DAEMON");
        assert_eq!(lines[2], "  (451 4.7.0 later or never)");
        assert_eq!(lines[3].trim(), "a@b");
        assert_eq!(lines[6], "-- 2 Kbytes in 1 Request.");
    }
}
