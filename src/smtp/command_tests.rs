use super::*;
use crate::mail::{Notify, Ret};
use crate::smtp::auth::Mechanism;

#[test]
fn verbs() {
    let cases: &[(&str, Result<Command, u16>)] = &[
        ("EHLO my_pc", Ok(Command::Ehlo("my_pc".into()))),
        ("ehlo", Ok(Command::Ehlo(String::new()))),
        ("HELO two words ", Ok(Command::Helo("two words".into()))),
        ("data", Ok(Command::Data)),
        ("DATA ", Ok(Command::Data)),
        ("DATA now", Err(501)),
        ("RSET", Ok(Command::Rset)),
        ("QUIT", Ok(Command::Quit)),
        ("NOOP whatever", Ok(Command::Noop)),
        ("VRFY root", Ok(Command::Vrfy)),
        ("HELP", Ok(Command::Help)),
        ("EXPN staff", Err(502)),
        ("TURN", Err(502)),
        ("starttls", Ok(Command::StartTls)),
        ("STARTTLS now", Err(501)),
        ("AUTH", Err(501)),
        ("AUTH=", Err(501)),
        ("AUTHOR", Err(500)),
        ("XCLIENT ADDR=192.0.2.1", Err(502)),
        ("GET / HTTP/1.1", Ok(Command::Http)),
        ("", Err(500)),
        ("XYZZY", Err(500)),
        ("ABCDEFGHIJ", Err(500)),
    ];
    for (line, wanted) in cases {
        assert_eq!(parse(line.as_bytes()).map_err(|r| r.code()), *wanted, "{line:?}");
    }
}

/// The path, the size and whether the body is 8-bit; or the code.
fn read_mail(line: &str) -> Result<(String, Option<u64>, bool), u16> {
    match parse(line.as_bytes()) {
        Ok(Command::Mail(m)) => Ok((m.reverse_path.to_string(), m.size, m.body == BodyType::EightBitMime)),
        Ok(other) => panic!("{line:?} is {other:?}"),
        Err(reply) => Err(reply.code()),
    }
}

#[test]
fn mail() {
    let good: &[(&str, &str, Option<u64>, bool)] = &[
        ("MAIL FROM:<a@b.example>", "a@b.example", None, false),
        ("mail from: <a@b> ", "a@b", None, false),
        ("MAIL FROM : < a@b >", "a@b", None, false),
        ("MAIL FROM:a@b", "a@b", None, false),
        ("MAIL FROM:a@b SIZE=10", "a@b", Some(10), false),
        ("MAIL FROM:<>", "", None, false),
        ("MAIL FROM:<@x,@y:a@b>", "a@b", None, false),
        ("MAIL FROM:<@[IPv6:::1]:a@b>", "a@b", None, false),
        ("MAIL FROM:<\"a > b\"@x> BODY=8BITMIME", "\"a > b\"@x", None, true),
        ("MAIL FROM:<a@[IPv6:::1]>", "a@[IPv6:::1]", None, false),
        ("MAIL FROM:<a@b> size=99999999999999999999 body=7bit", "a@b", Some(u64::MAX), false),
        ("MAIL FROM:<a@b> AUTH=<>", "a@b", None, false),
        ("MAIL FROM:a@b AUTH=<>", "a@b", None, false),
        ("MAIL FROM:<jürgen@b> SMTPUTF8", "jürgen@b", None, false),
        ("MAIL FROM:<a@b>SIZE=1", "a@b", Some(1), false),
        ("MAIL FROM:a@b (Ann B.) SIZE=1", "a@b", Some(1), false),
        ("MAIL FROM:<<a@b>> SIZE=1", "a@b", Some(1), false),
        ("MAIL FROM:<Ann B. <a@b>> SIZE=1", "a@b", Some(1), false),
        ("MAIL FROM: Ann B. <a@b> SIZE=1", "a@b", Some(1), false),
        ("MAIL FROM:\"Ann <at> home@x\" <a@b>", "a@b", None, false),
    ];
    for (line, path, size, eight) in good {
        assert_eq!(read_mail(line), Ok((path.to_string(), *size, *eight)), "{line:?}");
    }
    let bad = [
        ("MAIL", 501),
        ("MAIL a@b", 501),
        ("MAIL FROM", 501),
        ("MAIL FROM:", 501),
        ("MAIL TO:<a@b>", 501),
        ("MAIL FROM:<a@b", 501),
        ("MAIL FROM:<root>", 501),
        ("MAIL FROM:<Ann <a@b>", 501),
        ("MAIL FROM:<a@b> (Ann", 501),
        ("MAIL FROM:<a@b>;", 555),
        ("MAIL FROM:<a@b>>", 555),
        ("MAIL FROM:<a b@x>", 501),
        ("MAIL FROM:<a\rc@b>", 501),
        ("MAIL FROM:<jürgen@b>", 553),
        ("MAIL FROM:<a@b> SIZE=x", 501),
        ("MAIL FROM:<a@b> SIZE=", 501),
        ("MAIL FROM:<a@b> BODY=BINARYMIME", 501),
        ("MAIL FROM:<a@b> SMTPUTF8=yes", 501),
        ("MAIL FROM:<a@b> NOTIFY=NEVER", 555),
        ("MAIL FROM:<a@b> RET=", 501),
        ("MAIL FROM:<a@b> RET=BODY", 501),
        ("MAIL FROM:<a@b> RET=FULL RET=FULL", 501),
        ("MAIL FROM:<a@b> ENVID", 501),
        ("MAIL FROM:<a@b> ENVID=a=b", 501),
        ("MAIL FROM:<a@b> ENVID=a+0Ab", 501),
        ("MAIL FROM:<a@b> ENVID=a ENVID=b", 501),
    ];
    for (line, code) in bad {
        assert_eq!(read_mail(line), Err(code), "{line:?}");
    }
    assert_eq!(parse(b"MAIL FROM:<j\xfcrgen@b>").map_err(|r| r.code()), Err(553));
}

