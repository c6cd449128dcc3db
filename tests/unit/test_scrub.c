/* SPDX-License-Identifier: Apache-2.0
 * test_scrub.c: what is a secret in a command line and what is not. Tabs stand for the ends of
 * arguments, X for a secret, so that each line reads as it was typed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/size.h"
#include "format/redact/scrub.h"

#define CANARY "c4nary.T9zQ"

static struct kymo_scrub *scrub;
static char line[8192];

static int setup(void **state)
{
    static const uint8_t key[KYMO_SIPHASH_KEY_BYTES] = {1, 2, 3};
    (void)state;
    return kymo_scrub_open(&scrub, key, NULL);
}

static int teardown(void **state)
{
    (void)state;
    kymo_scrub_close(scrub);
    return 0;
}

static const char *shown(struct kymo_scrubbed r)
{
    assert_true(r.n < sizeof(line));
    memcpy(line, r.s, r.n);
    line[r.n] = 0;
    for (size_t i = 0; i < r.n; i++)
        if (!line[i])
            line[i] = '\t';
    return line;
}

static const char *command(const char *typed, int is_cut)
{
    char argv[8192];
    const size_t n = strlen(typed);
    assert_true(n < sizeof(argv));
    for (size_t i = 0; i < n; i++)
        argv[i] = (char)(typed[i] == '\t' ? 0 : typed[i]);
    return shown(kymo_scrub_argv(scrub, argv, n, is_cut));
}

/* typed with each @ as the canary */
static const char *filled(const char *typed, const char *with, char *out)
{
    size_t n = 0;
    for (; *typed; typed++)
        if (*typed == '@' && typed[1] == '@') {
            n += (size_t)sprintf(out + n, "%s", with);
            typed++;
        } else {
            out[n++] = *typed;
        }
    out[n] = 0;
    return out;
}

/* Where @@ stands, a pseudonym stands afterwards, and all else is as before. */
static void is_hidden(const char *typed)
{
    static char before[8192], after[8192];
    const struct kymo_scrubbed word = kymo_scrub_argv(scrub, "a\0--token\0" CANARY, 10 + 11, 0);
    char pseudonym[32];
    assert_int_equal(word.n, 10 + 18);
    memcpy(pseudonym, word.s + 10, 18);
    pseudonym[18] = 0;
    filled(typed, CANARY, before);
    filled(typed, pseudonym, after);
    const char *got = command(before, 0);
    if (strcmp(got, after) != 0)
        fail_msg("%s\n  became %s\n  and not %s", before, got, after);
    got = command(after, 0);
    if (strcmp(got, after) != 0)
        fail_msg("%s\n  became %s, though it holds pseudonyms only", after, got);
}

static void is_kept(const char *typed)
{
    const char *got = command(typed, 0);
    if (strcmp(got, typed) != 0)
        fail_msg("%s\n  became %s", typed, got);
}

/* Nothing of the canary is left; what is around it may be gone, too. */
static void is_gone(const char *typed, int is_cut)
{
    static char before[8192];
    const char *got = command(filled(typed, CANARY, before), is_cut);
    if (strstr(got, "c4nary") || strstr(got, "T9zQ"))
        fail_msg("%s\n  became %s", before, got);
}

static void options_that_are_called_so_hide_their_value(void **state)
{
    (void)state;
    is_hidden("app\t--password\t@@\t--host\tdb");
    is_hidden("app\t--password=@@\t--host\tdb");
    is_hidden("app\t-password\t@@");
    is_hidden("app\t--db-password=@@");
    is_hidden("app\t--api-key\t@@");
    is_hidden("app\t--apiKey=@@");
    is_hidden("app\t--clientSecret\t@@");
    is_hidden("app\t--access-token=@@");
    is_hidden("consul\t-token=@@\tmembers");
    is_hidden("keytool\t-storepass\t@@\t-keypass\t@@");
    is_hidden("java\t-Dspring.datasource.password=@@\t-jar\tapp.jar");
    is_hidden("gpg\t--batch\t--passphrase\t@@\t-d\tf.gpg");
    is_hidden("curl\t--oauth2-bearer\t@@\thttp://h/");
}

