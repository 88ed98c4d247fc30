/* daemon.c - the running collector; daemon.h says what it waits for. */
#include "daemon.h"

#include "command.h"
#include "control.h"
#include "fatal.h"
#include "log.h"
#include "notify.h"
#include "reload.h"
#include "status.h"
#include "util/clock.h"
#include "util/strbuf.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#ifndef WEIR_VERSION
#error "WEIR_VERSION is set by the build"
#endif

#define STOP_NS (4 * CLOCK_SECOND_NS + CLOCK_SECOND_NS / 2) /* SIGTERM to exit, with half a second to spare of the five */
#define CONTROL_NS (CLOCK_SECOND_NS / 4)                    /* of it, for clients */
#define REPORT_BYTES_MAX (256u * 1024u)

/* A reload that a client waits for. */
struct request {
    struct request *next;
    struct strbuf report; /* every mistake, or the reason */
    int status;
    bool done;
};
struct daemon {
    const struct daemon_options *options;
    struct instances *all;
    struct control *control;
    int signals, wake; /* signalfd, eventfd */

    pthread_mutex_t lock; /* over requests, their ends, and ending */
    pthread_cond_t answered;
    struct request *requests;
    bool ending;

    uint64_t own_passes; /* of the collector's own instance, when they last moved */
    int64_t own_moved_ns, fed_ns;
};

const struct weir_plugin *daemon_resolve(void *loader, const char *name, char *why, size_t why_size)
{
    const struct loader_plugin *plugin = loader_load(loader, name, why, why_size);

    return plugin ? &plugin->description : NULL;
}

/* ---- Reloading ---------------------------------------------------------------------------------------------------- */

/* Reads the file and goes over to it; what is wrong is reported, a line each. */
static int load(struct daemon *daemon, struct strbuf *report)
{
    static const struct reload_options options = {.then = INSTANCE_RUN};
    struct mistakes mistakes = {0};
    struct config *config = NULL;
    char why[RELOAD_REASON_MAX] = "no memory";
    int status = config_load(daemon->options->config, daemon_resolve, daemon->options->loader, &config, &mistakes);

    if (status == WEIR_OK)
        status = reload_apply(daemon->all, config, &options, &mistakes, why, sizeof(why));
    else if (config) /* what lies between sections is looked for also when single ones have mistakes */
        (void)reload_check(daemon->all, config, &mistakes);
    for (size_t i = 0; i < mistakes.count; i++)
        strbuf_printf(report, "%s\n", mistakes.lines[i]);
    if (mistakes.more)
        strbuf_printf(report, "and %zu more\n", mistakes.more);
    if (status < 0 && !mistakes.count)
        strbuf_printf(report, "%s\n", why);
    mistakes_free(&mistakes);
    return status;
}

static void log_lines(const char *text)
{
    for (size_t length; text && *text; text += length + (text[length] == '\n')) {
        length = strcspn(text, "\n");
        log_line(NULL, WEIR_ERROR, "%.*s", (int)length, text);
    }
}

static int reload(struct daemon *daemon, struct strbuf *report)
{
    struct instances *all = daemon->all;
    int64_t began_ns = clock_now_ns();
    int status;

    notify_reloading();
    atomic_fetch_add(&all->reloads, 1);
    status = load(daemon, report);
    atomic_store(&all->reload_successful, status == WEIR_OK);
    if (status == WEIR_OK) {
        atomic_store(&all->reload_success_wall_ns, clock_wall_ns());
        log_line(NULL, WEIR_INFO_LEVEL, "reloaded %s in %.1f ms", daemon->options->config,
                 (double)(clock_now_ns() - began_ns) / 1e6);
    } else {
        atomic_fetch_add(&all->reload_failures, 1);
        log_lines(report->text);
        log_line(NULL, WEIR_ERROR, "could not reload %s; what ran before runs on", daemon->options->config);
    }
    notify_ready();
    return status;
}

