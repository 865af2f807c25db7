#!/bin/bash
# What is done in the guest; run by a unit of its systemd. Each line says how one thing went.
set -uo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
cd /install || exit
. ./version

check() {
    local what=$1
    shift
    local code=0
    "$@" >/tmp/check.log 2>&1 || code=$?
    if [ "$code" = 0 ]; then
        echo "ok      machine: $what"
    else
        echo "FAILED  machine: $what ($code): $*"
        tail -n 30 /tmp/check.log | sed 's/^/        /'
    fi
}

not() { ! "$@"; }

# Waits for a state that comes by itself, at most two minutes.
await() {
    local deadline=$((SECONDS + 120))
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        read -r -t 1 <> <(:) || true
    done
}

verdict() { atrestctl node node-1 --format json | tr -d ' \n' | grep -qF "$1"; }
active() { [ "$(systemctl is-active "$1")" = active ]; }
said() { journalctl -u "$1" -o cat --no-pager | grep -qF "$2"; }
listing() {
    find /etc /usr /var/lib -xdev \( -path /var/lib/dpkg -o -path /var/lib/systemd \) -prune -o ! -path '/etc/*-' ! -path /etc/.pwd.lock \
        ! -path /etc/atrest-notes -printf '%y %m %u %g %p\n' | sort
}

mkdir -p /srv/secret /srv/plain
printf secret | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vdb - &&
    printf secret | cryptsetup open /dev/vdb secret -
mke2fs -q -t ext4 /dev/mapper/secret && mount /dev/mapper/secret /srv/secret
mke2fs -q -t ext4 /dev/vdc && mount /dev/vdc /srv/plain
listing >/tmp/before

check "the packages install" dpkg -i "atrest-agent_$version-1_amd64.deb" "atrest-server_$version-1_amd64.deb"
check "the server is ready" active atrest-server
check "the agent is ready" active atrest-agent
check "the server runs under its own account" [ "$(stat -c %U "/proc/$(systemctl show -P MainPID atrest-server)")" = atrest-server ]
check "the half that looks is ready" active atrest-observer
account() { stat -c %U "/proc/$(systemctl show -P MainPID "$1")"; }
status() { grep -h "^$2:" "/proc/$(systemctl show -P MainPID "$1")/status" | tr -d ' \t'; }
check "the half that talks runs under its own account" [ "$(account atrest-agent)" = atrest-agent ]
check "the half that talks has no capability" [ "$(status atrest-agent CapPrm)$(status atrest-agent CapBnd)" = CapPrm:0000000000000000CapBnd:0000000000000000 ]
check "the half that looks runs under its own account" [ "$(account atrest-observer)" = atrest-observer ]
# CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SYS_ADMIN.
check "the half that looks has three capabilities" [ "$(status atrest-observer CapPrm)" = CapPrm:0000000000280004 ]
check "the half that looks has no network" [ "$(grep -c : "/proc/$(systemctl show -P MainPID atrest-observer)/net/dev")" = 1 ]
check "state is the account's own" [ "$(stat -c %U:%a /var/lib/atrest-agent)" = atrest-agent:700 ]

sed -i 's|^#paths = .*|paths = ["/srv/secret", "/srv/plain"]|' /etc/atrest/agent.toml
check "the agent takes its configuration" systemctl restart atrest-agent
atrestctl token create --cluster test >token 2>/tmp/token.log || cat /tmp/token.log
check "the host enrols" atrest-agent enroll "$(head -n 1 token)"
check "the identity is the account's own" [ "$(stat -c %U:%a /var/lib/atrest-agent/identity.json)" = atrest-agent:600 ]
check "the LUKS disk is proven" await verdict '"verdict":"encrypted"'
check "the plain disk is told" await verdict '"verdict":"unencrypted"'
check "the header is read by the child without rights" await verdict '"check":"luks_kdf"'

