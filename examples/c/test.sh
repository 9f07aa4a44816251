#!/bin/sh
# Tests of the C example; builds what is missing. Needs python3, to judge JSON and to hold a signal back.
#   B=build        where the programs are
#   WRAP=command   runs kvc_tool under it, for example 'valgrind -q --error-exitcode=99'
set -u
cd "$(dirname "$0")" || exit 1
B=${B:-build}
make -s B="$B" all "$B/test_save" "$B/kvc_tool_faulty" || exit 1
B=$(cd "$B" && pwd)
D=$(mktemp -d) || exit 1
trap 'rm -rf "$D"' EXIT
bad=0 good=0

tool() { ${WRAP:-} "$B/kvc_tool" "$@"; }
ok() { good=$((good + 1)); }
fail() { bad=$((bad + 1)); echo "FAILED: $*"; }
check() { if [ "$2" = "$3" ]; then ok; else fail "$1: '$2' is not '$3'"; fi; } # what, is, should be
has() { case $2 in *"$3"*) ok ;; *) fail "$1: no '$3' in $2" ;; esac; }
hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
byte() { od -An -tu1 -j "$2" -N1 "$1" | tr -d ' '; }
poke() { # file, offset, value
    printf "\\$(printf %03o "$3")" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
temps() { find "$1" -name '.kvc-*' | wc -l | tr -d ' '; }
new() { rm -rf "$D/d" && mkdir "$D/d"; }
answers=$D/answers
: >"$answers"
# Reads (or verifies) a file; sets $code and $out, and keeps the answer for the judgement of all JSON.
ask() {
    out=$(tool "$@" 2>"$D/err")
    code=$?
    printf '%s\n' "$out" >>"$answers"
    case $code in
    0 | 1) ok ;;
    *) fail "$*: exit $code: $(cat "$D/err")" ;;
    esac
}

printf 'Hello, KVC' >"$D/hello"
printf 'Hi \303' >"$D/hi"
printf '\336\255\276\357' >"$D/payload"
printf '<t/>' >"$D/block"
: >"$D/empty"
demo=ae07729e3aff9bddc086ff14aca07600f3f829a5.kv
hello=070cd610b0b2e1c06c0e938f2ec10811fc31fe22.kv
save_demo() {
    tool save "$1" --text "$D/hi" --payload "$D/payload" --tokens 2 --reason 6 --context 4096 \
        --created 1700000000 --title Demo --tool-map "c1=$D/block"
}
save_hello() {
    dir=$1
    shift
    tool save "$dir" --text "$D/hello" --payload "$D/payload" --created 1700000000 "$@"
}

echo '- names and bytes, against the worked examples of kvc.md 4.4 and 4.6'
new
has 'save' "$(save_hello "$D/d")" '"ok": true'
has 'save' "$(save_demo "$D/d")" "$demo"
check 'name of Hello, KVC' "$(ls "$D/d" | grep -v $demo)" "$hello"
check 'the complete file' "$(hex "$D/d/$demo")" "$(printf %s \
    4b56430104060900 0200000000000000 0010000000000000 00f1536500000000 00f1536500000000 \
    0400000000000000 04000000 486920c3 deadbeef 4b544d01 01000000 02000000 04000000 6331 \
    3c742f3e 04000000 44656d6f)"
check 'permissions' "$(ls -l "$D/d/$demo" | cut -c1-10)" '-rw-------'
has 'empty text' "$(tool save "$D/d" --text "$D/empty" --payload "$D/payload")" \
    da39a3ee5e6b4b0d3255bfef95601890afd80709.kv
head -c 119 /dev/zero >"$D/zeros" # a padding of SHA-1 that needs a block of its own
has 'SHA-1' "$(tool save "$D/d" --text "$D/zeros" --payload "$D/payload")" \
    "$(python3 -c 'import hashlib; print(hashlib.sha1(bytes(119)).hexdigest())')"
