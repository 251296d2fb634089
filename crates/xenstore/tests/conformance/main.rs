//! One suite for every store: Xen's xenstored (C) and oxenstored (OCaml), unmodified, and the embedded one. What all
//! three do is what the clients of this crate may rely on; where they differ, the case says how and takes either.

mod directories;
mod domains;
mod loss;
mod nodes;
mod permissions;
mod pipelining;
mod removal;
mod sessions;
mod transactions;
mod watcher;
mod watches;

use testbed::{Store, StoreKind};

/// Makes of each case one test for each store, such as `c::watch_fires_once_at_first`.
macro_rules! on_every_store {
    ($($module:ident { $($case:ident)* })*) => {
        mod c {
            $($(#[test] fn $case() { crate::run(crate::StoreKind::C, crate::$module::$case); })*)*
        }
        mod ocaml {
            $($(#[test] fn $case() { crate::run(crate::StoreKind::OCaml, crate::$module::$case); })*)*
        }
        mod embedded {
            $($(#[test] fn $case() { crate::run(crate::StoreKind::Embedded, crate::$module::$case); })*)*
        }
    };
}

fn run(kind: StoreKind, case: fn(&mut Store)) {
    if kind.available() {
        case(&mut Store::start(kind));
    }
}

on_every_store! {
    nodes {
        any_bytes_come_back
        empty_value_is_a_value
        value_is_replaced
        absent_node_is_told
        write_makes_the_nodes_above
        mkdir_makes_an_empty_node_and_keeps_one_that_is_there
        rm_takes_all_below
        rm_of_an_absent_node_is_fine_if_its_parent_is_there
        rm_of_an_absent_node_without_parent_harms_nobody
        rm_of_the_root_is_not_sent
        every_allowed_character_is_allowed
        what_no_store_takes_is_not_sent
        largest_message_and_one_byte_more
        long_paths
    }
    directories {
        children_are_listed
        a_node_without_children_lists_none
        a_list_of_two_thousand
        a_long_list_within_a_transaction
        a_long_list_that_changes_while_it_is_read
    }
    permissions {
        permissions_come_back
        children_inherit
        permissions_of_an_absent_node
        permissions_of_a_special_node
    }
    watches {
        watch_fires_once_at_first
        watch_reports_the_node_and_below_and_nothing_else
        watch_reports_every_kind_of_change
        watch_on_the_root_reports_all
        watch_is_told_apart_by_token
        watch_twice_is_refused
        watch_of_others_and_of_oneself
        watch_outlives_its_node
        unwatch_ends_the_events
        unwatch_of_nothing_is_told
        tokens_hold_any_text
    }
    removal {
        removal_is_one_event_for_a_watch_above
        removal_is_reported_to_watches_on_what_went
        removal_and_watches_below_what_was_there
    }
    transactions {
        committed_all_at_once
        aborted_by_an_error
        aborted_by_a_panic
        nobody_outside_sees_inside_nor_the_reverse
        conflict_is_tried_again
        conflict_without_end_is_given_up
        changes_elsewhere_are_no_conflict
        events_come_at_commit
        an_aborted_transaction_has_no_events
        removed_and_written_again_in_one
        five_hundred_nodes_in_one
        unknown_transaction_is_refused
    }
    domains {
        home_of_a_domain
        introduced_and_released
    }
    pipelining {
        ten_thousand_requests_at_once
        one_connection_many_transactions
        a_storm_of_events_loses_none_and_blocks_no_reply
        events_wait_while_nobody_takes_them
    }
    loss {
        a_dead_store_ends_every_call
        a_dead_store_ends_a_waiting_client
        a_transaction_is_gone_with_its_connection
        a_silent_store_is_a_timeout_and_its_late_answer_no_harm
        a_client_may_wait_forever
        no_event_within_the_deadline_is_none
    }
    sessions {
        first_scan_then_events
        restart_of_the_store_ends_in_one_rescan
        a_store_that_comes_later_is_found
        a_silent_store_is_lost_and_found
        a_session_without_watches_waits_for_an_answer_too
        watches_come_and_go
    }
}
