//! What `--help` and the man pages show at the end of each command: how it is used, and what its exit code says.

macro_rules! examples {
    ($($name:ident: $($line:literal)*;)*) => {
        $(pub(super) const $name: &str = concat!("Examples:", $("\n  ", $line,)*);)*
    };
}

examples! {
    SERVE:
        "waxseal serve"
        "waxseal serve --config ./waxseal.toml"
        "systemctl reload waxseal        # SIGHUP: a wrong file changes nothing, and the log says why"
        ""
        "Exit code 78 where the configuration is wrong.";
    DEMO:
        "waxseal demo --once"
        "waxseal demo --port 2525        # stays up for your own applications";
    LEARN:
        "systemctl stop waxseal.socket waxseal     # one program has the port"
        "waxseal learn --for 10m > learned.toml"
        "waxseal learn --for 1d --listen 0.0.0.0:25 --listen unix:/run/waxseal/smtp.sock"
        "waxseal learn --json --for 1h"
        ""
        "No message is accepted. MAIL and RCPT are answered 250, and the message itself, when it has come to its end, 451 \
         4.3.2: an application that handles mail as it should keeps it, and sends it once the daemon is there. One that \
         does not would lose it, so choose the time. Every client and every login is let in; passwords are neither looked \
         at nor kept. STARTTLS is offered where the configuration has a certificate."
        ""
        "What is new is said on standard error as it comes. Ctrl-C ends it early. Standard output is then the report, in \
         comments, and below it the configuration: listeners, and a draft of an account for each sender domain."
        ""
        "Exit code: 0; 1 where an address cannot be listened on; 78 where the configuration is wrong.";
    CHECK:
        "waxseal check"
        "waxseal check --online          # also logs in with every active account"
        "waxseal --config ./waxseal.toml check --json"
        ""
        "Exit code 78 where the configuration is wrong.";
    ROUTE:
        "waxseal route someone@example.com"
        "waxseal route app@example.com --client 127.0.0.2 --listener 127.0.0.1:25"
        "waxseal route '<>'              # the null reverse-path of reports"
        ""
        "Exit code 1 where the sender maps to no account.";
    DOCTOR:
        "waxseal doctor"
        "waxseal doctor support"
        ""
        "Exit code: 0 where nothing is missing, 69 where a server is not to be had, 1 where somebody has to act.";
    IMPORT:
        "waxseal import postfix /etc/postfix/main.cf --dry-run"
        "waxseal import msmtp /etc/msmtprc"
        ""
        "Passwords and tokens come along. What does not is said with its file, line and name. A file that is there"
        "already is never overwritten.";
    TRACE:
        "waxseal trace someone@example.org"
        "waxseal trace '*@example.org' --limit 100"
        "waxseal trace '<20261127.42@ticketing.example.com>' --json";
    STATUS:
        "waxseal status"
        "waxseal status --json | jq .queue"
        ""
        "Exit code 69 where the daemon is down.";
    RELOAD:
        "waxseal reload"
        ""
        "Exit code 78 where the new configuration is wrong; the old one stays.";
    ADMIN_URL:
        "waxseal admin-url"
        "ssh -L 8025:localhost:8025 relay.example.com   # then open the link on this machine";
    SENDMAIL:
        "printf 'Subject: hello\\n\\nfrom the shell\\n' | waxseal sendmail -f me@example.com someone@example.org"
        "waxseal sendmail -t -i <message.eml"
        "waxseal sendmail -bp            # what mailq shows";
    COMPLETIONS:
        "waxseal completions bash >/usr/share/bash-completion/completions/waxseal"
        "waxseal completions zsh >/usr/share/zsh/vendor-completions/_waxseal"
        "waxseal completions fish >/usr/share/fish/vendor_completions.d/waxseal.fish";
    MAN:
        "waxseal man /usr/local/share/man   # into man1 and man5 below it"
        "man waxseal.toml";
    ACCOUNT_ADD:
        "waxseal account add tickets --type microsoft --domain example.com --username tickets@example.com \\"
        "    --client-id 00000000-0000-0000-0000-000000000000 --client-secret-file /etc/waxseal/secrets/tickets"
        ""
        "On a terminal it asks for what no flag says. Secrets are never flags: the screen shows none, nor does the"
        "list of processes.";
    ACCOUNT_LIST:
        "waxseal account list"
        "waxseal account list --json | jq -r '.[] | select(.state != \"ready\") | .id'";
    ACCOUNT_SHOW:
        "waxseal account show support";
    ACCOUNT_AUTHORIZE:
        "waxseal account authorize support"
        "waxseal account authorize support --paste    # on a host without a browser"
        "waxseal account authorize support --link     # for an administrator on another machine";
    ACCOUNT_TEST:
        "waxseal account test support"
        "waxseal account test support --to me@example.org";
    ACCOUNT_REFRESH:
        "waxseal account refresh support";
    ACCOUNT_FORGET:
        "waxseal account forget support"
        ""
        "Its mail is kept until somebody authorizes it again.";
    ACCOUNT_EXPORT:
        "waxseal account export --to tokens.sealed"
        "systemctl stop waxseal          # two hosts that refresh one token would lose it"
        "scp tokens.sealed new:          # then there, with the same accounts configured:"
        "waxseal account import tokens.sealed";
    ACCOUNT_IMPORT:
        "waxseal account import tokens.sealed"
        "waxseal account import tokens.sealed --replace";
    STORE_MIGRATE:
        "waxseal store migrate"
        "waxseal store migrate --owner-url-file /root/owner-url   # nodes whose role may not make tables";
    STORE_CHECK:
        "waxseal store check"
        "waxseal store check --json";
    STORE_IMPORT:
        "systemctl stop waxseal"
        "waxseal store import";
    QUEUE_LIST:
        "waxseal queue list"
        "waxseal queue list --account support --json";
    QUEUE_SHOW:
        "waxseal queue show ID";
    QUEUE_VERIFY:
        "waxseal queue verify"
        ""
        "Also of a daemon that is stopped. Exit code 1 where something is damaged.";
    QUEUE_RETRY:
        "waxseal queue retry ID"
        "waxseal queue retry --account support"
        "waxseal queue retry --all";
    QUEUE_HOLD:
        "waxseal queue hold ID";
    QUEUE_RELEASE:
        "waxseal queue release ID        # through the account that its sender maps to now";
    QUEUE_REMOVE:
        "waxseal queue remove ID"
        ""
        "Nobody is told of a message that is removed.";
}
