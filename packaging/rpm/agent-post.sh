# The accounts of the services. Old systems' systemd-sysusers reads every file there is, which does no harm.
if [ -x /usr/bin/systemd-sysusers ]; then
    systemd-sysusers atrest-agent.conf || :
fi
if [ "$1" -eq 1 ] && [ -x /usr/bin/systemctl ]; then
    # Whether it is switched on at once is the system's own policy.
    systemctl --no-reload preset atrest-agent.service || :
fi
