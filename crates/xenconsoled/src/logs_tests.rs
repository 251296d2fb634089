use super::*;
use logproto::{Config, DomId, NODES, RootPath};
use std::path::Path;

fn rules() -> Rules {
    let Config { defaults, mut bounds, .. } = Config::default();
    (bounds.logs_per_domain, bounds.logs_of_host, bounds.logs) = (3, 4, 5);
    let root = |path| RootPath::new(Path::new(path));
    Rules { run: root("/run/xen"), log: root("/var/log/xen"), defaults, bounds }
}

fn key(domid: u16, name: &str) -> EntryKey {
    EntryKey { owner: Owner::Domain(DomId::new(domid).unwrap()), name: name.into() }
}

fn entry(nodes: &[(&str, &str)]) -> Entry {
    let mut entry = Entry::default();
    for (node, value) in [("pipe", "/run/xen/p"), ("file", "/var/log/xen/a.log")].iter().chain(nodes) {
        entry.nodes[NODES.iter().position(|name| name == node).unwrap()] = Some(value.as_bytes().to_vec());
    }
    entry
}

const FIFO: FifoId = FifoId { dev: 1, ino: 1, born: 0 };

/// What a test's world is made of: the logs, and a clock for looks and answers.
struct World {
    logs: Logs,
    now: u64,
    /// What was last seen of each entry.
    store: BTreeMap<EntryKey, (Entry, Option<FifoId>)>,
}

impl World {
    fn new() -> World {
        World { logs: Logs::new(rules()), now: 0, store: BTreeMap::new() }
    }

    fn see_fifo(&mut self, key: &EntryKey, entry: &Entry, fifo: Option<FifoId>) -> Vec<Action> {
        let mut actions = self.see_only(key, entry, fifo);
        // What is asked to be looked at again is as it was.
        while let Some(at) = actions.iter().position(|action| matches!(action, Action::LookAt(_))) {
            let Action::LookAt(key) = actions.remove(at) else { unreachable!() };
            let (mut entry, fifo) = self.store[&key].clone();
            entry.nodes[NODES.len() - 1] = Some(b"ready".to_vec());
            actions.extend(self.see_only(&key, &entry, fifo));
        }
        actions
    }

    fn see_only(&mut self, key: &EntryKey, entry: &Entry, fifo: Option<FifoId>) -> Vec<Action> {
        self.now += 1;
        self.store.insert(key.clone(), (entry.clone(), fifo));
        self.logs.seen(key, &Seen { entry: entry.clone(), fifo, began: self.now });
        self.actions()
    }

    fn see(&mut self, key: &EntryKey, entry: &Entry) -> Vec<Action> {
        self.see_fifo(key, entry, Some(FIFO))
    }

    /// All but what most tests are not about.
    fn actions(&mut self) -> Vec<Action> {
        let mut actions = self.all_actions();
        actions.retain(|action| !matches!(action, Action::Withdraw(_) | Action::Served(_)));
        actions
    }

    fn all_actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.logs.action()).collect()
    }

    fn open(&mut self, key: &EntryKey, entry: &Entry) -> StreamId {
        match &self.see(key, entry)[..] {
            [Action::Open(stream, ..)] => *stream,
            other => panic!("not opened: {other:?}"),
        }
    }

    /// Opens a log and brings its answer into the store.
    fn serve(&mut self, key: &EntryKey, entry: &Entry) -> StreamId {
        let stream = self.open(key, entry);
        self.logs.opened(stream, FIFO);
        assert_eq!(self.actions(), [Action::Answer(key.clone(), Asked::by(entry), Some(FIFO), State::Ready)]);
        self.tell(key, entry);
        stream
    }

    fn tell(&mut self, key: &EntryKey, entry: &Entry) {
        self.now += 1;
        self.logs.told(key, Asked::by(entry), self.now);
    }
}

fn code(actions: &[Action]) -> Code {
    match actions {
        [Action::Answer(_, _, _, State::Error(refusal))] => refusal.code,
        other => panic!("no refusal: {other:?}"),
    }
}

#[test]
fn a_request_is_opened_answered_and_left_alone() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = world.open(&key, &entry(&[]));
    assert_eq!(world.see(&key, &entry(&[])), [], "while it is being opened nothing is done twice");
    world.logs.opened(stream, FIFO);
    assert_eq!(world.actions(), [Action::Answer(key.clone(), Asked::by(&entry(&[])), Some(FIFO), State::Ready)]);
    world.tell(&key, &entry(&[]));
    assert_eq!(world.see(&key, &entry(&[("state", "ready")])), [], "our own answer is no change");
    assert_eq!(world.logs.counts(), (1, 0));
}

