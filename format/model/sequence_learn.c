/* SPDX-License-Identifier: Apache-2.0
 * sequence_learn.c: rows of calls into the conducts of their roles.
 */
#include "format/model/sequence_learn.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/size.h"
#include "format/model/sequence_own.h"
#include "format/trace/sysname.h"

#define CAP_BYTES_LEAST ((size_t)1 << 20)
#define TEXTS_BYTES ((size_t)64 << 20)
#define STRETCHES_MAX (1u << 24)
#define COUNT_EVERY 64u               /* stretches between looks at what they take */
#define ALIVE_STEPS_MAX 512u          /* how far back a call that waited is told of */
#define RESULT_MAX ((int64_t)1 << 40) /* greater ones are addresses */

const char *const kymo_sequence_columns[] = {"ts",   "pid",   "tid",  "comm", "start", "arch",
                                             "nr",   "flags", "dur",  "ret",  "arg0",  "arg1",
                                             "arg2", "arg3",  "arg4", "arg5", "path",  "addr"};
const size_t kymo_sequence_columns_n = KYMO_COUNT_OF(kymo_sequence_columns);

kymo_status kymo_sequence_open(struct kymo_sequence_learner **out, size_t cap_bytes,
                               struct kymo_err *err)
{
    struct kymo_sequence_learner *l = calloc(1, sizeof(*l));
    if (!l)
        return kymo_seq_no_memory(err);
    const struct kymo_symbol begin = {.kind = KYMO_SYMBOL_BEGIN};
    l->cap_bytes = cap_bytes > CAP_BYTES_LEAST ? cap_bytes : CAP_BYTES_LEAST;
    kymo_arena_init(&l->texts, TEXTS_BYTES);
    l->task_thread = calloc(KYMO_CHUNK_TASKS_MAX, sizeof(*l->task_thread));
    l->task_comm = calloc(KYMO_CHUNK_TASKS_MAX, sizeof(*l->task_comm));
    l->depth = calloc(SEQ_DEPTHS, sizeof(*l->depth));
    l->key = calloc(KYMO_CHUNK_KEYS_MAX, sizeof(*l->key));
    kymo_status s = l->task_thread && l->task_comm && l->key && l->depth
                        ? kymo_symbols_init(&l->symbols, err)
                        : kymo_seq_no_memory(err);
    if (!s)
        s = kymo_fdroles_open(&l->fds, err);
    if (s) {
        kymo_sequence_close(l);
        return s;
    }
    l->begin = kymo_symbols_add(&l->symbols, &begin);
    *out = l;
    return KYMO_OK;
}

void kymo_sequence_close(struct kymo_sequence_learner *l)
{
    if (!l)
        return;
    kymo_seq_forget(l);
    for (uint32_t i = 0; i < l->n_stretches; i++)
        kymo_behaviour_release(&l->stretch[i].is);
    kymo_symbols_release(&l->symbols);
    kymo_arena_release(&l->texts);
    kymo_fdroles_close(l->fds);
    free(l->stretch);
    free(l->stretch_slot);
    free(l->thread);
    free(l->thread_slot);
    free(l->event);
    free(l->task_thread);
    free(l->task_comm);
    free(l->key);
    free(l->depth);
    free(l);
}

kymo_status kymo_sequence_begin(struct kymo_sequence_learner *l, uint32_t capture,
                                struct kymo_err *err)
{
    kymo_seq_forget(l);
    kymo_fdroles_close(l->fds);
    l->fds = NULL;
    l->capture = capture;
    return kymo_fdroles_open(&l->fds, err);
}

/* -- stretches -------------------------------------------------------------------------------- */

static uint32_t *stretch_at(const struct kymo_sequence_learner *l, uint32_t capture,
                            uint64_t start_ns, const char *entity)
{
    const size_t n = strlen(entity);
    const uint64_t seed = start_ns ^ (uint64_t)capture << 40;
    uint32_t at = (uint32_t)XXH3_64bits_withSeed(entity, n, seed) & (l->stretch_slots - 1);
    for (; l->stretch_slot[at]; at = (at + 1) & (l->stretch_slots - 1)) {
        const struct kymo_stretch *s = &l->stretch[l->stretch_slot[at] - 1];
        if (s->start_ns == start_ns && s->capture == capture && strcmp(s->entity, entity) == 0)
            break;
    }
    return &l->stretch_slot[at];
}