/* Those that came while one was under way are answered by one. */
static void answer_requests(struct daemon *daemon)
{
    struct strbuf report = {.ceiling = REPORT_BYTES_MAX};
    struct request *requests;
    uint64_t drained;
    int status;

    (void)!read(daemon->wake, &drained, sizeof(drained));
    pthread_mutex_lock(&daemon->lock);
    requests = daemon->requests;
    daemon->requests = NULL;
    pthread_mutex_unlock(&daemon->lock);
    if (!requests)
        return;
    status = reload(daemon, &report);
    pthread_mutex_lock(&daemon->lock);
    for (struct request *request = requests, *next; request; request = next) {
        next = request->next;
        request->status = status;
        if (report.length)
            strbuf_add(&request->report, report.text, report.length);
        request->done = true;
    }
    pthread_cond_broadcast(&daemon->answered);
    pthread_mutex_unlock(&daemon->lock);
    strbuf_free(&report);
}

/* ---- Clients, on threads of their own ------------------------------------------------------------------------------- */

static int client_reload(struct daemon *daemon, struct weir_call *call)
{
    struct request request = {.report = {.ceiling = REPORT_BYTES_MAX}, .status = WEIR_EINTR};
    const uint64_t one = 1;
    int status;

    pthread_mutex_lock(&daemon->lock);
    if (!daemon->ending) {
        request.next = daemon->requests;
        daemon->requests = &request;
        (void)!write(daemon->wake, &one, sizeof(one));
    }
    while (!request.done && !daemon->ending)
        pthread_cond_wait(&daemon->answered, &daemon->lock);
    status = request.status;
    pthread_mutex_unlock(&daemon->lock);
    if (status == WEIR_OK)
        (void)call_print(call, CALL_OUT, "reloaded %s\n", daemon->options->config);
    else
        (void)call_print(call, CALL_ERR, "%sweir: could not reload %s; what ran before runs on\n",
                         request.report.length ? request.report.text : "", daemon->options->config);
    strbuf_free(&request.report);
    return status == WEIR_OK ? 0 : 1;
}

static int client(void *context, struct weir_call *call, int argc, const char *const *argv)
{
    struct daemon *daemon = context;

    if (strcmp(argv[0], "reload") == 0)
        return client_reload(daemon, call);
    if (strcmp(argv[0], "status") == 0)
        return status_print(daemon->all, call);
    return command_live(daemon->all, call, argc, argv);
}

static bool control_begin(struct daemon *daemon)
{
    const struct daemon_options *options = daemon->options;
    char why[400];

    daemon->control = control_open(options->socket, client, daemon, why, sizeof(why));
    if (daemon->control)
        return true;
    if (options->socket_wanted)
        log_line(NULL, WEIR_ERROR, "control socket: %s", why);
    else
        log_line(NULL, WEIR_WARNING, "control socket: %s; `weir reload`, `weir status` and live commands will not work", why);
    return !options->socket_wanted;
}

/* ---- The main loop ---------------------------------------------------------------------------------------------------- */

/* The watchdog is fed as long as the collector's own passes keep their schedule; a plugin that hangs delays only itself. */
static void feed_watchdog(void *context)
{
    struct daemon *daemon = context;
    const struct config_section *own = &daemon->all->generation->self_section;
    int64_t now_ns = clock_now_ns();
    const struct seat *seat = seats_find(&daemon->all->seats, own->name);
    const struct series_group *group = atomic_load_explicit(&seat->groups.first, memory_order_acquire);
    uint64_t passes = group ? atomic_load_explicit(&group->passes_ok, memory_order_relaxed) : 0;

    if (passes != daemon->own_passes) {
        daemon->own_passes = passes;
        daemon->own_moved_ns = now_ns;
    }
    if (now_ns - daemon->fed_ns < notify_watchdog_ns() / 2 || now_ns - daemon->own_moved_ns > 2 * own->interval_ns + own->timeout_ns)
        return;
    daemon->fed_ns = now_ns;
    notify_alive();
}

