//! A client's side of AUTH: it comes to an end after three answers, and tells no secret on the way.

use super::reply;
use waxseal::smtp::auth::{Auth, Exchange, Step};

/// The first octet says whether the login matters; lines follow, the first of them what stands behind AUTH.
pub fn holds(input: &[u8]) {
    let Some((matters, lines)) = input.split_first() else { return };
    let matters = matters % 2 == 1;
    let mut lines = lines.split(|octet| *octet == b'\n');
    let mut step = match Auth::parse(lines.next().unwrap_or_default()) {
        Ok(auth) => Exchange::begin(auth, matters),
        Err(refusal) => return reply::is_fit_for_a_client(&refusal),
    };
    for answers in 0.. {
        match step {
            Step::Ask(exchange, challenge) => {
                assert!(answers < 3, "three answers are enough for any exchange");
                assert_eq!(challenge.code(), 334);
                reply::is_fit_for_a_client(&challenge);
                step = exchange.answer(lines.next().unwrap_or_default());
            }
            Step::Done(credentials) => return assert_eq!(format!("{credentials:?}"), "Credentials(***)"),
            Step::Refused(refusal) => return reply::is_fit_for_a_client(&refusal),
        }
    }
}
