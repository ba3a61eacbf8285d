"""The tables of docs/smtp.md, made of the scripts' heads and of references.json."""

import itertools
import os
import re

from base import ROOT, ensure

PAGE = os.path.join(ROOT, "docs", "smtp.md")
COLUMNS = ("postfix", "exim", "waxseal")
HARDENED = "postfix-hardened"
VERBS = re.compile(r"(?i)(EHLO|HELO|MAIL|RCPT|DATA|BDAT|RSET|NOOP|QUIT|VRFY|EXPN|HELP|AUTH|STARTTLS|XCLIENT)\b|\(")
SHORTEST = 72  # characters of a line that are shown


def code(text):
    """Text as code in a cell of a table. Control characters, which no cell can hold, are shown as escapes."""
    text = re.sub(r"[\x00-\x1f\x7f]", lambda match: repr(match[0])[1:-1], text).replace("|", "\\|")
    fence = "``" if "`" in text else "`"
    return f"{fence} {text} {fence}" if fence == "``" else f"`{text}`"


def plain(text):
    return text.replace("|", "\\|")


def shortened(text, limit=SHORTEST):
    return text if len(text) <= limit else text[:limit - 1] + "…"


def brief(reply):
    """Code and enhanced code of a reply."""
    match = re.match(r"(\d{3})[ -](\d\.\d+\.\d+)?", reply)
    return " ".join(filter(None, match.groups())) if match else reply


def good(replies):
    """One reply, and a willing one."""
    return len(replies) == 1 and re.match(r"[23]", replies[0]) is not None


def steps(recorded):
    """What a server said to each step, by the step's name and which of that name it is. What it was sent as commands
    because it had refused DATA is left out."""
    found, refused, seen = {}, False, {}
    for name, replies in recorded["dialogue"]:
        if name == "DATA":
            refused = not good(replies)
        elif VERBS.match(name):
            refused = False
        elif refused:
            continue
        seen[name] = seen.get(name, 0) + 1
        found[name, seen[name]] = replies
    return found


def order(columns):
    """All steps of all columns, in the order in which they were sent."""
    keys = []
    for found in columns:
        at = 0
        for key in found:
            if key in keys:
                at = keys.index(key) + 1
            else:
                keys.insert(at, key)
                at += 1
    return keys


def cell(answers):
    """What a server said to one line, or to a row of the same lines. None is a line that it did not get."""
    if all(answer is None for answer in answers):
        return "–"
    said = []
    for answer in answers:
        if answer is not None:
            said += [brief(reply) for reply in answer] or ["nothing"]
    runs = [(text, len(list(same))) for text, same in itertools.groupby(said)]
    return ", ".join(text if count == 1 else f"{text} ×{count}" for text, count in runs)


def telling(columns):
    """(line, cells) for the lines whose answers are worth telling: not all of them willing."""
    keys = order(columns)
    # Lines that are the same one after the other are told of together.
    for name, group in itertools.groupby(keys, key=lambda key: key[0]):
        group = list(group)
        answers = [[found.get(key) for key in group] for found in columns]
        if name == "(greeting)":
            continue
        if any(answer is not None and not good(answer) for column in answers for answer in column):
            yield name, [cell(column) for column in answers]


def outcome(recorded):
    messages = recorded["messages"]
    text = f"{len(messages) or 'no'} message" + ("" if len(messages) == 1 else "s")
    for kept in sorted({message["kept"] for message in messages if "kept" in message}):
        text += f", {kept}"
    return text + {"after QUIT": "", "closed by the server": "; closes", "left open": "; stays open"}[recorded["ended"]]


ADDED = re.compile(r"(?i)(Date: NOW|Message-ID: <ID@relay\.test>|From: (a@example\.com|MAILER-DAEMON))\\r\\n")


def contents(recorded):
    """What was passed on, less what each server adds where it is missing."""
    return [ADDED.sub("", message.get("content", "")) for message in recorded["messages"] if "kept" not in message]


