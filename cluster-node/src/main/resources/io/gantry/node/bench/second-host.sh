#!/bin/sh
# usage: second-host.sh NAME COMMAND…
#
# Runs a command that sees control groups of its own, called NAME, as the roots of all hierarchies, as it would on a host of its own. On one host two copies
# of a container would be in the same groups, which no OCI runtime can stand.
set -e
if [ "$1" != --inside ]; then
  name="$1"
  shift
  hierarchies=$(awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo)
  for place in $hierarchies; do
    mkdir -p "$place/$name"
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$place/$file" ] || cat "$place/$file" > "$place/$name/$file"
    done
    echo $$ > "$place/$name/cgroup.procs"
  done
  exec unshare --cgroup --mount sh "$0" --inside "$hierarchies" "$@"
fi
for place in $2; do
  options=$(awk -v place="$place" '$5 == place && / - cgroup / { sub(/.*,/, "", $NF); print $NF }' /proc/self/mountinfo)
  umount "$place"
  case "$options" in
    "") mount -t cgroup2 none "$place" ;;
    name=*) mount -t cgroup -o "none,$options" none "$place" ;;
    *) mount -t cgroup -o "$options" none "$place" ;;
  esac
done
shift 2
exec "$@"
