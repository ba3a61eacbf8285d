//! The console of the real daemon, by plain HTTP: who gets in, what is refused, what a form changes. A browser goes
//! through it in `tests/interop/console.py`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by panicking")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _};
use support::{
    House, Provider,
    browser::ask,
    client::{message, submit},
    console::{Browser, encoded, value_of},
    until,
};
use waxseal::sandbox::SandboxOptions;

const PAGES: [&str; 9] = [
    "/",
    "/accounts",
    "/accounts/new?type=microsoft",
    "/accounts/works",
    "/queue",
    "/trace?q=*@a.example",
    "/log",
    "/log/lines?after=0",
    "/forecasts",
];

/// A daemon with an account of type basic.
fn house(provider: &Provider) -> House {
    let house = House::beside(provider);
    house.configure(&house.basic(provider, "works", "a.example"));
    house.with_console();
    house
}

#[test]
fn nobody_gets_in_without_a_login_by_another_name_or_with_a_forged_form() {
    let provider = Provider::start(SandboxOptions::default());
    let house = house(&provider);
    let _daemon = house.serve();
    let base = format!("http://{}", house.admin);
    for path in PAGES {
        let page = ask("GET", &format!("{base}{path}"), &[], "").unwrap();
        assert_eq!(page.status, 401, "{path}");
        assert!(!page.body.contains("a.example"), "{path}");
        let page = ask("GET", &format!("{base}{path}"), &[("Host", "evil.example")], "").unwrap();
        assert_eq!(page.status, 421, "{path}");
    }
    let browser = Browser::enter(&house);
    for path in PAGES {
        let page = browser.get(path);
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        let policy = page.field("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(!page.body.contains("<script>") && !page.body.contains("style=\""), "{path}");
    }
    let csrf = browser.csrf();
    let reload = format!("{base}/reload");
    let cookie = ("Cookie", browser.cookie.as_str());
    let good = encoded(&[("csrf", &csrf)]);
    for (fields, body) in [
        (vec![cookie], ""),
        (vec![cookie], "csrf=guessed"),
        (vec![cookie, ("Origin", "http://evil.example")], good.as_str()),
        (vec![cookie, ("Sec-Fetch-Site", "cross-site")], good.as_str()),
    ] {
        let page = ask("POST", &reload, &fields, body).unwrap();
        assert_eq!(page.status, 403, "{fields:?} {body}");
    }
    assert_eq!(ask("POST", &reload, &[], &good).unwrap().status, 401);
    assert_eq!(ask("POST", &reload, &[("Cookie", "waxseal=guessed")], &good).unwrap().status, 401);
    assert!(!house.log().contains("reloaded"), "nothing was done");
    assert_eq!(ask("POST", &reload, &[cookie, ("Origin", &base)], &good).unwrap().status, 303);
    house.log_line(&["reloaded"]);

    // The admin token opens, too: to programs, and as a login.
    let token = fs::read_to_string(house.state().join("admin.token")).unwrap();
    let bearer = format!("Bearer {}", token.trim());
    let page = ask("GET", &format!("{base}/queue"), &[("Authorization", &bearer)], "").unwrap();
    assert_eq!(page.status, 200);
    let wrong = ask("POST", &format!("{base}/login"), &[], "token=guessed").unwrap();
    assert_eq!(wrong.status, 403);
    let right = ask("POST", &format!("{base}/login"), &[], &encoded(&[("token", token.trim())])).unwrap();
    assert_eq!((right.status, right.location.as_deref()), (303, Some("/")));

    assert_eq!(browser.post("/logout", &[]).location.as_deref(), Some("/login"));
    assert_eq!(browser.get("/").status, 401);
}

