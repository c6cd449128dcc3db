/* SPDX-License-Identifier: Apache-2.0
 * script.c: conducts into tables to draw from.
 *
 * Contexts of every length have their own distribution: that of a shorter one is the sum of those of the longer
 * ones that end in it. Drawing takes the longest that is known.
 */
#include "replay/synth/script.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/size.h"

#define CAP_BYTES ((size_t)1 << 30)
/* How far a spread's mean may be put right: buckets are a quarter of an octave wide. */
#define FACTOR_MAX 1.3
#define DUR_CAP_SHARE 0.98
#define GAP_FACTOR_MAX 1000.0
#define AT_START_MAX 4096u
#define FDS_OF_PROCESS 300.0 /* of a sort, at the start */
#define FDS_MAX 200000.0     /* of all processes of a role */

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the sequences pass the memory budget of %zu MiB", CAP_BYTES >> 20);
}

/* -- times ------------------------------------------------------------------------------------ */

static double bucket_low(uint32_t b)
{
    const unsigned sub = KYMO_LATENCY_SUB_BITS;
    if (b < 1u << sub)
        return b;
    return ldexp((1u << sub) + (b & ((1u << sub) - 1)), (int)(b >> sub) - 1);
}

static double bucket_mean(uint32_t b)
{
    const double lo = bucket_low(b), hi = bucket_low(b + 1);
    return lo > 0 ? (hi - lo) / log(hi / lo) : 0.5;
}

static int make_times(struct script_times *t, const struct kymo_spread *s,
                      struct kymo_arena *arena)
{
    double sum = 0;
    uint64_t n = 0;
    t->spread = s;
    t->factor = 1;
    t->cum = KYMO_NEW(arena, uint64_t, s->used);
    if (!t->cum)
        return 0;
    for (uint32_t i = 0; i < s->used; i++) {
        n += s->bucket[i].n;
        t->cum[i] = n;
        sum += bucket_mean(s->bucket[i].at) * s->bucket[i].n;
    }
    if (sum > 0)
        t->factor = fmin(fmax((double)s->sum_ns / sum, 1 / FACTOR_MAX), FACTOR_MAX);
    t->mean_ns = n ? sum * t->factor / (double)n : 0;
    return 1;
}

uint64_t script_time(const struct script_times *t, struct kymo_rng *rng)
{
    const uint32_t used = t->spread ? t->spread->used : 0;
    if (!used)
        return 0;
    const uint64_t at = kymo_rng_below(rng, t->cum[used - 1]);
    uint32_t lo = 0, hi = used - 1;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (t->cum[mid] > at)
            hi = mid;
        else
            lo = mid + 1;
    }
    const double low = bucket_low(t->spread->bucket[lo].at);
    const double high = bucket_low(t->spread->bucket[lo].at + 1);
    const double v = low > 0 ? low * exp2(kymo_rng_unit(rng) * log2(high / low)) : 0;
    return (uint64_t)(v * t->factor);
}

/* -- numbers ---------------------------------------------------------------------------------- */

/* x = least + (most - least) u^bend has the mean least + (most - least) / (bend + 1). */
static void make_numbers(struct script_symbol *s)
{
    const struct kymo_symbol_sums *m = s->sums;
    s->least = s->most = 1;
    s->bend = 1;
    if (m->ret_max <= 0)
        return;
    s->least = (uint64_t)(m->ret_min > 0 ? m->ret_min : 1);
    s->most = (uint64_t)m->ret_max;
    if (s->is.size) { /* a hostile text may say anything */
        const uint64_t low = UINT64_C(1) << (s->is.size - 1);
        s->least = s->least > low ? s->least : low;
        s->most = s->most < 2 * low - 1 ? s->most : 2 * low - 1;
    }
    if (s->most < s->least)
        s->most = s->least;
    const double mean = (double)m->ret_sum / (double)m->n, above = mean - (double)s->least;
    if (above > 0)
        s->bend = fmin(fmax((double)(s->most - s->least) / above - 1, 0.01), 100);
    else
        s->bend = 100;
}

uint64_t script_number(const struct script_symbol *s, struct kymo_rng *rng)
{
    if (s->most == s->least)
        return s->least;
    const double span = (double)(s->most - s->least);
    return s->least + (uint64_t)(span * pow(kymo_rng_unit(rng), s->bend) + 0.5);
}

/* -- symbols ---------------------------------------------------------------------------------- */

