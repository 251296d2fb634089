//! `xenlog list`: every log there is.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use logproto::{Owner, State};
use serde::Serialize;
use xenlog::Places;
use xenlog::counters::{self, Counters};
use xenlog::logs::{self, Info};
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
    let counted = counters::all(&places.run_dir).unwrap_or_default();
    let text = if list.json { json(is_daemon, &found, &counted) } else { table(&found, &counted) };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

#[derive(Serialize)]
struct All<'a> {
    daemon: bool,
    logs: Vec<Row<'a>>,
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

fn json(daemon: bool, found: &[Info], counted: &HashMap<String, Counters>) -> String {
    let all = All { daemon, logs: found.iter().map(|info| row(info, counted.get(&info.key.path()))).collect() };
    // Plain strings and numbers always are JSON.
    let mut text = serde_json::to_string_pretty(&all).expect("strings and numbers");
    text.push('\n');
    text
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

fn table(found: &[Info], counted: &HashMap<String, Counters>) -> String {
    const HEAD: [&str; 9] = ["OWNER", "ID", "SIZE", "TOTAL", "LIMIT", "COPIES", "DROPPED", "STATE", "FILE"];
    /// The columns that are numbers.
    const RIGHT: std::ops::Range<usize> = 2..7;
    let mut rows: Vec<Vec<String>> = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|info| cells(info, counted.get(&info.key.path()))));
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
    let owner = match (info.key.owner, &info.domain_name) {
        (Owner::Host, _) => "host".to_owned(),
        (Owner::Domain(domid), None) => domid.to_string(),
        (Owner::Domain(domid), Some(name)) => format!("{domid} {}", visible::line(name)),
    };
    let or = |value: Option<String>, absent: &str| value.unwrap_or_else(|| absent.to_owned());
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
        wrong(info, counters).map_or(String::new(), |wrong| format!("  ({})", visible::line(&wrong))),
    ]
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
    use logproto::{Code, EntryKey, Refusal};
    use xenlog::logs::Usage;

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
        let counted = HashMap::from([(found[0].key.path(), counters)]);
        assert_eq!(
            table(&found, &counted).lines().collect::<Vec<_>>(),
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
        assert_eq!(table(&[], &HashMap::new()), head);
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
