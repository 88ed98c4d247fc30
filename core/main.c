/* main.c - the command line; no logic.
 *
 * Exit status: 0 done, 1 failed or mistakes in the configuration, 2 wrong usage; a command's own.
 */
#include "command.h"
#include "config.h"
#include "control.h"
#include "daemon.h"
#include "describe.h"
#include "host.h"
#include "loader.h"
#include "log.h"
#include "once.h"
#include "reload.h"

#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FOLDERS_MAX 16

struct arguments {
    const char *config, *socket;
    const char *folders[FOLDERS_MAX];
    size_t nfolders;
    bool socket_given;
    enum describe_form form;
    int argc;                /* the command and its arguments */
    const char *const *argv;
};

static const char usage[] =
    "Usage: weir run                      collect until SIGTERM or SIGINT; SIGHUP reloads the configuration\n"
    "       weir check                    find every mistake in the configuration\n"
    "       weir once                     collect once, beside a running collector, and print the figures\n"
    "       weir reload                   reload the configuration of the running collector\n"
    "       weir status                   show what the running collector does\n"
    "       weir plugins                  list the plugins that can be loaded\n"
    "       weir describe [PLUGIN]        show a plugin's options and commands; without one, the keys outside of\n"
    "                                     sections and those that every section takes\n"
    "       weir PLUGIN[/TITLE] COMMAND   run a plugin's command\n"
    "\n"
    "  -c, --config FILE     configuration (" WEIR_CONFIG_FILE ")\n"
    "      --plugin-dir DIR  look for plugins here instead of " WEIR_PLUGIN_DIR "; may be repeated\n"
    "      --socket PATH     control socket of the running collector (" WEIR_CONTROL_SOCKET ")\n"
    "      --man             describe: as a manual page\n"
    "      --sample          describe: as a part of a configuration\n"
    "  -h, --help            this text\n"
    "  -V, --version         the version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n";

static _Noreturn void usage_error(const char *what, const char *word)
{
    fprintf(stderr, "weir: %s%s%s%s\nTry `weir --help`.\n", what, word ? " \"" : "", word ? word : "", word ? "\"" : "");
    exit(2);
}

static struct arguments arguments_parse(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"plugin-dir", required_argument, NULL, 'p'},
                                            {"socket", required_argument, NULL, 's'},
                                            {"man", no_argument, NULL, 'm'},
                                            {"sample", no_argument, NULL, 'e'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    struct arguments arguments = {.config = WEIR_CONFIG_FILE, .socket = WEIR_CONTROL_SOCKET};
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":c:hV", options, NULL)) != -1) {
        switch (option) {
        case 'c': arguments.config = optarg; break;
        case 'p':
            if (arguments.nfolders == FOLDERS_MAX)
                usage_error("more folders than fit, at", optarg);
            arguments.folders[arguments.nfolders++] = optarg;
            break;
        case 's':
            arguments.socket = optarg;
            arguments.socket_given = true;
            break;
        case 'm': arguments.form = DESCRIBE_MAN; break;
        case 'e': arguments.form = DESCRIBE_SAMPLE; break;
        case 'h': fputs(usage, stdout); exit(0);
        case 'V': puts("weir " WEIR_VERSION); exit(0);
        case ':': usage_error("a value is missing after", argv[optind - 1]);
        default: usage_error("unknown option", argv[optind - 1]);
        }
    }
    if (optind == argc)
        usage_error("a command is missing", NULL);
    if (!arguments.nfolders)
        arguments.folders[arguments.nfolders++] = WEIR_PLUGIN_DIR;
    arguments.argc = argc - optind;
    arguments.argv = (const char *const *)&argv[optind];
    return arguments;
}

/* The configuration, or NULL and every mistake on stderr. */
static struct config *load(const struct arguments *arguments, struct loader *loader)
{
    struct mistakes mistakes = {0};
    struct config *config = NULL;
    int status = config_load(arguments->config, daemon_resolve, loader, &config, &mistakes);

    mistakes_print(&mistakes, stderr);
    mistakes_free(&mistakes);
    if (status == WEIR_OK)
        return config;
    config_free(config);
    return NULL;
}

static int run(const struct arguments *arguments, struct loader *loader)
{
    const struct daemon_options options = {.config = arguments->config, .loader = loader, .socket = arguments->socket,
                                           .socket_wanted = arguments->socket_given};

    return daemon_run(&options);
}

