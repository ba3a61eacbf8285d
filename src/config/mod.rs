//! Configuration: read, checked, explained.
//!
//! `load` reads the main file, `conf.d/*.toml` beside it and the `WAXSEAL_` environment, in this order. A later
//! source overrides single keys and adds tables; an array (`[[listener]]`, `domains`) is replaced as a whole.

mod accounts;
mod alert;
mod application;
mod client;
mod contradictions;
mod diagnostics;
mod document;
mod environment;
mod front;
mod grant;
mod keys;
mod legacy;
mod listeners;
mod live;
mod load;
mod login;
mod mechanism;
mod pem;
mod place;
mod reader;
mod secrets;
mod sections;
mod server;
mod service_account;
mod settings;
mod shape;
mod source;
mod store;
mod tls;
mod tree;
mod units;
mod users;
mod written;

pub use application::application_of;
pub use diagnostics::{ConfigError, ConfigErrors};
pub use front::{Door, Front, front, front_door};
pub use live::{LiveConfig, Snapshot};
pub use load::{
    DEFAULT_PATH, Loaded, NewFile, conf_d_of, load, load_explained, load_from_process_env, load_with,
    process_env, state_dir_despite,
};
pub use pem::KeyPairError;
pub use place::{put, replace};
pub use settings::{
    AdminSettings, AlertSettings, Application, Bounce, Config, HistorySettings, Limits, ListenAddress,
    ListenerSettings, LogFormat, LogSettings, QueueSettings,
};
pub use tls::{ListenerTls, ServerTls};
pub use units::{parse_duration, parse_rate, parse_size, show_duration, show_size};
pub use written::{Written, WrittenKey, written_account};
