//! What can be typed.

mod new_accounts;

pub use new_accounts::{AccountAdd, Import, Tool};

use clap::{Args, Parser, Subcommand};
use std::{ffi::OsString, net::IpAddr, path::PathBuf};

/// SMTP relay proxy: takes plain local mail, and sends it over TLS through the account that its sender's domain maps
/// to, with OAuth 2.0 or a password.
#[derive(Debug, Parser)]
#[command(name = "waxseal", version, propagate_version = true, arg_required_else_help = true)]
pub struct Arguments {
    /// The configuration file; its conf.d lies beside it
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon. SIGTERM drains and stops; SIGHUP re-reads the configuration
    Serve,
    /// Try everything on loopback with a sandbox provider; nothing to set up
    Demo(Demo),
    /// Read the configuration and print what it means
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Then connect and log in with every active account, as `waxseal doctor` does
        #[arg(long, conflicts_with = "json")]
        online: bool,
    },
    /// Which account a sender maps to, and why
    Route {
        /// The sender's address; empty or <> for the null reverse-path
        address: String,
        /// The client's address
        #[arg(long, value_name = "IP")]
        client: Option<IpAddr>,
        /// The listener's address, as configured
        #[arg(long, value_name = "ADDR")]
        listener: Option<String>,
        /// The local user who has logged in
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Accounts and their tokens
    Account {
        /// What to do.
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Walk DNS, TCP, TLS, token, AUTH and MAIL FROM for each account, and say what is missing and what cures it
    #[command(
        after_help = "Example:\n  waxseal doctor support\n\nExit code: 0 where nothing is missing, 69 where a server \
        is not to be had, 1 where somebody has to act."
    )]
    Doctor {
        /// These accounts; all active ones where none is named
        #[arg(value_name = "ACCOUNT")]
        accounts: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write accounts out of another tool's configuration into conf.d
    #[command(after_help = "Example:\n  waxseal import postfix /etc/postfix/main.cf --dry-run\n\n\
        Passwords and tokens come along. What does not is said with its file, line and name. A file that is there \
        already is never overwritten.")]
    Import(Import),
    /// The queue
    Queue {
        /// What to do.
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// What became of a message, to the provider's own reply
    Trace {
        /// A queue id, a Message-ID, an address of sender or recipient, or *@DOMAIN
        #[arg(value_name = "QUEUE-ID|MESSAGE-ID|ADDRESS")]
        query: String,
        /// At most so many messages, the latest first
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// One screen: listeners, accounts, queue, warnings
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the daemon re-read its configuration, and say what came of it
    Reload,
    /// sendmail(8): a message on standard input. Also when invoked as sendmail, mailq or newaliases
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Sendmail {
        /// As of sendmail(8); `waxseal sendmail --help` lists them
        #[arg(value_name = "OPTION|RECIPIENT", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

/// `waxseal demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Stop after the message; exit 0 if it arrived
    #[arg(long)]
    pub once: bool,
    /// Where the relay listens; by default a free port
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
}

/// `waxseal account`.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Write a new account into conf.d, from answers or flags
    #[command(after_help = "Example:\n  waxseal account add tickets --type microsoft --domain example.com \
        --username tickets@example.com\n      --client-id 00000000-0000-0000-0000-000000000000 \
        --client-secret-file /etc/waxseal/secrets/tickets\n\n\
        On a terminal it asks for what no flag says. Secrets are never flags: the screen shows none, nor does the \
        list of processes.")]
    Add(Box<AccountAdd>),
    /// All accounts with type, domains, state, token expiry, last success, last error
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// One account
    Show {
        /// Its id
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Generate Tokens: sign in at the provider's page and let waxseal send mail
    Authorize {
        /// The account's id
        id: String,
        /// Paste the redirected URL by hand, on a host without a browser
        #[arg(long, conflicts_with_all = ["device", "link"])]
        paste: bool,
        /// Show a code to be typed on another device (also what an account with grant = "device_code" does)
        #[arg(long)]
        device: bool,
        /// Print a link for an administrator on another machine, good for a day, and do not wait; public_url has
        /// to be reachable from there
        #[arg(long, conflicts_with = "device")]
        link: bool,
        /// Print the page's address without opening a browser
        #[arg(long)]
        no_browser: bool,
    },
    /// Connect, log in and say MAIL FROM, step by step
    #[command(after_help = "Example:\n  waxseal account test support --to me@example.org")]
    Test {
        /// The account's id
        id: String,
        /// Then send a test message to this address
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
    },
    /// Refresh the token now
    Refresh {
        /// The account's id
        id: String,
    },
    /// Drop the stored tokens
    Forget {
        /// The account's id
        id: String,
    },
    /// Write tokens into a file, sealed to a passphrase, for another host
    #[command(
        after_help = "Example, moving to another host:\n  waxseal account export --to tokens.sealed\n  \
        systemctl stop waxseal      # two hosts that refresh one token would lose it\n  \
        scp tokens.sealed new:; then there, with the same accounts configured:\n  \
        waxseal account import tokens.sealed"
    )]
    Export {
        /// These accounts; all of them where none is named
        ids: Vec<String>,
        /// The file, which must not be there yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// A file with the passphrase, in place of asking for it
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Take tokens out of a file of `account export`
    Import {
        /// The file
        file: PathBuf,
        /// A file with the passphrase, in place of asking for it
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Also in place of a grant that may still work
        #[arg(long)]
        replace: bool,
    },
}

/// `waxseal queue`.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// The messages, the oldest first
    List {
        /// Only this account's
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1000)]
        most: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// One message
    Show {
        /// Its queue id
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read everything that the disk has of it, and say what is damaged; exit 1 where something is
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send now; failed recipients get another chance
    Retry(Which),
    /// Keep from being sent
    Hold(Which),
    /// Let held messages go
    Release(Which),
    /// Take out of the queue for good
    Remove(Which),
}

/// Which messages.
#[derive(Debug, Args)]
#[group(required = true)]
pub struct Which {
    /// Queue ids
    #[arg(group = "which")]
    pub ids: Vec<String>,
    /// All of an account's
    #[arg(long, value_name = "ID", group = "which")]
    pub account: Option<String>,
    /// All there are
    #[arg(long, group = "which")]
    pub all: bool,
}