static int grow_stretches(struct kymo_sequence_learner *l)
{
    const uint32_t cap = l->cap_stretches ? l->cap_stretches * 2 : 64;
    struct kymo_stretch *s =
        cap <= STRETCHES_MAX ? realloc(l->stretch, cap * sizeof(*s)) : NULL;
    if (s)
        l->stretch = s;
    uint32_t *slot = s ? calloc((size_t)cap * 2, sizeof(*slot)) : NULL;
    if (!slot)
        return 0;
    free(l->stretch_slot);
    l->stretch_slot = slot;
    l->stretch_slots = cap * 2;
    l->cap_stretches = cap;
    for (uint32_t i = 0; i < l->n_stretches; i++)
        *stretch_at(l, s[i].capture, s[i].start_ns, s[i].entity) = i + 1;
    return 1;
}

static int is_thinned(const struct kymo_sequence_learner *l, uint64_t start_ns, uint64_t dur_ns)
{
    return (start_ns / (dur_ns ? dur_ns : 1) & ((1u << l->thin) - 1)) != 0;
}

kymo_status kymo_sequence_stretch(struct kymo_sequence_learner *l, uint64_t start_ns,
                                  uint64_t dur_ns, const char *entity, uint32_t *out,
                                  struct kymo_err *err)
{
    if (is_thinned(l, start_ns, dur_ns)) {
        *out = KYMO_STRETCH_NONE;
        return KYMO_OK;
    }
    if (!l->cap_stretches && !grow_stretches(l))
        return kymo_seq_no_memory(err);
    const uint32_t known = *stretch_at(l, l->capture, start_ns, entity);
    if (known) {
        *out = known - 1;
        return KYMO_OK;
    }
    if (l->n_stretches == l->cap_stretches && !grow_stretches(l))
        return kymo_seq_no_memory(err);
    char *name = kymo_arena_str(&l->texts, entity, strlen(entity));
    if (!name)
        return kymo_seq_no_memory(err);
    l->stretch[l->n_stretches] = (struct kymo_stretch){
        start_ns, dur_ns, l->capture, name, {.seconds = (double)dur_ns / 1e9}};
    *stretch_at(l, l->capture, start_ns, name) = l->n_stretches + 1;
    *out = l->n_stretches++;
    return KYMO_OK;
}

/* Every second stretch goes. Their ids stay, so that what was handed out means what it did. */
static void thin_out(struct kymo_sequence_learner *l)
{
    l->thin++;
    for (uint32_t i = 0; i < l->n_stretches; i++) {
        struct kymo_stretch *s = &l->stretch[i];
        if (is_thinned(l, s->start_ns, s->dur_ns))
            kymo_behaviour_release(&s->is);
    }
    for (uint32_t i = 0; i < l->n_threads; i++)
        l->thread[i].conduct = NULL;
    for (uint32_t i = 0; i < l->n_threads; i++)
        l->thread[i].stretch = KYMO_STRETCH_NONE;
}

static void keep_within(struct kymo_sequence_learner *l)
{
    size_t bytes = l->n_stretches * sizeof(*l->stretch);
    if (l->n_stretches < l->n_counted + COUNT_EVERY)
        return;
    l->n_counted = l->n_stretches;
    for (uint32_t i = 0; i < l->n_stretches; i++)
        bytes += kymo_behaviour_bytes(&l->stretch[i].is);
    if (bytes > l->cap_bytes && l->thin < 20)
        thin_out(l);
}

/* -- a chunk ---------------------------------------------------------------------------------- */

static uint64_t cell(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    return b->lane[column] && (!b->present[column] || b->present[column][row])
               ? b->lane[column][row]
               : 0;
}

static int has(const struct kymo_batch *b, uint32_t column, uint32_t row)
{
    return b->lane[column] && (!b->present[column] || b->present[column][row]);
}

static const char *text_of(const struct kymo_batch *b, uint64_t id, size_t *n)
{
    const int there = b->str.bytes && id < b->str.n;
    *n = there ? b->str.at[id + 1] - b->str.at[id] : 0;
    return there ? b->str.bytes + b->str.at[id] : "";
}

