# Sourced by the scripts beside it, before they do anything: --help prints the comment at the script's top, and for a
# script without options anything else is refused.
#
#   . "$(dirname "$0")/usage.sh"; usage_help "$@"       or usage_none "$@"

usage_text=$(sed -n '1d; /^#/!q; s/^# \{0,1\}//p' "$0")

# Prints the help where it is asked for first, and ends.
usage_help() {
    case ${1:-} in
        -h | --help) printf '%s\n' "$usage_text"; exit 0 ;;
    esac
}

# Says what is wrong with the arguments, and ends with 2, as command lines do.
usage_wrong() {
    printf '%s\n\n%s\n' "$1" "$usage_text" >&2
    exit 2
}

# For scripts that take nothing but --help.
usage_none() {
    usage_help "$@"
    [ $# = 0 ] || usage_wrong "$(basename "$0") takes no arguments; this is one: $1"
}
