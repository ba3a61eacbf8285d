//! `waxseal import` and `waxseal account add` with the real binary: samples of every tool, what comes of them word for
//! word, and that `waxseal check` takes it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Stdio,
};
use support::{Ran, Running, run, terminal::Terminal, waxseal};

/// The samples: their tool, their files, what is said of them.
const SAMPLES: [(&str, &[&str], &str); 9] = [
    ("emailproxy", &["emailproxy/emailproxy.config"], "emailproxy/emailproxy.txt"),
    ("emailproxy", &["emailproxy/flows.config"], "emailproxy/flows.txt"),
    ("msmtp", &["msmtp/user.msmtprc"], "msmtp/user.txt"),
    ("msmtp", &["msmtp/system.msmtprc"], "msmtp/system.txt"),
    ("msmtp", &["msmtp/all.msmtprc"], "msmtp/all.txt"),
    ("postfix", &["postfix/password/main.cf"], "postfix/password.txt"),
    ("postfix", &["postfix/sender"], "postfix/sender.txt"),
    ("postfix", &["postfix/xoauth2", "postfix/xoauth2/sasl-xoauth2.conf"], "postfix/xoauth2.txt"),
    ("ssmtp", &["ssmtp/ssmtp.conf"], "ssmtp/ssmtp.txt"),
];

/// A directory with a main configuration file in it.
struct Host(tempfile::TempDir);

impl Host {
    fn new(main: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::write(host.main(), main).unwrap();
        host
    }

    fn main(&self) -> PathBuf {
        self.0.path().join("waxseal.toml")
    }

    fn conf_d(&self) -> PathBuf {
        self.0.path().join("conf.d")
    }

    /// What lies in conf.d, hidden files included.
    fn files(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.conf_d()) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn text(&self, id: &str) -> String {
        fs::read_to_string(self.conf_d().join(format!("{id}.toml"))).unwrap()
    }

    /// Runs waxseal among the samples.
    fn run(&self, words: &[&str]) -> Ran {
        run(waxseal().current_dir("tests/import").args(words).arg("--config").arg(self.main()))
    }

    fn import(&self, tool: &str, paths: &[&str], more: &[&str]) -> Ran {
        self.run(&[&["import", tool], paths, more].concat())
    }

