//! What a node writes to is found by nobody's word: from the arguments, the environment, the settings and the open
//! files of real processes, each path in the eyes of the process.
//!
//! Where a process is what must be found, its configuration directory is not that of the package, which is looked
//! for anyway.

use atrest_tests::vm::scenario::{Scenario, Verdict};

pub(super) const ALL: &[Scenario] = &[
    Scenario::new(
        "services-one-jvm-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es
        conf=/srv/conf
        setting path.data /srv/es
        elasticsearch",
    )
    .finding("data", "/srv/es")
    .encrypted(),
    Scenario::new(
        "services-one-jvm-on-plain",
        "ext4 /dev/vda /srv/es
        conf=/srv/conf
        setting path.data /srv/es
        elasticsearch",
    )
    .finding("data", "/srv/es")
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    // Nothing sets it: it is below the home.
    Scenario::new(
        "services-data-by-default",
        "ext4 /dev/vda /usr/share/elasticsearch/data
        conf=/srv/conf
        setting cluster.name prod
        elasticsearch",
    )
    .finding("data", "/usr/share/elasticsearch/data")
    .unencrypted(&["plain_device"], &["/dev/vda"]),
    Scenario::new(
        "services-one-of-two-data-paths-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/a
        ext4 /dev/vdb /srv/b
        conf=/srv/conf
        setting path.data '[/srv/a, /srv/b]'
        elasticsearch",
    )
    .finding("data", "/srv/b")
    .also("/srv/a", Verdict::Encrypted)
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    // The settings file is overruled by what only the launcher was told.
    Scenario::new(
        "services-launcher-names-the-data",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/a
        ext4 /dev/vdb /srv/b
        setting path.data /srv/a
        launched -Epath.data=/srv/b",
    )
    .finding("data", "/srv/b")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-launcher-gone",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/a
        ext4 /dev/vdb /srv/b
        setting path.data /srv/a
        conf=/opt/conf
        setting path.data /srv/b
        daemonised",
    )
    .finding("data", "/srv/b")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-private-tmp-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /tmp
        ext4 /dev/vdb /var/tmp
        mkdir -p /tmp/elasticsearch-1 /var/tmp/private/elasticsearch-1
        setting path.data /srv/es
        enter='bound /var/tmp/private /tmp'
        launched --verbose -Djava.io.tmpdir=/tmp/elasticsearch-1",
    )
    .needs("unshare")
    .finding("temp", "/tmp/elasticsearch-1")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-private-tmp-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/tmp
        ext4 /dev/vdb /tmp
        mkdir -p /tmp/elasticsearch-1 /var/tmp/private/elasticsearch-1
        setting path.data /srv/es
        enter='bound /var/tmp/private /tmp'
        elasticsearch -Djava.io.tmpdir=/tmp/elasticsearch-1",
    )
    .needs("unshare")
    .finding("temp", "/tmp/elasticsearch-1")
    .encrypted(),
    Scenario::new(
        "services-in-a-chroot",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/lib/elasticsearch
        ext4 /dev/vdb /jail/var/lib/elasticsearch
        jail /jail
        enter='chroot /jail'
        setting path.data /var/lib/elasticsearch
        elasticsearch",
    )
    .finding("data", "/var/lib/elasticsearch")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-in-a-container-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /volume
        ext4 /dev/vdb /layers
        mkdir /layers/upper /layers/work /lower /merged
        mount -t overlay -o lowerdir=/lower,upperdir=/layers/upper,workdir=/layers/work overlay /merged
        jail /merged
        conf=$home/config
        mkdir -p /merged$home/data
        mount -o bind /volume /merged$home/data
        enter=contained
        setting cluster.name docker-cluster
        elasticsearch",
    )
    .needs("unshare")
    .finding("data", "/usr/share/elasticsearch/data")
    .encrypted(),
    Scenario::new(
        "services-container-logs-to-its-layer",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /volume
        ext4 /dev/vdb /layers
        mkdir /layers/upper /layers/work /lower /merged
        mount -t overlay -o lowerdir=/lower,upperdir=/layers/upper,workdir=/layers/work overlay /merged
        jail /merged
        conf=$home/config
        mkdir -p /merged$home/data /merged$home/logs
        mount -o bind /volume /merged$home/data
        enter=contained
        setting cluster.name docker-cluster
        elasticsearch",
    )
    .needs("unshare")
    .finding("logs", "/usr/share/elasticsearch/logs")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-log-appender-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/log/elasticsearch
        ext4 /dev/vdb /srv/audit
        conf=/srv/conf
        setting path.logs /var/log/elasticsearch
        cat >/srv/conf/log4j2.properties <<'END'
