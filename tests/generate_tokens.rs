//! Generate Tokens with the real daemon and its command line: by device, by a link for another machine, and what new
//! tokens have to prove; accounts whose tokens need nobody.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::fs;
use support::{
    House, Provider, Running, browser,
    client::{message, submit},
    indented,
    keys::Keys,
};
use waxseal::sandbox::SandboxOptions;

const SENDER: &str = "printer@example.com";

fn by_device(house: &House, provider: &Provider) -> String {
    let endpoint = provider.device_authorization_endpoint();
    let account = house.oauth(provider, "support", "example.com");
    let browser = format!("authorization_endpoint = \"{}\"\n", provider.authorization_endpoint());
    account.replace(&browser, "")
        + &format!("grant = \"device_code\"\ndevice_authorization_endpoint = \"{endpoint}\"\n")
}

fn begin(house: &House, options: &[&str]) -> (Running, impl Iterator<Item = String> + use<>) {
    house.begin("support", options)
}

#[test]
fn a_device_flow_authorizes_and_the_mail_that_waited_leaves() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&by_device(&house, &provider));
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message("early")).unwrap();
    house.message_becomes("held");

    let (mut command, mut lines) = begin(&house, &[]);
    let (page, code) = (indented(&mut lines), indented(&mut lines));
    assert!(page.ends_with(&code), "{page} {code}");
    let decided = browser::get(&format!("{page}&decision=approve")).unwrap();
    assert_eq!(decided.status, 200);
    let rest: Vec<_> = lines.collect();
    assert!(command.wait().success());
    assert!(rest.iter().any(|line| line.ends_with("ready")), "{rest:?}");
    assert_eq!(provider.arrivals(1)[0].mechanism.as_deref(), Some("XOAUTH2"));
    house.queue_empties();
}

#[test]
fn a_device_flow_that_is_declined_changes_nothing() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    house.configure(&by_device(&house, &provider));
    let _daemon = house.serve();
    let (mut command, mut lines) = begin(&house, &[]);
    let page = indented(&mut lines);
    browser::get(&format!("{page}&decision=deny")).unwrap();
    assert_eq!(command.wait().code(), Some(1));
    assert_eq!(house.account("support")["state"], "needs_authorization");
}

#[test]
fn an_account_of_a_browser_takes_a_device_too() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    let endpoint = provider.device_authorization_endpoint();
    let account = house.oauth(&provider, "support", "example.com");
    house.configure(&(account + &format!("device_authorization_endpoint = \"{endpoint}\"\n")));
    let _daemon = house.serve();
    let ran = house.cli(&["account", "authorize", "support", "--device"]).ok();
    assert!(ran.contains("enter the code"), "{ran}");
    assert_eq!(house.account("support")["state"], "ready");
}

#[test]
fn a_link_for_another_machine_is_good_once_and_nobody_waits() {
    let provider = Provider::start(SandboxOptions {
        auto_approve: true,
        redirect_uri: Some("https://relay.example.com/seal/oauth/callback".into()),
        ..SandboxOptions::default()
    });
    let house = House::beside(&provider);
    let account = house.oauth(&provider, "support", "example.com");
    house.configure(&account);
    let daemon = house.serve();
    let refused = house.cli(&["account", "authorize", "support", "--link"]);
    assert_eq!(refused.code, 78);
    assert!(refused.stderr.contains("public_url"), "{}", refused.stderr);
    drop(daemon);

    let _daemon = house.serve_in(&[("WAXSEAL_ADMIN__PUBLIC_URL", "https://relay.example.com/seal")]);
    let told = house.cli(&["account", "authorize", "support", "--link"]).ok();
    assert!(
        told.contains("24 hours") && told.contains("https://relay.example.com/seal/oauth/callback"),
        "{told}"
    );
    let link = told.lines().find(|line| line.trim().starts_with("http")).unwrap().trim();
    // The provider sends the browser to the public address; what stands there hands it on to the daemon.
    let location = browser::get(link).unwrap().location.unwrap();
    let (_, query) = location.split_once('?').unwrap();
    let ours = format!("http://{}/oauth/callback?{query}", house.admin);
    assert_eq!(browser::get(&ours).unwrap().status, 200);
    assert_eq!(house.account("support")["state"], "ready");
    assert_eq!(browser::get(&ours).unwrap().status, 400);
}

