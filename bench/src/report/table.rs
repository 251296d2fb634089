//! Tables in Markdown: what everybody was measured with in a work, and what became of its aims.

use super::aims::{Aim, Verdict};
use super::summary::{Place, Spread, Summary, short};

/// To whom ratios are made: the first of these that did the work.
const BASES: [&str; 2] = ["probe", "stock"];

/// To whom ratios are made in a work.
pub fn base<'a>(summary: Summary<'a>, work: &str) -> Option<&'a str> {
    let peers = summary.peers(work);
    BASES.iter().find_map(|base| peers.iter().find(|peer| *peer == base)).copied()
}

/// Whether so many times as much says something: counts and parts speak for themselves.
fn has_ratio(unit: &str) -> bool {
    !unit.is_empty() && unit != "a log" && !unit.starts_with("% of")
}

/// What was measured of a work: a table for all cases in which the same was measured, at least in part.
pub fn figures(summary: Summary, work: &str) -> String {
    let mut groups: Vec<(Vec<&str>, Vec<Measure>)> = Vec::new();
    for case in summary.cases(work) {
        let measures = summary.measures(work, case);
        let shared = |(_, group): &&mut (_, Vec<Measure>)| measures.iter().any(|measure| group.contains(measure));
        if let Some((cases, group)) = groups.iter_mut().find(shared) {
            cases.push(case);
            group.extend(measures.iter().filter(|measure| !group.contains(measure)).copied().collect::<Vec<_>>());
        } else {
            groups.push((vec![case], measures));
        }
    }
    let tables = groups.iter().map(|(cases, measures)| table(summary, work, cases, measures));
    tables.collect::<Vec<_>>().join("\n")
}

/// What was measured, and in what unit.
type Measure<'a> = (&'a str, &'a str);

/// A row for each case and peer of a work, a column for each measure and one for its ratio.
fn table(summary: Summary, work: &str, cases: &[&str], measures: &[Measure]) -> String {
    let base = base(summary, work);
    let mut head = vec!["case".to_owned(), "who".to_owned()];
    for (measure, unit) in measures {
        head.push(if unit.is_empty() { (*measure).to_owned() } else { format!("{measure}, {unit}") });
        head.extend(base.filter(|_| has_ratio(unit)).map(|base| format!("× {base}")));
    }
    let mut rows = vec![head];
    for case in cases {
        for peer in summary.peers(work) {
            let place = |measure| Place { work, case, peer, measure };
            if measures.iter().all(|(measure, _)| summary.spread(place(measure)).is_none()) {
                continue;
            }
            let mut row = vec![(*case).to_owned(), strong(peer)];
            for (measure, unit) in measures {
                let place = place(measure);
                row.push(cell(summary.spread(place)));
                if let Some(base) = base.filter(|_| has_ratio(unit)) {
                    let ratio = summary.ratio(place, Place { peer: base, ..place });
                    row.push(cell(ratio.filter(|_| peer != base)));
                }
            }
            rows.push(row);
        }
    }
    markdown(&without_empty(rows))
}

/// A row for each aim.
pub fn aims(summary: Summary, aims: &[&Aim]) -> String {
    let mut rows = vec![["work", "aim", "measured", ""].map(str::to_owned).to_vec()];
    for aim in aims {
        let unit = summary.unit(aim.work, aim.measure);
        let measured = aim.measured(summary);
        let row = [
            aim.work.to_owned(),
            aim.text(unit.unwrap_or_default()),
            spread(measured, if aim.is_ratio() { part } else { short }),
            verdict(aim.verdict(measured)),
        ];
        rows.push(row.to_vec());
    }
    markdown(&rows)
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Met => "met".into(),
        Verdict::Equal => "equal".into(),
        Verdict::Missed(times) if times.is_finite() => format!("**missed**: {} × the aim", short(times)),
        Verdict::Missed(_) => "**missed**".into(),
        Verdict::Unknown => "not measured".into(),
    }
}

fn strong(peer: &str) -> String {
    if peer == super::aims::OURS { format!("**{peer}**") } else { peer.to_owned() }
}

/// The median and, where they show as different ones, the ends.
fn cell(measured: Option<Spread>) -> String {
    spread(measured, short)
}

