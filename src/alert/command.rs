//! `[alert] command`: a program that gets the event as one JSON object on its standard input.

use super::notice::{Key, Notice};
use crate::mail::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    time::timeout,
};

/// How long the program may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it sees of our environment, which holds secrets as well.
const ENVIRONMENT: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ"];

/// How a program ended.
#[derive(Debug)]
enum End {
    Exited(ExitStatus),
    Killed,
}

/// The object that goes to the program.
pub(super) fn object(notice: &Notice, host: &str) -> String {
    let time = |millis| Timestamp::from_millis(millis).to_string();
    serde_json::json!({
        "event": notice.key.event.as_str(),
        "phase": notice.phase.as_str(),
        "account": notice.key.account.as_ref().map(|account| account.as_str()),
        "since": time(notice.since),
        "explanation": notice.explanation,
        "remedy": notice.remedy,
        "host": host,
        "at": time(notice.at),
    })
    .to_string()
}

/// Runs the program to its end and logs that, whatever it is.
pub(super) async fn run(command: Vec<String>, key: Key, object: String) {
    let event = key.event.as_str();
    let account = key.account.as_ref().map_or("", |account| account.as_str());
    match end_of(&command, &object, PATIENCE).await {
        Ok(End::Exited(status)) if status.success() => {
            tracing::info!(target: "waxseal::alert", event, account, %status, "alert command ended");
        }
        Ok(End::Exited(status)) => {
            tracing::warn!(target: "waxseal::alert", event, account, %status, "alert command failed");
        }
        Ok(End::Killed) => {
            let status = "killed: it did not end in time";
            tracing::warn!(target: "waxseal::alert", event, account, status, "alert command failed");
        }
        Err(error) => {
            tracing::warn!(target: "waxseal::alert", event, account, %error, "alert command cannot be run");
        }
    }
}

async fn end_of(command: &[String], object: &str, patience: Duration) -> io::Result<End> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let kept = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(kept)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    match timeout(patience, talk(&mut child, object)).await {
        Ok(status) => status.map(End::Exited),
        Err(_) => {
            // With all that it started.
            if let Some(group) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.kill().await?;
            Ok(End::Killed)
        }
    }
}

async fn talk(child: &mut Child, object: &str) -> io::Result<ExitStatus> {
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read has its reasons; its end says more.
        let _ = stdin.write_all(format!("{object}\n").as_bytes()).await;
    }
    child.wait().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::AccountId,
        alert::notice::{Event, Phase},
    };

    fn shell(script: &str, arguments: &[&str]) -> Vec<String> {
        ["/bin/sh", "-c", script].iter().chain(arguments).map(ToString::to_string).collect()
    }

    #[test]
    fn the_object_says_what_is_known() {
        let notice = Notice {
            key: Key::of(Event::Failing, &AccountId::new("support")),
            phase: Phase::Begins,
            since: 0,
            at: 60_000,
            explanation: "The account support cannot send: \"no\"\r\nhere.".into(),
            remedy: "Do it.".into(),
        };
        let object: serde_json::Value = serde_json::from_str(&object(&notice, "relay.example.com")).unwrap();
        let wanted = serde_json::json!({
            "event": "account_failing",
            "phase": "begins",
            "account": "support",
            "since": "1970-01-01T00:00:00Z",
            "explanation": "The account support cannot send: \"no\"\r\nhere.",
            "remedy": "Do it.",
            "host": "relay.example.com",
            "at": "1970-01-01T00:01:00Z",
        });
        assert_eq!(object, wanted);
    }

    #[tokio::test]
    async fn the_program_reads_the_object_and_little_of_our_environment() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("told");
        let script = "cat > \"$1\"; env >> \"$1\"; exit 3";
        let command = shell(script, &["sh", &file.display().to_string()]);
        let end = end_of(&command, "{\"a\":1}", PATIENCE).await.unwrap();
        assert!(matches!(end, End::Exited(status) if status.code() == Some(3)), "{end:?}");
        let told = std::fs::read_to_string(&file).unwrap();
        assert!(told.starts_with("{\"a\":1}\n"), "{told}");
        assert!(std::env::vars_os().any(|(name, _)| name == "CARGO_PKG_NAME"));
        assert!(!told.contains("CARGO_"), "{told}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let command = shell("sleep 1000 & echo $! > \"$1\"; wait", &["sh", &file.display().to_string()]);
        let end = end_of(&command, "{}", Duration::from_secs(1)).await.unwrap();
        assert!(matches!(end, End::Killed), "{end:?}");
        let sleeper: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        // Gone, or a zombie that nobody has waited for.
        while std::fs::read_to_string(format!("/proc/{sleeper}/stat")).is_ok_and(|s| !s.contains(") Z ")) {
            assert!(std::time::Instant::now() < deadline, "process {sleeper} lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_or_does_not_exist_does_no_harm() {
        let large = "x".repeat(1 << 20);
        assert!(matches!(end_of(&shell("exit 0", &[]), &large, PATIENCE).await.unwrap(), End::Exited(_)));
        assert!(end_of(&["/nowhere/program".to_owned()], "{}", PATIENCE).await.is_err());
        assert!(end_of(&[], "{}", PATIENCE).await.is_err());
    }
}
