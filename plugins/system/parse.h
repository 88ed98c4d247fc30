/* parse.h - what the lines of the kernel's files say.
 *
 * A text is a pair of pointers into a buffer that need not end in NUL; nothing is copied and nothing is read beyond its
 * end.  Numbers are read by hand: digits and nothing else, at most 64 bits.  A line that is not as expected is LINE_BAD,
 * one that says what nobody asked for is LINE_OTHER; neither stops the lines behind it.
 * No I/O, no memory, no state: any thread, and a fuzzer (tests/fuzz/fuzz_system.c).
 */
#ifndef SYSTEM_PARSE_H
#define SYSTEM_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    const char *at, *end;
};
enum line { LINE_GOOD, LINE_OTHER, LINE_BAD };

/* Takes the next line off a text, without its newline; false at the end.  Empty lines are left out. */
bool text_line(struct text *rest, struct text *line);
/* Takes the next word off a line; false if there is none.  Words are parted by blanks. */
bool text_word(struct text *line, struct text *word);
bool text_is(struct text text, const char *word);
bool text_begins(struct text text, const char *word);
static inline size_t text_length(struct text text)
{
    return (size_t)(text.end - text.at);
}
/* All of a text as a number; false if it is none, or has more than 64 bits. */
bool text_u64(struct text text, uint64_t *value);
bool text_decimal(struct text text, double *value); /* digits, perhaps a point and digits */
/* Copies a text with a NUL behind it, as much as fits. */
void text_copy(struct text text, char *to, size_t size);

/* /proc/stat.  Old kernels have fewer modes: those are 0. */
enum cpu_mode {
    CPU_USER, CPU_NICE, CPU_SYSTEM, CPU_IDLE, CPU_IOWAIT, CPU_IRQ, CPU_SOFTIRQ, CPU_STEAL, CPU_GUEST, CPU_GUEST_NICE, CPU_MODES
};
struct cpu_line {
    struct text number; /* "0" */
    uint64_t ticks[CPU_MODES];
};
enum line parse_cpu(struct text line, struct cpu_line *cpu);
enum stat_figure { STAT_BOOT_TIME, STAT_CONTEXT_SWITCHES, STAT_INTERRUPTS, STAT_FORKS, STAT_RUNNING, STAT_BLOCKED, STAT_FIGURES };
enum line parse_stat(struct text line, enum stat_figure *figure, uint64_t *value);

/* /proc/meminfo: the value is in bytes if the line has a unit. */
struct memory_line {
    struct text name; /* "Active(anon)" */
    uint64_t value;
    bool bytes;
};
enum line parse_memory(struct text line, struct memory_line *memory);
/* /proc/vmstat */
enum line parse_vmstat(struct text line, struct text *name, uint64_t *value);

/* /proc/diskstats: 11 figures, 15 since Linux 4.18, 17 since 5.5. */
#define DISK_FIGURES 17u
struct disk_line {
    struct text key; /* from major to name, which is new if another disk takes the name */
    struct text major, minor, name;
    uint64_t figures[DISK_FIGURES];
    unsigned count;
};
enum line parse_disk(struct text line, struct disk_line *disk);
/* One line of udev's file about a device, "E:NAME=VALUE". */
enum line parse_udev(struct text line, struct text *name, struct text *value);

/* /proc/net/dev */
#define NETDEV_COLUMNS 16u
struct netdev_line {
    struct text name;
    uint64_t figures[NETDEV_COLUMNS];
};
enum line parse_netdev(struct text line, struct netdev_line *netdev);

/* /proc/PID/mounts; names are as the kernel writes them, with blanks as \040 and the like. */
struct mount_line {
    struct text key; /* device, mount point and type */
    struct text device, point, type;
    bool readonly;
};
enum line parse_mount(struct text line, struct mount_line *mount);
/* The bytes of a name, with a NUL behind them; `to` has room for the text's length and one. */
void parse_unescape(struct text name, char *to);

/* /proc/loadavg */
bool parse_load(struct text text, double load[3]);
/* /proc/pressure/NAME: the microseconds that some or all tasks have waited. */
enum line parse_pressure(struct text line, bool *full, uint64_t *total_us);

#endif
