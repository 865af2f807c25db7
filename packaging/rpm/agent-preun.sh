if [ "$1" -eq 0 ] && [ -x /usr/bin/systemctl ]; then
    systemctl --no-reload disable --now atrest-agent.service || :
    systemctl stop atrest-observer.service || :
fi
