//! The control socket: `state_dir/control.sock`, for whoever the file's mode lets in.

use super::{
    protocol::{Answer, Request},
    service::Service,
};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// A request longer than this is none. Room for the tokens of some thousands of accounts on their way in.
const REQUEST_LIMIT: u64 = 16 << 20;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[error("the control socket {path} cannot be made: {source}")]
pub struct ControlError {
    path: PathBuf,
    source: io::Error,
}

/// Makes the socket and serves it until `stop`. A socket that an earlier run left behind is replaced: the queue's lock
/// has shown already that no other daemon lives here.
///
/// # Errors
/// Where the socket cannot be made.
pub fn serve_control(
    path: &Path,
    service: Arc<Service>,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + use<>, ControlError> {
    let failed = |source| ControlError { path: path.to_owned(), source };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    let path = path.to_owned();
    Ok(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(converse(stream, service.clone(), stop.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(target: "waxseal::admin", %error, "control socket");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                },
            }
        }
        let _ = fs::remove_file(path);
    })
}

/// One request and its answers.
async fn converse(stream: UnixStream, service: Arc<Service>, stop: CancellationToken) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read.take(REQUEST_LIMIT));
    let mut line = String::new();
    if !read.read_line(&mut line).await.is_ok_and(|octets| octets > 0) {
        return;
    }
    let (progress, mut answers) = mpsc::channel(4);
    let work = async {
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => service.answer(request, &progress).await,
            Err(error) => Answer::Failed {
                message: format!(
                    "the daemon does not know this request ({error}); it may be of another version"
                ),
                exit_code: 1,
            },
        };
        let _ = progress.send(answer).await;
    };
    let tell = async {
        while let Some(answer) = answers.recv().await {
            let last = !matches!(answer, Answer::Progress(_));
            let Ok(mut line) = serde_json::to_vec(&answer) else { return };
            line.push(b'\n');
            if write.write_all(&line).await.is_err() || last {
                return;
            }
        }
    };
    // A client that goes away ends its request: nobody would hear the answer.
    let mut rest = [0u8; 1];
    tokio::select! {
        ((), ()) = async { tokio::join!(work, tell) } => {}
        _ = read.read(&mut rest) => {}
        () = stop.cancelled() => {}
    }
}