static void assignments_hide_their_value(void **state)
{
    (void)state;
    is_hidden("env\tPGPASSWORD=@@\tpsql\t-h\tdb");
    is_hidden("docker\trun\t-e\tMYSQL_ROOT_PASSWORD=@@\t-p\t3306:3306\tmysql:8");
    is_hidden("docker\trun\t--env=API_TOKEN=@@\timage");
    is_hidden("docker\trun\t-eDB_PASS=@@\timage");
    is_hidden("env\tAWS_SECRET_ACCESS_KEY=@@\taws\ts3\tls");
    is_hidden("env\tSTRIPE_KEY=@@\tapp");
    is_hidden("psql\thost=db password=@@ dbname=x");
    is_hidden("mount\t-t\tcifs\t-o\tusername=u,password=@@,uid=0\t//h/s\t/mnt");
    is_hidden("app\tServer=db;Password=@@;Timeout=3");
    is_hidden("app\tAccountName=x;AccountKey=@@;EndpointSuffix=core");
    is_hidden("helm\tupgrade\t--set\tauth.password=@@");
    is_hidden("curl\t-d\t{\"user\":\"u\",\"password\":\"@@\"}\thttp://h/");
    is_hidden("curl\t-d\t{\"token\" : \"@@\", \"n\": 1}\thttp://h/");
    is_hidden("app\t{\\\"secret\\\":\\\"@@\\\",\\\"n\\\":1}");
    is_hidden("python3\t-c\tconnect(password='@@', host='h')");
    is_gone("env\tPASSWORD=@@ with blanks; and@@ more=@@", 0);
    is_gone("env\tPASSWORD='@@'@@", 0);
    is_gone("app\tpassword=\"a\\\"@@\"", 0);
}

static void headers_hide_their_value_and_keep_their_scheme(void **state)
{
    (void)state;
    is_hidden("curl\t-H\tAuthorization: Bearer @@\thttp://h/");
    is_hidden("curl\t-H\tAuthorization: Basic @@\thttp://h/");
    is_hidden("curl\t-HX-Api-Key: @@\thttp://h/");
    is_hidden("curl\t-H\tx-api-key:@@\thttp://h/");
    is_hidden("curl\t--header=Proxy-Authorization: Basic @@");
    is_hidden("curl\t-H\tCookie: @@");
    is_hidden("http\tGET\th\tPRIVATE-TOKEN: @@");
    is_gone("curl\t-H\tAuthorization: @@ @@", 0);
    is_gone("curl\t-H\tX-Auth-Token: @@ @@", 0);
}

static void urls_hide_passwords_and_secret_parameters(void **state)
{
    (void)state;
    is_hidden("psql\tpostgres://user:@@@db.example.com:5432/app");
    is_hidden("app\tredis://:@@@cache/0");
    is_hidden("app\tmongodb+srv://u:@@@h/db?retryWrites=true");
    is_hidden("git\tclone\thttps://@@@github.com/a/b.git");
    is_hidden("git\tclone\thttps://u:@@@github.com/a/b.git");
    is_hidden("curl\thttps://h/p?user=u&access_token=@@&n=1");
    is_hidden("curl\thttps://h/p?sig=@@#top");
    is_hidden("curl\thttps://b.s3.amazonaws.com/k?X-Amz-Date=20260101&X-Amz-Signature=@@");
    is_hidden("app\t--url=postgres://user:@@@db/app");
    is_hidden("java\tjdbc:mysql://h/db?user=x&password=@@");
    is_gone("app\tpostgres://u:@@/@@@db/app", 0);
}

static void tokens_are_known_by_their_shape(void **state)
{
    static const char *const tokens[] = {
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "github_pat_0123456789abcdefghijABC_DEFGHIJ012345",
        "glpat-0123456789abcdefghij",
        "xoxb-123456789012-abcdefABCDEF",
        "sk_live_0123456789abcdefghijABCD",
        "AIzaSyA0123456789abcdefghijABCDEFGHIJ01",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        "hvs.CAESIJ0123456789abcdefghij",
    };
    (void)state;
    for (size_t i = 0; i < KYMO_COUNT_OF(tokens); i++) {
        char typed[256];
        (void)snprintf(typed, sizeof(typed), "echo\t%s", tokens[i]);
        if (strstr(command(typed, 0), tokens[i]))
            fail_msg("%s is still there", tokens[i]);
        (void)snprintf(typed, sizeof(typed), "echo\ta,%s;b", tokens[i]);
        const char *got = command(typed, 0);
        assert_null(strstr(got, tokens[i]));
        assert_non_null(strstr(got, "echo\ta,k"));
        /* a path may hold one */
        (void)snprintf(typed, sizeof(typed), "/tmp/%s", tokens[i]);
        assert_true(kymo_scrub_suspects(typed, strlen(typed)));
        assert_null(strstr(shown(kymo_scrub_path(scrub, typed, strlen(typed), 0)), tokens[i]));
    }
    is_gone("sh\t-----BEGIN RSA PRIVATE KEY-----\n@@\n@@\n-----END RSA PRIVATE KEY-----", 0);
    is_gone("sh\t-----BEGIN PRIVATE KEY-----\n@@\n@@", 0);
}

