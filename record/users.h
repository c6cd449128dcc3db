/* SPDX-License-Identifier: Apache-2.0
 * users.h: names of users, and who the person at the keyboard is.
 *
 * A program without shared libraries cannot ask the C library, which would load its modules for
 * that: make static reads /etc/passwd and /etc/group itself and knows no other users.
 */
#ifndef KYMO_RECORD_USERS_H
#define KYMO_RECORD_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS_MAX 256

struct user {
    uid_t uid;
    gid_t gid;
    char name[256], home[256]; /* "" when only the number is known */
};

/* By name, else by number; a number without an account has its own value as group. */
bool user_find(const char *name, struct user *out);
/* All groups of a user, its first one included; returns how many fit into USER_GROUPS_MAX. */
size_t user_groups(const struct user *u, gid_t groups[USER_GROUPS_MAX]);

/* Who ran us: the real user, or, where that is root by way of sudo, the user who typed sudo. */
void user_invoking(struct user *out);

#endif
