/* plan.c - what a new configuration asks for; plan.h says what that means. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

/* ---- Who is there ------------------------------------------------------------------------------------------------ */

static int item_add(struct plan *plan, const struct config_section *section)
{
    struct plan_item *item = &plan->items[plan->count];
    struct seats *seats = &plan->all->seats;

    *item = (struct plan_item){.section = section, .seat = seats_find(seats, section->name), .action = PLAN_ADD};
    if (!item->seat)
        item->seat = seats_add(seats, section->plugin, section->name, section->title, plan->generation->config->lane_max_bytes);
    if (!item->seat)
        return WEIR_ENOMEM;
    plan->count++;
    item->old = instances_find(plan->all, item->seat);
    if (!item->old)
        return WEIR_OK;
    if (!item->old->started) {
        item->action = PLAN_REPLACE; /* it was abandoned, or could not be started again after an earlier reload */
        return WEIR_OK;
    }
    item->before = item->old->section;
    item->difference = config_compare(&item->before, section);
    item->action = item->difference == CONFIG_SAME       ? PLAN_KEEP
                   : item->difference == CONFIG_REPLACED ? PLAN_REPLACE
                                                         : PLAN_RECONFIGURE;
    return WEIR_OK;
}

static int items_make(struct plan *plan)
{
    const struct config *config = plan->generation->config;
    int status = WEIR_OK;

    plan->items = calloc(config->nsections + 1, sizeof(*plan->items));
    if (!plan->items)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < config->nsections && status == WEIR_OK; i++)
        if (config->sections[i].enabled)
            status = item_add(plan, &config->sections[i]);
    return status == WEIR_OK ? item_add(plan, &plan->generation->self_section) : status;
}

/* ---- Ties between instances -------------------------------------------------------------------------------------- */

static struct service_port *provider_find(const struct plan *plan, const struct weir_binding *binding)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct service_port *port = seat_port(plan->items[i].seat, binding->service);

        if (port && strcmp(plan->items[i].section->title, binding->title) == 0)
            return port;
    }
    return NULL;
}

static void tie(const struct plan *plan, const struct config_section *section, struct weir_binding *binding,
                struct mistakes *mistakes)
{
    struct service_port *port = provider_find(plan, binding);
    char words[256];

    instances_words(section, words, sizeof(words));
    if (!port && plan->partial)
        return;
    if (!port)
        mistakes_add(mistakes, binding->file, binding->line,
                     "%s: %s: no enabled instance \"%s\" offers the service \"%s\"; add such a section, or name another",
                       words, binding->option, binding->title, binding->service);
    else if (port->version < binding->version)
        mistakes_add(mistakes, binding->file, binding->line,
                     "%s: %s: \"%s\" offers version %u of the service \"%s\", version %u is needed; update that plugin",
                       words, binding->option, binding->title, port->version, binding->service, binding->version);
    else
        binding->port = port;
}

static bool uses(const struct config_section *section, const struct seat *seat)
{
    for (size_t b = 0; b < section->nbindings; b++)
        if (seat_offers(seat, section->bindings[b]->port))
            return true;
    return false;
}

