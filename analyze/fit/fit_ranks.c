/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/fit/fit_ranks.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "kymo-mpi.so"

/* Beside the tools' folder, as it is built and as it is installed; KYMO_MPI_MODULE names another. */
static void *open_module(char *why, size_t room)
{
    static const char *const places[] = {"/../lib/" MODULE, "/../lib/kymo/" MODULE};
    const char *named = getenv("KYMO_MPI_MODULE");
    char path[4096];
    void *module = NULL;
    if (named) {
        module = dlopen(named, RTLD_NOW | RTLD_GLOBAL);
    } else {
        const ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
        char *slash = NULL;
        if (n > 0) {
            path[n] = '\0';
            slash = strrchr(path, '/');
        }
        for (size_t i = 0; slash && !module && i < sizeof(places) / sizeof(places[0]); i++) {
            memcpy(slash, places[i], strlen(places[i]) + 1);
            if (access(path, R_OK) == 0)
                module = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        }
    }
    const char *said = module ? NULL : dlerror();
    (void)snprintf(why, room, "%s", said ? said : "it is not installed");
    return module;
}

kymo_status kymo_processes_open(const struct kymo_ranks **out, struct kymo_err *err)
{
    char why[256];
    void *module = open_module(why, sizeof(why));
    if (!module)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "--mpi wants the module " MODULE ", built where Open MPI is: %s", why);
    kymo_ranks_begin_fn *begin;
    void *symbol = dlsym(module, KYMO_RANKS_SYMBOL);
    memcpy(&begin, &symbol, sizeof(begin)); /* ISO C has no cast from object to function */
    const struct kymo_ranks *r = begin ? begin(KYMO_RANKS_VERSION) : NULL;
    if (!r)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "the module " MODULE " does not begin, or is of another version");
    *out = r;
    return KYMO_OK;
}

kymo_status kymo_processes_gather(const struct kymo_ranks *r, const void *mine, size_t bytes,
                                  struct kymo_buf *all, struct kymo_err *err)
{
    for (int i = 0; i < (r ? r->size : 1); i++) {
        const int is_mine = !r || i == r->rank;
        uint64_t n = bytes;
        if (r)
            r->share(&n, sizeof(n), i);
        void *to = kymo_buf_reserve(all, (size_t)n);
        if (!to)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                             "out of memory for what processes gather");
        if (is_mine && n)
            memcpy(to, mine, (size_t)n);
        if (r && n)
            r->share(to, (size_t)n, i);
        all->n += (size_t)n;
    }
    return KYMO_OK;
}
