if [ "$1" -eq 1 ] && [ -x /usr/bin/systemctl ]; then
    # Whether it is switched on at once is the system's own policy.
    systemctl --no-reload preset atrest-agent.service || :
fi