static int is_one_of(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0)
            return 1;
    return 0;
}
#define IS_ONE_OF(name, ...)                                                                   \
    is_one_of(name, (const char *const[]){__VA_ARGS__},                                        \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static enum script_does does_of(const struct script_symbol *s)
{
    const char *name = s->name;
    if (s->is.kind == KYMO_SYMBOL_EXECED)
        return DOES_EXEC;
    if (s->is.kind == KYMO_SYMBOL_CHILD)
        return DOES_NOTHING;
    if (strcmp(name, "exit") == 0)
        return DOES_EXIT;
    if (strcmp(name, "exit_group") == 0)
        return DOES_EXIT_ALL;
    if (IS_ONE_OF(name, "wait4", "waitid", "waitpid"))
        return DOES_WAIT;
    if (s->is.result == KYMO_RESULT_ERROR &&
        !(s->info && s->info->op == KYMO_FD_CONNECTS && s->is.error == 115))
        return DOES_NOTHING;
    if (IS_ONE_OF(name, "mmap", "mmap2"))
        return DOES_MAP;
    if (strcmp(name, "munmap") == 0)
        return DOES_UNMAP;
    if (strcmp(name, "epoll_ctl") == 0)
        return DOES_WATCH;
    if (strcmp(name, "listen") == 0)
        return DOES_LISTEN;
    if (!s->info)
        return DOES_NOTHING;
    switch (s->info->op) {
    case KYMO_FD_OPENS:
    case KYMO_FD_MAKES:
        return DOES_OPEN;
    case KYMO_FD_PIPES:
        return DOES_PAIR;
    case KYMO_FD_ACCEPTS:
        return DOES_ACCEPT;
    case KYMO_FD_CLOSES:
        return DOES_CLOSE;
    case KYMO_FD_CLOSES_RANGE:
        return DOES_RANGE;
    case KYMO_FD_DUPS:
        return strcmp(name, "dup") == 0 ? DOES_DUP : DOES_DUP_AT;
    case KYMO_FD_FCNTL:
        return s->is.variant == 0 || s->is.variant == 1030 ? DOES_DUP : DOES_NOTHING;
    case KYMO_FD_CONNECTS:
        return DOES_CONNECT;
    case KYMO_FD_FORKS:
        return s->is.on == KYMO_ON_THREAD ? DOES_THREAD : DOES_FORK;
    default:
        return DOES_NOTHING;
    }
}

static enum script_gives gives_of(const struct script_symbol *s)
{
    const char *name = s->name;
    if (s->is.size || kymo_moves_bytes(name))
        return GIVES_BYTES;
    if (s->does == DOES_OPEN || s->does == DOES_ACCEPT || s->does == DOES_DUP ||
        s->does == DOES_DUP_AT)
        return GIVES_FD;
    if (s->does == DOES_WAIT || s->does == DOES_FORK || s->does == DOES_THREAD)
        return GIVES_CHILD;
    if (IS_ONE_OF(name, "getpid", "getpgrp", "getpgid", "setsid", "getsid"))
        return GIVES_PID;
    if (IS_ONE_OF(name, "gettid", "set_tid_address"))
        return GIVES_TID;
    if (strcmp(name, "getppid") == 0)
        return GIVES_PPID;
    if (IS_ONE_OF(name, "mmap", "mmap2", "brk", "mremap", "shmat"))
        return GIVES_ADDRESS;
    return GIVES_NUMBER;
}

/* What the kernel takes for the call, whatever was guessed of a descriptor that nobody had told of. */
static uint8_t needed(const struct script_symbol *s)
{
    if (s->info->op == KYMO_FD_ACCEPTS)
        return KYMO_ON_LISTEN;
    if (s->info->op == KYMO_FD_CONNECTS || strcmp(s->name, "listen") == 0)
        return s->is.on == KYMO_ON_DGRAM ? KYMO_ON_DGRAM : KYMO_ON_SOCKET;
    if (strncmp(s->name, "epoll_", 6) == 0)
        return KYMO_ON_EPOLL;
    return strncmp(s->name, "getdents", 8) == 0 ? KYMO_ON_DIR : s->is.on;
}

void script_know(struct script_symbol *s, uint32_t arch)
{
    s->info = kymo_fd_callinfo(s->name);
    s->sys = kymo_sysinfo_by_name(s->name);
    s->nr = kymo_sysnr(arch, s->name);
    s->does = does_of(s);
    s->gives = gives_of(s);
    const int makes = s->info && (s->info->op == KYMO_FD_OPENS ||
                                  s->info->op == KYMO_FD_MAKES || s->info->op == KYMO_FD_PIPES);
    s->needs = KYMO_ON_NONE;
    if (s->info && !makes && s->is.on > KYMO_ON_NONE && s->is.on < KYMO_ON_FDS)
        s->needs = needed(s);
}

static uint64_t sum_of(const uint64_t *v)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < KYMO_RECENCY; i++)
        n += v[i];
    return n;
}