#[test]
fn half_an_entry_is_waited_for() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let mut half = entry(&[]);
    half.nodes[1] = None;
    assert_eq!(world.see(&key, &half), []);
    assert_eq!(world.see(&key, &Entry::default()), []);
    world.open(&key, &entry(&[]));
}

#[test]
fn a_removed_entry_ends_its_log() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = world.serve(&key, &entry(&[]));
    assert_eq!(world.see_fifo(&key, &Entry::default(), None), [Action::End(stream, Patience::Drain)]);
    assert_eq!(world.logs.counts(), (0, 1));
    world.logs.ended(stream);
    assert_eq!(world.logs.counts(), (0, 0));
    world.open(&key, &entry(&[]));
}

/// The store was taken to be back too early, before everything had been looked at: logs that a store which had started anew did
/// not know were closed within seconds, under the hands of their writers.
#[test]
fn a_log_whose_entry_a_lost_store_forgot_reads_on() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = world.serve(&key, &entry(&[]));
    world.logs.store_lost();
    assert_eq!(world.see_fifo(&key, &Entry::default(), None), [Action::End(stream, Patience::Endless)]);
}

#[test]
fn an_entry_that_was_seen_again_after_a_loss_says_when_its_log_is_over() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = world.serve(&key, &entry(&[]));
    world.logs.store_lost();
    world.see(&key, &entry(&[("state", "ready")]));
    assert_eq!(world.see_fifo(&key, &Entry::default(), None), [Action::End(stream, Patience::Drain)]);
}

#[test]
fn an_entry_removed_while_it_is_opened_gets_no_answer() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = world.open(&key, &entry(&[]));
    assert_eq!(world.see(&key, &Entry::default()), [Action::End(stream, Patience::Drain)]);
    world.logs.opened(stream, FIFO);
    assert_eq!(world.actions(), []);
    world.logs.ended(stream);
    world.open(&key, &entry(&[]));
}

/// Reports of a stream whose entry had gone on without it were taken for those of its successor.
#[test]
fn a_late_report_of_an_old_stream_says_nothing_of_the_new_one() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let other = entry(&[("pipe", "/run/xen/q"), ("file", "/var/log/xen/b.log")]);
    let old = world.open(&key, &entry(&[]));
    world.see(&key, &Entry::default());
    let new = world.open(&key, &other);
    world.logs.opened(old, FIFO);
    assert_eq!(world.actions(), []);
    world.logs.refused(old, Refusal::new(Code::PipeOpen, "not there"));
    assert_eq!(world.actions(), []);
    world.logs.opened(new, FifoId { dev: 1, ino: 2, born: 0 });
    assert_eq!(
        world.actions(),
        [Action::Answer(key, Asked::by(&other), Some(FifoId { dev: 1, ino: 2, born: 0 }), State::Ready)]
    );
}

/// Its client wrote node by node, the pipe and the file first: the log was begun anew with each further node, and the end of the
/// one before took the FIFO's name away.
#[test]
fn a_request_that_changes_while_it_is_opened_keeps_its_fifo() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let first = world.open(&key, &entry(&[]));
    let more = entry(&[("limit", "8192")]);
    let actions = world.see(&key, &more);
    assert!(actions.iter().all(|action| *action == Action::End(first, Patience::Handover)), "{actions:?}");
    world.logs.opened(first, FIFO);
    world.logs.ended(first);
    assert!(matches!(&world.actions()[..], [Action::Open(_, _, request)] if request.limit == 8192));
}

#[test]
fn a_domain_id_used_again_gets_its_file_after_the_old_pipe_was_emptied() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let old = world.serve(&key, &entry(&[]));
    // Removed and written again within one transaction: one event, no state, another FIFO of the same name.
    let again = world.see_fifo(&key, &entry(&[]), Some(FifoId { dev: 1, ino: 2, born: 0 }));
    assert_eq!(again, [Action::End(old, Patience::Drain), Action::End(old, Patience::Handover)]);
    world.logs.ended(old);
    let actions = world.actions();
    assert!(matches!(&actions[..], [Action::Open(new, ..)] if *new != old), "{actions:?}");
}

