/* SPDX-License-Identifier: Apache-2.0
 * cmdtable.c: programs whose options do not say by their name that a secret follows, and those that
 * take statements or scripts.
 *
 * source  the manual pages of the programs
 */
#include <string.h>

#include "format/base/size.h"
#include "format/redact/cmdline.h"
#include "format/redact/scrub_own.h"

#define OPTIONS_MAX 6u

enum how {
    ATTACHED = 1, /* -pX */
    SEPARATE = 2, /* -p X */
    EITHER = 3,
    CLUSTER = 4, /* also as the last of several: -Atc X */
};

struct option {
    const char *name; /* "-p"; long ones take =X or the next word */
    enum take take;
    int how;
};

struct program {
    const char *names; /* parted by blanks */
    unsigned traits;
    struct option option[OPTIONS_MAX];
};

static const struct program programs[] = {
    {"mysql mariadb mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlslap "
     "mysqlbinlog "
     "mysqlpump mysql_upgrade mysqlsh mariadb-dump mariadb-admin mariadb-import mariadb-check "
     "mycli xtrabackup mydumper myloader",
     0,
     {{"-p", TAKE_SECRET, ATTACHED},
      {"-e", TAKE_SQL, EITHER | CLUSTER},
      {"--execute", TAKE_SQL, EITHER},
      {"--init-command", TAKE_SQL, EITHER}}},
    {"psql pgcli vsql",
     0,
     {{"-c", TAKE_STRICTSQL, EITHER | CLUSTER}, {"--command", TAKE_STRICTSQL, EITHER}}},
    {"cockroach", 0, {{"-e", TAKE_STRICTSQL, EITHER}, {"--execute", TAKE_STRICTSQL, EITHER}}},
    {"sqlite3 sqlite sqlcipher duckdb isql",
     HAS_SQL_ARGUMENTS,
     {{"-cmd", TAKE_SQL, SEPARATE}, {"-c", TAKE_SQL, SEPARATE}}},
    {"sqlcmd bcp mssql-cli osql",
     0,
     {{"-P", TAKE_SECRET, EITHER}, {"-Q", TAKE_SQL, EITHER}, {"-q", TAKE_SQL, EITHER}}},
    {"clickhouse clickhouse-client clickhouse-local",
     0,
     {{"-q", TAKE_SQL, EITHER}, {"--query", TAKE_SQL, EITHER}}},
    {"cqlsh", 0, {{"-p", TAKE_SECRET, EITHER}, {"-e", TAKE_SQL, EITHER}}},
    {"influx trino presto beeline hive impala-shell",
     0,
     {{"-p", TAKE_SECRET, SEPARATE},
      {"-e", TAKE_SQL, EITHER},
      {"-execute", TAKE_SQL, SEPARATE},
      {"--execute", TAKE_SQL, EITHER},
      {"-q", TAKE_SQL, EITHER}}},
    {"mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop",
     0,
     {{"-p", TAKE_SECRET, EITHER}}},
    {"redis-cli valkey-cli keydb-cli redis-benchmark redis-server valkey-server",
     HAS_AUTH,
     {{"-a", TAKE_SECRET, EITHER}}},
    {"curl",
     0,
     {{"-u", TAKE_USERPASS, EITHER | CLUSTER},
      {"--user", TAKE_USERPASS, EITHER},
      {"-U", TAKE_USERPASS, EITHER},
      {"--proxy-user", TAKE_USERPASS, EITHER},
      {"-b", TAKE_LITERAL, EITHER | CLUSTER},
      {"--cookie", TAKE_LITERAL, EITHER}}},
    {"http https xh", 0, {{"-a", TAKE_USERPASS, EITHER}, {"--auth", TAKE_USERPASS, EITHER}}},
    {"lftp", 0, {{"-u", TAKE_USERCOMMA, EITHER}, {"--user", TAKE_USERCOMMA, EITHER}}},
    {"smbclient rpcclient smbget net winexe",
     0,
     {{"-U", TAKE_USERPERCENT, EITHER}, {"--user", TAKE_USERPERCENT, EITHER}}},
    {"sshpass", IS_LAUNCHER, {{"-p", TAKE_SECRET, EITHER}}},
    {"ldapsearch ldapmodify ldapadd ldapdelete ldappasswd ldapwhoami ldapcompare",
     0,
     {{"-w", TAKE_SECRET, EITHER}}},
    {"useradd usermod groupadd groupmod", 0, {{"-p", TAKE_SECRET, EITHER}}},
    {"openssl",
     0,
     {{"-pass", TAKE_PASSSOURCE, SEPARATE},
      {"-passin", TAKE_PASSSOURCE, SEPARATE},
      {"-passout", TAKE_PASSSOURCE, SEPARATE},
      {"-k", TAKE_SECRET, SEPARATE},
      {"-K", TAKE_SECRET, SEPARATE}}},
    {"zip unzip mosquitto_pub mosquitto_sub ipmitool", 0, {{"-P", TAKE_SECRET, EITHER}}},
    {"7z 7za 7zr rar unrar",
     0,
     {{"-p", TAKE_SECRET, ATTACHED}, {"-hp", TAKE_SECRET, ATTACHED}}},
    {"snmpget snmpwalk snmpbulkwalk snmpset",
     0,
     {{"-c", TAKE_SECRET, EITHER}, {"-A", TAKE_SECRET, EITHER}, {"-X", TAKE_SECRET, EITHER}}},
    {"kubectl oc",
     IS_LAUNCHER | HAS_SETTINGS | HAS_LOGIN,
     {{"--from-literal", TAKE_LITERAL, EITHER}}},
    {"docker podman nerdctl", IS_LAUNCHER | HAS_LOGIN, {{0}}},
    {"az helm skopeo buildah crane cf argocd", HAS_LOGIN, {{0}}},
    {"aws gcloud npm yarn pnpm git composer pip pip3 gh", HAS_SETTINGS, {{0}}},
    {"sh bash dash zsh ksh ash mksh busybox fish",
     IS_INTERPRETER,
     {{"-c", TAKE_SCRIPT, SEPARATE | CLUSTER}}},
    {"perl python python2 python3 ruby node php", IS_INTERPRETER, {{0}}},
    {"su runuser script",
     0,
     {{"-c", TAKE_SCRIPT, EITHER | CLUSTER}, {"--command", TAKE_SCRIPT, EITHER}}},
    {"env sudo doas nohup nice ionice chrt time timeout setsid chroot unshare nsenter stdbuf "
     "strace "
     "ltrace perf crictl ssh xargs watch setpriv flock parallel tini dumb-init catatonit exec "
     "systemd-run faketime taskset numactl kymo kymo-record",
     IS_LAUNCHER,
     {{0}}},
};

