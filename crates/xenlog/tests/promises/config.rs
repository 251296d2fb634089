//! packaging/xenlog.toml: the example is true and whole.

use std::path::Path;

use logproto::Config;

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/xenlog.toml");
    std::fs::read_to_string(path).unwrap()
}

/// The key of a line that sets one, commented out or not.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.trim_start_matches('#').split_once(" = ")?;
    key.chars().all(|c| c.is_ascii_lowercase() || c == '-').then_some(key)
}

#[test]
fn as_it_is_it_changes_nothing() {
    assert_eq!(Config::parse(&example()).unwrap(), Config::default());
}

#[test]
fn what_is_commented_out_are_the_defaults() {
    let set: String = example()
        .lines()
        .map(|line| if key(line).is_some() { line.trim_start_matches('#') } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut config = Config::parse(&set).unwrap();
    // These have no default of their own: without them it is looked for, or the daemon's own count.
    let defaults = &config.defaults;
    assert_eq!((config.qemu.limit.take(), config.qemu.copies.take()), (Some(defaults.limit), Some(defaults.copies)));
    assert!(config.qemu.path.take().is_some());
    assert_eq!(config, Config::default());
}

#[test]
fn every_key_is_there() {
    let example = example();
    // The fields, as the types themselves name them; a unit may follow a name: `wait` is `wait-seconds`.
    let fields = format!("{:#?}", Config::default());
    let fields = fields.lines().filter_map(|line| Some(line.trim().split_once(": ")?.0.replace('_', "-")));
    let is_there = |field: &str| {
        let spelled = |key: &str| key == field || key.strip_suffix("-seconds") == Some(field);
        example.lines().any(|line| line == format!("[{field}]") || key(line).is_some_and(spelled))
    };
    let missing: Vec<String> = fields.filter(|field| !is_there(field)).collect();
    assert_eq!(missing, Vec::<String>::new());
}
