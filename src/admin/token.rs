//! The admin token: `state_dir/admin.token`, made at first start, for the daemon's user alone. Only its digest is kept in
//! memory, so that comparing takes no care and nothing can show it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{Digest, SHA256, digest};
use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};
use zeroize::Zeroizing;

/// Its file in the state directory.
const NAME: &str = "admin.token";

/// What whoever asks over HTTP has to know.
#[derive(Clone, Copy)]
pub struct AdminToken(Digest);

impl AdminToken {
    /// Reads the token, or makes one.
    ///
    /// # Errors
    /// Where the file cannot be read or made, is empty, or may be read by others.
    pub fn load_or_make(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => {
                let mode = fs::metadata(&path)?.permissions().mode() & 0o7777;
                if mode & 0o077 != 0 {
                    let problem = format!("it may be read by others (mode {mode:04o}): chmod 600 it");
                    return Err(io::Error::other(problem));
                }
                Zeroizing::new(text)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => make(&path)?,
            Err(error) => return Err(error),
        };
        match text.trim() {
            "" => Err(io::Error::other("it is empty: remove it, and a new one is made")),
            token => Ok(Self::of(token)),
        }
    }

    fn of(token: &str) -> Self {
        Self(digest(&SHA256, token.as_bytes()))
    }

    /// Whether a request's `Authorization` field has it (RFC 6750 §2.1).
    pub(super) fn is_in(&self, authorization: &str) -> bool {
        let Some((scheme, token)) = authorization.split_once(' ') else { return false };
        scheme.eq_ignore_ascii_case("Bearer") && self.is(token.trim())
    }

    /// Whether this is it.
    pub(super) fn is(&self, token: &str) -> bool {
        Self::of(token).0.as_ref() == self.0.as_ref()
    }
}

fn make(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut octets = Zeroizing::new([0; 32]);
    getrandom::fill(octets.as_mut_slice()).map_err(|_| io::Error::other("the system gives no randomness"))?;
    let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(octets.as_slice()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", *token)?;
    file.sync_all()?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_kept_and_for_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        AdminToken::load_or_make(directory.path()).unwrap();
        let path = directory.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let token = AdminToken::load_or_make(directory.path()).unwrap();
        assert!(token.is_in(&format!("bearer {text}")) && token.is_in(&format!("Bearer {}", text.trim())));
        for wrong in ["", "Bearer", "Bearer ", "Bearer x", text.trim(), &format!("Basic {text}")] {
            assert!(!token.is_in(wrong), "{wrong}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(AdminToken::load_or_make(directory.path()).is_err());
    }
}
