/* SPDX-License-Identifier: Apache-2.0
 * cmdline.c: the words of a command, one after another: which program, which option takes the next
 * word, and scripts that are commands again.
 */
#include "format/redact/cmdline.h"

#include <string.h>

#include "format/base/size.h"
#include "format/redact/scrub_own.h"

struct command {
    const struct program *program;
    int is_first;      /* the next word is a program */
    int may_launch;    /* a later word may be one */
    int has_set;       /* "config" or "set" came by */
    int has_auth;      /* the rest are secrets */
    int has_login;     /* -p is a password from now on */
    enum take pending; /* of the next word */
    unsigned operands; /* words that were no options */
    unsigned depth;
    int is_script;
};

struct word {
    size_t from, to;
    int is_mixed; /* a script's word in more than one kind of quotes: no telling what is in it */
};

static void scan_script(struct scan *c, size_t from, size_t to, unsigned depth);

static struct command command_begin(unsigned depth, int is_script)
{
    return (struct command){.is_first = 1, .depth = depth, .is_script = is_script};
}

static int has_blank(const struct scan *c, const struct word *w)
{
    for (size_t i = w->from; i < w->to; i++)
        if (is_blank(c->s[i]))
            return 1;
    return 0;
}

/* $NAME, ${NAME} and the $ of $(command) are a shell's own, and no secrets; among the arguments of a
 * program they are themselves. */
static int is_reference(const struct scan *c, const struct command *m, size_t from, size_t to)
{
    if (!m->is_script || from >= to || c->s[from] != '$')
        return 0;
    const int is_braced = to - from > 2 && c->s[from + 1] == '{' && c->s[to - 1] == '}';
    for (size_t i = from + 1 + (size_t)is_braced; i < to - (size_t)is_braced; i++)
        if (!is_word(c->s[i]))
            return 0;
    return 1;
}

/* The quotes around a whole word are not of it. */
static void unquote(const struct scan *c, struct word *w)
{
    const size_t n = w->to - w->from;
    const char first = byte_at(c, w->from, w->from, w->to);
    if (w->is_mixed || (first != '\'' && first != '"'))
        return;
    w->from++;
    if (n > 1 && c->s[w->to - 1] == first)
        w->to--;
}

/* -------- values -------- */

/* A word that nothing is known of: a statement, NAME=X, a URL, whatever. */
static void take_plain(struct scan *c, const struct command *m, const struct word *w)
{
    const char *sign = memchr(c->s + w->from, '=', w->to - w->from);
    const size_t behind = sign ? (size_t)(sign - c->s) + 1 : w->to;
    const int has_name = w->from < w->to && c->s[w->from] == '-' && sign;
    const size_t from = has_name ? behind : w->from;
    if (is_statement(c->s + from, w->to - from)) {
        if (w->is_mixed)
            scan_hide(c, from, w->to, KYMO_SCRUB_SQL);
        else
            scan_sql(c, from, w->to, 0);
    } else if (!sign || !is_reference(c, m, behind, w->to)) {
        scan_plain(c, w->from, w->to);
    }
}

static void hide_behind(struct scan *c, const struct command *m, const struct word *w,
                        char sign)
{
    const char *p = memchr(c->s + w->from, sign, w->to - w->from);
    if (p)
        scan_hide(c, (size_t)(p - c->s) + 1, w->to, KYMO_SCRUB_PROGRAM);
    else
        take_plain(c, m, w);
}

static void take_pass_source(struct scan *c, const struct command *m, const struct word *w)
{
    if (w->to - w->from > 5 && !memcmp(c->s + w->from, "pass:", 5))
        scan_hide(c, w->from + 5, w->to, KYMO_SCRUB_PROGRAM);
    else
        take_plain(c, m, w);
}

/* What an option asks for that is called like a secret. */
static void take_named(struct scan *c, const struct command *m, enum take take,
                       const struct word *w)
{
    if (take == TAKE_NAMEDPATH && is_path(c, w->from, w->to))
        take_plain(c, m, w);
    else if (w->to - w->from > 1 || !is_digit(c->s[w->from])) /* -pass 2 of an encoder */
        scan_hide(c, w->from, w->to, KYMO_SCRUB_OPTION);
}

