//! The OAuth 2.0 client: what is sent to authorization servers. The only file that names `oauth2`; tokens
//! leave their wrapper here, in the store and in `outbound::auth`, nowhere else.

use super::{
    answer::{TokenTrouble, judge},
    http::{self, Http},
};
use crate::account::{OAuthLogin, SignIn};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, TokenResponse, TokenUrl,
    basic::{BasicClient, BasicErrorResponse, BasicTokenResponse},
};
use secrecy::{ExposeSecret, SecretString};
use std::{borrow::Cow, future::Future, pin::Pin, sync::Arc, time::Duration};
use url::Url;

/// What a token endpoint gave (RFC 6749 §5.1).
#[derive(Debug, Clone)]
pub(super) struct Granted {
    pub(super) access_token: SecretString,
    pub(super) expires_in: Option<Duration>,
    pub(super) refresh_token: Option<SecretString>,
}

/// A consent request on its way: where to send the browser, and what only we know of it.
#[derive(Debug)]
pub(super) struct Consent {
    pub(super) url: Url,
    /// The PKCE verifier (RFC 7636 §4.1).
    pub(super) verifier: SecretString,
}

/// Asks token endpoints.
#[derive(Debug, Default)]
pub(super) struct TokenClient {
    http: Http,
}

type Configured = BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

fn configured(login: &OAuthLogin) -> Configured {
    let client = BasicClient::new(ClientId::new(login.client_id.clone()))
        .set_token_uri(TokenUrl::from_url(login.token_endpoint.clone()))
        // Every provider takes the secret in the body; not every one takes it in a header.
        .set_auth_type(AuthType::RequestBody);
    match &login.client_secret {
        Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned())),
        None => client,
    }
}

fn scopes(scope: &str) -> impl Iterator<Item = Scope> + '_ {
    scope.split_ascii_whitespace().map(|scope| Scope::new(scope.to_owned()))
}

/// The provider's page for this account: code flow, PKCE S256 (RFC 7636), the given one-time state.
pub(super) fn consent(login: &OAuthLogin, sign_in: &SignIn, redirect: &Url, state: &str) -> Consent {
    let client = configured(login)
        .set_auth_uri(AuthUrl::from_url(sign_in.authorization_endpoint.clone()))
        .set_redirect_uri(RedirectUrl::from_url(redirect.clone()));
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let mut request = client
        .authorize_url(|| CsrfToken::new(state.to_owned()))
        .add_scopes(scopes(&login.scope))
        .set_pkce_challenge(challenge);
    for (name, value) in &sign_in.authorization_parameters {
        request = request.add_extra_param(*name, value.as_str());
    }
    Consent { url: request.url().0, verifier: verifier.into_secret().into() }
}

/// Whether two secrets are the same.
pub(super) fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

impl TokenClient {
    /// Refreshes (RFC 6749 §6). `with_scope`: name the scopes again, for servers that serve several resources.
    pub(super) async fn refresh(
        &self,
        login: &OAuthLogin,
        token: &SecretString,
        with_scope: bool,
    ) -> Result<Granted, TokenTrouble> {
        let client = configured(login);
        let refresh_token = RefreshToken::new(token.expose_secret().to_owned());
        let mut request = client.exchange_refresh_token(&refresh_token);
        if with_scope {
            request = request.add_scopes(scopes(&login.scope));
        }
        let transport = self.transport(login, &[token])?;
        granted(request.request_async(&transport).await)
    }

    /// Asks in the client's own name (RFC 6749 §4.4.2).
    pub(super) async fn client_credentials(&self, login: &OAuthLogin) -> Result<Granted, TokenTrouble> {
        let client = configured(login);
        let request = client.exchange_client_credentials().add_scopes(scopes(&login.scope));
        let transport = self.transport(login, &[])?;
        granted(request.request_async(&transport).await)
    }

    /// Exchanges an authorization code (RFC 6749 §4.1.3).
    pub(super) async fn exchange(
        &self,
        login: &OAuthLogin,
        code: &SecretString,
        verifier: &SecretString,
        redirect: &Url,
    ) -> Result<Granted, TokenTrouble> {
        let client = configured(login);
        let request = client
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()))
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(redirect.clone())));
        let transport = self.transport(login, &[code, verifier])?;
        granted(request.request_async(&transport).await)
    }

    fn transport(&self, login: &OAuthLogin, secrets: &[&SecretString]) -> Result<Transport, TokenTrouble> {
        let secrets = secrets.iter().copied().chain(login.client_secret.as_ref()).cloned().collect();
        Ok(Transport { client: self.http.client(&login.token_endpoint)?, secrets })
    }
}

/// Carries one request and judges its answer, so that `oauth2` only ever sees good ones.
struct Transport {
    client: Arc<reqwest::Client>,
    /// What must not come back in an error.
    secrets: Vec<SecretString>,
}

impl<'c> AsyncHttpClient<'c> for Transport {
    type Error = TokenTrouble;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TokenTrouble>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request)
                .map_err(|_| TokenTrouble::unavailable("the token request cannot be made"))?;
            let answer = http::send(&self.client, request).await?;
            let secrets: Vec<_> = self.secrets.iter().map(ExposeSecret::expose_secret).collect();
            judge(answer.status, answer.retry_after.as_deref(), &answer.body, &secrets).map(HttpResponse::new)
        })
    }
}

type Asked = Result<BasicTokenResponse, RequestTokenError<TokenTrouble, BasicErrorResponse>>;

fn granted(asked: Asked) -> Result<Granted, TokenTrouble> {
    match asked {
        Ok(answer) => Ok(Granted {
            access_token: answer.access_token().secret().clone().into(),
            expires_in: answer.expires_in(),
            refresh_token: answer.refresh_token().map(|token| token.secret().clone().into()),
        }),
        Err(RequestTokenError::Request(trouble)) => Err(trouble),
        // The other errors may quote the body.
        Err(_) => Err(TokenTrouble::unavailable("the token endpoint's answer makes no sense")),
    }
}
