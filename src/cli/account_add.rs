//! `waxseal account add`: what an account needs, from flags or from answers, written into `conf.d`.

use super::{
    arguments::AccountAdd,
    conf_d::{self, NewAccount},
    output::{complain, say},
    terminal,
};
use crate::{
    account::{AccountType, is_id},
    draft::{Draft, Secret, Shown, id_of, write},
};
use std::{io, path::Path, process::ExitCode};
use zeroize::Zeroizing;

/// `EX_USAGE` as clap has it.
const USAGE: u8 = 2;

pub(super) fn add(config: Option<&Path>, arguments: AccountAdd) -> ExitCode {
    let dry_run = arguments.dry_run;
    let mut form = Form { attended: terminal::is_attended() && !arguments.secret_stdin, missing: Vec::new() };
    let draft = match form.fill_in(arguments) {
        Ok(draft) => draft,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    if !form.missing.is_empty() {
        complain(&format!("account add needs {}; on a terminal it asks for them", form.missing.join(", ")));
        return ExitCode::from(USAGE);
    }
    let id = &draft.id;
    if !is_id(id) {
        complain(&format!("{id:?} is no account id: it is made of ASCII letters, digits, `-` and `_`"));
        return ExitCode::from(USAGE);
    }
    let origin = "Made by waxseal account add";
    let new = [NewAccount::new(config, &draft, origin)];
    if dry_run {
        say(&format!("# {}", new[0].path.display()));
        say(write(&draft, origin, Shown::Hidden).trim_end());
        return ExitCode::SUCCESS;
    }
    if let Err(code) = conf_d::check(config, &new) {
        return code;
    }
    if let Err(problem) = conf_d::put(&new) {
        complain(&problem);
        complain("nothing was written");
        return ExitCode::FAILURE;
    }
    say(&format!("{} is written\n\nnext\n  waxseal reload", new[0].path.display()));
    let signs_in = !matches!(draft.text("grant"), Some("client_credentials" | "service_account"));
    if draft.kind != AccountType::Basic && signs_in {
        say(&format!("  waxseal account authorize {id}"));
    }
    say(&format!("  waxseal account test {id}"));
    ExitCode::SUCCESS
}

/// Answers, and the flags that would have given those that there are not.
struct Form {
    attended: bool,
    missing: Vec<&'static str>,
}

impl Form {
    fn fill_in(&mut self, arguments: AccountAdd) -> io::Result<Draft> {
        let kind =
            self.need(arguments.kind.clone(), "--type", "Type: basic, oauth2, google or microsoft", None)?;
        let Some(kind) = kind.as_deref().and_then(AccountType::parse) else {
            if let Some(kind) = kind {
                return Err(io::Error::other(format!("there is no type {kind:?}")));
            }
            return Ok(Draft::new("", AccountType::Basic));
        };
        let mut draft = Draft::new("", kind);
        self.serves(&mut draft, &arguments)?;
        draft.set_some("application", arguments.application.clone());
        self.server(&mut draft, &arguments)?;
        let logs_in = !arguments.no_authentication;
        if logs_in {
            let username =
                self.need(arguments.username.clone(), "--username", "Who logs in (username)", None)?;
            draft.set_some("username", username);
        } else {
            draft.set("use_authentication", false);
        }
        match kind {
            AccountType::Basic if logs_in => self.secret(&mut draft, "password", &arguments, true)?,
            AccountType::Basic => {}
            _ => self.client(&mut draft, &arguments)?,
        }
        let named = draft.texts("domains").first().or(draft.texts("senders").first()).cloned();
        let presumed =
            id_of(&named.or(draft.text("username").map(str::to_owned)).unwrap_or_default(), "account");
        draft.id = match arguments.id {
            Some(id) => id,
            None if self.attended => terminal::ask("Id of the account", Some(&presumed))?,
            None => presumed,
        };
        Ok(draft)
    }

    /// A value that the account cannot do without.
    fn need(
        &mut self,
        given: Option<String>,
        flag: &'static str,
        question: &str,
        default: Option<&str>,
    ) -> io::Result<Option<String>> {
        match given {
            Some(given) => Ok(Some(given)),
            None if self.attended => terminal::ask(question, default).map(Some),
            None => {
                self.missing.push(flag);
                Ok(None)
            }
        }
    }

    fn serves(&mut self, draft: &mut Draft, arguments: &AccountAdd) -> io::Result<()> {
        let mut domains = arguments.domain.clone();
        if domains.is_empty() && arguments.sender.is_empty() && !arguments.default {
            let answer =
                self.need(None, "--domain (or --sender, --default)", "Sender domain that it serves", None)?;
            domains.extend(
                answer.unwrap_or_default().split([',', ' ']).filter(|d| !d.is_empty()).map(str::to_owned),
            );
        }
        draft.set("domains", domains);
        draft.set("senders", arguments.sender.clone());
        if arguments.default {
            draft.set("default", true);
        }
        Ok(())
    }

    fn server(&mut self, draft: &mut Draft, arguments: &AccountAdd) -> io::Result<()> {
        let known = matches!(draft.kind, AccountType::Google | AccountType::Microsoft);
        let address = match &arguments.address {
            None if known => None,
            given => self.need(given.clone(), "--address", "SMTP server", None)?,
        };
        draft.set_some("address", address);
        draft.set_some("port", arguments.port);
        if self.attended && !known && arguments.port.is_none() && arguments.address.is_none() {
            let answer = terminal::ask("Its port", Some("587"))?;
            let port =
                answer.parse::<u16>().map_err(|_| io::Error::other(format!("{answer:?} is no port")))?;
            draft.set("port", port);
        }
        let mut security = arguments.security.clone();
        if self.attended && !known && security.is_none() && arguments.address.is_none() {
            security = Some(terminal::ask("Security: auto, starttls, tls or none", Some("auto"))?);
        }
        draft.set_some("security", security.filter(|security| security != "auto"));
        Ok(())
    }

    fn client(&mut self, draft: &mut Draft, arguments: &AccountAdd) -> io::Result<()> {
        let grant = arguments.grant.as_deref().unwrap_or("authorization_code");
        if grant == "service_account" {
            return self.service_account(draft, arguments);
        }
        let client =
            self.need(arguments.client_id.clone(), "--client-id", "Client (application) id", None)?;
        draft.set_some("client_id", client);
        let own_name = grant == "client_credentials";
        if let (Some(certificate), Some(key)) = (&arguments.client_certificate, &arguments.client_key) {
            draft.set("client_certificate", absolute(certificate)?);
            draft.set("client_key", absolute(key)?);
        } else {
            let needed = draft.kind == AccountType::Google || own_name;
            self.secret(draft, "client_secret", arguments, needed)?;
        }
        if draft.kind == AccountType::Microsoft {
            let tenant = match &arguments.tenant {
                None if own_name => self.need(None, "--tenant", "Directory (tenant) id", None)?,
                None if self.attended => Some(terminal::ask("Directory (tenant)", Some("common"))?),
                given => given.clone(),
            };
            draft.set_some("tenant", tenant.filter(|tenant| tenant != "common"));
        } else {
            draft.set_some("tenant", arguments.tenant.clone());
        }
        let generic = draft.kind == AccountType::OAuth2;
        let questions = [
            (
                "authorization_endpoint",
                &arguments.authorization_endpoint,
                "--authorization-endpoint",
                "Where a person signs in (URL)",
            ),
            ("token_endpoint", &arguments.token_endpoint, "--token-endpoint", "Where tokens come from (URL)"),
            ("scope", &arguments.scope, "--scope", "What access is asked for (scope)"),
        ];
        let in_a_browser = grant == "authorization_code";
        for (key, given, flag, question) in questions {
            let wanted = generic && (in_a_browser || key != "authorization_endpoint");
            let value = if wanted { self.need(given.clone(), flag, question, None)? } else { given.clone() };
            draft.set_some(key, value);
        }
        let device = &arguments.device_authorization_endpoint;
        let device = if grant == "device_code" && draft.kind != AccountType::Microsoft {
            let question = "Where a code for another device is had (URL)";
            self.need(device.clone(), "--device-authorization-endpoint", question, None)?
        } else {
            device.clone()
        };
        draft.set_some("device_authorization_endpoint", device);
        draft.set_some("grant", Some(grant).filter(|grant| *grant != "authorization_code"));
        Ok(())
    }

    fn service_account(&mut self, draft: &mut Draft, arguments: &AccountAdd) -> io::Result<()> {
        let given = arguments.service_account_file.as_ref().map(|path| path.display().to_string());
        let question = "Key file of the service account (JSON)";
        if let Some(file) = self.need(given, "--service-account-file", question, None)? {
            draft.set("service_account_file", absolute(Path::new(&file))?);
        }
        draft.set("grant", "service_account");
        draft.set_some("token_endpoint", arguments.token_endpoint.clone());
        draft.set_some("scope", arguments.scope.clone());
        Ok(())
    }

    /// The one secret of an account, by reference where a flag has one.
    fn secret(
        &mut self,
        draft: &mut Draft,
        key: &'static str,
        arguments: &AccountAdd,
        needed: bool,
    ) -> io::Result<()> {
        let secret = if let Some(path) = &arguments.secret_file {
            Some(Secret::File(absolute(path)?))
        } else if let Some(name) = &arguments.secret_env {
            Some(Secret::Variable(name.clone()))
        } else if let Some(name) = &arguments.secret_credential {
            Some(Secret::Credential(name.clone()))
        } else if arguments.secret_stdin {
            given(terminal::line()?)
        } else if self.attended {
            let question = if key == "password" { "Password" } else { "Client secret" };
            given(terminal::ask_secret(question)?)
        } else {
            None
        };
        if secret.is_none() && needed {
            self.missing.push("--secret-file or --secret-stdin");
        }
        draft.set_some(key, secret);
        Ok(())
    }
}

/// The daemon has another working directory.
fn absolute(path: &Path) -> io::Result<String> {
    Ok(std::path::absolute(path)?.display().to_string())
}

fn given(text: Zeroizing<String>) -> Option<Secret> {
    (!text.is_empty()).then(|| Secret::Given(text.as_str().into()))
}
