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

# Looks at one thing and says where it differs, and leaves it as it is.
look() { # ID TITLE CHECK [NEEDED]
  if [ -n "${4:-}" ] && ! "$4"; then
    skipped=$((skipped + 1))
    return 0
  fi
  if "$3"; then unchanged=$((unchanged + 1)); else say "differs and is left as it is: $2 ($1)"; fi
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

# Tells something else that one of these has changed.
after() { # WHAT COMMAND ID...
  local what=$1 command=$2
  shift 2
  if any_changed "$@"; then tell "$what" "$command"; fi
}

tell() { # WHAT COMMAND
  local status
  if [ "$dry_run" = 1 ]; then
    say "would then: $1"
    return 0
  fi
  say "$1, because something it reads has changed"
  set +e
  (
    set -e
    "$2"
  ) </dev/null
  status=$?
  set -e
  [ "$status" = 0 ] || fail "$1: it ended with status $status"
}

never() { return 1; }

has_mode() { [ "$(stat -L -c %a -- "$1" 2>/dev/null)" = "$2" ]; } # PATH MODE

# A part that is left empty is not looked at.
has_owner() { # PATH USER:GROUP
  { [ "${2%:*}" = '' ] || [ "$(stat -L -c %U -- "$1" 2>/dev/null)" = "${2%:*}" ]; } &&
    { [ "${2#*:}" = '' ] || [ "$(stat -L -c %G -- "$1" 2>/dev/null)" = "${2#*:}" ]; }
}

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
  if cat >"$beside" && { [ -z "${3:-}" ] || chown -- "${3%:}" "$beside"; } && chmod -- "$2" "$beside" && mv -fT -- "$beside" "$path"; then
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
  [ -z "${3:-}" ] || chown -- "${3%:}" "$1"
  chmod -- "$2" "$1"
}

# Asks a program whether what stands on the standard input will do as a file, which `{}` in its arguments stands for.
accepted() { # PATH PROGRAM [ARGUMENT]...
  local beside status=0
  mkdir -p -- "$(dirname -- "$1")"
  beside=$(mktemp -- "$(dirname -- "$1")/.greenroom.XXXXXXXXXX")
  cat >"$beside"
  shift
  (run 60 / -- "${@//'{}'/$beside}") || status=$?
  rm -f -- "$beside"
  return "$status"
}

is_link() { [ -L "$1" ] && [ "$(readlink -- "$1")" = "$2" ]; } # PATH TO

link() { # PATH TO
  local beside
  if [ -d "$1" ] && [ ! -L "$1" ]; then refuse "there is a folder in the place of the link $1"; fi
  mkdir -p -- "$(dirname -- "$1")"
  beside=$(mktemp -u -- "$(dirname -- "$1")/.greenroom.XXXXXXXXXX")
  ln -s -- "$2" "$beside"
  mv -fT -- "$beside" "$1"
}

is_absent() { [ ! -e "$1" ] && [ ! -L "$1" ]; } # PATH

remove_one() { if [ -d "$1" ] && [ ! -L "$1" ]; then rmdir -- "$1"; else rm -f -- "$1"; fi; } # PATH

remove_all() { rm -rf -- "$1"; } # PATH

# A field of a name in one of the system's own files.
field() { # FILE NAME PLACE
  awk -F: -v name="$2" -v place="$3" '$1 == name { print $place; found = 1; exit } END { exit !found }' "$1"
}

is_account() { field /etc/passwd "$1" 1 >/dev/null; } # NAME

# The groups, other than its own, that a user is in, with commas.
groups_of() { awk -F: -v name="$1" '("," $4 ",") ~ ("," name ",") { print $1 }' /etc/group | sort | paste -sd, -; } # NAME

is_group() { # NAME GID
  local gid
  gid=$(field /etc/group "$1" 3) && { [ -z "$2" ] || [ "$gid" = "$2" ]; }
}

