# Sourced by the scenarios consoles-*: what xl does with guests and their consoles, the same for every kind of guest.
. /rig/lib.sh

# create_with_console NAME KIND [LINE...]: `xl create -c` shows the guest from its beginning and takes input; Ctrl-] ends it
# and nothing else.
create_with_console() {
  guest "$@"
  open_terminal create xl create -c "$cfg"
  check "xl create -c shows what the guest says" within 300 shows "guest: ready"
  check "what is typed there reaches the guest" answers "good day"
  check "the log has both" within 60 logged "$1" "guest: heard good day"
  type_keys '\035'
  check "Ctrl-] ends it" within 60 terminal_ended
  check "and not the guest" no gone "$1"
}

# attach_and_detach NAME [OPTION...]: xl console.
attach_and_detach() {
  name=$1
  shift
  printf 'nobody looks\n' >"$(tty_of "$name")"
  check "a guest that nobody looks at goes on" within 120 logged "$name" "guest: heard nobody looks"
  open_terminal attach xl console "$@" "$name"
  check "xl console shows what it said meanwhile" within 60 shows "guest: heard nobody looks"
  check "what is typed there reaches the guest" answers "back again"
  check "a second one is refused" no terminal /dev/null "$keys" xl console "$@" "$name"
  check "the first one goes on" answers "still here"
  type_keys '\035'
  check "Ctrl-] ends it" within 60 terminal_ended
  check "the guest goes on" sh -c "echo alone >$(tty_of "$name")"
  check "and is logged" within 120 logged "$name" "guest: heard alone"
}

# type_at NAME TEXT: without a terminal of its own; heard NAME TEXT: the guest has answered, the log says so.
type_at() { printf '%s\n' "$2" >"$(tty_of "$1")"; }
heard() { type_at "$1" "$2" && within 120 logged "$1" "guest: heard $2"; }

# rename_guest OLD NEW: the log goes on under the new name at SIGHUP.
rename_guest() {
  check "xl rename" xl rename "$1" "$2"
  kill -HUP "$(console_daemon)"
  new_log() { test -e "$console_logs/guest-$1.log"; }
  check "at SIGHUP there is a log of the new name" within 60 new_log "$2"
  check "it is the guest's log now" heard "$2" "a new name"
  check "the old one is not" no logged "$1" "guest: heard a new name"
}

# save_and_restore NAME
save_and_restore() {
  boots=$(times_logged "$1" "guest: ready")
  check "xl save" xl save "$1" /tmp/saved
  check "xl restore" xl restore /tmp/saved
  check "the guest goes on, and its console" heard "$1" "after restore"
  check "it is not a new one" is "$(times_logged "$1" "guest: ready")" "$boots"
  rm -f /tmp/saved
}

# migrate_to_self NAME: on the way the domain has another name, which is then the name of its log, until SIGHUP.
migrate_to_self() {
  boots=$(times_logged "$1" "guest: ready")
  check "xl migrate" xl migrate -s "" "$1" "xl migrate-receive"
  kill -HUP "$(console_daemon)"
  check "the guest goes on, and its console" heard "$1" "after migration"
  check "it is not a new one" is "$(times_logged "$1" "guest: ready")" "$boots"
}

# reboot_guest NAME COMMAND...: COMMAND makes it reboot.
reboot_guest() {
  name=$1
  before=$(xl domid "$name") boots=$(times_logged "$name" "guest: ready")
  shift
  check "$*" "$@"
  again() { no is "$(xl domid "$name" 2>/dev/null || echo "$before")" "$before"; }
  check "the guest is another domain" within 120 again
  check "its log goes on" within 120 booted_again
  check "and its console takes input" heard "$name" "after reboot"
}
booted_again() { at_least $((boots + 1)) "$(times_logged "$name" "guest: ready")"; }

# last_words NAME: a guest that crashes keeps its console. $crash is how it is told to.
last_words() {
  open_terminal crash xl console ${2+"$2" "$3"} "$1"
  check "a console to see the crash" answers "before"
  type_keys "${crash:-crash}\r"
  check "the terminal shows the last words" within 120 shows "guest: last words"
  crashed() { xl list "$1" | awk 'NR == 2 && $5 ~ /c/ { found = 1 } END { exit !found }'; }
  check "the guest has crashed" within 120 crashed "$1"
  check "its last words are in the log" within 60 logged "$1" "guest: last words"
  type_keys '\035'
  check "Ctrl-] ends the terminal" within 60 terminal_ended
  open_terminal crashed xl console ${2+"$2" "$3"} "$1"
  check "one can attach to a crashed guest" within 60 attached "$(tty_of "$1")"
  type_keys '\035'
  check "and detach" within 60 terminal_ended
}

# destroy NAME: an attached terminal ends, the pty goes.
destroy() {
  domain=$1
  pty=$(tty_of "$domain")
  open_terminal destroyed xl console ${2+"$2" "$3"} "$domain"
  check "a terminal is attached" within 60 attached "$pty"
  check "xl destroy" xl destroy "$domain"
  check "an attached terminal ends" within 60 terminal_ended
  check "the pty is gone" within 60 no test -e "$pty"
}
