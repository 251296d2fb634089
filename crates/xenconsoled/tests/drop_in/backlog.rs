//! Output that nobody reads, and guests that send more events than they should.

use std::time::{Duration, Instant};

use testbed::{Guest, console_nodes, until};

use crate::scene::{Scene, Which};

/// So many bytes of numbered lines, 16 bytes each.
fn numbered(bytes: usize) -> String {
    (0..bytes / 16).map(|number| format!("line {number:09}\r\n")).collect()
}

/// What of numbered lines came.
#[derive(Debug)]
struct Came {
    /// Bytes from the beginning on, and up to the end.
    head: usize,
    tail: usize,
    /// How many bytes are missing between them, if a line says so.
    marker: Option<usize>,
}

impl Came {
    /// # Panics
    /// If something else came than a beginning and an end of what was sent.
    fn of(sent: &str, came: &[u8]) -> Came {
        let came = str::from_utf8(came).unwrap();
        let (head, tail, marker) = match came.split_once("[xenlog: ") {
            Some((head, rest)) => {
                let (line, tail) = rest.split_once("]\r\n").unwrap();
                // The line is one of its own, whatever stood before it.
                let head = if sent.starts_with(head) { head } else { head.strip_suffix("\r\n").unwrap() };
                (head, tail, Some(line.split(' ').next().unwrap().parse().unwrap()))
            }
            None => {
                let same = sent.bytes().zip(came.bytes()).take_while(|(one, other)| one == other).count();
                (&came[..same], &came[same..], None)
            }
        };
        assert!(sent.starts_with(head) && sent.ends_with(tail), "{marker:?}");
        Came { head: head.len(), tail: tail.len(), marker }
    }
}

fn with_limit(scene: &Scene, limit: Option<&str>) -> Guest {
    let guest = scene.machine.introduce(7, "web");
    let mut nodes = console_nodes(&guest);
    nodes.retain_mut(|(node, value)| {
        if *node == "limit" {
            *value = limit.unwrap_or_default().into();
        }
        *node != "limit" || limit.is_some()
    });
    scene.machine.announce(&guest, &nodes);
    guest
}

pub fn output_waits_for_a_reader(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "web");
    scene.start(&[]);
    scene.served(&guest);
    let text = numbered(200_000);
    guest.write(&text);
    guest.drained();
    scene.tty(7).shows(&text);
}

/// The log has everything; of what waits for a reader the oldest half stays, and the newest. What was dropped leaves no trace with
/// stock.
pub fn discard_keeps_the_oldest_half_and_the_newest(scene: &mut Scene) {
    const LIMIT: usize = 128 << 10;
    let guest = with_limit(scene, Some(&LIMIT.to_string()));
    scene.start(&["--log=guest"]);
    scene.served(&guest);
    let text = numbered(600_000);
    guest.write(&text);
    guest.drained();
    scene.log_holds("guest-web.log", &text);
    let came = scene.tty(7).read_until(&text[text.len() - 16..]);
    let got = Came::of(&text, &came);
    // A quarter, since stock lets a quarter more than the limit come together before it drops something. What the kernel holds
    // (less than 128 KiB) comes before all that.
    assert!(got.head >= LIMIT / 2 && got.tail >= LIMIT / 4 - 4096, "{got:?}");
    assert!(came.len() <= LIMIT + LIMIT / 4 + (128 << 10), "{}", came.len());
    match scene.which {
        Which::Stock => assert!(got.marker.is_none() && came.len() == got.head + got.tail, "{got:?}"),
        Which::Ours => assert_eq!(got.marker, Some(text.len() - got.head - got.tail), "{got:?}"),
    }
}

/// With `--overflow-data=keep` a guest whose output nobody reads has to wait, and loses nothing.
pub fn keep_stops_the_guest(scene: &mut Scene) {
    let guest = with_limit(scene, Some("4096"));
    scene.start(&["--overflow-data=keep"]);
    scene.served(&guest);
    let text = numbered(400_000);
    let mut sent = 0;
    // It stands when nothing is taken while the daemon does a lot of other things, for longer than it holds a guest back.
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_secs(1) {
        let count = guest.put(&text[sent..]);
        sent += count;
        if count > 0 {
            since = Instant::now();
        } else {
            scene.barrier();
        }
        assert!(sent < text.len(), "the guest is not stopped");
    }
    // And goes on when somebody reads.
    let (mut tty, mut shown) = (scene.tty(7), Vec::new());
    until("all output", || {
        sent += guest.put(&text[sent..]);
        while let Some(bytes) = tty.read().filter(|bytes| !bytes.is_empty()) {
            shown.extend(bytes);
        }
        (shown.len() >= text.len()).then_some(())
    });
    assert!(shown == text.as_bytes());
}

/// Stock keeps it all, however much it is. Here it is as if the limit were 1 MiB.
pub fn without_a_limit(scene: &mut Scene) {
    let guest = with_limit(scene, None);
    scene.start(&[]);
    scene.served(&guest);
    let text = numbered(1_600_000);
    guest.write(&text);
    guest.drained();
    let came = scene.tty(7).read_until(&text[text.len() - 16..]);
    match scene.which {
        Which::Stock => assert!(came == text.as_bytes()),
        Which::Ours => {
            let got = Came::of(&text, &came);
            assert!(got.head >= 512 << 10 && got.tail >= 256 << 10, "{got:?}");
            assert_eq!(got.marker, Some(text.len() - got.head - got.tail));
        }
    }
}

/// Whatever the toolstack wrote, and even if it is nothing that stands for a number.
pub fn strange_limits(scene: &mut Scene) {
    scene.start(&[]);
    for (domid, limit) in (7..).zip(["0", "-1", "99999999999999999999", "0x100000", "", "many", " 1048576"]) {
        let guest = scene.machine.introduce(domid, "web");
        let mut nodes = console_nodes(&guest);
        nodes.iter_mut().filter(|(node, _)| *node == "limit").for_each(|(_, value)| *value = limit.into());
        scene.machine.announce(&guest, &nodes);
        scene.served(&guest);
        let text = numbered(50_000);
        guest.write(&text);
        guest.drained();
        scene.tty(domid).shows(&text);
    }
}

/// Of a guest that sends events all the time the daemon takes 30 in 200 ms, and is not kept from others. However slow the machine
/// is, there are never more.
pub fn a_storm_of_events_is_held_back(scene: &mut Scene) {
    let (storm, web) = (scene.machine.guest(7, "storm"), scene.machine.guest(8, "web"));
    scene.start(&[]);
    let mut tty = scene.tty(8);
    scene.served(&storm);
    let start = Instant::now();
    let before = storm.told();
    let mut sent = 0_u64;
    for _ in 0..4 {
        for _ in 0..50_000 {
            storm.kick();
            sent += 1;
        }
        web.write("polite\r\n");
        tty.shows("polite\r\n");
    }
    // At most so much in each period; one of them has begun before, and they may be a little shorter.
    let most = 30 * (start.elapsed().as_millis() as u64 / 190 + 2);
    let taken = storm.told() - before;
    assert!(taken <= most && sent > 2 * taken, "{taken} of {sent} events, at most {most}");
    // It is not given up: what it writes comes.
    storm.write("still here\r\n");
    scene.tty(7).shows("still here\r\n");
    until("an empty ring", || (storm.waiting() == 0).then_some(()));
}
