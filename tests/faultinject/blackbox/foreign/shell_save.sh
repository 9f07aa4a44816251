# Saves the bytes of SOURCE as DIR/data.bin with the tools of the system.
#
#   sh shell_save.sh DIR SOURCE       exit status 0: saved; 1: failed; 2: wrong call
if [ "$#" -ne 2 ]; then
    echo "usage: $0 DIR SOURCE" >&2
    exit 2
fi
temp="$1/data.bin.tmp"
if cat -- "$2" >"$temp" && mv -f -- "$temp" "$1/data.bin"; then
    exit 0
fi
rm -f -- "$temp"
exit 1
