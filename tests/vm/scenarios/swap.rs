//! Memory that reaches a disk, made to do so: the marker is swapped out.

use atrest_tests::vm::scenario::Scenario;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("swap-on-plain", "swap /dev/vdb")
        .swap("/dev/vdb")
        .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new("swap-on-luks", "luks2 a /dev/vdb\nswap /dev/mapper/a")
        .swap("/dev/mapper/a")
        .encrypted(),
    Scenario::new("swap-on-plain-dm-crypt", "crypt a /dev/vdb\nswap /dev/mapper/a")
        .swap("/dev/mapper/a")
        .encrypted(),
    Scenario::new(
        "swap-on-lvm-on-luks",
        "luks2 a /dev/vda
        vgcreate -q -y vg /dev/mapper/a
        lvcreate -q -y -n swap -L 64M vg
        swap /dev/vg/swap",
    )
    .swap("/dev/mapper/vg-swap")
    .encrypted(),
    Scenario::new(
        "swap-file-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        dd if=/dev/zero of=/below/file bs=1M count=32 status=none
        swap /below/file",
    )
    .swap("/below/file")
    .encrypted(),
    Scenario::new(
        "swap-file-on-plain",
        "ext4 /dev/vda /below
        dd if=/dev/zero of=/below/file bs=1M count=32 status=none
        swap /below/file",
    )
    .swap("/below/file")
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "swap-file-hidden-by-a-luks-mount",
        "ext4 /dev/vdb /below
        dd if=/dev/zero of=/below/file bs=1M count=32 status=none
        swap /below/file
        luks2 a /dev/vda
        ext4 /dev/mapper/a /below
        truncate -s 32M /below/file",
    )
    .swap("/below/file")
    .unencrypted(&["plain_device"], &["/dev/vdb"])
    .pending("the kernel does not name a hidden file: unknown will do"),
    Scenario::new(
        "swap-on-zram",
        "load zram
        echo 64M >/sys/block/zram0/disksize
        swap /dev/zram0",
    )
    .swap("/dev/zram0")
    .volatile(),
    Scenario::new(
        "swap-with-a-random-key",
        "cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --hash sha512 \\
            --key-file /dev/urandom /dev/vdb a
        swap /dev/mapper/a",
    )
    .swap("/dev/mapper/a")
    .encrypted(),
    Scenario::new(
        "swap-with-the-null-cipher",
        "dmsetup create a --table \"0 $(sectors /dev/vdb) crypt cipher_null-ecb - 0 /dev/vdb 0\"
        swap /dev/mapper/a",
    )
    .swap("/dev/mapper/a")
    .unencrypted(&["null_cipher"], &["/dev/vdb"]),
    Scenario::new(
        "swap-on-zram-written-back-to-plain",
        "load zram
        echo /dev/vdb >/sys/block/zram0/backing_dev
        echo 64M >/sys/block/zram0/disksize
        swap /dev/zram0
        # Random words between the markers: what compresses well is not written back.
        mkdir /run/random
        mount -t tmpfs tmpfs /run/random
        cgroup=/sys/fs/cgroup/random
        echo +memory >/sys/fs/cgroup/cgroup.subtree_control
        mkdir $cgroup
        (
            sh -c 'echo $PPID' >$cgroup/cgroup.procs
            for part in 1 2 3 4 5 6 7 8; do
                for half in 1 2; do echo \"$contents\"; head -c 4000 /dev/urandom; done
            done >/run/random/file
        )
        while [ \"$(cat $cgroup/memory.current)\" -gt 16384 ]; do
            before=$(cat $cgroup/memory.current)
            echo 8M >$cgroup/memory.reclaim || :
            [ \"$(cat $cgroup/memory.current)\" != \"$before\" ] || break
        done
        echo all >/sys/block/zram0/idle
        echo idle >/sys/block/zram0/writeback",
    )
    .swap("/dev/zram0")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
];
