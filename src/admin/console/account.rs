//! One account: as it stands, as a form, and what can be done with it.

use super::{
    entrance::Visitor,
    fields::Fields,
    form::{self, Form, Keys, type_name},
    frame::{Frame, go, problem, segment, show, when_some},
    save::{self, Edit, Problems, editable},
    sign_in,
};
use crate::{
    account::{AccountId, AccountType, is_id},
    admin::{
        http::Web,
        protocol::{AccountView, ExaminationView, Request},
    },
    draft::Change,
};
use askama::Template;
use axum::{
    extract::{Extension, Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};

/// The form of an account, new or not.
#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    /// As it stands; nothing of a new one.
    view: Option<AccountView>,
    /// How the first token is had, for the button.
    tokens: Tokens,
    kind: AccountType,
    id: String,
    id_problem: String,
    version: String,
    form: Form,
    problems: Vec<String>,
    redirect_uri: String,
    examined: Option<Examined>,
}

/// What gives an account its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tokens {
    /// It has none.
    None,
    /// A person, in a browser or by device.
    SignIn,
    /// The client by itself.
    Itself,
}

struct Examined {
    view: Option<ExaminationView>,
    sent: Result<String, String>,
}

impl AccountPage {
    fn type_name(&self) -> &'static str {
        type_name(self.kind.as_str())
    }

    fn address(&self) -> String {
        match &self.view {
            Some(view) => format!("/accounts/{}", segment(&view.id)),
            None => "/accounts/new".to_owned(),
        }
    }
}

fn tokens_of(web: &Web, id: &str) -> Tokens {
    let snapshot = web.service.live.get();
    let account = snapshot.account(&AccountId::new(id));
    match account.and_then(|account| account.oauth()) {
        None => Tokens::None,
        Some(login) if login.sign_in().is_some() => Tokens::SignIn,
        Some(_) => Tokens::Itself,
    }
}

/// The parts of a page that come of a form.
struct Draft<'a> {
    kind: AccountType,
    id: &'a str,
    keys: &'a Keys,
    version: String,
    typed: Option<&'a Fields>,
    problems: Problems,
}

fn page_of(
    web: &Web,
    visitor: &Visitor,
    view: Option<AccountView>,
    draft: Draft<'_>,
    examined: Option<Examined>,
) -> Response {
    let snapshot = web.service.live.get();
    let applications: Vec<String> =
        snapshot.config.applications.iter().map(|application| application.id.to_string()).collect();
    let Draft { kind, id, keys, version, typed, mut problems } = draft;
    let title = match &view {
        Some(view) => format!("Account {}", view.name),
        None => format!("New account: {}", type_name(kind.as_str())),
    };
    let status = match problems.fields.is_empty() && problems.whole.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let id_problem = match problems.fields.iter().position(|(key, _)| key == "id") {
        Some(at) => problems.fields.remove(at).1,
        None => String::new(),
    };
    let page = AccountPage {
        frame: Frame::of(web, visitor, "/accounts", title),
        tokens: tokens_of(web, id),
        form: form::form(kind, keys, typed, &applications, &problems.fields),
        view,
        kind,
        id: id.to_owned(),
        id_problem,
        version,
        problems: problems.whole,
        redirect_uri: web.service.redirect_uri().map(|uri| uri.to_string()).unwrap_or_default(),
        examined,
    };
    show(status, &page)
}

/// The form of a new account.
pub(super) async fn new_page(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let kind = AccountType::parse(fields.get("type")).unwrap_or(AccountType::Basic);
    let draft = Draft {
        kind,
        id: "",
        keys: &Keys::new(),
        version: "new".to_owned(),
        typed: None,
        problems: Problems::default(),
    };
    page_of(&web, &visitor, None, draft, None)
}

/// Saves a new account.
pub(super) async fn create(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    headers: HeaderMap,
) -> Response {
    let Some(kind) = AccountType::parse(fields.get("type")) else {
        return problem(
            &web,
            &visitor,
            "/accounts",
            StatusCode::BAD_REQUEST,
            "There is no such type of account.",
        );
    };
    let id = fields.get("id");
    let keys = Keys::new();
    let saved = match id_problem(&web, id) {
        Some(why) => Err(Problems { fields: vec![("id".to_owned(), why)], whole: Vec::new() }),
        None => {
            let changes = form::changes(kind, &keys, &fields);
            match changes.map_err(|fields| Problems { fields, whole: Vec::new() }) {
                Ok(mut changes) => {
                    changes.insert(0, Change { key: "type", value: Some(kind.as_str().into()) });
                    let edit = Edit { id: id.to_owned(), kind, changes, version: "new".to_owned() };
                    save::save(&web.service, edit).await
                }
                Err(problems) => Err(problems),
            }
        }
    };
    match saved {
        Ok(()) => saved_page(&web, &visitor, id, &fields, &headers).await,
        Err(problems) => {
            let version = "new".to_owned();
            let draft = Draft { kind, id, keys: &keys, version, typed: Some(&fields), problems };
            page_of(&web, &visitor, None, draft, None)
        }
    }
}

