/* SPDX-License-Identifier: Apache-2.0
 * proof_print.c: a proof for people, for programs and for build servers.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "format/base/json.h"
#include "format/trace/sysname.h"
#include "replay/proof/proof.h"

#define KINDS_SHOWN 20u

static const char *measure_word(int verdict)
{
    return verdict > 0 ? "passed" : verdict == 0 ? "FAILED" : "inconclusive";
}

static const char *proof_word(int verdict)
{
    return verdict > 0 ? "faithful" : verdict == 0 ? "deviated" : "inconclusive";
}

/* As in the exit statuses of the tools. */
static int proof_exit(int verdict)
{
    return verdict > 0 ? 0 : verdict == 0 ? 1 : 7;
}

/* A value with its unit; shares as per cent. */
static const char *value_text(char buf[40], double v, const char *unit)
{
    if (isnan(v))
        (void)snprintf(buf, 40, "-");
    else if (!strcmp(unit, "share"))
        (void)snprintf(buf, 40, "%.4g %%", 100 * v);
    else if (!strcmp(unit, "calls") || !strcmp(unit, "rows"))
        (void)snprintf(buf, 40, "%.0f %s", v, unit);
    else
        (void)snprintf(buf, 40, "%.4g%s%s", v, *unit ? " " : "", unit);
    return buf;
}

static const char *gate_text(char buf[48], const struct kymo_measure *m)
{
    char value[40];
    if (isnan(m->gate))
        (void)snprintf(buf, 48, "-");
    else
        (void)snprintf(buf, 48, "%s %s",
                       m->at_least ? ">=" : "<=", value_text(value, m->gate, m->unit));
    return buf;
}

static const char *result_text(char buf[40], int64_t r)
{
    const char *name = r < 0 && r >= -4095 ? kymo_errno_name((int)-r) : NULL;
    if (r == KYMO_NO_RESULT)
        (void)snprintf(buf, 40, "-");
    else if (name)
        (void)snprintf(buf, 40, "%s", name);
    else
        (void)snprintf(buf, 40, "%" PRId64, r);
    return buf;
}

/* -------- text -------- */

/* Names come from captures: what is no plain character does not reach a terminal. */
static void put_plain(FILE *out, const char *s, int width)
{
    for (; *s; s++, width--) {
        const unsigned char c = (unsigned char)*s;
        (void)fputc(c >= 0x20 && c < 0x7f ? c : '?', out);
    }
    for (; width > 0; width--)
        (void)fputc(' ', out);
}

/* What the first of a group was about, "" where that is not known. */
static const char *path_of(const struct kymo_trace *t, const struct kymo_mismatch *m)
{
    if (!t || m->call >= t->n_calls)
        return "";
    const struct kymo_trace_call *c = &t->call[m->call];
    return c->has & KYMO_TRACE_HAS_PATH && c->path < t->n_texts ? t->text[c->path] : "";
}

static void print_text(const struct kymo_proof *p, const struct kymo_trace *t, FILE *out)
{
    char value[40], gate[48], got[40];
    (void)fprintf(out, "%-10s %-16s %14s  %-14s %-13s note\n", "layer", "measure", "value",
                  "gate", "verdict");
    for (size_t i = 0; i < p->n; i++) {
        const struct kymo_measure *m = &p->measure[i];
        (void)fprintf(out, "%-10s %-16s %14s  %-14s %-13s ", m->layer, m->name,
                      value_text(value, m->value, m->unit), gate_text(gate, m),
                      isnan(m->gate) ? "-" : measure_word(m->verdict));
        put_plain(out, m->note, 0);
        (void)fputc('\n', out);
    }
    if (p->n_mismatches)
        (void)fprintf(out, "\n%10s  %-18s %-16s %-16s why\n", "mismatches", "call", "wanted",
                      "got");
    for (size_t i = 0; i < p->n_mismatches && i < KINDS_SHOWN; i++) {
        const struct kymo_mismatch *m = &p->mismatch[i];
        (void)fprintf(out, "%10" PRIu64 "  ", m->n);
        put_plain(out, m->name, 18);
        (void)fprintf(out, " %-16s %-16s %s", result_text(value, m->wanted),
                      result_text(got, m->got), m->why);
        if (*path_of(t, m)) {
            (void)fputs("; first ", out);
            put_plain(out, path_of(t, m), 0);
        }
        (void)fputc('\n', out);
    }
    if (p->n_mismatches > KINDS_SHOWN)
        (void)fprintf(out, "%10s  and %zu kinds more\n", "", p->n_mismatches - KINDS_SHOWN);
    (void)fprintf(out, "\nverdict: %s\n", proof_word(p->verdict));
}