static uint32_t word_of(struct kymo_sequence_learner *l, const char *s, size_t n)
{
    char name[KYMO_SEQ_COMM];
    return kymo_symbols_word(&l->symbols, name, kymo_seq_comm(s, n, name));
}

static void know_key(struct kymo_sequence_learner *l, uint32_t arch, uint32_t nr,
                     struct seq_key *k)
{
    const struct kymo_sysinfo *info = kymo_sysinfo(arch, nr);
    const char *name = info ? info->name : "unknown";
    *k = (struct seq_key){
        .word = kymo_symbols_word(&l->symbols, name, strlen(name)),
        .selector = kymo_symbol_selector(name),
        .moves = kymo_moves_bytes(name),
        .is_arm = arch == KYMO_ARCH_AARCH64,
        .info = kymo_fd_callinfo(name),
        .ends = strcmp(name, "exit_group") == 0 ? 2 : strcmp(name, "exit") == 0,
        .watches = strcmp(name, "epoll_ctl") == 0,
    };
    k->forks = k->info && k->info->op == KYMO_FD_FORKS;
}

static int begin_chunk(struct kymo_sequence_learner *l, const struct kymo_batch *b)
{
    kymo_seq_sort(l);
    if (!kymo_seq_bury(l))
        return 0;
    for (uint32_t k = 0; k < b->n_keys; k++)
        know_key(l, (uint32_t)b->lane[KYMO_SYSCALL_ARCH][k],
                 (uint32_t)b->lane[KYMO_SYSCALL_NR][k], &l->key[k]);
    for (uint32_t t = 0; t < b->n_tasks; t++) {
        size_t n;
        const char *comm = text_of(b, b->lane[KYMO_SYSCALL_COMM][t], &n);
        l->task_comm[t] = word_of(l, comm, n);
        l->task_thread[t] =
            kymo_seq_thread(l, b->lane[KYMO_SYSCALL_PID][t], b->lane[KYMO_SYSCALL_TID][t],
                            b->lane[KYMO_SYSCALL_START][t]);
        if (l->task_thread[t] == UINT32_MAX)
            return 0;
    }
    return 1;
}

/* -- a row ------------------------------------------------------------------------------------ */

struct row {
    const struct kymo_batch *b;
    uint32_t i, stretch;
    uint64_t ts_ns, dur_ns, flags;
    int64_t ret;
    int has_ret, has_dur, has_path;
    const struct seq_key *key;
    uint64_t arg[6];
};

static void read_row(const struct kymo_sequence_learner *l, const struct kymo_batch *b,
                     uint32_t i, uint32_t stretch, struct row *r)
{
    *r = (struct row){.b = b, .i = i, .stretch = stretch, .key = &l->key[b->key[i]]};
    r->ts_ns = b->lane[KYMO_SYSCALL_TS][i];
    r->flags = cell(b, KYMO_SYSCALL_FLAGS, i);
    r->has_ret = has(b, KYMO_SYSCALL_RET, i);
    r->ret = (int64_t)cell(b, KYMO_SYSCALL_RET, i);
    r->has_dur = has(b, KYMO_SYSCALL_DUR, i);
    r->dur_ns = cell(b, KYMO_SYSCALL_DUR, i);
    if (r->dur_ns > r->ts_ns)
        r->dur_ns = r->ts_ns;
    r->has_path = cell(b, KYMO_SYSCALL_PATH, i) != 0;
    for (uint32_t a = 0; a < 6; a++)
        r->arg[a] = cell(b, KYMO_SYSCALL_ARG0 + a, i);
}

static uint32_t role_of(struct kymo_sequence_learner *l, struct seq_thread *t)
{
    static const char *const life[] = {"main", "fork", "thread"};
    static const char *const depth[] = {"", "", "2", "3", "4"};
    const uint32_t lives = (t->life * 2u + t->spawner) * 8u + t->depth;
    if (t->role && t->role_comm == t->comm && t->role_life == lives)
        return t->role;
    t->role_comm = t->comm;
    t->role_life = lives;
    char name[KYMO_SEQ_COMM + 16];
    const int n = snprintf(name, sizeof(name), "%s/%s%s%s", l->symbols.word[t->comm],
                           life[t->life], depth[t->depth], t->spawner ? "+" : "");
    return kymo_symbols_word(&l->symbols, name, (size_t)n);
}