static int make_symbol(struct script_symbol *s, const struct kymo_symbol_sums *m,
                       const struct kymo_symbols *symbols, uint32_t arch,
                       struct kymo_arena *arena)
{
    s->is = symbols->v[m->id];
    s->name = symbols->word[s->is.word];
    s->sums = m;
    s->becomes = SCRIPT_NONE;
    s->nr = -1;
    if (!make_times(&s->gap, &m->gap, arena) || !make_times(&s->dur, &m->dur, arena))
        return 0;
    if (s->is.kind >= KYMO_SYMBOL_BEGIN)
        return 1;
    script_know(s, arch);
    make_numbers(s);
    s->paths_n = sum_of(m->paths);
    s->peers_n = sum_of(m->peers);
    s->addr_share = fmin((double)s->peers_n / (double)m->n, 1);
    s->names = s->paths_n && s->sys ? (uint8_t)((s->sys->path >= 0) + (s->sys->path2 >= 0)) : 0;
    if (s->info && s->info->flags >= 0) {
        const int is_variant = kymo_symbol_selector(s->name) == s->info->flags;
        const uint64_t flags = is_variant ? s->is.variant : m->arg[s->info->flags];
        s->is_cloexec = flags <= KYMO_ARG_SMALL_MAX && (flags & s->info->cloexec) != 0;
    }
    return 1;
}

/* -- contexts --------------------------------------------------------------------------------- */

struct entry {
    uint16_t s[KYMO_GRAM];
    uint64_t n;
};

static int by_gram(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    for (unsigned i = 0; i < KYMO_GRAM; i++)
        if (x->s[i] != y->s[i])
            return x->s[i] < y->s[i] ? -1 : 1;
    return 0;
}

static struct script_context *context_at(const struct script_role *r,
                                         const uint16_t s[KYMO_GRAM - 1])
{
    uint32_t at = (uint32_t)XXH3_64bits(s, (KYMO_GRAM - 1) * sizeof(*s)) & (r->slots - 1);
    while (r->context[at].used && memcmp(r->context[at].s, s, sizeof(r->context[at].s)) != 0)
        at = (at + 1) & (r->slots - 1);
    return &r->context[at];
}

const struct script_context *script_find(const struct script_role *r,
                                         const uint16_t s[KYMO_GRAM - 1])
{
    const struct script_context *c = context_at(r, s);
    return c->used ? c : NULL;
}

void script_any_context(const struct script_role *r, struct kymo_rng *rng,
                        uint16_t s[KYMO_GRAM - 1])
{
    /* A walk of a few steps from no context at all ends where the role often is. */
    for (unsigned i = 0; i < KYMO_GRAM - 1; i++)
        s[i] = KYMO_SYMBOL_NONE;
    for (int step = 0; step < 3; step++) {
        uint16_t of[KYMO_GRAM - 1];
        memcpy(of, s, sizeof(of));
        const struct script_context *c = script_find(r, of);
        for (unsigned i = 0; !c && i < KYMO_GRAM - 1; i++) {
            of[i] = KYMO_SYMBOL_NONE;
            c = script_find(r, of);
        }
        if (!c)
            return;
        const struct script_next *next = r->next + c->all.first;
        const uint64_t at = kymo_rng_below(rng, next[c->all.n - 1].cum);
        uint32_t i = 0;
        while (next[i].cum <= at)
            i++;
        const struct script_symbol *is = &r->symbol[next[i].symbol];
        if (is->is.kind >= KYMO_SYMBOL_BEGIN || is->does == DOES_EXIT ||
            is->does == DOES_EXIT_ALL)
            return;
        memmove(s, s + 1, (KYMO_GRAM - 2) * sizeof(*s));
        s[KYMO_GRAM - 2] = (uint16_t)next[i].symbol;
    }
}