/* -------- JSON lines -------- */

static void put_number(struct kymo_buf *b, const char *key, double v)
{
    if (isfinite(v))
        kymo_buf_printf(b, ",\"%s\":%.17g", key, v);
    else
        kymo_buf_printf(b, ",\"%s\":null", key);
}

static void put_text(struct kymo_buf *b, const char *key, const char *s)
{
    kymo_buf_printf(b, ",\"%s\":", key);
    kymo_json_quote(b, s, strlen(s));
}

static void put_result(struct kymo_buf *b, const char *key, int64_t r)
{
    const char *name = r < 0 && r >= -4095 ? kymo_errno_name((int)-r) : NULL;
    if (r == KYMO_NO_RESULT)
        kymo_buf_printf(b, ",\"%s\":null", key);
    else if (name)
        put_text(b, key, name);
    else
        kymo_buf_printf(b, ",\"%s\":%" PRId64, key, r);
}

static void put_lines(struct kymo_buf *b, const struct kymo_proof *p,
                      const struct kymo_trace *t)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct kymo_measure *m = &p->measure[i];
        kymo_buf_printf(b, "{\"type\":\"measure\"");
        put_text(b, "layer", m->layer);
        put_text(b, "name", m->name);
        put_number(b, "value", m->value);
        put_text(b, "unit", m->unit);
        put_number(b, "gate", m->gate);
        kymo_buf_printf(b, ",\"at_least\":%s", m->at_least ? "true" : "false");
        put_text(b, "verdict",
                 isnan(m->gate)    ? "none"
                 : m->verdict > 0  ? "passed"
                 : m->verdict == 0 ? "failed"
                                   : "inconclusive");
        put_text(b, "note", m->note);
        kymo_buf_printf(b, "}\n");
    }
    for (size_t i = 0; i < p->n_mismatches; i++) {
        const struct kymo_mismatch *m = &p->mismatch[i];
        kymo_buf_printf(b, "{\"type\":\"mismatch\",\"calls\":%" PRIu64, m->n);
        put_text(b, "call", m->name);
        if (m->call != UINT32_MAX)
            kymo_buf_printf(b, ",\"row\":%" PRIu32, m->call);
        put_result(b, "wanted", m->wanted);
        put_result(b, "got", m->got);
        put_text(b, "why", m->why);
        if (*path_of(t, m))
            put_text(b, "path", path_of(t, m));
        kymo_buf_printf(b, "}\n");
    }
    kymo_buf_printf(b, "{\"type\":\"verdict\",\"verdict\":\"%s\",\"exit\":%d}\n",
                    proof_word(p->verdict), proof_exit(p->verdict));
}

/* -------- JUnit -------- */

