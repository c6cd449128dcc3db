/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/fit/progress.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SHOW_EVERY_S 0.2

static volatile sig_atomic_t stop_signal;
static struct {
    bool shown, there; /* may be, is on the terminal */
    double begun_s, next_s;
} line;

static void on_signal(int n)
{
    stop_signal = n;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void kymo_progress_open(bool shown)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    line.shown = shown && isatty(STDERR_FILENO);
    line.begun_s = now_s();
    line.next_s = line.begun_s + SHOW_EVERY_S;
}

const volatile sig_atomic_t *kymo_progress_stop(void)
{
    return &stop_signal;
}

void kymo_progress(double done, const char *fmt, ...)
{
    if (!line.shown)
        return;
    const double now = now_s(), spent = now - line.begun_s;
    if (now < line.next_s)
        return;
    line.next_s = now + SHOW_EVERY_S;
    line.there = true;
    fputs("\r\033[K", stderr);
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    if (done > 0 && done <= 1)
        fprintf(stderr, "  %.0f%%, %.0f s left", done * 100, spent / done - spent);
    fflush(stderr);
}

void kymo_progress_end(void)
{
    if (line.there)
        fputs("\r\033[K", stderr);
    line.there = false;
}