/* The conduct of the thread's role in the row's stretch. */
static struct kymo_conduct *conduct_of(struct kymo_sequence_learner *l, struct seq_thread *t,
                                       uint32_t stretch)
{
    if (stretch == KYMO_STRETCH_NONE ||
        is_thinned(l, l->stretch[stretch].start_ns, l->stretch[stretch].dur_ns))
        return NULL;
    if (t->stretch == stretch && t->conduct && t->conduct->role == t->role)
        return t->conduct;
    const int is_another = t->stretch != stretch;
    t->conduct = kymo_behaviour_of(&l->stretch[stretch].is, t->role);
    t->stretch = stretch;
    if (t->conduct && is_another) {
        const uint32_t leader = kymo_seq_leader(l, t);
        if (leader)
            kymo_vote(&t->conduct->leader, &t->conduct->leader_votes, leader, 1);
        uint32_t open[KYMO_ON_FDS];
        kymo_fdroles_count(l->fds, t->pid, t->start_ns, open);
        t->conduct->opens_n++;
        for (int on = 0; on < KYMO_ON_FDS; on++)
            t->conduct->opens[on] += open[on];
    }
    return t->conduct;
}

/* The thread lived from from_ns to to_ns: tell every stretch that this meets. */
static int tell_alive(struct kymo_sequence_learner *l, const struct seq_thread *t,
                      uint32_t stretch, uint64_t from_ns, uint64_t to_ns)
{
    const struct kymo_stretch *last = &l->stretch[stretch];
    const uint64_t dur_ns = last->dur_ns, capture = last->capture;
    const char *entity = last->entity;
    uint64_t start_ns = last->start_ns;
    for (uint32_t step = 0; step < ALIVE_STEPS_MAX; step++) {
        const uint64_t lo = from_ns > start_ns ? from_ns : start_ns;
        const uint64_t hi = to_ns < start_ns + dur_ns ? to_ns : start_ns + dur_ns;
        const uint32_t at = step == 0 ? stretch + 1
                            : is_thinned(l, start_ns, dur_ns)
                                ? 0
                                : *stretch_at(l, (uint32_t)capture, start_ns, entity);
        struct kymo_conduct *c = at ? kymo_behaviour_of(&l->stretch[at - 1].is, t->role) : NULL;
        if (at && !c)
            return 0;
        if (c && hi > lo)
            c->alive_ns += hi - lo;
        if (from_ns >= start_ns || start_ns < dur_ns)
            break;
        start_ns -= dur_ns;
    }
    return 1;
}

static void push_context(struct seq_thread *t, uint16_t id)
{
    memmove(t->context, t->context + 1, sizeof(t->context) - sizeof(*t->context));
    t->context[KYMO_GRAM - 2] = id;
}

static void clear_context(struct seq_thread *t)
{
    for (unsigned i = 0; i < KYMO_GRAM - 1; i++)
        t->context[i] = KYMO_SYMBOL_NONE;
}

/* Count a symbol behind the thread's context; NULL: no memory. */
static struct kymo_symbol_sums *count(struct kymo_conduct *c, const struct seq_thread *t,
                                      uint16_t id)
{
    uint16_t s[KYMO_GRAM];
    memcpy(s, t->context, sizeof(t->context));
    s[KYMO_GRAM - 1] = id;
    struct kymo_symbol_sums *m = kymo_conduct_symbol(c, id);
    if (!m || !kymo_conduct_gram(c, s, 1))
        return NULL;
    m->n++;
    return m;
}

static int begin_role(struct kymo_sequence_learner *l, struct seq_thread *t, uint32_t stretch)
{
    clear_context(t);
    push_context(t, l->begin);
    struct kymo_conduct *c = conduct_of(l, t, stretch);
    if (!c)
        return 1;
    struct kymo_symbol_sums *m = kymo_conduct_symbol(c, l->begin);
    if (!m)
        return 0;
    m->n++;
    c->births++;
    return 1;
}