/* XML has no way to write most control characters: those and what is no text become \xNN. */
static void put_xml(struct kymo_buf *b, const char *s)
{
    for (size_t left = strlen(s); left;) {
        const size_t n = kymo_utf8_bytes(s, left);
        const unsigned char c = (unsigned char)*s;
        const int is_text = n && c >= 0x20 && c != 0x7f &&
                            !(n == 3 && !memcmp(s, "\xef\xbf", 2) && (uint8_t)s[2] >= 0xbe);
        if (c == '<')
            kymo_buf_printf(b, "&lt;");
        else if (c == '>')
            kymo_buf_printf(b, "&gt;");
        else if (c == '&')
            kymo_buf_printf(b, "&amp;");
        else if (c == '"')
            kymo_buf_printf(b, "&quot;");
        else if (is_text)
            kymo_buf_put(b, s, n);
        else
            kymo_buf_printf(b, "\\x%02x", c);
        s += is_text ? n : 1;
        left -= is_text ? n : 1;
    }
}

static void put_kinds(struct kymo_buf *b, const struct kymo_proof *p)
{
    char wanted[40], got[40];
    for (size_t i = 0; i < p->n_mismatches; i++) {
        const struct kymo_mismatch *m = &p->mismatch[i];
        kymo_buf_printf(b, "%" PRIu64 " ", m->n);
        put_xml(b, m->name);
        kymo_buf_printf(b, ": %s instead of %s: %s\n", result_text(got, m->got),
                        result_text(wanted, m->wanted), m->why);
    }
}

static void put_case(struct kymo_buf *b, const struct kymo_proof *p,
                     const struct kymo_measure *m)
{
    char value[40], gate[48];
    kymo_buf_printf(b, "  <testcase classname=\"kymo.proof.%s\" name=\"%s\">", m->layer,
                    m->name);
    if (m->verdict > 0 || isnan(m->gate)) {
        kymo_buf_printf(b, "<system-out>");
        put_xml(b, value_text(value, m->value, m->unit));
        kymo_buf_printf(b, "%s", m->note[0] ? "; " : "");
        put_xml(b, m->note);
        kymo_buf_printf(b, "</system-out></testcase>\n");
        return;
    }
    const char *tag = m->verdict == 0 ? "failure" : "skipped";
    kymo_buf_printf(b, "\n    <%s message=\"", tag);
    put_xml(b, value_text(value, m->value, m->unit));
    kymo_buf_printf(b, ", gate ");
    put_xml(b, gate_text(gate, m));
    kymo_buf_printf(b, "%s", m->note[0] ? "; " : "");
    put_xml(b, m->note);
    kymo_buf_printf(b, "\">");
    if (!strcmp(m->layer, "outcome") && m->verdict == 0)
        put_kinds(b, p);
    kymo_buf_printf(b, "</%s>\n  </testcase>\n", tag);
}

static void put_junit(struct kymo_buf *b, const struct kymo_proof *p)
{
    size_t failed = 0, skipped = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct kymo_measure *m = &p->measure[i];
        failed += !isnan(m->gate) && m->verdict == 0;
        skipped += !isnan(m->gate) && m->verdict < 0;
    }
    kymo_buf_printf(b,
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
                    "<testsuite name=\"kymo proof\" tests=\"%zu\" failures=\"%zu\" "
                    "errors=\"0\" skipped=\"%zu\">\n",
                    p->n, failed, skipped);
    kymo_buf_printf(b, "  <properties><property name=\"verdict\" value=\"%s\"/></properties>\n",
                    proof_word(p->verdict));
    for (size_t i = 0; i < p->n; i++)
        put_case(b, p, &p->measure[i]);
    kymo_buf_printf(b, "</testsuite>\n</testsuites>\n");
}

void kymo_proof_print(const struct kymo_proof *p, const struct kymo_trace *original,
                      enum kymo_proof_form form, FILE *out)
{
    struct kymo_buf b = {0};
    if (form == KYMO_PROOF_TEXT)
        print_text(p, original, out);
    else if (form == KYMO_PROOF_JSONL)
        put_lines(&b, p, original);
    else
        put_junit(&b, p);
    if (b.failed) /* no form of it is valid, so that nobody takes it for one */
        (void)fputs("out of memory\n", out);
    else if (b.n)
        (void)fwrite(b.p, 1, b.n, out);
    kymo_buf_release(&b);
}
