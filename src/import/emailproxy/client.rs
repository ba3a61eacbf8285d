//! How an account of the proxy shows that it may have tokens: as a client with a secret or a certificate, or as a service
//! account.

use super::account::Account;
use crate::{
    account::AccountType,
    import::{Files, Found, names},
};
use std::path::Path;

impl Account<'_> {
    /// The registered client, and what it shows that it is itself.
    pub(super) fn client(&self, found: &mut Found, files: &dyn Files) {
        match self.option("client_id") {
            Some(id) if !is_example(&id.value) => found.draft.set("client_id", id.value.as_str()),
            _ => found.draft.lacks("client_id", "the client (application) id from the provider's page"),
        }
        let google = found.draft.kind == AccountType::Google;
        match (self.option("client_secret"), self.option("client_secret_encrypted")) {
            (Some(secret), _) if is_example(&secret.value) => {
                found.draft.lacks("client_secret", "the client secret from the provider's page");
            }
            (Some(secret), _) => {
                if secret.value.contains("%%") {
                    let why = "it came along with %% in it, which some versions of the proxy write for one %";
                    found.leave(secret.place.clone(), "client_secret", why);
                }
                found.draft.set("client_secret", names::given(&secret.value));
            }
            (None, Some(sealed)) => {
                let why = "it is encrypted with the password that a mail client logs in with";
                found.leave(sealed.place.clone(), "client_secret_encrypted", why);
                found.draft.lacks("client_secret", "the client secret from the provider's page");
            }
            (None, None) if google => {
                found.draft.lacks("client_secret", "the client secret, without which Google gives no tokens");
            }
            (None, None) => {}
        }
        if let (Some(certificate), Some(key)) =
            (self.value("jwt_certificate_path"), self.value("jwt_key_path"))
            && found.draft.get("client_secret").is_none()
        {
            let (certificate, key) = (self.beside(certificate), self.beside(key));
            if [&certificate, &key].iter().all(|path| files.read(Path::new(path)).is_ok()) {
                found.draft.set("client_certificate", certificate);
                found.draft.set("client_key", key);
            } else {
                found.draft.lacks(
                    "client_certificate",
                    "its file, with `client_key`: one of the two cannot be read",
                );
            }
        }
    }

    /// A path that starts from where the configuration lies.
    fn beside(&self, path: &str) -> String {
        let directory = self.section.place.file.parent().unwrap_or(Path::new(""));
        directory.join(path).display().to_string()
    }

    /// Google's key of a service account: `client_id` says whether `client_secret` is its file or its text. Without the
    /// file it is drafted as an account that a person signs in to.
    pub(super) fn service_account(&self, found: &mut Found, files: &dyn Files) -> bool {
        let secret = self.option("client_secret");
        let file =
            secret.filter(|_| self.value("client_id") == Some("file")).map(|path| self.beside(&path.value));
        if let Some(file) = file.filter(|path| files.read(Path::new(path)).is_ok()) {
            found.draft.set("service_account_file", file);
            return true;
        }
        if let Some(secret) = secret {
            let why = "it is no file that can be read: save the key (JSON) in a file of its own";
            found.leave(secret.place.clone(), "client_secret", why);
        }
        let way_out = "the file with the key, and `grant = \"service_account\"`, in place of client_id and client_secret";
        found.draft.lacks("service_account_file", way_out);
        for key in ["client_id", "client_secret"] {
            found.draft.stand_in(key);
        }
        false
    }
}

/// The sample configuration's stand-ins.
fn is_example(value: &str) -> bool {
    value.contains("*** your client")
}
