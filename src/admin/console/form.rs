//! The form of an account: which fields a type has, what they show, and what a filled-in form changes. Pure.

mod table;

use super::fields::Fields;
use crate::{
    account::{
        AccountType, Rate,
        presets::{Cloud, Preset},
    },
    config::{Written, WrittenKey},
    draft::{Change, Secret, Value},
};
use std::collections::BTreeMap;
use table::{
    FIELDS, Field, Shows,
    Shows::{First, Later, No},
    Takes,
};

/// What is written of an account, by key.
pub(super) type Keys = BTreeMap<String, WrittenKey>;

/// The four types, with the names that their users know.
pub(super) const TYPES: [(AccountType, &str); 4] = [
    (AccountType::Basic, "Basic (SMTP)"),
    (AccountType::OAuth2, "Generic OAuth 2.0 (SMTP)"),
    (AccountType::Google, "Google OAuth 2.0 (SMTP)"),
    (AccountType::Microsoft, "Microsoft OAuth 2.0 (SMTP)"),
];

/// The name of a type, by its word.
pub(super) fn type_name(word: &str) -> &'static str {
    TYPES.iter().find(|(kind, _)| kind.as_str() == word).map_or("", |(_, name)| name)
}

fn shows(field: &Field, kind: AccountType) -> Shows {
    let at = TYPES.iter().position(|(known, _)| *known == kind).unwrap_or(0);
    field.shows[at]
}

/// A field as a page shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: String,
    /// `text`, `number`, `flag`, `secret` or `choice`.
    pub(super) form: &'static str,
    pub(super) value: String,
    /// What holds where nothing is written.
    pub(super) presumed: String,
    pub(super) checked: bool,
    /// Value, name, and whether it is chosen.
    pub(super) choices: Vec<(String, String, bool)>,
    pub(super) problem: String,
}

/// The fields of a type: those that make it up, and those that are settable all the same.
pub(super) struct Form {
    pub(super) first: Vec<Shown>,
    pub(super) later: Vec<Shown>,
    /// A field of the second kind is filled in, or wrong.
    pub(super) open: bool,
}

/// What a form shows: what is written, or what somebody has just typed, with what is wrong with it by key.
pub(super) fn form(
    kind: AccountType,
    keys: &Keys,
    typed: Option<&Fields>,
    applications: &[String],
    problems: &[(String, String)],
) -> Form {
    let cloud = match text_of(keys, "cloud").as_str() {
        "us-gov" => Cloud::UsGov,
        "us-gov-dod" => Cloud::UsGovDod,
        "china" => Cloud::China,
        _ => Cloud::Global,
    };
    let tenant = Some(text_of(keys, "tenant")).filter(|tenant| !tenant.is_empty());
    let preset = Preset::of(kind, cloud, tenant.as_deref().unwrap_or("common"));
    let (mut first, mut later, mut open) = (Vec::new(), Vec::new(), false);
    for field in &FIELDS {
        let place = shows(field, kind);
        let mut shown = shown(field, keys, typed, applications);
        shown.presumed = presumed(field.key, &preset);
        shown.problem = problems
            .iter()
            .find(|(key, _)| same_key(key, field.key))
            .map(|(_, p)| p.clone())
            .unwrap_or_default();
        match place {
            First => first.push(shown),
            Later => {
                open |= !shown.problem.is_empty() || keys.contains_key(field.key);
                later.push(shown);
            }
            No => {}
        }
    }
    Form { first, later, open }
}

/// `domain` is the other spelling of `domains`.
pub(super) fn same_key(found: &str, field: &str) -> bool {
    found == field || (found == "domain" && field == "domains")
}

/// Whether a type's form has this key.
pub(super) fn has_key(kind: AccountType, key: &str) -> bool {
    FIELDS.iter().any(|field| same_key(key, field.key) && shows(field, kind) != No)
}

fn shown(field: &Field, keys: &Keys, typed: Option<&Fields>, applications: &[String]) -> Shown {
    let written = text_of(keys, field.key);
    let value = match typed {
        Some(typed) => typed.get(field.key).to_owned(),
        None => written.clone(),
    };
    let mut shown =
        Shown { key: field.key, label: field.label, hint: field.hint.to_owned(), ..Shown::default() };
    match field.takes {
        Takes::Text | Takes::Texts => (shown.form, shown.value) = ("text", value),
        Takes::Number => (shown.form, shown.value) = ("number", value),
        Takes::Flag(presumed) => {
            shown.form = "flag";
            shown.checked = match typed {
                Some(typed) => typed.get(field.key) == "on",
                None => flag_of(keys, field.key).unwrap_or(presumed),
            };
        }
        Takes::Secret => {
            shown.form = "secret";
            // A secret is written, and never shown: an empty field leaves it as it is.
            if let Some(WrittenKey { value: Written::Secret(how), .. }) = keys.get(field.key) {
                shown.hint = match how.as_str() {
                    "set" => "One is set. Leave this empty to keep it.".to_owned(),
                    how => format!("It comes from {how}. Leave this empty to keep it so."),
                };
            }
        }
        Takes::Choice(words) => {
            shown.form = "choice";
            let chosen = if words.contains(&value.as_str()) { value } else { words[0].to_owned() };
            shown.choices =
                words.iter().map(|word| ((*word).to_owned(), (*word).to_owned(), *word == chosen)).collect();
        }
        Takes::Application => {
            shown.form = "choice";
            let names = applications.iter().map(|id| (id.clone(), format!("Application {id}")));
            let all = std::iter::once((String::new(), "Organization".to_owned())).chain(names);
            shown.choices = all.map(|(id, name)| (id.clone(), name, id == value)).collect();
        }
    }
    shown
}