group() { # NAME GID SYSTEM
  local options=()
  [ -z "$2" ] || options+=(--gid "$2")
  if is_group "$1" ''; then
    groupmod "${options[@]}" -- "$1"
    return
  fi
  [ "$3" != true ] || options+=(--system)
  groupadd "${options[@]}" -- "$1"
}

# What is empty is not looked at, and neither are groups that are `-`.
is_user() { # NAME UID GROUP GROUPS HOME SHELL COMMENT
  is_account "$1" && { [ -z "$2" ] || [ "$(field /etc/passwd "$1" 3)" = "$2" ]; } &&
    { [ -z "$3" ] || [ "$(field /etc/passwd "$1" 4)" = "$(field /etc/group "$3" 3)" ]; } &&
    { [ "$4" = - ] || [ "$(groups_of "$1")" = "$4" ]; } && { [ -z "$5" ] || [ "$(field /etc/passwd "$1" 6)" = "$5" ]; } &&
    { [ -z "$6" ] || [ "$(field /etc/passwd "$1" 7)" = "$6" ]; } && { [ -z "$7" ] || [ "$(field /etc/passwd "$1" 5)" = "$7" ]; }
}

user() { # NAME UID GROUP GROUPS HOME SHELL COMMENT SYSTEM
  local options=()
  [ -z "$2" ] || options+=(--uid "$2")
  [ -z "$3" ] || options+=(--gid "$3")
  [ -z "$6" ] || options+=(--shell "$6")
  [ -z "$7" ] || options+=(--comment "$7")
  if is_account "$1"; then
    [ "$4" = - ] || options+=(--groups "$4")
    [ -z "$5" ] || options+=(--home "$5")
    usermod "${options[@]}" -- "$1"
    return
  fi
  [ "$4" = - ] || [ "$4" = '' ] || options+=(--groups "$4")
  [ -z "$5" ] || options+=(--home-dir "$5")
  if [ "$8" = true ]; then options+=(--system); else options+=(--create-home); fi
  useradd "${options[@]}" -- "$1"
}

# Whether the keys on the standard input are those that may sign in as a user.
has_keys() { cmp -s -- - "$(field /etc/passwd "$1" 6)/.ssh/authorized_keys"; } # NAME

keys() { # NAME
  local home group
  home=$(field /etc/passwd "$1" 6)
  group=$(id -g -- "$1")
  folder "$home/.ssh" 700 "$1:$group"
  put "$home/.ssh/authorized_keys" 600 "$1:$group"
}

home_of() { field /etc/passwd "$1" 6; } # NAME

# Runs a command whose exit codes in this list are good.
ends_with() { # CODES COMMAND...
  local good=$1 status=0
  shift
  "$@" || status=$?
  [[ " $good " = *" $status "* ]]
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

# Whether a package is installed, or its program is there from elsewhere.
has_package() { has_program "$2" || is_installed "$1"; } # PACKAGE PROGRAM

all_installed() { # PACKAGE...
  local package
  for package in "$@"; do is_installed "$package" || return 1; done
}

any_installed() { # PACKAGE...
  local package
  for package in "$@"; do if is_installed "$package"; then return 0; fi; done
  return 1
}

# Whether one of these is there, be it only with its settings.
any_known() { # PACKAGE...
  local package
  for package in "$@"; do
    if [[ $(dpkg-query -W -f '${db:Status-Status}' -- "$package" 2>/dev/null) =~ ^(installed|config-files)$ ]]; then return 0; fi
  done
  return 1
}

has_version() { [ "$(dpkg-query -W -f '${Version}' -- "$1" 2>/dev/null)" = "$2" ]; } # PACKAGE VERSION

all_latest() { # PACKAGE...
  local package
  for package in "$@"; do
    apt-cache policy -- "$package" | awk '$1 == "Installed:" { is = $2 } $1 == "Candidate:" { best = $2 } END { exit is != best }' || return 1
  done
}

# Whether upgrades leave all of these alone, or none of them.
all_held() { # HOLD PACKAGE...
  local hold=$1 package is
  shift
  for package in "$@"; do
    is=false
    if [ "$(dpkg-query -W -f '${db:Status-Want}' -- "$package" 2>/dev/null)" = hold ]; then is=true; fi
    [ "$is" = "$hold" ] || return 1
  done
}

hold() { # HOLD PACKAGE...
  local verb=unhold
  if all_held "$@"; then return 0; fi
  [ "$1" != true ] || verb=hold
  shift
  apt-mark "$verb" -- "$@"
}

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

# Whether a service of the system runs and starts with the machine, or not; `-` is not looked at.
is_system_service() { # NAME RUNNING ENABLED
  local is
  if [ "$3" != - ]; then
    is=false
    case $(systemctl is-enabled -- "$1" 2>/dev/null || true) in enabled | static | alias) is=true ;; esac
    [ "$is" = "$3" ] || return 1
  fi
  if [ "$2" = - ] || ! is_booted; then return 0; fi
  is=false
  case $(systemctl is-active -- "$1" 2>/dev/null || true) in active | activating | reloading) is=true ;; esac
  [ "$is" = "$2" ]
}

