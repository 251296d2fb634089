//! Where a log is cut: whole lines where it can be, and never beyond the limit.

mod scene;

use scene::{Scene, WAYS};

#[test]
fn a_log_is_written_to_its_end_and_counted() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(100, 2).unwrap();
        assert_eq!((log.size(), log.offset()), (0, 0));
        way.append(&mut log, "one\n").unwrap();
        way.append(&mut log, "two\n").unwrap();
        assert_eq!((log.size(), log.offset()), (8, 8));
        assert_eq!(scene.get(0), "one\ntwo\n");
        assert_eq!(scene.files().len(), 1);
    }
}

#[test]
fn lines_that_do_not_fit_begin_the_next_file() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 3).unwrap();
        way.append(&mut log, "aaaa\nbbb\ncccc\ndd\n").unwrap();
        assert_eq!((scene.get(1).as_str(), scene.get(0).as_str()), ("aaaa\nbbb\n", "cccc\ndd\n"));
        way.append(&mut log, "e\n").unwrap();
        assert_eq!(scene.get(0), "cccc\ndd\ne\n", "exactly the limit fits");
        way.append(&mut log, "f\n").unwrap();
        assert_eq!((scene.get(1).as_str(), scene.get(0).as_str()), ("cccc\ndd\ne\n", "f\n"));
        assert_eq!((log.size(), log.offset()), (2, 21));
    }
}

#[test]
fn a_line_whose_head_is_written_fills_the_file() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 3).unwrap();
        way.append(&mut log, "ab\nhead").unwrap();
        way.append(&mut log, "-and-tail\nx\n").unwrap();
        assert_eq!((scene.get(1).as_str(), scene.get(0).as_str()), ("ab\nhead-an", "d-tail\nx\n"));
    }
}

#[test]
fn a_line_longer_than_the_limit_is_split_at_the_limit() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 9).unwrap();
        way.append(&mut log, "ab\n").unwrap();
        way.append(&mut log, "0123456789abcdefghijKLM\nx\n").unwrap();
        let expected = [(3, "ab\n"), (2, "0123456789"), (1, "abcdefghij"), (0, "KLM\nx\n")];
        for (number, content) in expected {
            assert_eq!(scene.get(number), content);
        }
    }
}

#[test]
fn a_line_begins_the_next_file_even_if_its_end_has_not_come_yet() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 2).unwrap();
        way.append(&mut log, "aaaa\n").unwrap();
        way.append(&mut log, "unfinished").unwrap();
        assert_eq!((scene.get(1).as_str(), scene.get(0).as_str()), ("aaaa\n", "unfinished"));
    }
}

#[test]
fn without_copies_the_log_begins_anew() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(10, 0).unwrap();
        way.append(&mut log, "aaaa\nbbbb\ncccc\n").unwrap();
        assert_eq!(scene.texts(), [("q.log".into(), "cccc\n".into())]);
        assert_eq!(log.offset(), 15);
    }
}

#[test]
fn a_large_chunk_goes_through_many_files() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(1000, 5).unwrap();
        let chunk: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
        way.append(&mut log, &chunk).unwrap();
        assert_eq!(log.offset(), chunk.len() as u64);
        assert_eq!(scene.files().len(), 6);
        assert!(scene.total() > 5 * 980);
        let stream = scene.stream();
        assert!(chunk.as_bytes().ends_with(&stream));
        for content in scene.files().values() {
            assert!(content.len() <= 1000);
            assert!(content.starts_with(b"line ") && content.ends_with(b"\n"));
        }
    }
}
