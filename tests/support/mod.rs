//! The real binary on loopback: a house with its configuration and state, the daemon in it, its command line.
#![allow(dead_code, reason = "every test binary takes what it needs")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

pub mod browser;
pub mod client;
pub mod console;
pub mod events;
pub mod faulty;
pub mod keys;
pub mod nodes;
pub mod postgres;
pub mod queue;
pub mod recorder;
#[allow(clippy::duplicate_mod, reason = "some test binaries have `scripted`, too")]
pub mod server;
pub mod terminal;
pub mod tls;
pub mod token_server;

use secrecy::ExposeSecret as _;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use waxseal::sandbox::{SandboxOptions, SandboxProvider};

/// What is waited for comes within this, or the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks until it sees something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not seen in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port of 127.0.0.1 that nobody listens on. Below those that the system gives to outgoing connections, so that none
/// takes it before the daemon does.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(15_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The binary, with nothing in its environment.
pub fn waxseal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// The sandbox provider with a runtime of its own, so that tests read from top to bottom.
pub struct Provider {
    sandbox: SandboxProvider,
    // Dropped last.
    _runtime: tokio::runtime::Runtime,
}

impl Provider {
    pub fn start(options: SandboxOptions) -> Self {
        events::record();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sandbox = runtime.block_on(SandboxProvider::start(options)).unwrap();
        Self { sandbox, _runtime: runtime }
    }

    /// Waits until so many messages have arrived in all.
    pub fn arrivals(&self, count: usize) -> Vec<waxseal::sandbox::Received> {
        until(&format!("{count} arrivals"), || Some(self.received()).filter(|all| all.len() >= count))
    }
}

impl Deref for Provider {
    type Target = SandboxProvider;

    fn deref(&self) -> &SandboxProvider {
        &self.sandbox
    }
}

/// What a command of the CLI came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Standard output of a command that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout
    }
}

/// Runs a command to its end, which has to come in time.
pub fn run(command: &mut Command) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let (out, err) = (directory.path().join("out"), directory.path().join("err"));
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let mut child = Running(command.spawn().unwrap());
    let status = child.wait();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    Ran { code: status.code().unwrap_or(-1), stdout: read(&out), stderr: read(&err) }
}

/// The next address or code that `account authorize` shows.
pub fn indented(lines: &mut impl Iterator<Item = String>) -> String {
    lines.find_map(|line| line.strip_prefix("  ").map(str::to_owned)).unwrap()
}

/// A child that does not outlive the test.
pub struct Running(pub Child);

impl Running {
    /// Its end, which has to come in time.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let id = self.0.id();
        until(&format!("the end of process {id}"), || self.0.try_wait().unwrap())
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// `kill -9`, and the end of it.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory with a configuration and a state, and the ports that belong to it.
pub struct House {
    pub directory: tempfile::TempDir,
    pub smtp: SocketAddr,
    pub admin: SocketAddr,
}

impl Drop for House {
    fn drop(&mut self) {
        events::keep(&self.log());
    }
}

impl House {
    pub fn new() -> Self {
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self { directory: tempfile::tempdir().unwrap(), smtp: address(), admin: address() }
    }

