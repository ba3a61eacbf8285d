//! What authorization servers mean by their errors, and what cures them: Microsoft's AADSTS codes, Google's descriptions,
//! and the codes of RFC 6749 §5.2, RFC 8628 §3.5 and OpenID Connect. Pure.
//!
//! Microsoft's codes: <https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes>; Google's: "Using OAuth
//! 2.0 to Access Google APIs", and what its servers are known to say.

/// An error, in an operator's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// What is in the server's words, in lower case: all of these.
    sign: &'static [&'static str],
    /// One sentence's worth of what it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}

macro_rules! table {
    ($($sign:expr => $meaning:literal, $cure:literal;)*) => {
        &[$(Explained { sign: &$sign, meaning: $meaning, cure: $cure }),*]
    };
}

/// From the special to the general; the first that fits explains.
static TABLE: &[Explained] = table! {
    // The person or the mailbox.
    ["aadsts50034"] => "there is no such user in this directory", "check `username` and `tenant`; a guest or a personal account signs in at another tenant";
    ["aadsts50020"] => "the user belongs to another directory and is no guest here", "sign in with an account of the tenant, or set `tenant` to the user's own";
    ["aadsts50053"] => "the user is locked out for too many wrong sign-ins, or signs in from a blocked address", "wait, or have an administrator unlock the user (Entra, Sign-in logs)";
    ["aadsts50055"] => "the user's password has expired", "set a new password, then sign in again";
    ["aadsts50057"] => "the user is disabled", "enable the user in Entra";
    ["aadsts50126"] => "user name or password were wrong", "sign in again";
    ["aadsts50133"] => "the password was changed since the consent", "sign in again; a client with a secret or a certificate survives password changes";
    ["aadsts50173"] => "the grant was withdrawn: the password was changed, or an administrator ended the sessions", "sign in again; a client with a secret or a certificate survives password changes";
    ["aadsts50078"] => "the second factor has expired by the tenant's policy", "sign in again; where that recurs, exclude the mailbox from the sign-in frequency policy or use `grant = \"client_credentials\"`";
    ["aadsts50076"] => "a second factor is demanded that was not given at the consent", "sign in again with the second factor; a Conditional Access policy may have changed";
    ["aadsts50079"] => "the user has to register a second factor", "sign in at https://mysignins.microsoft.com/security-info once, then authorize again";
    ["aadsts50072"] => "the user has to register a second factor", "sign in at https://mysignins.microsoft.com/security-info once, then authorize again";
    ["aadsts50074"] => "a stronger sign-in is demanded", "sign in again with the second factor";
    ["aadsts50158"] => "the sign-in was not finished at another provider or factor", "sign in again";
    ["aadsts50058"] => "nobody is signed in in this browser", "sign in in the same browser";
    ["aadsts50105"] => "the user is not assigned to the application", "Entra, Enterprise applications, the application, Users and groups: add the user; or set Assignment required to No";
    ["aadsts50128"] => "no such tenant", "check `tenant`";
    ["aadsts50059"] => "the request does not say which tenant it is for", "set `tenant` to the directory (tenant) id";
    ["aadsts90002"] => "no such tenant", "check `tenant`, and that `cloud` is the tenant's own";
    ["aadsts90072"] => "the user belongs to another directory", "sign in with an account of the tenant, or set `tenant` to the user's own";
    ["aadsts900382"] => "the application is of another cloud than the user", "set `cloud` and `tenant` to those of the application's registration";
    ["aadsts51004"] => "there is no such user in this directory", "check `username` and `tenant`";
    ["aadsts16000"] => "several accounts are signed in in this browser", "choose the account's mailbox, or sign in in a private window";
    ["aadsts530032"] => "the tenant's security policy blocks the sign-in", "an administrator sees which at Entra, Sign-in logs";
    ["aadsts53000"] => "Conditional Access demands a managed device", "exclude the mailbox from the policy, or use `grant = \"client_credentials\"`";
    ["aadsts530003"] => "Conditional Access demands a managed device", "exclude the mailbox from the policy, or use `grant = \"client_credentials\"`";
    ["aadsts53001"] => "Conditional Access demands a device that has joined the domain", "exclude the mailbox from the policy, or use `grant = \"client_credentials\"`";
    ["aadsts53003"] => "Conditional Access blocks the token", "an administrator sees the policy at Entra, Sign-in logs; exclude the mailbox or this host's address";
    ["aadsts53004"] => "the sign-in looks risky, so a second factor has to be registered first", "sign in at https://mysignins.microsoft.com/security-info once, then authorize again";
    ["aadsts50097"] => "the device has to prove itself", "exclude the mailbox from the device policy, or use `grant = \"client_credentials\"`";
    ["aadsts50131"] => "Conditional Access refuses this device or place", "exclude the mailbox or this host's address from the policy";
    ["aadsts135011"] => "the device is disabled", "enable it in Entra, or sign in on another one";

    // The grant.
    ["aadsts700082"] => "the refresh token has ended, having not been used for 90 days", "sign in again; keep the daemon running, for it uses tokens daily";
    ["aadsts700084"] => "the refresh token was given to a single-page app and ends after 24 hours", "register the redirect URI under the platform Web, not Single-page application, then sign in again";
    ["aadsts700081"] => "the refresh token has reached the end of its life", "sign in again";
    ["aadsts70043"] => "the grant has ended by the tenant's sign-in frequency policy", "sign in again; exclude the mailbox from the policy or use `grant = \"client_credentials\"`";
    ["aadsts70044"] => "the session has ended by the tenant's policy", "sign in again; exclude the mailbox from the policy or use `grant = \"client_credentials\"`";
    ["aadsts700003"] => "the device that the consent was given on is gone", "sign in again";
    ["aadsts70008"] => "the code or the token has ended", "sign in again";
    ["aadsts50089"] => "the sign-in took too long", "sign in again";
    ["aadsts54005"] => "the authorization code was used before", "sign in again, once";
    ["aadsts9002313"] => "the grant is malformed, often a code or token that was cut or is of another tenant", "sign in again";
    ["aadsts50013"] => "the assertion is not good: its signature, its audience or its time", "check `client_key` and this host's clock";
    ["aadsts70000"] => "the grant is not good any more", "sign in again";
    ["aadsts50014"] => "the guest has not accepted the invitation to the directory", "accept it, or sign in with an account of the tenant";
    ["aadsts500133"] => "the assertion is not within its time", "set this host's clock";
    ["aadsts700024"] => "the client's assertion is not within its time", "set this host's clock";

    // The client.
    ["aadsts7000222"] => "the client secret has expired", "Entra, App registrations, Certificates & secrets: make a new one and put its value into `client_secret`, its last day into `client_secret_expires`; then reload";
    ["aadsts7000215"] => "the client secret is wrong; often its id was copied in place of its value", "Entra, App registrations, Certificates & secrets: the value is shown once, when it is made; then reload";
    ["aadsts7000216"] => "the client has shown neither secret nor certificate", "set `client_secret`, or `client_certificate` with `client_key`; then reload";
    ["aadsts7000218"] => "the client is confidential and has shown no secret", "set `client_secret`, or allow public client flows at Authentication of the app registration; then reload";
    ["aadsts700025"] => "the client is public and must not show a secret", "remove `client_secret`, or register the redirect URI under the platform Web; then reload";
    ["aadsts700027"] => "the certificate is not the one that is registered, or its key does not fit", "upload `client_certificate` at Certificates & secrets of the app registration; then reload";
    ["aadsts7000112"] => "the application is disabled in this tenant", "Entra, Enterprise applications, Properties: Enabled for users to sign in";
    ["aadsts7000229"] => "the application has no service principal in this tenant", "have an administrator of the tenant consent to it, which makes one";
    ["aadsts700016"] => "there is no such application in this tenant", "check `client_id` and `tenant`; have an administrator of the tenant consent";
    ["aadsts700054"] => "the app registration does not allow this kind of answer", "register the redirect URI under the platform Web";
    ["aadsts700038"] => "`client_id` is all zeros", "set `client_id` to the application (client) id";
    ["aadsts50194"] => "the application serves one tenant only, and the request went to all of them", "set `tenant` to the directory (tenant) id";
    ["aadsts500113"] => "no redirect URI is registered", "register [admin] public_url with /oauth/callback under the platform Web";
    ["aadsts50011"] => "the redirect URI is not the registered one", "register [admin] public_url with /oauth/callback under the platform Web, letter for letter";
    ["aadsts900971"] => "no redirect URI is registered", "register [admin] public_url with /oauth/callback under the platform Web";
    ["aadsts500011"] => "the resource of the scope is unknown in this tenant", "check `scope` and `cloud`: https://outlook.office.com/SMTP.Send offline_access";
    ["aadsts70011"] => "the scope is not good", "with people it is https://outlook.office.com/SMTP.Send offline_access; for a client in its own name it ends in /.default";
    ["aadsts28000"] => "the scope names more than one resource", "name scopes of https://outlook.office.com alone";
    ["aadsts1002012"] => "a client in its own name asks for scopes that people have", "set `scope` to https://outlook.office365.com/.default";
    ["aadsts65001"] => "nobody has agreed to what the application asks for", "sign in and agree, or have an administrator grant consent at API permissions";
    ["aadsts65004"] => "the person did not agree", "sign in again and accept";
    ["aadsts65005"] => "the app registration lacks the permission that is asked for", "API permissions: add SMTP.Send (delegated) or SMTP.SendAsApp (application), then grant consent";
    ["aadsts650057"] => "the app registration lacks the permission that is asked for", "API permissions: add SMTP.Send (delegated) or SMTP.SendAsApp (application), then grant consent";
    ["aadsts650052"] => "the tenant has no Exchange Online that the scope is for", "check `tenant`, and that its mailboxes are at Microsoft 365";
    ["aadsts90094"] => "an administrator has to agree", "have an administrator grant consent at API permissions of the app registration";
    ["aadsts90095"] => "an administrator has to agree, and a request for that was sent", "wait for it, or have consent granted at API permissions";
    ["aadsts70001"] => "there is no such application, or it is disabled", "check `client_id` and `tenant`";
    ["aadsts70002"] => "the client was not recognised", "check `client_id` and `client_secret`; then reload";
    ["aadsts70016"] => "nobody has entered the code yet", "enter it";
    ["aadsts70018"] => "the code that was entered is wrong or has ended", "begin again";
    ["aadsts90014"] => "a field is missing in the request", "check the account's `client_id`, `scope` and `token_endpoint`";
    ["aadsts900144"] => "a field is missing in the request", "check the account's `client_id`, `scope` and `token_endpoint`";
    ["aadsts90033"] => "Microsoft's service is not available for the moment", "it is asked again by itself";
    ["aadsts50196"] => "the server was asked the same too often", "wait; another program may use this client";
    ["aadsts"] => "Microsoft Entra refuses", "look the AADSTS code up at https://login.microsoftonline.com/error";

    // Google.
    ["invalid_grant", "expired or revoked"] => "Google has ended the grant: withdrawn, password changed, unused for six months, too many grants, or the application is in testing (seven days)", "publish the application at Google Cloud, Audience, if it is in testing; then sign in again";
    ["invalid_grant", "account restricted"] => "Google has restricted the mailbox's account", "sign in as the mailbox in a browser and follow what it says";
    ["invalid_grant", "account has been deleted"] => "the mailbox's account is gone", "check `username`";
    ["invalid_grant", "invalid jwt"] => "Google does not take the service account's assertion: its time or its signature", "set this host's clock; check that the key in `service_account_file` has not been deleted";
    ["invalid_grant", "invalid email or user id"] => "there is no such mailbox in the Workspace domain", "check `username`";
    ["invalid_grant", "invalid_rapt"] => "the Workspace's session policy demands a sign-in", "sign in again; exempt the application at Admin console, Google Cloud session control";
    ["invalid_grant", "account not found"] => "there is no such service account, or its key was deleted", "make a new key and put it into `service_account_file`";
    ["unauthorized_client", "using this method"] => "the service account may not speak for this domain, or not with this scope", "Admin console, Security, API controls, Domain-wide delegation: its client id with the scope https://mail.google.com/; it takes some minutes";
    ["deleted_client"] => "the OAuth client was deleted at Google Cloud", "make a new one, and put its id and secret into the account; then reload";
    ["invalid_client", "was not found"] => "there is no such OAuth client", "check `client_id`; then reload";
    ["invalid_client", "unauthorized"] => "the client secret is wrong", "copy it anew from Google Cloud, Clients, into `client_secret`; then reload";
    ["admin_policy_enforced"] => "an administrator of the Workspace does not allow the application", "Admin console, Security, API controls: trust the application";
    ["org_internal"] => "the application is for its own organization only", "sign in with an account of that organization, or make the application external";
    ["redirect_uri_mismatch"] => "the redirect URI is not a registered one", "register [admin] public_url with /oauth/callback at the client, letter for letter";
    ["ratelimitexceeded"] => "the server was asked too often", "it is asked again by itself";
    ["disallowed_useragent"] => "Google does not sign people in in this kind of browser", "open the page in an ordinary browser";

    // What any server says.
    ["invalid_client"] => "the server does not take the client's id or its proof", "check `client_id` and `client_secret` or the certificate; then reload";
    ["unauthorized_client"] => "the client may not use this grant", "allow it at the provider's registration of the client, or set another `grant`";
    ["unsupported_grant_type"] => "the server does not know this grant", "set another `grant`, and check `token_endpoint`";
    ["invalid_scope"] => "the server does not give this scope", "check `scope`; a client in its own name and people have different ones at Microsoft";
    ["invalid_target"] => "the server does not know the resource", "check `scope`";
    ["interaction_required"] => "a person has to sign in again", "sign in again";
    ["consent_required"] => "a person has to agree again", "sign in again";
    ["login_required"] => "a person has to sign in again", "sign in again";
    ["access_denied"] => "the person or the provider said no", "sign in again and agree, with an account that may";
    ["expired_token"] => "the code has ended", "begin again";
    ["invalid_grant"] => "the grant is not good any more: withdrawn, ended, or used elsewhere", "sign in again";
    ["invalid_request"] => "the server does not understand the request", "check `token_endpoint` and `scope`";
    ["temporarily_unavailable"] => "the server is not available for the moment", "it is asked again by itself";
    ["server_error"] => "the server has a fault", "it is asked again by itself";
    ["redirects"] => "something else answers at the token endpoint's address", "check `token_endpoint`, and whether this network has a portal to be signed in to";
    ["without an oauth error"] => "what answers is no token endpoint: a wrong address, a proxy, or a network's portal", "check `token_endpoint` and what HTTPS_PROXY says";
    ["no access token"] => "what answers is no token endpoint: a wrong address, a proxy, or a network's portal", "check `token_endpoint` and what HTTPS_PROXY says";
    ["invalid peer certificate"] => "the certificate of the token endpoint is not good, or a proxy stands in the way", "check this host's clock and its trusted certificates (package ca-certificates)";
    ["no connection to", "dns"] => "the name of the token endpoint does not resolve", "check the name server";
    ["no connection to"] => "the token endpoint cannot be reached", "check the firewall and what HTTPS_PROXY says";
    ["does not answer in time"] => "the token endpoint does not answer in time", "check the firewall and what HTTPS_PROXY says";
};