static void take_value(struct scan *c, const struct command *m, enum take take,
                       const struct word *w)
{
    const size_t from = w->from, to = w->to;
    if (is_reference(c, m, from, to))
        return;
    if (w->is_mixed && take != TAKE_SCRIPT) {
        scan_hide(c, from, to, KYMO_SCRUB_PROGRAM);
        return;
    }
    switch (take) {
    case TAKE_NAMEDPATH:
    case TAKE_NAMED:
        take_named(c, m, take, w);
        break;
    case TAKE_SECRET:
        scan_hide(c, from, to, KYMO_SCRUB_PROGRAM);
        break;
    case TAKE_USERPASS:
        hide_behind(c, m, w, ':');
        break;
    case TAKE_USERCOMMA:
        hide_behind(c, m, w, ',');
        break;
    case TAKE_USERPERCENT:
        hide_behind(c, m, w, '%');
        break;
    case TAKE_LITERAL:
        hide_behind(c, m, w, '=');
        break;
    case TAKE_PASSSOURCE:
        take_pass_source(c, m, w);
        break;
    case TAKE_SQL:
    case TAKE_STRICTSQL:
        scan_sql(c, from, to, take == TAKE_STRICTSQL);
        break;
    case TAKE_SCRIPT:
        if (is_statement(c->s + from, to - from))
            scan_sql(c, from, to, 0);
        else
            scan_script(c, from, to, m->depth + 1);
        break;
    default:
        take_plain(c, m, w);
    }
}

/* -------- words -------- */

/* A password may begin with a dash; what looks like an option of its own does not stand for one. */
static int is_option(const struct scan *c, const struct word *w)
{
    const size_t n = w->to - w->from;
    const char *s = c->s + w->from;
    if (n < 2 || s[0] != '-')
        return 0;
    return s[1] == '-' ? n > 2 && s[2] >= 'a' && s[2] <= 'z' : n == 2 && is_letter(s[1]);
}

/* --no-password and --ask-password take nothing. */
static int is_switch(const char *s, size_t n)
{
    static const char *const heads[] = {"no-", "ask-", "prompt-", "without-", "use-", "skip-"};
    while (n && *s == '-')
        s++, n--;
    for (size_t i = 0; i < KYMO_COUNT_OF(heads); i++)
        if (n > strlen(heads[i]) && !memcmp(s, heads[i], strlen(heads[i])))
            return 1;
    return 0;
}

static void take_option(struct scan *c, struct command *m, const struct word *w)
{
    const char *s = c->s + w->from;
    const size_t n = w->to - w->from;
    size_t attached;
    enum take take = program_takes(m->program, s, n, &attached);
    if (m->has_login && n >= 2 && s[1] == 'p') {
        take = TAKE_SECRET;
        attached = 2;
    }
    if (take != TAKE_NOTHING && attached < n) {
        struct word value = {w->from + attached, w->to, w->is_mixed};
        if (m->is_script)
            unquote(c, &value);
        take_value(c, m, take, &value);
        return;
    }
    if (take != TAKE_NOTHING) {
        m->pending = take;
        return;
    }
    if (!memchr(s, '=', n) && !memchr(s, ':', n) && !is_switch(s, n)) {
        const enum secret_name means = n > 3 ? secret_name_of(s, n, 0) : NAME_IS_NONE;
        if (means != NAME_IS_NONE) {
            m->pending = means == NAME_IS_PATH_OR_SECRET ? TAKE_NAMEDPATH : TAKE_NAMED;
            return;
        }
    }
    take_plain(c, m, w);
}

/* An operand of a launcher that is more than a word: a command for a shell, if it is no header, no
 * JSON, no statement. */
static int is_script(const struct scan *c, const struct command *m, const struct word *w)
{
    const char *s = c->s + w->from;
    const size_t n = w->to - w->from;
    size_t name = 0;
    if (!m->may_launch || !has_blank(c, w) || m->depth >= SCRUB_DEPTH_MAX || is_statement(s, n))
        return 0;
    while (name < n && (is_word(s[name]) || s[name] == '-'))
        name++;
    return !strchr("{[<\"", s[0]) && (name == n || s[name] != ':');
}

/* NAME: in a script, which is a header that lost its quotes. */
static int is_header(const char *s, size_t n)
{
    return n > 1 && s[n - 1] == ':' && secret_name_of(s, n - 1, 0) != NAME_IS_NONE;
}

/* NAME=X before a program is its environment. */
static int is_environment(const struct scan *c, const struct word *w)
{
    size_t i = w->from;
    while (i < w->to && is_word(c->s[i]))
        i++;
    return i > w->from && i < w->to && c->s[i] == '=' && !is_digit(c->s[w->from]);
}

