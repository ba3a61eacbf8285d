use crate::import::{
    Tool,
    tests::{only, outcome},
};

const LOGIN: &str = "smtp_sasl_auth_enable = yes\nsmtp_tls_security_level = secure\n";

fn relay(text: &str) -> String {
    let toml = only(Tool::Postfix, "/p/main.cf", text);
    let head = "[account.h-example]\ntype = \"basic\"\ndefault = true\naddress = \"h.example\"\n";
    toml.strip_prefix(head).unwrap_or_else(|| panic!("{toml}")).to_owned()
}

#[test]
fn relayhosts_word_for_word() {
    let login = "username = \"u\"\npassword = \"p:q\"\n";
    let none = "use_authentication = false\n";
    for (text, wanted) in [
        ("relayhost = [h.example]", format!("port = 25\nsecurity = \"none\"\n{none}")),
        ("relayhost = h.example:submission\nsmtp_use_tls = yes", format!("port = 587\n{none}")),
        (
            "default_transport = smtp:[h.example]\nrelayhost = [x.example]",
            format!("port = 25\nsecurity = \"none\"\n{none}"),
        ),
        ("relayhost = [h.example]:smtps\nsmtp_tls_wrappermode = yes", format!("port = 465\n{none}")),
        (
            "relayhost = [h.example]:24\nsmtp_tls_wrappermode = yes",
            format!("port = 24\nsecurity = \"tls\"\n{none}"),
        ),
    ] {
        assert_eq!(relay(text), wanted, "{text}");
    }
    for maps in [
        "static:u:p:q",
        "inline:{ [h.example]=u:p:q }",
        "inline:{ { h.example = u:p:q } }",
        "proxy:static:{u:p:q}",
        "regexp:/nowhere, static:u:p:q",
    ] {
        let text = format!("relayhost = [h.example]\n{LOGIN}smtp_sasl_password_maps = {maps}\n");
        assert_eq!(relay(&text), format!("port = 25\n{login}"), "{maps}");
    }
}

#[test]
fn a_login_never_goes_out_in_the_clear() {
    let text =
        "relayhost = [h.example]:587\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = static:u:p\n";
    let (accounts, notes) = outcome(Tool::Postfix, &["/main.cf"], &[("/main.cf", text)]);
    assert!(!accounts[0].contains("security"), "{}", accounts[0]);
    assert_eq!(notes, ["/main.cf smtp_tls_security_level"]);
}

#[test]
fn tables_lie_beside_a_main_cf_that_was_moved() {
    let text =
        format!("relayhost = [h.example]\n{LOGIN}smtp_sasl_password_maps = /etc/postfix/sasl/passwd\n");
    let files = [("/copy/main.cf", text.as_str()), ("/copy/sasl/passwd", "[h.example] u:p\nu2:secret h\n")];
    let (accounts, notes) = outcome(Tool::Postfix, &["/copy"], &files);
    assert!(accounts[0].contains("username = \"u\"\npassword = \"p\"\n"), "{}", accounts[0]);
    assert_eq!(notes, ["/copy/sasl/passwd:2 (no host and no sender)"]);
}

#[test]
fn senders_with_one_login_share_an_account_and_the_default_takes_its_own() {
    let text = format!(
        "relayhost = [h.example]\n{LOGIN}smtp_sasl_password_maps = inline:{{ [h.example]=u:p, [o.example]=v:q }}\n\
         sender_dependent_relayhost_maps = inline:{{ a@x.example=[o.example], @y.example=[o.example],\n \
         b@x.example=[h.example] }}\n\
         myorigin = /etc/mailname\n"
    );
    let files = [("/main.cf", text.as_str()), ("/etc/mailname", "z.example\n")];
    let (accounts, notes) = outcome(Tool::Postfix, &["/main.cf"], &files);
    assert_eq!(accounts.len(), 2, "{accounts:?}");
    assert!(accounts[0].contains("domain = \"z.example\"\ndefault = true\n"), "{}", accounts[0]);
    assert!(accounts[1].contains("domain = \"y.example\"\nsenders = [\"a@x.example\"]\n"), "{}", accounts[1]);
    assert!(notes.is_empty(), "{notes:?}");
}

#[test]
fn without_a_relayhost_senders_alone_are_served() {
    let text = "sender_dependent_relayhost_maps = inline:{ a@x.example=[o.example], b@x.example=DUNNO }\n";
    let (accounts, notes) = outcome(Tool::Postfix, &["/main.cf"], &[("/main.cf", text)]);
    assert_eq!(accounts.len(), 1);
    assert!(!accounts[0].contains("default"), "{}", accounts[0]);
    assert_eq!(notes, ["/main.cf relayhost"]);
}

#[test]
fn token_files_of_every_kind() {
    let main = "relayhost = [h.example]:587\nsmtp_sasl_auth_enable = yes\nsmtp_tls_security_level = secure\n\
                smtp_sasl_mechanism_filter = xoauth2\nsmtp_sasl_password_maps = static:u@h.example:/t\n";
    let account = |token: &str| {
        let files =
            [("/main.cf", main), ("/t", token), ("/etc/sasl-xoauth2.conf", r#"{"client_id": "plugin"}"#)];
        outcome(Tool::Postfix, &["/main.cf"], &files)
    };
    let endpoint = |url: &str| {
        format!(
            r#"{{"refresh_token": "r", "client_id": "c", "client_secret": "", "token_endpoint": "{url}"}}"#
        )
    };
    let (accounts, _) = account(&endpoint("https://login.microsoftonline.com/consumers/oauth2/v2.0/token"));
    assert!(
        accounts[0].contains("type = \"microsoft\"\n") && accounts[0].contains("tenant = \"consumers\"\n")
    );
    assert!(
        accounts[0].contains("refresh_token = \"r\"\n") && !accounts[0].contains("active"),
        "{}",
        accounts[0]
    );
    let (accounts, _) = account(&endpoint("https://api.login.yahoo.com/oauth2/get_token"));
    assert!(
        accounts[0].contains("scope = \"mail-w\"\n") && !accounts[0].contains("active"),
        "{}",
        accounts[0]
    );
    let (accounts, _) = account(&endpoint("https://unknown.example/token"));
    assert!(accounts[0].contains("#   authorization_endpoint: ") && accounts[0].contains("#   scope: "));
    // Nothing but a token: the plugin's own provider, which wants a secret.
    let (accounts, _) = account(r#"{"refresh_token": "r"}"#);
    assert!(accounts[0].contains("type = \"google\"\n") && accounts[0].contains("client_id = \"plugin\"\n"));
    assert!(accounts[0].contains("#   client_secret: "), "{}", accounts[0]);
    for token in ["", "[]", "{", "null", "\"x\""] {
        let (accounts, notes) = account(token);
        assert!(!accounts[0].contains("refresh_token"), "{}", accounts[0]);
        assert!(notes.contains(&"/t token file".to_owned()), "{notes:?}");
    }
    let (accounts, notes) = account(r#"{"refresh_token": "r", "manage_token_externally": "yes"}"#);
    assert!(
        !accounts[0].contains("refresh_token") && notes.contains(&"/t:1 manage_token_externally".to_owned())
    );
}
