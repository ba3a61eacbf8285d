//! Local users: who may log in at a listener, and how a password is held against theirs. Pure, and slow where it has to
//! be: an argon2 hash takes milliseconds and megabytes.

use super::ApplicationId;
use argon2::{Argon2, Params, PasswordHash, PasswordVerifier};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// KiB of memory that one login may take. RFC 9106 §4 has 64 MiB for where memory is short.
const MOST_MEMORY: u32 = 256 * 1024;

/// A local credential, `[user.ID]`.
#[derive(Debug, Clone)]
pub struct User {
    /// Its id.
    pub id: Arc<str>,
    /// The name that it logs in with; compared without regard to ASCII case.
    pub username: String,
    /// The password, or its hash.
    pub password: LocalPassword,
    /// The application that its mail belongs to.
    pub application: Option<ApplicationId>,
}

/// What a local user's password is held against. `Debug` shows neither form.
#[derive(Debug, Clone)]
pub enum LocalPassword {
    /// The password itself.
    Plain(SecretString),
    /// Its argon2 hash, a PHC string.
    Hashed(SecretString),
}

/// Why a text that starts like an argon2 hash is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It is no PHC string of argon2 with salt and hash.
    #[error("the argon2 hash is cut short or damaged")]
    Damaged,
    /// It is one, and would take too much memory at each login.
    #[error("the argon2 hash takes {0} MiB of memory at each login, and 256 MiB are the most")]
    TooHeavy(u32),
}

impl LocalPassword {
    /// Takes what the configuration has: a text that starts with `$argon2` is a hash, any other the password.
    ///
    /// # Errors
    /// A hash that cannot be used.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        if !text.starts_with("$argon2") {
            return Ok(Self::Plain(text.to_owned().into()));
        }
        let hash = PasswordHash::new(text).map_err(|_| HashError::Damaged)?;
        let known = ["argon2id", "argon2i", "argon2d"].contains(&hash.algorithm.as_str());
        if !known || hash.salt.is_none() || hash.hash.is_none() {
            return Err(HashError::Damaged);
        }
        let params = Params::try_from(&hash).map_err(|_| HashError::Damaged)?;
        if params.m_cost() > MOST_MEMORY {
            return Err(HashError::TooHeavy(params.m_cost() / 1024));
        }
        Ok(Self::Hashed(text.to_owned().into()))
    }

    /// Whether it is a hash.
    pub fn is_hashed(&self) -> bool {
        matches!(self, Self::Hashed(_))
    }

    /// Whether `given` is the password. How long that takes does not tell how much of it is right.
    fn matches(&self, given: &SecretString) -> bool {
        let given = given.expose_secret().as_bytes();
        match self {
            Self::Plain(password) => {
                // Codes are compared and not passwords, so that neither content nor length shows in the time taken.
                let key = hmac::Key::new(hmac::HMAC_SHA256, b"waxseal");
                let code = hmac::sign(&key, password.expose_secret().as_bytes());
                hmac::verify(&key, given, code.as_ref()).is_ok()
            }
            Self::Hashed(hash) => PasswordHash::new(hash.expose_secret())
                .is_ok_and(|hash| Argon2::default().verify_password(given, &hash).is_ok()),
        }
    }

    /// Memory and passes, which together are what a login costs.
    fn weight(&self) -> u64 {
        let Self::Hashed(hash) = self else { return 0 };
        let params =
            PasswordHash::new(hash.expose_secret()).ok().and_then(|hash| Params::try_from(&hash).ok());
        params.map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
    }
}

/// All local users.
#[derive(Debug, Clone, Default)]
pub struct Users {
    users: Vec<User>,
    /// The hash that costs the most. What fails without one is held against it, to no effect, so that the time taken
    /// does not tell which users there are.
    decoy: Option<LocalPassword>,
}

impl Users {
    /// Takes them. Of two with the same name the first one counts; `config::load` refuses them.
    pub fn new(users: Vec<User>) -> Self {
        let hashed = users.iter().map(|user| &user.password).filter(|password| password.is_hashed());
        let decoy = hashed.max_by_key(|password| password.weight()).cloned();
        Self { users, decoy }
    }

    /// All of them.
    pub fn all(&self) -> &[User] {
        &self.users
    }

