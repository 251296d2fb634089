//! What was measured as a file: a line for each figure, failure and note, tab-separated.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::figure::Figure;
use crate::works::Failure;

/// All that a run has to say.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// What was measured.
    pub figures: Vec<Figure>,
    /// Who could not do a work: work, peer, why. Empty peer: nobody could.
    pub failures: Vec<(String, String, String)>,
    /// What a reader has to know beside.
    pub notes: Vec<String>,
}

impl Results {
    /// The figures of those who failed in nothing of the same work: a fast logger that loses has no figures.
    pub fn good(&self) -> Vec<Figure> {
        let failed = |figure: &&Figure| {
            !self
                .failures
                .iter()
                .any(|(work, peer, _)| *work == figure.work && (peer.is_empty() || *peer == figure.peer))
        };
        self.figures.iter().filter(failed).cloned().collect()
    }

    /// Reads a file that [`Raw`] wrote.
    pub fn read(path: &Path) -> Result<Results, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut results = Results::default();
        for (number, line) in text.lines().enumerate() {
            results.take(line).ok_or_else(|| format!("{}: line {}: {line}", path.display(), number + 1))?;
        }
        Ok(results)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        // Reports are made once in a process: what is leaked is what lives as long anyway.
        let lasting = |text: &str| -> &'static str { text.to_owned().leak() };
        match *line.split('\t').collect::<Vec<_>>() {
            ["figure", work, case, peer, round, measure, unit, value] => self.figures.push(Figure {
                work: lasting(work),
                case: case.to_owned(),
                peer: lasting(peer),
                round: round.parse().ok()?,
                measure: lasting(measure),
                unit: lasting(unit),
                value: value.parse().ok()?,
            }),
            ["failure", work, peer, why] => self.failures.push((work.into(), peer.into(), why.into())),
            ["note", note] => self.notes.push(note.to_owned()),
            _ => return None,
        }
        Some(())
    }
}

/// The file while it is written, and the same in memory.
#[derive(Debug)]
pub struct Raw {
    file: File,
    /// What was written.
    pub results: Results,
}

impl Raw {
    /// A new, empty one.
    pub fn create(path: &Path) -> Result<Raw, Failure> {
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Raw { file, results: Results::default() })
    }

    /// Adds a figure.
    pub fn figure(&mut self, figure: &Figure) -> Result<(), Failure> {
        let Figure { work, case, peer, round, measure, unit, value } = figure;
        self.line(&format!("figure\t{work}\t{case}\t{peer}\t{round}\t{measure}\t{unit}\t{value}"))
    }

    /// Adds a failure.
    pub fn failure(&mut self, work: &str, peer: &str, why: &str) -> Result<(), Failure> {
        self.line(&format!("failure\t{work}\t{peer}\t{}", flat(why)))
    }

    /// Adds a note.
    pub fn note(&mut self, note: &str) -> Result<(), Failure> {
        self.line(&format!("note\t{}", flat(note)))
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.file, "{line}")?;
        Ok(self.results.take(line).ok_or("a line that cannot be read again")?)
    }
}

/// A text as one field.
fn flat(text: &str) -> String {
    text.split(['\t', '\n', '\r']).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(work: &'static str, peer: &'static str) -> Figure {
        Figure { work, case: "1000 logs".into(), peer, round: 2, measure: "cpu", unit: "µs/line", value: 0.25 }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("raw");
        let mut raw = Raw::create(&path).unwrap();
        raw.figure(&figure("W2", "probe")).unwrap();
        raw.failure("W2", "conmon", "3 bytes\tare\nmissing").unwrap();
        raw.note("no svlogd").unwrap();
        let read = Results::read(&path).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", raw.results));
        assert_eq!(read.figures[0].value, 0.25);
        assert_eq!(read.failures, [("W2".into(), "conmon".into(), "3 bytes are missing".into())]);
        std::fs::write(&path, "figure\tW2\n").unwrap();
        assert!(Results::read(&path).is_err());
    }

    #[test]
    fn who_failed_has_no_figures_of_the_work() {
        let mut results = Results::default();
        results.figures.extend([figure("W1", "a"), figure("W1", "b"), figure("W2", "a"), figure("W3", "a")]);
        results.failures.push(("W1".into(), "a".into(), "lost".into()));
        results.failures.push(("W3".into(), String::new(), "no store".into()));
        let good: Vec<_> = results.good().into_iter().map(|figure| (figure.work, figure.peer)).collect();
        assert_eq!(good, [("W1", "b"), ("W2", "a")]);
    }
}
