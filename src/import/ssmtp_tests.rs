use crate::import::{
    Tool,
    tests::{only, outcome},
};

#[test]
fn ways_to_secure_and_to_log_in() {
    let login = "username = \"u\"\npassword = \"p\"\n";
    let none = "use_authentication = false\n";
    for (text, wanted) in [
        ("mailhub=h.example", format!("port = 25\nsecurity = \"none\"\n{none}")),
        ("mailhub=h.example:465\nUseTLS=YES", format!("port = 465\n{none}")),
        ("mailhub=h.example:587\nUseSTARTTLS=Yes", format!("port = 587\n{none}")),
        ("MailHub = h.example 587\nUseSTARTTLS=yes", format!("port = 587\n{none}")),
        ("mailhub=h.example\nUseSTARTTLS=yes\nUseTLS=no", format!("port = 25\nsecurity = \"none\"\n{none}")),
        ("mailhub=h.example\nUseTLS=yes", format!("port = 25\nsecurity = \"tls\"\n{none}")),
        ("mailhub=h.example\nRemotePort=2525", format!("port = 2525\nsecurity = \"none\"\n{none}")),
        // A password never goes out in the clear.
        ("mailhub=h.example\nAuthUser=u\nAuthPass=p", format!("port = 25\n{login}")),
        (
            "mailhub=h.example:587\nUseSTARTTLS=YES\nAuthUser=u\nAuthPass=p # no\nAuthMethod=cram-md5",
            format!("port = 587\n{login}mechanism = \"cram-md5\"\n"),
        ),
    ] {
        let head = "[account.h-example]\ntype = \"basic\"\ndefault = true\naddress = \"h.example\"\n";
        assert_eq!(only(Tool::Ssmtp, "/s", text), format!("{head}{wanted}"), "{text}");
    }
}

#[test]
fn what_is_left_out_is_named() {
    let text = "root=\nroot=me\nmailhub=127.0.0.1\nhostname=h\nTLSCert=/c\nSomething=1\nnonsense\n\
                TLS_CA_File=/nowhere\n";
    let (accounts, notes) = outcome(Tool::Ssmtp, &["/s"], &[("/s", text)]);
    assert!(accounts[0].contains("security = \"none\"\n"), "{}", accounts[0]);
    assert_eq!(notes, ["/s:2 root", "/s:4 hostname", "/s:5 TLSCert", "/s:6 Something", "/s:8 TLS_CA_File"]);
}

#[test]
fn revaliases_make_accounts_of_their_mailhubs() {
    let aliases = "# c\na:a@one.example:h.example\nb:b@two.example:other.example:587\n\
                   c:@two.example:other.example:587\n\
                   d:d@x.example\ne:none:third.example\n";
    let files = [("/s/ssmtp.conf", "mailhub=h.example\n"), ("/s/revaliases", aliases)];
    let (accounts, notes) = outcome(Tool::Ssmtp, &["/s"], &files);
    assert_eq!(accounts.len(), 2);
    let wanted =
        "domain = \"two.example\"\nsenders = [\"b@two.example\"]\naddress = \"other.example\"\nport = 587\n";
    assert!(accounts[1].contains(wanted), "{}", accounts[1]);
    assert_eq!(notes.len(), 6, "{notes:?}");
}
