#!/bin/sh
#PBS -N data_download
#PBS -l walltime=24:00:00
#PBS -l select=1:ncpus=1:mem=4gb
#PBS -koed
# Places365-Standard, 256 x 256, unpacked to the default of --data_dir:
#
#     sh data_download.sh          or, where compute nodes have internet:  qsub data_download.sh
#
# 21 GB are downloaded to input/, then the classes named below are unpacked (about 60 MB each). It may be interrupted
# at any moment; the same command goes on. Classes added later are unpacked from the kept file without a download.
#     PLACES_KEEP_ARCHIVE=1   do not unpack: the archive is given as --data_dir, with all 365 classes
#     PLACES_URL=URL   another place to take the file from

# The classes to KEEP, separated by colons, patterns allowed; empty or * keeps all 365. (In bash, GLOBIGNORE names what
# an `rm *` spares, hence the name.) input/keep.txt, one class per line, adds to it.
GLOBIGNORE=alley:apartment_building-outdoor:arcade:auto_factory:bazaar-outdoor:beach:boardwalk:boathouse:bridge
GLOBIGNORE=$GLOBIGNORE:building_facade:bus_station-indoor:butte:campus:church-outdoor:construction_site:courtyard
GLOBIGNORE=$GLOBIGNORE:crosswalk:downtown:embassy:farm:field-cultivated:fountain:garage-outdoor:gas_station:harbor
GLOBIGNORE=$GLOBIGNORE:highway:house:industrial_area:market-outdoor:museum-outdoor:office_building:park:parking_lot
GLOBIGNORE=$GLOBIGNORE:picnic_area:playground:plaza:promenade:railroad_track:residential_neighborhood
GLOBIGNORE=$GLOBIGNORE:schoolhouse:skyscraper:slum:street:tower:village
set -euf                        # -f: the patterns are for class names, not for files

say() { echo "data_download.sh: $*" >&2; }
die() { say "$*"; exit 2; }

