//! A request that cannot be granted is answered with an error that names the node, and touches nothing.

mod host;

use host::{Host, StoreKind, domain, has_reader, on_every_store};
use logproto::{Code, Owner};

on_every_store! {
    each_bad_value_has_its_answer_and_no_effect
    a_name_that_leaves_no_room_for_an_answer_holds_up_nobody
}

/// A node, a value that it must not have, and the answer's code.
type Row = (&'static str, Vec<u8>, Code);

fn each_bad_value_has_its_answer_and_no_effect(kind: StoreKind) {
    let host = Host::on(kind, "");
    let rows = bad_paths(&host).into_iter().chain(bad_numbers_and_words());
    let mut client = host.client();
    for (number, (node, value, code)) in rows.enumerate() {
        let log = host.log(domain(5), &format!("row-{number}")).node(node, &value);
        host::fifo(&log.pipe);
        let before = host.snapshot();
        log.write();
        let text = log.refused(code);
        let shown = value.escape_ascii().to_string();
        assert!(text.starts_with(&format!("{}: ", log.at(node))), "{node}={shown}: {text}");
        assert_eq!(host.snapshot(), before, "{node}={shown}");
        assert!(!has_reader(&log.pipe), "{node}={shown}");
        let error = client.read(&log.at("error")).unwrap();
        assert!(!error.iter().any(|byte| byte.is_ascii_control()), "{}", error.escape_ascii());
        // The same entry, corrected, is served.
        if number % 10 == 0 {
            let right = host.log(domain(5), &format!("row-{number}"));
            client.rm(&log.at(node)).unwrap();
            right.write();
            log.forget_answer();
            right.ready();
            assert!(client.read(&log.at("error")).unwrap_err().is_absent(), "an error that belies the state");
        }
    }
}

/// Each holds for `pipe` and for `file`.
fn bad_paths(host: &Host) -> Vec<Row> {
    let mut rows = Vec::new();
    for (node, code, root) in [("pipe", Code::BadPipe, host.run_dir()), ("file", Code::BadFile, host.log_dir())] {
        let root = root.to_str().unwrap().to_owned();
        let (outside, deep) = (host.outside(), "d/".repeat(100));
        let other = if node == "pipe" { host.log_dir() } else { host.run_dir() };
        let values = [
            Vec::new(),
            b"/".to_vec(),
            b"x".to_vec(),
            b"./x".to_vec(),
            b"../log/x".to_vec(),
            b"/etc/passwd".to_vec(),
            root.clone().into(),
            format!("{root}/").into(),
            format!("{root}/.").into(),
            format!("{root}/..").into(),
            format!("{root}/../outside/x").into(),
            format!("{root}/x/../y").into(),
            format!("{root}/./x").into(),
            format!("{root}//x").into(),
            format!("/{root}/x").into(),
            format!("{root}/x/").into(),
            format!("{root}foo/x").into(),
            format!("{root}foo").into(),
            outside.join("x").to_str().unwrap().into(),
            other.join("x").to_str().unwrap().into(),
            format!("{root}/x\n").into(),
            format!("{root}/x\0").into(),
            format!("{root}/x\0y").into(),
            format!("{root}/\x1b[31mx").into(),
            format!("{root}/\x7f").into(),
            [root.as_bytes(), b"/\xff\xfe"].concat(),
            [root.as_bytes(), b"/\xc3\x28"].concat(),
            format!("{root}/{}", "x".repeat(256)).into(),
            format!("{root}/{deep}{}", "x".repeat(1500)).into(),
        ];
        rows.extend(values.into_iter().map(|value| (node, value, code)));
    }
    // There must be room for `.999`.
    let root = host.log_dir().to_str().unwrap().to_owned();
    rows.push(("file", format!("{root}/{}", "x".repeat(252)).into(), Code::BadFile));
    rows
}

fn bad_numbers_and_words() -> Vec<Row> {
    let numbers: [&[u8]; 17] = [
        b"",
        b"-1",
        b"+5000",
        b" 5000",
        b"5000 ",
        b"5000\n",
        b"5000\0",
        b"0x2000",
        b"5e3",
        b"5000.0",
        b"5,000",
        b"5k",
        b"18446744073709551616",
        b"99999999999999999999999999",
        b"nan",
        b"\xff",
        "٥٠٠٠".as_bytes(),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for value in numbers {
        rows.push(("limit", value.to_vec(), Code::BadLimit));
        rows.push(("copies", value.to_vec(), Code::BadCopies));
    }
    for value in ["0", "1", "4095", "17179869185", "18446744073709551615"] {
        rows.push(("limit", value.into(), Code::BadLimit));
    }
    for value in ["100", "4294967295", "4294967296", "18446744073709551615"] {
        rows.push(("copies", value.into(), Code::BadCopies));
    }
    for value in ["", "Drop", "drop ", "drop\n", "drop\0", "dropblock", "none"] {
        rows.push(("policy", value.into(), Code::BadPolicy));
    }
    for value in ["", "Line", "line\n", "yes", "1", "drop"] {
        rows.push(("timestamp", value.into(), Code::BadTimestamp));
    }
    rows
}

#[test]
fn the_smallest_and_the_largest_values_are_served() {
    let host = Host::start();
    for (number, (limit, copies)) in [("4096", "0"), ("17179869184", "99"), ("0000004096", "007")].iter().enumerate() {
        let log = host.log(domain(5), &format!("a{number}")).node("limit", limit).node("copies", copies);
        log.ask();
        log.ready();
    }
    let name = "x".repeat(251);
    let log = host.log(domain(5), "long").file(host.log_dir().join(name));
    log.ask();
    log.ready();
    let log = host.log(domain(5), &"i".repeat(64));
    log.ask();
    log.ready();
    let log = host.log(domain(32751), "last");
    log.ask();
    log.ready();
}

#[test]
fn an_odd_id_is_refused_by_name() {
    let host = Host::start();
    for owner in [domain(5), Owner::Host] {
        for id in ["a@b", &"x".repeat(65), &"x".repeat(500)] {
            let log = host.log(owner, id);
            host::fifo(&log.pipe);
            let before = host.snapshot();
            log.write();
            let text = log.refused(Code::BadId);
            assert!(text.starts_with(&format!("{}: ", log.path)), "{text}");
            assert_eq!(host.snapshot(), before);
            assert!(!has_reader(&log.pipe));
            std::fs::remove_file(&log.pipe).unwrap();
        }
    }
}

/// An entry's name can be so long that there is no room for `state` after it. It gets no answer, since none can be given, and
/// the others get theirs.
///
/// The store's answer to what is too long, EINVAL, was taken for trouble of the store: whatever was looked at together with such
/// an entry was looked at again and again, and never answered.
fn a_name_that_leaves_no_room_for_an_answer_holds_up_nobody(kind: StoreKind) {
    let mut host = Host::on(kind, "");
    let mut client = host.client();
    let mut entries = 0;
    host.daemon().halt();
    // What the stores take: 1024 bytes (oxenstored's quota-path-max), 2048 (XENSTORE_REL_PATH_MAX), 3072 (XENSTORE_ABS_PATH_MAX).
    for (number, most) in [1024, 2048, 3072].iter().enumerate() {
        for name in 0..=10 {
            let log = host.log(domain(5), &"x".repeat(most - "/libxl/5/logging/".len() - name));
            let written = log.nodes.iter().filter(|(node, value)| client.write(&log.at(node), value).is_ok());
            entries += usize::from(written.count() == 2);
        }
        let good = host.log(domain(5), &format!("good-{number}"));
        good.ask();
    }
    assert!(entries > 0, "names of that length were not refused by the store");
    host.daemon().go_on();
    for number in 0..3 {
        host.log(domain(5), &format!("good-{number}")).ready();
    }
    let reports = host.daemon().reports();
    assert_eq!(reports.len(), 1, "{reports:#?}");
    host.daemon().rests();
}

/// Whose domain would it be?
#[test]
fn a_directory_that_no_domain_can_have_is_not_looked_at() {
    let host = Host::start();
    let log = host.log(domain(5), "a");
    host::fifo(&log.pipe);
    let before = host.snapshot();
    let odd = ["05", "+5", "-5", "5x", "32752", "65541", "4294967301", "loggingx", "5/loggingx", "0x5"];
    let mut client = host.client();
    for owner in odd {
        let dir = if owner.contains('/') { format!("/libxl/{owner}/a") } else { format!("/libxl/{owner}/logging/a") };
        for (node, value) in &log.nodes {
            // Xenstore itself refuses some of these names.
            let _ = client.write(&format!("{dir}/{node}"), value);
        }
    }
    client.write("/local/domain/5/logging/a/pipe", log.pipe.to_str().unwrap().as_bytes()).unwrap();
    let marker = host.log(domain(5), "a@b");
    client.write(&marker.at("pipe"), b"").unwrap();
    client.write(&marker.at("file"), b"").unwrap();
    marker.refused(Code::BadId);
    assert_eq!(host.snapshot(), before);
    assert!(!has_reader(&log.pipe));
}