/// What an authorization server's words mean, where they are known.
pub fn explain(reason: &str) -> Option<&'static Explained> {
    let said = reason.to_lowercase();
    TABLE.iter().find(|row| row.sign.iter().all(|sign| has(&said, sign)))
}

/// A code is a word of its own: AADSTS50013 is not in AADSTS500133.
fn has(said: &str, sign: &str) -> bool {
    let whole = sign.ends_with(|c: char| c.is_ascii_digit());
    said.match_indices(sign).any(|(at, _)| {
        let after = said[at + sign.len()..].chars().next();
        !whole || !after.is_some_and(|c| c.is_ascii_digit())
    })
}

/// Every row as a line of `docs/troubleshooting.md`.
#[cfg(test)]
fn document() -> String {
    let row = |row: &Explained| {
        let sign: Vec<_> =
            row.sign.iter().map(|sign| format!("`{}`", sign.replace("aadsts", "AADSTS"))).collect();
        format!("| {} | {} | {} |\n", sign.join(" "), row.meaning, row.cure)
    };
    TABLE.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_reached_by_its_own_sign_and_says_what_to_do() {
        for row in TABLE {
            let said = row.sign.join(": ").to_uppercase();
            assert_eq!(explain(&said), Some(row), "{said} is explained by a row before it");
            assert!(
                !row.meaning.ends_with('.') && !row.cure.ends_with('.') && !row.cure.is_empty(),
                "{said}"
            );
        }
    }

    #[test]
    fn what_servers_say_is_recognised() {
        for (said, words) in [
            (
                "invalid_client: AADSTS7000222: The provided client secret keys for app are expired. Trace ID: 1",
                "has expired",
            ),
            ("invalid_client: AADSTS7000215: Invalid client secret provided.", "is wrong"),
            ("invalid_grant: AADSTS700082: The refresh token has expired due to inactivity.", "90 days"),
            (
                "invalid_grant: AADSTS50173: The provided grant has expired due to it being revoked",
                "withdrawn",
            ),
            ("invalid_grant: AADSTS500133: Assertion is not within its valid time range", "within its time"),
            ("invalid_grant: AADSTS50013: Assertion failed signature validation.", "assertion is not good"),
            ("invalid_grant: AADSTS99999: something new", "Entra refuses"),
            ("invalid_grant: Token has been expired or revoked.", "Google has ended the grant"),
            ("invalid_grant: Invalid JWT: Token must be a short-lived token", "assertion"),
            (
                "unauthorized_client: Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.",
                "may not speak",
            ),
            ("invalid_grant", "not good any more"),
            ("HTTP 503 without an OAuth error", "no token endpoint"),
            ("no connection to login.example.com: dns error", "does not resolve"),
        ] {
            let explained = explain(said).unwrap_or_else(|| panic!("{said}"));
            assert!(explained.meaning.contains(words), "{said}: {}", explained.meaning);
        }
        assert_eq!(explain("quite another thing"), None);
    }

    #[test]
    fn the_document_has_the_table() {
        let document_text = std::fs::read_to_string("docs/troubleshooting.md").unwrap();
        assert!(document_text.contains(&document()), "docs/troubleshooting.md should have\n{}", document());
    }
}
