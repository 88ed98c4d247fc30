/* cpu.c - CPU time by mode, and the other figures of /proc/stat, of /proc/loadavg and of /proc/pressure.
 *
 * The kernel may take back some idle or waiting time that it has shown before; a counter must not fall for that, so the
 * highest is kept, as node_exporter does.  Idle time that falls by seconds is a CPU that was off and has begun anew.
 * Threads: one.
 */
#include "system.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BEGUN_ANEW_SECONDS 3
#define SAME_MOMENT_NS INT64_C(10000000)

/* /proc/stat, the dearest of all on large machines: both parts that are due together share one reading. */
static int stat_read(struct part *part, struct text *text)
{
    struct system *system = part->system;
    const int64_t now_ns = host->now_ns();

    if (!system->stat_read_ns || now_ns - system->stat_read_ns > SAME_MOMENT_NS) {
        int error = file_read(&system->stat_file, &system->stat_buffer, &system->stat);

        system->stat_read_ns = error ? 0 : now_ns;
        if (error)
            return host->fail(system->self, WEIR_EFAIL, "could not read \"%s\": %s", system->stat_file.path, strerror(error));
    }
    *text = system->stat;
    return WEIR_OK;
}

static int stat_name(struct system *system)
{
    if (system->stat_file.path)
        return WEIR_OK; /* by the other part */
    if (!file_init(&system->stat_file, system->config->proc, "stat"))
        return WEIR_ENOMEM;
    system->stat_file.whole = true;
    return WEIR_OK;
}

/* ---- cpu ------------------------------------------------------------------------------------------------------------------ */

enum { CPU_FAMILY, CPU_GUEST_FAMILY };

static int cpu_create(struct part *part)
{
    static const struct figure figures[] = {
        [CPU_FAMILY] = {"node_cpu_seconds_total", "seconds", "Seconds the CPUs spent in each mode.", WEIR_COUNTER},
        [CPU_GUEST_FAMILY] = {"node_cpu_guest_seconds_total", "seconds", "Seconds the CPUs spent in guests (VMs) for each mode.",
                              WEIR_COUNTER}};
    int status = stat_name(part->system);

    items_init(&part->items, CPU_MODES, PART_ITEMS_MAX);
    return status == WEIR_OK ? part_families(part, figures, COUNT_OF(figures)) : status;
}

static int cpu_make(struct part *part, struct item *item, const void *line)
{
    static const char *const modes[CPU_MODES] = {
        [CPU_USER] = "user", [CPU_NICE] = "nice", [CPU_SYSTEM] = "system", [CPU_IDLE] = "idle", [CPU_IOWAIT] = "iowait",
        [CPU_IRQ] = "irq", [CPU_SOFTIRQ] = "softirq", [CPU_STEAL] = "steal", [CPU_GUEST] = "user", [CPU_GUEST_NICE] = "nice"};
    struct weir_label labels[] = {{"cpu", item->key}, {"mode", NULL}};
    int status = WEIR_OK;

    (void)line;
    item->own = calloc(CPU_MODES, sizeof(uint64_t)); /* the ticks that were published */
    if (!item->own)
        return WEIR_ENOMEM;
    for (unsigned mode = 0; mode < CPU_MODES && status == WEIR_OK; mode++) {
        labels[1].value = modes[mode];
        status = part_item_series(part, labels, COUNT_OF(labels),
                                  &part->families[mode < CPU_GUEST ? CPU_FAMILY : CPU_GUEST_FAMILY], 1, &item->handles[mode]);
    }
    return status;
}

static void cpu_forget(struct part *part, struct item *item)
{
    (void)part;
    free(item->own);
}

static int cpu_collect(struct part *part, const struct weir_pass *pass)
{
    const uint64_t hertz = (uint64_t)sysconf(_SC_CLK_TCK);
    struct text rest, line;
    int status = stat_read(part, &rest);

    while (status == WEIR_OK && text_line(&rest, &line)) {
        struct weir_value values[CPU_MODES];
        struct cpu_line cpu;
        struct item *item;
        uint64_t *shown;
        enum line is = parse_cpu(line, &cpu);

        part->skipped += is == LINE_BAD;
        if (is != LINE_GOOD)
            continue;
        status = part_item(part, pass, cpu.number, cpu_make, NULL, &item);
        if (!item)
            continue;
        shown = item->own;
        if (cpu.ticks[CPU_IDLE] + BEGUN_ANEW_SECONDS * hertz <= shown[CPU_IDLE])
            memset(shown, 0, CPU_MODES * sizeof(*shown));
        for (unsigned mode = 0; mode < CPU_MODES; mode++) {
            if (cpu.ticks[mode] > shown[mode])
                shown[mode] = cpu.ticks[mode];
            values[mode] = value_f64(item->handles[mode], (double)shown[mode] / (double)hertz);
        }
        status = part_publish(part, values, CPU_MODES);
    }
    if (status == WEIR_OK)
        part_items_end(part, pass);
    return status;
}

const struct part_kind cpu_kind = {.name = "cpu", .create = cpu_create, .collect = cpu_collect, .forget = cpu_forget};

/* ---- stat ----------------------------------------------------------------------------------------------------------------- */