static void end_role(struct kymo_conduct *c, const struct seq_thread *t, uint64_t ts_ns)
{
    c->ended++;
    c->ended_ns += ts_ns > t->born_ns ? ts_ns - t->born_ns : 0;
}

/* Is the thread another one than at its last call: new, or under a new name, or in another life? */
static int follow_role(struct kymo_sequence_learner *l, struct seq_thread *t,
                       const struct row *r)
{
    const uint32_t was = t->role;
    t->role = role_of(l, t);
    if (was == t->role && !t->is_new)
        return 1;
    const uint64_t enter_ns = r->ts_ns - r->dur_ns;
    if (t->is_new) {
        t->is_new = 0;
        t->is_born |= (r->flags & KYMO_CALL_CHILD) != 0;
        if (t->is_born)
            t->born_ns = t->born_ns ? t->born_ns : enter_ns;
        else
            t->born_ns = enter_ns;
        return !t->is_born || begin_role(l, t, r->stretch);
    }
    const uint32_t is = t->role;
    const struct kymo_symbol become = {.kind = KYMO_SYMBOL_BECOME, .word = is};
    const uint16_t id = kymo_symbols_add(&l->symbols, &become);
    t->role = was;
    struct kymo_conduct *c = id == KYMO_SYMBOL_NONE ? NULL : conduct_of(l, t, r->stretch);
    if (c) {
        if (!count(c, t, id))
            return 0;
        end_role(c, t, enter_ns);
    }
    t->role = is;
    t->born_ns = enter_ns;
    return begin_role(l, t, r->stretch);
}

static enum kymo_on fork_on(const struct kymo_sequence_learner *l, const struct row *r,
                            const struct seq_thread *t)
{
    if (r->flags & KYMO_CALL_CHILD)
        return t->pid == t->tid ? KYMO_ON_PROCESS : KYMO_ON_THREAD;
    const int made = r->has_ret && r->ret > 0 ? kymo_seq_made(l, (uint64_t)r->ret) : 0;
    if (made >= 0)
        return made ? KYMO_ON_THREAD : KYMO_ON_PROCESS;
    const char *name = r->key->info->name;
    const int is_thread = strcmp(name, "clone") == 0    ? (r->arg[0] & 0x10000) != 0
                          : strcmp(name, "clone3") == 0 ? 1
                                                        : 0;
    return is_thread ? KYMO_ON_THREAD : KYMO_ON_PROCESS;
}

static uint16_t symbol_of(struct kymo_sequence_learner *l, const struct row *r,
                          struct seq_thread *t)
{
    int64_t fd;
    const struct kymo_fdrole_call call = {
        .info = r->key->info,
        .pid = t->pid,
        .start_ns = t->start_ns,
        .arg = {r->arg[0], r->arg[1], r->arg[2], r->arg[3], r->arg[4], r->arg[5]},
        .flags = r->flags,
        .ret = r->ret,
        .has_ret = r->has_ret,
        .has_path = r->has_path,
        .is_arm = r->key->is_arm};
    enum kymo_on on = kymo_fdroles_call(l->fds, &call, &fd);
    if (r->key->forks)
        on = fork_on(l, r, t);
    struct kymo_symbol v = {.word = r->key->word, .on = (uint8_t)on};
    v.kind = (uint8_t)(r->flags & KYMO_CALL_CHILD    ? KYMO_SYMBOL_CHILD
                       : r->flags & KYMO_CALL_EXECED ? KYMO_SYMBOL_EXECED
                                                     : KYMO_SYMBOL_CALL);
    if (!r->has_ret) {
        v.result = KYMO_RESULT_NEVER;
    } else if (r->ret < 0 && r->ret >= -4095) {
        v.result = KYMO_RESULT_ERROR;
        v.error = (uint16_t)-r->ret;
    } else if (r->ret) {
        v.result = KYMO_RESULT_MORE;
        v.size = r->key->moves ? kymo_size_class((uint64_t)r->ret) : 0;
    }
    if (r->key->selector >= 0)
        v.variant = (uint32_t)r->arg[r->key->selector];
    if (v.on == KYMO_ON_PROCESS && v.kind == KYMO_SYMBOL_CALL && v.result == KYMO_RESULT_MORE)
        v.variant = kymo_seq_fate(l, (uint64_t)r->ret);
    if (r->key->watches) /* the matter is what is watched */
        fd = (int64_t)(int32_t)(uint32_t)r->arg[2];
    v.is_same = fd >= 0 && fd == t->last_fd;
    if (fd >= 0)
        t->last_fd = fd;
    if (on != KYMO_ON_NONE && r->key->info && r->ret >= 0 &&
        (r->key->info->op == KYMO_FD_OPENS || r->key->info->op == KYMO_FD_MAKES ||
         r->key->info->op == KYMO_FD_ACCEPTS))
        t->last_fd = r->ret;
    return kymo_symbols_add(&l->symbols, &v);
}

