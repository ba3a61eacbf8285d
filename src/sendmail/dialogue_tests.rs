use super::*;

fn submission(sender: &str, recipients: &[&str]) -> Submission {
    Submission {
        sender: ReversePath::parse(sender).unwrap(),
        recipients: recipients.iter().map(|to| ForwardPath::parse(to).unwrap()).collect(),
        size: 10,
        eight_bit: false,
        dsn: DsnRequest::default(),
        notify: None,
    }
}

/// Plays `script`, replies and what has to be said after each (`.` is content, empty is the end). Recipients' fates in
/// short: `+` taken, `-` refused, `-r` by RCPT, `?` put off, `??` in doubt.
fn play(submission: &Submission, script: &[(&str, &str)]) -> Vec<&'static str> {
    let (mut dialogue, mut step) = Dialogue::begin(submission, "me");
    assert_eq!(step, Step::Say("EHLO me".into()));
    for (reply, said) in script {
        let (code, text) = reply.split_once(' ').unwrap();
        step = dialogue.hear(&Reply::received(code.parse().unwrap(), text));
        let wanted = match *said {
            "" => Step::Over,
            "." => Step::Content,
            line => Step::Say(line.into()),
        };
        assert_eq!(step, wanted, "after {reply}");
    }
    let short = |fate: Fate| match fate {
        Fate::Taken(_) => "+",
        Fate::Refused { of_recipient: true, .. } => "-r",
        Fate::Refused { .. } => "-",
        Fate::PutOff { in_doubt: true, .. } => "??",
        Fate::PutOff { .. } => "?",
    };
    dialogue.fates("it broke").into_iter().map(short).collect()
}

const MAIL: (&str, &str) = ("250 relay", "MAIL FROM:<a@b>");
const RCPT: (&str, &str) = ("250 2.1.0 OK", "RCPT TO:<c@d>");
const MORE: (&str, &str) = ("250 2.1.5 OK", "RCPT TO:<e@f>");
const DATA: (&str, &str) = ("250 2.1.5 OK", "DATA");
const DOT: (&str, &str) = ("354 go on", ".");

#[test]
fn what_becomes_of_recipients() {
    type Case = (&'static [(&'static str, &'static str)], [&'static str; 2]);
    let cases: &[Case] = &[
        (&[MAIL, RCPT, MORE, DATA, DOT, ("250 2.0.0 queued", "")], ["+", "+"]),
        // Refusals.
        (&[MAIL, ("550 5.7.1 no account", "")], ["-", "-"]),
        (&[MAIL, RCPT, ("550 5.1.1 who", MORE.1), DATA, DOT, ("250 OK", "")], ["-r", "+"]),
        (&[MAIL, RCPT, ("550 5.1.1 who", MORE.1), ("501 5.1.3 bad", "")], ["-r", "-r"]),
        (&[MAIL, RCPT, MORE, DATA, ("554 no", "")], ["-", "-"]),
        (&[MAIL, RCPT, ("550 who", MORE.1), DATA, DOT, ("552 5.3.4 too big", "")], ["-r", "-"]),
        // Not now.
        (&[("421 4.3.2 going", "")], ["?", "?"]),
        (&[("451 what", "")], ["?", "?"]),
        (&[MAIL, ("452 4.3.1 full", "")], ["?", "?"]),
        (&[MAIL, RCPT, ("451 4.2.0 later", MORE.1), DATA, DOT, ("250 OK", "")], ["?", "+"]),
        (&[MAIL, RCPT, ("450 later", MORE.1), ("450 later", "")], ["?", "?"]),
        (&[MAIL, RCPT, MORE, ("421 4.3.2 going", "")], ["?", "?"]),
        (&[MAIL, RCPT, MORE, DATA, ("451 4.3.0 no", "")], ["?", "?"]),
        (&[MAIL, RCPT, MORE, DATA, ("250 what", "")], ["?", "?"]),
        (&[MAIL, RCPT, MORE, DATA, DOT, ("452 4.3.1 full", "")], ["?", "?"]),
        // It breaks.
        (&[], ["?", "?"]),
        (&[MAIL, RCPT, MORE], ["?", "?"]),
        (&[MAIL, RCPT, MORE, DATA], ["?", "?"]),
        (&[MAIL, RCPT, ("550 who", MORE.1), DATA, DOT], ["-r", "??"]),
        // The limit of recipients: the rest in a transaction of its own.
        (
            &[
                MAIL,
                RCPT,
                MORE,
                ("452 4.5.3 too many", "DATA"),
                DOT,
                ("250 OK", MAIL.1),
                ("250 OK", MORE.1),
                DATA,
                DOT,
                ("250 OK", ""),
            ],
            ["+", "+"],
        ),
        (&[MAIL, RCPT, MORE, ("452 4.5.3 too many", "DATA"), DOT, ("250 OK", MAIL.1)], ["+", "?"]),
        (&[MAIL, RCPT, MORE, ("452 4.5.3 too many", "DATA"), DOT, ("552 too big", "")], ["-", "-"]),
        (&[MAIL, RCPT, ("452 4.5.3 too many", MORE.1), ("452 4.5.3 too many", "")], ["?", "?"]),
        // An old server.
        (&[("502 what", "HELO me"), MAIL, RCPT, MORE, DATA, DOT, ("250 OK", "")], ["+", "+"]),
        (&[("500 what", "HELO me"), ("500 what", "")], ["?", "?"]),
    ];
    let submission = submission("a@b", &["c@d", "e@f"]);
    for (script, wanted) in cases {
        assert_eq!(play(&submission, script), *wanted, "{script:?}");
    }
}

