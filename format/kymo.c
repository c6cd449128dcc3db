/* SPDX-License-Identifier: Apache-2.0
 * The front: `kymo VERB` becomes kymo-VERB, found beside this binary, else on PATH.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/base/size.h"
#include "format/cli/cli.h"

#define TOOL "kymo"
#define PREFIX "kymo-"
#define VERBS_MAX 128
#define VERB_BYTES_MAX 48
#define LINE_BYTES_MAX 256

extern char **environ;

/* The verbs that lie beside the front, by name. */
struct verbs {
    char name[VERBS_MAX][VERB_BYTES_MAX];
    size_t n;
};

/* -- finding ----------------------------------------------------------------------------------- */

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The first program of this name in a list of folders such as PATH. */
static bool find_in(const char *folders, const char *name, char *path, size_t n)
{
    while (folders && *folders) {
        const size_t len = strcspn(folders, ":");
        const int put = snprintf(path, n, "%.*s/%s", (int)len, len ? folders : ".", name);
        if (put > 0 && (size_t)put < n && is_program(path))
            return true;
        folders += len + (folders[len] == ':');
    }
    return false;
}

/* The folder this binary lies in, "" when that cannot be told. /proc answers on Linux; elsewhere
 * the name it was called by does, as the shell found it. */
static void own_folder(const char *argv0, char *folder, size_t n)
{
    char path[PATH_MAX];
    char real[PATH_MAX];
    if (!realpath("/proc/self/exe", real)) {
        const bool named = strchr(argv0, '/') != NULL;
        const bool found = named || find_in(getenv("PATH"), argv0, path, sizeof(path));
        if (!found || !realpath(named ? argv0 : path, real))
            real[0] = '\0';
    }
    char *slash = strrchr(real, '/');
    if (slash)
        *slash = '\0';
    (void)snprintf(folder, n, "%s", slash ? real : "");
}

static bool is_verb(const char *s)
{
    const size_t n = strlen(s);
    return n > 0 && n < VERB_BYTES_MAX && s[0] != '-' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void list_verbs(const char *folder, struct verbs *v)
{
    v->n = 0;
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (const struct dirent *e = readdir(d); e && v->n < VERBS_MAX; e = readdir(d)) {
        char path[PATH_MAX];
        const int put = snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        const char *verb = e->d_name + strlen(PREFIX);
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0 && is_verb(verb) && put > 0 &&
            (size_t)put < sizeof(path) && is_program(path))
            (void)snprintf(v->name[v->n++], VERB_BYTES_MAX, "%s", verb);
    }
    closedir(d);
    qsort(v->name, v->n, VERB_BYTES_MAX, by_name);
}

static bool find_verb(const char *folder, const char *verb, char *path, size_t n)
{
    char name[VERB_BYTES_MAX + sizeof(PREFIX)];
    if (!is_verb(verb))
        return false;
    (void)snprintf(name, sizeof(name), PREFIX "%s", verb);
    return find_in(folder, name, path, n) || find_in(getenv("PATH"), name, path, n);
}

/* -- help -------------------------------------------------------------------------------------- */

/* The first line of what a program prints, without its newline; false when there is none. */
static bool first_line(char *const argv[], char *line, size_t n)
{
    int end[2];
    if (pipe(end) != 0)
        return false;
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, end[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&files, end[0]);
    posix_spawn_file_actions_addclose(&files, end[1]);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    const bool started = posix_spawnp(&pid, argv[0], &files, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&files);
    close(end[1]);
    FILE *f = started ? fdopen(end[0], "r") : NULL;
    const bool got = f && fgets(line, (int)n, f);
    if (got)
        line[strcspn(line, "\n")] = '\0';
    /* Read to the end: a program whose pipe closes early would die of it. */
    while (f && fgetc(f) != EOF)
        continue;
    if (f)
        fclose(f);
    else
        close(end[0]);
    int status = 0;
    return started && waitpid(pid, &status, 0) == pid && status == 0 && got;
}

/* "kymo-cat - print rows" says "print rows". */
static void print_summary(const char *folder, const char *verb)
{
    char path[PATH_MAX];
    char help[] = "--help";
    char line[LINE_BYTES_MAX];
    char *argv[] = {path, help, NULL};
    const int put = snprintf(path, sizeof(path), "%s/" PREFIX "%s", folder, verb);
    const char *text = "";
    if (put > 0 && (size_t)put < sizeof(path) && first_line(argv, line, sizeof(line))) {
        const char *dash = strstr(line, " - ");
        text = dash ? dash + 3 : line;
    }
    printf("  %-14s ", verb);
    kymo_print_safe(stdout, text, strlen(text));
    putchar('\n');
}

static int help(const char *folder)
{
    static struct verbs v;
    list_verbs(folder, &v);
    printf("kymo - record what a host does, learn its states, judge new captures\n\n"
           "usage: kymo VERB [ARG...]\n"
           "       kymo help [VERB]\n\nVerbs:\n");
    for (size_t i = 0; i < v.n; i++)
        print_summary(folder, v.name[i]);
    printf("\n`kymo help VERB` explains one; `kymo --completion bash` completes them all.\n");
    return kymo_cli_finish(TOOL, NULL, KYMO_OK, NULL, KYMO_EXIT_OK);
}

