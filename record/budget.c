/* SPDX-License-Identifier: Apache-2.0 */
#include "record/budget.h"

#include "format/event.h"

#define NS_PER_S 1000000000u
#define OVER_S 2u      /* so long above the budget before a step down: one burst is none */
#define CALM_S_MIN 10u /* so long calm before a step up */
#define CALM_S_MAX 640u
#define CALM_SHARE 0.5 /* of the budget; calm is below it, so that more detail has room */
#define MEMORY_CALM 0.9

const char *budget_level_name(uint32_t level)
{
    static const char *const name[] = {"off", "sampled", "counts", "full"};

    return level < sizeof(name) / sizeof(name[0]) ? name[level] : "unknown";
}

void budget_init(struct budget *b, double cpu_max, uint64_t memory_max, uint32_t level)
{
    *b = (struct budget){
        .cpu_max = cpu_max,
        .memory_max = memory_max,
        .level_max = level,
        .level = level,
        .calm_need = CALM_S_MIN,
        .since_up = CALM_S_MAX,
    };
}

static int step_to(struct budget *b, uint32_t level, const char *why, double value,
                   struct budget_step *step)
{
    *step = (struct budget_step){b->level, level, why, value};
    b->level = level;
    b->over = b->calm = 0;
    return 1;
}

static int step_down(struct budget *b, const char *why, double value, struct budget_step *step)
{
    if (b->since_up < CALM_S_MIN) /* the last step up was a mistake */
        b->calm_need = b->calm_need < CALM_S_MAX ? b->calm_need * 2 : CALM_S_MAX;
    return step_to(b, b->level - 1, why, value, step);
}

int budget_look(struct budget *b, uint64_t now_ns, uint64_t cpu_ns, uint64_t rss_bytes,
                struct budget_step *step)
{
    const uint64_t passed = now_ns - b->at_ns;
    const double share = passed ? (double)(cpu_ns - b->cpu_ns) / (double)passed : 0;
    const int first = !b->at_ns;

    if (!first && passed < NS_PER_S)
        return 0;
    b->at_ns = now_ns;
    b->cpu_ns = cpu_ns;
    if (first)
        return 0;
    const int cpu_over = b->cpu_max > 0 && share > b->cpu_max;
    const int memory_over = b->memory_max && rss_bytes > b->memory_max;
    const int calm =
        (b->cpu_max <= 0 || share < CALM_SHARE * b->cpu_max) &&
        (!b->memory_max || (double)rss_bytes < MEMORY_CALM * (double)b->memory_max);
    b->over = cpu_over || memory_over ? b->over + 1 : 0;
    b->calm = calm ? b->calm + 1 : 0;
    b->since_up += b->since_up < CALM_S_MAX;
    if (b->over >= OVER_S && b->level > KYMO_LEVEL_OFF)
        return step_down(b, cpu_over ? "cpu" : "memory", cpu_over ? share : (double)rss_bytes,
                         step);
    if (b->calm < b->calm_need || b->level >= b->level_max)
        return 0;
    if (b->since_up >= CALM_S_MAX)
        b->calm_need = CALM_S_MIN;
    b->since_up = 0;
    return step_to(b, b->level + 1, "calm", share, step);
}