#[test]
fn a_link_leads_to_pages_of_ours_alone() {
    let house = House::new();
    house.configure("");
    let _daemon = house.serve();
    for (to, want) in [
        ("/accounts/a", "/accounts/a"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
    ] {
        let url = house.cli(&["admin-url"]).ok();
        let key = url.trim().rsplit_once("key=").unwrap().1.to_owned();
        let query = encoded(&[("key", &key), ("to", to)]);
        let page = ask("GET", &format!("http://{}/login?{query}", house.admin), &[], "").unwrap();
        assert_eq!(page.location.as_deref(), Some(want), "{to}");
    }
}

#[test]
fn an_account_is_made_changed_and_used_in_the_console() {
    let provider = Provider::start(SandboxOptions::default());
    let house = house(&provider);
    let _daemon = house.serve();
    let browser = Browser::enter(&house);
    let (server, options) = (provider.smtp_address(), provider.options());
    let (port, ca) = (server.port().to_string(), house.path("ca.pem").display().to_string());

    // What is wrong is said at its field, and nothing is written.
    let wrong = browser.post(
        "/accounts/new?type=basic",
        &[("type", "basic"), ("id", "not an id"), ("domains", "b.example")],
    );
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("An id is made of ASCII letters"), "{}", wrong.body);
    let filled = [
        ("type", "basic"),
        ("id", "fresh"),
        ("name", "Fresh <b>one</b>"),
        ("active", "on"),
        ("address", "127.0.0.1"),
        ("port", port.as_str()),
        ("domains", "b.example"),
        ("username", options.username.as_str()),
        ("use_authentication", "on"),
        ("certificate_validation", "on"),
        ("ca_file", ca.as_str()),
    ];
    let wrong = browser
        .post("/accounts/new", &[&filled[..], &[("rate_limit", "often"), ("password", "hunter2")]].concat());
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.body.contains("aria-invalid=\"true\"") && !wrong.body.contains("hunter2"),
        "{}",
        wrong.body
    );
    let conf_d = house.path("conf.d");
    assert!(!conf_d.join("fresh.toml").exists());

    // The file that comes of it is the daemon's alone, and in force at once.
    let made = [&filled[..], &[("password", options.password.as_str())]].concat();
    let page = browser.post_and_go("/accounts/new", &made);
    assert!(page.contains("The account fresh is saved and in force."), "{page}");
    assert!(page.contains("Fresh &#60;b&#62;one&#60;/b&#62;") && !page.contains(&options.password), "{page}");
    let file = conf_d.join("fresh.toml");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
    submit(house.smtp, "app@b.example", &message("through-the-new-one")).unwrap();
    provider.arrivals(1);

    // Comments and what the form does not know stay; a secret that is left empty stays.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[account.fresh]", "# by hand\n[account.fresh]")).unwrap();
    let form = browser.get("/accounts/fresh").body;
    let version = value_of(&form, "version").unwrap();
    let changed = [
        ("version", version.as_str()),
        ("name", "Renamed"),
        ("active", "on"),
        ("address", "127.0.0.1"),
        ("port", port.as_str()),
        ("domains", "b.example, c.example"),
        ("username", options.username.as_str()),
        ("use_authentication", "on"),
        ("certificate_validation", "on"),
        ("ca_file", ca.as_str()),
    ];
    let page = browser.post_and_go("/accounts/fresh", &changed);
    assert!(page.contains("saved and in force"), "{page}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# by hand\n") && text.contains("name = \"Renamed\""), "{text}");
    assert!(
        text.contains("domains = [\"b.example\", \"c.example\"]") && text.contains(&options.password),
        "{text}"
    );
    submit(house.smtp, "app@c.example", &message("through-the-changed-one")).unwrap();
    provider.arrivals(2);

    // Whoever saves a form that is out of date is told so.
    let late = browser.post("/accounts/fresh", &changed);
    assert_eq!(late.status, 422);
    assert!(late.body.contains("has changed since this form was opened"), "{}", late.body);

    // An account of the main file is changed by a file of its own.
    let form = browser.get("/accounts/works").body;
    let version = value_of(&form, "version").unwrap();
    let port = port.as_str();
    let page = browser.post_and_go(
        "/accounts/works",
        &[
            ("version", &version),
            ("name", "Overridden"),
            ("active", "on"),
            ("address", "127.0.0.1"),
            ("port", port),
            ("domains", "a.example"),
            ("username", &options.username),
            ("use_authentication", "on"),
            ("certificate_validation", "on"),
            ("ca_file", &ca),
        ],
    );
    assert!(page.contains("Account Overridden"), "{page}");
    let text = fs::read_to_string(conf_d.join("works.toml")).unwrap();
    assert!(
        text.contains("name = \"Overridden\"") && !text.contains("port"),
        "only what was changed: {text}"
    );

    // And it is tested, to the provider's own reply.
    let page = browser.post("/accounts/fresh/test", &[("to", "someone@example.org")]);
    assert!(
        page.body.contains("sent to someone@example.org") && page.body.contains("MAIL FROM"),
        "{}",
        page.body
    );
}

#[test]
fn a_directory_that_the_daemon_cannot_write_is_said_with_the_way_out() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root may write everywhere");
        return;
    }
    let provider = Provider::start(SandboxOptions::default());
    let house = house(&provider);
    fs::create_dir(house.path("conf.d")).unwrap();
    fs::set_permissions(house.path("conf.d"), fs::Permissions::from_mode(0o500)).unwrap();
    let _daemon = house.serve();
    let browser = Browser::enter(&house);
    let made = [
        ("type", "basic"),
        ("id", "b"),
        ("address", "127.0.0.1"),
        ("domains", "b.example"),
        ("username", "u"),
        ("use_authentication", "on"),
        ("password", "x"),
        ("certificate_validation", "on"),
    ];
    let page = browser.post("/accounts/new", &made);
    assert!(page.body.contains("has to be able to write into conf.d"), "{}", page.body);
}

