//! The configuration as its users meet it: wrong files and their messages, layers, secrets, the old form.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

#[path = "support/tls.rs"]
mod tls;

use secrecy::ExposeSecret;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use waxseal::{
    account::{AccountType, ClientProof, Delivery, Login, SecurityMode, SignInWay},
    cli::{
        check::{report, report_json},
        route::{RouteQuery, answer, render, render_json},
    },
    config::{self, AlertSettings, Bounce, Config, ConfigErrors, Loaded},
    mail::Day,
};

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A directory of configuration files.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = directory.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn main(&self) -> PathBuf {
        self.0.path().join("waxseal.toml")
    }

    fn explained(&self, variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        config::load_explained(Some(&self.main()), env(variables).into_iter())
    }

    fn load(&self, variables: &[(&str, &str)]) -> Config {
        self.explained(variables).unwrap_or_else(|errors| panic!("{errors}")).config
    }
}

fn password(config: &Config, id: &str) -> String {
    let account = config.accounts.iter().find(|account| account.id.as_str() == id).unwrap();
    match &account.login {
        Login::Password { password, .. } => password.expose_secret().to_owned(),
        other => panic!("{other:?}"),
    }
}

const BASIC: &str = r#"
[account.support]
type = "basic"
domain = "example.com"
address = "smtp.example.com"
username = "support@example.com"
password = "hunter2"
"#;

#[test]
fn every_wrong_file_has_its_message() {
    let directory = Path::new("tests/config/bad");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 30, "{}", files.len());
    let bless = std::env::var_os("WAXSEAL_BLESS").is_some();
    let mut wrong = Vec::new();
    for file in files {
        let got = match config::load(Some(&file), std::iter::empty()) {
            Ok(_) => panic!("{} is accepted", file.display()),
            Err(errors) => format!("{errors}\n"),
        };
        assert!(!got.contains("hunter2"), "{} shows a secret:\n{got}", file.display());
        let golden = file.with_extension("txt");
        if bless {
            fs::write(&golden, &got).unwrap();
        }
        let want = fs::read_to_string(&golden).unwrap_or_default();
        if got != want {
            wrong.push(format!("{}:\n--- want\n{want}--- got\n{got}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_missing_main_file_is_named() {
    let errors = config::load(Some(Path::new("/nowhere/waxseal.toml")), std::iter::empty()).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "/nowhere/waxseal.toml: error: the configuration file does not exist\n    \
         = write it, or name another with `--config PATH`"
    );
}

#[test]
fn an_empty_file_listens_on_loopback_and_warns() {
    let config = Files::new(&[("waxseal.toml", "")]).load(&[("STATE_DIRECTORY", "/srv/a:/srv/b")]);
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:25");
    assert_eq!(config.state_dir, Path::new("/srv/a"));
    assert_eq!(config.admin.unwrap().public_url.as_str(), "http://localhost:8025/");
    assert_eq!(config.limits.message_size, 50 << 20);
    assert!(!config.hostname.is_empty());
    assert!(config.warnings[0].contains("no account is active"), "{:?}", config.warnings);
}

#[test]
fn later_files_override_keys_add_accounts_and_replace_arrays() {
    let files = Files::new(&[
        (
            "waxseal.toml",
            &format!(
                "hostname = \"a.example\"\n[[listener]]\naddress = \"127.0.0.1:25\"\n[[listener]]\naddress = \"127.0.0.1:26\"\n{BASIC}"
            ),
        ),
        (
            "conf.d/10.toml",
            "[account.support]\nport = 2525\npassword = { file = \"secret\" }\n[account.more]\ntype = \"basic\"\ndomain = \"more.example\"\naddress = \"h\"\nuse_authentication = false\n",
        ),
        ("conf.d/20.toml", "hostname = \"b.example\"\n[[listener]]\naddress = \"127.0.0.1:27\"\n"),
        ("conf.d/secret", "from-a-file\n"),
        ("conf.d/ignored.toml~", "this is not read"),
        ("conf.d/.hidden.toml", "this is not read"),
    ]);
    let config = files.load(&[]);
    assert_eq!(config.hostname, "b.example");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:27");
    let ids: Vec<_> = config.accounts.iter().map(|account| account.id.as_str()).collect();
    assert_eq!(ids, ["more", "support"]);
    assert_eq!(config.accounts[1].server.port, 2525);
    assert_eq!(password(&config, "support"), "from-a-file");
}

#[test]
fn the_environment_comes_last_and_digits_stay_a_password() {
    let files = Files::new(&[("waxseal.toml", BASIC)]);
    let config = files.load(&[
        ("WAXSEAL_HOSTNAME", "env.example"),
        ("WAXSEAL_ACCOUNT__SUPPORT__PASSWORD", "00123"),
        ("WAXSEAL_ACCOUNT__SUPPORT__PORT", "465"),
        ("WAXSEAL_ACCOUNT__SUPPORT__DOMAIN", "a.example, b.example"),
        ("WAXSEAL_LISTENER", "[{ address = \"0.0.0.0:25\", clients = [\"10.0.0.0/8\"] }]"),
        ("WAXSEAL_SERVICE_HOST", "10.0.0.1"),
        ("UNRELATED", "x"),
    ]);
    assert_eq!(config.hostname, "env.example");
    assert_eq!(password(&config, "support"), "00123");
    assert_eq!(config.accounts[0].server.security, SecurityMode::Tls);
    assert_eq!(config.accounts[0].domains.len(), 2);
    assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:25");
}

#[test]
fn an_unknown_variable_is_an_error_without_its_value() {
    let files = Files::new(&[("waxseal.toml", BASIC)]);
    let errors = files.explained(&[("WAXSEAL_ACCOUNT__SUPPORT__PASSWRD", "hunter3")]).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "environment: error: WAXSEAL_ACCOUNT__SUPPORT__PASSWRD: unknown key `passwrd` in [account.support]\n    \
         = did you mean `password`?"
    );
    let errors = files.explained(&[("WAXSEAL_ACCOUNT__SUPPORT__PORT", "many")]).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "environment: error: WAXSEAL_ACCOUNT__SUPPORT__PORT: found a string, want an integer from 1 to 65535"
    );
}

