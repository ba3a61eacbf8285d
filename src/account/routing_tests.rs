//! Routing as tables.

use super::*;
use crate::account::samples::account as sample;

fn account(id: &str, application: Option<&str>, domains: &[&str]) -> Account {
    Account { application: application.map(ApplicationId::new), ..sample(id, domains) }
}

fn world() -> Vec<Account> {
    let senders = |list: &[&str]| list.iter().map(|s| Mailbox::parse(s).unwrap()).collect();
    vec![
        account("org", None, &["example.com", "*.example.com", "bücher.example"]),
        account("deep", None, &["*.deep.example.com"]),
        Account { senders: senders(&["CEO@example.com"]), ..account("ceo", None, &[]) },
        Account { default: true, ..account("rest", None, &[]) },
        account("tickets", Some("ticketing"), &["example.com"]),
        Account { default: true, ..account("assets", Some("assets"), &["assets.example"]) },
        Account { active: false, ..account("asleep", Some("ticketing"), &["sub.example.com"]) },
    ]
}

#[test]
fn the_application_comes_first_and_the_most_specific_wins() {
    let routes = Routes::new(&world());
    let cases = [
        (None, "a@example.com", "org"),
        (None, "A@EXAMPLE.COM", "org"),
        (None, "a@example.com.", "org"),
        (None, "ceo@Example.com", "ceo"),
        (None, "a@sub.example.com", "org"),
        (None, "a@x.y.deep.example.com", "deep"),
        (None, "a@deep.example.com", "org"),
        (None, "a@notexample.com", "rest"),
        (None, "a@bücher.example", "org"),
        (None, "a@XN--BCHER-KVA.example", "org"),
        (None, "", "rest"),
        (Some("ticketing"), "a@example.com", "tickets"),
        (Some("ticketing"), "ceo@example.com", "tickets"),
        (Some("ticketing"), "a@sub.example.com", "org"),
        (Some("ticketing"), "", "rest"),
        (Some("assets"), "a@example.com", "assets"),
        (Some("assets"), "", "assets"),
        (Some("unheard-of"), "a@example.com", "org"),
    ];
    for (application, sender, want) in cases {
        let application = application.map(ApplicationId::new);
        let sender = ReversePath::parse(sender).unwrap();
        let route = routes.route(application.as_ref(), &sender).unwrap();
        assert_eq!(route.account.as_str(), want, "{application:?} {sender}");
        let steps = routes.explain(application.as_ref(), &sender);
        assert_eq!(
            steps.last().and_then(|s| s.account.as_ref()),
            Some(&route.account),
            "{application:?} {sender}"
        );
    }
}

#[test]
fn without_a_match_the_domain_is_named() {
    let routes = Routes::new(&world()[..3]);
    let sender = ReversePath::parse("a@Other.example").unwrap();
    let refused = routes.route(None, &sender).unwrap_err();
    assert_eq!(refused.to_string(), "no account sends for the domain Other.example");
    assert_eq!(routes.route(None, &ReversePath::Null), Err(NoRoute::Null));
}

#[test]
fn a_wildcard_does_not_cover_its_own_domain() {
    let routes = Routes::new(&[account("w", None, &["*.example.org"])]);
    assert!(routes.route(None, &ReversePath::parse("a@example.org").unwrap()).is_err());
    assert!(routes.route(None, &ReversePath::parse("a@b.example.org").unwrap()).is_ok());
}

#[test]
fn inactive_accounts_are_passed_over_and_mentioned() {
    let routes = Routes::new(&world());
    let application = ApplicationId::new("ticketing");
    let steps = routes.explain(Some(&application), &ReversePath::parse("a@sub.example.com").unwrap());
    let text: Vec<_> = steps.iter().map(ToString::to_string).collect();
    assert!(
        text.contains(
            &"an account of the application ticketing with the domain sub.example.com: none \
              (account asleep would match but is inactive)"
                .to_owned()
        ),
        "{text:#?}"
    );
}

#[test]
fn reasons_are_sentences() {
    let routes = Routes::new(&world());
    let why =
        |sender: &str| routes.route(None, &ReversePath::parse(sender).unwrap()).unwrap().why.to_string();
    assert_eq!(why("a@example.com"), "it is the account of the organization with the domain example.com");
    assert_eq!(
        why("a@b.example.com"),
        "it is the account of the organization with the longest matching wildcard, *.example.com"
    );
    assert_eq!(
        why("a@b.test"),
        "no account of the organization has the domain b.test, and it is the default there"
    );
    assert_eq!(why(""), "the reverse-path is null, and it is the default account of the organization");
}
