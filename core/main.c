/* main.c - the command line and signals; no logic.
 *
 * weir run | check | plugins | describe PLUGIN.  Exit status: 0 done, 1 failed or mistakes in the configuration, 2 wrong usage.
 */
#include "config.h"
#include "fatal.h"
#include "host.h"
#include "instance.h"
#include "loader.h"
#include "log.h"
#include "schema.h"
#include "util/clock.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define STOP_NS (4 * CLOCK_SECOND_NS + CLOCK_SECOND_NS / 2) /* SIGTERM to exit, with half a second to spare of the five */
#define FOLDERS_MAX 16

struct arguments {
    const char *command, *plugin, *config;
    const char *folders[FOLDERS_MAX];
    size_t nfolders;
};

static const char usage[] =
    "Usage: weir run              collect until SIGTERM or SIGINT\n"
    "       weir check            find every mistake in the configuration\n"
    "       weir plugins          list the plugins that can be loaded\n"
    "       weir describe PLUGIN  show a plugin's options\n"
    "\n"
    "  -c, --config FILE     configuration (" WEIR_CONFIG_FILE ")\n"
    "      --plugin-dir DIR  look for plugins here instead of " WEIR_PLUGIN_DIR "; may be repeated\n"
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
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    struct arguments arguments = {.config = WEIR_CONFIG_FILE};
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
        case 'h': fputs(usage, stdout); exit(0);
        case 'V': puts("weir " WEIR_VERSION); exit(0);
        case ':': usage_error("a value is missing after", argv[optind - 1]);
        default: usage_error("unknown option", argv[optind - 1]);
        }
    }
    if (optind == argc)
        usage_error("a command is missing", NULL);
    arguments.command = argv[optind++];
    if (strcmp(arguments.command, "describe") == 0) {
        if (optind == argc)
            usage_error("describe needs the name of a plugin", NULL);
        arguments.plugin = argv[optind++];
    }
    if (optind < argc)
        usage_error("unexpected argument", argv[optind]);
    if (!arguments.nfolders)
        arguments.folders[arguments.nfolders++] = WEIR_PLUGIN_DIR;
    return arguments;
}

static const struct weir_plugin *resolve(void *context, const char *name, char *why, size_t why_size)
{
    const struct loader_plugin *plugin = loader_load(context, name, why, why_size);

    return plugin ? &plugin->description : NULL;
}

/* Reads and checks everything; prints every mistake. */
static int prepare(const struct arguments *arguments, struct loader *loader, struct config **config,
                   struct instances **instances)
{
    struct config_mistakes mistakes = {0};
    int status = config_load(arguments->config, resolve, loader, config, &mistakes);

    /* What lies between sections is looked for also when single ones have mistakes. */
    if (*config) {
        int more = instances_new(*config, &mistakes, instances);

        status = status < 0 ? status : more;
    }
    config_mistakes_print(&mistakes, stderr);
    config_mistakes_free(&mistakes);
    if (status == WEIR_ENOMEM)
        fputs("weir: no memory\n", stderr);
    return status < 0 ? 1 : 0;
}

static int check(const struct arguments *arguments, struct loader *loader)
{
    struct config *config = NULL;
    struct instances *instances = NULL;
    int status = prepare(arguments, loader, &config, &instances);

    if (status == 0)
        printf("%s: %zu instances, no mistakes\n", arguments->config, instances->count - 1);
    instances_free(instances);
    config_free(config);
    return status;
}

/* Until SIGTERM or SIGINT; the supervisor's turns lie between. */
static void wait_for_end(struct instances *instances, const sigset_t *signals)
{
    for (;;) {
        int64_t left_ns = instances_supervise(instances) - clock_now_ns();
        const struct timespec left = {.tv_sec = 0, .tv_nsec = left_ns > 0 && left_ns < CLOCK_SECOND_NS ? left_ns : 1000000};
        int signal = sigtimedwait(signals, NULL, &left);

        if (signal == SIGTERM || signal == SIGINT) {
            log_line(NULL, WEIR_INFO_LEVEL, "stopping on %s", signal == SIGTERM ? "SIGTERM" : "SIGINT");
            return;
        }
    }
}

static void limits_raise(void)
{
    struct rlimit files;

    /* Connections to servers and from scrapers; select(2) is not used anywhere. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int run(const struct arguments *arguments, struct loader *loader)
{
    struct config *config = NULL;
    struct instances *instances = NULL;
    sigset_t signals;
    bool clean;
    int status;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    /* Blocked before any thread exists, so that all inherit it and sigtimedwait gets them. */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    limits_raise();
    status = prepare(arguments, loader, &config, &instances);
    if (status)
        goto out;
    log_level_set((int)config->log_level);
    if (fatal_install() < 0)
        log_line(NULL, WEIR_WARNING, "could not install the handler of fatal signals: %s", strerror(errno));
    if (instances_start(instances) < 0) {
        status = 1;
        goto out;
    }
    log_line(NULL, WEIR_INFO_LEVEL, "weir " WEIR_VERSION " runs %zu instances", instances->count - 1);
    wait_for_end(instances, &signals);
    clean = instances_stop(instances, clock_now_ns() + STOP_NS);
    if (!clean)
        _exit(0); /* a thread still runs in its plugin: nothing may be freed under it */
out:
    instances_free(instances);
    config_free(config);
    return status;
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

static int describe(const char *name, struct loader *loader)
{
    char why[512];
    const struct loader_plugin *plugin = loader_load(loader, name, why, sizeof(why));

    if (!plugin) {
        fprintf(stderr, "weir: plugin \"%s\": %s\n", name, why);
        return 1;
    }
    schema_describe(&plugin->description, stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments = arguments_parse(argc, argv);
    struct loader *loader;
    int status = 0;

    /* Many threads that allocate little: two arenas, and large blocks given back when freed. */
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    log_open();
    loader = loader_new(arguments.folders, arguments.nfolders, &host_table);
    if (!loader) {
        fputs("weir: no memory\n", stderr);
        return 1;
    }
    if (strcmp(arguments.command, "run") == 0)
        status = run(&arguments, loader);
    else if (strcmp(arguments.command, "check") == 0)
        status = check(&arguments, loader);
    else if (strcmp(arguments.command, "plugins") == 0)
        loader_each(loader, print_plugin, loader);
    else if (strcmp(arguments.command, "describe") == 0)
        status = describe(arguments.plugin, loader);
    else
        usage_error("unknown command", arguments.command);
    loader_free(loader);
    return status;
}
