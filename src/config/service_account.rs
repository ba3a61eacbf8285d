//! `service_account_file`: Google's key file of a service account, read at each load.

use super::{
    grant::Table,
    login::keeps_secrets,
    reader::{Reader, text_of},
};
use crate::account::{ServiceAccount, SigningKey};
use ring::rand::SystemRandom;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde::Deserialize;
use std::{fs, path::Path};
use url::Url;
use zeroize::Zeroizing;

/// What is needed of the file. No `Debug`: it holds the key.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type", default)]
    kind: String,
    client_email: Option<String>,
    private_key_id: Option<String>,
    private_key: Option<String>,
    token_uri: Option<String>,
}

/// The service account and its token endpoint; `None` where it could not be made out, which has been reported.
pub(super) fn service_account(
    of: &Table<'_>,
    reader: &mut Reader,
) -> Option<(ServiceAccount, Option<String>)> {
    let Some(entry) = of.table.get("service_account_file") else {
        let problem = format!(
            "the account `{}` lacks `service_account_file` (Google's key file, JSON), which the grant \"service_account\" needs",
            of.id
        );
        reader.error(of.table.get("grant").unwrap_or(of.entry), problem, None);
        return None;
    };
    let path = reader.resolve(entry, text_of(entry)?);
    match read(&path) {
        Ok(read) => {
            if super::secrets::readable_by_all(&path) {
                let warning = format!("every user of this host may read {}: chmod o-r it", path.display());
                reader.warn(entry, &warning);
            }
            Some(read)
        }
        Err(why) => {
            let help = "the JSON file that Google Cloud gives once, at Service accounts, Keys, Add key";
            reader.error(entry, format!("{} {why}", path.display()), Some(help.into()));
            None
        }
    }
}

fn read(path: &Path) -> Result<(ServiceAccount, Option<String>), String> {
    let octets = Zeroizing::new(fs::read(path).map_err(|error| format!("cannot be read: {error}"))?);
    // What serde_json says may quote the file.
    let file: KeyFile =
        serde_json::from_slice(&octets).map_err(|_| "is no JSON object of a key".to_owned())?;
    if file.kind != "service_account" {
        return Err("is not the key of a service account: its `type` is another one".to_owned());
    }
    let issuer = file.client_email.filter(|email| !email.is_empty()).ok_or("has no `client_email`")?;
    let pem = Zeroizing::new(file.private_key.ok_or("has no `private_key`")?);
    let der =
        PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "has a `private_key` that is no PEM")?;
    let key = SigningKey::from_der(&der, &SystemRandom::new())
        .map_err(|error| format!("has a `private_key` that does not sign: {error}"))?;
    let safe = |uri: &String| Url::parse(uri).is_ok_and(|url| keeps_secrets(&url));
    if file.token_uri.as_ref().is_some_and(|uri| !safe(uri)) {
        return Err("has a `token_uri` that is no https URL".to_owned());
    }
    Ok((ServiceAccount { issuer, key_id: file.private_key_id, key }, file.token_uri))
}
