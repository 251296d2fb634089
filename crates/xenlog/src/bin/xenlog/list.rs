//! `xenlog list`: every log there is.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use logproto::{Owner, State};
use serde::Serialize;
use xenlog::Places;
use xenlog::counters::{ConsoleCounters, Counters, HypervisorCounters, Status};
use xenlog::logs::{self, Info, Usage};
use xenstore::Client;

use crate::failure::{Failure, say};
use crate::visible;

/// How long the store may take for an answer.
pub const STORE_WAIT: Duration = Duration::from_secs(10);

/// Show every log: whose it is, its file, how large it is and may get, and what the daemon says
#[derive(Debug, clap::Args)]
pub struct List {
    /// As JSON, for programs: docs/man/xenlog.1.md has the fields
    #[arg(long)]
    json: bool,
}

/// Shows every log.
pub fn run(list: &List, places: &Places) -> Result<(), Failure> {
    let mut store = Client::connect(&places.store, STORE_WAIT)?;
    let is_daemon = logs::daemon_runs(&mut store)?;
    if !is_daemon {
        say("no log daemon runs: nothing is being logged");
    }
    let found = logs::all(&mut store)?;
    // A daemon that is no more, or an older one, has no counts to show; the logs are shown all the same.
    let status = Status::ask(&places.run_dir).unwrap_or_default();
    let text = if list.json { json(is_daemon, &found, &status) } else { table(&found, &status) };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

#[derive(Serialize)]
struct All<'a> {
    daemon: bool,
    logs: Vec<Row<'a>>,
    consoles: Vec<WithSize<&'a ConsoleCounters>>,
    hypervisor: Option<WithSize<&'a HypervisorCounters>>,
}

/// What the daemon says of something, and what its log takes on the disk.
#[derive(Serialize)]
struct WithSize<T> {
    #[serde(flatten)]
    said: T,
    size: Option<u64>,
    total: Option<u64>,
}

impl<T> WithSize<T> {
    fn new(said: T, usage: Option<Usage>) -> WithSize<T> {
        WithSize { said, size: usage.map(|usage| usage.file), total: usage.map(|usage| usage.total) }
    }
}

/// A log as JSON.
#[derive(Serialize)]
struct Row<'a> {
    owner: &'static str,
    domid: Option<u16>,
    domain: Option<&'a str>,
    id: &'a str,
    entry: String,
    file: Option<String>,
    pipe: Option<String>,
    size: Option<u64>,
    total: Option<u64>,
    limit: Option<u64>,
    copies: Option<u64>,
    policy: Option<&'a str>,
    timestamp: Option<&'a str>,
    state: Option<&'static str>,
    error: Option<String>,
    #[serde(rename = "in")]
    taken: Option<u64>,
    dropped: Option<u64>,
    gaps: Option<u64>,
    waiting: Option<u64>,
    trouble: Option<&'a str>,
}

fn json(daemon: bool, found: &[Info], status: &Status) -> String {
    let all = All {
        daemon,
        logs: found.iter().map(|info| row(info, status.logs.get(&info.key.path()))).collect(),
        consoles: status.consoles.iter().map(|said| WithSize::new(said, usage(said.file.as_deref()))).collect(),
        hypervisor: status.hypervisor.as_ref().map(|said| WithSize::new(said, usage(Some(&said.file)))),
    };
    // Plain strings and numbers always are JSON.
    let mut text = serde_json::to_string_pretty(&all).expect("strings and numbers");
    text.push('\n');
    text
}

/// What the log of a console or the hypervisor takes: how many copies it has is the daemon's business.
fn usage(file: Option<&str>) -> Option<Usage> {
    file.map(Path::new).filter(|file| file.is_absolute()).and_then(|file| logs::usage(file, None))
}