    /// The user with this id.
    pub fn get(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| &*user.id == id)
    }

    /// The user with this name.
    pub fn named(&self, username: &str) -> Option<&User> {
        self.users.iter().find(|user| user.username.eq_ignore_ascii_case(username))
    }

    /// The user with this name and this password. Takes as long as a hash does.
    pub fn verify(&self, username: &str, password: &SecretString) -> Option<&User> {
        let user = self.named(username);
        if let Some(user) = user.filter(|user| user.password.matches(password)) {
            return Some(user);
        }
        if let Some(decoy) =
            self.decoy.as_ref().filter(|_| user.is_none_or(|user| !user.password.is_hashed()))
        {
            let _ = decoy.matches(password);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::{Algorithm, PasswordHasher, Version, password_hash::SaltString};

    fn hash(algorithm: Algorithm, memory: u32, password: &str) -> String {
        let params = Params::new(memory, 1, 1, None).unwrap();
        let salt = SaltString::from_b64("c29tZXNhbHQ").unwrap();
        let argon2 = Argon2::new(algorithm, Version::V0x13, params);
        argon2.hash_password(password.as_bytes(), &salt).unwrap().to_string()
    }

    fn user(id: &str, password: &str) -> User {
        let password = LocalPassword::parse(password).unwrap();
        User { id: id.into(), username: id.to_owned(), password, application: None }
    }

    #[test]
    fn the_right_password_of_the_right_user_and_no_other() {
        let forms = [
            "ink".to_owned(),
            hash(Algorithm::Argon2id, 16, "ink"),
            hash(Algorithm::Argon2i, 8, "ink"),
            hash(Algorithm::Argon2d, 8, "ink"),
        ];
        for form in forms {
            let users = Users::new(vec![user("printer", &form), user("scanner", "toner")]);
            let verify = |name: &str, password: &str| {
                users.verify(name, &password.to_owned().into()).map(|user| user.id.to_string())
            };
            assert_eq!(verify("printer", "ink").as_deref(), Some("printer"), "{form}");
            assert_eq!(verify("Printer", "ink").as_deref(), Some("printer"), "devices capitalize");
            for (name, password) in [
                ("printer", "Ink"),
                ("printer", ""),
                ("printer", "ink "),
                ("printer", "toner"),
                ("printer", form.strip_prefix("ink").unwrap_or(&form)),
                ("scanner", "ink"),
                ("nobody", "ink"),
                ("", ""),
            ] {
                assert_eq!(verify(name, password), None, "{form} {name} {password}");
            }
        }
    }

    #[test]
    fn hashes_are_recognised_and_judged() {
        let good = hash(Algorithm::Argon2id, 16, "ink");
        assert!(LocalPassword::parse(&good).unwrap().is_hashed());
        assert!(!LocalPassword::parse("argon2").unwrap().is_hashed());
        let cases = [
            (good[..good.len() - 50].to_owned(), HashError::Damaged),
            (good.replace("argon2id", "argon2x"), HashError::Damaged),
            (good.replace("m=16", "m=x"), HashError::Damaged),
            ("$argon2".to_owned(), HashError::Damaged),
            (good.replace("m=16", "m=2097152"), HashError::TooHeavy(2048)),
        ];
        for (text, wanted) in cases {
            assert_eq!(LocalPassword::parse(&text).err(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn the_decoy_is_the_heaviest_hash() {
        let users = [("a", "plain".to_owned()), ("b", hash(Algorithm::Argon2id, 32, "x"))];
        let heavy = hash(Algorithm::Argon2d, 64, "y");
        let all = users.iter().map(|(id, form)| user(id, form)).chain([user("c", &heavy), user("d", "z")]);
        let decoy = Users::new(all.collect()).decoy.unwrap();
        assert!(matches!(decoy, LocalPassword::Hashed(hash) if hash.expose_secret() == heavy));
        assert!(Users::new(vec![user("a", "plain")]).decoy.is_none());
    }

    #[test]
    fn nothing_of_a_password_shows() {
        let hash = hash(Algorithm::Argon2id, 16, "canary");
        let users = Users::new(vec![user("a", "canary"), user("b", &hash)]);
        let shown = format!("{users:?}");
        assert!(!shown.contains("canary") && !shown.contains("argon2id$"), "{shown}");
    }
}