#[test]
fn secrets_have_four_forms() {
    for (form, variables) in [
        ("\"s3cret\"", vec![]),
        ("{ file = \"secrets/support\" }", vec![]),
        ("{ env = \"SUPPORT\" }", vec![("SUPPORT", "s3cret")]),
        ("{ credential = \"support\" }", vec![]),
    ] {
        let files = Files::new(&[
            ("waxseal.toml", &BASIC.replace("\"hunter2\"", form)),
            ("secrets/support", "s3cret\n"),
        ]);
        let directory = files.0.path().join("secrets").display().to_string();
        let mut variables = variables;
        variables.push(("CREDENTIALS_DIRECTORY", &directory));
        let loaded = files.explained(&variables).unwrap();
        assert_eq!(password(&loaded.config, "support"), "s3cret", "{form}");
        let shown = format!("{loaded:?}\n{}", report(&loaded));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn the_old_form_becomes_a_basic_account_with_a_warning() {
    let old = "[smtp]\nhost = \"smtp.example.com\"\nport = 465\nssl = true\nusername = \"u\"\npassword = \"hunter2\"\nfrom_domain = \"example.com\"\n";
    let config = Files::new(&[("waxseal.toml", old)]).load(&[]);
    let account = &config.accounts[0];
    assert_eq!((account.id.as_str(), account.kind), ("smtp", AccountType::Basic));
    assert_eq!((account.server.port, account.server.security), (465, SecurityMode::Tls));
    assert_eq!(password(&config, "smtp"), "hunter2");
    let warning = &config.warnings[0];
    assert!(!warning.contains("hunter2"), "{warning}");
    // What the warning shows is a configuration that means the same.
    let new = warning.split_once("\n\n").unwrap().1;
    let files = Files::new(&[(
        "waxseal.toml",
        &new.replace("{ file = \"/etc/waxseal/secrets/smtp\" }", "\"hunter2\""),
    )]);
    let again = files.load(&[]);
    assert_eq!(again.accounts[0].server, account.server);
    assert_eq!(again.accounts[0].domains, account.domains);

    let plain =
        Files::new(&[("waxseal.toml", "[smtp]\nhost = \"relay\"\nusername = \"u\"\npassword = \"p\"\n")])
            .load(&[]);
    assert_eq!(plain.accounts[0].server.security, SecurityMode::None);
    assert!(plain.accounts[0].default);
}

#[test]
fn no_error_shows_a_secret_wherever_it_was_written() {
    let texts = [
        "[account]\nsupport = { password = \"hunter2\", prt = 1 }\n",
        "[account.a]\npassword = \"\"\"\nhunter2\n\"\"\"\nprt = 1\n",
        "[account.a]\npassword = \"\"\"\nhunter2\n",
        "[account.a]\nclient_secret = 'hunter2\n",
        "hostname = { password = \"hunter2\" }\n",
        "[account.a]\ndomain = { password = \"hunter2\" }\n",
        "account = [\"hunter2\"]\n",
        "account.a.password = [\"hunter2\"]\n",
        "account.password = \"hunter2\"\n",
        "password = \"hunter2\"\n",
        "smtp = \"hunter2\"\n",
        "[smtp]\npassword = { fil = \"hunter2\" }\n",
        "user.a.passwd = \"hunter2\"\n",
        "user.password = \"hunter2\"\n",
        "user.a.password = \"$argon2id$hunter2\"\n",
        "store = \"hunter2\"\n",
        "[[listener]]\npassword = \"hunter2\"\n",
        "listener = \"hunter2\"\n",
        "queue = { pass = \"hunter2\", expire = 5 }\n",
    ];
    for text in texts {
        let errors = Files::new(&[("waxseal.toml", text)]).explained(&[]).unwrap_err();
        let shown = format!("{errors}\n{errors:?}");
        assert!(!shown.contains("hunter2"), "{text}\n{shown}");
    }
}

#[test]
fn a_secret_file_that_all_may_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new(&[
        ("waxseal.toml", &BASIC.replace("\"hunter2\"", "{ file = \"secret\" }")),
        ("secret", "s\r\n"),
    ]);
    let secret = files.0.path().join("secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let config = files.load(&[]);
    assert_eq!(password(&config, "support"), "s");
    assert!(config.warnings[0].contains("every user of this host may read"), "{:?}", config.warnings);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(files.load(&[]).warnings.is_empty());
}

#[test]
fn claims_at_two_levels_or_of_inactive_accounts_are_no_contradiction() {
    let other = |extra: &str| format!("{BASIC}{}{extra}", BASIC.replace("account.support", "account.other"));
    for extra in ["active = false\n", "application = \"assets\"\n[application.assets]\n"] {
        assert_eq!(Files::new(&[("waxseal.toml", &other(extra))]).load(&[]).accounts.len(), 2);
    }
}

#[test]
fn a_wrong_file_of_conf_d_is_named_with_its_line() {
    let files = Files::new(&[("waxseal.toml", BASIC), ("conf.d/x.toml", "\n[account.support]\nprt = 25\n")]);
    let errors = files.explained(&[]).unwrap_err().to_string();
    assert!(errors.contains("conf.d/x.toml:3:1: error: account.support.prt: unknown key"), "{errors}");
    // Two accounts in two files: both places are told.
    let other = BASIC.replace("account.support", "account.other");
    let files = Files::new(&[("waxseal.toml", BASIC), ("conf.d/y.toml", &other)]);
    let errors = files.explained(&[]).unwrap_err().to_string();
    assert!(errors.contains("waxseal.toml:4:10") && errors.contains("conf.d/y.toml:4:10"), "{errors}");
}

#[test]
fn the_environment_alone_can_make_an_account_and_any_secret_form() {
    let files = Files::new(&[("waxseal.toml", ""), ("secret", "from-a-file")]);
    let secret = files.0.path().join("secret").display().to_string();
    let config = files.load(&[
        ("WAXSEAL_ACCOUNT__NOTIFY__TYPE", "basic"),
        ("WAXSEAL_ACCOUNT__NOTIFY__ADDRESS", "smtp.example.com"),
        ("WAXSEAL_ACCOUNT__NOTIFY__DOMAIN", "example.com"),
        ("WAXSEAL_ACCOUNT__NOTIFY__USERNAME", "42"),
        ("WAXSEAL_ACCOUNT__NOTIFY__PASSWORD__FILE", &secret),
    ]);
    assert_eq!(password(&config, "notify"), "from-a-file");
    assert_eq!(config.accounts[0].username(), Some("42"));
}

#[test]
fn the_json_of_check_has_no_secret() {
    let loaded = Files::new(&[("waxseal.toml", BASIC)]).explained(&[]).unwrap();
    let json = report_json(&loaded);
    assert!(json.contains("\"password\": \"set\"") && !json.contains("hunter2"), "{json}");
}

#[test]
fn presets_fill_in_what_is_not_said() {
    let text = "[account.g]\ntype = \"google\"\ndomain = \"g.example\"\nusername = \"g\"\nclient_id = \"i\"\nclient_secret = \"s\"\n[account.m]\ntype = \"microsoft\"\ncloud = \"us-gov\"\ntenant = \"contoso.example\"\ndomain = \"m.example\"\nusername = \"m\"\nclient_id = \"i\"\nrate_limit = \"none\"\n";
    let config = Files::new(&[("waxseal.toml", text)]).load(&[]);
    let (google, microsoft) = (&config.accounts[0], &config.accounts[1]);
    assert_eq!((google.server.host.as_str(), google.server.port), ("smtp.gmail.com", 587));
    assert_eq!(google.server.security, SecurityMode::StartTls);
    let SignInWay::Browser { parameters, device_endpoint, .. } =
        &google.oauth().unwrap().sign_in().unwrap().way
    else {
        panic!("not in a browser")
    };
    assert_eq!(parameters.len(), 3);
    assert!(parameters.contains(&("login_hint", "g".to_owned())));
    // Google's own gives no token for mail.
    assert!(device_endpoint.is_none());
    assert_eq!(microsoft.server.host, "smtp.office365.us");
    let endpoint = "https://login.microsoftonline.us/contoso.example/oauth2/v2.0/token";
    assert_eq!(microsoft.oauth().unwrap().token_endpoint.as_str(), endpoint);
    assert_eq!((microsoft.pacing.max_connections, microsoft.pacing.rate_limit), (3, None));
}

#[test]
fn a_client_in_its_own_name_asks_for_what_it_was_given_and_is_watched() {
    let text = |cloud: &str, more: &str| {
        format!(
            "[account.m]\ntype = \"microsoft\"\ncloud = \"{cloud}\"\ntenant = \"contoso.example\"\n\
             domain = \"m.example\"\nusername = \"m\"\nclient_id = \"i\"\nclient_secret = \"s\"\n\
             grant = \"client_credentials\"\n{more}"
        )
    };
    for (cloud, resource) in [
        ("global", "https://outlook.office365.com/.default"),
        ("us-gov", "https://outlook.office365.us/.default"),
        ("china", "https://partner.outlook.cn/.default"),
    ] {
        let config = Files::new(&[("waxseal.toml", &text(cloud, ""))]).load(&[]);
        let login = config.accounts[0].oauth().unwrap();
        assert_eq!((login.scope.as_str(), login.sign_in().is_none()), (resource, true));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
    let config = Files::new(&[("waxseal.toml", &text("global", "default = true\n"))]).load(&[]);
    assert!(config.warnings[0].contains("send as anybody"), "{:?}", config.warnings);
}

#[test]
fn the_keys_of_a_queue_that_loses_nothing_have_their_presets() {
    let microsoft =
        "[account.m]\ntype = \"microsoft\"\ndomain = \"m.example\"\nusername = \"m\"\nclient_id = \"i\"\n";
    let config = Files::new(&[("waxseal.toml", &format!("{microsoft}{BASIC}"))]).load(&[]);
    let (held, free) = (&config.accounts[0], &config.accounts[1]);
    assert_eq!((held.pacing.daily_recipients, free.pacing.daily_recipients), (Some(10_000), None));
    assert_eq!(held.delivery, Delivery::Queue);
    assert_eq!((config.queue.bounce, config.queue.postmaster), (Bounce::Sender, None));
    assert_eq!(config.queue.through_timeout, Duration::from_secs(30));
    assert_eq!(config.history.keep, Duration::from_secs(30 * 86_400));
    assert_eq!(config.alert, AlertSettings::default());
}

#[test]
fn the_keys_of_a_queue_that_loses_nothing_mean_what_they_say() {
    use std::os::unix::fs::PermissionsExt;
    let text = "[queue]\nbounce = \"both\"\npostmaster = \"ops@example.com\"\nthrough_timeout = \"5s\"\n[history]\nkeep = \"2d\"\n[alert]\ncommand = [\"page-me\", \"--token=hunter2\"]\nmail_to = \"oncall@example.com\"\n[account.m]\ntype = \"microsoft\"\ndomain = \"m.example\"\nusername = \"m\"\nclient_id = \"i\"\nclient_secret = \"s\"\nclient_secret_expires = \"2027-05-01\"\ndaily_recipients = 500\ndelivery = \"through\"\n";
    let files = Files::new(&[("waxseal.toml", text), ("page-me", "#!/bin/sh\n")]);
    let program = files.0.path().join("page-me");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let loaded = files.explained(&[]).unwrap_or_else(|errors| panic!("{errors}"));
    let config = &loaded.config;
    assert_eq!(config.queue.bounce, Bounce::Both);
    assert_eq!(config.alert.command, [program.display().to_string(), "--token=hunter2".into()]);
    assert_eq!(config.accounts[0].delivery, Delivery::Through);
    assert_eq!(config.accounts[0].pacing.daily_recipients, Some(500));
    assert_eq!(config.accounts[0].oauth().unwrap().client_secret_expires(), Day::parse("2027-05-01"));
    let got = report(&loaded);
    for line in [
        "    secret   client_secret: set, expires 2027-05-01\n",
        "    pacing   3 connections, 30 messages in 1m, 500 recipients a day, 500 recipients a message\n",
        "    delivery through: clients wait up to 5s for the provider's verdict\n",
        "\nbounces    to the sender and ops@example.com\n",
        "\nhistory    keep 2d\n",
        &format!("\nalerts     command {}, mail to oncall@example.com\n", program.display()),
    ] {
        assert!(got.contains(line), "{line}{got}");
    }
    assert!(!got.contains("hunter2"), "{got}");
}

#[test]
fn check_and_route_say_what_it_means() {
    let listeners = "[[listener]]\naddress = \"127.0.0.1:25\"\n[[listener]]\naddress = \"unix:smtp.sock\"\napplication = \"assets\"\n[[listener]]\naddress = \"0.0.0.0:587\"\ntls = \"required\"\ncertificate = \"relay.pem\"\nprivate_key = \"relay.key\"\nauthentication = \"required\"\nclients = [\"192.0.2.0/24\"]\n[user.printer]\npassword = \"hunter2\"\napplication = \"devices\"\n[user.scanner]\nusername = \"scan@example.com\"\npassword = \"$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3\"\n[application.devices]\nallowed_senders = [\"*@example.com\", \"*@*.example.org\"]\n";
    let text = format!(
        "state_dir = \"/srv/w\"\nhostname = \"relay.example.com\"\n{listeners}[application.assets]\nclients = [\"127.0.0.2\"]\n{BASIC}[account.assets]\ntype = \"basic\"\nname = \"Assets\"\napplication = \"assets\"\ndefault = true\naddress = \"10.0.0.1\"\nuse_authentication = false\n"
    );
    let files = Files::new(&[("waxseal.toml", &text)]);
    tls::Certificate::write(files.0.path(), "relay");
    let key = files.0.path().join("relay.key");
    fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let loaded = files.explained(&[]).unwrap();
    let got = report(&loaded).replace(&files.0.path().display().to_string(), "DIR");
    let want = fs::read_to_string("tests/config/check.txt").unwrap_or_default();
    if std::env::var_os("WAXSEAL_BLESS").is_some() {
        fs::write("tests/config/check.txt", &got).unwrap();
    } else {
        assert_eq!(got, want);
    }
    let ask = |sender, client: Option<&str>| {
        let query =
            RouteQuery { sender, client: client.map(|ip| ip.parse().unwrap()), listener: None, user: None };
        render(sender, &answer(&loaded.config, query).unwrap())
    };
    assert!(ask("a@example.com", None).starts_with("a@example.com -> support: it is the account"));
    assert!(ask("a@example.com", Some("127.0.0.2")).starts_with("a@example.com -> assets: "));
    assert!(
        ask("a@other.example", None).contains("550 5.7.1, no account sends for the domain other.example")
    );
    assert!(ask("a@example.com", Some("192.0.2.1")).contains("554 5.7.1"));

    let answer = |sender, user, listener: &str| {
        let listener = Some(listener);
        answer(&loaded.config, RouteQuery { sender, client: None, listener, user })
    };
    for user in ["printer", "Printer"] {
        let found = answer("a@example.com", Some(user), "0.0.0.0:587").unwrap();
        let text = render("a@example.com", &found);
        assert!(text.contains("with the login of printer belongs to the application devices"), "{text}");
        assert_eq!(found.outcome.unwrap().account.as_str(), "support");
    }
    let refused = answer("a@other.example", Some("printer"), "0.0.0.0:587").unwrap();
    let text = render("a@other.example", &refused);
    let wanted = "a@other.example -> nothing: MAIL gets 550 5.7.1, the application devices may not send as a@other.example\n";
    assert!(text.starts_with(wanted), "{text}");
    assert!(render_json(&refused).contains("\"account\": null"));
    assert!(answer("", Some("printer"), "0.0.0.0:587").unwrap().refusal.is_none(), "the null reverse-path");
    let unknown = answer("a@example.com", Some("plotter"), "0.0.0.0:587").unwrap_err();
    assert_eq!(unknown, "there is no user plotter; there is printer, scanner");
    let socket = format!("unix:{}", files.0.path().join("smtp.sock").display());
    let local = answer("a@example.com", None, &socket).unwrap();
    assert_eq!(local.application.as_deref(), Some("assets"));
    let client = Some([127, 0, 0, 1].into());
    let query = RouteQuery { sender: "", client, listener: Some(&socket), user: None };
    assert!(waxseal::cli::route::answer(&loaded.config, query).unwrap_err().contains("leave --client out"));
    let json: serde_json::Value = serde_json::from_str(&report_json(&loaded)).unwrap();
    assert_eq!(json["listeners"][2]["tls"], "required");
    assert_eq!(json["listeners"][2]["authentication"], "required");
    assert_eq!(json["users"][1]["password"], "set, an argon2 hash");
    assert_eq!(json["applications"][1]["allowed_senders"][0], "*@example.com");
    assert!(!report_json(&loaded).contains("hunter2"));
}

#[test]
fn what_is_odd_about_logins_is_warned_about() {
    let user = "[user.printer]\npassword = \"$6$salt$notargon\"\n";
    let listener = |authentication: &str| {
        format!(
            "[[listener]]\naddress = \"192.0.2.1:25\"\nclients = [\"192.0.2.0/24\"]\nauthentication = \"{authentication}\"\n"
        )
    };
    let cases = [
        (format!("{BASIC}{user}"), "no listener asks these users for a login"),
        (format!("{}{user}{BASIC}", listener("ignore")), "no listener asks these users for a login"),
        (format!("{}{user}{BASIC}", listener("optional")), "no login is taken at 192.0.2.1:25"),
        (format!("{BASIC}{user}"), "looks like a hash, is none of argon2"),
    ];
    for (text, wanted) in cases {
        let warnings = Files::new(&[("waxseal.toml", &text)]).load(&[]).warnings;
        assert!(warnings.iter().any(|warning| warning.contains(wanted)), "{text}\n{warnings:?}");
    }
    assert!(
        Files::new(&[("waxseal.toml", &format!("{}{BASIC}", listener("ignore")))])
            .load(&[])
            .warnings
            .is_empty()
    );
}

#[test]
fn the_reference_and_the_examples_are_valid() {
    let mut files = vec![PathBuf::from("config/waxseal.toml")];
    files.extend(fs::read_dir("config/examples").unwrap().map(|entry| entry.unwrap().path()));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // Once as it is, once with every commented key in force: `#key = value`, without a blank, is a key.
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                    format!("{rest}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        for text in [&text, &uncommented] {
            // The one program that surely is where its path says.
            let text = &text.replace("/usr/local/bin/page-me", "/bin/sh");
            let directory =
                Files::new(&[("waxseal.toml", text), ("corp-ca.pem", CA), ("secrets/support", "x\n")]);
            for name in ["relay", "app"] {
                tls::Certificate::write(directory.0.path(), name);
            }
            let credentials = directory.0.path().join("secrets").display().to_string();
            let variables = [("SUPPORT_SECRET", "x"), ("CREDENTIALS_DIRECTORY", credentials.as_str())];
            if let Err(errors) = directory.explained(&variables) {
                panic!("{}:\n{errors}", file.display());
            }
        }
    }
}

/// What the reference shows for keys of the daemon as a whole holds where nothing is written, but for examples.
#[test]
fn what_the_reference_shows_as_a_default_is_one() {
    const EXAMPLES: [&str; 2] = ["postmaster", "spool"];
    let reference = fs::read_to_string("config/waxseal.toml").unwrap();
    let (mut shown, mut inside) = (String::new(), false);
    for line in reference.lines().filter_map(|line| line.strip_prefix('#')) {
        if line.starts_with('[') {
            inside = ["[queue]", "[limits]", "[admin]", "[history]", "[log]"].contains(&line.trim());
        }
        let is_example = EXAMPLES.iter().any(|key| line.starts_with(key));
        if inside && !is_example && line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    let keys = shown.lines().filter(|line| line.contains('=')).count();
    assert!(keys >= 15, "{keys}: {shown}");
    let settings = |text: &str| {
        let config = Files::new(&[("waxseal.toml", text)]).explained(&[]).unwrap().config;
        format!(
            "{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
            config.queue, config.limits, config.admin, config.history, config.log
        )
    };
    assert_eq!(settings(&shown), settings(""));
}

/// Base64 of anything: load reads the frame, rustls the certificate.
const CA: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

#[test]
fn figment_is_named_in_one_file() {
    fn visit(directory: &Path, found: &mut Vec<PathBuf>) {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                visit(&path, found);
            } else if fs::read_to_string(&path).unwrap_or_default().contains("figment") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    visit(Path::new("src"), &mut found);
    assert_eq!(found, [Path::new("src/config/load.rs")]);
}

/// A listener with TLS, from the files `c` and `k`.
const SECURED: &str = "[[listener]]\naddress = \"127.0.0.1:25\"\ntls = \"starttls\"\ncertificate = \"c\"\nprivate_key = \"k\"\n";

#[test]
fn a_clients_certificate_needs_its_own_key() {
    let text = "[account.m]\ntype = \"microsoft\"\ndomain = \"m.example\"\nusername = \"m\"\nclient_id = \"i\"\n\
                client_certificate = \"one\"\nclient_key = \"key\"\n";
    let scratch = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| tls::Certificate::write(scratch.path(), name));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let load = |key: &str| {
        let files = [("waxseal.toml", text), ("one", &read(&one.certificate)), ("key", key)];
        Files::new(&files).explained(&[])
    };
    let loaded = load(&read(&one.private_key)).unwrap();
    let client = loaded.config.accounts[0].oauth().unwrap().client().unwrap().clone();
    let ClientProof::Certificate(certificate) = &client.proof else { panic!("{client:?}") };
    assert!(certificate.prefers_pss && certificate.sha256 != [0; 32] && certificate.sha1 != [0; 20]);
    assert!(format!("{client:?}").contains("SigningKey(EC, P-256)"), "{client:?}");
    let errors = load(&read(&other.private_key)).unwrap_err().to_string();
    assert!(errors.contains("does not belong to the certificate"), "{errors}");
}

#[test]
fn a_certificate_and_its_key_are_held_against_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| tls::Certificate::write(directory.path(), name));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let (certificate, key) = (read(&one.certificate), read(&one.private_key));
    let both = format!("{certificate}{key}");
    let chain = format!("{certificate}{}", read(&other.certificate));
    let locked = key
        .replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE")
        .replace("END PRIVATE", "END ENCRYPTED PRIVATE");
    let broken = key.replace("END PRIVATE", "END OF PRIVATE");
    // The certificate's file, the key's, and what is said of them.
    let cases = [
        (&certificate, &key, ""),
        (&both, &both, ""),
        (&chain, &key, ""),
        (
            &certificate,
            &read(&other.private_key),
            "5:15: error: listener[0].private_key: the key in /DIR/k does not belong to the certificate in /DIR/c",
        ),
        (
            &key,
            &certificate,
            "4:15: error: listener[0].certificate: /DIR/c holds a private key and no certificate",
        ),
        (
            &certificate,
            &certificate,
            "5:15: error: listener[0].private_key: /DIR/k holds a certificate and no private key",
        ),
        (&certificate, &String::new(), "5:15: error: listener[0].private_key: /DIR/k holds no private key"),
        (&certificate, &locked, "5:15: error: listener[0].private_key: /DIR/k is locked with a passphrase"),
        (&certificate, &broken, "5:15: error: listener[0].private_key: /DIR/k is not valid PEM"),
    ];
    for (certificate, key, wanted) in cases {
        let files = Files::new(&[("waxseal.toml", SECURED), ("c", certificate), ("k", key)]);
        let got = files.explained(&[]).err().map_or_else(String::new, |errors| errors.to_string());
        let got = got.replace(&files.0.path().display().to_string(), "/DIR");
        let shown = got.strip_prefix("/DIR/waxseal.toml:").unwrap_or(&got);
        assert!(shown.starts_with(wanted) && shown.is_empty() == wanted.is_empty(), "{got}\nnot\n{wanted}");
        let secret = key.lines().nth(1).unwrap_or("no key");
        assert!(!got.contains(secret), "{got}");
    }
}

#[test]
fn a_private_key_that_all_may_read_is_warned_about_and_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new(&[("waxseal.toml", &format!("{SECURED}{BASIC}"))]);
    let made = tls::Certificate::write(files.0.path(), "made");
    let key = files.0.path().join("k");
    fs::rename(made.certificate, files.0.path().join("c")).unwrap();
    fs::rename(made.private_key, &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let loaded = files.explained(&[]).unwrap();
    assert!(
        loaded.config.warnings[0].contains("every user of this host may read"),
        "{:?}",
        loaded.config.warnings
    );
    let text = fs::read_to_string(&key).unwrap();
    let shown = format!("{loaded:?}{}{}", report(&loaded), report_json(&loaded));
    assert!(!shown.contains(text.lines().nth(1).unwrap()));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(files.load(&[]).warnings.is_empty());
}