static int unknown(const char *folder, const char *verb)
{
    static struct verbs v;
    list_verbs(folder, &v);
    const char *name[VERBS_MAX + 1] = {"help"};
    for (size_t i = 0; i < v.n; i++)
        name[i + 1] = v.name[i];
    const char *near = kymo_cli_nearest(verb, name, v.n + 1);
    if (near)
        return kymo_cli_usage(TOOL, "no verb is called \"%s\", did you mean %s?", verb, near);
    return kymo_cli_usage(TOOL, "no verb is called \"%s\"", verb);
}

/* Becomes the verb's program; returns only where that fails. */
static int become(const char *folder, const char *verb, char **argv)
{
    char path[PATH_MAX];
    if (!find_verb(folder, verb, path, sizeof(path)))
        return unknown(folder, verb);
    argv[0] = path;
    execv(path, argv);
    kymo_cli_say(TOOL, "cannot run %s: %s", path, strerror(errno));
    return KYMO_EXIT_HOST;
}

/* The manual where there is one and somebody to page through it, else the verb's own --help. */
static int help_verb(const char *folder, const char *verb)
{
    char path[PATH_MAX];
    if (!find_verb(folder, verb, path, sizeof(path)))
        return unknown(folder, verb);
    char page[VERB_BYTES_MAX + sizeof(PREFIX)];
    (void)snprintf(page, sizeof(page), PREFIX "%s", verb);
    char man[] = "man";
    char where[] = "-w";
    char line[LINE_BYTES_MAX];
    char *ask[] = {man, where, page, NULL};
    if (isatty(STDOUT_FILENO) && first_line(ask, line, sizeof(line))) {
        char *show[] = {man, page, NULL};
        execvp(man, show);
    }
    char option[] = "--help";
    char *argv[] = {NULL, option, NULL};
    return become(folder, verb, argv);
}

/* -- completion -------------------------------------------------------------------------------- */

static const char bash_script[] =
    "# kymo: completion for bash, from each verb's own option table\n"
    "_kymo() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} "
    "verb=${COMP_WORDS[1]}\n"
    "    local table choices\n"
    "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
    "        COMPREPLY=($(compgen -W \"help $(\"${COMP_WORDS[0]}\" --list 2>/dev/null)\" -- "
    "\"$cur\"))\n"
    "        return\n"
    "    fi\n"
    "    if [ \"$verb\" = help ]; then\n"
    "        COMPREPLY=($(compgen -W \"$(\"${COMP_WORDS[0]}\" --list 2>/dev/null)\" -- "
    "\"$cur\"))\n"
    "        return\n"
    "    fi\n"
    "    table=$(\"${COMP_WORDS[0]}\" \"$verb\" --help=words 2>/dev/null)\n"
    "    choices=$(awk -F'\\t' -v o=\"$prev\" '$1 == o && $2 ~ /[|]/ { gsub(/[|]/, \" \", $2); "
    "print $2 }' "
    "<<<\"$table\")\n"
    "    if [ -n \"$choices\" ]; then\n"
    "        COMPREPLY=($(compgen -W \"$choices\" -- \"$cur\"))\n"
    "    elif [[ $cur == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$(cut -f1 <<<\"$table\")\" -- \"$cur\"))\n"
    "    fi\n"
    "}\n"
    "complete -o default -F _kymo kymo\n";

static const char zsh_script[] =
    "#compdef kymo\n"
    "# kymo: completion for zsh, from each verb's own option table\n"
    "_kymo() {\n"
    "    local -a found\n"
    "    if (( CURRENT == 2 )) || [[ $words[2] == help ]]; then\n"
    "        found=(help ${(f)\"$($words[1] --list 2>/dev/null)\"})\n"
    "        _describe verb found\n"
    "    elif [[ $words[CURRENT] == -* ]]; then\n"
    "        found=(${(f)\"$($words[1] $words[2] --help=words 2>/dev/null | "
    "awk -F'\\t' '{ print $1 \":\" $3 }')\"})\n"
    "        _describe option found\n"
    "    else\n"
    "        _files\n"
    "    fi\n"
    "}\n"
    "_kymo \"$@\"\n";

/* -- options of the front ---------------------------------------------------------------------- */

static int options(const char *folder, int argc, char **argv)
{
    const char *shell = NULL;
    bool list = false;
    const struct kymo_opt opt[] = {
        {KYMO_OPT_CHOICE, 0, "completion", "bash|zsh",
         "print a completion script for this shell", &shell, 0, 0},
        {KYMO_OPT_FLAG, 0, "list", NULL, "print the verbs, one a line", &list, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "record what a host does, learn its states, judge new captures",
        .positional = "VERB [ARG...]",
        .opt = opt,
        .n_opt = KYMO_COUNT_OF(opt),
    };
    int first;
    const int usage = kymo_cli_parse(&cli, argc, argv, &first);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (shell)
        fputs(strcmp(shell, "bash") == 0 ? bash_script : zsh_script, stdout);
    if (list) {
        static struct verbs v;
        list_verbs(folder, &v);
        for (size_t i = 0; i < v.n; i++)
            puts(v.name[i]);
    }
    return kymo_cli_finish(TOOL, NULL, KYMO_OK, NULL, KYMO_EXIT_OK);
}

int main(int argc, char **argv)
{
    char folder[PATH_MAX];
    own_folder(argc ? argv[0] : TOOL, folder, sizeof(folder));
    const char *word = argc > 1 ? argv[1] : "help";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(folder);
    if (word[0] == '-')
        return options(folder, argc, argv);
    if (strcmp(word, "help") != 0)
        return become(folder, word, argv + 1);
    return argc > 2 ? help_verb(folder, argv[2]) : help(folder);
}