fn text_of(keys: &Keys, key: &str) -> String {
    let found = keys.get(key).or_else(|| keys.get("domain").filter(|_| key == "domains"));
    match found.map(|written| &written.value) {
        Some(Written::Text(text)) => text.clone(),
        Some(Written::Texts(texts)) => texts.join(", "),
        Some(Written::Number(number)) => number.to_string(),
        Some(Written::Flag(_) | Written::Secret(_)) | None => String::new(),
    }
}

fn flag_of(keys: &Keys, key: &str) -> Option<bool> {
    match keys.get(key)?.value {
        Written::Flag(flag) => Some(flag),
        _ => None,
    }
}

fn presumed(key: &str, preset: &Preset) -> String {
    match key {
        "address" => preset.host.unwrap_or_default().to_owned(),
        "port" => preset.port.to_string(),
        "tenant" => "common".to_owned(),
        "authorization_endpoint" => preset.authorization_endpoint.clone().unwrap_or_default(),
        "token_endpoint" => preset.token_endpoint.clone().unwrap_or_default(),
        "device_authorization_endpoint" => preset.device_endpoint.clone().unwrap_or_default(),
        "scope" => preset.scope.clone().unwrap_or_default(),
        "max_connections" => preset.max_connections.to_string(),
        "rate_limit" => preset.rate_limit.map_or_else(|| "none".to_owned(), shown_rate),
        "daily_recipients" => preset.daily_recipients.map_or_else(String::new, |count| count.to_string()),
        "max_recipients_per_message" => {
            preset.max_recipients_per_message.map_or_else(String::new, |count| count.to_string())
        }
        "mechanism" => "auto".to_owned(),
        _ => String::new(),
    }
}

fn shown_rate(rate: Rate) -> String {
    match rate.per.as_secs() {
        60 => format!("{}/min", rate.count),
        seconds => format!("{} in {seconds} s", rate.count),
    }
}

/// What a filled-in form changes of what is written. A field that the form does not have stays as it is.
///
/// # Errors
/// What is wrong with a field by itself, by key; what is wrong with the whole the configuration says.
pub(super) fn changes(
    kind: AccountType,
    keys: &Keys,
    typed: &Fields,
) -> Result<Vec<Change>, Vec<(String, String)>> {
    let (mut changes, mut problems) = (Vec::new(), Vec::new());
    for field in FIELDS.iter().filter(|field| shows(field, kind) != No) {
        let (key, value, before) = (field.key, typed.get(field.key), text_of(keys, field.key));
        match field.takes {
            Takes::Secret => {
                // As typed: a blank at its end may be part of it.
                let secret = typed.raw(key);
                if !secret.is_empty() {
                    changes.push(Change { key, value: Some(Secret::Given(secret.into()).into()) });
                }
            }
            Takes::Flag(presumed) => {
                let flag = value == "on";
                if flag != flag_of(keys, key).unwrap_or(presumed) {
                    changes.push(Change { key, value: Some(flag.into()) });
                }
            }
            _ if value == before || !typed.has(key) => {}
            Takes::Choice(words) if keys.get(key).is_none() && value == words[0] => {}
            Takes::Number if !value.is_empty() => match value.parse::<u32>() {
                Ok(number) => changes.push(Change { key, value: Some(Value::Number(number)) }),
                Err(_) => problems.push((key.to_owned(), format!("{value:?} is no whole number"))),
            },
            Takes::Texts => changes.extend(texts(key, value, keys)),
            _ => changes.push(Change { key, value: (!value.is_empty()).then(|| value.into()) }),
        }
    }
    if problems.is_empty() { Ok(changes) } else { Err(problems) }
}

