//! Where a log is cut: whole lines where it can be, and never beyond the limit.

mod scene;

use std::os::fd::AsFd;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use logfile::{Error, Scratch};
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

/// The pipe is larger than the one to look at bytes in was made, which has to follow.
#[test]
fn long_lines_in_a_large_pipe_stay_whole() {
    for way in WAYS {
        let scene = Scene::new();
        let mut log = scene.open(250_000, 5).unwrap();
        let lines: Vec<String> = (0..5).map(|number| format!("{}\n", number.to_string().repeat(100_000))).collect();
        way.append(&mut log, lines.concat()).unwrap();
        let expected = [(2, &lines[..2]), (1, &lines[2..4]), (0, &lines[4..])];
        for (number, lines) in expected {
            assert!(scene.get(number) == lines.concat(), "file {number}");
        }
    }
}

#[test]
fn a_pipe_with_less_than_was_said_is_an_error_and_nobody_waits() {
    let scene = Scene::new();
    let mut log = scene.open(10, 2).unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"aaaa\nbbb\n").unwrap();
    // The writer stays, and writes nothing more. It goes after a while all the same, so that this test has an end.
    let (done, is_done) = channel::<()>();
    let holder = std::thread::spawn(move || {
        let waited = is_done.recv_timeout(Duration::from_secs(60));
        drop(writer);
        waited
    });
    let mut scratch = Scratch::new().unwrap();
    let error = log.append_from_pipe(reader.as_fd(), 13, &mut scratch).unwrap_err();
    assert!(matches!(error.source, Error::PipeRanDry { missing: 4, .. }), "{error}");
    assert_eq!((error.written, scene.get(0).as_str()), (9, "aaaa\nbbb\n"));
    let error = log.append_from_pipe(reader.as_fd(), 1, &mut scratch).unwrap_err();
    assert!(matches!(error.source, Error::PipeRanDry { missing: 1, .. }), "{error}");
    drop(done);
    assert_eq!(holder.join().unwrap(), Err(RecvTimeoutError::Disconnected), "it waited for the writer");
}
