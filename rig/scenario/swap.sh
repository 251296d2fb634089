# boots: stock-c
# On a running host the stock daemon is stopped and ours started, and back again: guests go on, so do their consoles and
# logs, and a terminal that is attached finds the new console by itself.
. /rig/consoles.sh
guest web linux-pv
check "xl create" xl create -q "$cfg"
guest count tiny-pvh
check "xl create" xl create -q "$cfg"
check "the guests are up" within 300 logged web "guest: ready"
type_at count numbers
open_terminal session xl console web
check "a terminal is attached" gets_through "to begin with"

# swap_to DAEMON
swap_to() {
  no_consoles
  number=$(last_number $console_logs/guest-count.log)
  serve_consoles "$1"
  check "$1: the attached terminal goes on" gets_through "under $1, ${2:-first}"
  check "$1: so does the log" within 60 logged web "guest: heard under $1, ${2:-first}"
  check "$1: and the other guest" within 120 number_reaches $console_logs/guest-count.log $((number + 500))
}
swap_to "${SWAP_TO:-ours}"
swap_to stock again
check "it is the same terminal" no terminal_ended
check "nothing of the guest's output is missing" ledger $console_logs/guest-count.log
