//! Consoles and the hypervisor's log beside the logs of the store: `xenlog list` and `xenlog tail`.

use std::fs;

use testbed::StoreKind;

use crate::guest::{Status, console_json};
use crate::host::{Host, Process, XENLOG};

/// A host whose daemon serves two consoles, one of them logged, and logs the hypervisor.
fn scene() -> Option<(Host, Status)> {
    let host = Host::on(StoreKind::Embedded)?;
    host.claim_daemon();
    let file = |name: &str| host.log_dir().join(name).to_str().unwrap().to_owned();
    fs::write(file("guest-web.log"), "one\ntwo\n").unwrap();
    fs::write(file("guest-web.log.1"), "zero\n").unwrap();
    fs::write(file("hypervisor.log"), "(XEN) hello\n").unwrap();
    let status = Status::serve(&host, &[]);
    let mut quiet = console_json(8, "d\x1bb", None);
    for (key, value) in [("tty", serde_json::Value::Null), ("kind", "vuart".into())] {
        quiet[key] = value;
    }
    status.say_all(&serde_json::json!({
        "logs": [],
        "consoles": [console_json(7, "web", Some(&file("guest-web.log"))), quiet],
        "hypervisor": {
            "file": file("hypervisor.log"), "in": 12, "dropped": 1, "gaps": 1, "waiting": 0, "trouble": "disk full",
            "overrun": 4,
        },
    }));
    Some((host, status))
}

#[test]
fn list_has_them_with_their_counters() {
    let Some((host, status)) = scene() else { return };
    let file = |name: &str| host.log_dir().join(name).to_str().unwrap().to_owned();
    let table = host.xenlog(&["list"]).quietly();
    let rows: Vec<String> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let notes = "(3 wait for a reader; 4 times held back; 5 times corrupt)";
    assert_eq!(
        rows[1..],
        [
            format!("7 web console 8 13 default default 1.9K ready {} {notes}", file("guest-web.log")),
            format!("8 d\\u{{1b}}b vuart - - default default 1.9K waiting - {notes}"),
            format!("host hypervisor 12 12 default default 5 ready {} (disk full)", file("hypervisor.log")),
        ]
    );

    let json: serde_json::Value = serde_json::from_str(&host.xenlog(&["list", "--json"]).quietly()).unwrap();
    assert_eq!((&json["daemon"], &json["logs"]), (&true.into(), &serde_json::json!([])));
    let mut want = console_json(7, "web", Some(&file("guest-web.log")));
    want["size"] = 8.into();
    want["total"] = 13.into();
    assert_eq!(json["consoles"][0], want);
    assert_eq!(json["consoles"][1]["log"], serde_json::Value::Null);
    assert_eq!(
        json["hypervisor"],
        serde_json::json!({
            "file": file("hypervisor.log"), "in": 12, "dropped": 1, "gaps": 1, "waiting": 0, "trouble": "disk full",
            "overrun": 4, "size": 12, "total": 12,
        })
    );

    // An older daemon, and none.
    status.say_all(&serde_json::json!({ "logs": [] }));
    let json = || serde_json::from_str::<serde_json::Value>(&host.xenlog(&["list", "--json"]).quietly()).unwrap();
    let want = serde_json::json!({ "daemon": true, "logs": [], "consoles": [], "hypervisor": null });
    assert_eq!(json(), want);
    drop(status);
    assert_eq!(json(), want);
}

#[test]
fn tail_finds_them() {
    let Some((host, _status)) = scene() else { return };
    for name in ["7/console", "web/console", "7", "web"] {
        assert_eq!(host.xenlog(&["tail", "-n", "3", name]).quietly(), "zero\none\ntwo\n", "{name}");
    }
    for name in ["hypervisor", "host/hypervisor"] {
        assert_eq!(host.xenlog(&["tail", name]).quietly(), "(XEN) hello\n", "{name}");
    }
    let ended = host.xenlog(&["tail", "8/vuart"]);
    assert!(ended.code == 1 && ended.err.contains("--log=guest"), "{ended:?}");
}

#[test]
fn following_ends_with_its_reader_even_if_nothing_comes() {
    let Some((host, _status)) = scene() else { return };
    let mut command = host.command(XENLOG);
    command.args(["tail", "-f", "web"]).stdout(std::process::Stdio::piped());
    let mut tail = Process::spawn(command);
    tail.until_said("two\n");
    drop(tail.child().stdout.take());
    assert_eq!(tail.ended().code, 0);
}
