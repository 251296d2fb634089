//! Each row of docs/guarantees.md names the tests that would fail if it were not so: they exist, and run.

use std::fs;
use std::path::Path;

/// Where the paths in the page begin, unless they begin with `crates/`.
const HERE: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn each_row_names_tests_that_exist() {
    let page = fs::read_to_string(Path::new(HERE).join("../../docs/guarantees.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter_map(last_cell).collect();
    assert!(rows.len() > 20, "the page has {} rows", rows.len());
    let wrong: Vec<String> = rows.iter().flat_map(|row| faults(row)).collect();
    assert!(wrong.is_empty(), "docs/guarantees.md:\n{}", wrong.join("\n"));
}

/// The last cell of a row, which names its tests. Nothing where the line is no row, or only the head of a table.
fn last_cell(line: &str) -> Option<&str> {
    let cell = line.strip_prefix('|')?.trim_end().strip_suffix('|')?.rsplit('|').next()?.trim();
    (cell != "test" && !cell.starts_with("---")).then_some(cell)
}

/// What is wrong with a cell: `file` `test` `test`, `file` `test` …, or that it is plainly not tested.
fn faults(cell: &str) -> Vec<String> {
    if cell == "not tested" {
        return Vec::new();
    }
    let (mut file, mut source, mut tests, mut wrong) = ("", String::new(), 0, Vec::new());
    for name in cell.split('`').skip(1).step_by(2) {
        if name.ends_with(".rs") {
            let root = if name.starts_with("crates/") { Path::new(HERE).join("../..") } else { HERE.into() };
            file = name;
            source = fs::read_to_string(root.join(name)).unwrap_or_default();
        } else {
            tests += 1;
            if !is_test(&source, name) && !is_case(file, &source, name) {
                wrong.push(format!("`{name}` is no test in `{file}`"));
            }
        }
    }
    if tests == 0 {
        wrong.push(format!("no test is named: {cell}"));
    }
    wrong
}

/// Whether there is a function of this name that runs as a test: by itself, or for each kind of store.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(&format!("fn {name}("))) else { return false };
    let is_on_every_store = lines.contains(&"on_every_store! {") && lines.contains(&name);
    lines[at - 1] == "#[test]" || is_on_every_store
}

/// Whether there is a case of this name in the suite for two daemons, and it runs on this one.
fn is_case(file: &str, source: &str, name: &str) -> bool {
    let suite = fs::read_to_string(Path::new(HERE).join("tests/drop_in/main.rs")).unwrap();
    file.starts_with("tests/drop_in/")
        && source.contains(&format!("\npub fn {name}(scene: "))
        && suite.lines().any(|line| line.trim() == name)
        && suite.contains("\nsuite!(ours: Ours);")
}

#[test]
fn what_is_wrong_is_found() {
    assert_eq!(faults("`tests/guarantees.rs` `what_is_wrong_is_found`"), [""; 0]);
    assert_eq!(faults("`tests/guarantees.rs` `is_test`"), ["`is_test` is no test in `tests/guarantees.rs`"]);
    assert_eq!(faults("`tests/no.rs` `a`, `b`").len(), 2);
    assert_eq!(faults("`tests/guarantees.rs`").len(), 1);
    assert_eq!(faults("by construction").len(), 1);
}
