//! Guests that do not keep to the rules of the ring: all of the page is theirs to write.

use testbed::{Index, until};

use crate::scene::{Scene, Which};

/// More bytes than the ring has room for, and fewer than none. It is passed over, and when it is put right, all is well.
pub fn an_impossible_index_harms_nobody(scene: &mut Scene) {
    let (evil, web) = (scene.machine.guest(7, "evil"), scene.machine.guest(8, "web"));
    scene.start(&["--log=guest"]);
    let mut tty = scene.tty(8);
    evil.write("before\n");
    scene.log_holds("guest-evil.log", "before\n");
    let good = evil.index(Index::OutProd);
    for ahead in [2049, 4096, 100_000, 1 << 31, u32::MAX] {
        evil.set_index(Index::OutProd, good.wrapping_add(ahead));
        for _ in 0..3 {
            evil.kick();
            web.write("polite\r\n");
            tty.shows("polite\r\n");
        }
    }
    evil.set_index(Index::OutProd, good);
    evil.write("after\n");
    scene.log_holds("guest-evil.log", "before\nafter\n");
}

/// Stock goes by what stands in the page, and takes the same bytes again.
pub fn a_guest_that_rewinds_the_daemons_index(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "evil");
    scene.start(&["--log=guest"]);
    guest.write("once\n");
    scene.log_holds("guest-evil.log", "once\n");
    guest.drained();
    scene.barrier();
    guest.set_index(Index::OutCons, 0);
    guest.kick();
    match scene.which {
        Which::Stock => scene.log_holds("guest-evil.log", "once\nonce\n"),
        Which::Ours => {
            scene.barrier();
            guest.set_index(Index::OutCons, 5);
            guest.write("twice\n");
            scene.log_holds("guest-evil.log", "once\ntwice\n");
        }
    }
}

pub fn a_guest_that_scribbles_over_its_page(scene: &mut Scene) {
    let (evil, web) = (scene.machine.guest(7, "evil"), scene.machine.guest(8, "web"));
    scene.start(&["--log=guest"]);
    let (mut tty, mut typist) = (scene.tty(8), scene.tty(7));
    for byte in [0xff, 0x00, 0xa5, 0x7f] {
        evil.scribble(byte);
        for index in [Index::OutProd, Index::InProd, Index::InCons, Index::OutCons] {
            evil.set_index(index, u32::MAX / u32::from(byte.max(1)));
            evil.kick();
            typist.types("typed");
            web.write("polite\r\n");
            tty.shows("polite\r\n");
        }
    }
    scene.barrier();
}

/// Nothing is typed into a ring that says that it has more than it can have.
pub fn a_guest_that_claims_to_have_read_what_was_never_typed(scene: &mut Scene) {
    let guest = scene.machine.guest(7, "evil");
    scene.start(&[]);
    let mut tty = scene.tty(7);
    tty.types("a");
    assert_eq!(guest.read(1), b"a");
    let good = guest.index(Index::InCons);
    guest.set_index(Index::InCons, good.wrapping_add(100));
    guest.kick();
    tty.types("b");
    scene.barrier();
    guest.set_index(Index::InCons, good);
    guest.kick();
    until("what was typed", || (guest.take() == b"b").then_some(()));
}
