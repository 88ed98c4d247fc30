/* fuzz_system.c - any bytes as any of the kernel's files: nothing is read beyond their end, and texts lie within them.
 *
 * Every parser gets every line, from a copy that ends where the input does.
 */
#include "parse.h"

#include <stdlib.h>
#include <string.h>

static struct text all;

static void within(struct text text)
{
    if (text.at < all.at || text.at > text.end || text.end > all.end)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size + 1), *to = malloc(size + 1), *tight = memcpy(malloc(size ? size : 1), data, size);
    struct text rest = {tight, tight + size}, line, name, value;
    size_t lines = 0;
    double load[3];

    all = rest;
    (void)parse_load(rest, load);
    while (text_line(&rest, &line)) {
        struct cpu_line cpu;
        struct memory_line memory;
        struct disk_line disk;
        struct netdev_line netdev;
        struct mount_line mount;
        enum stat_figure figure;
        uint64_t number;
        bool full;

        within(line);
        if (line.at == line.end || ++lines > size)
            abort();
        if (parse_cpu(line, &cpu) == LINE_GOOD)
            within(cpu.number);
        if (parse_stat(line, &figure, &number) == LINE_GOOD && figure >= STAT_FIGURES)
            abort();
        if (parse_memory(line, &memory) == LINE_GOOD)
            within(memory.name);
        if (parse_vmstat(line, &name, &number) == LINE_GOOD)
            within(name);
        if (parse_disk(line, &disk) == LINE_GOOD) {
            within(disk.key);
            within(disk.name);
            if (disk.count < 11 || disk.count > DISK_FIGURES)
                abort();
        }
        if (parse_udev(line, &name, &value) == LINE_GOOD) {
            within(name);
            within(value);
            text_copy(value, bytes, size < 16 ? size + 1 : 16);
        }
        if (parse_netdev(line, &netdev) == LINE_GOOD)
            within(netdev.name);
        if (parse_mount(line, &mount) == LINE_GOOD) {
            within(mount.key);
            within(mount.device);
            within(mount.type);
            parse_unescape(mount.point, to);
        }
        (void)parse_pressure(line, &full, &number);
    }
    if (rest.at != all.end)
        abort();
    free(bytes);
    free(to);
    free(tight);
    return 0;
}
