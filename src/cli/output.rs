//! Printing: aligned tables in a terminal, tab-separated lines in a pipe, JSON where asked.

use super::{
    colour::{self, Tone},
    progress,
};
use crate::config::ConfigErrors;
use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

/// `EX_CONFIG` of sysexits.h: the configuration is wrong.
const EX_CONFIG: u8 = 78;

/// Prints a line. A closed pipe (`waxseal queue list | head`) is no failure.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Says what went wrong.
pub(super) fn complain(text: &str) {
    progress::clear();
    let _ = writeln!(io::stderr().lock(), "waxseal: {text}");
}

/// Says what is wrong with the configuration, as it is: every message names its file. Exit code 78.
pub(super) fn complain_of_config(errors: &ConfigErrors) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "{errors}");
    ExitCode::from(EX_CONFIG)
}

/// Octets for people: `28.6 MiB`.
pub(super) fn people_size(octets: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = octets as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{octets} B") } else { format!("{size:.1} {}", units[unit]) }
}

/// Prints JSON for programs.
pub(super) fn say_json(value: &serde_json::Value) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Prints rows under a head line.
pub(super) fn say_table(head: &[&str], rows: &[Vec<String>]) {
    if io::stdout().is_terminal() {
        say(&aligned(head, rows, colour::is_wanted()));
    } else {
        for row in rows {
            say(&row.join("\t"));
        }
    }
}

/// States are what stands below `state`, or below no name at all.
fn aligned(head: &[&str], rows: &[Vec<String>], in_colour: bool) -> String {
    let is_state: Vec<bool> = head.iter().map(|cell| ["state", ""].contains(cell)).collect();
    let head: Vec<String> = head.iter().map(|cell| cell.to_uppercase()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let width =
        |column: usize| all().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String], in_colour: bool| {
        let cell = |((cell, width), is_state): ((&String, &usize), &bool)| {
            let cell = format!("{cell:width$}");
            if in_colour && *is_state { colour::state(&cell) } else { cell }
        };
        let cells: Vec<String> = row.iter().zip(&widths).zip(&is_state).map(cell).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let head = line(&head, false);
    let head = if in_colour { colour::paint(Tone::Heading, &head) } else { head };
    std::iter::once(head).chain(rows.iter().map(|row| line(row, in_colour))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (octets, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (30_002_459, "28.6 MiB")] {
            assert_eq!(people_size(octets), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".into(), "long cell".into()], vec!["bbbb".into(), "x".into()]];
        assert_eq!(aligned(&["id", "what"], &rows, false), "ID    WHAT\na     long cell\nbbbb  x");
    }

    #[test]
    fn a_colour_takes_no_room_and_is_for_states_alone() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["failed", "held", "x"]), row(["b", "delivering", "y"])];
        let plain = "ID      STATE       TO\nfailed  held        x\nb       delivering  y";
        let head = ["id", "state", "to"];
        assert_eq!(aligned(&head, &rows, false), plain);
        let painted = plain
            .replace("ID      STATE       TO", "\x1b[1mID      STATE       TO\x1b[0m")
            .replace("held        x", "\x1b[33mheld      \x1b[0m  x");
        assert_eq!(aligned(&head, &rows, true), painted);
    }
}
