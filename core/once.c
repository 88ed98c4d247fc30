/* once.c - a part of a configuration, for one piece of work. */
#include "once.h"

#include "command.h"
#include "log.h"
#include "plan.h"
#include "reload.h"
#include "util/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define STOP_NS (4 * CLOCK_SECOND_NS)

static const struct weir_service *service_find(const struct weir_plugin *plugin, const char *name)
{
    for (const struct weir_service *service = plugin->services; service && service->name; service++)
        if (strcmp(service->name, name) == 0)
            return service;
    return NULL;
}

/* Enables the sections that those already wanted need, as far as they may run beside a collector. */
static void need_providers(struct config *config, bool *wanted)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < config->nsections; i++) {
            const struct config_section *user = &config->sections[i];

            for (size_t b = 0; wanted[i] && b < user->nbindings; b++) {
                for (size_t k = 0; k < config->nsections; k++) {
                    const struct config_section *section = &config->sections[k];

                    if (!wanted[k] && section->enabled && !(section->plugin->flags & WEIR_EXCLUSIVE) &&
                        strcmp(section->title, user->bindings[b]->title) == 0 &&
                        service_find(section->plugin, user->bindings[b]->service))
                        more = wanted[k] = true;
                }
            }
        }
    }
}

static int start(struct instances *all, struct config *config, bool *wanted, const char *hold)
{
    const struct reload_options options = {.then = INSTANCE_PAUSE, .partial = true, .hold = hold};
    struct mistakes mistakes = {0};
    char why[RELOAD_REASON_MAX];
    int status;

    need_providers(config, wanted);
    for (size_t i = 0; i < config->nsections; i++)
        config->sections[i].enabled = wanted[i];
    status = reload_apply(all, config, &options, &mistakes, why, sizeof(why));
    mistakes_print(&mistakes, stderr);
    mistakes_free(&mistakes);
    if (status < 0 && status != WEIR_ECONFIG)
        fprintf(stderr, "weir: %s\n", why);
    return status;
}

static void end(struct instances *all, int status)
{
    fflush(stdout);
    if (!instances_stop(all, clock_now_ns() + STOP_NS))
        _exit(status);
    instances_free(all);
}

/* ---- weir once ---------------------------------------------------------------------------------------------------- */

static int write_stdout(void *context, const char *text, size_t length)
{
    (void)context;
    return fwrite(text, 1, length, stdout) == length ? WEIR_OK : WEIR_EFAIL;
}

static const struct weir_text *text_find(struct loader *loader)
{
    char why[600];
    /* A service is named after the plugin that offers it. */
    const struct loader_plugin *plugin = loader_load(loader, "prometheus", why, sizeof(why));
    const struct weir_service *service;

    if (!plugin) {
        fprintf(stderr, "weir: plugin \"prometheus\", which writes the text: %s\n", why);
        return NULL;
    }
    service = service_find(&plugin->description, WEIR_TEXT_SERVICE);
    if (service && service->version >= WEIR_TEXT_VERSION)
        return service->table;
    fprintf(stderr, "weir: plugin \"prometheus\" does not offer the service \"%s\"\n", WEIR_TEXT_SERVICE);
    return NULL;
}

/* One pass of every group; how many failed. */
static int collect_all(struct instances *all, const char *own)
{
    int failed = 0;

    for (size_t i = 0; i < all->count; i++)
        if (all->objects[i]->plugin->roles & WEIR_SOURCE && strcmp(all->objects[i]->seat->name, own) != 0)
            instance_give(all->objects[i], INSTANCE_ONCE);
    for (size_t i = 0; i < all->count; i++) {
        struct weir_self *self = all->objects[i];
        int64_t patience_ns = (int64_t)(self->schedule.count + 1) * self->section.timeout_ns;
        int status;

        if (!(self->plugin->roles & WEIR_SOURCE) || strcmp(self->seat->name, own) == 0)
            continue;
        status = instances_await(self, patience_ns, INSTANCE_STUCK_NS);
        if (status == WEIR_ETIMEOUT)
            instances_abandon(self);
        if (status != WEIR_OK) {
            fprintf(stderr, "weir: %s: %d of its groups failed; the last: %s\n", self->seat->name, status > 0 ? status : 1,
                    status > 0 ? self->seat->error : "it does not return");
            failed++;
        }
    }
    return failed;
}

int once_run(struct loader *loader, struct config *config)
{
    const struct weir_text *text = text_find(loader);
    struct instances *all = instances_new();
    bool *wanted = calloc(config->nsections + 1, sizeof(*wanted));
    int status = 1;

    if (!text || !all || !wanted) {
        config_free(config);
        instances_free(all);
        free(wanted);
        return 1;
    }
    for (size_t i = 0; i < config->nsections; i++) {
        const struct weir_plugin *plugin = config->sections[i].plugin;

        wanted[i] = config->sections[i].enabled && plugin->roles & WEIR_SOURCE && !(plugin->roles & WEIR_SINK) &&
                    !(plugin->flags & WEIR_EXCLUSIVE);
    }
    if (start(all, config, wanted, NULL) == WEIR_OK) {
        const char *own = all->generation->self_section.name;
        struct weir_self *self = instances_find(all, seats_find(&all->seats, own));

        status = collect_all(all, own) ? 1 : 0;
        if (text->render(NULL, self, write_stdout, NULL) < 0 || fflush(stdout) != 0) {
            fputs("weir: could not write the figures\n", stderr);
            status = 1;
        }
    }
    free(wanted);
    end(all, status);
    return status;
}

/* ---- Offline commands ----------------------------------------------------------------------------------------------- */

int once_command(struct config *config, const char *target, int argc, const char *const *argv)
{
    char why[RELOAD_REASON_MAX];
    const char *name = command_instance(config, target, why, sizeof(why));
    const struct weir_command *command = NULL;
    struct instances *all = instances_new();
    bool *wanted = calloc(config->nsections + 1, sizeof(*wanted));
    char own[512];
    sigset_t signals;
    int status = 1;

    snprintf(own, sizeof(own), "%s", name ? name : "");
    for (size_t i = 0; wanted && name && i < config->nsections; i++) {
        wanted[i] = strcmp(config->sections[i].name, name) == 0;
        if (wanted[i])
            command = command_find(config->sections[i].plugin, argv[0], why, sizeof(why));
    }
    if (!all || !wanted || !command) {
        fprintf(stderr, "weir: %s\n", all && wanted ? why : "no memory");
        config_free(config);
        instances_free(all);
        free(wanted);
        return all && wanted ? 2 : 1;
    }
    /* Ctrl-C ends what the command waits for, and then the command. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (start(all, config, wanted, own) == WEIR_OK) {
        struct weir_call call = {.fd = -1, .gone_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)};
        const struct weir_self *self = instances_find(all, seats_find(&all->seats, own));

        status = command_run(command, self->state, &call, argc, argv);
        if (call.gone_fd >= 0)
            close(call.gone_fd);
    }
    free(wanted);
    end(all, status);
    return status;
}