system_service() { # NAME RUNNING ENABLED
  if [ "$3" = true ]; then systemctl --quiet enable -- "$1"; fi
  if [ "$3" = false ]; then systemctl --quiet disable -- "$1"; fi
  if ! is_booted; then return 0; fi
  if [ "$2" = true ] && [ -e "$state_dir/renewed.$1" ] && systemctl is-active --quiet -- "$1"; then systemctl restart -- "$1"; fi
  if [ "$2" = true ]; then systemctl start -- "$1"; fi
  if [ "$2" = false ]; then systemctl stop -- "$1"; fi
  rm -f -- "$state_dir/renewed.$1"
}

# Writes the text of a unit where it differs.
unit_file() { # NAME
  local text
  text=$(mktemp)
  cat >"$text"
  if ! holds "/etc/systemd/system/$1.service" 644 <"$text"; then
    put "/etc/systemd/system/$1.service" 644 <"$text"
    : >"$state_dir/renewed.$1"
    if is_booted; then systemctl daemon-reload; fi
  fi
  rm -f -- "$text"
}

tell_service() { # VERB NAME
  if is_booted; then systemctl "$1" -- "$2"; fi
}

timer() { # NAME
  if ! is_booted; then
    systemctl --quiet enable -- "$1.timer"
    return
  fi
  systemctl daemon-reload
  systemctl --quiet enable -- "$1.timer"
  systemctl restart -- "$1.timer"
}

no_timer() { # NAME
  if is_booted; then systemctl --quiet disable --now -- "$1.timer"; else systemctl --quiet disable -- "$1.timer"; fi
  rm -f -- "/etc/systemd/system/$1.timer" "/etc/systemd/system/$1.service"
}

has_hash() { printf '%s  %s\n' "$2" "$1" | sha256sum --check --status 2>/dev/null; } # PATH SHA256

is_download() { # SHA256 PATH MODE [USER:GROUP]
  [ -f "$2" ] && has_hash "$2" "$1" && has_mode "$2" "$3" && { [ -z "${4:-}" ] || has_owner "$2" "$4"; }
}

fetch() { # URL FILE
  has_program curl || refuse 'the program curl is not there; put a package state before the download'
  curl --fail --silent --show-error --location --retry 3 --connect-timeout 20 --output "$2" -- "$1"
}

