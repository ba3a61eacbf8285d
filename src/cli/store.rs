//! `waxseal store`: the database that several nodes share.

use super::{
    arguments::StoreCommand,
    colour,
    output::{complain_of_config, say, say_json},
    runtime::{block_on, ended},
};
use crate::{
    app::shared,
    config::{Config, load_from_process_env},
    database::{self, Database, Examination, Settings},
};
use anyhow::{Context as _, bail};
use secrecy::SecretString;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// Clocks that are further apart than this make tokens end too early or too late.
const CLOCKS: Duration = Duration::from_secs(2);

pub(super) fn store(path: Option<&Path>, command: StoreCommand) -> ExitCode {
    let config = match load_from_process_env(path) {
        Ok(config) => config,
        Err(errors) => return complain_of_config(&errors),
    };
    match command {
        StoreCommand::Migrate { owner_url_file } => ended(block_on(migrate(config, owner_url_file))),
        StoreCommand::Check { json } => match block_on(check(config, json)) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(code) => code,
        },
        StoreCommand::Import { replace } => ended(block_on(import(config, replace))),
    }
}

fn settings(config: &Config) -> anyhow::Result<&Settings> {
    let Some(settings) = &config.store else {
        bail!(
            "there is no [store] in the configuration: this host's disk is the store, and needs nothing of this"
        );
    };
    Ok(settings)
}

async fn migrate(config: Config, owner_url_file: Option<PathBuf>) -> anyhow::Result<()> {
    let mut settings = settings(&config)?.clone();
    if let Some(path) = owner_url_file {
        settings.url = owner_url(&path)?;
    }
    let (before, after) = database::migrate(&settings).await?;
    say(&match before {
        None => format!("the tables are made, version {}", after.version),
        Some(before) if before == after => {
            format!("nothing to do: the tables are of version {}", after.version)
        }
        Some(before) => {
            format!("the tables are of version {} now; they were of {}", after.version, before.version)
        }
    });
    Ok(())
}

fn owner_url(path: &Path) -> anyhow::Result<SecretString> {
    let text = match path.to_str() {
        Some("-") => io::read_to_string(io::stdin()),
        _ => fs::read_to_string(path),
    };
    let text = zeroize::Zeroizing::new(text.with_context(|| format!("{} cannot be read", path.display()))?);
    let url = SecretString::from(text.trim());
    Settings::check(&url).with_context(|| path.display().to_string())?;
    Ok(url)
}

/// Whether nothing has to be done.
async fn check(config: Config, json: bool) -> anyhow::Result<bool> {
    let database = Database::open(settings(&config)?)?;
    let found = database.examine().await?;
    let fits = shared::key_fits(&database, &config.state_dir).await;
    let mut warnings = warnings(&found);
    warnings.extend(fits.as_ref().err().map(ToString::to_string));
    if json {
        say_json(&view(&found, &warnings));
        return Ok(warnings.is_empty());
    }
    say(&format!(
        "PostgreSQL {}, an answer takes {:.1} ms",
        found.server,
        found.round_trip.as_secs_f64() * 1e3
    ));
    say(&format!("tables     version {}", found.schema.version));
    say(&format!("TLS        {}", if found.encrypted { "yes" } else { "no" }));
    let standbys = match found.synchronous_standbys.as_str() {
        "" => "its own disk alone",
        names => names,
    };
    say(&format!("COMMIT     synchronous_commit = {}, waits for {standbys}", found.synchronous_commit));
    say(&format!("clocks     {:.1} s apart", found.clock_apart.as_secs_f64()));
    let mut heading = "nodes";
    for node in &found.nodes {
        let standing = if node.is_there() { "there" } else { "silent" };
        let silent = node.silent.as_secs();
        say(&format!(
            "{heading:<10} {}  waxseal {}, {standing}, heard {silent} s ago",
            node.name, node.program
        ));
        heading = "";
    }
    for warning in &warnings {
        say(&format!("{} {warning}", colour::shown("warning:")));
    }
    Ok(warnings.is_empty())
}

fn warnings(found: &Examination) -> Vec<String> {
    let mut warnings = Vec::new();
    if found.is_standby {
        warnings.push("this server is a standby and takes no writes: name the primary in `url`".to_owned());
    }
    if found.synchronous_commit == "off" {
        warnings.push(
            "synchronous_commit is off, so that what was kept can be lost again: set it to on".to_owned(),
        );
    }
    if found.clock_apart > CLOCKS {
        let apart = found.clock_apart.as_secs();
        warnings.push(format!("this host's clock and the database's are {apart} s apart: keep both by NTP"));
    }
    for node in found.nodes.iter().filter(|node| !node.is_there()) {
        warnings.push(format!("the node {} has said nothing for {} s", node.name, node.silent.as_secs()));
    }
    warnings
}

fn view(found: &Examination, warnings: &[String]) -> serde_json::Value {
    let node = |node: &database::Node| {
        serde_json::json!({
            "name": node.name, "version": node.program, "there": node.is_there(), "silent_seconds": node.silent.as_secs(),
        })
    };
    let nodes: Vec<_> = found.nodes.iter().map(node).collect();
    serde_json::json!({
        "server": found.server,
        "round_trip_seconds": found.round_trip.as_secs_f64(),
        "clock_apart_seconds": found.clock_apart.as_secs_f64(),
        "encrypted": found.encrypted,
        "synchronous_commit": found.synchronous_commit,
        "synchronous_standby_names": found.synchronous_standbys,
        "schema": found.schema.version,
        "nodes": nodes,
        "warnings": warnings,
    })
}

async fn import(config: Config, replace: bool) -> anyhow::Result<()> {
    let done = shared::import(&config, replace).await?;
    for account in &done.taken {
        say(&format!("{account}: taken in"));
    }
    for account in &done.left {
        say(&format!(
            "{account}: has tokens there already, which stay; --replace takes these in their place"
        ));
    }
    say(&format!("This host's own files are in {} now.", done.aside.display()));
    Ok(())
}
