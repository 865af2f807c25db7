#!/bin/busybox sh
# The first process of the guest: brings the kernel up, then runs what the host sends.
#
# An order is a line `VERB SIZE` and SIZE bytes of a shell script. After `run` the answer is a line
# `done STATUS OUT ERR` and OUT and ERR bytes of what the script printed. After `stream` it is
# whatever the script prints while it runs, and then a zero byte and a line `done STATUS 0 0`.

/bin/busybox --install -s /bin
# The tools under test come first, busybox fills up.
export PATH=/usr/sbin:/bin
export HOME=/root LC_ALL=C
export DM_DISABLE_UDEV=1 MDADM_NO_UDEV=1

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/lvm /run/cryptsetup /run/mount
mount -t cgroup2 cgroup2 /sys/fs/cgroup
hostname vm
ip link set lo up
echo 3 >/proc/sys/kernel/printk

while read -r module; do
	insmod "/lib/modules/$module" || echo "init: cannot load $module"
done </lib/modules/order
echo "init: modules are loaded"

port=
while [ -z "$port" ]; do
	for dir in /sys/class/virtio-ports/*; do
		if [ "$(cat "$dir/name" 2>/dev/null)" = orders ]; then port=/dev/${dir##*/}; fi
	done
	# The kernel learns of the port from the host a moment after the driver is there.
	[ -n "$port" ] || usleep 10000
done
exec 3<>"$port"
printf 'ready\n' >&3

while read -r verb size <&3; do
	head -c "$size" <&3 >/run/order.sh
	case $verb in
	run)
		sh -eu /run/order.sh </dev/null >/run/order.out 2>/run/order.err 3>&-
		status=$?
		out=$(stat -c %s /run/order.out) err=$(stat -c %s /run/order.err)
		printf 'done %s %s %s\n' "$status" "$out" "$err" >&3
		cat /run/order.out /run/order.err >&3
		;;
	stream)
		{
			sh -eu /run/order.sh </dev/null 2>&1 3>&-
			printf '\0done %s 0 0\n' $?
		} >&3
		;;
	*)
		echo "init: unknown order $verb"
		;;
	esac
done

# The host's end is closed: it has ended without ending this machine.
poweroff -f