fn row<'a>(info: &'a Info, counters: Option<&'a Counters>) -> Row<'a> {
    let Info { key, domain_name, .. } = info;
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let domid = match key.owner {
        Owner::Host => None,
        Owner::Domain(domid) => Some(domid.number()),
    };
    Row {
        owner: if domid.is_some() { "domain" } else { "host" },
        domid,
        domain: domain_name.as_deref(),
        id: &key.name,
        entry: key.path(),
        file: info.file.as_ref().map(text),
        pipe: info.pipe.as_ref().map(text),
        size: info.usage.map(|usage| usage.file),
        total: info.usage.map(|usage| usage.total),
        limit: info.limit,
        copies: info.copies,
        policy: info.policy.as_deref(),
        timestamp: info.timestamp.as_deref(),
        state: info.state.as_ref().map(State::word),
        error: refusal(info),
        taken: counters.map(|counters| counters.taken),
        dropped: counters.map(|counters| counters.dropped),
        gaps: counters.map(|counters| counters.gaps),
        waiting: counters.map(|counters| counters.waiting),
        trouble: counters.and_then(|counters| counters.trouble.as_deref()),
    }
}

fn refusal(info: &Info) -> Option<String> {
    match &info.state {
        Some(State::Error(refusal)) => Some(refusal.to_string()),
        _ => None,
    }
}

fn table(found: &[Info], status: &Status) -> String {
    const HEAD: [&str; 9] = ["OWNER", "ID", "SIZE", "TOTAL", "LIMIT", "COPIES", "DROPPED", "STATE", "FILE"];
    /// The columns that are numbers.
    const RIGHT: std::ops::Range<usize> = 2..7;
    let mut rows: Vec<Vec<String>> = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|info| cells(info, status.logs.get(&info.key.path()))));
    rows.extend(status.consoles.iter().map(console));
    rows.extend(status.hypervisor.iter().map(hypervisor));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let blank = " ".repeat(width - cell.chars().count());
            let (before, after) = if RIGHT.contains(&column) { (&blank[..], "") } else { ("", &blank[..]) };
            text += &format!("{}{before}{cell}{after}", if column > 0 { "  " } else { "" });
        }
        text.truncate(text.trim_end_matches(' ').len());
        // What is wrong stands behind the columns.
        text += row.get(HEAD.len()).map_or("", |error| error);
        text.push('\n');
    }
    text
}

fn cells(info: &Info, counters: Option<&Counters>) -> Vec<String> {
    let owner = match info.key.owner {
        Owner::Host => "host".to_owned(),
        Owner::Domain(domid) => domain(domid.number(), info.domain_name.as_deref()),
    };
    let file = info.file.as_ref().map(|file| visible::line(&file.to_string_lossy()));
    vec![
        owner,
        visible::line(&info.key.name),
        or(info.usage.map(|usage| bytes(usage.file)), "-"),
        or(info.usage.map(|usage| bytes(usage.total)), "-"),
        or(info.limit.map(bytes), "default"),
        or(info.copies.map(|copies| copies.to_string()), "default"),
        or(counters.map(|counters| bytes(counters.dropped)), "-"),
        info.state.as_ref().map_or("waiting", State::word).to_owned(),
        or(file, "-"),
        behind(wrong(info, counters).as_slice()),
    ]
}

/// A console's row: what it lost is what its terminal did, and its log.
fn console(said: &ConsoleCounters) -> Vec<String> {
    let usage = usage(said.file.as_deref());
    let counted = |number: u64, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let log = said.log.as_ref();
    let notes = [
        (said.backlog > 0).then(|| format!("{} wait for a reader", bytes(said.backlog))),
        counted(said.held, "times held back"),
        counted(said.corrupt, "times corrupt"),
        log.and_then(|log| log.trouble.clone()),
    ];
    vec![
        domain(said.domid, said.name.as_deref()),
        said.id().to_owned(),
        or(usage.map(|usage| bytes(usage.file)), "-"),
        or(usage.map(|usage| bytes(usage.total)), "-"),
        "default".to_owned(),
        "default".to_owned(),
        bytes(said.dropped.saturating_add(log.map_or(0, |log| log.dropped))),
        if said.tty.is_some() { "ready" } else { "waiting" }.to_owned(),
        or(said.file.as_deref().map(visible::line), "-"),
        behind(&notes.into_iter().flatten().collect::<Vec<_>>()),
    ]
}

