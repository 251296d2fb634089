//! What has to hold for any values in the nodes of an entry. A body of its own, so that the fuzzer and the tests of the
//! `logproto` crate, which need no fuzzer, check the same.

use std::path::{Component, Path};

use logproto::{Code, Config, DomId, Entry, EntryKey, NODES, Owner, PipePath, Refusal, Request, RootPath, Rules};
use logproto::{LogPath, State};

const RUN: &str = "/run/xen";
const LOG: &str = "/var/log/xen";

/// Takes two bytes for the owner, then a piece for the entry's name and one for each node: see [`piece`]. In `pipe` and `file` a
/// first byte 1 stands for the root and a slash.
///
/// # Panics
/// If something does not hold.
pub fn check(data: &[u8]) {
    let mut rest = data;
    let owner = DomId::new(number(&mut rest)).map_or(Owner::Host, Owner::Domain);
    let name = String::from_utf8_lossy(piece(&mut rest).unwrap_or_default()).into_owned();
    let key = EntryKey { owner, name: name.into() };
    let mut entry = Entry::default();
    for (place, node) in entry.nodes.iter_mut().zip(NODES) {
        let root = if node == "file" { LOG } else { RUN };
        *place = piece(&mut rest).map(|value| match value {
            [1, below @ ..] if matches!(node, "pipe" | "file") => [root.as_bytes(), b"/", below].concat(),
            value => value.to_vec(),
        });
    }
    let rules = rules();
    let is_whole = entry.nodes[0].is_some() && entry.nodes[1].is_some();
    match entry.check(&key, &rules) {
        Ok(None) => assert!(!is_whole, "a whole entry is no request"),
        Ok(Some(request)) => check_request(&request, &key, &rules),
        Err(refusal) => {
            assert!(is_whole, "half an entry is refused");
            check_answer(&refusal);
        }
    }
    check_answer(&Refusal::read(data));
    if let Some(State::Error(refusal)) = State::read(Some(b"error"), Some(data)) {
        check_answer(&refusal);
    }
}

fn check_request(request: &Request, key: &EntryKey, rules: &Rules) {
    let (bounds, id) = (&rules.bounds, &*key.name);
    assert!((bounds.min_limit..=bounds.max_limit).contains(&request.limit) && request.copies <= bounds.max_copies);
    assert!((1..=64).contains(&id.len()));
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')));
    check_path(&request.pipe.below(&rules.run), Path::new(RUN));
    check_path(&request.file.below(&rules.log), Path::new(LOG));
    check_path(&request.file.copy(request.copies).below(&rules.log), Path::new(LOG));
    // As text they are taken for the same again.
    let text = |path: std::path::PathBuf| path.into_os_string().into_encoded_bytes();
    assert_eq!(PipePath::new(&text(request.pipe.below(&rules.run)), &rules.run).as_ref(), Ok(&request.pipe));
    assert_eq!(LogPath::new(&text(request.file.below(&rules.log)), &rules.log).as_ref(), Ok(&request.file));
}

/// Really below the root, and a path that Linux takes.
fn check_path(path: &Path, root: &Path) {
    let below = path.strip_prefix(root).unwrap_or_else(|_| panic!("{} is not below", path.display()));
    assert!(below.components().next().is_some() && below.components().all(|part| matches!(part, Component::Normal(_))));
    let text = path.to_str().unwrap();
    assert_eq!(path.components().collect::<std::path::PathBuf>().to_str(), Some(text), "more than its parts");
    assert!(text.len() < 4096 && below.iter().all(|name| name.len() <= 255) && !text.chars().any(char::is_control));
}

/// One line that a store takes, and that the client reads as what was meant.
fn check_answer(refusal: &Refusal) {
    let text = refusal.to_string();
    assert!(text.len() < 4096 && !text.chars().any(char::is_control), "{text:?}");
    if refusal.code != Code::Unknown {
        assert_eq!(&Refusal::read(text.as_bytes()), refusal);
    }
}

fn rules() -> Rules {
    let Config { defaults, bounds, .. } = Config::default();
    let root = |path| RootPath::new(Path::new(path));
    Rules { run: root(RUN), log: root(LOG), defaults, bounds }
}

/// The next two bytes, as a number.
fn number(data: &mut &[u8]) -> u16 {
    let (number, rest) = data.split_at(data.len().min(2));
    *data = rest;
    number.iter().rev().fold(0, |number, byte| number << 8 | u16::from(*byte))
}

/// The next value: two bytes with its length and 1, or 0 where there is none; then the value, or as much as is left.
fn piece<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::from(number(data)).checked_sub(1)?;
    let (value, rest) = data.split_at(data.len().min(len));
    *data = rest;
    Some(value)
}