/* Until SIGTERM or SIGINT. */
static void loop(struct daemon *daemon)
{
    struct pollfd fds[] = {{.fd = daemon->signals, .events = POLLIN},
                           {.fd = daemon->wake, .events = POLLIN},
                           {.fd = daemon->control ? control_fd(daemon->control) : -1, .events = POLLIN}};

    daemon->own_moved_ns = clock_now_ns();
    daemon->all->waiting = notify_watchdog_ns() ? feed_watchdog : NULL;
    daemon->all->waiting_context = daemon;
    for (;;) {
        int64_t left_ns = instances_supervise(daemon->all) - clock_now_ns();
        const struct timespec left = {.tv_sec = left_ns > 0 ? left_ns / CLOCK_SECOND_NS : 0,
                                      .tv_nsec = left_ns > 0 ? left_ns % CLOCK_SECOND_NS : 1000000};
        struct signalfd_siginfo info;

        (void)instances_reap(daemon->all);
        if (notify_watchdog_ns())
            feed_watchdog(daemon);
        (void)ppoll(fds, sizeof(fds) / sizeof(fds[0]), &left, NULL);
        while (read(daemon->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            struct strbuf report = {.ceiling = REPORT_BYTES_MAX};

            if (info.ssi_signo != SIGHUP) {
                daemon->all->waiting = NULL;
                log_line(NULL, WEIR_INFO_LEVEL, "stopping on %s", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
                return;
            }
            (void)reload(daemon, &report);
            strbuf_free(&report);
        }
        if (fds[1].revents)
            answer_requests(daemon);
        if (fds[2].revents)
            control_accept(daemon->control);
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

static bool start(struct daemon *daemon)
{
    struct strbuf report = {.ceiling = REPORT_BYTES_MAX};
    int status;

    /* Told by the first pass already; without success there is none. */
    atomic_store(&daemon->all->reload_successful, true);
    atomic_store(&daemon->all->reload_success_wall_ns, clock_wall_ns());
    status = load(daemon, &report);
    if (status == WEIR_ECONFIG && report.text)
        fputs(report.text, stderr);
    else if (status < 0)
        log_lines(report.text);
    strbuf_free(&report);
    return status == WEIR_OK;
}

/* No client is waited for: what they do is interrupted when they are cut off. */
static bool clients_end(struct daemon *daemon, int64_t deadline_ns)
{
    pthread_mutex_lock(&daemon->lock);
    daemon->ending = true;
    pthread_cond_broadcast(&daemon->answered);
    pthread_mutex_unlock(&daemon->lock);
    return !daemon->control || control_close(daemon->control, deadline_ns);
}

int daemon_run(const struct daemon_options *options)
{
    struct daemon daemon = {.options = options, .all = instances_new(), .lock = PTHREAD_MUTEX_INITIALIZER,
                            .answered = PTHREAD_COND_INITIALIZER};
    bool clean = true, started = false;
    int64_t deadline_ns;
    sigset_t signals;

    if (!daemon.all)
        return 1;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    /* Blocked before any thread exists, so that all inherit it and the descriptor gets them. */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write */
    daemon.signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    daemon.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    notify_open();
    limits_raise();
    if (fatal_install() < 0)
        log_line(NULL, WEIR_WARNING, "could not install the handler of fatal signals: %s", strerror(errno));
    started = daemon.signals >= 0 && daemon.wake >= 0 && start(&daemon) && control_begin(&daemon);
    if (started) {
        log_line(NULL, WEIR_INFO_LEVEL, "weir " WEIR_VERSION " runs %zu instances", daemon.all->count - 1);
        notify_ready();
        loop(&daemon);
        notify_stopping();
    }
    deadline_ns = clock_now_ns() + STOP_NS;
    clean = clients_end(&daemon, clock_now_ns() + CONTROL_NS);
    clean &= instances_stop(daemon.all, deadline_ns);
    if (!clean)
        _exit(started ? 0 : 1); /* a thread still runs in its plugin: nothing may be freed under it */
    instances_free(daemon.all);
    close(daemon.signals);
    close(daemon.wake);
    return started ? 0 : 1;
}