fn id_problem(web: &Web, id: &str) -> Option<String> {
    if !is_id(id) {
        return Some("An id is made of ASCII letters, digits, - and _.".to_owned());
    }
    let taken = web.service.live.get().account(&AccountId::new(id)).is_some();
    taken.then(|| format!("There is an account {id} already."))
}

async fn saved_page(
    web: &Web,
    visitor: &Visitor,
    id: &str,
    fields: &Fields,
    headers: &HeaderMap,
) -> Response {
    let address = format!("/accounts/{}", segment(id));
    if fields.has("generate") {
        return sign_in::set_out(web, visitor, id, headers).await;
    }
    go(web, visitor, &address, Ok(format!("The account {id} is saved and in force.")))
}

/// An account as it stands, with its form.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Response {
    current(&web, &visitor, &id, None, None, Problems::default()).await
}

async fn current(
    web: &Web,
    visitor: &Visitor,
    id: &str,
    examined: Option<Examined>,
    typed: Option<&Fields>,
    problems: Problems,
) -> Response {
    let view = match web.service.account(id) {
        Ok(account) => web.service.view(&account),
        Err(_) => {
            let why = format!("There is no account {id}.");
            return problem(web, visitor, "/accounts", StatusCode::NOT_FOUND, why);
        }
    };
    let kind = AccountType::parse(&view.r#type).unwrap_or(AccountType::Basic);
    match editable(&web.service, id).await {
        Ok(editable) => {
            let version = match typed {
                Some(typed) => typed.get("version").to_owned(),
                None => editable.version,
            };
            let draft = Draft { kind, id, keys: &editable.keys, version, typed, problems };
            page_of(web, visitor, Some(view), draft, examined)
        }
        Err(why) => problem(web, visitor, "/accounts", StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

/// Saves what was changed of an account.
pub(super) async fn change(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(account) = web.service.account(&id) else {
        let why = format!("There is no account {id}.");
        return problem(&web, &visitor, "/accounts", StatusCode::NOT_FOUND, why);
    };
    let saved = match editable(&web.service, &id).await {
        Ok(editable) => match form::changes(account.kind, &editable.keys, &fields) {
            Ok(changes) => {
                let version = fields.get("version").to_owned();
                let edit = Edit { id: id.clone(), kind: account.kind, changes, version };
                save::save(&web.service, edit).await
            }
            Err(fields) => Err(Problems { fields, whole: Vec::new() }),
        },
        Err(why) => Err(Problems::of_whole(why)),
    };
    match saved {
        Ok(()) => saved_page(&web, &visitor, &id, &fields, &headers).await,
        Err(problems) => current(&web, &visitor, &id, None, Some(&fields), problems).await,
    }
}

/// Connects and logs in, and sends a message where somebody is named.
pub(super) async fn test(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    Path(id): Path<String>,
) -> Response {
    let to = Some(fields.get("to").to_owned()).filter(|to| !to.is_empty());
    let (progress, mut told) = tokio::sync::mpsc::channel(8);
    let answer = web.service.answer(Request::AccountTest { id: id.clone(), to }, &progress).await;
    drop(progress);
    let mut view = None;
    while let Some(crate::admin::protocol::Answer::Progress(value)) = told.recv().await {
        view = ExaminationView::read(value);
    }
    let examined = Examined { view, sent: answer.into_sentence() };
    current(&web, &visitor, &id, Some(examined), None, Problems::default()).await
}

/// A new token now.
pub(super) async fn refresh(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Response {
    let asked = web.service.ask::<AccountView>(Request::AccountRefresh { id: id.clone() }).await;
    let said = asked
        .map(|view| format!("There is a new token, until {}.", when_some(view.token_expires_at.as_deref())));
    go(&web, &visitor, &format!("/accounts/{}", segment(&id)), said)
}

/// Drops the tokens.
pub(super) async fn forget(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Extension(fields): Extension<Fields>,
    Path(id): Path<String>,
) -> Response {
    let address = format!("/accounts/{}", segment(&id));
    if fields.get("sure") != "yes" {
        let why = "Tick the box first: without tokens its mail waits until somebody generates new ones.";
        return go(&web, &visitor, &address, Err(why.to_owned()));
    }
    let asked = web.service.ask::<AccountView>(Request::AccountForget { id }).await;
    go(&web, &visitor, &address, asked.map(|_| "Its tokens are dropped.".to_owned()))
}