/* Every gram once, or once for each length of its context, its symbols by their own numbers. */
static uint32_t list_entries(const struct kymo_conduct *c, const uint16_t *number, int shorter,
                             struct entry *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->gram_slots; i++) {
        const struct kymo_gram *g = &c->gram[i];
        if (!g->n)
            continue;
        struct entry e = {.n = g->n};
        for (unsigned k = 0; k < KYMO_GRAM; k++)
            e.s[k] = g->s[k] == KYMO_SYMBOL_NONE ? KYMO_SYMBOL_NONE : number[g->s[k]];
        out[n++] = e;
        for (unsigned k = 0; k < KYMO_GRAM - 1 && shorter; k++) {
            if (e.s[k] == KYMO_SYMBOL_NONE)
                continue;
            e.s[k] = KYMO_SYMBOL_NONE;
            out[n++] = e;
        }
    }
    if (n)
        qsort(out, n, sizeof(*out), by_gram);
    return n;
}

static int same_context(const struct entry *a, const struct entry *b)
{
    return memcmp(a->s, b->s, (KYMO_GRAM - 1) * sizeof(*a->s)) == 0;
}

/* Sorted entries, like ones as one, from *at on. */
static void place_contexts(struct script_role *r, const struct entry *e, uint32_t n, int own,
                           uint32_t *at)
{
    for (uint32_t i = 0; i < n;) {
        struct script_context *c = context_at(r, e[i].s);
        struct script_span *span = own ? &c->own : &c->all;
        uint64_t cum = 0;
        memcpy(c->s, e[i].s, sizeof(c->s));
        c->used = 1;
        span->first = *at;
        uint32_t k = i;
        for (; k < n && same_context(&e[i], &e[k]); k++) {
            cum = e[k].n <= UINT64_MAX / 2 - cum ? cum + e[k].n : UINT64_MAX / 2;
            *at -= k > i && e[k].s[KYMO_GRAM - 1] == e[k - 1].s[KYMO_GRAM - 1];
            r->next[(*at)++] = (struct script_next){e[k].s[KYMO_GRAM - 1], cum};
        }
        span->n = *at - span->first;
        i = k;
    }
}

static int make_contexts(struct script_role *r, const uint16_t *number,
                         struct kymo_arena *arena)
{
    const size_t grams = r->conduct->n_grams;
    struct entry *e = calloc(grams * KYMO_GRAM + 1, sizeof(*e));
    uint32_t at = 0, n = e ? list_entries(r->conduct, number, 1, e) : 0;
    r->slots = 16;
    while (r->slots < n * 2)
        r->slots *= 2;
    r->context = KYMO_NEW(arena, struct script_context, r->slots);
    r->next = KYMO_NEW(arena, struct script_next, n + grams);
    const int ok = e && r->context && r->next;
    if (ok) {
        place_contexts(r, e, n, 0, &at);
        n = list_entries(r->conduct, number, 0, e);
        place_contexts(r, e, n, 1, &at);
    }
    free(e);
    return ok;
}

/* -- roles ------------------------------------------------------------------------------------ */

/* "redis-server/main+" */
static int know_role(struct script_role *r, const char *role, struct kymo_arena *arena)
{
    const char *slash = strrchr(role, '/');
    const size_t n = slash ? (size_t)(slash - role) : strlen(role);
    const char *life = slash ? slash + 1 : "";
    if (strncmp(life, "fork", 4) == 0)
        r->is_fork = life[4] >= '2' && life[4] <= '9' ? life[4] - '0' : 1;
    r->is_thread = strncmp(life, "thread", 6) == 0;
    r->is_spawner = *life && life[strlen(life) - 1] == '+';
    r->comm = kymo_arena_str(arena, role, n);
    r->fate = r->is_fork || r->is_thread ? 0 : kymo_symbol_fate(role, n);
    return r->comm != NULL;
}

static kymo_status make_role(struct script *s, struct script_role *r,
                             const struct kymo_conduct *c, const struct kymo_symbols *symbols,
                             uint32_t arch, struct kymo_err *err)
{
    const char *leader = c->leader_votes ? symbols->word[c->leader] : "";
    r->conduct = c;
    r->begin = r->leader = SCRIPT_NONE;
    r->leader_comm = kymo_arena_str(&s->arena, leader, strlen(leader));
    r->n_symbols = c->n_symbols;
    r->symbol = KYMO_NEW(&s->arena, struct script_symbol, c->n_symbols);
    uint16_t *number = KYMO_NEW(&s->arena, uint16_t, symbols->n);
    if (!r->leader_comm || !r->symbol || !number ||
        !know_role(r, symbols->word[c->role], &s->arena))
        return no_memory(err);
    for (uint32_t i = 0; i < c->n_symbols; i++) {
        if (!make_symbol(&r->symbol[i], &c->symbol[i], symbols, arch, &s->arena))
            return no_memory(err);
        number[c->symbol[i].id] = (uint16_t)i;
        if (r->symbol[i].is.kind == KYMO_SYMBOL_BEGIN)
            r->begin = i;
        else if (r->symbol[i].is.kind < KYMO_SYMBOL_BEGIN)
            r->calls_per_s += (double)c->symbol[i].n / s->seconds;
    }
    return make_contexts(r, number, &s->arena) ? KYMO_OK : no_memory(err);
}