static void known_programs_take_secrets_where_they_do(void **state)
{
    (void)state;
    is_hidden("mysql\t-u\troot\t-p@@\tdb");
    is_hidden("/usr/bin/mysqldump\t-p@@\tdb");
    is_hidden("docker\texec\tdb\tmysql\t-uroot\t-p@@");
    is_hidden("sudo\t-u\tx\tmysqladmin\t-p@@\tstatus");
    is_hidden("curl\t-u\tuser:@@\thttp://h/");
    is_hidden("curl\t-uuser:@@\thttp://h/");
    is_hidden("curl\t--user=user:@@\thttp://h/");
    is_hidden("curl\t-b\tsession=@@\thttp://h/");
    is_hidden("redis-cli\t-a\t@@\tping");
    is_hidden("redis-cli\tAUTH\t@@");
    is_hidden("redis-cli\tCONFIG\tSET\trequirepass\t@@");
    is_hidden("sshpass\t-p\t@@\tssh\thost");
    is_hidden("sshpass\t-p@@\tssh\thost");
    is_hidden("smbclient\t-U\tuser%@@\t//h/s");
    is_hidden("ldapsearch\t-D\tcn=x\t-w\t@@");
    is_hidden("openssl\tenc\t-aes-256-cbc\t-pass\tpass:@@");
    is_hidden("docker\tlogin\t-u\tme\t-p\t@@\tregistry");
    is_hidden("kubectl\tcreate\tsecret\tgeneric\tx\t--from-literal=user=@@");
    is_hidden("aws\tconfigure\tset\taws_secret_access_key\t@@");
    is_hidden("npm\tconfig\tset\t//registry.npmjs.org/:_authToken=@@");
    is_hidden("lftp\t-u\tme,@@\th");
}

static void statements_lose_their_literals_and_nothing_else(void **state)
{
    (void)state;
    is_hidden("psql\t-c\tSELECT \"id\", name FROM users WHERE mail = '@@' AND x IS NULL");
    is_hidden("psql\t-Atc\tALTER USER \"u\" PASSWORD '@@'");
    is_hidden("psql\t--command=UPDATE t SET v = '@@' WHERE id = $1");
    is_hidden("psql\t-c\tDO $$@@$$");
    is_hidden("psql\t-c\tDO $x$@@$x$ LANGUAGE plpgsql");
    is_hidden("mysql\t-e\tSELECT `a` FROM t WHERE b = \"@@\"");
    is_hidden("mysql\t-eCREATE USER x IDENTIFIED BY '@@'");
    is_hidden("mysql\t-e\tSET PASSWORD = @@");
    is_hidden("/usr/bin/perl\t/usr/bin/psql\t-c\tSELECT max(x) FROM t WHERE y < '@@'");
    is_hidden("client\tSELECT f('@@')");
    is_hidden("sqlite3\tfile.db\tPRAGMA key = '@@'");
    is_hidden("myclient\tINSERT INTO t VALUES ('@@')");
    is_hidden("psql\t-c\tSELECT x FROM t -- @@");
    is_gone("mysql\t-e\tSELECT 'it\\'s @@', '@@'", 0);
    is_gone("psql\t-c\tSELECT '@@", 0);
    is_gone("psql\t-c\tSELECT 'a''@@'", 0);
    is_gone("psql\t-c\tSELECT 12345 /* @@ */", 0);
    assert_null(strstr(command("psql\t-c\tSELECT * FROM t WHERE id = 4711", 0), "4711"));
}