appender.rolling.fileName = ${sys:es.logs.base_path}${sys:file.separator}${sys:es.logs.cluster_name}_server.json
appender.audit.type = RollingFile
appender.audit.fileName = /srv/audit/${sys:es.logs.cluster_name}_audit.json
END
        launched --verbose",
    )
    .finding("logs", "/srv/audit")
    .also("/var/log/elasticsearch", Verdict::Encrypted)
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-heap-dump-where-it-works",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es
        ext4 /dev/vdb /run-here
        mkdir /run-here/data
        setting path.data /srv/es
        cwd=/run-here
        elasticsearch -XX:+HeapDumpOnOutOfMemoryError -XX:HeapDumpPath=data",
    )
    .finding("heap-dump", "/run-here/data")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-open-log-that-nothing-names",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es
        ext4 /dev/vdb /mnt/plain
        own /mnt/plain
        setting path.data /srv/es
        does='exec 3>>/mnt/plain/x.log'
        elasticsearch",
    )
    .finding("logs", "/mnt/plain")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    // It runs with the settings that it was started with.
    Scenario::new(
        "services-settings-changed-since",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/new
        ext4 /dev/vdb /srv/old
        own /srv/old
        setting path.data /srv/old
        does='exec 3>>/srv/old/node.lock'
        elasticsearch
        rm /etc/elasticsearch/elasticsearch.yml
        setting path.data /srv/new",
    )
    .finding("data", "/srv/old")
    .also("/srv/new", Verdict::Encrypted)
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    // The name leads to the new volume, and the node goes on writing to the old one.
    Scenario::new(
        "services-data-that-something-was-mounted-over",
        "ext4 /dev/vdb /srv
        own /srv/es
        setting path.data /srv/es
        does='exec 3>>/srv/es/node.lock'
        elasticsearch
        put /srv/es
        settle
        luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es",
    )
    .finding("data", "/srv/es")
    .writing(&[])
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-data-that-was-unmounted-lazily",
        "ext4 /dev/vdb /srv/es
        own /srv/es
        setting path.data /srv/es
        does='exec 3>>/srv/es/node.lock'
        elasticsearch
        put /srv/es
        settle
        umount -l /srv/es
        luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es",
    )
    // The file has lost the name of its directory.
    .finding("data", "/")
    .also("/srv/es", Verdict::Encrypted)
    .writing(&[])
    .unknown(&["unreadable"])
    .leaks(&["vdb"]),
    Scenario::new(
        "services-works-below-what-was-mounted-over",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es
        ext4 /dev/vdb /works
        mkdir -p /works/here/data
        setting path.data /srv/es
        cwd=/works/here
        elasticsearch -XX:+HeapDumpOnOutOfMemoryError -XX:HeapDumpPath=data
        put /works/here/data
        settle
        crypt b /dev/vdc
        ext4 /dev/mapper/b /works/here
        mkdir /works/here/data",
    )
    .finding("heap-dump", "/works/here/data")
    .writing(&[])
    .unknown(&["unreadable"])
    .leaks(&["vdb"]),
    Scenario::new(
        "services-opensearch-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/lib/opensearch
        product=opensearch home=/usr/share/opensearch conf=/srv/conf
        setting path.data /var/lib/opensearch
        opensearch -XX:HeapDumpPath=data",
    )
    .finding("data", "/var/lib/opensearch")
    .encrypted(),
    Scenario::new(
        "services-stopped-node-of-a-unit",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/lib/elasticsearch
        ext4 /dev/vdb /srv/hot
        setting path.data /var/lib/elasticsearch
        conf=/srv/conf
        setting path.data /srv/hot
        mkdir -p /etc/systemd/system
        printf '%s\\n' '[Service]' Environment=ES_HOME=/usr/share/elasticsearch Environment=ES_PATH_CONF=/srv/conf \
            ExecStart=/usr/share/elasticsearch/bin/elasticsearch >/etc/systemd/system/es-hot.service",
    )
    .finding("data", "/srv/hot")
    .also("/var/lib/elasticsearch", Verdict::Encrypted)
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-keystore-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es
        ext4 /dev/vdb /srv/conf
        conf=/srv/conf
        setting path.data /srv/es
        elasticsearch",
    )
    .finding("config", "/srv/conf")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    // A node with another root has a configuration directory of the same name.
    Scenario::new(
        "services-stopped-beside-a-chroot",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /jail/srv/jailed
        ext4 /dev/vdb /srv/es
        setting path.data /srv/es
        jail /jail
        enter='chroot /jail'
        setting path.data /srv/jailed
        elasticsearch
        mv /run/pid /run/jailed",
    )
    .finding("data", "/srv/es")
    .also("/srv/jailed", Verdict::Encrypted)
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-gc-log-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es
        ext4 /dev/vdb /srv/gc
        conf=/srv/conf
        setting path.data /srv/es
        launched --verbose -XX:ErrorFile=/srv/es/hs_err_pid%p.log \
            '-Xlog:gc*,gc+age=trace,safepoint:file=/srv/gc/gc.log:utctime,level,pid,tags:filecount=32,filesize=64m'",
    )
    .finding("logs", "/srv/gc")
    .also("/srv/es", Verdict::Encrypted)
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-repository-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es
        ext4 /dev/vdb /mnt/backup
        conf=/srv/conf
        setting path.data /srv/es
        setting path.repo '[\"/mnt/backup\"]'
        elasticsearch",
    )
    .finding("repository", "/mnt/backup")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    // The option that turns it on, without the one that says where to.
    Scenario::new(
        "services-heap-dump-without-a-path",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es
        ext4 /dev/vdb /run-here
        conf=/srv/conf
        setting path.data /srv/es
        cwd=/run-here
        launched --verbose -XX:+HeapDumpOnOutOfMemoryError",
    )
    .finding("heap-dump", "/run-here")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-core-dump-where-it-works",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/es
        ext4 /dev/vdb /run-here
        conf=/srv/conf
        setting path.data /srv/es
        echo core >/proc/sys/kernel/core_pattern
        ulimit -c unlimited
        cwd=/run-here
        elasticsearch",
    )
    .finding("core-dump", "/run-here")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-data-behind-a-link",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/lib
        ext4 /dev/vdb /mnt/plain
        mkdir /mnt/plain/es
        ln -s /mnt/plain/es /var/lib/elasticsearch
        conf=/srv/conf
        setting path.data /var/lib/elasticsearch
        elasticsearch",
    )
    .finding("data", "/var/lib/elasticsearch")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-data-named-by-a-variable",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/a
        ext4 /dev/vdb /srv/b
        mkdir /srv/b/es
        conf=/srv/conf
        setting path.data '${DATA}/es'
        export DATA=/srv/b
        daemonised",
    )
    .finding("data", "/srv/b/es")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-second-node-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/a
        ext4 /dev/vdb /srv/b
        conf=/srv/conf
        setting node.name none
        launched -Epath.data=/srv/a
        launched -Epath.data=/srv/b",
    )
    .finding("data", "/srv/b")
    .also("/srv/a", Verdict::Encrypted)
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    // On the host the same name is a directory on LUKS.
    Scenario::new(
        "services-data-bound-by-its-unit",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv
        ext4 /dev/vdb /mnt/plain
        mkdir /srv/es /mnt/plain/es
        conf=/srv/conf
        setting path.data /srv/es
        enter='bound /mnt/plain/es /srv/es'
        elasticsearch",
    )
    .needs("unshare")
    .finding("data", "/srv/es")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-open-log-in-a-chroot",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /jail
        ext4 /dev/vdb /jail/extra
        jail /jail
        own /extra
        enter='chroot /jail'
        conf=/srv/conf
        setting path.data /srv/es
        does='exec 3>>/extra/x.log'
        elasticsearch",
    )
    .finding("logs", "/extra")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    // What the image makes of a variable, of a container that its control group tells.
    Scenario::new(
        "services-container-variable-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /layers
        ext4 /dev/vdb /volume
        mkdir /layers/upper /layers/work /lower /merged
        mount -t overlay -o lowerdir=/lower,upperdir=/layers/upper,workdir=/layers/work overlay /merged
        jail /merged
        conf=$home/config
        mkdir -p /merged$home/data /merged/plain
        mount -o bind /volume /merged/plain
        enter=\"in_cgroup docker-$(hex 32).scope contained\"
        export ES_SETTING_PATH_DATA=/plain
        setting cluster.name docker-cluster
        elasticsearch",
    )
    .needs("unshare")
    .finding("data", "/plain")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-kibana-data-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/lib/kibana
        ext4 /dev/vdb /srv/kibana
        product=kibana home=/usr/share/kibana conf=/srv/conf
        setting path.data /srv/kibana
        kibana",
    )
    .finding("data", "/srv/kibana")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-kibana-log-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/lib/kibana
        ext4 /dev/vdb /var/log/kibana
        product=kibana home=/usr/share/kibana conf=/srv/conf
        setting path.data /var/lib/kibana
        setting logging.appenders.file.type file
        setting logging.appenders.file.fileName /var/log/kibana/kibana.log
        kibana",
    )
    .finding("logs", "/var/log/kibana")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-logstash-queue-on-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/lib/logstash
        ext4 /dev/vdb /srv/queue
        mkdir /srv/queue/main
        product=logstash home=/usr/share/logstash conf=/srv/conf
        setting path.data /var/lib/logstash
        printf '%s\\n' '- pipeline.id: main' '  queue.type: persisted' '  path.queue: /srv/queue' \
            >/srv/conf/pipelines.yml
        logstash",
    )
    .finding("queue", "/srv/queue/main")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    // Nothing has it open: only the pipeline names it.
    Scenario::new(
        "services-logstash-pipeline-writes-to-plain",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /var/lib/logstash
        ext4 /dev/vdb /srv/events
        product=logstash home=/usr/share/logstash conf=/srv/conf
        setting path.data /var/lib/logstash
        printf '%s\\n' '- pipeline.id: main' '  path.config: /srv/conf/main.conf' >/srv/conf/pipelines.yml
        printf '%s\\n' 'output { file { path => \"/srv/events/%{host}.log\" } }' >/srv/conf/main.conf
        logstash",
    )
    .finding("data", "/srv/events")
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
    Scenario::new(
        "services-logstash-data-on-luks",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /srv/logstash
        ext4 /dev/vdb /var/lib/logstash
        product=logstash home=/usr/share/logstash conf=/srv/conf
        setting path.data /var/lib/logstash
        logstash --path.data /srv/logstash",
    )
    .finding("data", "/srv/logstash")
    .encrypted(),
    Scenario::new(
        "services-stopped-logstash-by-a-jail",
        "luks2 a /dev/vda
        ext4 /dev/mapper/a /jail/srv/jailed
        ext4 /dev/vdb /srv/logstash
        product=logstash home=/usr/share/logstash conf=/etc/logstash
        setting path.data /srv/logstash
        jail /jail
        enter='chroot /jail'
        setting path.data /srv/jailed
        logstash
        mv /run/pid /run/jailed",
    )
    .finding("data", "/srv/logstash")
    .also("/srv/jailed", Verdict::Encrypted)
    .unencrypted(&["plain_device"], &["/dev/vdb"]),
];