static int is_named(const struct program *p, const char *name, size_t n)
{
    for (const char *at = p->names; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strcspn(at, " ") == n && !memcmp(at, name, n))
            return 1;
    }
    return 0;
}

const struct program *program_of(const char *name, size_t n)
{
    size_t base = n;
    while (base && name[base - 1] != '/')
        base--;
    name += base;
    n -= base;
    if (n && *name == '-') /* a login shell */
        name++, n--;
    for (size_t i = 0; n && i < KYMO_COUNT_OF(programs); i++)
        if (is_named(&programs[i], name, n))
            return &programs[i];
    return NULL;
}

unsigned program_traits(const struct program *p)
{
    return p ? p->traits : 0;
}

/* "-c" in "-Atc": letters, this one last. */
static int ends_cluster(const struct option *o, const char *s, size_t n)
{
    if (!(o->how & CLUSTER) || n < 3 || s[0] != '-' || s[n - 1] != o->name[1])
        return 0;
    for (size_t i = 1; i < n; i++)
        if (!is_letter(s[i]))
            return 0;
    return 1;
}

static int fits(const struct option *o, const char *s, size_t n, size_t *attached)
{
    const size_t len = strlen(o->name);
    const int is_long = o->name[1] == '-';
    *attached = n;
    if (n >= len && !memcmp(s, o->name, len)) {
        if (n == len)
            return o->how & SEPARATE;
        if (is_long && s[len] != '=')
            return 0;
        *attached = len + (size_t)is_long;
        return o->how & ATTACHED;
    }
    return ends_cluster(o, s, n);
}

enum take program_takes(const struct program *p, const char *s, size_t n, size_t *attached)
{
    for (size_t i = 0; p && i < OPTIONS_MAX && p->option[i].name; i++)
        if (fits(&p->option[i], s, n, attached))
            return p->option[i].take;
    *attached = n;
    return TAKE_NOTHING;
}
