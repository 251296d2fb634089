//! `xenlog list`: every log there is.

use std::process::Stdio;

use logproto::Owner;
use testbed::until;

use crate::host::{Host, XENLOG};

#[test]
fn every_log_is_there_with_what_it_takes_and_may_take() {
    let Some(host) = Host::start() else { return };
    host.client().write("/local/domain/5/name", b"vm\x1b[31m").unwrap();
    let dom5 = Owner::Domain("5".parse().unwrap());
    let log = host.options(dom5, "q.log").id("qemu-dm".parse().unwrap()).limit(4096).copies(3).open().unwrap();
    let _plain = host.options(Owner::Host, "h.log").id("h".parse().unwrap()).open().unwrap();
    for number in 0..1000 {
        let line = format!("line {number:4}\n");
        until("room in the pipe", || rustix::io::write(&log, line.as_bytes()).ok());
    }
    host.until_logged("q.log", "line  999\n");
    // An entry that the daemon refused, and one that it does not answer yet.
    let mut client = host.client();
    client.write("/libxl/5/logging/bad/pipe", b"/etc/passwd").unwrap();
    client.write("/libxl/5/logging/bad/file", b"/etc/passwd").unwrap();
    until("the refusal", || client.read("/libxl/5/logging/bad/state").ok());
    client.write("/libxl/5/logging/half/file", b"/x").unwrap();

    let table = host.xenlog(&["list"]).quietly();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let file = |name: &str| host.log_dir().join(name).to_str().unwrap().to_owned();
    assert_eq!(rows[0], ["OWNER", "ID", "SIZE", "TOTAL", "LIMIT", "COPIES", "DROPPED", "STATE", "FILE"]);
    assert_eq!(rows[1], ["host", "h", "0", "0", "default", "default", "0", "ready", &file("h.log")]);
    assert_eq!(
        rows[2][..11],
        ["5", "vm\\u{1b}[31m", "bad", "-", "-", "default", "default", "-", "error", "/etc/passwd", "(bad-pipe:"]
    );
    assert_eq!(rows[3], ["5", "vm\\u{1b}[31m", "half", "-", "-", "default", "default", "-", "waiting", "/x"]);
    assert_eq!(
        (&rows[4][..3], &rows[4][5..]),
        (&["5", "vm\\u{1b}[31m", "qemu-dm"][..], &["4K", "3", "0", "ready", &file("q.log")][..])
    );
    assert!(!table.contains('\x1b'));

    let json: serde_json::Value = serde_json::from_str(&host.xenlog(&["list", "--json"]).quietly()).unwrap();
    assert_eq!(json["daemon"], true);
    assert_eq!(json["logs"].as_array().unwrap().len(), 4);
    let log = &json["logs"][3];
    assert_eq!((&log["owner"], &log["domid"], &log["domain"]), (&"domain".into(), &5.into(), &"vm\x1b[31m".into()));
    assert_eq!((&log["id"], &log["file"]), (&"qemu-dm".into(), &file("q.log").into()));
    assert_eq!((&log["limit"], &log["copies"], &log["state"]), (&4096.into(), &3.into(), &"ready".into()));
    assert_eq!((&log["error"], &log["policy"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    let size = log["size"].as_u64().unwrap();
    assert_eq!(size, host.read("q.log").len() as u64);
    let copies: usize = (1..=3).map(|copy| host.read(&format!("q.log.{copy}")).len()).sum();
    assert_eq!(log["total"].as_u64().unwrap(), size + copies as u64);
    let bad = &json["logs"][1];
    assert!(bad["error"].as_str().unwrap().starts_with("bad-pipe: /libxl/5/logging/bad/pipe"), "{bad}");
    assert_eq!(json["logs"][0]["limit"], serde_json::Value::Null);
    // The account: all that was written came in, and is in the files.
    assert_eq!((&log["in"], &log["dropped"], &log["gaps"]), (&log["total"], &0.into(), &0.into()));
    assert_eq!((&log["waiting"], &log["trouble"]), (&0.into(), &serde_json::Value::Null));
    assert_eq!(bad["in"], serde_json::Value::Null);
}

#[test]
fn what_is_missing_is_said() {
    let Some(host) = Host::quiet() else { return };
    let ended = host.xenlog(&["list"]);
    assert!(ended.code == 0 && ended.err.contains("no log daemon runs"), "{ended:?}");
    assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
    let ended = host.xenlog(&["list", "--store", "/nonexistent/store"]);
    assert!(ended.code == 1 && ended.err.contains("/nonexistent/store"), "{ended:?}");
    assert_eq!(ended.out, "");
    let json: serde_json::Value = serde_json::from_str(&host.xenlog(&["list", "--json"]).out).unwrap();
    assert_eq!(json, serde_json::json!({ "daemon": false, "logs": [], "consoles": [], "hypervisor": null }));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let Some(host) = Host::start() else { return };
    for command in [&["list"][..], &["list", "--json"], &["--help"], &["tail", "daemon.log"]] {
        std::fs::write(host.log_dir().join("daemon.log"), "line\n").unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut xenlog = host.command(XENLOG);
        let output = xenlog.args(command).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{command:?}: {output:?}");
    }
}
