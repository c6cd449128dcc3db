/* SPDX-License-Identifier: Apache-2.0
 * Feeds each file of the folders and files it is given to a fuzzer's harness, whole, then cut at several
 * places and with single bits turned over: the corpus replayed by any compiler, fuzzer or not.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/base/file.h"
#include "format/base/rng.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)
#define CUTS 24
#define FLIPS 48

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t runs;

/* On a copy of its own size, so that a sanitizer sees the first byte read past the end. */
static void feed(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    if (n)
        memcpy(copy, p, n);
    (void)LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    runs++;
}

static void feed_variants(struct kymo_buf *b)
{
    struct kymo_rng rng;
    kymo_rng_init(&rng, b->n);
    feed(b->p, b->n);
    for (int i = 0; i < CUTS && b->n; i++)
        feed(b->p, (size_t)kymo_rng_below(&rng, b->n));
    for (int i = 0; i < FLIPS && b->n; i++) {
        const size_t at = (size_t)kymo_rng_below(&rng, b->n);
        const uint8_t bit = (uint8_t)(1u << kymo_rng_below(&rng, 8));
        b->p[at] ^= bit;
        feed(b->p, b->n);
        b->p[at] ^= bit;
    }
}

static int feed_file(const char *path)
{
    struct kymo_buf b = {0};
    struct kymo_err err = {0};
    if (kymo_file_read(&b, path, FILE_BYTES_MAX, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    feed_variants(&b);
    kymo_buf_release(&b);
    return 0;
}

static int feed_folder(const char *path)
{
    struct dirent **entry;
    const int n = scandir(path, &entry, NULL, alphasort);
    if (n < 0) {
        perror(path);
        return 1;
    }
    int bad = 0;
    for (int i = 0; i < n; i++) {
        char name[4096];
        (void)snprintf(name, sizeof(name), "%s/%s", path, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.')
            bad |= feed_file(name);
        free(entry[i]);
    }
    free(entry);
    return bad;
}

int main(int argc, char **argv)
{
    int bad = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        const int is_folder = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        bad |= is_folder ? feed_folder(argv[i]) : feed_file(argv[i]);
    }
    printf("%zu inputs\n", runs);
    return bad || runs == 0;
}
