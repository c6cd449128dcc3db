/* SPDX-License-Identifier: Apache-2.0
 * addr.h: a socket address as text.
 */
#ifndef KYMO_RECORD_ADDR_H
#define KYMO_RECORD_ADDR_H

#include <stddef.h>
#include <stdint.h>

#define ADDR_TEXT_MAX 320u

/*
 * "inet:127.0.0.1:6379", "inet6:[::1]:80", "unix:/run/x", "unix:@abstract" (zeros in it
 * as @, those at its end left out), "netlink:PID",
 * "family:N" for others. raw[n] is a struct sockaddr as the kernel had it, perhaps cut short.
 * returns  bytes in out (NUL-terminated)
 */
size_t addr_text(const uint8_t *raw, size_t n, char out[ADDR_TEXT_MAX]);

#endif