static void meet_program(struct scan *c, struct command *m, const struct word *w)
{
    const struct program *p = program_of(c->s + w->from, w->to - w->from);
    if (m->is_first || p) {
        m->program = p;
        m->operands = 0;
        m->has_set = m->has_auth = m->has_login = 0;
    }
    m->may_launch = (program_traits(m->program) & IS_LAUNCHER) != 0;
    m->is_first = 0;
}

static void take_operand(struct scan *c, struct command *m, const struct word *w)
{
    const char *s = c->s + w->from;
    const size_t n = w->to - w->from;
    const unsigned traits = program_traits(m->program);
    const struct word all = *w;
    if (is_environment(c, w)) {
        take_plain(c, m, w);
        return;
    }
    const int is_run = (traits & IS_INTERPRETER) && m->operands == 1;
    if (m->is_first || ((m->may_launch || is_run) && !has_blank(c, w)))
        meet_program(c, m, w);
    m->operands++;
    if (((traits & HAS_AUTH) && is_same(s, n, "auth")) || (m->is_script && is_header(s, n)))
        m->has_auth = 1;
    if ((traits & HAS_LOGIN) && is_same(s, n, "login"))
        m->has_login = 1;
    if (is_same(s, n, "set") || is_same(s, n, "config") || is_same(s, n, "configure"))
        m->has_set = 1;
    else if ((traits & (HAS_SETTINGS | HAS_AUTH)) && m->has_set && !memchr(s, '=', n) &&
             secret_name_of(s, n, 0) != NAME_IS_NONE)
        m->pending = TAKE_NAMED;
    if ((traits & HAS_SQL_ARGUMENTS) && m->operands > 2)
        take_value(c, m, TAKE_SQL, &all);
    else if (is_script(c, m, w))
        take_value(c, m, TAKE_SCRIPT, &all);
    else
        take_plain(c, m, w);
}

static void take_word(struct scan *c, struct command *m, const struct word *w)
{
    const enum take pending = m->pending;
    const int is_named = pending == TAKE_NAMED || pending == TAKE_NAMEDPATH;
    const int has_dash = w->to - w->from > 1 && c->s[w->from] == '-' && !m->is_first;
    m->pending = TAKE_NOTHING;
    if (m->has_auth)
        scan_hide(c, w->from, w->to, KYMO_SCRUB_PROGRAM);
    else if ((is_named && is_option(c, w)) || (pending == TAKE_NOTHING && has_dash))
        take_option(c, m, w);
    else if (pending != TAKE_NOTHING)
        take_value(c, m, pending, w);
    else
        take_operand(c, m, w);
}

/* -------- scripts -------- */

static int parts_commands(char s)
{
    return s && strchr(";|&(){}\n", s);
}

/* One word of a shell, quotes and all. */
static struct word next_word(const struct scan *c, size_t at, size_t to)
{
    struct word w = {at, at, 0};
    unsigned quoted = 0;
    size_t i = at;
    while (i < to && !is_blank(c->s[i]) && !parts_commands(c->s[i])) {
        const char s = c->s[i++];
        if (s == '\\' && i < to) {
            i++;
        } else if (s == '\'' || s == '"') {
            quoted++;
            while (i < to && c->s[i] != s)
                i += s == '"' && c->s[i] == '\\' && i + 1 < to ? 2 : 1;
            i += i < to;
        }
    }
    w.to = i;
    w.is_mixed = quoted > 1;
    return w;
}

static void scan_script(struct scan *c, size_t from, size_t to, unsigned depth)
{
    struct command m = command_begin(depth, 1);
    if (depth > SCRUB_DEPTH_MAX) {
        scan_plain(c, from, to);
        return;
    }
    for (size_t i = from; i < to;) {
        if (is_blank(c->s[i]) && c->s[i] != '\n') {
            i++;
        } else if (parts_commands(c->s[i])) {
            m = command_begin(depth, 1);
            i++;
        } else {
            struct word w = next_word(c, i, to);
            i = w.to > i ? w.to : i + 1;
            unquote(c, &w);
            take_word(c, &m, &w);
        }
    }
}

/* -------- arguments -------- */

void scan_argv(struct scan *c, size_t from, size_t to)
{
    struct command m = command_begin(0, 0);
    for (size_t i = from; i < to;) {
        const char *end = memchr(c->s + i, 0, to - i);
        const struct word w = {i, end ? (size_t)(end - c->s) : to, 0};
        take_word(c, &m, &w);
        i = w.to + 1;
    }
}
