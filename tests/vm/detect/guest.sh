# The agent as a daemon, the server and a webhook receiver, and how what happens is timed. Sourced after lib.sh.

log=/var/log/atrest
hook=$log/hook.log

# A clock that nobody sets, in seconds.
clock() {
	read -r up idle </proc/uptime
	echo "$up"
}

# wait_for WHAT COMMAND...: until it succeeds, at most two minutes.
wait_for() {
	what=$1 until=$(($(clock | cut -d. -f1) + 120))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(clock | cut -d. -f1)" -lt "$until" ] || {
			echo "not within two minutes: $what" >&2
			tail -n 15 $log/*.log >&2
			return 1
		}
		usleep 20000
	done
}

# begin_agent: with its log, which begins anew.
begin_agent() {
	RUST_LOG=info,atrest_agent=debug atrest-agent run >$log/agent.log 2>&1 &
	echo $! >/run/agent.pid
}

end_agent() {
	kill "$(cat /run/agent.pid)"
	while kill -0 "$(cat /run/agent.pid)" 2>/dev/null; do usleep 20000; done
}

# begin_all: everything that a detection needs.
begin_all() {
	mkdir -p /etc/atrest $log
	mkdir -p -m 700 /var/lib/atrest-server /var/lib/atrest-agent
	echo 'hosts: files' >/etc/nsswitch.conf
	echo 'PRETTY_NAME="VM of the tests"' >/etc/os-release
	umask 077
	atrestctl webhook secret >/etc/atrest/webhook.secret
	cat >/etc/atrest/server.toml <<-TOML
		[agents]
		listen = "127.0.0.1:7443"
		public_address = "127.0.0.1:7443"
		[[notify.webhook]]
		name = "hook"
		url = "http://127.0.0.1:9099/"
		secret_file = "/etc/atrest/webhook.secret"
	TOML
	echo 'paths = ["/data/a", "/data/b"]' >/etc/atrest/agent.toml
	: >$hook
	# Each line with the time at which it came.
	atrestctl webhook listen --port 9099 --secret-file /etc/atrest/webhook.secret 2>&1 |
		while read -r line; do
			read -r up idle </proc/uptime
			echo "$up $line" >>$hook
		done &
	# This VM knows no authorities, and without any the server refuses to send even over http.
	SSL_CERT_FILE=/var/lib/atrest-server/ca.pem atrest-server serve >$log/server.log 2>&1 &
	wait_for atrest-server atrestctl status
	token=$(atrestctl token create --cluster vm | head -n 1)
	atrest-agent enroll "$token" >$log/enroll.log 2>&1
	umask 022
	begin_agent
	wait_for 'the first report' grep -q 'server holds everything' $log/agent.log
	quiet
}

# quiet: no scan has begun for three seconds, and none is to come for what was heard.
quiet() {
	until=$(($(clock | cut -d. -f1) + 120)) last=-1
	while :; do
		count=$(grep -c scanning $log/agent.log || :)
		if [ "$count" = "$last" ] && grep -E '(file|device|mounts|areas) changed|process ended|is_news=true|scanning' $log/agent.log |
			tail -n 1 | grep -q scanning; then
			return 0
		fi
		[ "$(clock | cut -d. -f1)" -lt "$until" ] || return 1
		last=$count
		sleep 3
	done
}

# does COMMAND...: something happens; from now on it is counted.
does() {
	mark=$(wc -l <$hook) agent_mark=$(wc -l <$log/agent.log)
	happened=$(clock)
	"$@" >/dev/null
}

# came WORD...: the time of the first line since then that has all the words.
came() {
	tail -n +$((mark + 1)) $hook >/run/came
	for word; do
		grep -F -e "$word" /run/came >/run/came.new || return 1
		mv /run/came.new /run/came
	done
	head -n 1 /run/came | cut -d' ' -f1
}

# took WHAT FROM TO: printed for the host.
took() {
	echo "took $1 $2 $3" | awk '{ printf "took %s %.2f\n", $2, $4 - $3 }'
}

# hooked WHAT WORD...: waits until the webhook has a line with these words, and prints how long it took.
hooked() {
	name=$1
	shift
	wait_for "$name at the webhook ($*)" came "$@"
	took "$name" "$happened" "$(came "$@")"
}

# logged WHAT TEXT: waits until the agent says so, and prints how long it took.
logged() {
	wait_for "$1 in the agent's log ($2)" said "$2"
	took "$1" "$happened" "$(clock)"
}

said() {
	tail -n +$((agent_mark + 1)) $log/agent.log | grep -q "$1"
}

# holds TEXT: waits until the server's posture of this host has it.
holds() {
	wait_for "$1 at the server" in_posture "$1"
}

# holds_no TEXT: waits until it has it no more.
holds_no() {
	wait_for "no $1 at the server" not_in_posture "$1"
}

not_in_posture() {
	atrestctl node vm --format json >/run/posture && ! grep -q "$1" /run/posture
}

# heard TEXT: the agent says that this source told it, and not that it came by.
heard() {
	said "$1" || {
		echo "the agent did not say: $1" >&2
		tail -n +$((agent_mark + 1)) $log/agent.log >&2
		return 1
	}
}

in_posture() {
	atrestctl node vm --format json | grep -q "$1"
}
