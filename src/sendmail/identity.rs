//! Who calls, and on which host.

use super::aliases::Aliases;
use crate::mail::Domain;
use std::{fs, path::Path};

/// Where Debian keeps the domain of mail from this host.
const MAILNAME: &str = "/etc/mailname";
const PASSWD: &str = "/etc/passwd";
const ALIASES: &str = "/etc/aliases";

/// A user of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub login: String,
    /// The full name; empty where none is known.
    pub full_name: String,
}

/// The user that this process runs for.
pub fn user() -> User {
    let passwd =
        fs::read(PASSWD).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
    let said = ["LOGNAME", "USER"].iter().find_map(|name| std::env::var(name).ok());
    user_of(&passwd, rustix::process::getuid().as_raw(), said.as_deref())
}

/// Several names may belong to one number: `said`, the environment's word, counts where it is one of them, or where
/// passwd(5) has none (users of a directory service).
fn user_of(passwd: &str, uid: u32, said: Option<&str>) -> User {
    let entries: Vec<(&str, &str)> = passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (login, number, gecos) = (fields.next()?, fields.nth(1)?, fields.nth(1)?);
            (number.parse() == Ok(uid)).then_some((login, gecos))
        })
        .collect();
    let named = entries.iter().find(|(login, _)| Some(*login) == said);
    if let Some((login, gecos)) = named.or(entries.first()) {
        return User { login: (*login).to_owned(), full_name: full_name(login, gecos) };
    }
    let plain = |name: &&str| {
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let login = said.filter(plain).map_or_else(|| format!("uid{uid}"), str::to_owned);
    User { login, full_name: String::new() }
}

/// The first part of GECOS; `&` in it is the login name with a capital.
fn full_name(login: &str, gecos: &str) -> String {
    let name = gecos.split(',').next().unwrap_or_default();
    let mut capital = login.to_owned();
    if let Some(first) = capital.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name.replace('&', &capital)
}

/// The name of this host: `configured`, else the system's.
pub fn hostname(configured: Option<&str>) -> String {
    let system = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = configured.map_or_else(system, str::to_owned);
    if Domain::parse(&name).is_ok() { name } else { "localhost".into() }
}

/// What stands behind the `@` of a name of this host: the same whoever calls, so what everybody may read comes before
/// the configuration.
pub fn domain(hostname: &str) -> String {
    mailname(Path::new(MAILNAME)).unwrap_or_else(|| hostname.to_owned())
}

fn mailname(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let name = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Domain::parse(name).is_ok().then(|| name.to_owned())
}

/// The aliases of this host, or those in another file.
pub fn aliases(path: Option<&Path>) -> Aliases {
    let octets = fs::read(path.unwrap_or(Path::new(ALIASES))).unwrap_or_default();
    Aliases::parse(&String::from_utf8_lossy(&octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0:Toor &,,,:/root:/bin/sh\n\
            jane:x:1000:1000:Jane Q. Doe,Room 1,,:/home/jane:/bin/sh\nbroken line\nodd:x:y:0::/:\n";
        let cases = [
            (0, None, "root", "root"),
            (0, Some("toor"), "toor", "Toor Toor"),
            (0, Some("jane"), "root", "root"),
            (1000, Some("root"), "jane", "Jane Q. Doe"),
            (4711, Some("ldap.user"), "ldap.user", ""),
            (4711, Some("a@b\r\n"), "uid4711", ""),
            (4711, None, "uid4711", ""),
        ];
        for (uid, said, login, name) in cases {
            let wanted = User { login: login.into(), full_name: name.into() };
            assert_eq!(user_of(passwd, uid, said), wanted, "{uid} {said:?}");
        }
    }

    #[test]
    fn the_domain_of_this_host() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mailname");
        assert_eq!(mailname(&path), None);
        for (text, wanted) in
            [("example.com\n", Some("example.com")), ("# x\n\n a.b \n", Some("a.b")), ("a b\n", None)]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(mailname(&path).as_deref(), wanted, "{text:?}");
        }
        assert_eq!(
            (hostname(Some("x.example")).as_str(), hostname(Some("a b")).as_str()),
            ("x.example", "localhost")
        );
    }
}
