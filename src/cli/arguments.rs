//! What can be typed.

mod examples;
mod learn;
mod new_accounts;

pub use learn::Learn;
pub use new_accounts::{AccountAdd, Import, Tool};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::{ffi::OsString, net::IpAddr, path::PathBuf};

/// SMTP relay proxy: takes plain local mail, and sends it over TLS through the account that its sender's domain maps
/// to, with OAuth 2.0 or a password.
#[derive(Debug, Parser)]
#[command(name = "waxseal", version = env!("WAXSEAL_VERSION"), propagate_version = true, arg_required_else_help = true)]
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
    #[command(after_help = examples::SERVE)]
    Serve,
    /// Try everything on loopback with a sandbox provider; nothing to set up
    #[command(after_help = examples::DEMO)]
    Demo(Demo),
    /// Listen in place of the daemon, see which applications come and how, and print the configuration for them
    #[command(after_help = examples::LEARN)]
    Learn(Learn),
    /// Read the configuration and print what it means
    #[command(after_help = examples::CHECK)]
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Then connect and log in with every active account, as `waxseal doctor` does
        #[arg(long, conflicts_with = "json")]
        online: bool,
    },
    /// Which account a sender maps to, and why
    #[command(after_help = examples::ROUTE)]
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
    #[command(after_help = examples::DOCTOR)]
    Doctor {
        /// These accounts; all active ones where none is named
        #[arg(value_name = "ACCOUNT")]
        accounts: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write accounts out of another tool's configuration into conf.d
    #[command(after_help = examples::IMPORT)]
    Import(Import),
    /// The queue
    Queue {
        /// What to do.
        #[command(subcommand)]
        command: QueueCommand,
    },
    /// The database that several nodes share
    Store {
        /// What to do.
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// What became of a message, to the provider's own reply
    #[command(after_help = examples::TRACE)]
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
    #[command(after_help = examples::STATUS)]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the daemon re-read its configuration, and say what came of it
    #[command(after_help = examples::RELOAD)]
    Reload,
    /// Print a link that logs a browser in to the console, once, for ten minutes
    #[command(after_help = examples::ADMIN_URL)]
    AdminUrl,
    /// sendmail(8): a message on standard input. Also when invoked as sendmail, mailq or newaliases
    #[command(disable_help_flag = true, disable_version_flag = true, after_help = examples::SENDMAIL)]
    Sendmail {
        /// As of sendmail(8); `waxseal sendmail --help` lists them
        #[arg(value_name = "OPTION|RECIPIENT", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Print completions for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the man pages into a directory: waxseal.1, one for each command, and waxseal.toml.5
    #[command(after_help = examples::MAN)]
    Man {
        /// The directory; it is made where it is missing
        #[arg(value_name = "DIR")]
        directory: PathBuf,
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
    #[command(after_help = examples::ACCOUNT_ADD)]
    Add(Box<AccountAdd>),
    /// All accounts with type, domains, state, token expiry, last success, last error
    #[command(after_help = examples::ACCOUNT_LIST)]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// One account
    #[command(after_help = examples::ACCOUNT_SHOW)]
    Show {
        /// Its id
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Generate Tokens: sign in at the provider's page and let waxseal send mail
    #[command(after_help = examples::ACCOUNT_AUTHORIZE)]
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
    #[command(after_help = examples::ACCOUNT_TEST)]
    Test {
        /// The account's id
        id: String,
        /// Then send a test message to this address
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
    },
    /// Refresh the token now
    #[command(after_help = examples::ACCOUNT_REFRESH)]
    Refresh {
        /// The account's id
        id: String,
    },
    /// Drop the stored tokens
    #[command(after_help = examples::ACCOUNT_FORGET)]
    Forget {
        /// The account's id
        id: String,
    },
    /// Write tokens into a file, sealed to a passphrase, for another host
    #[command(after_help = examples::ACCOUNT_EXPORT)]
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
    #[command(after_help = examples::ACCOUNT_IMPORT)]
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
    #[command(after_help = examples::QUEUE_LIST)]
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
    #[command(after_help = examples::QUEUE_SHOW)]
    Show {
        /// Its queue id
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read everything that the disk has of it, and say what is damaged; exit 1 where something is
    #[command(after_help = examples::QUEUE_VERIFY)]
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send now; failed recipients get another chance
    #[command(after_help = examples::QUEUE_RETRY)]
    Retry(Which),
    /// Keep from being sent
    #[command(after_help = examples::QUEUE_HOLD)]
    Hold(Which),
    /// Let held messages go
    #[command(after_help = examples::QUEUE_RELEASE)]
    Release(Which),
    /// Take out of the queue for good
    #[command(after_help = examples::QUEUE_REMOVE)]
    Remove(Which),
}

/// `waxseal store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Make the tables, or bring them up to this version of waxseal; nodes that run may go on
    #[command(after_help = examples::STORE_MIGRATE)]
    Migrate {
        /// A file with the URL of a role that may make tables, in place of the one in the configuration; - is standard input
        #[arg(long, value_name = "FILE")]
        owner_url_file: Option<PathBuf>,
    },
    /// Look at the database, its tables, its clock, the key and the nodes; exit 1 where something needs a hand
    #[command(after_help = examples::STORE_CHECK)]
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take the tokens that this host has of its own into the database; the daemon has to be stopped
    #[command(after_help = examples::STORE_IMPORT)]
    Import {
        /// Also in place of tokens that are there already
        #[arg(long)]
        replace: bool,
    },
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
