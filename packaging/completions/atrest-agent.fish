# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_atrest_agent_global_optspecs
    string join \n config= root= h/help V/version
end

function __fish_atrest_agent_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_atrest_agent_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_atrest_agent_using_subcommand
    set -l cmd (__fish_atrest_agent_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -s h -l help -d 'Print help'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -s V -l version -d 'Print version'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "scan" -d 'Print the whole posture of this host; needs no server'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "check" -d 'Print the verdict for paths or devices, with the stack as proof'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "run" -d 'Run as the daemon: scan, watch, report to the server'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "observe" -d 'Look and watch for a daemon that runs without the right to, over a socket; has no network itself'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "enroll" -d 'Enrol this host with the string that `atrestctl token create` printed'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "status" -d 'Say whether this host is enrolled, when the server was last reached, and what waits to be sent'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "checks" -d 'List the catalogue of checks'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "explain" -d 'Explain one check: what it means, how it decides, what to do'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "record" -d 'Write a redacted recording of all raw facts, for support and for `--root`'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "validate" -d 'Check the configuration and report every mistake at once'
complete -c atrest-agent -n "__fish_atrest_agent_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand scan" -l format -r -f -a "text\t''
json\t''"
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand scan" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand scan" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand scan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand check" -l format -r -f -a "text\t''
json\t''"
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand check" -l pid -d 'See the paths with the eyes of this process: its mounts and its root' -r
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand check" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand check" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand check" -l strict -d 'Let findings on key hygiene decide the exit code too'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand run" -l observer -d 'Let another process look, `atrest-agent observe`, which listens on SOCKET; this one gives up what it does not need to talk. Without it, one process does both, with all that looking takes' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand run" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand run" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand observe" -l socket -d 'Where to listen. The directory has to be there' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand observe" -l user -d 'The account that may ask; no other one may' -r
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand observe" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand observe" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand observe" -s h -l help -d 'Print help'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand enroll" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand enroll" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand enroll" -l force -d 'Enrol anew, with a new key, although this host has a valid certificate'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand enroll" -s h -l help -d 'Print help'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand status" -l format -r -f -a "text\t''
json\t''"
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand status" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand status" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand status" -s h -l help -d 'Print help'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand checks" -l format -r -f -a "text\t''
json\t''"
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand checks" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand checks" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand checks" -s h -l help -d 'Print help'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand explain" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand explain" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand explain" -s h -l help -d 'Print help'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand record" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand record" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand record" -s h -l help -d 'Print help'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand validate" -l config -d 'The configuration [default: /etc/atrest/agent.toml, if it is there]' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand validate" -l root -d 'Look at the host whose root is DIR: a recording, a mounted image, or this host seen from a container' -r -F
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand validate" -s h -l help -d 'Print help'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "scan" -d 'Print the whole posture of this host; needs no server'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "check" -d 'Print the verdict for paths or devices, with the stack as proof'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "run" -d 'Run as the daemon: scan, watch, report to the server'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "observe" -d 'Look and watch for a daemon that runs without the right to, over a socket; has no network itself'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "enroll" -d 'Enrol this host with the string that `atrestctl token create` printed'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "status" -d 'Say whether this host is enrolled, when the server was last reached, and what waits to be sent'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "checks" -d 'List the catalogue of checks'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "explain" -d 'Explain one check: what it means, how it decides, what to do'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "record" -d 'Write a redacted recording of all raw facts, for support and for `--root`'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "validate" -d 'Check the configuration and report every mistake at once'
complete -c atrest-agent -n "__fish_atrest_agent_using_subcommand help; and not __fish_seen_subcommand_from scan check run observe enroll status checks explain record validate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
