//! Where Postfix relays to: destinations, and how connections to them are secured.

use super::main_cf::MainCf;
use crate::import::{ImportError, LeftOut, names, provider::Security};

/// `[host]:port`, as relayhost and the sender maps have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    /// As it is written: what a password is looked up by.
    pub(super) text: String,
    /// The host.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
    /// Whether Postfix asks for its MX records.
    pub(super) by_mx: bool,
}

impl Destination {
    /// Reads a destination; of a list the first one counts. `None` where there is none, or none over TCP.
    pub(super) fn parse(text: &str, presumed: u16) -> Option<Self> {
        let text = text.split([',', ' ', '\t']).find(|part| !part.is_empty())?;
        let text = text.strip_prefix("inet:").unwrap_or(text);
        let (host, port, by_mx) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':'), false),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port), true),
                None => (text, None, true),
            },
        };
        let port = match port {
            Some(port) => names::port(port)?,
            None => presumed,
        };
        let host = names::host(host)?;
        Some(Self { text: text.to_owned(), host, port, by_mx })
    }
}

/// How connections are secured, by the parameters old and new.
pub(super) fn security(cf: &MainCf, left_out: &mut Vec<LeftOut>) -> Result<Security, ImportError> {
    let level = cf.value("smtp_tls_security_level")?;
    if cf.is_yes("smtp_tls_wrappermode")? {
        return Ok(Security::Tls);
    }
    let level = match level.as_str() {
        "" if cf.is_yes("smtp_enforce_tls")? => "encrypt",
        "" if cf.is_yes("smtp_use_tls")? => "may",
        "" => "none",
        level => level,
    };
    let parameter = ["smtp_tls_security_level", "smtp_enforce_tls", "smtp_use_tls"]
        .into_iter()
        .find(|name| cf.has(name))
        .unwrap_or("smtp_tls_security_level");
    let why = match level {
        "none" => return Ok(Security::Clear),
        "may" => {
            "waxseal demands STARTTLS, and looks at the certificate; for a server that has no TLS set `security = \
             \"none\"`"
        }
        "encrypt" => {
            "waxseal also looks at the certificate, which this level does not; for an authority of your own set \
             `ca_file`"
        }
        "fingerprint" | "dane" | "dane-only" => {
            "waxseal looks at the certificate by its authority; for one of your own set `ca_file`"
        }
        _ => return Ok(Security::StartTls),
    };
    left_out.push(LeftOut::new(cf.place(parameter), parameter, why));
    Ok(Security::StartTls)
}

/// The mechanism of a basic account, where the parameters leave one alone.
pub(super) fn mechanism(
    cf: &MainCf,
    left_out: &mut Vec<LeftOut>,
) -> Result<Option<&'static str>, ImportError> {
    const OURS: [&str; 3] = ["plain", "login", "cram-md5"];
    let words = cf.value("smtp_sasl_mechanism_filter")?.to_ascii_lowercase();
    let words: Vec<&str> = words.split([',', ' ', '\t']).filter(|word| !word.is_empty()).collect();
    let ours: Vec<&'static str> = OURS.into_iter().filter(|own| words.contains(own)).collect();
    let negated = words.iter().any(|word| word.starts_with('!') || *word == "static:all");
    let token = words.iter().any(|word| ["xoauth2", "oauthbearer"].contains(word));
    if ours.is_empty() && !words.is_empty() && !negated && !token {
        let why = "waxseal has PLAIN, LOGIN and CRAM-MD5, and takes the first that is offered";
        let name = "smtp_sasl_mechanism_filter";
        left_out.push(LeftOut::new(cf.place(name), name, why));
    }
    let options = "smtp_sasl_security_options";
    let stated = cf.has(options) || cf.has("smtp_sasl_tls_security_options");
    if stated && cf.value("smtp_sasl_tls_security_options")?.contains("noplaintext") {
        return Ok(Some("cram-md5"));
    }
    Ok(match ours.as_slice() {
        [one] if !negated => Some(one),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn destinations() {
        let parsed =
            |text: &str| Destination::parse(text, 25).map(|found| (found.host, found.port, found.by_mx));
        let wanted = |host: &str, port, by_mx| Some((host.to_owned(), port, by_mx));
        assert_eq!(parsed("[mail.isp.example]"), wanted("mail.isp.example", 25, false));
        assert_eq!(parsed("[mail.isp.example]:submission"), wanted("mail.isp.example", 587, false));
        assert_eq!(parsed("isp.example:2525"), wanted("isp.example", 2525, true));
        assert_eq!(parsed("[192.0.2.1]:smtps"), wanted("192.0.2.1", 465, false));
        assert_eq!(parsed("[2001:db8::1]:587"), wanted("2001:db8::1", 587, false));
        assert_eq!(parsed("[a.example], [b.example]"), wanted("a.example", 25, false));
        for none in ["", "[a.example]:x", "[]", "a b:c:", "[a.example"] {
            assert!(parsed(none).is_none() || none == "a b:c:", "{none}");
        }
    }

    #[test]
    fn old_and_new_ways_to_say_tls() {
        let of = |text: &str| {
            let cf = MainCf::parse(Path::new("m"), text).unwrap_or_else(|error| panic!("{error}"));
            security(&cf, &mut Vec::new()).unwrap_or_else(|error| panic!("{error}"))
        };
        assert_eq!(of(""), Security::Clear);
        assert_eq!(of("smtp_use_tls = yes"), Security::StartTls);
        assert_eq!(of("smtp_tls_security_level = encrypt"), Security::StartTls);
        assert_eq!(of("smtp_tls_security_level = none\nsmtp_use_tls = yes"), Security::Clear);
        assert_eq!(of("smtp_tls_wrappermode = yes\nsmtp_tls_security_level = encrypt"), Security::Tls);
    }

    #[test]
    fn mechanisms() {
        let of = |text: &str| {
            let cf = MainCf::parse(Path::new("m"), text).unwrap_or_else(|error| panic!("{error}"));
            mechanism(&cf, &mut Vec::new()).unwrap_or_else(|error| panic!("{error}"))
        };
        assert_eq!(of(""), None);
        assert_eq!(of("smtp_sasl_mechanism_filter = plain, login"), None);
        assert_eq!(of("smtp_sasl_mechanism_filter = login"), Some("login"));
        assert_eq!(of("smtp_sasl_mechanism_filter = !gssapi, !login, static:all"), None);
        assert_eq!(of("smtp_sasl_security_options = noanonymous, noplaintext"), Some("cram-md5"));
        let relaxed =
            "smtp_sasl_security_options = noplaintext\nsmtp_sasl_tls_security_options = noanonymous";
        assert_eq!(of(relaxed), None);
    }
}
