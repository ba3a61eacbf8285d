//! Reads the sources, layers them, and hands the result to what builds [`Config`]. figment layers: it is given the
//! tree of each source with key paths for leaves, and so answers which source a key comes from without ever holding
//! a secret. Arrays and secrets are leaves; a later source replaces them as a whole.

use super::{
    Config, ConfigError, ConfigErrors, accounts, alert, contradictions, document, environment, legacy,
    listeners,
    reader::Reader,
    secrets::Secrets,
    sections, shape,
    source::Source,
    store,
    tree::{Entry, Place, Value},
    users,
};
use crate::account::Users;
use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value as Layered},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The main file where none is named.
pub const DEFAULT_PATH: &str = "/etc/waxseal/waxseal.toml";

type Tree = BTreeMap<String, Entry>;

/// A configuration and where parts of it came from, for `waxseal check`.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The files read, in order.
    pub files: Vec<String>,
    /// Secrets by account id and key: `set`, `file PATH`, `variable NAME`, `credential NAME`. Never the secret.
    pub secret_origins: BTreeMap<(String, &'static str), String>,
    /// The same of local users' passwords, by user id, with whether it is a hash.
    pub password_origins: BTreeMap<String, String>,
}

/// Reads the configuration: `path` (or [`DEFAULT_PATH`]), `conf.d/*.toml` beside it, then `WAXSEAL_` variables of
/// `env`, from which `{ env = NAME }` secrets, `STATE_DIRECTORY` and `CREDENTIALS_DIRECTORY` are taken as well.
///
/// # Errors
/// Everything found wrong, at least one [`ConfigError`]; the process should end with code 78 (`EX_CONFIG`).
pub fn load(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigErrors> {
    load_explained(path, env).map(|loaded| loaded.config)
}

/// [`load`] with the environment of this process; variables that are not UTF-8 are passed over.
///
/// # Errors
/// As [`load`].
pub fn load_from_process_env(path: Option<&Path>) -> Result<Config, ConfigErrors> {
    load(path, process_env())
}

/// The environment of this process, without variables that are not UTF-8.
pub fn process_env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// [`load`], with what `waxseal check` says beyond the configuration.
///
/// # Errors
/// As [`load`].
pub fn load_explained(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    load_with(path, &[], env)
}

/// A file of `conf.d` that is not there yet. No `Debug`: it may hold secrets.
pub struct NewFile<'a> {
    /// Where it will be.
    pub path: PathBuf,
    /// What will be in it.
    pub text: &'a str,
}

/// The directory beside a main file whose files are read after it.
pub fn conf_d_of(main: Option<&Path>) -> PathBuf {
    main.unwrap_or(Path::new(DEFAULT_PATH)).parent().unwrap_or(Path::new("")).join("conf.d")
}

/// [`load_explained`] as it will be once `new` files are in `conf.d`.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    path: Option<&Path>,
    new: &[NewFile<'_>],
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    let env: BTreeMap<_, _> = env.collect();
    let mut reader = Reader::default();
    let main = path.unwrap_or(Path::new(DEFAULT_PATH));
    let trees = read_sources(main, new, &env, &mut reader);
    if reader.misshapen {
        reader.stop_on_errors()?;
    }
    let root = join(&trees, &mut reader);
    let files = reader.sources.iter().filter(|source| source.directory.is_some());
    let files = files.map(|source| source.label.clone()).collect();
    let mut secrets = Secrets::new(&env);
    let applications = listeners::applications(&root, &mut reader);
    let users = users::users(&root, &applications, &mut secrets, &mut reader);
    let listeners = listeners::listeners(&root, &applications, &mut reader);
    users::check(&root, &listeners, &mut reader);
    let drafts = accounts::accounts(&root, &applications, &mut secrets, &mut reader);
    contradictions::check(&drafts, &mut reader);
    let config = Config {
        hostname: sections::hostname(&root, &mut reader),
        state_dir: sections::state_dir(&root, &env, &reader),
        spool: sections::spool(&root, &env, &reader),
        listeners,
        applications,
        users: Arc::new(Users::new(users)),
        accounts: drafts.into_iter().map(|draft| draft.account).collect(),
        queue: sections::queue(&root, &mut reader),
        limits: sections::limits(&root, &mut reader),
        admin: sections::admin(&root, &mut reader),
        history: sections::history(&root, &mut reader),
        alert: alert::alert(&root, &mut reader),
        log: sections::log(&root, &mut reader),
        store: store::store(&root, &secrets, &mut reader),
        warnings: Vec::new(),
    };
    reader.stop_on_errors()?;
    let config = Config { warnings: reader.warnings, ..config };
    Ok(Loaded { config, files, secret_origins: secrets.origins, password_origins: secrets.password_origins })
}

