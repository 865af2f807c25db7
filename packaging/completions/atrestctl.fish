# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_atrestctl_global_optspecs
    string join \n server= ca= token-file= format= h/help V/version
end

function __fish_atrestctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_atrestctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_atrestctl_using_subcommand
    set -l cmd (__fish_atrestctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c atrestctl -n "__fish_atrestctl_needs_command" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_needs_command" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_needs_command" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_needs_command" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -s V -l version -d 'Print version'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "status" -d 'The fleet in numbers'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "nodes" -d 'All hosts that are enrolled, worst first; those that are revoked with `--state revoked`'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "node" -d 'One host: its paths, what they rest on, and what to do'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "revoke" -d 'End a host\'s enrolment: its stream ends at once, its certificate is worth nothing, its alerts are over'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "retire" -d 'Say that an asset is gone for good which its host reports no more: its findings and alerts are over'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "findings" -d 'What fails, what could not be decided, and what to do about it'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "export" -d 'All hosts with their postures, and what fails, as lines of JSON; the last line has the kind `end`'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "watch" -d 'Print hosts whose state or failures change, until it is stopped'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "history" -d 'When what was exposed, from when until when; also what was over before anybody looked'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "alerts" -d 'Alerts, and what became of telling them'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "alert" -d 'What is to be done about an alert, and about telling people of it'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "token" -d 'Enrolment tokens'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "operators" -d 'Who else may use this command, and for what'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "audit" -d 'What operators changed, tried to change, and were denied, the newest first'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "webhook" -d 'Try webhooks out'
complete -c atrestctl -n "__fish_atrestctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand status" -l by -d 'Count by cluster as well, or by the value of a label' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand status" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand status" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand status" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand status" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand nodes" -l state -d 'Only hosts in this state' -r -f -a "unencrypted\t''
partial\t''
stale\t''
unknown\t''
claimed\t''
encrypted\t''
revoked\t''"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand nodes" -l label -d 'Only hosts with this label; with several, all of them' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand nodes" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand nodes" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand nodes" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand nodes" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand nodes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand node" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand node" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand node" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand node" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand node" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand revoke" -l reason -d 'Why, for those who ask later' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand revoke" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand revoke" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand revoke" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand revoke" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand retire" -l reason -d 'Why, for those who ask later' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand retire" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand retire" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand retire" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand retire" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand retire" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand findings" -l outcome -d 'Only this outcome' -r -f -a "fail\t''
unknown\t''
pass\t''
not_applicable\t''"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand findings" -l check -d 'Only this check' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand findings" -l node -d 'Only this host' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand findings" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand findings" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand findings" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand findings" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand findings" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand export" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand export" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand export" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand export" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand watch" -l interval -d 'How often to look, such as 30s or 5m' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand watch" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand watch" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand watch" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand watch" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand history" -l node -d 'Only this host' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand history" -l check -d 'Only this check' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand history" -l since -d 'Only what goes on, or ended since: a date, a time such as 2026-01-31T12:00:00Z, or 30d or 8h ago' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand history" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand history" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand history" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand history" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alerts" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alerts" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alerts" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alerts" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alerts" -l resolved -d 'Those that are over, instead of those that are firing'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alerts" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -f -a "show" -d 'One alert: what, where, since when, what to do, and who was told'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -f -a "ack" -d 'Say that you take care of an alert: it is not repeated any more; its end is told'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -f -a "test" -d 'Send a message that is marked as a test through a notifier, at once'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -f -a "dead" -d 'Messages that were tried as often as their notifier says, and given up'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -f -a "retry" -d 'Try again what was given up'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and not __fish_seen_subcommand_from show ack test dead retry help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from show" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from show" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from show" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from show" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from ack" -l comment -d 'For those who ask later' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from ack" -l until -d 'How long that holds, such as 8h, 7d or 2026-01-31T12:00:00Z [default: as long as the alert goes on]' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from ack" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from ack" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from ack" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from ack" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from ack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from test" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from test" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from test" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from test" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from dead" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from dead" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from dead" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from dead" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from dead" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from retry" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from retry" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from retry" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from retry" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from retry" -l all -d 'All of them'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from help" -f -a "show" -d 'One alert: what, where, since when, what to do, and who was told'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from help" -f -a "ack" -d 'Say that you take care of an alert: it is not repeated any more; its end is told'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from help" -f -a "test" -d 'Send a message that is marked as a test through a notifier, at once'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from help" -f -a "dead" -d 'Messages that were tried as often as their notifier says, and given up'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from help" -f -a "retry" -d 'Try again what was given up'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand alert; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "create" -d 'Make a token: prints the string for `atrest-agent enroll`, which is shown only now'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "list" -d 'All tokens, the newest first'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "revoke" -d 'Make a token useless'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and not __fish_seen_subcommand_from create list revoke help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -l cluster -d 'The cluster that hosts enrolled with it belong to' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -l uses -d 'How many hosts may enrol with it' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -l ttl -d 'How long it may be used, such as 30m or 8h [default: what the server says, 1h]' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -l replace -d 'The host whose place the new one takes, by name or id' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -l label -d 'A label for the hosts that enrol with it; may be given several times' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from list" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from list" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from list" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from list" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a token: prints the string for `atrest-agent enroll`, which is shown only now'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "list" -d 'All tokens, the newest first'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'Make a token useless'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and not __fish_seen_subcommand_from create list revoke help" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and not __fish_seen_subcommand_from create list revoke help" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and not __fish_seen_subcommand_from create list revoke help" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and not __fish_seen_subcommand_from create list revoke help" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and not __fish_seen_subcommand_from create list revoke help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and not __fish_seen_subcommand_from create list revoke help" -f -a "create" -d 'Make an operator: prints its token, which is shown only now'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and not __fish_seen_subcommand_from create list revoke help" -f -a "list" -d 'All operators, those of the server\'s configuration first'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and not __fish_seen_subcommand_from create list revoke help" -f -a "revoke" -d 'Make an operator\'s token useless, at once'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and not __fish_seen_subcommand_from create list revoke help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from create" -l role -d 'What it may do' -r -f -a "viewer\t'Sees everything, changes nothing'
operator\t'Works with findings and reads the audit log'
admin\t'Lets hosts and operators in, and puts them out'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from create" -l ttl -d 'How long the token may be used, such as 90d or 8h; 0 means for ever, for admins only [default: 90d]' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from create" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from create" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from create" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from create" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from list" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from list" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from list" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from list" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from revoke" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from revoke" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from revoke" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from revoke" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make an operator: prints its token, which is shown only now'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from help" -f -a "list" -d 'All operators, those of the server\'s configuration first'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from help" -f -a "revoke" -d 'Make an operator\'s token useless, at once'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand operators; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand audit" -l limit -d 'At most so many entries; 0 is all' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand audit" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand audit" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand audit" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand audit" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and not __fish_seen_subcommand_from listen secret help" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and not __fish_seen_subcommand_from listen secret help" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and not __fish_seen_subcommand_from listen secret help" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and not __fish_seen_subcommand_from listen secret help" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and not __fish_seen_subcommand_from listen secret help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and not __fish_seen_subcommand_from listen secret help" -f -a "listen" -d 'Receive webhooks on this machine, check their signatures, and print them'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and not __fish_seen_subcommand_from listen secret help" -f -a "secret" -d 'Print a new secret, for a file that the server and the receiver share'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and not __fish_seen_subcommand_from listen secret help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from listen" -l port -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from listen" -l secret-file -d 'The secret that the server signs with' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from listen" -l count -d 'Leave after this many' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from listen" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from listen" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from listen" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from listen" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from listen" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from secret" -l server -d 'The operators\' port' -r
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from secret" -l ca -d 'The authority that signed the server\'s certificate' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from secret" -l token-file -d 'The file that holds your token' -r -F
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from secret" -l format -d 'How to print' -r -f -a "text\t''
json\t''
csv\t'Lists only, for spreadsheets'"
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from secret" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "listen" -d 'Receive webhooks on this machine, check their signatures, and print them'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "secret" -d 'Print a new secret, for a file that the server and the receiver share'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand webhook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "status" -d 'The fleet in numbers'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "nodes" -d 'All hosts that are enrolled, worst first; those that are revoked with `--state revoked`'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "node" -d 'One host: its paths, what they rest on, and what to do'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "revoke" -d 'End a host\'s enrolment: its stream ends at once, its certificate is worth nothing, its alerts are over'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "retire" -d 'Say that an asset is gone for good which its host reports no more: its findings and alerts are over'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "findings" -d 'What fails, what could not be decided, and what to do about it'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "export" -d 'All hosts with their postures, and what fails, as lines of JSON; the last line has the kind `end`'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "watch" -d 'Print hosts whose state or failures change, until it is stopped'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "history" -d 'When what was exposed, from when until when; also what was over before anybody looked'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "alerts" -d 'Alerts, and what became of telling them'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "alert" -d 'What is to be done about an alert, and about telling people of it'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "token" -d 'Enrolment tokens'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "operators" -d 'Who else may use this command, and for what'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "audit" -d 'What operators changed, tried to change, and were denied, the newest first'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "webhook" -d 'Try webhooks out'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and not __fish_seen_subcommand_from status nodes node revoke retire findings export watch history alerts alert token operators audit webhook help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from alert" -f -a "show" -d 'One alert: what, where, since when, what to do, and who was told'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from alert" -f -a "ack" -d 'Say that you take care of an alert: it is not repeated any more; its end is told'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from alert" -f -a "test" -d 'Send a message that is marked as a test through a notifier, at once'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from alert" -f -a "dead" -d 'Messages that were tried as often as their notifier says, and given up'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from alert" -f -a "retry" -d 'Try again what was given up'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "create" -d 'Make a token: prints the string for `atrest-agent enroll`, which is shown only now'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "list" -d 'All tokens, the newest first'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "revoke" -d 'Make a token useless'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from operators" -f -a "create" -d 'Make an operator: prints its token, which is shown only now'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from operators" -f -a "list" -d 'All operators, those of the server\'s configuration first'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from operators" -f -a "revoke" -d 'Make an operator\'s token useless, at once'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "listen" -d 'Receive webhooks on this machine, check their signatures, and print them'
complete -c atrestctl -n "__fish_atrestctl_using_subcommand help; and __fish_seen_subcommand_from webhook" -f -a "secret" -d 'Print a new secret, for a file that the server and the receiver share'
