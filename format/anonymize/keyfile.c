/* SPDX-License-Identifier: Apache-2.0 */
#include "format/anonymize/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/base/file.h"

#if defined(__APPLE__) /* where unistd.h does not declare it */
int getentropy(void *buffer, size_t n);
#endif

#define DIGITS (2 * KYMO_SIPHASH_KEY_BYTES)

kymo_status kymo_keyfile_path(char out[KYMO_KEYFILE_PATH_MAX], struct kymo_err *err)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n = -1;
    if (config && config[0] == '/')
        n = snprintf(out, KYMO_KEYFILE_PATH_MAX, "%s/kymo/key", config);
    else if (home && home[0] == '/')
        n = snprintf(out, KYMO_KEYFILE_PATH_MAX, "%s/.config/kymo/key", home);
    if (n < 0 || (size_t)n >= KYMO_KEYFILE_PATH_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "no place for a key, as neither XDG_CONFIG_HOME nor HOME is set; give "
                         "--key FILE");
    return KYMO_OK;
}

/* From the kernel and not from a device: an empty container has none. */
static kymo_status draw_key(uint8_t key[KYMO_SIPHASH_KEY_BYTES], struct kymo_err *err)
{
    if (getentropy(key, KYMO_SIPHASH_KEY_BYTES))
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "no random bytes: %s", strerror(errno));
    return KYMO_OK;
}

/* The last two folders of the path, for the first run of a fresh user; what fails, fails at open. */
static void make_folders(const char *path)
{
    char folder[KYMO_KEYFILE_PATH_MAX];
    const size_t n = strlen(path);
    if (n >= sizeof(folder))
        return;
    memcpy(folder, path, n + 1);
    char *last = strrchr(folder, '/');
    if (!last || last == folder)
        return;
    *last = 0;
    char *above = strrchr(folder, '/');
    if (above && above != folder) {
        *above = 0;
        (void)mkdir(folder, 0700);
        *above = '/';
    }
    (void)mkdir(folder, 0700);
}

/* Written beside and linked, so that nobody reads half a key and of two makers one wins. */
static kymo_status make_key(const char *path, struct kymo_err *err)
{
    char tmp[KYMO_KEYFILE_PATH_MAX + 16], line[DIGITS + 2];
    uint8_t key[KYMO_SIPHASH_KEY_BYTES];
    KYMO_TRY(draw_key(key, err));
    for (size_t i = 0; i < KYMO_SIPHASH_KEY_BYTES; i++)
        (void)snprintf(line + 2 * i, 3, "%02x", key[i]);
    line[DIGITS] = '\n';
    make_folders(path);
    (void)snprintf(tmp, sizeof(tmp), "%s.%ld", path, (long)getpid());
    const int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot create %s: %s", path,
                         strerror(errno));
    kymo_status s = kymo_file_write(fd, line, DIGITS + 1, path, err);
    int failed = !s && fsync(fd) != 0 ? errno : 0;
    if (close(fd) != 0 && !failed)
        failed = errno;
    if (!s && !failed && link(tmp, path) != 0 && errno != EEXIST)
        failed = errno;
    (void)unlink(tmp);
    if (!s && failed)
        s = KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write %s: %s", path,
                      strerror(failed));
    return s;
}

static int digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static kymo_status parse_key(const struct kymo_buf *text, const char *path,
                             uint8_t key[KYMO_SIPHASH_KEY_BYTES], struct kymo_err *err)
{
    uint8_t parsed[KYMO_SIPHASH_KEY_BYTES];
    int good = text->n == DIGITS || (text->n == DIGITS + 1 && text->p[DIGITS] == '\n');
    for (size_t i = 0; good && i < KYMO_SIPHASH_KEY_BYTES; i++) {
        const int high = digit(text->p[2 * i]), low = digit(text->p[2 * i + 1]);
        good = high >= 0 && low >= 0;
        parsed[i] = (uint8_t)(good ? high << 4 | low : 0);
    }
    if (!good)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s is no key: a key is %d hexadecimal digits on one line", path,
                         DIGITS);
    memcpy(key, parsed, sizeof(parsed));
    return KYMO_OK;
}

kymo_status kymo_keyfile_read(const char *path, uint8_t key[KYMO_SIPHASH_KEY_BYTES],
                              int *is_new, int *is_shared, struct kymo_err *err)
{
    struct stat st;
    struct kymo_buf text = {0};
    const int makes = stat(path, &st) != 0 && errno == ENOENT;
    if (makes)
        KYMO_TRY(make_key(path, err));
    KYMO_TRY(kymo_file_read(&text, path, 4096, err));
    const kymo_status s = parse_key(&text, path, key, err);
    kymo_buf_release(&text);
    KYMO_TRY(s);
    *is_new = makes;
    *is_shared = stat(path, &st) == 0 && (st.st_mode & 077) != 0;
    return KYMO_OK;
}