static uint32_t find_role(const struct script *s, const struct kymo_symbols *symbols,
                          const char *name)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (strcmp(symbols->word[s->role[i].conduct->role], name) == 0)
            return i;
    return SCRIPT_NONE;
}

static void link_roles(struct script *s, const struct kymo_symbols *symbols)
{
    for (uint32_t i = 0; i < s->n; i++) {
        struct script_role *r = &s->role[i];
        for (uint32_t k = 0; k < r->n_symbols; k++)
            if (r->symbol[k].is.kind == KYMO_SYMBOL_BECOME)
                r->symbol[k].becomes = find_role(s, symbols, r->symbol[k].name);
        for (uint32_t k = 0; k < s->n && r->is_thread; k++)
            if (!s->role[k].is_thread && strcmp(s->role[k].comm, r->leader_comm) == 0 &&
                (r->leader == SCRIPT_NONE || s->role[k].at_start > s->role[r->leader].at_start))
                r->leader = k;
    }
}

/* Does something in the behaviour make threads of role at? */
static int is_made(const struct script *s, uint32_t at)
{
    const struct script_role *to = &s->role[at];
    for (uint32_t i = 0; i < s->n; i++) {
        const struct script_role *r = &s->role[i];
        for (uint32_t k = 0; k < r->n_symbols; k++) {
            const struct script_symbol *y = &r->symbol[k];
            if (y->becomes == at && i != at)
                return 1;
            if (to->begin == SCRIPT_NONE || to->is_spawner)
                continue;
            if ((y->does == DOES_FORK && to->is_fork && strcmp(r->comm, to->comm) == 0) ||
                (y->does == DOES_THREAD && to->is_thread && strcmp(r->comm, to->comm) == 0))
                return 1;
        }
    }
    return 0;
}

/* By Little's law those that are born and end here are ended_ns / seconds at a time; the others have been there
 * before. */
static void count_start(struct script *s, uint32_t i)
{
    struct script_role *r = &s->role[i];
    const struct kymo_conduct *c = r->conduct;
    const double alive = (double)c->alive_ns / 1e9 / s->seconds;
    const double come = (double)(c->births > c->ended ? c->births : c->ended);
    r->life_ns = c->ended ? (double)c->ended_ns / (double)c->ended : 0;
    const double passing = come * r->life_ns / 1e9 / s->seconds;
    r->alive = alive;
    if (!(r->calls_per_s > 0))
        return;
    const double at_start = is_made(s, i) ? alive - passing : fmax(alive, c->ended ? 0 : 1);
    r->at_start = (uint32_t)fmin(fmax(at_start + 0.5, 0), AT_START_MAX);
}

/* Mean time of a call's cycle that its durations take, none counting more than cap_ns. */
static double busy_ns(const struct script_role *r, double cap_ns)
{
    double sum = 0, n = 0;
    for (uint32_t k = 0; k < r->n_symbols; k++) {
        const struct script_times *t = &r->symbol[k].dur;
        if (r->symbol[k].is.kind >= KYMO_SYMBOL_BEGIN)
            continue;
        n += (double)r->symbol[k].sums->n;
        for (uint32_t b = 0; b < t->spread->used; b++)
            sum += t->spread->bucket[b].n *
                   fmin(bucket_mean(t->spread->bucket[b].at) * t->factor, cap_ns);
    }
    return n > 0 ? sum / n : 0;
}

static double idle_ns(const struct script_role *r)
{
    double sum = 0, n = 0;
    for (uint32_t k = 0; k < r->n_symbols; k++) {
        if (r->symbol[k].is.kind >= KYMO_SYMBOL_BEGIN)
            continue;
        n += (double)r->symbol[k].sums->n;
        sum += r->symbol[k].gap.mean_ns * (double)r->symbol[k].gap.spread->n;
    }
    return n > 0 ? sum / n : 0;
}

