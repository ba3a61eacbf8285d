//! Parameters of main.cf that nothing of an account corresponds to, with the way out of each.

/// Those that the importer reads; what of them does not come along is told where it is read.
const READ: [&str; 26] = [
    "relayhost",
    "default_transport",
    "sender_dependent_relayhost_maps",
    "sender_dependent_default_transport_maps",
    "smtp_sender_dependent_authentication",
    "smtp_sasl_auth_enable",
    "smtp_sasl_password_maps",
    "smtp_sasl_mechanism_filter",
    "smtp_sasl_security_options",
    "smtp_sasl_tls_security_options",
    "smtp_sasl_type",
    "smtp_tls_security_level",
    "smtp_use_tls",
    "smtp_enforce_tls",
    "smtp_tls_wrappermode",
    "smtp_tls_CAfile",
    "smtp_tcp_port",
    "myorigin",
    "mydomain",
    "config_directory",
    "queue_directory",
    "default_database_type",
    "compatibility_level",
    "smtp_tls_session_cache_database",
    "smtp_tls_session_cache_timeout",
    "smtp_tls_note_starttls_offer",
];

/// Why a parameter does not come along; `None` for one that does, or that says nothing.
pub(super) fn why_not(name: &str, value: &str) -> Option<&'static str> {
    if READ.contains(&name) {
        return None;
    }
    Some(match name {
        "myhostname" | "smtp_helo_name" => "set `hostname` in waxseal.toml where it is not the system's",
        "smtp_tls_CApath" if value.trim_end_matches('/') == "/etc/ssl/certs" => return None,
        "smtp_tls_CApath" => "the authorities of this host are trusted; for others set `ca_file`",
        "smtp_tls_cert_file"
        | "smtp_tls_key_file"
        | "smtp_tls_chain_files"
        | "smtp_tls_eccert_file"
        | "smtp_tls_eckey_file" => "waxseal shows servers no certificate of its own",
        "smtp_tls_policy_maps" | "smtp_tls_per_site" => "set `security` of each account",
        "smtp_tls_fingerprint_cert_match" | "smtp_tls_fingerprint_digest" => {
            "waxseal trusts no fingerprint: put the server's certificate into `ca_file`"
        }
        "smtp_bind_address" | "smtp_bind_address6" => {
            "waxseal connects from whichever address the system chooses"
        }
        "smtp_fallback_relay" | "fallback_relay" => {
            "an account has one server, and its mail waits for it in the queue"
        }
        "transport_maps" => {
            "waxseal relays by sender, not by recipient: all mail of an account goes to its server"
        }
        "inet_interfaces" | "inet_protocols" => "set `address` of a `[[listener]]`",
        "mynetworks" | "mynetworks_style" => "set `clients` of a `[[listener]]`",
        "message_size_limit" => "set `[limits] message_size`",
        "maximal_queue_lifetime" | "bounce_queue_lifetime" => "set `[queue] expire`",
        "minimal_backoff_time" | "maximal_backoff_time" | "queue_run_delay" => "set `[queue] retry`",
        "delay_warning_time" => "waxseal warns of delay once, after four hours",
        "queue_minfree" => "set `[queue] min_free`",
        "notify_classes"
        | "2bounce_notice_recipient"
        | "error_notice_recipient"
        | "bounce_notice_recipient" => "set `[queue] bounce` and `postmaster`, and `[alert]`",
        "alias_maps" | "alias_database" => "`waxseal sendmail` reads /etc/aliases",
        "smtp_generic_maps"
        | "sender_canonical_maps"
        | "canonical_maps"
        | "masquerade_domains"
        | "header_checks"
        | "smtp_header_checks"
        | "body_checks" => {
            "waxseal rewrites no addresses and no content; `sender = \"rewrite\"` puts the username into From"
        }
        "default_process_limit" | "default_destination_concurrency_limit" => {
            "set `max_connections` of each account"
        }
        "smtp_destination_rate_delay" | "default_destination_rate_delay" => {
            "set `rate_limit` of each account"
        }
        "always_bcc" | "sender_bcc_maps" | "recipient_bcc_maps" => "waxseal adds no recipients",
        "mydestination"
        | "local_recipient_maps"
        | "local_transport"
        | "mailbox_command"
        | "mailbox_size_limit"
        | "home_mailbox"
        | "recipient_delimiter"
        | "relay_domains"
        | "relay_recipient_maps"
        | "unknown_local_recipient_reject_code"
        | "mail_spool_directory" => "waxseal delivers to no mailboxes: all mail goes to an account's server",
        name if name.starts_with("virtual_") => {
            "waxseal delivers to no mailboxes: all mail goes to an account's server"
        }
        name if name.starts_with("smtpd_tls_") => {
            "set `tls`, `certificate` and `private_key` of a `[[listener]]`"
        }
        name if name.starts_with("smtpd_sasl_") => {
            "set `authentication` of a `[[listener]]`, and `[user.NAME]`"
        }
        name if name.starts_with("smtpd_") => {
            "who may submit is set by `clients` and `authentication` of a `[[listener]]`"
        }
        name if name.ends_with("_milters") || name.starts_with("milter_") => "waxseal has no filters",
        name if name.starts_with("smtp_tls_") => "waxseal speaks TLS 1.2 and 1.3 with sound ciphers",
        _ => "it concerns Postfix alone",
    })
}