static void scripts_are_read_as_commands(void **state)
{
    (void)state;
    is_hidden("sh\t-c\tmysql -p@@ db <dump.sql");
    is_hidden("bash\t-lc\tcd /srv && PGPASSWORD=@@ psql -h db | less");
    is_hidden("bash\t-c\tPGPASSWORD='@@' psql; echo done");
    is_hidden("ssh\thost\tmysql -u root -p'@@' db");
    is_hidden("sh\t-c\tcurl -H \"Authorization: Bearer @@\" http://h/");
    is_hidden("sh\t-c\tcurl -u u:@@ http://h/ && echo ok");
    is_hidden("sh\t-c\tpsql -c \"SELECT x FROM t WHERE y = '@@'\"");
    is_hidden("su\t-c\tapp --password @@ --verbose\tuser");
    is_hidden("sh\t-c\tsh -c \"app --token @@\"");
    is_hidden("docker\texec\tc\twget\t--header\tAuthorization: Bearer @@");
    is_gone("docker\texec\tc\twget\t--header\tCookie: a=b; session=@@", 0);
    is_gone("sh\t-c\tAuthorization: Bearer @@", 0);
    is_kept("sh\t-c\tmysql -p\"$PW\" db");
    is_kept("sh\t-c\tPASSWORD=$(cat /run/pw) app --token $TOKEN --secret=${X}");
    is_gone("sh\t-c\tpsql -c 'SELECT '\\''@@'\\'''", 0);
    is_gone("sh\t-c\tapp --password 'a'\"@@\"", 0);
    is_gone("sh\t-c\tPASSWORD='a'@@ app", 0);
}

static void what_is_cut_off_leaks_nothing(void **state)
{
    (void)state;
    is_gone("app\t--password\t@@", 1);
    is_gone("app\tpostgres://user:@@", 1);
    is_gone("psql\t-c\tSELECT '@@", 1);
    is_gone("curl\t-H\tAuthorization: Bearer @@", 1);
    is_gone("curl\t-u\tuser:@@", 1);
    assert_null(strstr(command("echo\tghp_0123", 1), "ghp_0123"));
    assert_null(strstr(command("echo\tAKIAIOSF", 1), "AKIAIOSF"));
    assert_null(strstr(command("echo\tpostgres://u:12", 1), ":12"));
    is_kept("echo\tghp_0123");
}

static void ordinary_commands_stay_as_they_are(void **state)
{
    static const char *const ordinary[] = {
        "ls\t-la\t/var/lib/mysql",
        "cp\t-pr\t/etc/passwd\t/tmp/passwd",
        "mkdir\t-p\t/srv/secret/token",
        "ssh\t-p\t2222\troot@host.example.com",
        "git\tclone\tgit@github.com:a/b.git",
        "git\tclone\tssh://git@github.com/a/b.git",
        "git\tcommit\t-m\tUpdate the token parser and its tests",
        "docker\trun\t-p\t8080:80\t-v\t/etc/secret:/run/secret:ro\tnginx:1.25",
        "docker\tpull\trepo/image@sha256:0123456789abcdef",
        "docker\trun\t-e\tPWD=/srv\t-e\tLANG=C.UTF-8\timage",
        "kubectl\tget\tsecret\tdb-password\t-o\tyaml",
        "mysql\t-u\troot\t-p\tdb",
        "mysql\t--no-password\t-h\tdb",
        "psql\t-h\tlocalhost\t-p\t5432\t-U\tpostgres\tapp",
        "psql\t-w\t-c\tSELECT name FROM users",
        "curl\t-sSfL\thttps://example.com:8443/a/b?page=2&size=10",
        "curl\t-o\tfile\thttp://[::1]:8080/x",
        "curl\t--key\tkey.pem\t--cert\tcert.pem\thttps://h/",
        "wget\thttps://example.com/token/secret.tar.gz",
        "openssl\tx509\t-in\tcert.pem\t-noout\t-text",
        "openssl\trsa\t-passin\tfile:/run/pw\t-in\tk.pem",
        "ffmpeg\t-i\ta.mp4\t-pass\t1\t-y\tout.mp4",
        "app\t--password-file\t/run/secrets/pw",
        "app\t--password-file=/run/secrets/pw",
        "app\t--password-stdin",
        "app\t--token-type=bearer",
        "app\t--max-tokens\t256",
        "app\t--ask-password\tuser",
        "app\t--private-key\t/root/.ssh/id_ed25519",
        "env\tGOOGLE_APPLICATION_CREDENTIALS=/etc/gcp.json\tapp",
        "env\tPATH=/usr/bin:/bin\tHOME=/root\tmake\t-j4\tCC=gcc",
        "gcc\t-O2\t-DNDEBUG=1\t-DTOKEN_MAX=64\t-c\ttokenizer.c\t-o\ttokenizer.o",
        "sed\t-e\ts/password/pw/g\tfile",
        "grep\t-rn\tpassword\t/etc",
        "awk\t-F:\t{ print $1 }\t/etc/passwd",
        "find\t/\t-name\t*.key\t-size\t+1M",
        "rsync\t-a\thost:/srv/data/\t/backup/2026-01-01T00:00:00/",
        "python3\t-c\tprint(sorted(d, key=lambda t: t[1]))",
        "sort\t--key=2,2\t--field-separator=:\tfile",
        "redis-server\t*:6379",
        "redis-cli\t-h\tcache\tget\tuser:1:name",
        "nginx: worker process",
        "postgres: writer process",
        "sshd: root@pts/0",
        "/usr/lib/systemd/systemd\t--switched-root\t--system\t--deserialize\t31",
        "java\t-Xmx2g\t-cp\ta.jar:b.jar\tcom.example.Main\t--server.port=8080",
        "bash\t-c\tfor i in 1 2 3; do echo $i; done",
        "tar\t--exclude=*.tmp\t-czf\tbackup-2026.tar.gz\t/home",
        "unzip\t-p\tfile.zip",
        "strace\t-f\t-p\t1234\t-o\tout",
        "7z\ta\tx.7z\t.",
        "xargs\t-n1\t-P4\techo",
    };
    (void)state;
    for (size_t i = 0; i < KYMO_COUNT_OF(ordinary); i++)
        is_kept(ordinary[i]);
}

