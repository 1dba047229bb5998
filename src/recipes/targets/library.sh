# shellcheck shell=bash
# What the scripts that Greenroom makes are put together from. A script holds those of these functions that it uses, in this
# order. Functions that look are used as conditions, where `set -e` does not act: each is a chain of conditions.

set -euo pipefail
umask 022
export LC_ALL=C.UTF-8 PATH="${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin"
state_dir=${GREENROOM_STATE_DIR:-/var/lib/greenroom/script}
dry_run=${DRY_RUN:-0}
changes=0 unchanged=0 skipped=0
declare -A changed=()

say() { printf '%s\n' "$*"; }

# Says how it went; the status says whether something changed and whether something failed.
conclude() { # FAILED
  local status=0
  [ "$changes" = 0 ] || status=2
  [ "$1" = 0 ] || status=$((status + 4))
  say "$unchanged as it should be, $changes changed, $skipped not needed$([ "$dry_run" != 1 ] || echo '; nothing was touched')"
  return "$status"
}

fail() { # WHAT
  local status=0
  say "failed: $1" >&2
  conclude 1 || status=$?
  exit "$status"
}

# Ends the part of the script that is under way, which is a shell of its own.
refuse() { # WHAT
  say "$1" >&2
  exit 1
}

# Takes the lock and remembers what an unfinished run has changed.
begin() {
  local id
  if [ "$dry_run" != 1 ]; then
    mkdir -p -- "$state_dir"
    chmod 0700 "$state_dir"
    exec 9>"$state_dir/lock"
    flock -n 9 || fail "another run is under way, which holds $state_dir/lock"
    rm -f -- "$state_dir"/started.* "$state_dir"/lists
  fi
  if [ -r "$state_dir/changed" ]; then
    while IFS= read -r id; do changed["$id"]=1; done <"$state_dir/changed"
  fi
}

# Makes one thing true: asks whether it is needed, looks, and changes it only where it differs.
state() { # ID TITLE CHECK APPLY [NEEDED]
  local id=$1 title=$2 check=$3 apply=$4 needed=${5:-} status
  if [ -n "$needed" ] && ! "$needed"; then
    skipped=$((skipped + 1))
    return 0
  fi
  if "$check"; then
    unchanged=$((unchanged + 1))
    return 0
  fi
  if [ "$dry_run" = 1 ]; then
    say "would change: $title ($id)"
  else
    say "$title ($id)"
    set +e
    (
      set -e
      "$apply"
    ) </dev/null
    status=$?
    set -e
    [ "$status" = 0 ] || fail "$title ($id): it ended with status $status"
    # Kept until everything is done, for whatever waits for it.
    [ -n "${changed[$id]:-}" ] || printf '%s\n' "$id" >>"$state_dir/changed"
  fi
  changes=$((changes + 1))
  changed["$id"]=1
}

owe() { changed["$1"]=1; } # ID

was_changed() { [ -n "${changed[$1]:-}" ]; } # ID

# Whether one of these has changed.
any_changed() { # ID...
  local id
  for id in "$@"; do
    if was_changed "$id"; then return 0; fi
  done
  return 1
}

never() { return 1; }

has_mode() { [ "$(stat -L -c %a -- "$1" 2>/dev/null)" = "$2" ]; } # PATH MODE

has_owner() { [ "$(stat -L -c %U:%G -- "$1" 2>/dev/null)" = "$2" ]; } # PATH USER:GROUP

# Whether a file holds what stands on the standard input.
holds() { # PATH MODE [USER:GROUP]
  [ -f "$1" ] && cmp -s -- - "$1" && has_mode "$1" "$2" && { [ -z "${3:-}" ] || has_owner "$1" "$3"; }
}

# Replaces a file in one step by what stands on the standard input.
put() { # PATH MODE [USER:GROUP]
  local path beside
  path=$(readlink -m -- "$1")
  mkdir -p -- "$(dirname -- "$path")"
  beside=$(mktemp -- "$(dirname -- "$path")/.greenroom.XXXXXXXXXX")
  if cat >"$beside" && { [ -z "${3:-}" ] || chown -- "$3" "$beside"; } && chmod -- "$2" "$beside" && mv -fT -- "$beside" "$path"; then
    return 0
  fi
  rm -f -- "$beside"
  return 1
}

is_folder() { # PATH MODE [USER:GROUP]
  [ -d "$1" ] && has_mode "$1" "$2" && { [ -z "${3:-}" ] || has_owner "$1" "$3"; }
}

