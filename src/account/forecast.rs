//! When and of what a grant will die, as far as anybody can tell ahead. Pure.

use super::{Account, AccountType, token::TokenSet};
use std::{
    fmt,
    time::{Duration, SystemTime},
};

const DAY: Duration = Duration::from_secs(86_400);
/// Microsoft's refresh tokens end when they have not been used for so long.
const MICROSOFT_UNUSED_DAYS: u32 = 90;
/// Google's, likewise: six months.
const GOOGLE_UNUSED_DAYS: u32 = 180;
/// The grants of a Google application in testing live so long.
const TESTING: Duration = Duration::from_secs(7 * 86_400);

/// An end that is in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// When nothing will work any more, unless something is done.
    pub ends_at: SystemTime,
    /// Why.
    pub cause: Ending,
}

/// What a grant ends of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The provider has given the refresh token a life.
    RefreshToken,
    /// The provider ends refresh tokens that nobody uses for so many days; the daemon uses them daily.
    Unused {
        /// Days.
        days: u32,
    },
    /// The client secret has a last day.
    ClientSecret,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RefreshToken => f.write_str("the refresh token ends"),
            Self::Unused { days } => write!(f, "unused for {days} days"),
            Self::ClientSecret => f.write_str("the client secret ends"),
        }
    }
}

/// The end that comes first; none where none is known.
pub fn forecast(account: &Account, tokens: Option<&TokenSet>) -> Option<Forecast> {
    let oauth = account.oauth()?;
    let consent = tokens.filter(|_| oauth.sign_in().is_some()).and_then(|tokens| tokens.consent.as_ref());
    let said = consent.and_then(|consent| consent.ends_at);
    let days = match account.kind {
        AccountType::Microsoft => Some(MICROSOFT_UNUSED_DAYS),
        AccountType::Google => Some(GOOGLE_UNUSED_DAYS),
        AccountType::OAuth2 | AccountType::Basic => None,
    };
    let used = tokens.filter(|_| consent.is_some()).map(|tokens| tokens.refreshed_at);
    let ends = [
        said.map(|ends_at| Forecast { ends_at, cause: Ending::RefreshToken }),
        days.zip(used)
            .map(|(days, used)| Forecast { ends_at: used + DAY * days, cause: Ending::Unused { days } }),
        oauth
            .client_secret_expires()
            .map(|day| Forecast { ends_at: day.start(), cause: Ending::ClientSecret }),
    ];
    ends.into_iter().flatten().min_by_key(|forecast| forecast.ends_at)
}

/// Whether a Google grant that is refused now lived for just the week that applications in testing get: agreed to at
/// `authorized_at`, good for the last time at `refreshed_at`, at most a day before it died.
pub fn died_of_testing(kind: AccountType, authorized_at: SystemTime, refreshed_at: SystemTime) -> bool {
    let lived = refreshed_at.duration_since(authorized_at).unwrap_or_default();
    kind == AccountType::Google && (TESTING - DAY - DAY / 12..=TESTING + DAY / 12).contains(&lived)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{samples, token::Consent};

    fn tokens(ends_in_days: Option<u32>) -> TokenSet {
        let at = SystemTime::UNIX_EPOCH + DAY * 20_000;
        TokenSet {
            consent: Some(Consent {
                refresh_token: "r".into(),
                previous_refresh_token: None,
                authorized_at: at,
                rotated_at: at,
                ends_at: ends_in_days.map(|days| at + DAY * days),
            }),
            access_token: None,
            in_its_own_name: false,
            refreshed_at: at,
        }
    }

    #[test]
    fn what_comes_first_counts() {
        let at = tokens(None).refreshed_at;
        for (kind, said, cause, days) in [
            (AccountType::Microsoft, None, Some(Ending::Unused { days: 90 }), 90),
            (AccountType::Google, None, Some(Ending::Unused { days: 180 }), 180),
            (AccountType::Google, Some(7), Some(Ending::RefreshToken), 7),
            (AccountType::Microsoft, Some(400), Some(Ending::Unused { days: 90 }), 90),
            (AccountType::OAuth2, Some(30), Some(Ending::RefreshToken), 30),
            (AccountType::OAuth2, None, None, 0),
        ] {
            let mut account = samples::oauth("a");
            account.kind = kind;
            let seen = forecast(&account, Some(&tokens(said)));
            let wanted = cause.map(|cause| Forecast { ends_at: at + DAY * days, cause });
            assert_eq!(seen, wanted, "{kind:?} {said:?}");
        }
        let mut account = samples::oauth("a");
        account.kind = AccountType::Microsoft;
        assert_eq!(forecast(&account, None), None);
        assert_eq!(forecast(&samples::account("b", &["b.example"]), None), None);
    }

    #[test]
    fn a_week_and_a_google_account_are_telling() {
        let at = tokens(None).refreshed_at;
        let died = |kind, hours: u32| died_of_testing(kind, at, at + Duration::from_secs(3600) * hours);
        assert!(died(AccountType::Google, 7 * 24 - 1) && died(AccountType::Google, 6 * 24));
        assert!(!died(AccountType::Google, 5 * 24) && !died(AccountType::Google, 8 * 24));
        assert!(!died(AccountType::Microsoft, 7 * 24));
    }
}