#[test]
fn a_fifo_made_anew_under_an_answered_entry_is_a_new_request() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let old = world.serve(&key, &entry(&[]));
    let actions = world.see_fifo(&key, &entry(&[("state", "ready")]), Some(FifoId { dev: 1, ino: 2, born: 0 }));
    assert_eq!(actions[0], Action::End(old, Patience::Drain));
}

#[test]
fn a_fifo_unlinked_by_its_toolstack_changes_nothing() {
    let (mut world, key) = (World::new(), key(5, "a"));
    world.serve(&key, &entry(&[]));
    assert_eq!(world.see_fifo(&key, &entry(&[("state", "ready")]), None), []);
}

#[test]
fn a_client_that_asks_again_for_the_very_same_is_answered_again() {
    let (mut world, key) = (World::new(), key(5, "a"));
    world.serve(&key, &entry(&[]));
    assert_eq!(
        world.see(&key, &entry(&[])),
        [Action::Answer(key.clone(), Asked::by(&entry(&[])), Some(FIFO), State::Ready)]
    );
}

#[test]
fn a_look_from_before_the_answer_is_no_new_request() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = world.open(&key, &entry(&[]));
    world.logs.opened(stream, FIFO);
    world.actions();
    let began = world.now;
    world.tell(&key, &entry(&[]));
    world.logs.seen(&key, &Seen { entry: entry(&[]), fifo: Some(FIFO), began });
    assert_eq!(world.actions(), []);
}

#[test]
fn other_bounds_are_taken_up_while_it_runs() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = world.serve(&key, &entry(&[]));
    let changed = entry(&[("limit", "8192"), ("copies", "1"), ("state", "ready")]);
    let actions = world.see(&key, &changed);
    let adjusted = |request: &Request| (request.limit, request.copies) == (8192, 1);
    assert!(matches!(&actions[0], Action::Adjust(of, request) if *of == stream && adjusted(request)), "{actions:?}");
}

#[test]
fn a_refusal_is_told_once_and_a_corrected_entry_is_heard() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let bad = entry(&[("limit", "0x10")]);
    assert_eq!(code(&world.see(&key, &bad)), Code::BadLimit);
    world.tell(&key, &bad);
    assert_eq!(world.see(&key, &entry(&[("limit", "0x10"), ("state", "error")])), []);
    assert_eq!(world.logs.counts(), (0, 0));
    world.open(&key, &entry(&[("limit", "8192"), ("state", "error")]));
}

#[test]
fn a_refused_client_may_ask_for_the_same_again() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = world.open(&key, &entry(&[]));
    world.logs.refused(stream, Refusal::new(Code::PipeOpen, "not there"));
    assert_eq!(code(&world.actions()), Code::PipeOpen);
    world.tell(&key, &entry(&[]));
    assert_eq!(world.see(&key, &entry(&[("state", "error")])), []);
    world.open(&key, &entry(&[]));
}

#[test]
fn two_live_entries_never_share_a_file_or_a_copys_name() {
    let mut world = World::new();
    world.serve(&key(5, "a"), &entry(&[("copies", "3")]));
    let other = |file: &str, copies: &str| entry(&[("pipe", "/run/xen/q"), ("file", file), ("copies", copies)]);
    for (file, copies) in [("/var/log/xen/a.log", "0"), ("/var/log/xen/a.log.2", "0")] {
        let actions = world.see(&key(6, "b"), &other(file, copies));
        assert_eq!(code(&actions), Code::InUse);
        let Action::Answer(_, _, _, State::Error(refusal)) = &actions[0] else { unreachable!() };
        assert!(refusal.text.contains("/libxl/6/logging/b/file") && refusal.text.contains("/libxl/5/logging/a"));
    }
    world.open(&key(6, "b"), &other("/var/log/xen/a.log.4", "0"));
}

/// Nobody saw to it that a pipe has one reader: an entry that came back with another file while its pipe was read on, or two
/// entries with one pipe, got each a part of the bytes.
#[test]
fn a_pipe_never_has_two_readers() {
    let (mut world, key) = (World::new(), |domid| key(domid, "a"));
    let old = world.serve(&key(5), &entry(&[]));
    let other = entry(&[("file", "/var/log/xen/b.log")]);
    let actions = world.see(&key(6), &other);
    assert_eq!(code(&actions), Code::InUse);
    let Action::Answer(_, _, _, State::Error(refusal)) = &actions[0] else { unreachable!() };
    assert!(refusal.text.contains("/libxl/6/logging/a/pipe") && refusal.text.contains("/libxl/5/logging/a"));
    world.tell(&key(6), &other);
    world.see(&key(5), &Entry::default());
    assert_eq!(world.see(&key(6), &other), [Action::End(old, Patience::Handover)], "and the FIFO keeps its name");
    world.logs.ended(old);
    assert!(matches!(&world.actions()[..], [Action::Open(..)]));
}