# The queue runs a copy of this file from its spool folder: there the project is where the job was submitted.
root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
[ -f "$root/data_download.sh" ] && [ -d "$root/deep_cnn" ] || root=${PBS_O_WORKDIR:-$root}
url=${PLACES_URL:-http://data.csail.mit.edu/places/places365/places365standard_easyformat.tar}
input=$root/input
tar=$input/${url##*/}
part=$tar.part                  # renamed when whole
target=$input/places365standard_easyformat/places365_standard
staging=$target.unpacking       # beside the target: a class folder is moved there whole, or not at all
lock=$input/.download.lock

mkdir -p "$input"
if ! mkdir "$lock" 2>/dev/null; then
    read -r host pid <"$lock/owner" || host=unknown
    if [ "$host" != "$(uname -n)" ] || kill -0 "$pid" 2>/dev/null; then
        die "another download is running (host $host, process ${pid:-unknown}). If not: rm -r $lock"
    fi
fi
echo "$(uname -n) $$" >"$lock/owner"
trap 'rm -rf "$lock"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

kept() {                        # is this class in the list?
    [ -n "$patterns" ] || return 0
    for pattern in $patterns; do
        # shellcheck disable=SC2254
        case $1 in $pattern) return 0 ;; esac
    done
    return 1
}
patterns=$(echo "$GLOBIGNORE" | tr ':' ' ')
if [ -f "$input/keep.txt" ]; then patterns="$patterns $(tr -d '\r' <"$input/keep.txt" | sed 's/#.*//')"; fi
unset GLOBIGNORE                # bash would apply it to its own patterns

size_of() { if [ -f "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi; }
free_bytes() { df -Pk "$input" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }'; }
gigabytes() { awk -v bytes="$1" 'BEGIN { printf "%.1f GB", bytes / 1e9 }'; }
room() {                        # room BYTES WHAT
    free=$(free_bytes)
    if [ "$(awk -v a="$1" -v b="$free" 'BEGIN { print (a > b) }')" = 1 ]; then
        die "$2 needs $(gigabytes "$1"), $input has $(gigabytes "$free") free. Make room, or let input/ be a link to a" \
            "larger disk. Nothing was changed."
    fi
}

# ---- download --------------------------------------------------------------------------------------------------

remote_size() {
    if command -v curl >/dev/null 2>&1; then
        curl --silent --fail --location --head --connect-timeout 30 "$url"
    else
        wget --spider --server-response "$url" 2>&1
    fi | tr -d '\r' | awk 'tolower($1) == "content-length:" { size = $2 } END { print size }'
}

fetch() {                       # go on at the end of what is there
    if command -v curl >/dev/null 2>&1; then
        curl --fail --location --continue-at - --connect-timeout 30 --speed-limit 1000 --speed-time 120 \
            --output "$part" "$url"
    elif command -v wget >/dev/null 2>&1; then
        wget --continue --tries 1 --timeout 120 --output-document "$part" "$url"
    else
        die "needs curl or wget"
    fi
}

download() {
    size=$(remote_size || :)
    if [ -n "$size" ]; then
        have=$(size_of "$part")
        if [ "$have" -gt "$size" ]; then die "$part is longer than $url: it is of another file, remove it"; fi
        # The file and, for the default list, an eighth of it again unpacked
        room "$(awk -v a="$size" -v b="$have" 'BEGIN { printf "%.0f", a * 1.15 - b }')" "the download"
        say "$(gigabytes "$size") to $part, of which $(gigabytes "$have") are there"
    fi
    tries=0
    while [ -z "$size" ] || [ "$(size_of "$part")" -ne "$size" ]; do
        before=$(size_of "$part")
        if fetch && [ -z "$size" ]; then break; fi
        if [ "$(size_of "$part")" -gt "$before" ]; then tries=0; else tries=$((tries + 1)); fi
        if [ "$tries" -ge "${PLACES_TRIES:-5}" ]; then
            kept=$(gigabytes "$(size_of "$part")")
            die "the download does not continue. $kept are kept in $part: the same command continues from there." \
                "No internet on this node? Run it on the login node"
        fi
        if [ "$tries" -gt 0 ]; then sleep $((tries * tries)); fi
    done
    mv "$part" "$tar"
}

[ -f "$tar" ] || download

if [ -n "${PLACES_KEEP_ARCHIVE:-}" ]; then
    say "$tar is not unpacked; all its classes are used with --data_dir=$tar"
    exit 0
fi

# ---- unpack ----------------------------------------------------------------------------------------------------

folders=$tar.folders            # places365_standard/SPLIT/CLASS of each class: listing 1.8 million names takes minutes
if [ ! -f "$folders" ]; then
    say "reading the list of classes"
    # A whole archive ends in two empty blocks; GNU tar lists a cut one without a word
    if [ "$(tail -c 1024 "$tar" | tr -d '\0' | wc -c)" -ne 0 ] || ! tar -tf "$tar" >"$folders.names"; then
        rm -f "$folders.names"
        die "$tar is damaged. To download it again: rm $tar"
    fi
    sed -n 's|^\(.*places365_standard/[^/]*/[^/]*\)/..*|\1|p' "$folders.names" | sort -u >"$folders.tmp"
    rm -f "$folders.names"
    [ -s "$folders.tmp" ] || die "$tar has no places365_standard/SPLIT/CLASS/ in it: is $url the easyformat file?"
    mv "$folders.tmp" "$folders"
fi

for pattern in $patterns; do
    found=
    for folder in $(cat "$folders"); do
        # shellcheck disable=SC2254
        case ${folder##*/} in $pattern) found=yes; break ;; esac
    done
    [ -n "$found" ] || say "no class is called $pattern (the names are in $folders)"
done

rm -rf "$staging"
mkdir -p "$staging" "$target"
: >"$staging/members"
for member in $(cat "$folders"); do
    if [ ! -d "$target/${member#*places365_standard/}" ] && kept "${member##*/}"; then
        echo "$member" >>"$staging/members"
    fi
done
new=$(wc -l <"$staging/members" | tr -d ' ')
if [ "$new" -gt 0 ]; then
    room "$(awk -v all="$(size_of "$tar")" -v part="$new" -v of="$(wc -l <"$folders")" \
        'BEGIN { printf "%.0f", all * part / of }')" "unpacking $new folders"
    say "unpacking $new class folders"
    tar -xf "$tar" -C "$staging" -T "$staging/members" ||
        die "unpacking failed (see above); what was there before is untouched. Run the same command again"
    while read -r member; do
        folder=${member#*places365_standard/}
        mkdir -p "$target/${folder%/*}"
        mv "$staging/$member" "$target/$folder"
    done <"$staging/members"
fi
rm -rf "$staging"

# ---- what is there ---------------------------------------------------------------------------------------------

for folder in $(cd "$target" && find . -mindepth 2 -maxdepth 2 -type d | sed 's|^\./||'); do
    kept "${folder#*/}" || say "$target/$folder is there but not in the list: left as it is, and trained on"
done
for split in train val; do
    [ -d "$target/$split" ] || continue
    say "$split: $(find "$target/$split" -mindepth 1 -type d | wc -l | tr -d ' ') classes," \
        "$(find "$target/$split" -type f | wc -l | tr -d ' ') images"
done
cat <<NOTE

Places365 is free for academic research and education, not for commercial use; the photographs belong to their
authors. Terms: http://places2.csail.mit.edu/download.html
Please cite:  B. Zhou, A. Lapedriza, A. Khosla, A. Oliva, A. Torralba. Places: A 10 Million Image Database for Scene
Recognition. IEEE Transactions on Pattern Analysis and Machine Intelligence 40(6), 1452-1464, 2017.

The data are in $target, the default of --data_dir.
$tar ($(gigabytes "$(size_of "$tar")")) is kept for classes added later; without such plans it may be removed.
NOTE
