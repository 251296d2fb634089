//! The report: medians and ratios as tables and plots, with every aim beside what was measured.

mod aims;
mod charts;
pub mod machine;
mod page;
mod plot;
mod summary;
mod svg;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use crate::figure::Figure;
use crate::raw::Results;
use crate::works::{Failure, WORKS, Work};
use aims::{AIMS, Aim, Verdict};
use summary::Summary;

/// Writes docs/benchmarks.md, what is between its marks, and its plots. Gives where that is.
pub fn write(results: &Results) -> Result<PathBuf, Failure> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs");
    let (path, plots) = (docs.join("benchmarks.md"), docs.join("benchmarks"));
    let page = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let report = Report::of(results);
    let page = page::replace(&page, &report.text())?;
    fs::create_dir_all(&plots)?;
    for work in WORKS {
        let file = plots.join(format!("{}.svg", work.id));
        if let Some(svg) = charts::of(report.summary(), work.id) {
            fs::write(file, svg)?;
        } else if file.exists() {
            // It would be of another run than the tables.
            fs::remove_file(file)?;
        }
    }
    fs::write(&path, page)?;
    Ok(path)
}

/// The same as text, without plots.
pub fn text(results: &Results) -> String {
    Report::of(results).text()
}

/// What a report is made of.
struct Report<'a> {
    /// Of those who failed in nothing.
    figures: Vec<Figure>,
    results: &'a Results,
}

impl<'a> Report<'a> {
    fn of(results: &'a Results) -> Report<'a> {
        Report { figures: results.good(), results }
    }

    fn summary(&self) -> Summary<'_> {
        Summary(&self.figures)
    }

    /// All that is generated.
    fn text(&self) -> String {
        let mut text = String::from("## Aims\n\n");
        text += &self.aims();
        for work in WORKS {
            text += &self.section(work);
        }
        text += "\n## This run\n\n";
        for note in &self.results.notes {
            text += &format!("* {note}\n");
        }
        text
    }

    /// How many aims are reached, and which are not.
    fn aims(&self) -> String {
        let verdict = |aim: &Aim| aim.verdict(aim.measured(self.summary()));
        let count = |is: fn(Verdict) -> bool| AIMS.iter().filter(|aim| is(verdict(aim))).count();
        let mut text = format!(
            "Of {} aims {} are met, {} are equal (above the aim by less than 15 %), {} are missed and {} were not measured.\n",
            AIMS.len(),
            count(|verdict| verdict == Verdict::Met),
            count(|verdict| verdict == Verdict::Equal),
            count(|verdict| matches!(verdict, Verdict::Missed(_))),
            count(|verdict| verdict == Verdict::Unknown),
        );
        let others: Vec<&Aim> = AIMS.iter().filter(|aim| verdict(aim) != Verdict::Met).collect();
        if !others.is_empty() {
            text += &format!("\n{}", table::aims(self.summary(), &others));
        }
        text
    }

    /// What was measured of one work.
    fn section(&self, work: &Work) -> String {
        let failures = self.results.failures.iter().filter(|(of, ..)| of == work.id);
        let failures: String = failures.map(|(_, peer, why)| failure(peer, why)).collect();
        let rounds = self.summary().rounds(work.id);
        if rounds == 0 && failures.is_empty() {
            return String::new();
        }
        let mut text = format!("\n## {0}\n\n{0} is: {1}.\n", work.id, work.title);
        if charts::of(self.summary(), work.id).is_some() {
            text += &format!("\n![{0}, {1}](benchmarks/{0}.svg)\n", work.id, charts::name(work.id));
        }
        if rounds > 0 {
            text += &format!("\n{}", table::figures(self.summary(), work.id));
        }
        let aims: Vec<&Aim> = AIMS.iter().filter(|aim| aim.work == work.id).collect();
        if rounds > 0 && !aims.is_empty() {
            text += &format!("\n{}", table::aims(self.summary(), &aims));
        }
        if failures.is_empty() { text } else { format!("{text}\n{failures}") }
    }
}

fn failure(peer: &str, why: &str) -> String {
    let who = if peer.is_empty() { "nobody could be measured" } else { peer };
    format!("* **failed**: {who}: {why}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use summary::tests::figure;

    #[test]
    fn every_aim_is_of_a_work() {
        for aim in AIMS {
            assert!(WORKS.iter().any(|work| work.id == aim.work), "{}", aim.work);
        }
    }

    /// A fast logger that loses is no result: its figures are nowhere, and that it failed is told.
    #[test]
    fn who_failed_is_told_and_has_no_figures() {
        let mut results = Results { notes: vec!["a note".into()], ..Results::default() };
        results.figures = vec![figure("W1", "", "xenlog", 1, 4321.0), figure("W1", "", "conmon", 1, 1234.0)];
        results.failures = vec![("W1".into(), "conmon".into(), "3 bytes are missing".into())];
        let text = text(&results);
        assert!(text.contains("* **failed**: conmon: 3 bytes are missing") && !text.contains("1234"), "{text}");
        assert!(text.contains("4321") && text.contains("* a note") && text.contains("0 are missed"), "{text}");
        assert!(!text.contains("\n## W2"), "nobody did it");
    }
}