folder() { # PATH MODE [USER:GROUP]
  mkdir -p -- "$1"
  [ -z "${3:-}" ] || chown -- "$3" "$1"
  chmod -- "$2" "$1"
}

# Runs a program in a plain environment, as the agent would; variables of its own come before the program.
run() { # SECONDS FOLDER [NAME=VALUE]... -- PROGRAM [ARGUMENT]...
  local seconds=$1 variables=()
  cd -- "$2" || return 1
  shift 2
  while [ "$1" != -- ]; do
    variables+=("$1")
    shift
  done
  shift
  # The variables go to env and not to timeout, which stays and whose arguments everybody can read.
  env -i "PATH=$PATH" "HOME=${HOME:-/}" "TMPDIR=${TMPDIR:-/tmp}" LANG=C.UTF-8 "${variables[@]}" \
    timeout --kill-after=2 "$seconds" "$@" </dev/null
}

# As run, for questions: in a shell of its own, and silent.
asks() { (run "$@") >/dev/null 2>&1; }

# The folder, or the root where it is not there yet.
folder_or_root() { if [ -d "$1" ]; then printf %s "$1"; else printf /; fi; } # PATH

# The lines of a file with variables for a unit.
secret_lines() { # [NAME VALUE]...
  local value
  while [ "$#" -gt 0 ]; do
    value=${2//\\/\\\\}
    value=${value//\"/\\\"}
    printf '%s="%s"\n' "$1" "$value"
    shift 2
  done
}

# The value of a secret, from the file that GREENROOM_SECRETS names: lines of NAME=VALUE.
secret() { # NAME
  local line
  [ -n "${GREENROOM_SECRETS:-}" ] || refuse "GREENROOM_SECRETS must name the file with the value of $1"
  while IFS= read -r line || [ -n "$line" ]; do
    if [ "${line%%=*}" = "$1" ]; then
      printf %s "${line#*=}"
      return 0
    fi
  done <"$GREENROOM_SECRETS"
  refuse "$GREENROOM_SECRETS has no line $1=..."
}

# Git with no configuration but ours: no hooks, no prompts, no helper programs.
plain_git() { # ARGUMENT...
  GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=file:git:http:https:ssh \
    GIT_OPTIONAL_LOCKS=0 GIT_SSH_COMMAND='ssh -o BatchMode=yes' GIT_LFS_SKIP_SMUDGE=1 \
    git -c safe.directory='*' -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 -c advice.detachedHead=false "$@"
}

is_checkout() { # PATH COMMIT
  [ "$(plain_git -C "$1" rev-parse --verify --quiet HEAD 2>/dev/null)" = "$2" ] &&
    [ -d "$1/.git" ] && [ -z "$(plain_git -C "$1" status --porcelain --untracked-files=no)" ]
}

# Brings a checkout to a commit; a new one is made beside its place and moved there whole.
checkout() { # PATH REPOSITORY COMMIT
  local path=$1 beside=''
  if [ ! -d "$path/.git" ]; then
    [ -z "$(ls -A -- "$path" 2>/dev/null)" ] || refuse "$path holds something that is not a checkout"
    mkdir -p -- "$(dirname -- "$path")"
    beside=$(mktemp -d -- "$path.XXXXXXXXXX")
    chmod 0755 "$beside"
    path=$beside
    plain_git -C "$path" init --quiet .
  fi
  if ! plain_git -C "$path" cat-file -e "$3^{commit}" 2>/dev/null && ! plain_git -C "$path" fetch --quiet --no-tags --depth=1 -- "$2" "$3" 2>/dev/null; then
    # Not every server gives a commit by its name; then everything is fetched.
    plain_git -C "$path" fetch --quiet --tags --force -- "$2" '+refs/*:refs/fetched/*'
  fi
  plain_git -C "$path" checkout --quiet --force --detach "$3" --
  if [ -n "$beside" ]; then
    mv -T -- "$beside" "$1"
  fi
}

# The first dotted number in a program's own words is at least this.
is_version() { # LEAST PROGRAM [ARGUMENT]...
  local least=$1 found
  shift
  found=$("$@" 2>&1 </dev/null | grep -oE '[0-9]+(\.[0-9]+)*' | head -n 1) || return 1
  [ "$(printf '%s\n' "$least" "$found" | sort -V | head -n 1)" = "$least" ]
}

has_program() { command -v -- "$1" >/dev/null 2>&1; } # NAME

apt() { # ARGUMENT...
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 "$@" >"$state_dir/apt.log" 2>&1 || {
    tail -n 20 "$state_dir/apt.log" >&2
    return 1
  }
}

# The lists of packages are read once a run.
read_lists() {
  [ ! -e "$state_dir/lists" ] || return 0
  apt update
  : >"$state_dir/lists"
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' -- "$1" 2>/dev/null)" = installed ]; } # PACKAGE

install_packages() { # PACKAGE[=VERSION]...
  read_lists
  apt install --no-install-recommends --allow-downgrades -- "$@"
}

# Whether a database in a file is there, with the tables of this revision.
is_sqlite() { # PATH NOTE REVISION SCHEMA
  [ -e "$1" ] && { [ -z "$4" ] || [ "$(cat -- "$state_dir/database.$2" 2>/dev/null)" = "$3" ]; }
}

# Makes a database in a file with its tables and first data, beside its place, or brings its tables up to date.
sqlite() { # PATH NOTE REVISION SCHEMA FIXTURE
  local beside part
  has_program sqlite3 || refuse 'the program sqlite3 is not there'
  if [ -e "$1" ]; then
    { echo 'BEGIN IMMEDIATE;' && sql_of "$4" && echo 'COMMIT;'; } | sqlite3 -bail "$1"
  else
    mkdir -p -- "$(dirname -- "$1")"
    beside=$1.$$.new
    rm -f -- "$beside"
    {
      echo 'BEGIN IMMEDIATE;'
      for part in "$4" "$5"; do
        if [ -n "$part" ]; then sql_of "$part"; fi
      done
      echo 'COMMIT;'
    } | sqlite3 -bail "$beside"
    mv -T -- "$beside" "$1"
  fi
  printf '%s\n' "$3" >"$state_dir/database.$2"
}

# A file of SQL without the transaction that dumps bring.
sql_of() { sed -E '/^[[:space:]]*(BEGIN|BEGIN TRANSACTION|COMMIT|COMMIT TRANSACTION);[[:space:]]*$/Id' -- "$1"; } # FILE

# Whether units can be started here, and not only enabled: not while an image is made.
is_booted() { [ -d /run/systemd/system ] && [ -z "${GREENROOM_IMAGE:-}" ]; }

is_enabled() { systemctl is-enabled --quiet -- "$1" 2>/dev/null; } # UNIT

is_active() { ! is_booted || systemctl is-active --quiet -- "$1"; } # UNIT

# Whether a unit of ours is as it should be; its text stands on the standard input.
is_service() { # NAME
  holds "/etc/systemd/system/$1.service" 644 && is_enabled "$1.service" && is_active "$1.service"
}

# Makes a unit of ours, enables it and starts it where units are started; its text stands on the standard input.
service() { # NAME
  put "/etc/systemd/system/$1.service" 0644
  if is_booted; then systemctl daemon-reload; fi
  systemctl --quiet enable -- "$1.service"
  restart_service "$1"
  : >"$state_dir/started.$1"
}

restart_service() { # NAME
  if is_booted; then
    systemctl reset-failed -- "$1.service" 2>/dev/null || true
    systemctl restart -- "$1.service"
  else
    say "  $1 will be started by the next boot"
  fi
}

# Restarts a service once, at the end, where one of these has changed, unless this run has started it anew.
restart_after() { # SERVICE WAIT_UNTIL_READY ID...
  local name=$1 ready=$2 status
  shift 2
  if ! any_changed "$@" || [ -e "$state_dir/started.$name" ]; then return 0; fi
  if [ "$dry_run" = 1 ]; then
    say "would restart $name"
    return 0
  fi
  say "Restarting $name, because something it reads has changed"
  set +e
  (
    set -e
    restart_service "$name"
    "$ready"
  ) </dev/null
  status=$?
  set -e
  [ "$status" = 0 ] || fail "the restart of $name"
}

# Whether an address answers with a status below 400.
answers() { # HOST PORT PATH
  local status
  status=$(exec 8<>"/dev/tcp/$1/$2" && printf 'GET %s HTTP/1.0\r\nHost: %s:%s\r\n\r\n' "$3" "$1" "$2" >&8 && IFS=' ' read -r -t 5 _ code _ <&8 && echo "$code") 2>/dev/null || return 1
  [[ $status =~ ^[23][0-9][0-9]$ ]]
}

# Asks until the answer is yes.
wait_for() { # SECONDS WHAT COMMAND...
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$until" ] || refuse "$what is not ready in time"
    sleep 0.2
  done
}
