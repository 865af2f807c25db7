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
	volume=$1 device=$2
	shift 2
	# The whole area of the keyslots is wiped: a small one is faster. The data stay where they would be.
	cryptsetup luksFormat --type luks2 $fast --offset 32768 --luks2-keyslots-size 512k "$@" "$device"
	cryptsetup open --key-file "$key" "$device" "$volume"
}

luks1() {
	volume=$1 device=$2
	shift 2
	cryptsetup luksFormat --type luks1 $fast "$@" "$device"
	cryptsetup open --key-file "$key" "$device" "$volume"
}

# reencrypt_until CONDITION DEVICE [OPTION...]: goes on with it until that holds, and stops in the middle.
reencrypt_until() {
	condition=$1 device=$2
	shift 2
	cryptsetup reencrypt $fast --hotzone-size 1M "$@" "$device" >/run/reencrypt 2>&1 &
	until eval "$condition"; do
		kill -0 $! || {
			cat /run/reencrypt
			return 1
		}
		usleep 50000
	done
	kill -INT $!
	wait $! || :
	dmsetup table
}

# crypts COUNT: whether at least so many segments of all tables are encrypted.
crypts() {
	[ "$(dmsetup table | grep -c ' crypt ')" -ge "$1" ]
}

# in_plaintext DEVICE MIB: whether the first marker is in the first part of the device itself.
in_plaintext() {
	dd if="$1" bs=1M count="$2" iflag=direct status=none | grep -q "$contents"
}

# ext4_kept DEVICE DIR: mounts what is there.
ext4_kept() {
	mkdir -p "$2"
	mount -t ext4 "$1" "$2"
}

# apart SCRIPT: runs it in a mount namespace that a process keeps from then on; its number is in /run/pid.
apart() {
	unshare -m sh -euc ". /lib/vm.sh
		$1
		echo \$\$ >/run/pid.new
		mv /run/pid.new /run/pid
		exec sleep 100000" >/run/apart 2>&1 &
	until [ -s /run/pid ]; do
		kill -0 $! || {
			cat /run/apart
			return 1
		}
		usleep 100000
	done
}