#[test]
fn a_new_fifo_of_an_old_name_has_nothing_to_do_with_the_old_one() {
    let (mut world, key) = (World::new(), |domid| key(domid, "a"));
    world.serve(&key(5), &entry(&[]));
    let other = entry(&[("file", "/var/log/xen/b.log")]);
    let actions = world.see_fifo(&key(6), &other, Some(FifoId { dev: 1, ino: 2, born: 0 }));
    assert!(matches!(&actions[..], [Action::Open(..)]), "{actions:?}");
}

#[test]
fn a_refused_rival_never_frees_the_holders_file() {
    let mut world = World::new();
    let holder = world.serve(&key(5, "a"), &entry(&[]));
    let rival = entry(&[("pipe", "/run/xen/q")]);
    assert_eq!(code(&world.see(&key(6, "b"), &rival)), Code::InUse);
    world.see(&key(6, "b"), &Entry::default());
    assert_eq!(code(&world.see(&key(6, "b"), &rival)), Code::InUse);
    world.see(&key(5, "a"), &Entry::default());
    let actions = world.see(&key(7, "c"), &rival);
    assert_eq!(actions, [Action::End(holder, Patience::None)]);
}

#[test]
fn there_are_only_so_many_logs() {
    let mut world = World::new();
    let nth = |n: usize| entry(&[("pipe", &*format!("/run/xen/{n}")), ("file", &*format!("/var/log/xen/{n}.log"))]);
    for n in 0..3 {
        world.open(&key(5, &n.to_string()), &nth(n));
    }
    assert_eq!(code(&world.see(&key(5, "more"), &nth(3))), Code::TooMany);
    world.open(&key(6, "a"), &nth(4));
    world.open(&key(6, "b"), &nth(5));
    assert_eq!(code(&world.see(&key(7, "a"), &nth(6))), Code::TooMany, "the host is full");
    world.see(&key(6, "b"), &Entry::default());
    world.open(&key(7, "b"), &nth(6));
}

#[test]
fn after_a_lost_connection_everything_is_answered_again() {
    let mut world = World::new();
    world.serve(&key(5, "a"), &entry(&[]));
    let bad = entry(&[("limit", "1")]);
    world.see(&key(6, "b"), &bad);
    world.tell(&key(6, "b"), &bad);
    world.logs.store_lost();
    let ready = entry(&[("state", "ready")]);
    assert_eq!(
        world.see(&key(5, "a"), &ready),
        [Action::Answer(key(5, "a"), Asked::by(&ready), Some(FIFO), State::Ready)]
    );
    assert_eq!(code(&world.see(&key(6, "b"), &entry(&[("limit", "1"), ("state", "error")]))), Code::BadLimit);
}

#[test]
fn two_that_wait_for_one_file_get_it_one_after_the_other() {
    let mut world = World::new();
    let old = world.serve(&key(5, "a"), &entry(&[]));
    world.see(&key(5, "a"), &Entry::default());
    assert_eq!(world.see(&key(6, "b"), &entry(&[])), [Action::End(old, Patience::Handover)]);
    assert_eq!(world.see(&key(7, "c"), &entry(&[])), [Action::End(old, Patience::Handover)]);
    world.logs.ended(old);
    let actions = world.actions();
    assert!(
        matches!(&actions[0], Action::Open(_, key, _) if key.entry().unwrap().owner == Owner::Domain(DomId::new(6).unwrap()))
    );
    assert_eq!(actions[1..], [Action::LookAt(key(6, "b"))]);
    assert_eq!(code(&world.see(&key(6, "b"), &entry(&[]))), Code::InUse, "for the other");
}

#[test]
fn the_same_pipe_into_another_file_never_has_two_readers() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let old = world.serve(&key, &entry(&[]));
    let actions = world.see(&key, &entry(&[("file", "/var/log/xen/b.log")]));
    assert!(actions.iter().all(|action| *action == Action::End(old, Patience::Handover)), "{actions:?}");
    world.logs.ended(old);
    assert!(matches!(&world.actions()[..], [Action::Open(..)]));
}

