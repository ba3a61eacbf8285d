//! The command line of sendmail(8), as its callers have written it for forty years. Pure.
//!
//! Short options come alone or clustered (`-ti`), their arguments attached or as the next word (`-ffoo`, `-f foo`).
//! The first word that is no option, or `--`, ends them. What has no meaning for a relay is taken and passed over, but
//! always together with its argument: the recipients behind it must stay recipients.

use crate::mail::{EnvelopeId, Notify, Ret};
use std::path::PathBuf;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `-bm`: a message on standard input.
    #[default]
    Submit,
    /// `-bs`: SMTP on standard input and output.
    Smtp,
    /// `-bp`, `mailq`: list the queue.
    ListQueue,
    /// `-q…`: send what waits, now.
    Flush,
    /// `-bi`, `-I`, `newaliases`: nothing, aliases are read as they are.
    Aliases,
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// A command line as understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// What is to be done.
    pub mode: Mode,
    /// `-t`: recipients are in the header section.
    pub extract: bool,
    /// `-i`, `-oi`: a line of one dot does not end the message.
    pub ignore_dots: bool,
    /// `-f`, `-r`: the sender as typed; empty or `<>` is the null reverse-path.
    pub sender: Option<String>,
    /// `-F`: the sender's name.
    pub full_name: Option<String>,
    /// `-N`.
    pub notify: Option<Notify>,
    /// `-R`.
    pub ret: Option<Ret>,
    /// `-V`.
    pub envid: Option<EnvelopeId>,
    /// `-v`: say what became of the message.
    pub verbose: bool,
    /// `-C`, `--config`: another configuration file.
    pub config: Option<PathBuf>,
    /// `-oA`: another file of aliases.
    pub aliases: Option<PathBuf>,
    /// What stands behind the options.
    pub operands: Vec<String>,
}

/// A command line that makes no sense, in a sentence (`EX_USAGE`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// What an option takes.
enum Takes {
    Nothing,
    /// An argument, attached or the next word.
    Argument,
    /// An argument only where it is attached.
    Attached,
}

/// Reads the words behind the program's name. `called` is that name: `mailq` and `newaliases` are modes of their own.
///
/// # Errors
/// A sentence that names the option.
pub fn parse(called: &str, words: impl IntoIterator<Item = String>) -> Result<Options, UsageError> {
    let mut options = Options {
        mode: match called {
            "mailq" => Mode::ListQueue,
            "newaliases" => Mode::Aliases,
            _ => Mode::Submit,
        },
        ..Options::default()
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            options.long(long, &mut words)?;
        } else if let Some(cluster) = word.strip_prefix('-').filter(|cluster| !cluster.is_empty()) {
            options.cluster(cluster, &mut words)?;
        } else {
            options.operands.push(word);
            break;
        }
    }
    options.operands.extend(words);
    Ok(options)
}

impl Options {
    fn long(&mut self, long: &str, words: &mut impl Iterator<Item = String>) -> Result<(), UsageError> {
        match long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value))) {
            ("config", value) => {
                let path = value.map(str::to_owned).or_else(|| words.next());
                let path = path.ok_or_else(|| UsageError("--config wants a path".into()))?;
                self.config = Some(path.into());
            }
            ("help", None) => self.mode = Mode::Help,
            ("version", None) => self.mode = Mode::Version,
            _ => return Err(unknown(&format!("--{long}"))),
        }
        Ok(())
    }

    fn cluster(&mut self, cluster: &str, words: &mut impl Iterator<Item = String>) -> Result<(), UsageError> {
        let mut rest = cluster.chars();
        while let Some(option) = rest.next() {
            let attached = rest.as_str();
            match takes(option).ok_or_else(|| unknown(&format!("-{option}")))? {
                Takes::Nothing => self.flag(option),
                Takes::Attached => return self.set(option, attached, words),
                Takes::Argument if !attached.is_empty() => return self.set(option, attached, words),
                Takes::Argument => {
                    let Some(argument) = words.next() else {
                        return Err(UsageError(format!("-{option} wants an argument")));
                    };
                    return self.set(option, &argument, words);
                }
            }
        }
        Ok(())
    }

    fn flag(&mut self, option: char) {
        match option {
            't' => self.extract = true,
            'i' => self.ignore_dots = true,
            'v' => self.verbose = true,
            'I' => self.mode = Mode::Aliases,
            '?' => self.mode = Mode::Help,
            _ => {}
        }
    }

    fn set(
        &mut self,
        option: char,
        argument: &str,
        words: &mut impl Iterator<Item = String>,
    ) -> Result<(), UsageError> {
        match option {
            'f' | 'r' => self.sender = Some(argument.to_owned()),
            'F' => self.full_name = Some(argument.to_owned()),
            'C' => self.config = Some(argument.into()),
            'N' => {
                let help = "-N takes never, or a list of success, failure and delay";
                self.notify = Some(argument.parse().map_err(|_| UsageError(help.into()))?);
            }
            'R' => {
                let help = "-R takes full or hdrs";
                self.ret = Some(argument.parse().map_err(|_| UsageError(help.into()))?);
            }
            'V' => {
                let help = "-V takes an envelope id: at most 100 printable characters of ASCII";
                let id = argument.parse().ok().or_else(|| EnvelopeId::new(argument).ok());
                self.envid = Some(id.ok_or_else(|| UsageError(help.into()))?);
            }
            'q' => self.mode = Mode::Flush,
            'b' => self.mode = mode(argument)?,
            'o' if argument == "i" => self.ignore_dots = true,
            'o' if argument == "A" => self.aliases = words.next().map(PathBuf::from),
            'o' if argument.starts_with('A') => self.aliases = Some(argument[1..].into()),
            'o' if takes_a_word_of_its_own(argument) => drop(words.next()),
            _ => {}
        }
        Ok(())
    }
}

