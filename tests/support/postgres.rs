//! PostgreSQL servers of the tests' own: a data directory, a loopback port, and an end with the test. Debian's package is
//! `postgresql-15`; tests that want one are ignored unless asked for (`cargo test -- --ignored`).

use super::{Running, free_port, until};
use sqlx::{Connection as _, PgConnection};
use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};
use waxseal::database::{Database, Settings, migrate};

/// A server.
pub struct Postgres {
    directory: tempfile::TempDir,
    pub port: u16,
    /// Where clients find it.
    address: u16,
    server: Option<Running>,
    databases: AtomicUsize,
}

/// Where the server's programs are.
fn programs() -> PathBuf {
    let versions =
        fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL 15 or later: apt-get install postgresql-15");
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.unwrap().path().join("bin")).collect();
    found.sort();
    found.pop().unwrap()
}

/// The user `postgres`, where the tests run as root, whom the server refuses.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).unwrap();
    let ids: Vec<u32> = line.split(':').skip(2).take(2).map(|id| id.parse().unwrap()).collect();
    Some((ids[0], ids[1]))
}

fn program(name: &str) -> Command {
    let mut command = Command::new(programs().join(name));
    command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
    command
}

impl Postgres {
    /// An empty server that answers.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        if let Some((user, group)) = user() {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let made = program("initdb")
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--pgdata"])
            .arg(directory.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut postgres = Self::in_directory(directory);
        postgres.run();
        postgres
    }

    fn in_directory(directory: tempfile::TempDir) -> Self {
        let port = free_port();
        Self { directory, port, address: port, server: None, databases: AtomicUsize::default() }
    }

    /// A synchronous standby of this server, for which every COMMIT waits from then on.
    pub async fn standby(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if let Some((user, group)) = user() {
            chown(directory.path(), Some(user), Some(group)).unwrap();
        }
        let mut standby = Self::in_directory(directory);
        let source = format!("host=127.0.0.1 port={} user=postgres application_name=standby", self.port);
        let copied = program("pg_basebackup")
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"])
            .arg(standby.data())
            .args(["--dbname", &source])
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        standby.run();
        let primary = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let mut connection = PgConnection::connect(&primary).await.unwrap();
        for statement in ["ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()"]
        {
            sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        }
        standby
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        let promoted = program("pg_ctl").args(["promote", "-s", "-w", "-D"]).arg(self.data()).status();
        assert!(promoted.unwrap().success());
    }

    /// Has clients find it at this port, where something passes them on.
    pub fn behind(&mut self, address: u16) {
        self.address = address;
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts the server where it does not run.
    pub fn run(&mut self) {
        let log =
            fs::File::options().create(true).append(true).open(self.directory.path().join("log")).unwrap();
        let server = program("postgres")
            .arg("-D")
            .arg(self.data())
            .args([
                "-p",
                &self.port.to_string(),
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "max_connections=200",
            ])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", self.directory.path().display()))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(Running(server));
        until("a PostgreSQL that answers", || {
            let asked =
                program("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).status();
            asked.unwrap().success().then_some(())
        });
    }

    /// Stops it as at once, as a power cut would: without a checkpoint.
    pub fn stop(&mut self) {
        let stopped =
            program("pg_ctl").args(["stop", "-s", "-m", "immediate", "-D"]).arg(self.data()).status();
        assert!(stopped.unwrap().success());
        self.server = None;
    }

    /// The URL of one of its databases, for this role.
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.address)
    }

    /// A new database without tables; its name.
    pub async fn empty_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}")).await;
        name
    }

    /// A new database with waxseal's tables; its URL.
    pub async fn database(&self) -> String {
        let url = self.url("postgres", &self.empty_database().await);
        migrate(&settings(&url, "setup")).await.unwrap();
        url
    }

    /// Sends statements to one of its databases.
    pub async fn execute(&self, database: &str, statements: &str) {
        let mut connection = PgConnection::connect(&self.url("postgres", database)).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            // Its own way to end takes its children along.
            let _ = program("pg_ctl").args(["stop", "-s", "-m", "immediate", "-D"]).arg(self.data()).status();
        }
    }
}

/// `[store]` of a node.
pub fn settings(url: &str, node: &str) -> Settings {
    Settings { url: url.into(), node: node.into(), ca_file: None }
}

/// A node's handle.
pub fn node(url: &str, name: &str) -> Database {
    Database::open(&settings(url, name)).unwrap()
}

/// Puts the key there that all nodes have.
pub fn give_key(state: &Path) {
    fs::create_dir_all(state).unwrap();
    fs::write(state.join("store.key"), [7; 32]).unwrap();
    fs::set_permissions(state.join("store.key"), fs::Permissions::from_mode(0o600)).unwrap();
}