/*
 * Times were counted whole where a call ended, also what of them lay before the state began. What a thread can
 * have spent is known: its calls have to fit into its life. Gaps give way first, then the longest waits.
 */
static void fit_times(struct script *s, struct script_role *r, double rate)
{
    const double calls = r->calls_per_s * s->seconds;
    const double alive_ns = (double)r->conduct->alive_ns;
    const int is_steady = r->at_start > 0 && r->conduct->ended == 0;
    r->gap_factor = 1;
    r->dur_cap_ns = INFINITY;
    if (!(calls > 0) || !(alive_ns > 0))
        return;
    const double lives_ns = is_steady ? r->at_start * s->seconds * 1e9 : alive_ns;
    const double cycle_ns = lives_ns / calls / rate, gap_ns = idle_ns(r);
    double low = 0, high = 1e15;
    if (busy_ns(r, INFINITY) > cycle_ns * DUR_CAP_SHARE) {
        for (int i = 0; i < 100; i++) {
            const double mid = (low + high) / 2;
            if (busy_ns(r, mid) > cycle_ns * DUR_CAP_SHARE)
                high = mid;
            else
                low = mid;
        }
        r->dur_cap_ns = low;
    }
    const double left_ns = cycle_ns - busy_ns(r, r->dur_cap_ns);
    /* Of those that come and go, some may have been there and silent: their time is nobody's to spend. */
    if (gap_ns > 0)
        r->gap_factor = fmin(fmax(left_ns / gap_ns, 0), is_steady ? GAP_FACTOR_MAX : 1 / rate);
}

static int opens(const struct script_role *r, uint8_t on)
{
    for (uint32_t k = 0; k < r->n_symbols; k++)
        if (r->symbol[k].does == DOES_OPEN && r->symbol[k].is.on == on)
            return 1;
    return 0;
}

/* What a process of the role has open. What its calls need and none of them makes has to be there. */
static void count_fds(struct script_role *r)
{
    const struct kymo_conduct *c = r->conduct;
    const double most = FDS_MAX / (1.0 + r->at_start);
    for (int on = 1; on < KYMO_ON_FDS; on++)
        if (c->opens_n)
            r->fds[on] = (uint32_t)fmin(
                fmin((double)c->opens[on] / (double)c->opens_n + 0.5, FDS_OF_PROCESS), most);
    for (uint32_t k = 0; k < r->n_symbols; k++) {
        const uint8_t on = r->symbol[k].needs;
        if (on && !r->fds[on] && !opens(r, on))
            r->fds[on] = 1;
    }
}

static void scale_threads(struct script *s, uint32_t threads)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < s->n; i++)
        all += s->role[i].at_start;
    if (threads && all)
        s->calls_per_s *= (double)threads / (double)all;
    for (uint32_t i = 0; i < s->n && threads && all; i++) {
        struct script_role *r = &s->role[i];
        const double share = (double)r->at_start * threads / (double)all;
        if (r->at_start)
            r->at_start = (uint32_t)fmin(fmax(share + 0.5, 1), AT_START_MAX);
    }
}

kymo_status script_make(struct script *s, const struct kymo_behaviour *b,
                        const struct kymo_symbols *symbols, const struct script_opts *o,
                        struct kymo_err *err)
{
    double calls = 0;
    memset(s, 0, sizeof(*s));
    kymo_arena_init(&s->arena, CAP_BYTES);
    s->seconds = b->seconds;
    s->role = KYMO_NEW(&s->arena, struct script_role, b->n);
    if (!s->role)
        return no_memory(err);
    for (size_t i = 0; i < b->n; i++) {
        KYMO_TRY(make_role(s, &s->role[s->n], b->conduct[i], symbols, o->arch, err));
        calls += s->role[s->n].calls_per_s;
        s->n++;
    }
    if (!(calls > 0))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "no thread made a call there: nothing to generate");
    link_roles(s, symbols);
    for (uint32_t i = 0; i < s->n; i++)
        count_start(s, i);
    for (uint32_t i = 0; i < s->n; i++) {
        fit_times(s, &s->role[i], o->rate);
        count_fds(&s->role[i]);
    }
    s->calls_per_s = calls * o->rate;
    for (uint32_t i = 0; i < s->n; i++)
        s->alive += s->role[i].calls_per_s > 0 ? s->role[i].alive : 0;
    scale_threads(s, o->threads);
    link_roles(s, symbols);
    return KYMO_OK;
}

void script_release(struct script *s)
{
    kymo_arena_release(&s->arena);
    memset(s, 0, sizeof(*s));
}
