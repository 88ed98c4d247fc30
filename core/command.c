/* command.c - commands of plugins; command.h says which are meant. */
#include "command.h"

#include "util/clock.h"
#include "util/strbuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 4096u

const struct weir_command *command_find(const struct weir_plugin *plugin, const char *name, char *why, size_t why_size)
{
    struct strbuf names = {.ceiling = NAMES_MAX};
    const struct weir_command *command = plugin->commands;

    for (; command && command->name; command++) {
        if (strcmp(command->name, name) == 0) {
            strbuf_free(&names);
            return command;
        }
        strbuf_printf(&names, "%s%s", names.length ? ", " : "", command->name);
    }
    if (names.length)
        snprintf(why, why_size, "plugin \"%s\" has no command \"%s\"; it has: %s", plugin->name, name, names.text);
    else
        snprintf(why, why_size, "plugin \"%s\" has no commands", plugin->name);
    strbuf_free(&names);
    return NULL;
}

/* True if TARGET means the instance: its whole name, or its plugin's. */
static bool is_meant(const char *target, const char *plugin, const char *name)
{
    return strcmp(target, name) == 0 || strcmp(target, plugin) == 0;
}

/* What there is to choose from, when not exactly one is meant. */
struct choice {
    const char *found;
    size_t count;
    struct strbuf names;
};

static void choice_add(struct choice *choice, const char *target, const char *plugin, const char *name)
{
    if (!is_meant(target, plugin, name))
        return;
    choice->found = name;
    choice->count++;
    strbuf_printf(&choice->names, "%s%s", choice->names.length ? ", " : "", name);
}

static const char *choice_end(struct choice *choice, const char *target, char *why, size_t why_size)
{
    const char *found = choice->count == 1 ? choice->found : NULL;

    if (!choice->count)
        snprintf(why, why_size, "there is no enabled instance \"%s\" in the configuration", target);
    else if (!found)
        snprintf(why, why_size, "several instances are meant by \"%s\"; name one: %s", target, choice->names.text);
    strbuf_free(&choice->names);
    return found;
}

const char *command_instance(const struct config *config, const char *target, char *why, size_t why_size)
{
    struct choice choice = {.names = {.ceiling = NAMES_MAX}};

    for (size_t i = 0; i < config->nsections; i++)
        if (config->sections[i].enabled)
            choice_add(&choice, target, config->sections[i].plugin_name, config->sections[i].name);
    return choice_end(&choice, target, why, why_size);
}

static const char *words_of(int status)
{
    switch (status) {
    case WEIR_EAGAIN: return "not possible now";
    case WEIR_ETIMEOUT: return "not done in time";
    case WEIR_EINTR: return "interrupted";
    case WEIR_ENOMEM: return "no memory";
    case WEIR_EINVAL: return "wrong arguments";
    default: return "failed";
    }
}

int command_run(const struct weir_command *command, void *state, struct weir_call *call, int argc, const char *const *argv)
{
    int status = command->run(state, call, argc, argv);

    if (status >= 0)
        return status < 126 ? status : 1;
    (void)call_print(call, CALL_ERR, "weir: %s: %s\n", argv[0], words_of(status));
    return 1;
}

int command_live(struct instances *all, struct weir_call *call, int argc, const char *const *argv)
{
    struct choice choice = {.names = {.ceiling = NAMES_MAX}};
    const struct weir_command *command;
    const struct seat *seat;
    const char *name;
    const void *table;
    void *state;
    char why[NAMES_MAX + 256];
    int status;

    if (argc < 2) {
        (void)call_print(call, CALL_ERR, "weir: %s: a command is missing\n", argv[0]);
        return 2;
    }
    for (seat = atomic_load_explicit(&all->seats.first, memory_order_acquire); seat;
         seat = atomic_load_explicit(&seat->next, memory_order_acquire))
        if (atomic_load_explicit(&seat->holder, memory_order_acquire))
            choice_add(&choice, argv[0], seat->plugin->name, seat->name);
    name = choice_end(&choice, argv[0], why, sizeof(why));
    seat = name ? seats_find(&all->seats, name) : NULL;
    command = seat ? command_find(seat->plugin, argv[1], why, sizeof(why)) : NULL;
    if (!command) {
        (void)call_print(call, CALL_ERR, "weir: %s\n", why);
        return 2;
    }
    if (service_enter(seat_commands(seat), clock_now_ns() + CLOCK_SECOND_NS, &table, &state) < 0) {
        (void)call_print(call, CALL_ERR, "weir: %s is not running just now\n", seat->name);
        return 1;
    }
    status = command_run(command, state, call, argc - 1, argv + 1);
    service_leave(seat_commands(seat));
    return status;
}
