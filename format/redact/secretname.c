/* SPDX-License-Identifier: Apache-2.0
 * secretname.c: a name tells of its value by its end: db.password, API_TOKEN, clientSecret. What it
 * only speaks about ends in something else: token_file, password-stdin, secretName.
 */
#include "format/base/size.h"
#include "format/redact/scrub_own.h"

#define NAME_BYTES_MAX 64u

enum where {
    ANYWHERE, /* also at the end of a longer word: PGPASSWORD */
    AT_WORD,  /* a word of its own: DB_PASS, dbPass, pass */
    AFTER,    /* a word that follows another: MYSQL_PWD, and not PWD */
    WHOLE,    /* the whole name */
};

struct ending {
    const char *text; /* - stands for - _ . or nothing */
    enum where where;
    enum secret_name means;
};

static const struct ending endings[] = {
    {"password", ANYWHERE, NAME_IS_SECRET},
    {"passwd", ANYWHERE, NAME_IS_SECRET},
    {"passphrase", ANYWHERE, NAME_IS_SECRET},
    {"passcode", ANYWHERE, NAME_IS_SECRET},
    {"secret", ANYWHERE, NAME_IS_SECRET},
    {"token", ANYWHERE, NAME_IS_SECRET},
    {"api-key", ANYWHERE, NAME_IS_SECRET},
    {"access-key", ANYWHERE, NAME_IS_SECRET},
    {"secret-key", ANYWHERE, NAME_IS_SECRET},
    {"account-key", ANYWHERE, NAME_IS_SECRET},
    {"encryption-key", ANYWHERE, NAME_IS_SECRET},
    {"encrypt-key", AT_WORD, NAME_IS_SECRET},
    {"master-key", AT_WORD, NAME_IS_SECRET},
    {"signing-key", AT_WORD, NAME_IS_SECRET},
    {"shared-key", AT_WORD, NAME_IS_SECRET},
    {"storage-key", AT_WORD, NAME_IS_SECRET},
    {"session-key", AT_WORD, NAME_IS_SECRET},
    {"license-key", AT_WORD, NAME_IS_SECRET},
    {"auth-key", AT_WORD, NAME_IS_SECRET},
    {"app-key", AT_WORD, NAME_IS_SECRET},
    {"private-key", AT_WORD, NAME_IS_PATH_OR_SECRET},
    {"credential", AT_WORD, NAME_IS_PATH_OR_SECRET},
    {"credentials", AT_WORD, NAME_IS_PATH_OR_SECRET},
    {"pass", AT_WORD, NAME_IS_SECRET},
    {"pwd", AFTER, NAME_IS_SECRET},
    {"pw", AFTER, NAME_IS_SECRET},
    {"otp", AT_WORD, NAME_IS_SECRET},
    {"psk", AT_WORD, NAME_IS_SECRET},
    {"bearer", AT_WORD, NAME_IS_SECRET},
    {"sessionid", AT_WORD, NAME_IS_SECRET},
    {"session-id", WHOLE, NAME_IS_SECRET},
    {"storepass", ANYWHERE, NAME_IS_SECRET},
    {"keypass", ANYWHERE, NAME_IS_SECRET},
    {"userpass", ANYWHERE, NAME_IS_SECRET},
    {"dbpass", ANYWHERE, NAME_IS_SECRET},
    {"sshpass", ANYWHERE, NAME_IS_SECRET},
    {"requirepass", WHOLE, NAME_IS_SECRET},
    {"masterauth", WHOLE, NAME_IS_SECRET},
    {"_auth", WHOLE, NAME_IS_SECRET},
    {"authorization", AT_WORD, NAME_IS_HEADER},
    {"cookie", AT_WORD, NAME_IS_HEADER},
};
/* What only the parameters of a URL are called so. */
static const struct ending query_endings[] = {
    {"sig", WHOLE, NAME_IS_SECRET},
    {"signature", ANYWHERE, NAME_IS_SECRET},
    {"key", WHOLE, NAME_IS_SECRET},
    {"auth", AT_WORD, NAME_IS_SECRET},
    {"x-amz-credential", WHOLE, NAME_IS_SECRET},
    {"sid", WHOLE, NAME_IS_SECRET},
    {"jwt", WHOLE, NAME_IS_SECRET},
    {"session", WHOLE, NAME_IS_SECRET},
    {"pwd", WHOLE, NAME_IS_SECRET},
    {"code", WHOLE, NAME_IS_SECRET},
};

static int is_joint(char c)
{
    return c == '-' || c == '_' || c == '.';
}

/* Where the ending begins in s[n], or SIZE_MAX: compared from behind. */
static size_t ending_at(const char *s, size_t n, const char *text)
{
    size_t at = n, k = 0;
    while (text[k])
        k++;
    while (k) {
        const char want = text[--k];
        if (want == '-') {
            if (at && is_joint(s[at - 1]))
                at--;
            continue;
        }
        if (!at || lower(s[at - 1]) != want)
            return SIZE_MAX;
        at--;
    }
    return at;
}

static int is_there(const char *s, size_t at, enum where where)
{
    const int is_camel =
        at && s[at] >= 'A' && s[at] <= 'Z' && s[at - 1] >= 'a' && s[at - 1] <= 'z';
    switch (where) {
    case ANYWHERE:
        return 1;
    case AT_WORD:
        return !at || !is_letter(s[at - 1]) || is_camel;
    case AFTER:
        return at && (!is_letter(s[at - 1]) || is_camel);
    default:
        return !at;
    }
}

static enum secret_name look_up(const char *s, size_t n, const struct ending *e, size_t n_e)
{
    for (size_t i = 0; i < n_e; i++) {
        const size_t at = ending_at(s, n, e[i].text);
        if (at != SIZE_MAX && is_there(s, at, e[i].where))
            return e[i].means;
    }
    return NAME_IS_NONE;
}

/* SOMETHING_KEY, as only variables of the environment are written. */
static int is_key_variable(const char *s, size_t n)
{
    if (n < 5 || s[n - 4] != '_' || s[n - 3] != 'K' || s[n - 2] != 'E' || s[n - 1] != 'Y')
        return 0;
    for (size_t i = 0; i < n; i++)
        if (s[i] >= 'a' && s[i] <= 'z')
            return 0;
    return !(n >= 10 && is_same(s + n - 10, 10, "public_key"));
}

enum secret_name secret_name_of(const char *s, size_t n, int is_query)
{
    while (n && (*s == '-' || *s == '.'))
        s++, n--;
    if (n > NAME_BYTES_MAX) {
        s += n - NAME_BYTES_MAX;
        n = NAME_BYTES_MAX;
    }
    if (n < 2)
        return NAME_IS_NONE;
    enum secret_name means = look_up(s, n, endings, KYMO_COUNT_OF(endings));
    if (means == NAME_IS_NONE && is_query)
        means = look_up(s, n, query_endings, KYMO_COUNT_OF(query_endings));
    return means == NAME_IS_NONE && is_key_variable(s, n) ? NAME_IS_SECRET : means;
}