#[test]
fn messages_are_searched_held_released_and_removed() {
    let provider = Provider::start(SandboxOptions::default());
    let house = House::beside(&provider);
    let away = house.basic(&provider, "away", "a.example");
    house.configure(&away.replace(&format!("port = {}", provider.smtp_address().port()), "port = 9"));
    let _daemon = house.serve();
    submit(house.smtp, "app@a.example", &message("one")).unwrap();
    let id = until("a message", || house.json(&["queue", "list"])[0]["id"].as_str().map(str::to_owned));
    let browser = Browser::enter(&house);
    assert!(browser.get("/queue?q=someone%40example.org").body.contains(&id));
    assert!(browser.get("/queue?q=nobody").body.contains("No message waits here that fits"));
    assert!(browser.get("/queue?state=failed").body.contains("No message waits here that fits"));
    until("a message that is not under way", || {
        browser
            .post_and_go("/queue", &[("id", &id), ("change", "hold")])
            .contains("Messages held: 1.")
            .then_some(())
    });
    house.message_becomes("held");
    let page = browser.post_and_go("/queue", &[("id", &id), ("change", "release"), ("back", "message")]);
    assert!(page.contains(&format!("Message {id}")) && page.contains("What became of it"), "{page}");
    let sure = browser.post("/queue", &[("id", &id), ("change", "remove")]);
    assert!(sure.status == 200 && sure.body.contains("taken out of the queue for good"), "{sure:?}");
    assert_eq!(house.json(&["queue", "list"]).as_array().unwrap().len(), 1);
    until("a message that is not under way", || {
        let fields = [("id", id.as_str()), ("change", "remove"), ("sure", "yes")];
        browser.post_and_go("/queue", &fields).contains("Messages removed: 1.").then_some(())
    });
    assert!(house.json(&["queue", "list"]).as_array().unwrap().is_empty());
    assert!(browser.get(&format!("/trace?q={id}")).body.contains("removed"));
    let gone = browser.get(&format!("/queue/{id}"));
    assert_eq!((gone.status, gone.location), (303, Some(format!("/trace?q={id}"))));
}

#[test]
fn tokens_are_generated_in_the_browser_that_set_out() {
    let provider = Provider::start(SandboxOptions { auto_approve: true, ..SandboxOptions::default() });
    let house = House::beside(&provider);
    let address = format!("http://{}", house.admin);
    let account = house.oauth(&provider, "person", "a.example");
    house.configure(&account);
    let text = fs::read_to_string(house.config()).unwrap();
    let line = format!("address = \"{}\"\n", house.admin);
    fs::write(house.config(), text.replace(&line, &format!("{line}public_url = \"{address}\"\n"))).unwrap();
    let _daemon = house.serve();
    let browser = Browser::enter(&house);
    let set_out = || {
        let page = browser.post("/accounts/person/tokens", &[]);
        assert_eq!(page.status, 200, "{page:?}");
        let (_, rest) = page.body.split_once("content=\"0;url=").unwrap();
        let url = rest.split('"').next().unwrap().replace("&#38;", "&");
        ask("GET", &url, &[], "").unwrap().location.unwrap()
    };
    let back = set_out();
    let stranger = ask("GET", &back, &[], "").unwrap();
    assert_eq!(stranger.status, 400);
    assert!(stranger.body.contains("begun in another browser"), "{}", stranger.body);
    assert_eq!(house.account("person")["state"], "needs_authorization");
    let back = set_out();
    let page = ask("GET", &back, &[("Cookie", &browser.cookie)], "").unwrap();
    assert_eq!((page.status, page.location.as_deref()), (303, Some("/accounts/person")));
    let page = browser.get("/accounts/person").body;
    assert!(page.contains("The account person is authorized.") && page.contains(">ready<"), "{page}");
    // Whoever is here by another name gets a link to here by the right one.
    let port = house.admin.port();
    let csrf = browser.csrf();
    let cookie = ("Cookie", browser.cookie.as_str());
    let host = format!("localhost:{port}");
    let fields = [cookie, ("Host", host.as_str())];
    let page =
        ask("POST", &format!("{address}/accounts/person/tokens"), &fields, &encoded(&[("csrf", &csrf)]))
            .unwrap();
    assert!(page.body.contains(&format!("{address}/login?key=")), "{}", page.body);
}
