# boots: ours-c
# An HVM guest has two consoles: its serial port, which QEMU serves and which is what xl shows unless told otherwise, and
# the same PV console as other guests, which is the daemon's.
. /rig/consoles.sh
guest web tiny-hvm
check "xl create" xl create -q "$cfg"
check "the guest's console is logged" within 120 logged web "guest: ready"
open_terminal serial xl console web
check "its serial port is another terminal" no is "$(xenstore-read "/local/domain/$(xl domid web)/serial/0/tty")" "$(tty_of web)"
# QEMU drops what is written while nobody has the terminal open.
on_serial_port() { type_at web "say it" && shows "serial: heard say it"; }
check "xl console shows the serial port" within 120 on_serial_port
check "which is not in the log" no logged web "serial: heard"
type_keys '\035'
check "Ctrl-] ends it" within 60 terminal_ended
attach_and_detach web -t pv
rename_guest web shop
save_and_restore shop
migrate_to_self shop
reboot_guest shop type_at shop reboot
destroy shop -t pv
guest crasher tiny-hvm
check "xl create" xl create -q "$cfg"
# Only the stock daemon needs an event for what it said last.
is "$RIG_DAEMON" stock || crash="crash silently"
last_words crasher -t pv