# crypt NAME DEVICE [OPTION...]: dm-crypt without a header.
crypt() {
	volume=$1 device=$2
	shift 2
	cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --hash sha512 \
		--key-file "$key" --keyfile-size 64 "$@" "$device" "$volume"
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

# bcache BACKING [CACHE]: /dev/bcache0, which caches all that is written.
bcache() {
	make-bcache -B "$1"
	echo "$1" >/sys/fs/bcache/register
	until [ -b /dev/bcache0 ]; do usleep 100000; done
	[ $# = 2 ] || return 0
	make-bcache -C "$2"
	echo "$2" >/sys/fs/bcache/register
	for set in /sys/fs/bcache/*-*-*; do
		echo "${set##*/}" >/sys/block/bcache0/bcache/attach
	done
	echo writeback >/sys/block/bcache0/bcache/cache_mode
	echo 0 >/sys/block/bcache0/bcache/sequential_cutoff
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

# blank DEVICE: zeroes where the layers keep their metadata. What dm-crypt makes of an empty disk is garbage.
blank() {
	dd if=/dev/zero of="$1" bs=64k count=1 conv=notrunc status=none
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

f2fs() {
	device=$1 dir=$2
	shift 2
	mkfs.f2fs -q -f -t 0 "$@" "$device"
	mkdir -p "$dir"
	mount -t f2fs "$device" "$dir"
}

# fscrypt DIR: encrypts the empty directory by its file system; the key's name is left in $identifier.
fscrypt() {
	identifier=$(head -c 64 "$key" | xfs_io -c add_enckey "$1" | sed 's/.* //')
	xfs_io -c "set_encpolicy -v 2 $identifier" "$1"
}

# ecryptfs LOWER UPPER [names|passthrough]: stacks it; with encrypted file names, or with files from below
# that are not encrypted, if so told.
ecryptfs() {
	lower=$1 upper=$2
	options=ecryptfs_sig=00000000000000c1,ecryptfs_cipher=aes,ecryptfs_key_bytes=32
	case ${3:-} in
	names) options=$options,ecryptfs_fnek_sig=00000000000000f1 ;;
	passthrough) options=$options,ecryptfs_passthrough ;;
	esac
	mkdir -p "$lower" "$upper"
	ecryptfs_key 00000000000000c1
	ecryptfs_key 00000000000000f1
	mount -i -t ecryptfs -o "$options" "$lower" "$upper"
}

# ecryptfs_key SIGNATURE: a random key in the form of `struct ecryptfs_auth_tok`: version 0.4, no session
# key, and a password that has been made a key of 64 bytes already.
ecryptfs_key() {
	{
		printf '\004\000'
		head -c 638 /dev/zero
		printf '\100\000\000\000\002\000\000\000'
		head -c 64 /dev/urandom
		printf '%s\000' "$1"
		head -c 8 /dev/urandom
	} | keyctl padd user "$1" @u
}

# nbd DEVICE: /dev/nbd0, which a server in this guest keeps there.
nbd() {
	load nbd nbds_max=1
	printf '%s\n' '[generic]' 'unixsock = /run/nbd.sock' '[disk]' "exportname = $1" >/run/nbd.conf
	nbd-server -C /run/nbd.conf >/run/nbd.log 2>&1
	until [ -S /run/nbd.sock ]; do usleep 100000; done
	nbd-client -unix /run/nbd.sock /dev/nbd0 -N disk
}

# drbd DEVICE: /dev/drbd0 without a peer.
drbd() {
	mkdir -p /var/lock /var/lib/drbd
	load drbd
	drbdmeta --force 0 v08 "$1" internal create-md
	drbdsetup-84 new-resource r
	drbdsetup-84 new-minor r 0 0
	drbdsetup-84 attach 0 "$1" "$1" internal
	drbdsetup-84 primary --force 0
}

# stuck_fuse DIR: a file system whose server has opened the device and never reads from it.
stuck_fuse() {
	mkdir -p "$1"
	exec 9<>/dev/fuse
	mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 stuck "$1"
	sleep 100000 >/dev/null 2>&1 &
	exec 9>&-
}

# autofs DIR COMMAND: an automount point, and what its daemon does there; then the daemon is silent.
autofs() {
	mkdir -p "$1"
	mkfifo /run/autofs
	# A group of its own: only its own walks do not trigger it.
	setsid sh -euc "exec 9<>/run/autofs
		/usr/sbin/mount -i -t autofs -o fd=9,pgrp=\$\$,minproto=5,maxproto=5,direct daemon $1
		$2
		: >/run/autofs.ready
		exec sleep 100000" >/run/autofs.log 2>&1 &
	until [ -f /run/autofs.ready ]; do
		kill -0 $! || {
			cat /run/autofs.log
			return 1
		}
		usleep 100000
	done
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
		read -r size <"$node/size"
		if [ "$size" != 0 ]; then blockdev --flushbufs "/dev/${node##*/}"; fi
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

# A node is a real process with the arguments of a real one. What a scenario may set before it starts one:
# its product, home and configuration directory,
product=elasticsearch
home=/usr/share/elasticsearch
conf=/etc/elasticsearch
# where it is started, if not in its home,
cwd=
# its root directory as the host sees it, and the command that runs it there,
root=
enter=
# and a script that the server runs first, as its user, such as one that opens files.
does=

# setting KEY VALUE: one more of the node's settings.
setting() {
	mkdir -p "$root$conf"
	echo "$1: $2" >>"$root$conf/$product.yml"
}

# own DIR...: makes them for the node to write to.
own() {
	for dir; do
		mkdir -p "$root$dir"
		chown $product:$product "$root$dir"
	done
}

# program FILE [LAUNCH]: one for `node`, which takes any arguments: a server does what it is told and stays, a
# launcher runs this script.
program() {
	mkdir -p "$root${1%/*}"
	cat >"$root$1" <<-SCRIPT
		#!/bin/sh
		case "\$*" in
		*.launcher.*)
			${2:-:}
			;;
		esac
		$does
		echo \$\$
		exec >/dev/null 2>&1
		# By its path it is another program with arguments of its own.
		/bin/busybox sleep 100000
	SCRIPT
	chmod 755 "$root$1"
}

# node [NAME=VALUE...] PROGRAM ARGUMENT...: starts it as the product's user; the server's number is in /run/pid.
node() {
	run='cd "$0" && exec /bin/busybox env "$@"'
	$enter /bin/busybox su -s /bin/sh -c "$run" -- $product "${cwd:-$home}" "$@" \
		</dev/null >/run/node 2>/run/node.log &
	left=100
	# It says its number, and then writes nowhere.
	until [ -s /run/node ] && [ ! /run/node -ef "/proc/$(cat /run/node)/fd/1" ]; do
		left=$((left - 1))
		[ $left -gt 0 ] || {
			cat /run/node.log
			return 1
		}
		usleep 100000
	done
	mv /run/node /run/pid
	tr '\000' ' ' <"/proc/$(cat /run/pid)/cmdline"
}

# elasticsearch [OPTION...]: a node of one process, with these options of Java.
elasticsearch() {
	program "$home/jdk/bin/java"
	node "$home/jdk/bin/java" -Xshare:auto -Xms1g "$@" "-Des.path.home=$home" "-Des.path.conf=$conf" \
		-Des.distribution.type=deb -cp "$home/lib/*" org.elasticsearch.bootstrap.Elasticsearch \
		-p /var/run/elasticsearch/elasticsearch.pid --quiet
}

# opensearch [OPTION...]: the same of OpenSearch, for which the variables above are set.
opensearch() {
	program "$home/jdk/bin/java"
	node "$home/jdk/bin/java" -Xshare:auto -Xms1g "$@" "-Dopensearch.path.home=$home" \
		"-Dopensearch.path.conf=$conf" -Dopensearch.distribution.type=deb -cp "$home/lib/*" \
		org.opensearch.bootstrap.OpenSearch -p /var/run/opensearch/opensearch.pid --quiet
}

# server [OPTION...]: the words that a launcher starts the server with: nothing of its configuration.
server() {
	printf "'%s' " "$home/jdk/bin/java" -Des.networkaddress.cache.ttl=60 -Xms1g "$@" \
		-Des.distribution.type=deb -Des.java.type=bundled --module-path "$home/lib" --add-modules=jdk.net \
		-m org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch
}

# launcher [SETTING...]: the launcher with these settings.
launcher() {
	node "$home/jdk/bin/java" -Xms4m -XX:+UseSerialGC -Dcli.name=server \
		"-Dcli.script=$home/bin/elasticsearch" -Dcli.libs=lib/tools/server-cli "-Des.path.home=$home" \
		"-Des.path.conf=$conf" -Des.distribution.type=deb -cp "$home/lib/*:$home/lib/cli-launcher/*" \
		org.elasticsearch.launcher.CliToolLauncher "$@"
}

# launched SETTING [OPTION...]: a node of two processes: a launcher with the setting, and below it a server with
# the options of Java.
launched() {
	setting=$1
	shift
	program "$home/jdk/bin/java" "$(server "$@") &
			exec >/dev/null 2>&1
			wait"
	launcher -p /var/run/elasticsearch/elasticsearch.pid --quiet "$setting"
}

# daemonised [OPTION...]: the server, whose launcher is gone: its environment alone names its configuration.
daemonised() {
	program "$home/jdk/bin/java" "ES_PATH_CONF=$conf $(server "$@") &
			exit"
	launcher -d
}

# kibana [OPTION...]: Kibana with the configuration directory that its environment names.
kibana() {
	mkdir -p "$root$home/bin"
	: >"$root$home/bin/kibana"
	program "$home/node/glibc-217/bin/node"
	node "KBN_PATH_CONF=$conf" "$home/bin/../node/glibc-217/bin/node" "$home/bin/../src/cli/dist" "$@"
}

# logstash [OPTION...]: Logstash, which has no launcher.
logstash() {
	program "$home/jdk/bin/java"
	node "$home/jdk/bin/java" -Xms1g "-Djruby.home=$home/vendor/jruby" \
		-cp "$home/vendor/jruby/lib/jruby.jar:$home/logstash-core/lib/jars/logstash-core.jar" \
		org.logstash.Logstash --path.settings "$conf" "$@"
}

# jail DIR: the root directory of a node, with what it needs to run there.
jail() {
	root=$1
	mkdir -p "$root/bin" "$root/dev" "$root/etc" "$root/tmp"
	cp /bin/busybox "$root/bin"
	ln -s busybox "$root/bin/sh"
	cp /etc/passwd /etc/group "$root/etc"
	mknod -m 666 "$root/dev/null" c 1 3
}

# contained COMMAND...: runs it where the node's root directory is the root of all mounts, as in a container.
contained() {
	# The kernel's first root directory cannot be exchanged, one of its own can.
	unshare -m sh -euc 'root=$1
		shift
		mkdir -p /stage
		/usr/sbin/mount -t tmpfs tmpfs /stage
		mkdir /stage/bin /stage/root
		cp /bin/busybox /stage/bin
		/usr/sbin/mount --rbind "$root" /stage/root
		exec chroot /stage /bin/busybox sh -euc "
			cd /root
			/bin/busybox mkdir old
			/bin/busybox pivot_root . old
			/bin/busybox umount -l /old
			/bin/busybox rmdir /old
			exec \"\$@\"" sh "$@"' sh "$root" "$@"
}

# bound DIR AT COMMAND...: runs it where the directory is mounted there, as in a unit with `BindPaths=` or
# `PrivateTmp=`.
bound() {
	unshare -m sh -euc '/usr/sbin/mount -o bind "$1" "$2"
		shift 2
		exec "$@"' sh "$@"
}

# in_cgroup NAME COMMAND...: runs it in a control group of its own.
in_cgroup() {
	mkdir "/sys/fs/cgroup/$1"
	sh -c 'echo $PPID' >"/sys/fs/cgroup/$1/cgroup.procs"
	shift
	"$@"
}

# seen PATH: the path for the host of what the process in /run/pid, if there is one, calls so.
seen() {
	if [ -s /run/pid ]; then
		echo "/proc/$(cat /run/pid)/root$1"
	else
		echo "$1"
	fi
}

# naive PATH [PID]: the types of everything below the device of a path or of a device.
naive() {
	device=$1
	[ -b "$device" ] || device=$(findmnt ${2:+-N $2} -v -n -o SOURCE -T "$1" | tail -n 1)
	lsblk -s -n -o TYPE "$device" || :
}

# within SECONDS COMMAND...: runs it, and gives up on it, dead or alive, when time is up.
within() {
	left=$(($1 * 10))
	shift
	rm -f /run/ended
	{
		status=0
		"$@" || status=$?
		echo $status >/run/ended
	} &
	until [ -s /run/ended ]; do
		[ $left -gt 0 ] || exit 124
		left=$((left - 1))
		usleep 100000
	done
	exit "$(cat /run/ended)"
}