#[test]
fn tokens_that_do_not_log_in_leave_the_working_ones() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    house.configure(&house.oauth(&provider, "support", "example.com"));
    let _daemon = house.serve();
    house.authorize("support");
    let before = house.account("support");
    let asked = provider.grants().token_requests();

    // The account's own name is one that the mail server does not know.
    let account = house.oauth(&provider, "support", "example.com");
    let user = format!("username = \"{}\"", provider.options().username);
    house.configure(&account.replace(&user, "username = \"boss@example.com\""));
    house.cli(&["reload"]).ok();
    let (mut command, mut lines) = begin(&house, &[]);
    let page = browser::follow(&indented(&mut lines)).unwrap();
    assert_eq!(page.status, 400);
    assert!(page.body.contains("refuses a login with the new tokens"), "{}", page.body);
    assert_eq!(command.wait().code(), Some(1));
    assert_eq!(provider.grants().token_requests(), asked + 1);

    house.configure(&account);
    house.cli(&["reload"]).ok();
    let after = house.account("support");
    assert_eq!(before["authorized_at"], after["authorized_at"]);
    submit(house.smtp, SENDER, &message("still")).unwrap();
    provider.arrivals(1);
}

#[test]
fn a_first_consent_is_kept_with_a_note_where_the_mail_server_says_no() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    let account = house.oauth(&provider, "support", "example.com");
    let user = format!("username = \"{}\"", provider.options().username);
    house.configure(&account.replace(&user, "username = \"boss@example.com\""));
    let _daemon = house.serve();
    let (mut command, mut lines) = begin(&house, &[]);
    let page = browser::follow(&indented(&mut lines)).unwrap();
    assert!(page.status == 200 && page.body.contains("the mail server refuses"), "{}", page.body);
    lines.for_each(drop);
    let mut said = String::new();
    std::io::Read::read_to_string(command.0.stderr.as_mut().unwrap(), &mut said).unwrap();
    assert!(command.wait().success());
    assert!(said.contains("note: the tokens are kept"), "{said}");
}

#[test]
fn a_service_account_needs_nobody_and_sends() {
    let keys = Keys::new();
    let provider = Provider::start(SandboxOptions {
        assertion_key: Some(keys.public.clone()),
        client_secret: None,
        ..SandboxOptions::default()
    });
    let house = House::beside(&provider);
    keys.write_service_account(&house.path("robot.json"));
    let smtp = provider.smtp_address();
    house.configure(&format!(
        "[account.robot]\ntype = \"google\"\ndomain = \"example.com\"\nusername = \"{}\"\ngrant = \"service_account\"\n\
         service_account_file = \"robot.json\"\ntoken_endpoint = \"{}\"\naddress = \"{}\"\nport = {}\nca_file = \"ca.pem\"\n",
        provider.options().username,
        provider.token_endpoint(),
        smtp.ip(),
        smtp.port()
    ));
    let checked = house.cli(&["check"]).ok();
    assert!(checked.contains("as a service account"), "{checked}");
    let _daemon = house.serve();
    submit(house.smtp, SENDER, &message("robot")).unwrap();
    assert_eq!(provider.arrivals(1)[0].mechanism.as_deref(), Some("XOAUTH2"));
    assert_eq!(house.account("robot")["state"], "ready");
    let refused = house.cli(&["account", "authorize", "robot"]);
    assert!(refused.code == 1 && refused.stderr.contains("service_account"), "{}", refused.stderr);
}

