# What the scripts of the scenarios share. Sourced by `sh -eu`.
#
# A volume is made under a name (`luks2 a /dev/vda` gives /dev/mapper/a); file systems are mounted
# where they are used (`ext4 /dev/mapper/a /data`).

key=/run/key
[ -f "$key" ] || printf 'the one key of all test volumes, as long as the longest cipher key' >"$key"

# Small and fast on purpose: what a header holds is not what these scenarios prove.
fast='-q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /run/key'

# The shell prefers its own, which know less.
losetup() {
	/usr/sbin/losetup "$@"
}

mount() {
	/usr/sbin/mount "$@"
}

# luks2 NAME DEVICE [OPTION...]: formats and opens.
luks2() {
	name=$1 device=$2
	shift 2
	cryptsetup luksFormat --type luks2 $fast "$@" "$device"
	cryptsetup open --key-file "$key" "$device" "$name"
}

luks1() {
	name=$1 device=$2
	shift 2
	cryptsetup luksFormat --type luks1 $fast "$@" "$device"
	cryptsetup open --key-file "$key" "$device" "$name"
}

# crypt NAME DEVICE [OPTION...]: dm-crypt without a header.
crypt() {
	name=$1 device=$2
	shift 2
	cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --hash sha512 \
		--key-file "$key" --keyfile-size 64 "$@" "$device" "$name"
}

# md LEVEL DEVICE...: /dev/md0 over these.
md() {
	level=$1
	shift
	case $level in
	# Nothing to rebuild, nothing to keep track of.
	0 | linear) redundant= ;;
	*) redundant='--assume-clean --bitmap none' ;;
	esac
	mdadm --create /dev/md0 --quiet --run --metadata 1.2 $redundant \
		--level "$level" --raid-devices $# "$@"
}

# hex COUNT: so many random bytes, as a key in a table.
hex() {
	head -c "$1" /dev/urandom | xxd -p | tr -d '\n'
}

# sectors DEVICE: its size.
sectors() {
	blockdev --getsz "$1"
}

# linear NAME DEVICE: the whole device under another name.
linear() {
	dmsetup create "$1" --table "0 $(sectors "$2") linear $2 0"
}

# ext4 DEVICE DIR [MKFS-OPTION...]: makes it and mounts it.
ext4() {
	device=$1 dir=$2
	shift 2
	mkfs.ext4 -q -F -E nodiscard "$@" "$device"
	mkdir -p "$dir"
	mount -t ext4 "$device" "$dir"
}

xfs() {
	device=$1 dir=$2
	shift 2
	mkfs.xfs -q -f -K "$@" "$device"
	mkdir -p "$dir"
	mount -t xfs "$device" "$dir"
}

mount_btrfs() {
	device=$1 dir=$2
	shift 2
	mkfs.btrfs -q -f -K "$@" "$device"
	mkdir -p "$dir"
	mount -t btrfs "$device" "$dir"
}

# load MODULE [PARAMETER...]: one that is not loaded at the start.
load() {
	module=$1
	shift
	insmod "/lib/modules/$module.ko" "$@"
}

# partition DEVICE SECTORS...: a DOS label with primary partitions of these sizes, 1 MiB apart.
partition() {
	device=$1 start=2048 entry=446
	shift
	dd if=/dev/zero of="$device" bs=512 count=1 conv=notrunc status=none
	printf '\125\252' | dd of="$device" bs=1 seek=510 conv=notrunc status=none
	for size; do
		{
			printf '\000\000\000\000\203\000\000\000'
			little_endian $start
			little_endian "$size"
		} | dd of="$device" bs=1 seek=$entry conv=notrunc status=none
		start=$((start + size + 2048)) entry=$((entry + 16))
	done
	blockdev --rereadpt "$device"
}

# little_endian NUMBER: its four bytes.
little_endian() {
	for shift in 0 8 16 24; do
		printf "\\$(printf %03o $(($1 >> shift & 255)))"
	done
}

# settle: everything that was written is on the disks, through every loop file in between.
settle() {
	sync
	sync
	sync
	for node in /sys/block/*; do
		if [ "$(cat "$node/size")" != 0 ]; then blockdev --flushbufs "/dev/${node##*/}"; fi
	done
}

# put DIR [MIB]: a file full of the first marker, and one that is named by the second.
put() {
	yes "$contents" | head -c $((${2:-1} << 20)) >"$1/contents"
	: >"$1/$name"
}

# swap PATH: a swap area there, in use.
swap() {
	chmod 600 "$1"
	mkswap "$1"
	swapon "$1"
}

# swap_out [DIR]: a file in memory, full of the first marker, goes to the swap area.
swap_out() {
	dir=${1:-/run/swapped} mib=8
	cgroup=/sys/fs/cgroup/swapped
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir $cgroup
	mkdir -p "$dir"
	mount -t tmpfs tmpfs "$dir"
	(
		sh -c 'echo $PPID' >$cgroup/cgroup.procs
		yes "$contents" | head -c $((mib << 20)) >"$dir/memory"
	)
	# A page stays charged until it is written; asking again waits for those that are not.
	while [ "$(cat $cgroup/memory.current)" -gt $((1 << 20)) ]; do
		echo ${mib}M >$cgroup/memory.reclaim || :
	done
	cat /proc/swaps
}

# naive PATH: the types of everything below the device of a path or of a device.
naive() {
	device=$1
	[ -b "$device" ] || device=$(findmnt -v -n -o SOURCE -T "$1" | tail -n 1)
	lsblk -s -n -o TYPE "$device" || :
}
