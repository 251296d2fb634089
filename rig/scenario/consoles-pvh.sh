# boots: ours-ocaml
# The same as consoles-pv for a PVH guest.
. /rig/consoles.sh
create_with_console web linux-pvh
attach_and_detach web
rename_guest web shop
save_and_restore shop
migrate_to_self shop
reboot_guest shop xl reboot shop
check "xl shutdown" xl shutdown -w shop
check "the log has the kernel's last word" within 60 logged shop "reboot: "
guest crasher linux-pvh
check "xl create" xl create -q "$cfg"
last_words crasher
destroy crasher