#[test]
fn what_is_offered_is_used_and_nothing_else() {
    let mut all = submission("", &["c@d"]);
    all.eight_bit = true;
    all.dsn = DsnRequest { ret: Some("HDRS".parse().unwrap()), envid: Some("a+2Bb".parse().unwrap()) };
    all.notify = Some(Notify::NEVER);
    let rest = [("354 go on", "."), ("250 OK", "")];
    let cases = [
        ("250 relay", "MAIL FROM:<>", "RCPT TO:<c@d>"),
        ("250 relay\nsize 1000\nPIPELINING", "MAIL FROM:<> SIZE=10", "RCPT TO:<c@d>"),
        (
            "250 relay\n8BITMIME\nDSN\nSIZE",
            "MAIL FROM:<> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=a+2Bb",
            "RCPT TO:<c@d> NOTIFY=NEVER",
        ),
        // The name of the server is no keyword.
        ("250 DSN", "MAIL FROM:<>", "RCPT TO:<c@d>"),
    ];
    for (ehlo, mail, rcpt) in cases {
        let script = [[(ehlo, mail), ("250 OK", rcpt), ("250 OK", "DATA")].as_slice(), &rest].concat();
        assert_eq!(play(&all, &script), ["+"], "{ehlo}");
    }
}

#[test]
fn addresses_beyond_ascii() {
    let both = submission("a@bücher.example", &["jürgen@d", "c@bücher.example"]);
    let (mail, rcpt) = ("MAIL FROM:<a@xn--bcher-kva.example>", "RCPT TO:<c@xn--bcher-kva.example>");
    let script = [("250 x", mail), ("250 OK", rcpt), ("250 OK", "DATA"), ("354 go", "."), ("250 OK", "")];
    assert_eq!(play(&both, &script), ["-r", "+"]);
    let script = [
        ("250 x\nSMTPUTF8", "MAIL FROM:<a@bücher.example> SMTPUTF8"),
        ("250 OK", "RCPT TO:<jürgen@d>"),
        ("250 OK", "RCPT TO:<c@bücher.example>"),
    ];
    assert_eq!(play(&both, &script), ["?", "?"]);
    let sender = submission("jürgen@b", &["c@d"]);
    assert_eq!(play(&sender, &[("250 x", "")]), ["-"]);
}
