//! Grants to and from another host, as operators ask for it.

use super::{
    protocol::{Answer, ArrivalView, ParcelView, Passphrase},
    service::{FAILED, Service, done, failed},
};
use crate::account::AccountId;

impl Service {
    pub(super) async fn export(&self, ids: &[String], passphrase: Passphrase) -> Answer {
        let mut accounts = Vec::new();
        for id in ids {
            match self.oauth_account(id) {
                Ok(account) => accounts.push(account.id),
                Err(answer) => return answer,
            }
        }
        if ids.is_empty() {
            let all = self.live.get();
            accounts.extend(all.config.accounts.iter().map(|account| account.id.clone()));
        }
        match self.tokens.export(&accounts, passphrase.into()).await {
            Ok((parcel, accounts)) => {
                let accounts = accounts.iter().map(AccountId::to_string).collect();
                done(ParcelView { parcel, accounts })
            }
            Err(error) => failed(FAILED, error.to_string()),
        }
    }

    pub(super) async fn import(&self, parcel: String, passphrase: Passphrase, replace: bool) -> Answer {
        match self.tokens.import(parcel, passphrase.into(), replace).await {
            Ok(arrivals) => {
                let view =
                    |account: &AccountId, refused| ArrivalView { account: account.to_string(), refused };
                let views = arrivals.into_iter().map(|arrival| view(&arrival.account, arrival.refused));
                done(views.collect::<Vec<_>>())
            }
            Err(error) => failed(FAILED, error.to_string()),
        }
    }
}
