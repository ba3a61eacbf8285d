//! `waxseal man` and `waxseal completions`: made of what `--help` is made of, and of the configuration's reference.

mod reference;
mod roff;

use super::{
    arguments::Arguments,
    output::{complain, say},
};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The reference of the configuration, as it is shipped.
const REFERENCE: &str = include_str!("../../config/waxseal.toml");
const CREATED: &str = "written";

/// What is in no help text: the same at the end of every page of section 1.
const EXIT_STATUS: &str = "0 done; 1 failed; 2 usage; 69 the daemon or a server is not to be had; 75 temporary \
    failure; 78 the configuration is wrong.";
const NO_COLOR: &str =
    "where it is set to anything, states have no colours at a terminal; elsewhere they never have any";
const FILES: [(&str, &str); 4] = [
    ("/etc/waxseal/waxseal.toml", "the configuration: waxseal.toml(5)"),
    ("/etc/waxseal/conf.d/*.toml", "read after it, in the order of their names"),
    ("/var/lib/waxseal", "queue, history and token store; the control socket"),
    ("/var/spool/waxseal", "where sendmail(8) leaves mail while the daemon is down"),
];

pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "waxseal", &mut text);
    say(String::from_utf8_lossy(&text).trim_end());
    ExitCode::SUCCESS
}

pub(super) fn man(directory: &Path) -> ExitCode {
    match write_pages(directory) {
        Ok(pages) => {
            say(&format!("{pages} pages {CREATED} below {}", directory.display()));
            ExitCode::SUCCESS
        }
        Err((path, error)) => {
            complain(&format!("{} cannot be {CREATED}: {error}", path.display()));
            ExitCode::FAILURE
        }
    }
}

/// How many there are.
fn write_pages(directory: &Path) -> Result<usize, (PathBuf, io::Error)> {
    let mut count = 0;
    for (name, text) in pages().map_err(|error| (directory.to_owned(), error))? {
        let section = name.rsplit('.').next().unwrap_or_default();
        let below = directory.join(format!("man{section}"));
        fs::create_dir_all(&below).map_err(|error| (below.clone(), error))?;
        let path = below.join(&name);
        fs::write(&path, text).map_err(|error| (path, error))?;
        count += 1;
    }
    Ok(count)
}

/// All pages, by the names of their files.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Arguments::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    collect(&root, "waxseal", &mut pages)?;
    let text = roff::page(
        "waxseal.toml",
        5,
        "configuration of the SMTP relay proxy",
        &reference::sections(REFERENCE),
    );
    pages.push(("waxseal.toml.5".to_owned(), text.into_bytes()));
    Ok(pages)
}

fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    // What is shown at the end of `--help` has a section of its own in a page.
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let shown = command.clone().after_help("");
    let man = clap_mangen::Man::new(shown).title(name).section("1").manual("waxseal").source("");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut page)?;
    }
    let mut tail = String::new();
    let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
    if !below.is_empty() {
        roff::heading(&mut tail, "COMMANDS");
        for command in &below {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            roff::item(&mut tail, &format!("{name}-{}(1)", command.get_name()), &about);
        }
    }
    if let Some(lines) = examples.strip_prefix("Examples:\n") {
        roff::heading(&mut tail, "EXAMPLES");
        roff::verbatim(&mut tail, lines);
    }
    roff::heading(&mut tail, "EXIT STATUS");
    roff::paragraph(&mut tail, EXIT_STATUS);
    roff::heading(&mut tail, "ENVIRONMENT");
    roff::item(&mut tail, "NO_COLOR", NO_COLOR);
    roff::heading(&mut tail, "FILES");
    for (path, what) in FILES {
        roff::item(&mut tail, path, what);
    }
    roff::heading(&mut tail, "SEE ALSO");
    roff::paragraph(
        &mut tail,
        if name == "waxseal" { "waxseal.toml(5)" } else { "waxseal(1), waxseal.toml(5)" },
    );
    page.extend_from_slice(tail.as_bytes());
    pages.push((format!("{name}.1"), page));
    for command in below {
        collect(command, &format!("{name}-{}", command.get_name()), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_an_example() {
        fn walk(command: &Command, name: &str, seen: &mut Vec<String>) {
            let below: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
            if below.is_empty() {
                let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(examples.starts_with("Examples:\n  "), "{name} has no example");
            }
            seen.push(format!("{name}.1"));
            below.iter().for_each(|command| walk(command, &format!("{name}-{}", command.get_name()), seen));
        }
        let mut wanted = Vec::new();
        walk(&Arguments::command(), "waxseal", &mut wanted);
        wanted.push("waxseal.toml.5".to_owned());
        let names: Vec<String> = pages().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, wanted);
    }

    #[test]
    fn every_key_of_the_configuration_is_in_its_page() {
        let pages = pages().unwrap();
        let text = String::from_utf8(pages.last().unwrap().1.clone()).unwrap();
        for key in ["hostname", "clients", "client_secret_expires", "through_timeout", "public_url", "keep"] {
            assert!(text.contains(&format!("\\fB{key}\\fR")), "{key}\n{text}");
        }
    }

    #[test]
    fn completions_know_the_commands() {
        let mut text = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Arguments::command(), "waxseal", &mut text);
        assert!(String::from_utf8(text).unwrap().contains("admin-url"));
    }
}
