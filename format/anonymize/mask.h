/* SPDX-License-Identifier: Apache-2.0
 * mask.h: keyed pseudonyms. The same input has the same pseudonym under one key, whatever the
 * table or the file; without the key neither can be told from the other. What a pseudonym keeps
 * is its shape:
 *
 *   word      k and twelve letters or digits
 *   path      component by component; well-known names from the root on stay as they are
 *   address   prefix by prefix, so that neighbours stay neighbours; loopback, private and
 *             multicast ranges stay what they are; ports stay
 *   text      runs of bytes between blanks, quotes and = , ; ( ) | < > &, each as what it looks
 *             like: a path, an address, else a word; leading dashes stay
 *   user id   another number of 32 bits, one to one; 0, 65534 and -1 stay
 *   pointer   its place in its page, and a page that stands for its own
 *   secret    a word, _ and four letters by which whoever has the key knows it for a pseudonym
 */
#ifndef KYMO_ANONYMIZE_MASK_H
#define KYMO_ANONYMIZE_MASK_H

#include "format/base/bytes.h"
#include "format/base/siphash.h"

#define KYMO_MASK_PAGES 4096u

struct kymo_mask {
    struct kymo_siphash_key word, ip4, ip6, id, page, seal;
    uint64_t key_id; /* what may be told of the key */
    int hides_all;   /* well-known names, too */
    struct {
        uint64_t page, stands_for; /* page 0: free */
    } cache[KYMO_MASK_PAGES];
};

void kymo_mask_init(struct kymo_mask *m, const uint8_t key[KYMO_SIPHASH_KEY_BYTES],
                    int hides_all);

#define KYMO_MASK_SECRET_BYTES 18u

/* Append the pseudonym of s[n]; an empty one stays empty. */
void kymo_mask_word(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n);
void kymo_mask_path(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n);
void kymo_mask_text(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n);
/* "inet:10.0.0.7:6379", "inet6:[::1]:80", "unix:/run/x", "unix:@x", "netlink:1", "family:17" */
void kymo_mask_address(const struct kymo_mask *m, struct kymo_buf *out, const char *s,
                       size_t n);
/* "10.0.0.7", "2001:db8::1"; what is neither is a word */
void kymo_mask_host(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n);

/* Always KYMO_MASK_SECRET_BYTES; is_secret: is s[n] one that this key made? */
void kymo_mask_secret(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n);
int kymo_mask_is_secret(const struct kymo_mask *m, const char *s, size_t n);

uint32_t kymo_mask_ip4(const struct kymo_mask *m, uint32_t address);
void kymo_mask_ip6(const struct kymo_mask *m, const uint8_t address[16], uint8_t out[16]);
uint64_t kymo_mask_id(const struct kymo_mask *m, uint64_t id);
/* bits: 64, or 32 for a pointer of a 32-bit program */
uint64_t kymo_mask_pointer(struct kymo_mask *m, uint64_t pointer, unsigned bits);

/* Is this name well-known, and the i-th of them in order; NULL past the last. */
int kymo_mask_is_known(const char *s, size_t n);
const char *kymo_mask_known(size_t i);

#endif