/// The state directory as far as the sources say, however wrong they are otherwise: a daemon that has refused them in a
/// reload is still to be reached.
pub fn state_dir_despite(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> PathBuf {
    let env: BTreeMap<_, _> = env.collect();
    let mut reader = Reader::default();
    let trees = read_sources(path.unwrap_or(Path::new(DEFAULT_PATH)), &[], &env, &mut reader);
    let root = join(&trees, &mut reader);
    sections::state_dir(&root, &env, &reader)
}

/// The tree of each source, the main file's first. What is wrong with their form the reader knows then.
pub(super) fn read_sources(
    main: &Path,
    new: &[NewFile<'_>],
    env: &BTreeMap<String, String>,
    reader: &mut Reader,
) -> Vec<Tree> {
    let mut files = conf_d(main, reader);
    files.extend(new.iter().map(|file| file.path.clone()));
    files.sort();
    files.dedup();
    let mut trees = Vec::new();
    for path in std::iter::once(main.to_path_buf()).chain(files) {
        let text = match new.iter().find(|file| file.path == path) {
            Some(file) => file.text.to_owned(),
            None => read_file(&path, reader),
        };
        trees.push(read_text(&path, text, reader));
    }
    trees.push(read_env(env, &trees, reader));
    trees
}

/// All of them in one.
pub(super) fn join(trees: &[Tree], reader: &mut Reader) -> Tree {
    let mut root = layer(trees);
    legacy::convert(&mut root, reader);
    root
}

/// `conf.d/*.toml` beside the main file, in name order; hidden files are left alone.
fn conf_d(main: &Path, reader: &mut Reader) -> Vec<PathBuf> {
    let directory = conf_d_of(Some(main));
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            reader.error_in(0, 0, unreadable(&directory, &error));
            reader.misshapen = true;
            return Vec::new();
        }
    };
    let files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")))
        .collect();
    files
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    ConfigError {
        location: path.display().to_string(),
        key: String::new(),
        problem: if missing {
            "the configuration file does not exist".into()
        } else {
            format!("cannot be read: {error}")
        },
        excerpt: None,
        help: missing.then(|| "write it, or name another with `--config PATH`".into()),
    }
}

fn read_file(path: &Path, reader: &mut Reader) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| {
        reader.error_in(reader.sources.len(), 0, unreadable(path, &error));
        reader.misshapen = true;
        String::new()
    })
}

fn read_text(path: &Path, text: String, reader: &mut Reader) -> Tree {
    let index = reader.sources.len();
    reader.sources.push(Source {
        label: path.display().to_string(),
        directory: path.parent().map(Path::to_path_buf),
        text,
        hidden: Vec::new(),
    });
    match document::parse(&reader.sources[index], index) {
        Ok(tree) => {
            shape::check(&tree, reader);
            tree
        }
        Err(error) => {
            reader.error_in(index, 0, error);
            reader.misshapen = true;
            Tree::new()
        }
    }
}

fn read_env(env: &BTreeMap<String, String>, trees: &[Tree], reader: &mut Reader) -> Tree {
    let mut ids = BTreeSet::new();
    for entry in trees.iter().flat_map(BTreeMap::values) {
        entry.walk(&mut |entry| {
            ids.insert(entry.path.clone());
        });
    }
    let index = reader.sources.len();
    reader.sources.push(Source {
        label: "environment".into(),
        directory: None,
        text: String::new(),
        hidden: Vec::new(),
    });
    let tree = environment::tree(env, index, &ids);
    shape::check(&tree, reader);
    tree
}

/// One source for figment: dictionaries where tables merge, and the key's path where they do not.
struct Layer<'a> {
    index: usize,
    tree: &'a Tree,
}

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.index.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(dict(self.tree)))
    }
}

fn dict(tree: &Tree) -> Dict {
    let value = |entry: &Entry| match &entry.value {
        Value::Table(table) if !is_secret(&entry.path) => Layered::from(dict(table)),
        _ => Layered::from(entry.path.clone()),
    };
    tree.iter().map(|(name, entry)| (name.clone(), value(entry))).collect()
}

/// Whether a table at `path` is a form of a secret, which a later source replaces rather than completes.
fn is_secret(path: &str) -> bool {
    let depth = path.split('.').count();
    let leaf = path.rsplit('.').next().unwrap_or_default();
    (depth == 3 || path.starts_with("smtp."))
        && ["password", "client_secret", "refresh_token"].contains(&leaf)
}

fn layer(trees: &[Tree]) -> Tree {
    let figment = trees
        .iter()
        .enumerate()
        .fold(Figment::new(), |figment, (index, tree)| figment.merge(Layer { index, tree }));
    let mut merged = figment.data().unwrap_or_default();
    restore(merged.remove(&Profile::Default).unwrap_or_default(), &figment, trees, "")
}

/// Puts the entries back in place of their paths.
fn restore(dict: Dict, figment: &Figment, trees: &[Tree], path: &str) -> Tree {
    let source = |value: &Layered| -> usize {
        figment.get_metadata(value.tag()).and_then(|data| data.name.parse().ok()).unwrap_or_default()
    };
    let mut tree = Tree::new();
    for (name, value) in dict {
        let below = super::tree::join(path, &name);
        let index = source(&value);
        let original = trees
            .get(index)
            .and_then(|tree| find(tree, &below))
            .or_else(|| trees.iter().find_map(|tree| find(tree, &below)));
        let entry = match (value, original) {
            (Layered::Dict(_, dict), original) => {
                let unknown = Place { source: index, span: None };
                Some(Entry {
                    key: original.map_or_else(|| unknown.clone(), |entry| entry.key.clone()),
                    place: original.map_or(unknown, |entry| entry.place.clone()),
                    value: Value::Table(restore(dict, figment, trees, &below)),
                    path: below,
                })
            }
            (_, original) => original.cloned(),
        };
        if let Some(entry) = entry {
            tree.insert(name, entry);
        }
    }
    tree
}

/// The entry at a path without array indices.
fn find<'a>(tree: &'a Tree, path: &str) -> Option<&'a Entry> {
    match path.split_once('.') {
        None => tree.get(path),
        Some((first, rest)) => find(tree.get(first)?.table()?, rest),
    }
}