/* Providers before users; among those that are ready, sinks before sources, then the order of the file. */
static int order(struct plan *plan, struct mistakes *mistakes)
{
    struct plan_item *ordered = calloc(plan->count, sizeof(*ordered));
    bool *placed = calloc(plan->count, sizeof(*placed));
    size_t n = 0;
    int status = ordered && placed ? WEIR_OK : WEIR_ENOMEM;

    while (status == WEIR_OK && n < plan->count) {
        size_t best = plan->count;

        for (size_t i = 0; i < plan->count; i++) {
            const struct plan_item *item = &plan->items[i];
            bool ready = !placed[i];

            for (size_t j = 0; ready && j < plan->count; j++)
                ready = placed[j] || !uses(item->section, plan->items[j].seat);
            if (ready && (best == plan->count || (!(plan->items[best].section->plugin->roles & WEIR_SINK) &&
                                                  item->section->plugin->roles & WEIR_SINK)))
                best = i;
        }
        if (best == plan->count)
            break;
        placed[best] = true;
        ordered[n++] = plan->items[best];
    }
    for (size_t i = 0; placed && n < plan->count && i < plan->count; i++) {
        const struct config_section *section = plan->items[i].section;
        char words[256];

        if (!placed[i])
            mistakes_add(mistakes, section->file, section->line,
                           "%s: uses a service of an instance that waits for this one; break the circle",
                           instances_words(section, words, sizeof(words)));
    }
    if (status == WEIR_OK && n == plan->count) {
        free(plan->items);
        plan->items = ordered;
        ordered = NULL;
    }
    free(ordered);
    free(placed);
    return status;
}

/* Instances that make the same series would refuse each other's when they run. */
static void check_alike(const struct plan *plan, const struct config_section *section, struct mistakes *mistakes)
{
    for (size_t i = 0; section->plugin->flags & WEIR_ALIKE && plan->items[i].section != section; i++) {
        const struct config_section *other = plan->items[i].section;
        char words[256], others[256];

        if (other->plugin != section->plugin || !config_labels_equal(other, section))
            continue;
        mistakes_add(mistakes, section->file, section->line,
                     "%s: makes the same series as %s, at %s:%d; add a label of its own: labels = { \"instance=%s\" }",
                     instances_words(section, words, sizeof(words)), instances_words(other, others, sizeof(others)), other->file,
                     other->line, section->title);
        return;
    }
}

/* ---- Checking ----------------------------------------------------------------------------------------------------- */

int plan_object(struct plan *plan, struct plan_item *item)
{
    uint32_t held = item->old ? item->old->bit : 0;

    item->object = instance_new(plan->all, item->seat, item->section, held == 1 ? 2 : 1);
    return item->object ? WEIR_OK : WEIR_ENOMEM;
}

/* A plugin is shown only what the schema has found good. */
static int check(struct plan *plan, struct plan_item *item, struct mistakes *mistakes)
{
    char words[256];
    int status;

    if (item->action == PLAN_KEEP || !item->section->good)
        return WEIR_OK;
    if (plan_object(plan, item) < 0)
        return WEIR_ENOMEM;
    status = instance_check(item->object);
    if (status < 0)
        mistakes_add(mistakes, item->section->file, item->section->line, "%s: %s",
                       instances_words(item->section, words, sizeof(words)), instance_reason(item->object, status));
    if (item->action == PLAN_RECONFIGURE) {
        instance_free(item->object);
        item->object = NULL;
    }
    return WEIR_OK;
}

int plan_make(struct plan *plan, struct instances *all, struct generation *generation, bool partial,
              struct mistakes *mistakes)
{
    size_t before = mistakes->count + mistakes->more;
    int status;

    *plan = (struct plan){.all = all, .generation = generation, .partial = partial};
    status = items_make(plan);
    if (status < 0)
        return status;
    for (size_t i = 0; i < plan->count; i++)
        for (size_t b = 0; b < plan->items[i].section->nbindings; b++)
            tie(plan, plan->items[i].section, plan->items[i].section->bindings[b], mistakes);
    for (size_t i = 0; i < plan->count; i++)
        check_alike(plan, plan->items[i].section, mistakes);
    /* Checked in the order of the file, so that mistakes are told in it. */
    for (size_t i = 0; i < plan->count && status == WEIR_OK; i++)
        status = check(plan, &plan->items[i], mistakes);
    if (status == WEIR_OK)
        status = order(plan, mistakes);
    if (status < 0)
        return status;
    return mistakes->count + mistakes->more == before ? WEIR_OK : WEIR_ECONFIG;
}

void plan_drop(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        instance_free(plan->items[i].object);
    free(plan->items);
    *plan = (struct plan){0};
}
