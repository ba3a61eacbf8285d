//! The encoding of a [`TokenSet`], and of a [`BegunConsent`], before sealing: JSON, so that later versions can add fields.
//! Secrets leave their wrapper here, into buffers that are wiped.

use super::consents::BegunConsent;
use crate::account::{
    AccountId,
    token::{Consent, TokenSet},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use zeroize::Zeroizing;

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    /// Absent where nobody agreed to anything, as in the two that go with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_refresh_token: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access_token: Option<Cow<'a, str>>,
    /// Milliseconds since the epoch, as all times here.
    #[serde(default)]
    access_token_ends: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    in_its_own_name: bool,
    #[serde(default)]
    authorized_at: u64,
    /// As `authorized_at` in records of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rotated_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token_ends: Option<u64>,
    refreshed_at: u64,
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

/// The octets to be sealed.
pub(super) fn encode(tokens: &TokenSet) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let (access_token, ends) = match &tokens.access_token {
        Some((token, ends)) => (Some(Cow::Borrowed(token.expose_secret())), millis(*ends)),
        None => (None, 0),
    };
    let consent = tokens.consent.as_ref();
    let previous = consent.and_then(|consent| consent.previous_refresh_token.as_ref());
    let record = Record {
        refresh_token: consent.map(|consent| consent.refresh_token.expose_secret().into()),
        previous_refresh_token: previous.map(|token| token.expose_secret().into()),
        access_token,
        access_token_ends: ends,
        in_its_own_name: tokens.in_its_own_name,
        authorized_at: consent.map_or(0, |consent| millis(consent.authorized_at)),
        rotated_at: consent.map(|consent| millis(consent.rotated_at)),
        refresh_token_ends: consent.and_then(|consent| consent.ends_at).map(millis),
        refreshed_at: millis(tokens.refreshed_at),
    };
    // Sized ahead: a buffer that grows would leave unwiped copies behind.
    let length = [&record.refresh_token, &record.previous_refresh_token, &record.access_token]
        .into_iter()
        .flatten()
        .map(|token| token.len() * 2)
        .sum::<usize>();
    let mut octets = Zeroizing::new(Vec::with_capacity(length + 512));
    serde_json::to_writer(&mut *octets, &record)?;
    Ok(octets)
}

/// What [`encode`] wrote.
pub(super) fn decode(octets: &[u8]) -> Result<TokenSet, serde_json::Error> {
    let record: Record<'_> = serde_json::from_slice(octets)?;
    let secret = |token: Cow<'_, str>| SecretString::from(token.into_owned());
    let consent = record.refresh_token.map(|token| Consent {
        refresh_token: secret(token),
        previous_refresh_token: record.previous_refresh_token.map(secret),
        authorized_at: time(record.authorized_at),
        rotated_at: time(record.rotated_at.unwrap_or(record.authorized_at)),
        ends_at: record.refresh_token_ends.map(time),
    });
    Ok(TokenSet {
        consent,
        access_token: record.access_token.map(|token| (secret(token), time(record.access_token_ends))),
        in_its_own_name: record.in_its_own_name,
        refreshed_at: time(record.refreshed_at),
    })
}

#[derive(Serialize, Deserialize)]
struct ConsentRecord<'a> {
    account: Cow<'a, str>,
    verifier: Cow<'a, str>,
    redirect: Cow<'a, str>,
}

/// The octets to be sealed of a consent.
pub(super) fn encode_consent(begun: &BegunConsent) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let record = ConsentRecord {
        account: begun.account.as_str().into(),
        verifier: begun.verifier.expose_secret().into(),
        redirect: begun.redirect.as_str().into(),
    };
    let length = (record.account.len() + record.verifier.len() + record.redirect.len()) * 2;
    let mut octets = Zeroizing::new(Vec::with_capacity(length + 128));
    serde_json::to_writer(&mut *octets, &record)?;
    Ok(octets)
}

/// What [`encode_consent`] wrote.
pub(super) fn decode_consent(octets: &[u8]) -> Option<BegunConsent> {
    let record: ConsentRecord<'_> = serde_json::from_slice(octets).ok()?;
    Some(BegunConsent {
        account: AccountId::new(&record.account),
        verifier: record.verifier.into_owned().into(),
        redirect: record.redirect.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_were() {
        let tokens = TokenSet {
            consent: Some(Consent {
                refresh_token: "r\"\\1".into(),
                previous_refresh_token: Some("r0".into()),
                authorized_at: time(1),
                rotated_at: time(3),
                ends_at: Some(time(4)),
            }),
            access_token: Some(("a".repeat(5000).into(), time(1_234_567))),
            in_its_own_name: false,
            refreshed_at: time(2),
        };
        let back = decode(&encode(&tokens).unwrap()).unwrap();
        let (access, ends) = back.access_token.unwrap();
        assert_eq!((access.expose_secret().len(), ends), (5000, time(1_234_567)));
        let consent = back.consent.unwrap();
        assert_eq!(consent.refresh_token.expose_secret(), "r\"\\1");
        assert_eq!(consent.previous_refresh_token.unwrap().expose_secret(), "r0");
        assert_eq!((consent.authorized_at, back.refreshed_at), (time(1), time(2)));
        assert_eq!((consent.rotated_at, consent.ends_at), (time(3), Some(time(4))));
    }

    #[test]
    fn tokens_that_nobody_agreed_to_have_no_consent() {
        let tokens = TokenSet {
            consent: None,
            access_token: Some(("a".into(), time(9))),
            in_its_own_name: true,
            refreshed_at: time(2),
        };
        let octets = encode(&tokens).unwrap();
        assert!(!String::from_utf8_lossy(&octets).contains("refresh_token"));
        let back = decode(&octets).unwrap();
        assert!(back.consent.is_none() && back.access_token.is_some() && back.in_its_own_name);
    }

    #[test]
    fn fields_of_later_versions_are_passed_over() {
        let text = br#"{"refresh_token":"r","authorized_at":1,"refreshed_at":2,"colour":"red"}"#;
        let tokens = decode(text).unwrap();
        assert!(tokens.access_token.is_none() && tokens.consent.is_some());
    }
}
