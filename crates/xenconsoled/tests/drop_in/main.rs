//! One suite, two daemons: what is promised of consoles and the hypervisor's log holds for the stock daemon, as Debian ships it,
//! and for this one in its place. Where they are meant to differ, a case says what each does (`scene.which`); the list is in
//! docs/compatibility.md.
//!
//! Each case has a machine of its own: a hypervisor without Xen, the real C xenstored, guests that the case plays.

mod background;
mod backlog;
mod client;
mod consoles;
mod hypervisor_log;
mod life;
mod logs;
mod names;
mod nodes;
mod options;
mod pages;
mod rings;
mod scene;
mod stamps;
mod tty;

use scene::{Scene, Which};

fn run(which: Which, case: fn(&mut Scene)) {
    if which.available() {
        case(&mut Scene::new(which));
    }
}

/// Makes of each case a test in a module of this name.
macro_rules! cases {
    ($daemon:ident: $which:ident, $($module:ident { $($case:ident)* })*) => {
        mod $daemon {
            $(mod $module { $(#[test] fn $case() { crate::run(crate::Which::$which, crate::$module::$case); })* })*
        }
    };
}

/// All cases with this daemon, such as `stock::backlog::output_waits_for_a_reader`.
macro_rules! suite {
    ($daemon:ident: $which:ident) => {
        cases! {
            $daemon: $which,
            options {
                version_and_help
                an_unknown_option_is_an_error
                root_is_required
                unknown_values_are_passed_by
                options_may_be_abbreviated_and_words_are_passed_by
            }
            background {
                the_daemon_goes_to_the_background
                a_longer_number_in_the_pid_file
                sigterm_ends_it
                as_many_descriptors_as_a_full_host_needs
            }
            logs {
                what_is_logged_is_what_was_asked_for
                a_log_holds_every_byte
                a_log_goes_on_where_it_ended
                sighup_opens_logs_again
                sighup_takes_a_new_name
                a_log_that_was_truncated_goes_on_at_its_beginning
                a_log_that_cannot_be_written
                mode_of_a_log
                without_a_directory_consoles_are_served
                escape_is_replaced_in_logs_only
            }
            stamps {
                lines_are_stamped
                stamps_are_in_local_time
                only_what_was_asked_for_is_stamped
                guests_in_turns
            }
            names {
                a_slash_in_a_name
                a_name_that_leads_up
                a_name_that_is_too_long
                an_empty_name
                one_name_for_two
            }
            consoles {
                a_tty_is_there_when_it_is_published
                the_pty_is_raw
                output_without_a_log
                more_than_a_ring_of_output
                more_than_a_ring_of_input
                the_pty_outlives_its_clients
                a_hundred_guests
                on_oxenstored
                the_connection_is_told_to_the_guest
                a_vuart
                domain_0_has_none
                the_store_dies
                no_store_at_all
                two_clients
                many_write_while_somebody_types
            }
            nodes {
                nodes_in_any_order
                a_console_before_its_domain
                no_type_is_fine
                ioemu_is_passed_by
                a_type_that_changes
                numbers_as_stock_reads_them
                a_guest_that_writes_its_node_all_the_time
            }
            backlog {
                output_waits_for_a_reader
                discard_keeps_the_oldest_half_and_the_newest
                keep_stops_the_guest
                without_a_limit
                strange_limits
                a_storm_of_events_is_held_back
            }
            life {
                a_crashed_domain_keeps_its_console
                a_shut_down_domain_keeps_its_console
                a_destroyed_domain_loses_its_console
                a_domain_that_is_dying_loses_its_console
                last_words
                last_words_of_a_crash
                a_domain_id_is_used_again
                domains_come_and_go
                nodes_go_before_the_domain
                a_domain_that_is_there_already
                another_port
                another_page
            }
            rings {
                an_impossible_index_harms_nobody
                a_guest_that_rewinds_the_daemons_index
                a_guest_that_scribbles_over_its_page
                a_guest_that_claims_to_have_read_what_was_never_typed
            }
            pages {
                without_grants
                a_grant_that_fails
                no_page_at_all
                another_page_that_cannot_be_had
                a_port_that_cannot_be_bound
            }
            hypervisor_log {
                what_was_there_and_what_comes
                more_than_is_read_at_once
                after_a_restart
                a_ring_that_ran_over
                without_a_file
                another_holds_the_interrupt
                no_guest_is_logged
            }
            client {
                a_session
                a_restart_is_followed
                a_second_client_is_refused
                a_destroyed_domain_ends_it
                a_waiting_client_is_served
            }
        }
    };
}

suite!(stock: Stock);
suite!(ours: Ours);