download() { # URL SHA256 PATH MODE [USER:GROUP]
  local beside
  if [ -f "$3" ] && has_hash "$3" "$2"; then
    chmod -- "$4" "$3"
    [ -z "${5:-}" ] || chown -- "${5%:}" "$3"
    return
  fi
  beside=$(mktemp)
  fetch "$1" "$beside"
  if ! has_hash "$beside" "$2"; then
    rm -f -- "$beside"
    refuse "what is at $1 is not what the recipe means: its hash differs"
  fi
  put "$3" "$4" "${5:-}" <"$beside"
  rm -f -- "$beside"
}

is_unpacked() { [ "$(cat -- "$1/.greenroom-archive" 2>/dev/null)" = "$2" ]; } # PATH SHA256

unpack() { # PATH SHA256 SOURCE STRIP
  local archive=$3
  mkdir -p -- "$1"
  if [[ $3 != /* ]]; then
    archive=$(mktemp)
    fetch "$3" "$archive"
  fi
  has_hash "$archive" "$2" || refuse "what is at $3 is not what the recipe means: its hash differs"
  tar --extract --no-same-owner --strip-components="$4" --directory "$1" --file "$archive"
  if [[ $3 != /* ]]; then rm -f -- "$archive"; fi
  printf '%s\n' "$2" | put "$1/.greenroom-archive" 644
}

# The file of hosts with this entry as the only one of its main name.
hosts_with() { # ADDRESS MAIN NAMES PRESENT
  awk -v main="$2" -v line="$1 $3 # greenroom" -v present="$4" '
    {
      words = $0; sub(/#.*/, "", words); count = split(words, name, " "); hit = 0
      for (i = 2; i <= count; i++) if (name[i] == main) hit = 1
      if (!hit) print
      else if (present == "true" && !placed) { print line; placed = 1 }
    }
    END { if (present == "true" && !placed) print line }' /etc/hosts
}

is_in_hosts() { hosts_with "$@" | cmp -s -- - /etc/hosts; } # ADDRESS MAIN NAMES PRESENT

put_in_hosts() { # ADDRESS MAIN NAMES PRESENT
  local text
  text=$(hosts_with "$@")
  # In a container it is mounted as a file, which can be written and not replaced.
  printf '%s\n' "$text" >/etc/hosts
}

# Asks this machine's own PostgreSQL server as its own account.
sql() { # STATEMENTS
  printf %s "$1" | (cd / && setpriv --reuid postgres --regid postgres --init-groups -- psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 --dbname=postgres)
}

# A name as SQL writes it, and a text.
sql_name() { printf '"%s"' "${1//\"/\"\"}"; } # NAME

sql_text() { printf "'%s'" "${1//\'/\'\'}"; } # TEXT

is_database() { # NAME OWNER
  local is
  is=$(sql "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = $(sql_text "$1")" 2>/dev/null) || return 1
  [ -n "$is" ] && { [ -z "$2" ] || [ "$is" = "$2" ]; }
}

database() { # NAME OWNER
  if is_database "$1" ''; then
    sql "ALTER DATABASE $(sql_name "$1") OWNER TO $(sql_name "$2")"
  else
    sql "CREATE DATABASE $(sql_name "$1")${2:+ OWNER $(sql_name "$2")}"
  fi
}

is_role() { [ -n "$(sql "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $(sql_text "$1")" 2>/dev/null)" ]; } # NAME

is_role_as() { # NAME MARKS
  [ "$(sql "SELECT rolcreatedb, rolcreaterole, rolreplication, rolsuper FROM pg_catalog.pg_roles WHERE rolname = $(sql_text "$1")" 2>/dev/null)" = "$2" ]
}

role() { # NAME OPTIONS
  if is_role "$1"; then sql "ALTER ROLE $(sql_name "$1") LOGIN $2"; else sql "CREATE ROLE $(sql_name "$1") LOGIN $2"; fi
}

no_role() { sql "DROP ROLE $(sql_name "$1")"; } # NAME

# Whether something listens on a port.
takes_connections() { timeout 5 bash -c "exec 8<>'/dev/tcp/$1/$2'" 2>/dev/null; } # HOST PORT

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