def envelopes(recorded, asked):
    """Who it was passed on for. Postfix puts an ORCPT everywhere; it counts where the client had one."""
    def one(line):
        line = line if asked else re.sub(r" ORCPT=rfc822;\S*", "", line)
        path, _, parameters = re.sub(r"(?i)^(MAIL FROM|RCPT TO):", "", line).partition("> ")
        return " ".join([path + ">" * bool(parameters), *sorted(parameters.split())])
    return [" ".join(map(one, [message["mail"], *message["rcpt"]])) for message in recorded["messages"]
            if "kept" not in message]


def excerpt(text, at):
    start = max(at - 12, 0)
    return ("…" if start else "") + shortened(text[start:], 48)


def passed_on(per_column):
    """Cells that show where what was passed on differs, or None where it does not."""
    firsts = [column[0] if column else None for column in per_column]
    there = [first for first in firsts if first is not None]
    if len(set(there)) < 2:
        return None
    at = len(os.path.commonprefix(there))
    # Not in the middle of an escape.
    while at and there[0][:at].endswith("\\"):
        at -= 1
    return ["–" if first is None else code(excerpt(first, at)) for first in firsts]


def rows(script, recorded):
    """(line, cells of the columns) for one script."""
    def of(server):
        return recorded[server]

    asked = b"ORCPT" in script.sent.upper()
    servers = [name for name in (*COLUMNS, HARDENED) if name in recorded]
    lines = [(code(shortened(name)) if not name.startswith("(") else name.strip("()"), cells)
             for name, cells in telling([steps(of(server)) for server in servers])]
    lines.append(("*taken*", [outcome(of(server)) for server in servers]))
    for title, values in (("*passed on*", [contents(of(server)) for server in servers]),
                          ("*envelope*", [envelopes(of(server), asked) for server in servers])):
        if cells := passed_on(values):
            lines.append((title, cells))
    for title, cells in lines:
        said = dict(zip(servers, cells))
        if HARDENED in said and said[HARDENED] != said["postfix"]:
            said["postfix"] += f"<br>*hardened:* {said[HARDENED]}"
        yield title, [said[column] for column in COLUMNS]


def rfc(text):
    return "RFC " + text


def table(chosen, kept, kind):
    out = ["| Case | The client's line | Postfix 3.7 | Exim 4.96 | waxseal | Why |", "|---|---|---|---|---|---|"]
    for script in chosen:
        if script.head["kind"] != kind or script.name not in kept["scripts"]:
            continue
        head = script.head
        case = (f"{plain(head['what'])} *{plain(head['who'])}.* {rfc(plain(head['rfc']))}. "
                f"[{script.name}](../tests/dialogues/{script.name}.txt)")
        why = plain(head["why"])
        for title, cells in rows(script, kept["scripts"][script.name]):
            out.append("| " + " | ".join([case, title, *cells, why]) + " |")
            case = why = ""
    return "\n".join(out)


def apart_from_daemon(script, recorded):
    """For a script that the real daemon cannot follow, what the script itself says."""
    if "apart" not in script.head:
        return recorded
    replies = iter(script.whole_replies())
    dialogue = []
    for name, said in recorded["waxseal"]["dialogue"]:
        answer = next(replies, None)
        dialogue.append([name, [answer[-1]] if answer else []])
    return recorded | {"waxseal": recorded["waxseal"] | {"dialogue": dialogue}}


def page(chosen, kept):
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    kept = kept | {"scripts": {script.name: apart_from_daemon(script, kept["scripts"][script.name])
                               for script in chosen if script.name in kept["scripts"]}}
    kinds = re.findall(r"<!-- table: (\w+) -->", text)
    for script in chosen:
        ensure(script.head["kind"] in kinds, f"docs/smtp.md has no table for the kind {script.head['kind']}")
    for kind in kinds:
        text = re.sub(rf"(<!-- table: {kind} -->\n).*?(<!-- end of table -->)",
                      lambda match: match[1] + table(chosen, kept, kind) + "\n" + match[2], text, count=1, flags=re.S)
    return text


def write(chosen, kept):
    text = page(chosen, kept)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)


def is_stale(chosen, kept):
    with open(PAGE, encoding="utf-8") as file:
        return file.read() != page(chosen, kept)
