//! The whole benchmark in small: that every work runs, for ours and the probe, and that no byte is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use testbed::StoreKind;

/// A trial in a directory of its own.
struct Trial {
    dir: TempDir,
}

impl Trial {
    fn new() -> Option<Trial> {
        StoreKind::C.available().then(|| Trial { dir: TempDir::new().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
        command.args(["--trial", "--data"]).arg(self.path("data")).arg("--raw").arg(self.path("raw"));
        command.args(words).output().unwrap()
    }

    /// The lines of the raw file that begin with a word, in fields.
    fn lines(&self, word: &str) -> Vec<Vec<String>> {
        let raw = std::fs::read_to_string(self.path("raw")).unwrap();
        let fields = raw.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
        fields.filter(|fields| fields[0] == word).collect()
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn every_work_runs_and_no_byte_is_missing() {
    let Some(trial) = Trial::new() else { return };
    let works = ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8"];
    let output = trial.run(&[&works[..], &["--peers", "xenlog,probe"]].concat());
    assert!(output.status.success(), "{}", text(&output));
    let figures = trial.lines("figure");
    for work in works {
        for peer in ["xenlog", "probe"] {
            assert!(figures.iter().any(|fields| fields[1] == work && fields[3] == peer), "{work} of {peer}");
        }
    }
    assert!(trial.lines("failure").is_empty(), "{}", text(&output));
    assert!(is_empty(&trial.path("data")), "nothing is left behind");
}

/// A fast logger that loses is a failure, not a result: here the daemon is told to drop what its budget does not allow.
#[test]
fn who_loses_bytes_has_no_figures() {
    let Some(trial) = Trial::new() else { return };
    let config = trial.path("xenlog.toml");
    std::fs::write(&config, "[defaults]\npolicy = \"drop\"\n[daemon]\nrate = \"64K\"\nburst = \"64K\"\n").unwrap();
    let output = trial.run(&["W2", "--peers", "xenlog,probe", "--daemon-config", config.to_str().unwrap()]);
    assert!(!output.status.success(), "{}", text(&output));
    let failures = trial.lines("failure");
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0][1..3], ["W2", "xenlog"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<&str> =
        stdout.lines().filter(|line| line.starts_with("| **") || line.starts_with("| probe")).collect();
    assert!(!figures.is_empty() && figures.iter().all(|line| line.contains("probe")), "{figures:?}");
}

#[test]
fn a_report_is_made_again_without_measuring() {
    let Some(trial) = Trial::new() else { return };
    std::fs::write(trial.path("raw"), "figure\tW2\t\tprobe\t1\tcpu\tµs/line\t0.5\nnote\tnothing\n").unwrap();
    let raw = trial.path("raw");
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).arg("--report").arg(&raw).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("0.5"), "{}", text(&output));
}

/// What is measured of our daemon alone, and beside Xen's own.
#[test]
fn works_of_our_own_run_and_no_byte_is_missing() {
    let Some(trial) = Trial::new().filter(|_| testbed::programs::installed(&["xenconsoled"])) else { return };
    let works = ["W9", "W10", "noisy", "hostile"];
    let output = trial.run(&[&works[..], &["--peers", "xenlog,probe", "--seconds", "1"]].concat());
    assert!(output.status.success(), "{}", text(&output));
    let figures = trial.lines("figure");
    for (work, peer) in works.into_iter().zip(["xenlog", "stock", "probe", "stock"]) {
        for peer in ["xenlog", peer] {
            assert!(figures.iter().any(|fields| fields[1] == work && fields[3] == peer), "{work} of {peer}");
        }
    }
    assert!(trial.lines("failure").is_empty(), "{}", text(&output));
    assert!(is_empty(&trial.path("data")), "nothing is left behind");
}