has 'sysprompt' "$(save_hello "$D/d" --sysprompt)" '"name": "sysprompt.kv"'
for f in "$D"/d/*; do
    ask read "$f"
    check "read $f" $code 0
    ask verify "$f"
    check "verify $f" $code 0
done
upper=$D/070CD610b0b2e1c06c0e938f2ec10811fc31FE22.kv
cp "$D/d/$hello" "$upper"
ask read "$upper"
check 'upper case' $code 0
cp "$D/d/$hello" "$D/other"
cp "$D/d/$hello" "$D/$demo"
ask read "$D/$demo"
has 'name of another' "$out" '"category": "identity-mismatch", "clause": "KVC-NAME-1", "field": "name"'
ask read "$D/other" # a copy under a name that says nothing (KVC-NAME-1)
has 'no name of an entry' "$out" '"ok": true, "name": "other", "identity": "unknown"'
ask verify "$D/other"
has 'no name of an entry' "$out" '"ok": true, "usable": true, "problems": [], "identity_checked": false'
ask read "$D/other" --name $hello
has 'told the name' "$out" '"identity": "matches"'
for name in other $demo; do # a name that is told is tested, whatever its form
    ask read "$D/d/$hello" --name $name
    has "told $name" "$out" '"category": "identity-mismatch", "clause": "KVC-NAME-1", "field": "name"'
done
ask read "$D/other" --name sysprompt.kv
has 'told the fixed name' "$out" '"identity": "fixed-name"'
ask read "$D/d/$hello" --text-limit 9
has 'text limit' "$out" '"category": "limit", "clause": "KVC-LIMIT-3"'
ask read "$D/d/$hello" --profile ds4-abi2
has 'profile' "$out" '"category": "unsupported-profile", "clause": "KVC-PROFILE-3"'
mkfifo "$D/fifo.kv"
ask read "$D/fifo.kv"
has 'FIFO' "$out" '"category": "identity-mismatch", "clause": "KVC-NAME-7"'
ln -s "$D/d/$hello" "$D/$hello"
python3 -c 'import os, socket, sys; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind("s.kv")' "$D"
for other in "$D/$hello" "$D/s.kv" "$D/d"; do
    for command in read verify; do
        ask $command "$other"
        has "$command $other" "$out" '"category": "identity-mismatch", "clause": "KVC-NAME-7", "field": "name", "offset": null'
        check "$command $other" $code 1
    done
done
tool read "$D/nothing" >>"$answers"
check 'no file' $? 3

echo '- cut at every byte'
mkdir "$D/cut"
sections=60
for file in $demo $hello; do
    size=$(wc -c <"$D/d/$file")
    n=0
    while [ "$n" -lt "$size" ]; do
        head -c "$n" "$D/d/$file" >"$D/cut/$file"
        ask read "$D/cut/$file"
        check "read $file cut to $n" $code 1
        ask verify "$D/cut/$file"
        check "verify $file cut to $n" $code 1
        if [ $file = $demo ]; then
            if [ "$n" -lt $sections ]; then due=KVC-FILE-3
            elif [ "$n" -lt 82 ]; then due=KVC-TITLE-2
            else due=KVC-TITLE-1; fi
            has "cut to $n" "$out" "\"$due\""
        fi
        n=$((n + 1))
    done
done
printf 'more' >>"$D/d/$hello"
ask read "$D/d/$hello"
has 'trailing bytes' "$out" '"bytes_behind": 4'

echo '- every bit of the fixed part flipped'
cp "$D/d/$demo" "$D/cut/$demo"
f=$D/cut/$demo
i=0
while [ $i -lt 52 ]; do
    old=$(byte "$f" $i)
    for mask in 1 2 4 8 16 32 64 128; do
        poke "$f" $i $((old ^ mask))
        ask read "$f"
        case $i in
        0 | 1 | 2) due=bad-magic ;;
        3) due=unsupported-version ;;
        4) due=invalid-field ;;
        20) [ $mask = 2 ] && due='"profile": "ds4-abi2"' || due=unsupported-profile ;;
        24 | 25 | 26 | 27 | 28 | 29 | 30 | 31) due=identity-mismatch ;; # of a session
        47) [ $mask = 128 ] && due=limit || due=truncated ;;
        41 | 42 | 43 | 44 | 45 | 46 | 49 | 50 | 51) due=truncated ;;
        8) [ $mask = 2 ] && due=invalid-field || due='"ok": true' ;; # 2 tokens become 0
        5 | 7 | 9 | 1? | 21 | 22 | 23 | 3[2-9]) due='"ok": true' ;;
        *) due='"ok": ' ;; # flags and the low bytes of lengths: any answer, no crash
        esac
        has "byte $i mask $mask" "$out" "$due"
        ask verify "$f"
    done
    poke "$f" $i "$old"
    i=$((i + 1))
done
check 'restored' "$(hex "$f")" "$(hex "$D/d/$demo")"
i=60 # the sections: any answer
while [ $i -lt 90 ]; do
    old=$(byte "$f" $i)
    poke "$f" $i $((old ^ 255))
    ask read "$f"
    ask verify "$f"
    poke "$f" $i "$old"
    i=$((i + 1))
done

echo '- what a writer refuses'
refused() { # clause, arguments
    clause=$1
    shift
    out=$(save_hello "$D/d" "$@")
    check "refused $*" $? 1
    has "refused $*" "$out" "\"$clause\""
    printf '%s\n' "$out" >>"$answers"
}
new
refused KVC-HEADER-3 --quant 3
refused KVC-HEADER-4 --reason 7
refused KVC-HEADER-9 --model-id 1
refused KVC-WRITER-5 --model-id 256 --profile ds4-abi2
refused KVC-HEADER-10 --tokens 0
refused KVC-WRITER-5 --tokens 4294967296
refused KVC-WRITER-5 --hits 4294967296
refused KVC-WRITER-5 --context 4294967296
refused KVC-LIMIT-3 --text-limit 9
refused KVC-PAYLOAD-2 --payload "$D/empty"
refused KVC-TOOLMAP-4 --tool-map "$(printf %257s x)=$D/block"
refused KVC-TOOLMAP-5 --tool-map "id=$D/empty"
refused KVC-TITLE-3 --title "$(printf %65537s x)"
has 'field' "$out" '"field": "title_bytes", "offset": null'
out=$(save_hello "$D/d" --tool-map "a=$D/block" --tool-map "b=$D/empty")
has 'field' "$out" '"clause": "KVC-TOOLMAP-5", "field": "tool_map.entries[1].block_bytes", "offset": null'
out=$(save_hello "$D/d" --tool-map "a=$D/block" --tool-map "=$D/block")
has 'field' "$out" '"clause": "KVC-TOOLMAP-4", "field": "tool_map.entries[1].id_bytes", "offset": null'
check 'nothing was created' "$(ls -A "$D/d")" ''
has 'stripped session' "$(save_hello "$D/d" --title T --payload "$D/empty")" '"ok": true'
tool save "$D/d" --text "$D/hello" --payload /dev/null >/dev/null 2>&1
check 'payload of unknown size' $? 77
tool frobnicate >/dev/null 2>&1
check 'no such operation' $? 77
tool save "$D/d" --tokens x >/dev/null 2>&1
check 'usage' $? 2

echo '- touch'
new
save_hello "$D/d" --hits 4294967294 >/dev/null
poke "$D/d/$hello" 21 7
poke "$D/d/$hello" 6 128
has 'touch' "$(tool touch "$D/d" $hello --last-used 258)" '"hits": 4294967295'
has 'touch saturates' "$(tool touch "$D/d" $hello --hits-added 9 --last-used 258 --not-durable)" \
    '"hits": 4294967295'
check 'touch keeps the rest' "$(hex "$D/d/$hello" | cut -c1-104)" "$(printf %s \
    4b56430104008000 01000000ffffffff 0000000000070000 00f1536500000000 0201000000000000 \
    0400000000000000 0a000000)"
ln -s $hello "$D/d/$demo"
out=$(tool touch "$D/d" $demo)
check 'touch of a link' $? 1
has 'touch of a link' "$out" '"category": "identity-mismatch", "clause": "KVC-NAME-7"'
rm "$D/d/$demo"
tool touch "$D/d" ../x >/dev/null
check 'touch of no entry' $? 1
tool touch "$D/d" $demo >/dev/null
check 'touch of nothing' $? 3

echo '- failures and signals'
head -c 5000 /dev/zero >"$D/big"
cp "$D/d/$hello" "$D/before"
out=$(ulimit -f 4 && save_hello "$D/d" --payload "$D/big")
check 'file size limit' $? 3
has 'file size limit' "$out" '"operation": "write"'
has 'file size limit' "$out" '"visible": false, "left": null'
cmp -s "$D/before" "$D/d/$hello" && ok || fail 'the old entry changed'
check 'no temp file' "$(temps "$D/d")" 0
cat >"$D/held.py" <<'PY'
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
os.kill(os.getpid(), int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
PY
for s in 2 15; do
    out=$(python3 "$D/held.py" $s "$B/kvc_tool" save "$D/d" --text "$D/hello" --payload "$D/big")
    check "signal $s" $? $((128 + s))
    has "signal $s" "$out" '"operation": "signal"'
    check 'no temp file' "$(temps "$D/d")" 0
done
cmp -s "$D/before" "$D/d/$hello" && ok || fail 'the old entry changed'

echo '- lengths that no file of a test can have'
new
"$B/test_save" "$D/d" && ok || fail 'test_save'
check 'nothing was created' "$(ls -A "$D/d")" ''

if [ -x "$B/kvc_tool_faulty" ]; then
    echo '- a file that becomes shorter, and a close that fails'
    new
    save_demo "$D/d" >/dev/null
    n=0
    while [ $n -lt 90 ]; do # the same answer as for a file that was cut there before (KVC-LIMIT-1)
        head -c $n "$D/d/$demo" >"$D/cut/$demo"
        for command in read verify; do
            due=$(tool $command "$D/cut/$demo")
            out=$(CUT_AT=$n "$B/kvc_tool_faulty" $command "$D/d/$demo")
            check "$command, shorter at $n" "$out" "$due"
        done
        n=$((n + 1))
    done
    new
    save_hello "$D/d" >/dev/null
    for n in 52 53 61 62 63 65; do # the text ends at 62, the payload at 66
        out=$(CUT_AT=$n "$B/kvc_tool_faulty" read "$D/d/$hello")
        [ $n -lt 62 ] && due=text || due=payload
        has "text and payload, shorter at $n" "$out" \
            "\"category\": \"truncated\", \"clause\": \"KVC-FILE-3\", \"field\": \"$due\", \"offset\": $n,"
    done
    new
    for durable in '' --not-durable; do # the last close, after publication (KVS-SAVE-8)
        # shellcheck disable=SC2086
        out=$(CLOSE_FAILS=$hello "$B/kvc_tool_faulty" save "$D/d" --text "$D/hello" --payload "$D/payload" $durable)
        check 'last close' $? 3
        has 'last close' "$out" '"ok": false'
        has 'last close' "$out" '"operation": "close"'
        has 'last close' "$out" '"visible": true, "left": null'
        ask verify "$D/d/$hello"
        check 'last close: what is there' "$code $(temps "$D/d")" '0 0'
    done
    cp "$D/d/$hello" "$D/before"
    out=$(CLOSE_FAILS=.kvc-save- "$B/kvc_tool_faulty" save "$D/d" --text "$D/hello" --payload "$D/big")
    check 'close before publication' $? 3
    has 'close before publication' "$out" '"visible": false, "left": null'
    cmp -s "$D/before" "$D/d/$hello" && ok || fail 'the old entry changed'
    check 'no temp file' "$(temps "$D/d")" 0
else
    echo "- left out: files that become shorter and closes that fail (the linker has no --wrap)"
fi

echo '- recovery'
t=.kvc-save-0123456789abcdef0123456789abcdef.tmp
g=.kvc-stage-0123456789abcdef0123456789abcdef.tmp
new
mkdir "$D/d/.kvc-save-ffffffffffffffffffffffffffffffff.tmp"
ln -s /nowhere "$D/d/.kvc-save-eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee.tmp"
for f in $t $g .kvc-save-0.tmp $hello.tmp.77 damaged.kv $demo; do echo x >"$D/d/$f"; done
python3 - "$D/d" $t "$B/kvc_tool" >"$D/said" <<'PY'
import fcntl, os, subprocess, sys
fd = os.open(os.path.join(sys.argv[1], sys.argv[2]), os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
subprocess.run([sys.argv[3], "recover", sys.argv[1]], check=True)
PY
out=$(cat "$D/said")
has 'live' "$out" "{\"name\": \"$t\", \"what\": \"live\""
has 'orphan' "$out" "{\"name\": \"$g\", \"what\": \"removed\""
has 'foreign' "$out" "{\"name\": \"$hello.tmp.77\", \"what\": \"foreign\""
has 'directory' "$out" 'ffff.tmp", "what": "not-regular"'
has 'link' "$out" 'eeee.tmp", "what": "not-regular"'
tool recover "$D/d" >>"$answers"
check 'what recovery leaves' "$(ls -A "$D/d" | LC_ALL=C sort | tr '\n' ' ')" \
    ".kvc-save-0.tmp .kvc-save-eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee.tmp \
.kvc-save-ffffffffffffffffffffffffffffffff.tmp $hello.tmp.77 $demo damaged.kv "

echo '- savers and recoveries at once'
new
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    (save_hello "$D/d" --hits $i --not-durable >/dev/null || echo "save $i: $?" >>"$D/races") &
    (tool recover "$D/d" >/dev/null || echo "recover $i: $?" >>"$D/races") &
done
wait
[ ! -e "$D/races" ] && ok || fail "$(cat "$D/races")"
ask verify "$D/d/$hello"
check 'after all' "$code $(temps "$D/d")" '0 0'

echo '- the small writers, where nothing goes wrong'
for program in right_stdio right_evict wrong/direct_final wrong/evict_first wrong/ignore_close wrong/ignore_short \
    wrong/no_dirsync wrong/no_fsync wrong/no_unlink wrong/rename_early wrong/stage_in_tmp \
    wrong/stdio_pid_temp wrong/success_always wrong/unlink_old_first wrong/inplace_toolmap; do
    new
    mkdir "$D/stage"
    [ $program = wrong/inplace_toolmap ] && "$B/right_stdio" "$D/d" key 3000 >/dev/null
    "$B/right_stdio" "$D/d" @"$D/hello" 9 7 >/dev/null # another entry
    for seed in 1 2; do # new, and over an old one
        name=$("$B/$program" "$D/d" key 3000 $seed "$D/stage")
        check "$program" $? 0
        ask verify "$D/d/$name"
        check "$program: verify" $code 0
    done
    case $program in *evict*) due=1 ;; *) due=2 ;; esac
    check "$program: what is there" "$(ls -A "$D/d" | wc -l | tr -d ' ')" $due
    rmdir "$D/stage" || fail "$program: a staged file is left"
    if [ $program = right_stdio ]; then cp "$D/d/$name" "$D/right"
    elif [ $program != wrong/inplace_toolmap ]; then
        cmp -s "$D/right" "$D/d/$name" && ok || fail "$program: other bytes than right_stdio"
    fi
    "$B/$program" "$D/d" key >/dev/null 2>&1
    check "$program: usage" $? 2
done

python3 - "$answers" <<'PY' && ok || fail 'an answer is not JSON'
import json, sys
for line in open(sys.argv[1], encoding="ascii"):
    assert isinstance(json.loads(line), dict), line
PY
echo "$good checks passed, $bad failed"
[ $bad -eq 0 ]
