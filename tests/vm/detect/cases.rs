//! Every detection, in the order in which they run.

use super::Case;

/// A node whose data and configuration are on LUKS; a second path that is a directory of the same volume.
pub(super) const SETUP: &str = "
luks2 a /dev/vda
ext4 /dev/mapper/a /data
mkdir -p /data/a /data/b /data/conf /etc/elasticsearch
mount -o bind /data/conf /etc/elasticsearch
setting path.data /data/a
printf x >/etc/elasticsearch/elasticsearch.keystore
chown root:elasticsearch /etc/elasticsearch/elasticsearch.keystore
chmod 660 /etc/elasticsearch/elasticsearch.keystore
elasticsearch
mkfs.ext4 -q -F /dev/vdb
mkswap /dev/vdc
begin_all
";

pub(super) const ALL: &[Case] = &[
    Case {
        name: "detect-keystore-mode",
        script: "
        quiet
        does chmod 666 /etc/elasticsearch/elasticsearch.keystore
        hooked firing firing keystore_permissions elasticsearch.keystore
        heard 'a file changed'
        quiet
        does chmod 660 /etc/elasticsearch/elasticsearch.keystore
        hooked resolved resolved keystore_permissions elasticsearch.keystore
        heard 'a file changed'
        ",
    },
    // As an editor or the product's tool does it.
    Case {
        name: "detect-keystore-replaced",
        script: "
        cd /etc/elasticsearch
        printf y >/run/new
        chmod 666 /run/new
        quiet
        does mv /run/new elasticsearch.keystore
        hooked firing firing keystore_permissions elasticsearch.keystore
        printf z >elasticsearch.keystore.tmp
        chown root:elasticsearch elasticsearch.keystore.tmp
        chmod 660 elasticsearch.keystore.tmp
        quiet
        does mv elasticsearch.keystore.tmp elasticsearch.keystore
        hooked resolved resolved keystore_permissions elasticsearch.keystore
        heard 'a file changed'
        ",
    },
    Case {
        name: "detect-plain-disk-mounted",
        script: "
        quiet
        does mount -t ext4 /dev/vdb /data/b
        hooked firing firing volume_encrypted /data/b
        heard 'the mounts changed'
        quiet
        does umount /data/b
        hooked resolved resolved volume_encrypted /data/b
        heard 'the mounts changed'
        ",
    },
    Case {
        name: "detect-disk-formatted-and-mounted",
        script: "
        format() {
            mkfs.ext4 -q -F /dev/vdb
            mount -t ext4 /dev/vdb /data/b
        }
        quiet
        does format
        hooked firing firing volume_encrypted /data/b
        heard 'the mounts changed'
        quiet
        does umount /data/b
        hooked resolved resolved volume_encrypted /data/b
        heard 'the mounts changed'
        ",
    },
    // No mount changes: only the device says so.
    Case {
        name: "detect-table-becomes-plain",
        script: "
        turn() {
            dmsetup suspend b
            dmsetup load b --table \"$1\"
            dmsetup resume b
        }
        crypt b /dev/vdd
        mkfs.ext4 -q -F /dev/mapper/b
        # Nothing may be written while it is another device.
        mount -t ext4 -o ro /dev/mapper/b /data/b
        dmsetup table --showkeys b >/run/table
        quiet
        does turn \"0 $(sectors /dev/mapper/b) linear /dev/vdd 0\"
        hooked firing firing volume_encrypted /data/b
        heard 'a block device changed'
        quiet
        does turn \"$(cat /run/table)\"
        hooked resolved resolved volume_encrypted /data/b
        heard 'a block device changed'
        ",
    },
    Case {
        name: "detect-luks-closed",
        script: "
        close() {
            umount /data/b
            cryptsetup close b
        }
        quiet
        does close
        logged reported 'server holds everything'
        heard 'a block device changed'
        ",
    },
    Case {
        name: "detect-node-ends-and-starts",
        script: "
        quiet
        does kill $(cat /run/pid)
        logged ended 'server holds everything'
        heard 'a process ended'
        mkdir -p /run/systemd/units
        # The directory came after the last look; one more makes it known.
        kill -HUP $(cat /run/agent.pid)
        quiet
        start() {
            elasticsearch
            ln -s x /run/systemd/units/invocation:elasticsearch.service
        }
        does start
        logged started 'server holds everything'
        heard 'a file changed starts=true'
        ",
    },
    Case {
        name: "detect-changed-while-down",
        script: "
        end_agent
        mark=$(wc -l <$hook)
        chmod 666 /etc/elasticsearch/elasticsearch.keystore
        changed=$(date -u -d @$(stat -c %Z /etc/elasticsearch/elasticsearch.keystore) +%Y-%m-%dT%H:%M:%SZ)
        sleep 3
        does begin_agent
        hooked firing firing keystore_permissions elasticsearch.keystore
        # Not when it was seen, but when it was done.
        holds \"changed_at.*$changed\"
        chmod 660 /etc/elasticsearch/elasticsearch.keystore
        quiet
        ",
    },
    Case {
        name: "detect-missed-files",
        script: "
        end_agent
        echo 16 >/proc/sys/fs/inotify/max_queued_events
        begin_agent
        quiet
        mark=$(wc -l <$hook)
        kill -STOP $(cat /run/agent.pid)
        for count in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            : >/etc/elasticsearch/storm.$count
            rm /etc/elasticsearch/storm.$count
        done
        chmod 666 /etc/elasticsearch/elasticsearch.keystore
        does kill -CONT $(cat /run/agent.pid)
        # What the full queue did not take is seen, and that it was full is told.
        hooked firing firing keystore_permissions elasticsearch.keystore
        holds 'changes of files'
        atrestctl node vm --format json | grep 'were missed at'
        chmod 660 /etc/elasticsearch/elasticsearch.keystore
        echo 16384 >/proc/sys/fs/inotify/max_queued_events
        ",
    },
    Case {
        name: "detect-missed-devices",
        script: "
        end_agent
        begin_agent
        quiet
        kill -STOP $(cat /run/agent.pid)
        count=0
        while [ $count -lt 4000 ]; do
            echo change >/sys/block/vda/uevent
            count=$((count + 1))
        done
        does kill -CONT $(cat /run/agent.pid)
        logged scanned scanning
        holds 'changes of devices'
        ",
    },
    Case {
        name: "detect-limit-of-watches",
        script: "
        quiet
        echo 1 >/proc/sys/fs/inotify/max_user_watches
        # Another directory, which is not watched yet.
        umount /etc/elasticsearch
        holds 'limit of watches is reached'
        echo 65536 >/proc/sys/fs/inotify/max_user_watches
        mount -o bind /data/conf /etc/elasticsearch
        holds_no 'limit of watches is reached'
        quiet
        # What is watched again is seen.
        does chmod 666 /etc/elasticsearch/elasticsearch.keystore
        hooked firing firing keystore_permissions elasticsearch.keystore
        chmod 660 /etc/elasticsearch/elasticsearch.keystore
        ",
    },
    Case {
        name: "detect-clock-set",
        script: "
        quiet
        does date -s @$(($(date +%s) + 120))
        logged scanned scanning
        heard 'the clock was set'
        ",
    },
    Case {
        name: "detect-swap-added",
        script: "
        quiet
        does swapon /dev/vdc
        hooked firing firing swap_encrypted /dev/vdc
        heard 'the swap areas changed'
        does swapoff /dev/vdc
        hooked resolved resolved swap_encrypted /dev/vdc
        ",
    },
];
