use crate::import::{
    Tool,
    tests::{only, outcome},
};

#[test]
fn accounts_word_for_word() {
    let head = "[account.a]\ntype = \"basic\"\nsenders = [\"a@h.example\"]\naddress = \"h.example\"\n";
    let login = "username = \"u\"\npassword = \"p\"\n";
    for (text, wanted) in [
        ("", "port = 25\nsecurity = \"none\"\nuse_authentication = false\n".to_owned()),
        ("port 587\ntls\n", "port = 587\nuse_authentication = false\n".to_owned()),
        ("tls on\ntls_starttls off\n", "port = 465\nuse_authentication = false\n".to_owned()),
        (
            "tls off\ntls_starttls off\n",
            "port = 25\nsecurity = \"none\"\nuse_authentication = false\n".to_owned(),
        ),
        ("port 587\ntls on\nauth on\nuser u\npassword p\n", format!("port = 587\n{login}")),
        ("port 587\ntls on\nauth\nuser \"u\"\npassword \"p\"\n", format!("port = 587\n{login}")),
        ("tls on\nauth login\nuser u\npassword p\n", format!("port = 25\n{login}mechanism = \"login\"\n")),
        ("auth plain\nuser u\npassword p\n", format!("port = 25\n{login}mechanism = \"plain\"\n")),
        ("tls on\nauth scram-sha-1\nuser u\npassword p\n", format!("port = 25\n{login}")),
        (
            "tls on\nauth on\nuser u\npasswordeval cat ~/secret\n",
            "port = 25\nusername = \"u\"\npassword = { file = \"/home/u/secret\" }\n".to_owned(),
        ),
        (
            "tls on\ntls_trust_file /ca.pem\ntls_certcheck off\n",
            "port = 25\ncertificate_validation = false\nca_file = \"/ca.pem\"\nuse_authentication = false\n"
                .to_owned(),
        ),
        ("tls on\ntls_trust_file system\n", "port = 25\nuse_authentication = false\n".to_owned()),
    ] {
        let text = format!("account a\nhost h.example\nfrom a@h.example\n{text}");
        let ca = "-----BEGIN CERTIFICATE-----\n";
        let files = [("/rc", text.as_str()), ("/home/u/secret", "p\n"), ("/ca.pem", ca)];
        let (accounts, _) = outcome(Tool::Msmtp, &["/rc"], &files);
        assert_eq!(accounts, [format!("{head}{wanted}")], "{text}");
    }
}

#[test]
fn no_command_is_run_and_none_is_shown() {
    for eval in ["gpg -d x", "cat a b", "cat $HOME/x", "cat x; rm y", "cat /missing", "cat relative", "cat"] {
        let text =
            format!("account a\nhost h.example\nfrom a@h.example\nauth on\nuser u\npasswordeval {eval}\n");
        let toml = only(Tool::Msmtp, "/rc", &text);
        assert!(toml.contains("active = false\n") && toml.contains("password = \"FILL-IN\"\n"), "{toml}");
        assert!(!toml.contains(eval) || eval == "cat", "{toml}");
    }
}

#[test]
fn the_default_is_an_alias_or_an_account() {
    let alias = "account a\nhost h.example\nfrom a@h.example\naccount default : a\n";
    assert!(
        only(Tool::Msmtp, "/rc", alias)
            .starts_with("[account.a]\ntype = \"basic\"\nsenders = [\"a@h.example\"]\ndefault = true\n")
    );
    let own = format!("{alias}port 587\n");
    let (accounts, notes) = outcome(Tool::Msmtp, &["/rc"], &[("/rc", &own)]);
    assert!(
        accounts[1].starts_with("[account.h-example]\ntype = \"basic\"\ndefault = true\n"),
        "{accounts:?}"
    );
    assert_eq!(notes, ["/rc:3 from"]);
}

#[test]
fn of_a_users_file_and_the_systems_the_first_one_counts() {
    let files = [
        ("/u", "account a\nhost h.example\nfrom a@h.example\naccount default : a\n"),
        ("/s", "account a\nhost x.example\naccount default\nhost s.example\n"),
    ];
    let (accounts, notes) = outcome(Tool::Msmtp, &["/u", "/s"], &files);
    assert_eq!(accounts.len(), 2);
    assert!(
        accounts[0].contains("default = true\n") && accounts[1].contains("active = false\n"),
        "{accounts:?}"
    );
    assert_eq!(notes, ["/s:3 default", "/s:1 a"]);
}

#[test]
fn an_account_without_a_host_is_told() {
    let (accounts, notes) = outcome(
        Tool::Msmtp,
        &["/rc"],
        &[("/rc", "account base\ntls on\naccount a : base\nhost h.example\n")],
    );
    assert_eq!((accounts.len(), notes), (1, vec!["/rc:1 base".to_owned()]));
}

#[test]
fn access_tokens_become_an_account_that_gets_its_own() {
    let text = "account a\nhost smtp.office365.com\nport 587\ntls on\nauth xoauth2\nuser a@b.example\n\
                passwordeval token a\nfrom a@b.example\n";
    let toml = only(Tool::Msmtp, "/rc", text);
    assert!(toml.contains("type = \"microsoft\"\n") && toml.contains("mechanism = \"xoauth2\"\n"), "{toml}");
    assert!(toml.contains("#   client_id: ") && !toml.contains("password"), "{toml}");
}