#[test]
fn rcpt() {
    let cases = [
        ("RCPT TO:<a@b>", Ok("a@b")),
        ("rcpt to: a@b", Ok("a@b")),
        ("RCPT TO:<PostMaster>", Ok("postmaster")),
        ("RCPT TO:<@x:a@b>", Ok("a@b")),
        ("RCPT TO:<>", Err(501)),
        ("RCPT TO:<nobody>", Err(501)),
        ("RCPT FROM:<a@b>", Err(501)),
        ("RCPT TO:<a@b> RET=FULL", Err(555)),
        ("RCPT TO:<a@b> NOTIFY=", Err(501)),
        ("RCPT TO:<a@b> NOTIFY=NEVER,SUCCESS", Err(501)),
        ("RCPT TO:<a@b> NOTIFY=NEVER NOTIFY=DELAY", Err(501)),
        ("RCPT TO:<a@b> ORCPT=a@b", Err(501)),
        ("RCPT TO:<a@b> ORCPT=rfc822;a@b ORCPT=rfc822;a@b", Err(501)),
    ];
    for (line, wanted) in cases {
        let got = match parse(line.as_bytes()) {
            Ok(Command::Rcpt(rcpt)) => Ok(rcpt.forward_path.to_string()),
            Ok(other) => panic!("{line:?} is {other:?}"),
            Err(reply) => Err(reply.code()),
        };
        assert_eq!(got, wanted.map(str::to_owned), "{line:?}");
    }
}

#[test]
fn auth_is_understood_as_old_clients_write_it() {
    for line in ["AUTH LOGIN", "auth login", "AUTH=LOGIN", "auth= login", "AUTH LOGIN "] {
        let Ok(Command::Auth(auth)) = parse(line.as_bytes()) else { panic!("{line}") };
        assert_eq!((auth.mechanism, auth.initial), (Some(Mechanism::Login), None), "{line}");
    }
    let Ok(Command::Auth(auth)) = parse(b"AUTH PLAIN =") else { panic!() };
    assert!(auth.mechanism == Some(Mechanism::Plain) && auth.initial.is_some());
}

#[test]
fn chunks() {
    let good = [
        ("BDAT 0", 0, false),
        ("bdat 86 last", 86, true),
        ("BDAT  86\tLAST ", 86, true),
        ("BDAT 007", 7, false),
        ("BDAT 18446744073709551615", u64::MAX, false),
        ("BDAT 99999999999999999999999 LAST", u64::MAX, true),
    ];
    for (line, octets, last) in good {
        assert_eq!(parse(line.as_bytes()), Ok(Command::Bdat(Chunk { octets, last })), "{line}");
    }
    for size in
        ["", "LAST", "x", "-1", "+1", "1.5", "0x10", "1 2", "1 LAST x", "1 LASTx", "1\rLAST", "1\0", "١"]
    {
        assert_eq!(parse(format!("BDAT {size}").as_bytes()), Ok(Command::BdatUnclear), "{size:?}");
    }
}

#[test]
fn wishes_about_notifications() {
    let Ok(Command::Mail(mail)) = parse(b"MAIL FROM:<a@b> envid=QQ+2B1 SIZE=1 ret=hdrs") else { panic!() };
    assert_eq!(mail.dsn.ret, Some(Ret::Headers));
    assert_eq!(mail.dsn.envid.as_ref().map(|id| id.as_str()), Some("QQ+1"));
    let Ok(Command::Rcpt(rcpt)) = parse(b"RCPT TO:<a@b> NOTIFY=delay,SUCCESS orcpt=rfc822;A+20x@b") else {
        panic!()
    };
    assert_eq!(rcpt.dsn.notify, Some(Notify { success: true, failure: false, delay: true }));
    assert_eq!(rcpt.dsn.orcpt.as_ref().map(|orcpt| orcpt.address()), Some("A x@b"));
    let Ok(Command::Rcpt(plain)) = parse(b"RCPT TO:<a@b>") else { panic!() };
    assert_eq!(plain.dsn, DsnRecipient::default());
}
