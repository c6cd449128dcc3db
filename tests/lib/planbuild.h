/* SPDX-License-Identifier: Apache-2.0
 * planbuild.h: plans by hand, for tests and benches of the stage. Nothing is checked: a hostile plan is made the
 * same way.
 *
 *     struct planbuild *b = planbuild_new();
 *     const uint32_t p = planbuild_process(b, KYMO_NONE, 1), a = planbuild_leader(b, p);
 *     planbuild_call(b, a, SYS_openat, 3, IMM(AT_FDCWD), TEXT(b, "/x"), IMM(O_RDONLY))->out = KYMO_OUT_FD;
 *     const struct kymo_image *image = planbuild_image(b);
 */
#ifndef KYMO_TESTS_PLANBUILD_H
#define KYMO_TESTS_PLANBUILD_H

#include <stddef.h>

#include "replay/plan/image.h"

struct planbuild;
struct planbuild_arg {
    uint64_t v;
    uint8_t kind;
};

#define ARG(kind, v) ((struct planbuild_arg){(uint64_t)(v), KYMO_ARG_##kind})
#define IMM(v) ARG(IMM, v)
#define FD(v) ARG(FD, v)
#define SINK(v) ARG(SINK, v)
#define PATTERN(v) ARG(PATTERN, v)
#define TEXT(b, text) ARG(BLOB, planbuild_text(b, text))

struct planbuild *planbuild_new(void);
void planbuild_free(struct planbuild *b);
uint32_t planbuild_blob(struct planbuild *b, const void *bytes, size_t n);
uint32_t planbuild_text(struct planbuild *b, const char *text);
/* A socket address as objects have it: length first. */
uint32_t planbuild_address(struct planbuild *b, const void *address, uint32_t n);
/* Its leader is made along; `parent` KYMO_NONE: of none. */
uint32_t planbuild_process(struct planbuild *b, uint32_t parent, int at_start);
uint32_t planbuild_leader(struct planbuild *b, uint32_t process);
uint32_t planbuild_thread(struct planbuild *b, uint32_t process, int at_start);
struct kymo_iprocess *planbuild_process_at(struct planbuild *b, uint32_t process);
struct kymo_iactor *planbuild_actor_at(struct planbuild *b, uint32_t actor);
/* The next call of an actor; valid until its next one. How many it has: planbuild_calls. */
struct kymo_icall *planbuild_call_n(struct planbuild *b, uint32_t actor, long nr, int64_t ret,
                                    const struct planbuild_arg *arg, size_t n);
#define planbuild_call(b, actor, nr, ret, ...)                                                 \
    planbuild_call_n((b), (actor), (nr), (ret), (const struct planbuild_arg[]){__VA_ARGS__},   \
                     sizeof((const struct planbuild_arg[]){__VA_ARGS__}) /                     \
                         sizeof(struct planbuild_arg))
uint32_t planbuild_calls(struct planbuild *b, uint32_t actor);
/* The last call of `actor` waits for call `index` of `on` (| KYMO_DEP_BEGUN). */
void planbuild_after(struct planbuild *b, uint32_t actor, uint32_t on, uint32_t index);
uint32_t planbuild_object(struct planbuild *b, struct kymo_iobject o);
/* Descriptor of a process at the start. */
void planbuild_start(struct planbuild *b, uint32_t process, uint32_t fd, uint32_t object);
uint32_t planbuild_node(struct planbuild *b, struct kymo_inode node);
/* The next act; it waits for call `index` of `on` unless that is KYMO_NONE. */
uint32_t planbuild_act(struct planbuild *b, struct kymo_iact act, uint32_t on, uint32_t index);
/* Owned by the builder; its processes and calls cannot be added to any more. */
const struct kymo_image *planbuild_image(struct planbuild *b);
/* Index of an actor's call in the outcome. */
size_t planbuild_index(const struct planbuild *b, uint32_t actor, uint32_t call);

#endif