static enum kymo_addr_kind family_of(const char *s, size_t n)
{
    return n > 5 && memcmp(s, "inet:", 5) == 0    ? KYMO_ADDR_INET
           : n > 6 && memcmp(s, "inet6:", 6) == 0 ? KYMO_ADDR_INET6
           : n > 5 && memcmp(s, "unix:", 5) == 0  ? KYMO_ADDR_UNIX
                                                  : KYMO_ADDR_OTHER;
}

/* As in feature_place.c: a peer is its address without the port. */
static size_t without_port(const char *s, size_t n)
{
    if (n > 4 && memcmp(s, "inet", 4) == 0)
        for (size_t i = n; i-- > 0;)
            if (s[i] == ':')
                return i;
    return n;
}

static void add_names(struct kymo_sequence_learner *l, const struct seq_thread *t,
                      const struct row *r, struct kymo_symbol_sums *m)
{
    size_t n;
    const char *s = text_of(r->b, cell(r->b, KYMO_SYSCALL_PATH, r->i), &n);
    if (n) {
        const uint32_t at = kymo_seq_recency(l, t->role, 0, s, n);
        if (m)
            m->paths[at]++;
    }
    s = text_of(r->b, cell(r->b, KYMO_SYSCALL_ADDR, r->i), &n);
    if (n) {
        const uint32_t at = kymo_seq_recency(l, t->role, 1, s, without_port(s, n));
        if (m) {
            m->peers[at]++;
            kymo_vote(&m->family, &m->family_votes, family_of(s, n), 1);
        }
    }
}

static int add_sums(struct kymo_symbol_sums *m, const struct seq_thread *t, const struct row *r)
{
    const uint64_t enter_ns = r->ts_ns - r->dur_ns;
    if (r->has_dur && !kymo_spread_add(&m->dur, r->dur_ns, kymo_latency_bucket(r->dur_ns), 1))
        return 0;
    if (t->last_ns && enter_ns >= t->last_ns) {
        const uint64_t gap_ns = enter_ns - t->last_ns;
        if (!kymo_spread_add(&m->gap, gap_ns, kymo_latency_bucket(gap_ns), 1))
            return 0;
    }
    if (r->has_ret && r->ret > 0 && r->ret < RESULT_MAX) {
        const int first = m->ret_max == 0;
        m->ret_sum = m->ret_sum < INT64_MAX - r->ret ? m->ret_sum + r->ret : INT64_MAX;
        m->ret_min = first || r->ret < m->ret_min ? r->ret : m->ret_min;
        m->ret_max = r->ret > m->ret_max ? r->ret : m->ret_max;
    }
    for (int a = 0; a < 6; a++)
        kymo_vote(&m->arg[a], &m->arg_votes[a],
                  r->arg[a] > KYMO_ARG_SMALL_MAX ? KYMO_ARG_LARGE : r->arg[a], 1);
    return 1;
}

static int take_call(struct kymo_sequence_learner *l, struct seq_thread *t, const struct row *r)
{
    if (!follow_role(l, t, r))
        return 0;
    const uint16_t id = symbol_of(l, r, t);
    if (id == KYMO_SYMBOL_NONE) {
        clear_context(t);
        return 1;
    }
    struct kymo_conduct *c = conduct_of(l, t, r->stretch);
    struct kymo_symbol_sums *m = c ? count(c, t, id) : NULL;
    if (c && (!m || !add_sums(m, t, r)))
        return 0;
    add_names(l, t, r, m);
    if (c && !tell_alive(l, t, r->stretch, t->last_ns > t->born_ns ? t->last_ns : t->born_ns,
                         r->ts_ns))
        return 0;
    push_context(t, id);
    t->last_ns = r->ts_ns;
    if (r->key->forks && r->has_ret && r->ret > 0 && !(r->flags & KYMO_CALL_CHILD))
        t->spawner = 1;
    if (r->key->ends && c)
        end_role(c, t, r->ts_ns);
    return 1;
}

