//! Grants that move to another host, sealed to a passphrase.

use super::Tokens;
use crate::{
    account::{Account, AccountId},
    store::{
        StoreError,
        parcel::{self, Moving, ParcelError},
    },
};
use secrecy::SecretString;
use tracing::info;

/// Why grants do not move.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The parcel cannot be made or opened.
    #[error(transparent)]
    Parcel(#[from] ParcelError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no randomness to give.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// There is nothing in it.
    #[error("none of these accounts has tokens that could be moved")]
    Nothing,
}

/// What became of one grant in a parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its account.
    pub account: AccountId,
    /// Why it was not taken; `None` where it was.
    pub refused: Option<String>,
}

fn identity(account: &Account) -> Option<(String, String)> {
    let login = account.oauth()?;
    let client = login.client().map(|client| client.id.clone()).unwrap_or_default();
    Some((client, login.token_endpoint.to_string()))
}

impl Tokens {
    /// The grants of these accounts, sealed; with them, which accounts they are of.
    ///
    /// # Errors
    /// Where none of them has a grant that a person agreed to, or the store fails.
    pub async fn export(
        &self,
        accounts: &[AccountId],
        passphrase: SecretString,
    ) -> Result<(String, Vec<AccountId>), MoveError> {
        let mut moving = Vec::new();
        for id in accounts {
            let Some(entry) = self.0.entry(id) else { continue };
            let _flight = entry.flight.clone().lock_owned().await;
            self.0.load(&entry).await?;
            let standing = entry.standing();
            let Some((client_id, token_endpoint)) = identity(&standing.account) else { continue };
            let tokens = standing.tokens.clone().filter(|tokens| tokens.consent.is_some());
            let Some(tokens) = tokens else { continue };
            moving.push(Moving { account: id.clone(), client_id, token_endpoint, tokens });
        }
        if moving.is_empty() {
            return Err(MoveError::Nothing);
        }
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| MoveError::NoRandomness)?;
        let ids = moving.iter().map(|moving| moving.account.clone()).collect();
        let sealed = blocking(move || parcel::seal(&moving, &passphrase, salt)).await?;
        Ok((sealed, ids))
    }

    /// Takes grants out of a parcel. A grant is taken where the account is configured here with the same client at the
    /// same server; one that is not known to be dead is replaced where that is wished.
    ///
    /// # Errors
    /// Where the parcel does not open, or the store fails: those before it are taken then.
    pub async fn import(
        &self,
        text: String,
        passphrase: SecretString,
        replace: bool,
    ) -> Result<Vec<Arrival>, MoveError> {
        let parcels = blocking(move || parcel::open(&text, &passphrase)).await?;
        let mut arrivals = Vec::new();
        for moving in parcels {
            let account = moving.account.clone();
            arrivals.push(Arrival { account, refused: self.take_in(moving, replace).await? });
        }
        Ok(arrivals)
    }

    async fn take_in(&self, moving: Moving, replace: bool) -> Result<Option<String>, MoveError> {
        let Moving { account, client_id, token_endpoint, tokens } = moving;
        let Some(entry) = self.0.entry(&account) else {
            return Ok(Some("no OAuth account of this id is configured here".to_owned()));
        };
        let _flight = entry.flight.clone().lock_owned().await;
        self.0.load(&entry).await?;
        {
            let standing = entry.standing();
            if identity(&standing.account) != Some((client_id, token_endpoint)) {
                return Ok(Some("its client_id or token endpoint is another one here".to_owned()));
            }
            let alive = standing.rejected.is_none()
                && standing.tokens.as_ref().is_some_and(|tokens| tokens.consent.is_some());
            if alive && !replace {
                return Ok(Some("it has a grant already; --replace takes this one in its place".to_owned()));
            }
        }
        self.0.keep(&entry, tokens).await?;
        entry.standing().works();
        info!(account = %account, "tokens taken in");
        self.0.signal(&account);
        Ok(None)
    }
}

/// A key is derived for a good part of a second.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ParcelError> + Send + 'static,
) -> Result<T, MoveError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.unwrap_or(Err(ParcelError::Unwritable))?)
}
