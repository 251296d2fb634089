# boots: ours-c
# A Linux PV guest through all that xl does with guests and their consoles.
. /rig/consoles.sh
create_with_console web linux-pv
attach_and_detach web
rename_guest web shop
save_and_restore shop
reboot_guest shop xl reboot shop
check "xl shutdown" xl shutdown -w shop
check "the log has the kernel's last word" within 60 logged shop "reboot: "
guest crasher linux-pv
check "xl create" xl create -q "$cfg"
last_words crasher
destroy crasher