    /// A house for mail to this provider, whose authority it trusts.
    pub fn beside(provider: &Provider) -> Self {
        let house = Self::new();
        provider.write_ca(&house.path("ca.pem")).unwrap();
        house
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub fn config(&self) -> PathBuf {
        self.path("waxseal.toml")
    }

    /// Writes the configuration: the house's own part, and `rest`. `extra` goes into the `[[listener]]`.
    pub fn configure_with(&self, level: &str, extra: &str, rest: &str) {
        // With a server at hand, every house is one node.
        let store = server::settings_for(&self.path("postgresql")).filter(|_| !rest.contains("[store]"));
        let store = store.map_or_else(String::new, |store| {
            if !self.state().join("store.key").exists() {
                postgres::give_key(&self.state());
            }
            format!("\n[store]\nurl = \"{}\"\nnode = \"one\"\n", store.url.expose_secret())
        });
        let text = format!(
            "hostname = \"relay.example.com\"\nstate_dir = \"{}\"\n\n[[listener]]\naddress = \"{}\"\n{extra}\n\
             [admin]\naddress = \"{}\"\n\n[log]\nformat = \"text\"\nlevel = \"{level}\"\n{store}\n\
             [queue]\nretry = [\"1s\"]\nmin_free = \"1MiB\"\n\n{rest}",
            self.state().display(),
            self.smtp,
            self.admin,
        );
        fs::write(self.config(), text).unwrap();
    }

    pub fn configure(&self, rest: &str) {
        self.configure_with("info", "", rest);
    }

    /// Lets the console be reached by the address that it listens on.
    pub fn with_console(&self) {
        let text = fs::read_to_string(self.config()).unwrap();
        let address = format!("address = \"{}\"\n", self.admin);
        let public = format!("{address}public_url = \"http://{}\"\n", self.admin);
        fs::write(self.config(), text.replace(&address, &public)).unwrap();
    }

    /// An account of type basic, for `domain`.
    pub fn basic(&self, provider: &Provider, id: &str, domain: &str) -> String {
        let options = provider.options();
        format!(
            "[account.{id}]\ntype = \"basic\"\ndomain = \"{domain}\"\nusername = \"{}\"\npassword = \"{}\"\n{}",
            options.username,
            options.password,
            self.server(provider)
        )
    }

    /// An account of type oauth2, for `domain`.
    pub fn oauth(&self, provider: &Provider, id: &str, domain: &str) -> String {
        let options = provider.options();
        format!(
            "[account.{id}]\ntype = \"oauth2\"\ndomain = \"{domain}\"\nusername = \"{}\"\nclient_id = \"{}\"\n\
             client_secret = \"{}\"\nauthorization_endpoint = \"{}\"\ntoken_endpoint = \"{}\"\n\
             scope = \"mail offline_access\"\n{}",
            options.username,
            options.client_id,
            options.client_secret.as_deref().unwrap(),
            provider.authorization_endpoint(),
            provider.token_endpoint(),
            self.server(provider)
        )
    }

    /// The lines that say where its mail goes.
    pub fn server(&self, provider: &Provider) -> String {
        let (smtp, ca) = (provider.smtp_address(), self.path("ca.pem"));
        format!("address = \"{}\"\nport = {}\nca_file = \"{}\"\n", smtp.ip(), smtp.port(), ca.display())
    }

    /// Starts the daemon, and waits until it is ready.
    #[track_caller]
    pub fn serve(&self) -> Running {
        self.serve_in(&[])
    }

    /// As [`House::serve`], with this in the daemon's environment.
    #[track_caller]
    pub fn serve_in(&self, environment: &[(&str, &str)]) -> Running {
        let log = |name: &str| fs::File::options().create(true).append(true).open(self.path(name)).unwrap();
        let child = waxseal()
            .args(["serve", "--config"])
            .arg(self.config())
            .envs(environment.iter().copied())
            .stdout(log("daemon.out"))
            .stderr(log("daemon.log"))
            .spawn()
            .unwrap();
        let mut daemon = Running(child);
        until("a daemon that is ready", || {
            if let Some(status) = daemon.0.try_wait().unwrap() {
                panic!("the daemon ended with {status}:\n{}", self.log());
            }
            browser::get(&format!("http://{}/readyz", self.admin)).ok().filter(|page| page.status == 200)
        });
        daemon
    }

    /// All that daemons of this house have logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("daemon.log")).unwrap_or_default()).into_owned()
    }

    /// Waits for a line of the log that contains all of `parts`.
    #[track_caller]
    pub fn log_line(&self, parts: &[&str]) -> String {
        until(&format!("a log line with {parts:?}"), || {
            self.log().lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        })
    }

    /// Runs a command of the CLI.
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        run(waxseal().args(arguments).arg("--config").arg(self.config()))
    }

    /// What a command with `--json` prints.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.cli(&[arguments, &["--json"]].concat()).ok()).unwrap()
    }

    /// An account as `account list` shows it.
    #[track_caller]
    pub fn account(&self, id: &str) -> serde_json::Value {
        let all = self.json(&["account", "list"]);
        all.as_array().unwrap().iter().find(|account| account["id"] == id).expect("listed").clone()
    }

    /// Waits until an account is in this state.
    #[track_caller]
    pub fn account_becomes(&self, id: &str, state: &str) -> serde_json::Value {
        until(&format!("account {id} {state}"), || {
            Some(self.account(id)).filter(|account| account["state"] == state)
        })
    }

    /// Waits until the only message in the queue is in this state.
    #[track_caller]
    pub fn message_becomes(&self, state: &str) -> serde_json::Value {
        until(&format!("one message {state}"), || {
            let all = self.json(&["queue", "list"]);
            let all = all.as_array().unwrap();
            (all.len() == 1 && all[0]["state"] == state).then(|| all[0].clone())
        })
    }

    /// Waits until the queue is empty.
    #[track_caller]
    pub fn queue_empties(&self) {
        until("an empty queue", || {
            (self.json(&["queue", "list"]).as_array().unwrap().is_empty()).then_some(())
        });
    }

    /// Starts `account authorize`; what it prints comes line by line.
    pub fn begin(&self, id: &str, options: &[&str]) -> (Running, impl Iterator<Item = String> + use<>) {
        let mut child: Child = waxseal()
            .args(["account", "authorize", id, "--no-browser", "--config"])
            .arg(self.config())
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        (Running(child), lines)
    }

    /// Generate Tokens, with the test as the person at the browser. Returns all that the command printed.
    #[track_caller]
    pub fn authorize(&self, id: &str) -> String {
        let mut child = waxseal()
            .args(["account", "authorize", id, "--no-browser", "--config"])
            .arg(self.config())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut child = Running(child);
        let mut printed = String::new();
        // The command ends by itself where it cannot begin.
        let url = lines.by_ref().find_map(|line| {
            printed.push_str(&line);
            printed.push('\n');
            line.trim().starts_with("http").then(|| line.trim().to_owned())
        });
        let page = browser::follow(&url.expect("a consent URL")).unwrap();
        assert_eq!(page.status, 200, "{}", page.body);
        for line in lines {
            printed.push_str(&line);
            printed.push('\n');
        }
        assert!(child.wait().success(), "{printed}");
        printed
    }
}
