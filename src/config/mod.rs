//! Configuration: read, checked, explained.

mod settings;

pub use settings::{
    AdminSettings, Application, Config, Limits, ListenAddress, ListenerSettings, LogFormat, LogSettings,
    QueueSettings,
};
