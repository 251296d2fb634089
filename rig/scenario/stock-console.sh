# boots: stock-c
# Beside the daemon the stock one serves the console of a PV guest, in both directions, as if it were alone.
. /rig/lib.sh
log_device 1048576
start_daemon
cat >/tmp/pv.cfg <<-END
	name = "pv"
	type = "pv"
	kernel = "/guest/vmlinux"
	ramdisk = "/guest/initrd"
	extra = "console=hvc0 loglevel=4 nokaslr mitigations=off tsc=reliable"
	tsc_mode = "native"
	memory = 128
	vcpus = 1
END
said() { grep -qa "guest: $1" /var/log/console/guest-pv.log; }
check "xl create" xl create -q /tmp/pv.cfg
check "the guest's output is in the stock daemon's log" within 300 said ready
echo "good day" >"$(xenstore-read "/local/domain/$(xl domid pv)/console/tty")"
check "its input comes through the stock daemon" within 120 said "heard good day"
check "no entry is made for it" no xenstore-exists "/libxl/$(xl domid pv)/logging"
check "xl destroy" xl destroy pv
check "the daemon ends when told to" stop_daemon
