# --- tripwires of the fault suite: every command that changes something counts before and after ---
trip() { # trip WORD: at the step somebody waits for, die or wait
    [ -f /dev/shm/trip/at ] || return 0
    { read -r trip_at trip_how </dev/shm/trip/at; } 2>/dev/null
    { read -r trip_n </dev/shm/trip/count; } 2>/dev/null
    trip_n=$((${trip_n:-0} + 1))
    echo "$trip_n" >/dev/shm/trip/count
    [ "$trip_how" != trace ] || echo "${verb:-} $1" >>/dev/shm/trip/trace
    [ "$trip_n" = "$trip_at" ] || return 0
    command mv -f /dev/shm/trip/at /dev/shm/trip/fired
    case $trip_how in
    kill) kill -9 0 ;;
    pause) read -r trip_go </dev/shm/trip/go ;;
    esac
}
for trip_tool in mkdir rmdir mv ln rm cp tar sync fsync cat dd head truncate touch chmod date; do
    command -v "$trip_tool" >/dev/null 2>&1 || continue
    eval "$trip_tool() {
        trip $trip_tool; command $trip_tool \"\$@\"; trip_ended=\$?; trip $trip_tool.
        return \$trip_ended
    }"
done
# --- end of the tripwires ---