fn spread(measured: Option<Spread>, show: fn(f64) -> String) -> String {
    let Some(Spread { median, least, most }) = measured else { return String::new() };
    let [median, least, most] = [median, least, most].map(show);
    if least == most { median } else { format!("{median} [{least}..{most}]") }
}

/// A ratio as aims have it: small ones as parts of one.
fn part(ratio: f64) -> String {
    if ratio > 0.0 && ratio < 0.5 { format!("1/{}", short(1.0 / ratio)) } else { short(ratio) }
}

/// Leaves out columns in which only the head says something.
fn without_empty(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let width = rows.first().map_or(0, Vec::len);
    let used: Vec<bool> = (0..width).map(|column| rows.iter().skip(1).any(|row| !row[column].is_empty())).collect();
    let keep = |row: Vec<String>| row.into_iter().zip(&used).filter(|(_, used)| **used).map(|(cell, _)| cell).collect();
    rows.into_iter().map(keep).collect()
}

/// Columns of words; all others are numbers.
const WORDS: [&str; 5] = ["case", "who", "work", "aim", ""];

/// The first row is the head.
fn markdown(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        text += &format!("| {} |\n", row.join(" | "));
        if number == 0 {
            let rule = |head: &String| if WORDS.contains(&head.as_str()) { "---" } else { "---:" };
            text += &format!("| {} |\n", row.iter().map(rule).collect::<Vec<_>>().join(" | "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::aims::Against;
    use crate::report::summary::tests::figure;

    #[test]
    fn a_row_for_each_peer_beside_the_base() {
        let figures = [
            figure("W1", "", "xenlog", 1, 1.0),
            figure("W1", "", "probe", 1, 2.0),
            figure("W1", "", "xenlog", 2, 3.0),
            figure("W1", "", "probe", 2, 2.0),
        ];
        assert_eq!(
            super::figures(Summary(&figures), "W1"),
            "| who | CPU, s | × probe |\n| --- | ---: | ---: |\n\
             | **xenlog** | 2 [1..3] | 1 [0.5..1.5] |\n| probe | 2 |  |\n"
        );
    }

    #[test]
    fn small_ratios_are_parts() {
        assert_eq!([0.0, 0.125, 0.5, 2.0].map(part), ["0", "1/8", "0.5", "2"]);
    }

    #[test]
    fn cases_are_told_apart_and_without_a_base_there_is_no_ratio() {
        let figures = [figure("W9", "few", "xenlog", 1, 1.0), figure("W9", "many", "xenlog", 1, 123.4)];
        assert_eq!(
            super::figures(Summary(&figures), "W9"),
            "| case | who | CPU, s |\n| --- | --- | ---: |\n| few | **xenlog** | 1 |\n| many | **xenlog** | 123 |\n"
        );
    }

    #[test]
    fn what_has_nothing_in_common_has_a_table_of_its_own() {
        let mut figures = vec![
            figure("W10", "busy", "xenlog", 1, 1.0),
            figure("W10", "idle", "xenlog", 1, 2.0),
            figure("W10", "busier", "xenlog", 1, 3.0),
        ];
        figures[1].measure = "memory";
        let tables = super::figures(Summary(&figures), "W10");
        let heads: Vec<&str> = tables.lines().filter(|line| line.contains("who")).collect();
        assert_eq!(heads, ["| case | who | CPU, s |", "| case | who | memory, s |"]);
        assert!(tables.find("busier") < tables.find("idle"), "{tables}");
    }

    #[test]
    fn aims_are_told_plainly() {
        let figures = [figure("W1", "", "xenlog", 1, 3.0), figure("W1", "", "probe", 1, 2.0)];
        let aim = |against, at_most| Aim { work: "W1", case: "", measure: "CPU", against, at_most };
        let all = [aim(Against::Peer("probe"), 1.0), aim(Against::Number, 3.0), aim(Against::Peer("conmon"), 1.0)];
        let table = aims(Summary(&figures), &all.iter().collect::<Vec<_>>());
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| W1 | CPU ≤ 1 × probe | 1.5 | **missed**: 1.5 × the aim |",
                "| W1 | CPU ≤ 3 s | 3 | met |",
                "| W1 | CPU ≤ 1 × conmon |  | not measured |"
            ]
        );
    }
}
