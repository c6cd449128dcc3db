/* SPDX-License-Identifier: Apache-2.0
 * keyfile.h: the secret that pseudonyms stand on: 32 hexadecimal digits in a file that its owner
 * alone may read, made when it is first wanted.
 */
#ifndef KYMO_ANONYMIZE_KEYFILE_H
#define KYMO_ANONYMIZE_KEYFILE_H

#include "format/base/err.h"
#include "format/base/siphash.h"

#define KYMO_KEYFILE_PATH_MAX 4096u

/* $XDG_CONFIG_HOME/kymo/key, else $HOME/.config/kymo/key. errors EUSAGE: neither is set. */
KYMO_MUST_USE kymo_status kymo_keyfile_path(char out[KYMO_KEYFILE_PATH_MAX],
                                            struct kymo_err *err);

/*
 * Read the key; a file that is not there is made, with its last folder.
 *
 * is_new      out: it was made now
 * is_shared   out: others than its owner may read it
 * errors      EINPUT: unreadable, or no key; EOUTPUT: cannot be made
 */
KYMO_MUST_USE kymo_status kymo_keyfile_read(const char *path,
                                            uint8_t key[KYMO_SIPHASH_KEY_BYTES], int *is_new,
                                            int *is_shared, struct kymo_err *err);

#endif