/// A single domain stays in the spelling for one where it is written so.
fn texts(key: &'static str, value: &str, keys: &Keys) -> Vec<Change> {
    let all: Vec<String> =
        value.split([',', ' ']).filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let single = key == "domains" && !keys.contains_key("domains");
    match all.as_slice() {
        [one] if single => vec![Change { key: "domain", value: Some(one.as_str().into()) }],
        [] if single => vec![Change { key: "domain", value: None }],
        [] => vec![Change { key, value: None }],
        _ if single && keys.contains_key("domain") => {
            vec![Change { key: "domain", value: None }, Change { key, value: Some(all.into()) }]
        }
        _ => vec![Change { key, value: Some(all.into()) }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(written: &[(&str, Written)]) -> Keys {
        let key = |value: &Written| WrittenKey { value: value.clone(), source: "conf.d/a.toml".to_owned() };
        written.iter().map(|(name, value)| ((*name).to_owned(), key(value))).collect()
    }

    fn text(text: &str) -> Written {
        Written::Text(text.to_owned())
    }

    fn said(changes: &[Change]) -> Vec<String> {
        let value = |change: &Change| match &change.value {
            None => "-".to_owned(),
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Texts(texts)) => texts.join("+"),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Flag(flag)) => flag.to_string(),
            Some(Value::Secret(_)) => "secret".to_owned(),
        };
        changes.iter().map(|change| format!("{}={}", change.key, value(change))).collect()
    }

    #[test]
    fn each_type_has_the_fields_that_its_users_know() {
        let first = |kind| {
            let form = form(kind, &Keys::new(), None, &[], &[]);
            form.first.iter().map(|shown| shown.key).collect::<Vec<_>>().join(" ")
        };
        let common = "name description active application";
        for (kind, want) in [
            (
                AccountType::Basic,
                "address port security certificate_validation domains username use_authentication password",
            ),
            (
                AccountType::OAuth2,
                "address port security certificate_validation domains username authorization_endpoint token_endpoint client_id client_secret scope",
            ),
            (AccountType::Google, "certificate_validation domains username client_id client_secret"),
            (
                AccountType::Microsoft,
                "certificate_validation domains username tenant client_id client_secret",
            ),
        ] {
            assert_eq!(first(kind), format!("{common} {want}"));
        }
    }

    #[test]
    fn only_what_somebody_changed_is_changed() {
        let written = keys(&[
            ("name", text("Old")),
            ("domain", text("example.com")),
            ("port", Written::Number(25)),
            ("active", Written::Flag(true)),
            ("password", Written::Secret("file /x".to_owned())),
        ]);
        let unchanged = b"name=Old&domains=example.com&port=25&active=on&certificate_validation=on&use_authentication=on&security=auto&sender=keep&delivery=queue";
        assert_eq!(said(&changes(AccountType::Basic, &written, &Fields::parse(unchanged)).unwrap()), [""; 0]);
        let changed = b"name=&domains=example.com,+example.org&port=587&certificate_validation=on&use_authentication=on&password=+x&security=tls&delivery=through";
        assert_eq!(
            said(&changes(AccountType::Basic, &written, &Fields::parse(changed)).unwrap()),
            [
                "name=-",
                "active=false",
                "port=587",
                "security=tls",
                "domain=-",
                "domains=example.com+example.org",
                "password=secret",
                "delivery=through"
            ]
        );
    }

    #[test]
    fn a_number_that_is_none_is_said_at_its_field() {
        let typed = Fields::parse(b"port=smtp");
        let problems = changes(AccountType::Basic, &Keys::new(), &typed).unwrap_err();
        assert_eq!(problems[0].0, "port");
        let form = form(AccountType::Basic, &Keys::new(), Some(&typed), &[], &problems);
        let port = form.first.iter().find(|shown| shown.key == "port").unwrap();
        assert_eq!((port.value.as_str(), port.problem.as_str()), ("smtp", "\"smtp\" is no whole number"));
    }

    #[test]
    fn a_secret_is_never_shown_not_even_the_one_just_typed() {
        let written = keys(&[("client_secret", Written::Secret("set".to_owned()))]);
        let typed = Fields::parse(b"client_secret=hunter2");
        let form = form(AccountType::Google, &written, Some(&typed), &[], &[]);
        let secret = form.first.iter().find(|shown| shown.key == "client_secret").unwrap();
        assert_eq!(
            (secret.value.as_str(), secret.hint.as_str()),
            ("", "One is set. Leave this empty to keep it.")
        );
    }

    #[test]
    fn a_type_knows_what_its_provider_needs() {
        let written = keys(&[("tenant", text("contoso"))]);
        let form = form(AccountType::Microsoft, &written, None, &["ticketing".to_owned()], &[]);
        let presumed = |key| form.later.iter().find(|shown| shown.key == key).unwrap().presumed.clone();
        assert_eq!(presumed("address"), "smtp.office365.com");
        assert!(presumed("token_endpoint").contains("/contoso/"));
        assert_eq!(form.first.iter().find(|s| s.key == "application").unwrap().choices.len(), 2);
    }
}