static void ordinary_paths_are_no_suspects_and_stay(void **state)
{
    static const char *const quick[] = {
        "/etc/passwd",
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/proc/self/stat",
        "/var/lib/postgresql/15/main/base/5/2619",
        "/sys/fs/cgroup/system.slice/cgroup.procs",
        "/home/user/.ssh/id_ed25519",
        "relative/path",
        "x",
        "",
    };
    static const char *const kept[] = {
        "/usr/lib/python3/dist-packages/__pycache__/token.cpython-311.pyc",
        "/sys/devices/pci0000:00/0000:00:1f.2/ata1",
        "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4-part1",
        "/repo/.git/objects/ab/0123456789abcdef0123456789abcdef012345",
        "/sys/module/x/parameters/key=value",
        "unix:/run/user/1000/bus",
    };
    (void)state;
    for (size_t i = 0; i < KYMO_COUNT_OF(quick); i++) {
        assert_false(kymo_scrub_suspects(quick[i], strlen(quick[i])));
        assert_ptr_equal(kymo_scrub_path(scrub, quick[i], strlen(quick[i]), 0).s, quick[i]);
    }
    for (size_t i = 0; i < KYMO_COUNT_OF(kept); i++)
        assert_string_equal(shown(kymo_scrub_path(scrub, kept[i], strlen(kept[i]), 0)),
                            kept[i]);
}

/* The quick test looks at eight bytes at a time: wherever they lie, it must not miss one. */
static void no_place_in_a_path_hides_a_token_from_the_quick_test(void **state)
{
    (void)state;
    for (size_t lead = 0; lead < 40; lead++)
        for (size_t tail = 0; tail < 20; tail++) {
            char path[128] = {0};
            memset(path, 'd', lead);
            path[lead] = '/';
            memcpy(path + lead + 1, "AKIAIOSFODNN7EXAMPLE", 20);
            memset(path + lead + 21, 0, sizeof(path) - lead - 21);
            if (tail) {
                path[lead + 21] = '/';
                memset(path + lead + 22, 't', tail);
            }
            const struct kymo_scrubbed r = kymo_scrub_path(scrub, path, strlen(path), 0);
            if (memmem(r.s, r.n, "AKIAIOSFODNN7EXAMPLE", 20))
                fail_msg("%s is still there", path);
        }
}

static void the_same_secret_has_one_pseudonym_by_every_rule(void **state)
{
    (void)state;
    char first[64], again[64];
    (void)snprintf(first, sizeof(first), "%s", command("app\t--password=" CANARY, 0) + 15);
    (void)snprintf(again, sizeof(again), "%s", command("mysql\t-p" CANARY, 0) + 8);
    assert_string_equal(first, again);
    (void)snprintf(again, sizeof(again), "%.18s", command("app\tx://u:" CANARY "@h", 0) + 10);
    assert_string_equal(first, again);
}