static kymo_status take_row(struct kymo_sequence_learner *l, const struct kymo_batch *b,
                            uint32_t i, uint32_t stretch, struct kymo_err *err)
{
    struct row r;
    read_row(l, b, i, stretch, &r);
    KYMO_TRY(kymo_seq_apply(l, r.ts_ns, err));
    struct seq_thread *t = &l->thread[l->task_thread[b->task[i]]];
    if (r.flags & KYMO_CALL_UNFINISHED)
        return KYMO_OK;
    t->comm = l->task_comm[b->task[i]];
    if (r.flags & KYMO_CALL_EXECED) {
        t->life = LIFE_MAIN;
        t->spawner = t->depth = 0;
    }
    return take_call(l, t, &r) ? KYMO_OK : kymo_seq_no_memory(err);
}

static int is_readable(const struct kymo_batch *b)
{
    if (b->schema->n_columns < KYMO_SYSCALL_COLUMNS || !b->task || !b->key)
        return 0;
    for (uint32_t c = 0; c < KYMO_SYSCALL_COLUMNS; c++) {
        const struct kymo_column_def *want = &KYMO_TABLE_SYSCALL.column[c];
        if (strcmp(b->schema->column[c].name, want->name) != 0 ||
            b->schema->column[c].type != want->type ||
            b->schema->column[c].order != want->order)
            return 0;
    }
    static const uint32_t needed[] = {KYMO_SYSCALL_TS,   KYMO_SYSCALL_PID,   KYMO_SYSCALL_TID,
                                      KYMO_SYSCALL_COMM, KYMO_SYSCALL_START, KYMO_SYSCALL_ARCH,
                                      KYMO_SYSCALL_NR};
    for (size_t i = 0; i < KYMO_COUNT_OF(needed); i++)
        if (!b->lane[needed[i]])
            return 0;
    return 1;
}

kymo_status kymo_sequence_chunk(struct kymo_sequence_learner *l, const struct kymo_batch *b,
                                const uint32_t *stretch, struct kymo_err *err)
{
    if (strcmp(b->schema->table, "syscall") != 0)
        return kymo_seq_beside(l, b, err);
    if (!is_readable(b))
        return KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes,
                         "table 'syscall' has not the columns that sequences are read from");
    if (!begin_chunk(l, b))
        return kymo_seq_no_memory(err);
    for (uint32_t i = 0; i < b->n_rows; i++)
        KYMO_TRY(take_row(l, b, i, stretch ? stretch[i] : KYMO_STRETCH_NONE, err));
    keep_within(l);
    return KYMO_OK;
}

/* -- what came of it -------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct kymo_stretch *x = a, *y = b;
    if (x->capture != y->capture)
        return x->capture < y->capture ? -1 : 1;
    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    return strcmp(x->entity, y->entity);
}

uint64_t kymo_sequence_every(const struct kymo_sequence_learner *l)
{
    return UINT64_C(1) << l->thin;
}

struct kymo_stretch *kymo_sequence_stretches(struct kymo_sequence_learner *l, size_t *n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->n_stretches; i++)
        if (l->stretch[i].is.n)
            l->stretch[kept++] = l->stretch[i];
        else
            kymo_behaviour_release(&l->stretch[i].is);
    l->n_stretches = kept;
    if (kept)
        qsort(l->stretch, kept, sizeof(*l->stretch), by_place);
    if (l->stretch_slot)
        memset(l->stretch_slot, 0, l->stretch_slots * sizeof(*l->stretch_slot));
    kymo_seq_forget(l);
    *n = kept;
    return l->stretch;
}

struct kymo_symbols *kymo_sequence_symbols(struct kymo_sequence_learner *l)
{
    return &l->symbols;
}
