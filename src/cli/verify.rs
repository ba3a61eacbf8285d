//! `waxseal queue verify`.

use super::{
    colour,
    output::{complain, people_size, say, say_json},
    progress::ProgressLine,
    queue::look,
};
use crate::admin::protocol::{FindingView, Request, VerifyView};
use std::{path::Path, process::ExitCode};

pub(super) fn verify(config: Option<&Path>, json: bool) -> ExitCode {
    let line = ProgressLine::new("reading the queue");
    let answer = look(config, &Request::QueueVerify, &mut |value| line.show(value));
    drop(line);
    let value = match answer {
        Ok(value) => value,
        Err(code) => return code,
    };
    let Ok(view) = serde_json::from_value::<VerifyView>(value.clone()) else {
        complain("the daemon's answer is of another version");
        return ExitCode::FAILURE;
    };
    if json {
        say_json(&value);
    } else {
        say(&totals(&view));
        view.findings
            .iter()
            .for_each(|finding| say(&format!("{}{}", colour::shown("DAMAGED"), damage(finding))));
        say(&colour::shown(&verdict(&view)));
    }
    if view.sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn totals(view: &VerifyView) -> String {
    let mut lines = vec![
        format!("messages       {}", view.messages),
        format!("journal        {} segments, {}", view.segments, people_size(view.journal_octets)),
        format!(
            "records        {} receipts, {} statuses, {} departures",
            view.receipts, view.statuses, view.departures
        ),
        format!(
            "content files  {}, {}, {} held against their checksum",
            view.content_files,
            people_size(view.content_octets),
            view.checksums
        ),
    ];
    if view.leftovers > 0 {
        let what = "of no message: being received just now, or cleared away at the next start";
        lines.push(format!("leftovers      {} content files {what}", view.leftovers));
    }
    if view.torn_octets > 0 {
        let what = "octets that were being written when the power went, never acknowledged";
        lines.push(format!("torn tails     {} {what}", view.torn_octets));
    }
    lines.join("\n")
}

fn damage(finding: &FindingView) -> String {
    let offset = finding.offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
    let message = finding.id.as_ref().map(|id| format!(", message {id}")).unwrap_or_default();
    format!("  {}{offset}{message}: {}", finding.file, finding.meaning)
}

fn verdict(view: &VerifyView) -> String {
    match view.damaged {
        0 => "sound".to_owned(),
        damaged if damaged > view.findings.len() => {
            format!("{damaged} places are damaged; the first {} are shown", view.findings.len())
        }
        1 => "one place is damaged".to_owned(),
        damaged => format!("{damaged} places are damaged"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_file_offset_message_and_meaning() {
        let finding = FindingView {
            file: "journal/0000000001.wxj".into(),
            offset: Some(16),
            id: Some("1N85GP5PM0000".into()),
            problem: "no_receipt".into(),
            meaning: "it is lost".into(),
        };
        let line = "  journal/0000000001.wxj at offset 16, message 1N85GP5PM0000: it is lost";
        assert_eq!(damage(&finding), line);
    }
}
