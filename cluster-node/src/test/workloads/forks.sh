#!/bin/sh
# A shell that starts processes without pause: each turn runs subshells, pipelines and background jobs, checks what they say, and
# appends its number to a file. Nobody may lose a turn, repeat one, or see a wrong result or exit status.
#
# usage: forks.sh DIRECTORY     corrupt: number, result
# Files and commands are those of report.h; "numbers" has one number per line.
directory=$1
turn=0
errors=0
checks=0
max_gap=0

error() {
  echo "turn $turn: $1" >> "$directory/errors"
  echo "turn $turn: $1"
  errors=$((errors + 1))
}

# expect NAME WANTED GOT
expect() {
  checks=$((checks + 1))
  [ "$2" = "$3" ] || error "$1 is '$3' instead of '$2'"
}

# Hundredths of a second since the start of the machine: the only clock a shell can read without starting anything.
clock() {
  read -r up idle < /proc/uptime
  whole=${up%.*}
  part=${up#*.}
  now=$((whole * 100 + ${part#0}))
}

clock
started=$now
before=$now
mine=$$
echo "shell $mine" > "$directory/left"
exec 7>> "$directory/numbers"
while :; do
  turn=$((turn + 1))
  expect "a sum from a subprocess" $((turn + 1)) "$(expr $turn + 1)"
  expect "a pipeline of three" "$((turn % 50 + 1))" "$(seq 0 $((turn % 50)) | cat | wc -l | tr -d ' ')"
  (exit $((turn % 200)))
  expect "the status of a subshell" $((turn % 200)) $?
  (sleep 0.03; echo "job $turn" > "$directory/job") &
  job=$!
  wait $job
  expect "the status of a background job" 0 $?
  read -r word < "$directory/job"
  expect "what a background job wrote" "job $turn" "$word"
  sh -c 'kill -9 $$' 2> /dev/null
  expect "the status of a killed process" 137 $?
  expect "the shell's own process id" "$mine" "$(sh -c 'echo $PPID')"
  if [ -f "$directory/corrupt" ]; then
    read -r what < "$directory/corrupt" || :
    mv "$directory/corrupt" "$directory/corrupted"
    case $what in
      number) turn=$((turn + 1)) ;;
      result) turn=$((turn - 1)); expect "a sum that is made wrong" 1 "$(expr $turn + 1)"; turn=$((turn + 1)) ;;
    esac
  fi
  echo $turn >&7
  clock
  gap=$((now - before))
  before=$now
  [ $gap -le $max_gap ] || max_gap=$gap
  printf 'pid=%s\nbeat=%s\nchecks=%s\nerrors=%s\nmax_gap_ms=%s\nruns_ms=%s\n' $mine $turn $checks $errors ${max_gap}0 $((now - started))0 \
    > "$directory/status.new"
  mv "$directory/status.new" "$directory/status"
  if [ -f "$directory/finish" ]; then
    # The file must hold 1, 2, 3 … without a gap and without a repetition.
    expect "the sequence of numbers" "" "$(awk '$1 != NR { print "line " NR " holds " $1; exit }' "$directory/numbers")"
    expect "the count of numbers" "$turn" "$(wc -l < "$directory/numbers" | tr -d ' ')"
    verdict=ok
    [ $errors -eq 0 ] && [ ! -f "$directory/errors" ] || verdict=failed
    printf 'verdict=%s\nchecks=%s\nerrors=%s\nmax_gap_ms=%s\n' $verdict $checks $errors ${max_gap}0 > "$directory/verdict.new"
    mv "$directory/verdict.new" "$directory/verdict"
    echo "verdict: $verdict"
    [ $verdict = ok ]
    exit
  fi
done