#[test]
fn a_log_that_was_taken_over_is_answered_and_goes_on() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let first = world.serve(&key, &entry(&[]));
    let Some(Stage::Ready(_, request)) = world.logs.logs.get(&key).map(|log| &log.stage) else { unreachable!() };
    let mut next = World::new();
    next.logs.resume(first, key.clone().into(), request.clone(), FIFO, false);
    let ready = entry(&[("state", "ready")]);
    assert_eq!(next.see(&key, &ready), [Action::Answer(key.clone(), Asked::by(&ready), Some(FIFO), State::Ready)]);
    next.tell(&key, &ready);
    assert_eq!(next.see(&key, &ready), []);
    assert_eq!(next.see(&key, &Entry::default()), [Action::End(first, Patience::Drain)]);
}

#[test]
fn a_log_that_was_taken_over_at_its_end_gives_its_file_up() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let Ok(Some(request)) = entry(&[]).check(&key, &rules()) else { unreachable!() };
    world.logs.resume(StreamId(7), key.clone().into(), request, FIFO, true);
    assert_eq!(world.see(&key, &entry(&[])), [Action::End(StreamId(7), Patience::Handover)]);
    world.logs.ended(StreamId(7));
    assert!(matches!(&world.actions()[..], [Action::Open(StreamId(8), ..)]), "and no number is used twice");
}

/// A client had removed its entry and its FIFO and was about to ask again in the same words, with a new FIFO of the same name. A
/// look at the old entry found the new FIFO; it was opened for a request that was gone, and with the end of that its name was taken
/// away, before the new request was even read. Or the answer that was still owed to the old request was given to the new one, and
/// what was written into a FIFO that nobody read was lost.
#[test]
fn an_answer_is_for_one_fifo_and_what_nobody_was_told_of_has_no_claim_to_its_name() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = world.open(&key, &entry(&[]));
    world.logs.opened(stream, FIFO);
    let answer = Action::Answer(key.clone(), Asked::by(&entry(&[])), Some(FIFO), State::Ready);
    assert_eq!(world.all_actions(), [answer]);
    world.now += 1;
    world.logs.seen(&key, &Seen { entry: Entry::default(), fifo: None, began: world.now });
    let end = Action::End(stream, Patience::Drain);
    assert_eq!(world.all_actions(), [Action::Withdraw(key.clone()), end], "not told, so not served");
    world.logs.ended(stream);
    let stream = world.open(&key, &entry(&[]));
    world.logs.opened(stream, FIFO);
    world.actions();
    world.tell(&key, &entry(&[]));
    assert_eq!(world.all_actions(), [Action::Served(stream)]);
}

/// It was refused since its FIFO was gone. The client had asked again meanwhile, with a new one, and got the old answer.
#[test]
fn a_refusal_is_for_one_fifo_too() {
    let (mut world, key) = (World::new(), key(5, "a"));
    let stream = match &world.see_fifo(&key, &entry(&[]), None)[..] {
        [Action::Open(stream, ..)] => *stream,
        other => panic!("not opened: {other:?}"),
    };
    world.logs.refused(stream, Refusal::new(Code::PipeOpen, "gone"));
    let refusal = State::Error(Refusal::new(Code::PipeOpen, "gone"));
    assert_eq!(world.actions(), [Action::Answer(key.clone(), Asked::by(&entry(&[])), None, refusal.clone())]);
    let same = world.see_fifo(&key, &entry(&[]), None);
    assert_eq!(
        same,
        [Action::Answer(key.clone(), Asked::by(&entry(&[])), None, refusal)],
        "as long as nothing changes"
    );
    world.open(&key, &entry(&[]));
}

/// A domain was destroyed and another created with the same file while the daemon was busy: the new entry was looked at before
/// the old one's removal, and was refused.
#[test]
fn a_file_whose_holder_is_gone_and_only_not_seen_to_be_is_not_refused() {
    let mut world = World::new();
    let old = world.serve(&key(5, "a"), &entry(&[]));
    let rival = entry(&[("pipe", "/run/xen/q")]);
    assert_eq!(world.see_only(&key(6, "b"), &rival, Some(FIFO)), [Action::LookAt(key(5, "a"))]);
    let actions = world.see(&key(5, "a"), &Entry::default());
    assert_eq!(actions, [Action::End(old, Patience::Drain), Action::End(old, Patience::None)]);
    world.logs.ended(old);
    assert!(matches!(&world.actions()[..], [Action::Open(_, of, _)] if *of == LogKey::Entry(key(6, "b"))));
}