#[test]
fn a_certificate_stands_for_the_client_with_and_without_a_person() {
    let keys = Keys::new();
    let provider = Provider::start(SandboxOptions {
        assertion_key: Some(keys.public.clone()),
        client_secret: None,
        auto_approve: true,
        ..SandboxOptions::default()
    });
    for (grant, id) in [("authorization_code", "support"), ("client_credentials", "app")] {
        let house = House::beside(&provider);
        keys.write_pair(&house.path("app.pem"));
        let smtp = provider.smtp_address();
        let endpoint = match grant {
            "authorization_code" => {
                format!("authorization_endpoint = \"{}\"\n", provider.authorization_endpoint())
            }
            _ => String::new(),
        };
        house.configure(&format!(
            "[account.{id}]\ntype = \"oauth2\"\ndomain = \"example.com\"\nusername = \"{}\"\ngrant = \"{grant}\"\n\
             client_id = \"{}\"\nclient_certificate = \"app.pem\"\nclient_key = \"app.pem\"\nscope = \"mail\"\n\
             token_endpoint = \"{}\"\n{endpoint}address = \"{}\"\nport = {}\nca_file = \"ca.pem\"\n",
            provider.options().username,
            provider.options().client_id,
            provider.token_endpoint(),
            smtp.ip(),
            smtp.port()
        ));
        let _daemon = house.serve();
        if grant == "authorization_code" {
            house.authorize(id);
        }
        submit(house.smtp, SENDER, &message(grant)).unwrap();
        house.queue_empties();
        house.cli(&["account", "refresh", id]).ok();
        assert_eq!(house.account(id)["state"], "ready");
    }
    assert_eq!(provider.arrivals(2).len(), 2);
}

#[test]
fn grants_move_to_another_host_sealed_to_a_passphrase() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let old = House::beside(&provider);
    old.configure(&old.oauth(&provider, "support", "example.com"));
    let daemon = old.serve();
    let nothing = old.cli(&["account", "export", "--to", "x", "--passphrase-file", "/dev/null"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("empty"), "{}", nothing.stderr);
    old.authorize("support");
    let (parcel, words) = (old.path("tokens.sealed"), old.path("words"));
    fs::write(&words, "correct horse\n").unwrap();
    let (to, from) = (parcel.display().to_string(), words.display().to_string());
    let told = old.cli(&["account", "export", "--to", &to, "--passphrase-file", &from]).ok();
    assert!(told.contains("the tokens of support"), "{told}");
    let again = old.cli(&["account", "export", "--to", &to, "--passphrase-file", &from]);
    assert!(again.code == 1 && again.stderr.contains("is there already"), "{}", again.stderr);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&parcel).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    drop(daemon);

    let new = House::beside(&provider);
    let account = new.oauth(&provider, "support", "example.com");
    new.configure(&account.replace(&provider.options().client_id, "another"));
    let _daemon = new.serve();
    let import = |more: &[&str], words: &str| {
        let words = ["account", "import", &to, "--passphrase-file", words];
        new.cli(&[&words[..], more].concat())
    };
    let other = import(&[], &from);
    assert!(other.code == 1 && other.stderr.contains("client_id"), "{}", other.stderr);
    new.configure(&account);
    new.cli(&["reload"]).ok();
    let wrong = import(&[], &new.config().display().to_string());
    assert!(wrong.code == 1 && wrong.stderr.contains("passphrase is another one"), "{}", wrong.stderr);
    assert_eq!(new.account("support")["state"], "needs_authorization");
    assert!(import(&[], &from).ok().contains("support: tokens taken"));
    submit(new.smtp, SENDER, &message("moved")).unwrap();
    provider.arrivals(1);
    let twice = import(&[], &from);
    assert!(twice.code == 1 && twice.stderr.contains("--replace"), "{}", twice.stderr);
    import(&["--replace"], &from).ok();
}