    /// Writes a file of another tool beside the configuration; its path.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

#[test]
fn every_sample_comes_out_word_for_word() {
    for (tool, paths, wanted) in SAMPLES {
        let host = Host::new("");
        let said =
            host.import(tool, paths, &["--dry-run"]).ok().replace(host.0.path().to_str().unwrap(), "HERE");
        assert!(host.files().is_empty(), "{wanted}: a dry run wrote {:?}", host.files());
        assert!(!said.contains("canary"), "{wanted} shows a secret:\n{said}");
        let golden = Path::new("tests/import").join(wanted);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        assert_eq!(said, fs::read_to_string(&golden).unwrap_or_default(), "{wanted}");
    }
}

#[test]
fn what_is_written_is_what_check_takes_and_nobody_else_may_read_it() {
    for (tool, paths, wanted) in SAMPLES {
        let host = Host::new("");
        let said = host.import(tool, paths, &[]).ok();
        assert!(!said.contains("canary"), "{wanted} shows a secret:\n{said}");
        let files = host.files();
        assert!(
            !files.is_empty() && files.iter().all(|name| name.ends_with(".toml") && !name.starts_with('.'))
        );
        for name in &files {
            let mode = fs::metadata(host.conf_d().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{wanted}: {name}");
            assert!(said.contains(&format!("conf.d/{name}")), "{wanted} does not name {name}:\n{said}");
        }
        let checked = host.run(&["check"]).ok();
        for id in files.iter().filter_map(|name| name.strip_suffix(".toml")) {
            assert!(checked.contains(&format!("  {id}: ")), "{wanted}: check does not know {id}:\n{checked}");
        }
        assert!(!checked.contains("canary"), "{wanted}");
    }
}

#[test]
fn a_device_flow_is_what_check_takes() {
    let host = Host::new("");
    host.import("emailproxy", &["emailproxy/device.config"], &[]).ok();
    assert!(host.text("phone-example-com").contains("grant = \"device_code\"\n"));
    host.run(&["check"]).ok();
}

#[test]
fn secrets_come_along_as_they_were() {
    let host = Host::new("");
    host.import("postfix", &["postfix/password/main.cf"], &[]).ok();
    assert!(host.text("mail-isp-example").contains("password = \"canary:pass word\"\n"));
    let host = Host::new("");
    host.import("postfix", &["postfix/xoauth2", "postfix/xoauth2/sasl-xoauth2.conf"], &[]).ok();
    let (google, microsoft) = (host.text("smtp-gmail-com"), host.text("contoso-example"));
    assert!(
        google.contains("refresh_token = \"canary-refresh\"\n") && google.contains("type = \"google\"\n")
    );
    assert!(google.contains("client_secret = \"canary-client-secret\"\n"), "{google}");
    assert!(microsoft.contains("refresh_token = \"canary-refresh-office\"\n"), "{microsoft}");
    assert!(microsoft.contains("tenant = \"contoso.example\"\n") && !microsoft.contains("client_secret"));
    assert!(host.text("robot-example").contains("grant = \"client_credentials\"\n"));
    let host = Host::new("");
    host.import("msmtp", &["msmtp/all.msmtprc"], &[]).ok();
    assert!(host.text("secret").contains(r#"password = " canary \\ # \\\" ""#), "{}", host.text("secret"));
    let host = Host::new("");
    host.import("ssmtp", &["ssmtp/ssmtp.conf"], &[]).ok();
    assert!(host.text("smtp-provider-example").contains("password = \"canary:with=signs\"\n"));
}

#[test]
fn a_password_that_cat_prints_stays_in_its_file() {
    let host = Host::new("");
    let secret = host.write("secret", "canary\n");
    let text = format!(
        "account a\nhost h.example\ntls on\nauth on\nuser u\nfrom a@h.example\npasswordeval cat {secret}\n"
    );
    let rc = host.write("msmtprc", text);
    host.import("msmtp", &[&rc], &[]).ok();
    assert!(
        host.text("a").contains(&format!("password = {{ file = \"{secret}\" }}\n")),
        "{}",
        host.text("a")
    );
    assert!(host.run(&["check"]).ok().contains("routes\n  organization: a@h.example -> a\n"));
}

#[test]
fn json_names_what_was_written_and_what_was_left_out() {
    let host = Host::new("");
    let ran = host.import("msmtp", &["msmtp/user.msmtprc"], &["--json"]);
    let found: serde_json::Value = serde_json::from_str(&ran.ok()).unwrap();
    let accounts = found.as_array().unwrap();
    let ids: Vec<_> = accounts.iter().map(|account| account["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["freemail", "freemail2", "isp"]);
    assert_eq!(accounts[0]["type"], "basic");
    assert_eq!(accounts[0]["file"], host.conf_d().join("freemail.toml").to_str().unwrap());
    assert_eq!(accounts[0]["senders"][0], "joe_smith@freemail.example");
    assert_eq!((&accounts[0]["default"], &accounts[0]["active"]), (&true.into(), &false.into()));
    assert_eq!(accounts[0]["missing"][0]["key"], "password");
    let note = &accounts[0]["left_out"][0];
    assert_eq!((&note["name"], &note["line"]), (&"passwordeval".into(), &20.into()));
}

#[test]
fn nothing_is_written_where_the_whole_would_be_wrong() {
    let taken = "[account.there]\ntype = \"basic\"\ndomain = \"lone.example\"\naddress = \"h.example\"\n\
                 use_authentication = false\n";
    let default = taken.replace("domain = \"lone.example\"", "default = true");
    let rc = "account one\nhost a.example\nfrom *@one.example\naccount there\nhost b.example\nfrom *@two.example\n";
    let twice = rc.replace("there", "other").replace("two.example", "lone.example");
    let defaults = rc.replace("there", "default").replace("from *@two.example\n", "");
    for (main, text, wanted) in [
        (taken, rc, "the account `there` is configured already"),
        (taken, twice.as_str(), "the domain lone.example is served twice"),
        (default.as_str(), defaults.as_str(), "there are two default accounts"),
    ] {
        let host = Host::new(main);
        let file = host.write("msmtprc", text);
        let ran = host.import("msmtp", &[&file], &[]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains(wanted) && ran.stderr.contains("nothing was written"), "{}", ran.stderr);
        assert_eq!((ran.stdout.as_str(), host.files().len()), ("", 0));
    }
    // The way out of the last one.
    let host = Host::new(&default);
    let file = host.write("msmtprc", &defaults);
    host.import("msmtp", &[&file], &["--no-default"]).ok();
    assert_eq!(host.files(), ["b-example.toml", "one.toml"]);
    host.run(&["check"]).ok();
}

#[test]
fn a_file_that_is_there_stays_as_it_is() {
    for link in [false, true] {
        let host = Host::new("");
        fs::create_dir(host.conf_d()).unwrap();
        let there = host.conf_d().join("isp.toml");
        if link {
            symlink("/nowhere/at/all", &there).unwrap();
        } else {
            fs::write(&there, "# mine\n").unwrap();
        }
        let ran = host.import("msmtp", &["msmtp/user.msmtprc"], &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (if link { 78 } else { 1 }, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(there.to_str().unwrap()), "{}", ran.stderr);
        assert_eq!(host.files(), ["isp.toml"]);
        assert!(link || host.text("isp") == "# mine\n");
    }
}

#[test]
fn our_own_configuration_is_wrong_with_78() {
    let host = Host::new("nonsense = 1\n");
    let ran = host.import("msmtp", &["msmtp/user.msmtprc"], &[]);
    assert!(ran.code == 78 && ran.stderr.contains("unknown key `nonsense`"), "{ran:?}");
    fs::remove_file(host.main()).unwrap();
    assert_eq!(host.import("msmtp", &["msmtp/user.msmtprc"], &[]).code, 78);
}

#[test]
fn wrong_files_of_others_are_named_with_1() {
    let host = Host::new("");
    let garbage: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let garbage = host.write("garbage", garbage);
    let zeros = host.write("zeros", [b'a', 0, b'b']);
    let looping = host.write("main.cf", "relayhost = $a\na = $b\nb = $a\n");
    let nothing = host.write("empty", "");
    let inherits = host.write("rc", "account a : b\naccount b : a\n");
    let directory = host.0.path().to_str().unwrap().to_owned();
    for (tool, path, wanted) in [
        ("postfix", "/nowhere/main.cf", "/nowhere/main.cf: cannot be read: it does not exist"),
        ("postfix", &garbage, "garbage: cannot be read: it is not UTF-8 text"),
        ("msmtp", &zeros, "zeros: cannot be read: it is not UTF-8 text"),
        ("emailproxy", &garbage, "garbage: cannot be read"),
        ("ssmtp", &garbage, "garbage: cannot be read"),
        ("postfix", &looping, "refers to itself"),
        ("postfix", &nothing, "no account of Postfix was found"),
        ("ssmtp", &nothing, "there is no `mailhub` in it"),
        ("emailproxy", &looping, "main.cf:1: it stands before any [section]"),
        ("msmtp", &looping, "main.cf:1: the first command"),
        ("msmtp", &inherits, "rc:1: `a` inherits from `b`, which is not defined before it"),
        ("msmtp", "/dev/zero", "/dev/zero: cannot be read: it is no file"),
        ("msmtp", &directory, "msmtprc: cannot be read: it does not exist"),
    ] {
        let ran = host.import(tool, &[path], &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{tool} {path}: {ran:?}");
        assert!(ran.stderr.contains(wanted), "{tool} {path}: {}", ran.stderr);
        assert!(host.files().is_empty());
    }
    assert_eq!(host.import("exim", &["x"], &[]).code, 2);
    assert_eq!(host.import("postfix", &[], &[]).code, 2);
}

#[test]
fn a_table_that_cannot_be_read_is_told_and_the_account_waits_for_its_login() {
    let host = Host::new("");
    let main = "relayhost = [h.example]:587\nsmtp_sasl_auth_enable = yes\n\
                smtp_sasl_password_maps = hash:/nowhere/sasl\n";
    let path = host.write("main.cf", main);
    let said = host.import("postfix", &[&path], &[]).ok();
    assert!(said.contains("main.cf:3 smtp_sasl_password_maps: hash:/nowhere/sasl"), "{said}");
    assert!(host.text("h-example").contains("active = false\n"), "{}", host.text("h-example"));
    host.run(&["check"]).ok();
}

#[test]
fn accounts_are_added_by_flags() {
    let host = Host::new("");
    let secret = host.write("secret", "canary\n");
    let basic =
        ["account", "add", "--type", "basic", "--domain", "example.com", "--address", "smtp.example.com"];
    let more = ["--port", "465", "--username", "u", "--password-file", &secret];
    let said = host.run(&[&basic[..], &more].concat()).ok();
    assert!(said.contains("waxseal reload") && !said.contains("authorize"), "{said}");
    let wanted = format!(
        "# Made by waxseal account add\n[account.example-com]\ntype = \"basic\"\ndomain = \"example.com\"\n\
         address = \"smtp.example.com\"\nport = 465\nusername = \"u\"\npassword = {{ file = \"{secret}\" }}\n"
    );
    assert_eq!(host.text("example-com"), wanted);
    let microsoft = ["account", "add", "office", "--type", "microsoft", "--domain", "contoso.example"];
    let more = ["--username", "o@contoso.example", "--client-id", "c", "--tenant", "contoso.example"];
    let said = host.run(&[&microsoft[..], &more].concat()).ok();
    assert!(said.contains("waxseal account authorize office"), "{said}");
    let oauth =
        ["account", "add", "generic", "--type", "oauth2", "--sender", "a@b.example", "--username", "a"];
    let more = [
        "--client-id",
        "c",
        "--address",
        "smtp.b.example",
        "--authorization-endpoint",
        "https://b.example/a",
    ];
    let rest = ["--token-endpoint", "https://b.example/t", "--scope", "smtp", "--secret-env", "PATH"];
    let ran =
        run(waxseal().env("PATH", "x").args(oauth).args(more).args(rest).arg("--config").arg(host.main()));
    ran.ok();
    assert!(host.text("generic").contains("client_secret = { env = \"PATH\" }\n"));
    assert_eq!(host.files(), ["example-com.toml", "generic.toml", "office.toml"]);
}

#[test]
fn every_grant_can_be_added_and_check_takes_it() {
    let host = Host::new("");
    let keys = support::keys::Keys::new();
    let (pair, robot) = (host.0.path().join("app.pem"), host.0.path().join("robot.json"));
    keys.write_pair(&pair);
    keys.write_service_account(&robot);
    let (pair, robot) = (pair.display().to_string(), robot.display().to_string());
    let add = |id: &str, kind: &str, grant: &str, more: &[&str]| {
        let (domain, username) = (format!("{id}.example"), format!("{id}@{id}.example"));
        let words = [
            "account",
            "add",
            id,
            "--type",
            kind,
            "--domain",
            &domain,
            "--username",
            &username,
            "--grant",
            grant,
        ];
        host.run(&[&words[..], more].concat())
    };
    let certified = ["--client-id", "c", "--client-certificate", &pair, "--client-key", &pair];
    let said = add("phone", "microsoft", "device_code", &certified).ok();
    assert!(said.contains("waxseal account authorize phone"), "{said}");
    let tenant = ["--tenant", "contoso.example"];
    add("app", "microsoft", "client_credentials", &[&certified[..], &tenant].concat()).ok();
    let said = add("robot", "google", "service_account", &["--service-account-file", &robot]).ok();
    assert!(!said.contains("authorize"), "{said}");
    let generic = [
        "--address",
        "smtp.x.example",
        "--token-endpoint",
        "https://x.example/t",
        "--scope",
        "s",
        "--client-id",
        "c",
    ];
    let lacking = add("tv", "oauth2", "device_code", &generic);
    assert!(lacking.code == 2 && lacking.stderr.contains("--device-authorization-endpoint"), "{lacking:?}");
    let device = ["--device-authorization-endpoint", "https://x.example/d"];
    add("tv", "oauth2", "device_code", &[&generic[..], &device].concat()).ok();
    assert_eq!(host.files(), ["app.toml", "phone.toml", "robot.toml", "tv.toml"]);
    let checked = host.run(&["check"]).ok();
    assert!(checked.contains("signed in by device") && checked.contains("as a service account"), "{checked}");
    let alone = add("half", "microsoft", "device_code", &["--client-id", "c", "--client-key", &pair]);
    assert_eq!(alone.code, 2, "{alone:?}");
}

#[test]
fn a_secret_from_standard_input_is_written_and_never_shown() {
    let host = Host::new("");
    let words = ["account", "add", "g", "--type", "google", "--default", "--username", "g@example.com"];
    let more = ["--client-id", "c", "--secret-stdin", "--config"];
    let mut command = waxseal();
    command.args(words).args(more).arg(host.main()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"canary \"x\"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("canary"));
    assert!(host.text("g").contains("client_secret = \"canary \\\"x\\\"\"\n"), "{}", host.text("g"));
    let mode = fs::metadata(host.conf_d().join("g.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_terminal_is_asked_and_shows_no_secret() {
    let host = Host::new("");
    let (mut person, terminal) = Terminal::open();
    let mut command = waxseal();
    command.args(["account", "add", "--config"]).arg(host.main());
    command.stdin(terminal.try_clone().unwrap()).stdout(terminal);
    let mut child = Running(command.spawn().unwrap());
    // Its ends of the terminal go, so that reading ends with the child.
    drop(command);
    for (question, answer) in [
        ("microsoft: ", "basic"),
        ("serves: ", "example.com"),
        ("server: ", "smtp.example.com"),
        ("[587]: ", "465"),
        ("[auto]: ", ""),
        ("(username): ", "u"),
        ("(not shown): ", "canary"),
        ("[example-com]: ", ""),
    ] {
        person.answer(question, answer);
    }
    assert_eq!(child.wait().code(), Some(0));
    let all = person.screen();
    assert!(!all.contains("canary") && all.contains("465") && all.contains("waxseal reload"), "{all}");
    assert!(host.text("example-com").ends_with("port = 465\nusername = \"u\"\npassword = \"canary\"\n"));
}

/// Root alone can hand a directory to a group.
#[test]
fn where_conf_d_is_kept_for_a_group_the_group_may_read_what_is_written() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const GROUP: u32 = 54321;
    let host = Host::new("");
    let permissions = |mode| fs::Permissions::from_mode(mode);
    std::os::unix::fs::chown(host.0.path(), None, Some(GROUP)).unwrap();
    fs::set_permissions(host.0.path(), permissions(0o750)).unwrap();
    host.import("ssmtp", &["ssmtp/ssmtp.conf"], &[]).ok();
    for (path, mode) in [(host.conf_d(), 0o750), (host.conf_d().join("smtp-provider-example.toml"), 0o640)] {
        let data = fs::metadata(path).unwrap();
        assert_eq!((data.mode() & 0o7777, data.gid()), (mode, GROUP));
    }
}

#[test]
fn what_is_missing_is_named_by_its_flag_with_2() {
    let host = Host::new("");
    let cases: [(&[&str], &[&str]); 5] = [
        (&[], &["--type"]),
        (&["--type", "basic"], &["--domain", "--address", "--username", "--secret-file or --secret-stdin"]),
        (&["--type", "google", "--domain", "a.example"], &["--username", "--client-id", "--secret-file"]),
        (
            &["--type", "oauth2", "--default"],
            &["--address", "--authorization-endpoint", "--token-endpoint", "--scope"],
        ),
        (
            &["--type", "microsoft", "--default", "--grant", "client_credentials"],
            &["--tenant", "--secret-file"],
        ),
    ];
    for (flags, wanted) in cases {
        let ran = host.run(&[&["account", "add"], flags].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{flags:?}: {ran:?}");
        assert!(wanted.iter().all(|flag| ran.stderr.contains(flag)), "{flags:?}: {}", ran.stderr);
    }
    for id in ["a/b", "../x", "ä", "a.b"] {
        let words = ["account", "add", id, "--type", "basic", "--default", "--address", "h.example"];
        let ran = host.run(&[&words[..], &["--no-authentication"]].concat());
        assert!(ran.code == 2 && ran.stderr.contains("no account id"), "{id}: {ran:?}");
    }
    assert!(host.files().is_empty());
}

#[test]
fn an_account_that_would_be_wrong_is_not_added() {
    let host = Host::new("");
    let words = ["account", "add", "a", "--type", "basic", "--address", "h.example", "--no-authentication"];
    host.run(&[&words[..], &["--domain", "a.example"]].concat()).ok();
    let again = host.run(&[&words[..], &["--domain", "b.example"]].concat());
    assert!(again.code == 1 && again.stderr.contains("conf.d/a.toml is there already"), "{again:?}");
    let mut other = words;
    other[2] = "b";
    let twice = host.run(&[&other[..], &["--domain", "a.example"]].concat());
    assert!(twice.code == 1 && twice.stderr.contains("a.example is served twice"), "{twice:?}");
    let shown = host.run(&[&other[..], &["--domain", "b.example", "--dry-run"]].concat()).ok();
    assert!(shown.contains("[account.b]\n"), "{shown}");
    assert_eq!(host.files(), ["a.toml"]);
}
