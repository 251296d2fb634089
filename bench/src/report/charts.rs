//! Which plots there are, and of what.

use super::aims::OURS;
use super::plot::{self, Bar, Series};
use super::summary::{Place, Summary};

/// The plot of a work.
struct Chart {
    work: &'static str,
    title: &'static str,
    shows: Shows,
}

/// What a plot shows.
enum Shows {
    /// A measure of everybody.
    Bars(&'static str),
    /// Measures against the number in the name of the case.
    Lines { axis: &'static str, unit: &'static str, series: &'static [Line] },
}

/// A line: its name, how its cases begin, who, and what.
struct Line(&'static str, &'static str, &'static str, &'static str);

const fn bars_of(work: &'static str, title: &'static str, measure: &'static str) -> Chart {
    Chart { work, title, shows: Shows::Bars(measure) }
}

const CHARTS: &[Chart] = &[
    bars_of("W1", "one log at full speed", "cpu"),
    bars_of("W2", "lines one by one", "cpu"),
    bars_of("W3", "many logs at once", "cpu"),
    bars_of("W4", "idle logs: memory", "pss"),
    bars_of("W5", "from a write to a line in the file", "p50"),
    bars_of("W6", "the most that a flood took on disk", "most"),
    bars_of("W7", "from the start to the first lines of all logs", "wall"),
    bars_of("W8", "lines at times of their own", "cpu"),
    Chart {
        work: "W9",
        title: "until entries are ready",
        shows: Shows::Lines {
            axis: "entries (logarithmic)",
            unit: "µs for each entry (logarithmic)",
            series: &[
                Line("until all are ready", "", OURS, "an entry"),
                Line("CPU of the daemon", "", OURS, "daemon cpu"),
                Line("CPU of the store", "", OURS, "store cpu"),
            ],
        },
    },
    Chart {
        work: "W10",
        title: "guests' consoles",
        shows: Shows::Lines {
            axis: "guests (logarithmic)",
            unit: "µs of CPU for each event (logarithmic)",
            series: &[
                Line("xenlog, flood", "flood", OURS, "cpu an event"),
                Line("stock, flood", "flood", "stock", "cpu an event"),
                Line("xenlog, lines", "lines", OURS, "cpu an event"),
                Line("stock, lines", "lines", "stock", "cpu an event"),
            ],
        },
    },
    bars_of("noisy", "quiet logs beside a noisy one", "p99"),
];

/// What the plot of a work is called.
pub fn name(work: &str) -> &'static str {
    CHARTS.iter().find(|chart| chart.work == work).map_or("", |chart| chart.title)
}

/// The plot of a work, if it has one and was measured.
pub fn of(summary: Summary, work: &str) -> Option<String> {
    let chart = CHARTS.iter().find(|chart| chart.work == work)?;
    let title = format!("{work}: {}", chart.title);
    match chart.shows {
        Shows::Bars(measure) => bars(summary, work, &title, measure),
        Shows::Lines { axis, unit, series } => lines(summary, work, &title, axis, unit, series),
    }
}

fn bars(summary: Summary, work: &str, title: &str, measure: &str) -> Option<String> {
    let unit = summary.unit(work, measure)?;
    let base = super::table::base(summary, work);
    let cases = summary.cases(work);
    let mut groups = Vec::new();
    for case in &cases {
        let mut bars = Vec::new();
        for peer in summary.peers(work) {
            let Some(spread) = summary.spread(Place { work, case, peer, measure }) else { continue };
            // A logarithm has no place for 0.
            if spread.median > 0.0 {
                let class = if peer == OURS {
                    "c0"
                } else if Some(peer) == base {
                    "base"
                } else {
                    "other"
                };
                bars.push(Bar { label: peer.to_owned(), class, value: spread.median });
            }
        }
        bars.sort_by(|one, other| one.value.total_cmp(&other.value));
        if !bars.is_empty() {
            groups.push((if cases.len() > 1 { (*case).to_owned() } else { String::new() }, bars));
        }
    }
    let axis = if unit.is_empty() { measure.to_owned() } else { format!("{measure}, {unit}") } + " (logarithmic)";
    (!groups.is_empty()).then(|| plot::bars(title, &axis, &groups))
}

fn lines(summary: Summary, work: &str, title: &str, axis: &str, unit: &str, series: &[Line]) -> Option<String> {
    let mut all: Vec<Series> = Vec::new();
    for Line(name, start, peer, measure) in series {
        let cases = summary.cases(work).into_iter().filter(|case| case.starts_with(start));
        let point = |case| Some((number(case)?, summary.spread(Place { work, case, peer, measure })?.median));
        let points: Vec<_> = cases.filter_map(point).filter(|(x, y)| *x > 0.0 && *y > 0.0).collect();
        if !points.is_empty() {
            all.push(((*name).to_owned(), points));
        }
    }
    (!all.is_empty()).then(|| plot::lines(title, axis, unit, &all))
}

/// The number in the name of a case.
fn number(case: &str) -> Option<f64> {
    let digits = case.split(|letter: char| !letter.is_ascii_digit()).find(|digits| !digits.is_empty())?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::summary::tests::figure;

    #[test]
    fn a_case_has_a_number() {
        assert_eq!(number("flood, 500 guests"), Some(500.0));
        assert_eq!(number("1 entry"), Some(1.0));
        assert_eq!(number("alone"), None);
    }

    #[test]
    fn what_was_measured_is_plotted() {
        let mut figures = vec![figure("W1", "", "xenlog", 1, 1.0), figure("W1", "", "probe", 1, 2.0)];
        for (case, value) in [("1 entry", 3.0), ("100 entries", 4.0)] {
            figures.push(figure("W9", case, "xenlog", 1, value));
        }
        for figure in &mut figures {
            figure.measure = if figure.work == "W9" { "an entry" } else { "cpu" };
        }
        let summary = Summary(&figures);
        assert_eq!(of(summary, "W1").unwrap().matches("<rect").count(), 3, "two bars on a page");
        assert_eq!(of(summary, "W9").unwrap().matches("<polyline").count(), 2);
        assert_eq!(of(summary, "W2"), None);
    }
}
