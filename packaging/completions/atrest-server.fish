# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_atrest_server_global_optspecs
    string join \n h/help V/version
end

function __fish_atrest_server_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_atrest_server_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_atrest_server_using_subcommand
    set -l cmd (__fish_atrest_server_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c atrest-server -n "__fish_atrest_server_needs_command" -s h -l help -d 'Print help'
complete -c atrest-server -n "__fish_atrest_server_needs_command" -s V -l version -d 'Print version'
complete -c atrest-server -n "__fish_atrest_server_needs_command" -f -a "serve" -d 'Serve agents and operators until told to stop'
complete -c atrest-server -n "__fish_atrest_server_needs_command" -f -a "validate" -d 'Check the configuration: everything that is wrong with it, at once'
complete -c atrest-server -n "__fish_atrest_server_needs_command" -f -a "backup" -d 'Copy the database, whether or not the server runs: one moment of it, checked, in one file'
complete -c atrest-server -n "__fish_atrest_server_needs_command" -f -a "ca" -d 'The certificate authority that signs the server and the agents'
complete -c atrest-server -n "__fish_atrest_server_needs_command" -f -a "check" -d 'Look through the database, or a copy of it: its pages, its references, its schema'
complete -c atrest-server -n "__fish_atrest_server_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand serve" -l config -d 'The configuration [default: /etc/atrest/server.toml, if there is one]' -r -F
complete -c atrest-server -n "__fish_atrest_server_using_subcommand serve" -l state-dir -d 'Where the authority, the database and the admin token are kept' -r -F
complete -c atrest-server -n "__fish_atrest_server_using_subcommand serve" -l listen -d 'The agents\' port' -r
complete -c atrest-server -n "__fish_atrest_server_using_subcommand serve" -l admin-listen -d 'The operators\' port' -r
complete -c atrest-server -n "__fish_atrest_server_using_subcommand serve" -s h -l help -d 'Print help'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand validate" -l config -d 'The configuration [default: /etc/atrest/server.toml, if there is one]' -r -F
complete -c atrest-server -n "__fish_atrest_server_using_subcommand validate" -s h -l help -d 'Print help'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand backup" -l config -d 'The configuration [default: /etc/atrest/server.toml, if there is one]' -r -F
complete -c atrest-server -n "__fish_atrest_server_using_subcommand backup" -l state-dir -d 'Where the database is' -r -F
complete -c atrest-server -n "__fish_atrest_server_using_subcommand backup" -l force -d 'Replace the file if there is one'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand backup" -s h -l help -d 'Print help'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand ca; and not __fish_seen_subcommand_from rotate help" -s h -l help -d 'Print help'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand ca; and not __fish_seen_subcommand_from rotate help" -f -a "rotate" -d 'Make a new authority, which the server takes over when it is restarted; the old one is trusted until it ends'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand ca; and not __fish_seen_subcommand_from rotate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l config -d 'The configuration [default: /etc/atrest/server.toml, if there is one]' -r -F
complete -c atrest-server -n "__fish_atrest_server_using_subcommand ca; and __fish_seen_subcommand_from rotate" -l state-dir -d 'Where the authority is kept' -r -F
complete -c atrest-server -n "__fish_atrest_server_using_subcommand ca; and __fish_seen_subcommand_from rotate" -s h -l help -d 'Print help'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "rotate" -d 'Make a new authority, which the server takes over when it is restarted; the old one is trusted until it ends'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand ca; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand check" -l config -d 'The configuration [default: /etc/atrest/server.toml, if there is one]' -r -F
complete -c atrest-server -n "__fish_atrest_server_using_subcommand check" -l state-dir -d 'Where the database is' -r -F
complete -c atrest-server -n "__fish_atrest_server_using_subcommand check" -s h -l help -d 'Print help'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand help; and not __fish_seen_subcommand_from serve validate backup ca check help" -f -a "serve" -d 'Serve agents and operators until told to stop'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand help; and not __fish_seen_subcommand_from serve validate backup ca check help" -f -a "validate" -d 'Check the configuration: everything that is wrong with it, at once'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand help; and not __fish_seen_subcommand_from serve validate backup ca check help" -f -a "backup" -d 'Copy the database, whether or not the server runs: one moment of it, checked, in one file'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand help; and not __fish_seen_subcommand_from serve validate backup ca check help" -f -a "ca" -d 'The certificate authority that signs the server and the agents'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand help; and not __fish_seen_subcommand_from serve validate backup ca check help" -f -a "check" -d 'Look through the database, or a copy of it: its pages, its references, its schema'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand help; and not __fish_seen_subcommand_from serve validate backup ca check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrest-server -n "__fish_atrest_server_using_subcommand help; and __fish_seen_subcommand_from ca" -f -a "rotate" -d 'Make a new authority, which the server takes over when it is restarted; the old one is trusted until it ends'