fn takes(option: char) -> Option<Takes> {
    Some(match option {
        't' | 'i' | 'v' | 'I' | '?' | 'G' | 'U' | 'n' | 'm' | 'c' | 'x' => Takes::Nothing,
        'f' | 'r' | 'F' | 'C' | 'N' | 'R' | 'V' | 'b' | 'o' => Takes::Argument,
        'A' | 'B' | 'e' | 'h' | 'L' | 'M' | 'O' | 'p' | 'X' => Takes::Argument,
        'q' | 'd' | 'D' => Takes::Attached,
        _ => return None,
    })
}

fn mode(argument: &str) -> Result<Mode, UsageError> {
    Ok(match argument {
        "m" => Mode::Submit,
        "s" => Mode::Smtp,
        "p" => Mode::ListQueue,
        "i" => Mode::Aliases,
        "d" | "D" => {
            let help = "-bd does not start a daemon here: `systemctl start waxseal` or `waxseal serve` does";
            return Err(UsageError(help.into()));
        }
        _ => {
            let help = format!("-b{argument} is not supported; -bm, -bs, -bp and -bi are");
            return Err(UsageError(help));
        }
    })
}

/// Options of Exim's that are followed by their value as a word. sendmail's own `-oM` has it attached.
fn takes_a_word_of_its_own(argument: &str) -> bool {
    ["P", "X", "Ma", "Maa", "Mai", "Mas", "Mi", "Mm", "Mr", "Ms", "Mt"].contains(&argument)
}

fn unknown(option: &str) -> UsageError {
    UsageError(format!("unknown option {option}; `waxseal sendmail --help` lists them"))
}

/// What `--help` prints.
pub const HELP: &str = "\
usage: waxseal sendmail [options] [recipient ...] < message

Hands a message to the waxseal of this host. Also when invoked as sendmail, mailq (-bp) or newaliases (-bi).

  -t           recipients from To, Cc and Bcc, besides those named; Bcc is always taken out
  -i, -oi      a line of one dot does not end the message
  -f, -r ADDR  the sender; \"\" or \"<>\" for the null reverse-path
  -F NAME      the sender's name, for a message without From
  -N WISH      notify: never, or of success, failure, delay
  -R full|hdrs what a notification returns
  -V ID        envelope id, for notifications
  -bm          take a message (the default)
  -bs          SMTP on standard input and output
  -bp          list the queue
  -bi          nothing: /etc/aliases is read as it is
  -oA FILE     another file of aliases
  -q[...]      send what waits in the queue, now
  -v           say what became of the message
  -C, --config FILE   another configuration than /etc/waxseal/waxseal.toml
  --           ends the options

-A -B -D -d -e -G -h -L -M -m -n -O -o -p -U -X -c -x are taken, with their arguments, and passed over.
Exit codes are those of sysexits.h; docs/sendmail.md has them.
";

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