fn hypervisor(said: &HypervisorCounters) -> Vec<String> {
    let usage = usage(Some(&said.file));
    vec![
        "host".to_owned(),
        "hypervisor".to_owned(),
        or(usage.map(|usage| bytes(usage.file)), "-"),
        or(usage.map(|usage| bytes(usage.total)), "-"),
        "default".to_owned(),
        "default".to_owned(),
        bytes(said.log.dropped.saturating_add(said.overrun)),
        "ready".to_owned(),
        visible::line(&said.file),
        behind(said.log.trouble.as_slice()),
    ]
}

fn domain(domid: u16, name: Option<&str>) -> String {
    name.map_or_else(|| domid.to_string(), |name| format!("{domid} {}", visible::line(name)))
}

fn or(value: Option<String>, absent: &str) -> String {
    value.unwrap_or_else(|| absent.to_owned())
}

/// What stands behind the columns.
fn behind(notes: &[String]) -> String {
    if notes.is_empty() { String::new() } else { format!("  ({})", visible::line(&notes.join("; "))) }
}

/// What is wrong with a log: why it was refused, or why it cannot be written.
fn wrong(info: &Info, counters: Option<&Counters>) -> Option<String> {
    refusal(info).or_else(|| counters.and_then(|counters| counters.trouble.clone()))
}

/// A number of bytes for a person: exact where it is short, else in units of 1024 with one digit after the point.
/// Rounded down, so that what is within a bound never looks as if it had reached it.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    let unit = (0..UNITS.len()).rfind(|unit| number >> (10 * unit) > 0).unwrap_or(0);
    let (whole, rest) = (number >> (10 * unit), number & ((1 << (10 * unit)) - 1));
    let tenths = (u128::from(rest) * 10) >> (10 * unit);
    if rest == 0 { format!("{whole}{}", UNITS[unit]) } else { format!("{whole}.{tenths}{}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    use logproto::{Code, EntryKey, Refusal};

    fn info(owner: Owner, name: &str) -> Info {
        Info {
            key: EntryKey { owner, name: name.into() },
            domain_name: None,
            pipe: Some("/run/xen/p".into()),
            file: Some("/var/log/xen/a.log".into()),
            limit: None,
            copies: None,
            policy: None,
            timestamp: None,
            state: None,
            usage: None,
        }
    }

    #[test]
    fn the_table_is_aligned_and_harmless() {
        let dom = Owner::Domain("12".parse().unwrap());
        let refusal = Refusal::new(Code::BadFile, "/libxl/12/logging/q/file: no");
        let usage = Some(Usage { file: 1000, total: 1 << 20 });
        let found = [
            Info { state: Some(State::Ready), limit: Some(65536), copies: Some(4), usage, ..info(Owner::Host, "xl") },
            Info { domain_name: Some("v\x1bm".into()), state: Some(State::Error(refusal)), ..info(dom, "q") },
        ];
        let counters = Counters { taken: 9000, dropped: 2048, gaps: 1, waiting: 0, trouble: Some("disk full".into()) };
        let logs = HashMap::from([(found[0].key.path(), counters)]);
        assert_eq!(
            table(&found, &Status { logs, ..Status::default() }).lines().collect::<Vec<_>>(),
            [
                "OWNER        ID  SIZE  TOTAL    LIMIT   COPIES  DROPPED  STATE  FILE",
                "host         xl  1000     1M      64K        4       2K  ready  /var/log/xen/a.log  (disk full)",
                "12 v\\u{1b}m  q      -      -  default  default        -  error  /var/log/xen/a.log  \
                 (bad-file: /libxl/12/logging/q/file: no)",
            ]
        );
    }

    #[test]
    fn nothing_is_a_head_without_rows() {
        let head = "OWNER  ID  SIZE  TOTAL  LIMIT  COPIES  DROPPED  STATE  FILE\n";
        assert_eq!(table(&[], &Status::default()), head);
    }

    #[test]
    fn sizes_are_for_people() {
        for (number, text) in
            [(0, "0"), (1023, "1023"), (1024, "1K"), (1536, "1.5K"), ((1 << 20) - 1, "1023.9K"), (u64::MAX, "15.9E")]
        {
            assert_eq!(bytes(number), text);
        }
    }
}
