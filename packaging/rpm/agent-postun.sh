if [ -x /usr/bin/systemctl ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart atrest-observer.service atrest-agent.service || :
    fi
fi