# Each capability that a verdict rests on: with all that the unit gives the answer is a pass, without that one it is none.
given=$(sed -n 's/^CapabilityBoundingSet=//p' /usr/lib/systemd/system/atrest-observer.service)
asked() {
    local capabilities=$1
    shift
    systemd-run --quiet --pipe --wait -p User=atrest-observer -p "CapabilityBoundingSet=$capabilities" -p "AmbientCapabilities=$capabilities" \
        -p NoNewPrivileges=yes atrest-agent check "$@"
}
mkdir -p /srv/secret/closed/data && chown -R nobody /srv/secret/closed && chmod 700 /srv/secret/closed
systemd-run --quiet --unit other -p User=nobody sleep infinity
other=$(systemctl show -P MainPID other)
needed() {
    local capability=$1
    shift
    check "with its capabilities the agent proves $*" asked "$given" "$@"
    check "without $capability it does not" not asked "${given//$capability/}" "$@"
}
needed CAP_SYS_ADMIN /srv/secret
needed CAP_DAC_READ_SEARCH /srv/secret/closed/data
needed CAP_SYS_PTRACE --pid "$other" /srv/secret
systemctl stop other

# Who takes over the half that talks has its account, and with that no disk, no keystore and no other process.
echo secret >/srv/secret/closed/data/elasticsearch.keystore && chown -R nobody /srv/secret/closed && chmod 660 /srv/secret/closed/data/elasticsearch.keystore
looker=$(systemctl show -P MainPID atrest-observer)
as_talker() {
    systemd-run --quiet --pipe --wait -p User=atrest-agent -p CapabilityBoundingSet= -p NoNewPrivileges=yes -p DevicePolicy=closed "$@"
}
check "its account can do something at all" as_talker head -c 1 /etc/atrest/agent.toml
for file in /dev/vdb /dev/mapper/secret /dev/mapper/control /srv/secret/closed/data/elasticsearch.keystore "/proc/$looker/mem" "/proc/$looker/environ" /proc/1/environ; do
    check "and not read $file" not as_talker head -c 1 "$file"
done

host=$(atrestctl nodes --format json | tr -d ' \n' | grep -o '"host_id":"[^"]*"' | head -n 1)
check "the packages are upgraded while they run" dpkg --force-confold -i agent-2.deb server-2.deb
check "the server is ready again" await active atrest-server
check "the agent is ready again" await active atrest-agent
same_host() { [ "$(atrestctl nodes --format json | tr -d ' \n' | grep -o '"host_id":"[^"]*"' | head -n 1)" = "$host" ]; }
check "the host is the same" await same_host
connected() { atrest-agent status --format json | tr -d ' \n' | grep -qF '"state":"connected"'; }
check "the agent is connected again" await connected

systemctl stop atrest-server
schema=$(sqlite3 /var/lib/atrest-server/atrest.db 'PRAGMA user_version')
sqlite3 /var/lib/atrest-server/atrest.db 'PRAGMA user_version = 9999'
check "an older server does not start on a newer database" not systemctl start atrest-server
check "it says why" await said atrest-server 'was written by a newer atrest-server'
systemctl stop atrest-server
sqlite3 /var/lib/atrest-server/atrest.db "PRAGMA user_version = $schema"
systemctl reset-failed atrest-server
check "it starts on its own" systemctl start atrest-server

# Away for a moment, the other half goes on; and what it reports is looked at again.
kill -KILL "$(systemctl show -P MainPID atrest-observer)"
check "the half that looks is started anew" await active atrest-observer
check "the half that talks went on" active atrest-agent
answers() { said atrest-agent 'answers again' || ! said atrest-agent 'the half that looks does not answer'; }
check "it is asked again" await answers

# A daemon that is stuck is ended and started anew.
mkdir -p /run/systemd/system/atrest-agent.service.d
printf '[Service]\nWatchdogSec=10s\n' >/run/systemd/system/atrest-agent.service.d/test.conf
systemctl daemon-reload && systemctl restart atrest-agent
before=$(systemctl show -P MainPID atrest-agent)
kill -STOP "$before"
anew() { active atrest-agent && [ "$(systemctl show -P MainPID atrest-agent)" != "$before" ]; }
check "an agent that is stuck is started anew" await anew
rm -r /run/systemd/system/atrest-agent.service.d && systemctl daemon-reload

check "nothing was forbidden that they wanted" not said atrest-agent 'Operation not permitted'
check "nothing was forbidden that looking wants" not said atrest-observer 'Operation not permitted'
check "the packages are removed" dpkg -r atrest-agent atrest-server
check "no service is left" not active atrest-agent
check "no half of it is left" not active atrest-observer
check "a removal keeps the state" [ -e /var/lib/atrest-server/atrest.db -a -d /var/lib/atrest-agent ]
check "the packages are purged" dpkg -P atrest-agent atrest-server
listing >/tmp/after
check "a purge leaves nothing" diff /tmp/before /tmp/after
echo finished