static int check(const struct arguments *arguments, struct loader *loader)
{
    struct mistakes mistakes = {0};
    struct config *config = NULL;
    struct instances *all = instances_new();
    int status = all ? config_load(arguments->config, daemon_resolve, loader, &config, &mistakes) : WEIR_ENOMEM;
    size_t count = 0;

    for (size_t i = 0; config && i < config->nsections; i++)
        count += config->sections[i].enabled;
    /* What lies between sections is looked for also when single ones have mistakes. */
    if (config && reload_check(all, config, &mistakes) < 0)
        status = WEIR_ECONFIG;
    mistakes_print(&mistakes, stderr);
    mistakes_free(&mistakes);
    instances_free(all);
    if (status == WEIR_OK)
        printf("%s: %zu instances, no mistakes\n", arguments->config, count);
    return status < 0 ? 1 : 0;
}

static int once(const struct arguments *arguments, struct loader *loader)
{
    struct config *config = load(arguments, loader);

    return config ? once_run(loader, config) : 1;
}

static int live(const struct arguments *arguments, struct loader *loader)
{
    char why[400];
    int status = control_call(arguments->socket, arguments->argc, arguments->argv, why, sizeof(why));

    (void)loader;
    if (status >= 0)
        return status;
    fprintf(stderr, "weir: %s\n", why);
    return 1;
}

static void print_plugin(void *context, const char *name)
{
    char why[512];
    const struct loader_plugin *plugin = loader_load(context, name, why, sizeof(why));

    if (plugin)
        printf("%-16s %-10s %s\n", name, plugin->description.version, plugin->description.summary);
    else
        printf("%-16s cannot be loaded: %s\n", name, why);
}

static int plugins(const struct arguments *arguments, struct loader *loader)
{
    (void)arguments;
    loader_each(loader, print_plugin, loader);
    return 0;
}

static int describe(const struct arguments *arguments, struct loader *loader)
{
    const char *name = arguments->argc > 1 ? arguments->argv[1] : NULL;
    const struct loader_plugin *plugin;
    char why[512];

    if (!name) {
        describe_file(arguments->form, stdout);
        return 0;
    }
    plugin = loader_load(loader, name, why, sizeof(why));
    if (!plugin) {
        fprintf(stderr, "weir: plugin \"%s\": %s\n", name, why);
        return 1;
    }
    describe_plugin(&plugin->description, arguments->form, stdout);
    return 0;
}

/* `weir PLUGIN[/TITLE] COMMAND ...`: the plugin knows where its command runs. */
static int plugin_command(const struct arguments *arguments, struct loader *loader)
{
    const char *target = arguments->argv[0];
    char name[64], why[1024];
    const struct loader_plugin *plugin;
    const struct weir_command *command;
    struct config *config;

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(target, "/"), target);
    plugin = loader_load(loader, name, why, sizeof(why));
    if (!plugin) {
        fprintf(stderr, "weir: \"%s\" is neither a command of weir nor a plugin: %s\nTry `weir --help`.\n", name, why);
        return 2;
    }
    command = command_find(&plugin->description, arguments->argc > 1 ? arguments->argv[1] : "", why, sizeof(why));
    if (!command) {
        fprintf(stderr, "weir: %s\n", why);
        return 2;
    }
    if (!(command->flags & WEIR_OFFLINE))
        return live(arguments, loader);
    config = load(arguments, loader);
    return config ? once_command(config, target, arguments->argc - 1, arguments->argv + 1) : 1;
}

static const struct {
    const char *name;
    int (*run)(const struct arguments *arguments, struct loader *loader);
    int words; /* at most, besides its own name */
} commands[] = {{"run", run, 0},     {"check", check, 0},     {"once", once, 0},        {"reload", live, 0},
                {"status", live, 0}, {"plugins", plugins, 0}, {"describe", describe, 1}};

int main(int argc, char **argv)
{
    struct arguments arguments = arguments_parse(argc, argv);
    size_t count = sizeof(commands) / sizeof(commands[0]), i = 0;
    struct loader *loader;
    int status;

    while (i < count && strcmp(commands[i].name, arguments.argv[0]) != 0)
        i++;
    if (arguments.form != DESCRIBE_TEXT && (i == count || commands[i].run != describe))
        usage_error("--man and --sample are for describe, not", arguments.argv[0]);
    if (i < count && arguments.argc - 1 > commands[i].words)
        usage_error("unexpected argument", arguments.argv[commands[i].words + 1]);
    /* Names of time zones are made once, before threads read them. */
    tzset();
    /* Many threads that allocate little: two arenas, and large blocks given back when freed. */
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    log_open();
    loader = loader_new(arguments.folders, arguments.nfolders, &host_table);
    if (!loader) {
        fputs("weir: no memory\n", stderr);
        return 1;
    }
    status = i < count ? commands[i].run(&arguments, loader) : plugin_command(&arguments, loader);
    loader_free(loader);
    return status;
}