static int stat_create(struct part *part)
{
    static const struct figure figures[STAT_FIGURES] = {
        [STAT_BOOT_TIME] = {"node_boot_time_seconds", "seconds", "Node boot time, in unixtime.", WEIR_GAUGE},
        [STAT_CONTEXT_SWITCHES] = {"node_context_switches_total", NULL, "Total number of context switches.", WEIR_COUNTER},
        [STAT_INTERRUPTS] = {"node_intr_total", NULL, "Total number of interrupts serviced.", WEIR_COUNTER},
        [STAT_FORKS] = {"node_forks_total", NULL, "Total number of forks.", WEIR_COUNTER},
        [STAT_RUNNING] = {"node_procs_running", NULL, "Number of processes in runnable state.", WEIR_GAUGE},
        [STAT_BLOCKED] = {"node_procs_blocked", NULL, "Number of processes blocked waiting for I/O to complete.", WEIR_GAUGE}};
    int status = stat_name(part->system);

    return status == WEIR_OK ? part_series(part, figures, COUNT_OF(figures)) : status;
}

static int stat_collect(struct part *part, const struct weir_pass *pass)
{
    struct text rest, line;
    int status = stat_read(part, &rest);

    (void)pass;
    while (status == WEIR_OK && text_line(&rest, &line)) {
        enum stat_figure figure;
        struct weir_value value;
        uint64_t number;
        enum line is = parse_stat(line, &figure, &number);

        part->skipped += is == LINE_BAD;
        if (is != LINE_GOOD)
            continue;
        value = value_u64(part->handles[figure], number);
        status = part_publish(part, &value, 1);
    }
    return status;
}

const struct part_kind stat_kind = {.name = "stat", .create = stat_create, .collect = stat_collect};

/* ---- loadavg -------------------------------------------------------------------------------------------------------------- */

static int loadavg_create(struct part *part)
{
    static const struct figure figures[] = {{"node_load1", NULL, "1m load average.", WEIR_GAUGE},
                                            {"node_load5", NULL, "5m load average.", WEIR_GAUGE},
                                            {"node_load15", NULL, "15m load average.", WEIR_GAUGE}};
    int status = part_file_whole(part, 0, part->system->config->proc, "loadavg");

    return status == WEIR_OK ? part_series(part, figures, COUNT_OF(figures)) : status;
}

static int loadavg_collect(struct part *part, const struct weir_pass *pass)
{
    struct weir_value values[3];
    struct text text;
    double load[3];
    int status = part_read(part, 0, &text);

    (void)pass;
    if (status != WEIR_OK)
        return status;
    if (!parse_load(text, load)) {
        part->skipped++;
        return WEIR_OK;
    }
    for (unsigned i = 0; i < COUNT_OF(values); i++)
        values[i] = value_f64(part->handles[i], load[i]);
    return part_publish(part, values, COUNT_OF(values));
}

const struct part_kind loadavg_kind = {.name = "loadavg", .create = loadavg_create, .collect = loadavg_collect};

/* ---- pressure ------------------------------------------------------------------------------------------------------------- */

static int pressure_create(struct part *part)
{
    static const char *const files[] = {"pressure/cpu", "pressure/io", "pressure/memory"};
    /* Twice the file, and one more if all tasks were stalled; of the CPU they never are. */
    static const struct figure figures[] = {
        {"node_pressure_cpu_waiting_seconds_total", "seconds", "Total time in seconds that processes have waited for CPU time",
         WEIR_COUNTER},
        {NULL, NULL, NULL, 0},
        {"node_pressure_io_waiting_seconds_total", "seconds",
         "Total time in seconds that processes have waited due to IO congestion", WEIR_COUNTER},
        {"node_pressure_io_stalled_seconds_total", "seconds",
         "Total time in seconds no process could make progress due to IO congestion", WEIR_COUNTER},
        {"node_pressure_memory_waiting_seconds_total", "seconds", "Total time in seconds that processes have waited for memory",
         WEIR_COUNTER},
        {"node_pressure_memory_stalled_seconds_total", "seconds",
         "Total time in seconds no process could make progress due to memory congestion", WEIR_COUNTER}};
    int status = WEIR_OK;

    for (unsigned i = 0; i < COUNT_OF(files) && status == WEIR_OK; i++)
        status = part_file_whole(part, i, part->system->config->proc, files[i]);
    for (unsigned i = 0; i < COUNT_OF(figures) && status == WEIR_OK; i++) {
        const struct weir_family family = {.size = sizeof(family), .kind = figures[i].kind, .name = figures[i].name,
                                           .unit = figures[i].unit, .help = figures[i].help};

        if (!figures[i].name)
            continue; /* its handle stays WEIR_NO_SERIES, which is not published */
        status = host->family(part->system->self, &family, &part->families[i]);
        if (status == WEIR_OK)
            status = part_item_series(part, NULL, 0, &part->families[i], 1, &part->handles[i]);
    }
    return status;
}

static int pressure_collect(struct part *part, const struct weir_pass *pass)
{
    int status = WEIR_OK;

    (void)pass;
    for (unsigned file = 0; file < PART_FILES_MAX && status == WEIR_OK; file++) {
        struct text rest, line;

        status = part_read(part, file, &rest);
        while (status == WEIR_OK && text_line(&rest, &line)) {
            struct weir_value value;
            uint64_t total_us;
            bool full;
            enum line is = parse_pressure(line, &full, &total_us);

            part->skipped += is == LINE_BAD;
            if (is != LINE_GOOD)
                continue;
            value = value_f64(part->handles[file * 2 + full], (double)total_us / 1e6);
            status = part_publish(part, &value, 1);
        }
    }
    return status;
}

const struct part_kind pressure_kind = {.name = "pressure", .create = pressure_create, .collect = pressure_collect};
