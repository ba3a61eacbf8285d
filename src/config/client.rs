//! `client_id`, and how the client shows that it is this client: `client_secret`, or `client_certificate` with
//! `client_key`. The files are read here, at each load.

use super::{
    login::lacks,
    pem::{KeyPairError, read_chain, read_key},
    reader::{Reader, text, text_of},
    secrets::Secrets,
    tree::Entry,
};
use crate::{
    account::{AccountType, Client, ClientCertificate, ClientProof, SigningKey},
    mail::Day,
};
use ring::{digest, rand::SystemRandom};
use rustls::sign::CertifiedKey;
use std::{collections::BTreeMap, path::Path};

type Tree = BTreeMap<String, Entry>;

/// The registered application; `None` where it could not be made out, which has been reported. `needs_proof`: a public
/// client will not do.
pub(super) fn client(
    id: &str,
    kind: AccountType,
    entry: &Entry,
    table: &Tree,
    needs_proof: bool,
    secrets: &mut Secrets<'_>,
    reader: &mut Reader,
) -> Option<Client> {
    let client_id = text(table, "client_id").filter(|client| !client.is_empty());
    if client_id.is_none() {
        lacks(id, kind, entry, "client_id", "the registered application", reader);
    }
    let secret = secrets.read(id, table, "client_secret", reader);
    let expires = secret_expires(table, reader);
    let certificate = certificate(kind, table, reader);
    let proved =
        ["client_secret", "client_certificate", "client_key"].iter().any(|key| table.contains_key(*key));
    if kind == AccountType::Google && !table.contains_key("client_secret") {
        lacks(id, kind, entry, "client_secret", "Google gives no tokens without it", reader);
    } else if needs_proof && !proved {
        let problem =
            format!("the account `{id}` lacks `client_secret`, which the grant \"client_credentials\" needs");
        let help = "or `client_certificate` with `client_key`, for a certificate that is registered there";
        reader.error(entry, problem, Some(help.into()));
    }
    let proof = match (certificate?, secret) {
        (Some(certificate), _) => ClientProof::Certificate(certificate),
        (None, Some(secret)) => ClientProof::Secret { secret, expires },
        (None, None) => ClientProof::Nothing,
    };
    Some(Client { id: client_id?.to_owned(), proof })
}

/// The certificate with its key, where one is configured; the outer `None` where it is wrong, which has been reported.
fn certificate(kind: AccountType, table: &Tree, reader: &mut Reader) -> Option<Option<ClientCertificate>> {
    let (certificate, key) = match (table.get("client_certificate"), table.get("client_key")) {
        (None, None) => return Some(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(one), None) | (None, Some(one)) => {
            let missing = if table.contains_key("client_key") { "client_certificate" } else { "client_key" };
            let problem = format!("there is no `{missing}` that goes with it");
            reader.error_at_key(one, problem, Some("both name a PEM file; it may be the same one".into()));
            return None;
        }
    };
    if let Some(secret) = table.get("client_secret") {
        let problem = "found both `client_secret` and `client_certificate`".to_owned();
        let help = "the certificate takes the place of the secret: remove one of them";
        reader.error_at_key(secret, problem, Some(help.into()));
        return None;
    }
    if kind == AccountType::Google {
        let problem = "Google knows its clients by `client_secret`, not by certificates".to_owned();
        let help = "a key in place of a person's consent is `grant = \"service_account\"` there";
        reader.error_at_key(certificate, problem, Some(help.into()));
        return None;
    }
    let paths = [certificate, key].map(|entry| text_of(entry).map(|path| reader.resolve(entry, path)));
    let [Some(certificate_path), Some(key_path)] = paths else { return None };
    match read(&certificate_path, &key_path, kind == AccountType::Microsoft) {
        Ok(read) => {
            if super::secrets::readable_by_all(&key_path) {
                let warning =
                    format!("every user of this host may read {}: chmod o-r it", key_path.display());
                reader.warn(key, &warning);
            }
            Some(Some(read))
        }
        Err(errors) => {
            for error in errors {
                let entry = if error.key { key } else { certificate };
                reader.error(entry, error.problem, error.help.map(str::to_owned));
            }
            None
        }
    }
}

fn read(certificate: &Path, key: &Path, prefers_pss: bool) -> Result<ClientCertificate, Vec<KeyPairError>> {
    let (chain, private_key) = match (read_chain(certificate), read_key(key)) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
    };
    let signing = SigningKey::from_der(&private_key, &SystemRandom::new()).map_err(|error| {
        let problem = format!("the key in {} does not sign for a client: {error}", key.display());
        vec![KeyPairError { key: true, problem, help: None }]
    })?;
    let of_pair = |error| vec![KeyPairError::of_pair(error, certificate, key)];
    let own = chain.first().cloned();
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, private_key, &provider).map_err(of_pair)?;
    let own = own.ok_or_else(|| of_pair(rustls::Error::NoCertificatesPresented))?;
    let hash = |algorithm| digest::digest(algorithm, &own);
    let (mut sha1, mut sha256) = ([0; 20], [0; 32]);
    sha1.copy_from_slice(hash(&digest::SHA1_FOR_LEGACY_USE_ONLY).as_ref());
    sha256.copy_from_slice(hash(&digest::SHA256).as_ref());
    Ok(ClientCertificate { sha1, sha256, key: signing, prefers_pss })
}

/// The last day of a secret, which must be there to end.
fn secret_expires(table: &Tree, reader: &mut Reader) -> Option<Day> {
    let entry = table.get("client_secret_expires")?;
    let day = text_of(entry).and_then(Day::parse);
    if day.is_none() {
        let help = "the day as the provider's page shows it, written \"2027-05-01\"";
        reader.error(entry, format!("found {}, which is no day", entry.value.shown()), Some(help.into()));
    }
    if !table.contains_key("client_secret") {
        let problem = "there is no `client_secret` that could expire".to_owned();
        reader.error_at_key(entry, problem, None);
    }
    day
}