static void what_was_scrubbed_stays_under_its_own_key_alone(void **state)
{
    static const uint8_t other_key[KYMO_SIPHASH_KEY_BYTES] = {9};
    struct kymo_scrub *other;
    char once[256];
    (void)state;
    (void)snprintf(once, sizeof(once), "%s", command("app\t--password=" CANARY, 0));
    assert_string_equal(command(once, 0), once);
    assert_int_equal(kymo_scrub_open(&other, other_key, NULL), KYMO_OK);
    assert_int_not_equal(kymo_scrub_key_id(other), kymo_scrub_key_id(scrub));
    const struct kymo_scrubbed r = kymo_scrub_argv(other, once, strlen(once), 0);
    assert_true(r.n != strlen(once) || memcmp(r.s, once, r.n) != 0);
    /* what only looks like one is a secret */
    assert_string_not_equal(command("app\t--password=kabcdefghijkl_mnop", 0),
                            "app\t--password=kabcdefghijkl_mnop");
    kymo_scrub_close(other);
}

static void hits_are_counted_by_rule(void **state)
{
    (void)state;
    uint64_t before[KYMO_SCRUB_RULES];
    static const char *const one_each[KYMO_SCRUB_RULES] = {
        [KYMO_SCRUB_OPTION] = "app\t--password=x1y2",
        [KYMO_SCRUB_ASSIGNMENT] = "env\tPGPASSWORD=x1y2\tpsql",
        [KYMO_SCRUB_HEADER] = "curl\t-H\tAuthorization: Bearer x1y2",
        [KYMO_SCRUB_URL] = "app\tx://u:x1y2@h",
        [KYMO_SCRUB_QUERY] = "app\thttp://h/?token=x1y2",
        [KYMO_SCRUB_TOKEN] = "app\tAKIAIOSFODNN7EXAMPLE",
        [KYMO_SCRUB_PROGRAM] = "mysql\t-px1y2",
        [KYMO_SCRUB_SQL] = "psql\t-c\tSELECT 'x'",
    };
    for (int r = 0; r < KYMO_SCRUB_RULES; r++) {
        for (int i = 0; i < KYMO_SCRUB_RULES; i++)
            before[i] = kymo_scrub_hits(scrub, (enum kymo_scrub_rule)i);
        command(one_each[r], 0);
        for (int i = 0; i < KYMO_SCRUB_RULES; i++)
            if (kymo_scrub_hits(scrub, (enum kymo_scrub_rule)i) != before[i] + (i == r))
                fail_msg("%s: rule %s", one_each[r],
                         kymo_scrub_rule_name((enum kymo_scrub_rule)i));
    }
}

static void any_bytes_come_through(void **state)
{
    (void)state;
    static const char bytes[] = "app\0--password=\xff\xfe\0\xc3(\0://\0=\0-\0--\0'\0$\0\\\"";
    const struct kymo_scrubbed r = kymo_scrub_argv(scrub, bytes, sizeof(bytes) - 1, 0);
    assert_null(memmem(r.s, r.n, "\xff\xfe", 2));
    assert_int_equal(kymo_scrub_argv(scrub, "", 0, 1).n, 0);
    char many[4096];
    memset(many, '\'', sizeof(many));
    (void)kymo_scrub_argv(scrub, many, sizeof(many), 1);
    memset(many, '-', sizeof(many));
    (void)kymo_scrub_argv(scrub, many, sizeof(many), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_are_called_so_hide_their_value),
        cmocka_unit_test(assignments_hide_their_value),
        cmocka_unit_test(headers_hide_their_value_and_keep_their_scheme),
        cmocka_unit_test(urls_hide_passwords_and_secret_parameters),
        cmocka_unit_test(tokens_are_known_by_their_shape),
        cmocka_unit_test(known_programs_take_secrets_where_they_do),
        cmocka_unit_test(statements_lose_their_literals_and_nothing_else),
        cmocka_unit_test(scripts_are_read_as_commands),
        cmocka_unit_test(what_is_cut_off_leaks_nothing),
        cmocka_unit_test(ordinary_commands_stay_as_they_are),
        cmocka_unit_test(ordinary_paths_are_no_suspects_and_stay),
        cmocka_unit_test(no_place_in_a_path_hides_a_token_from_the_quick_test),
        cmocka_unit_test(the_same_secret_has_one_pseudonym_by_every_rule),
        cmocka_unit_test(what_was_scrubbed_stays_under_its_own_key_alone),
        cmocka_unit_test(hits_are_counted_by_rule),
        cmocka_unit_test(any_bytes_come_through),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
