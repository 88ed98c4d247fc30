/* check_system.c - the parts of the plugin system that need no host: parsers, items, files, and asking mounts that hang. */
#include "assertions.h"
#include "file.h"
#include "items.h"
#include "parse.h"
#include "probe.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct text text_of(const char *string)
{
    return (struct text){string, string + strlen(string)};
}

/* A copy without a NUL behind it, so that a sanitizer sees what reads beyond. */
static struct text tight(const char *string, char **to_free)
{
    size_t length = strlen(string);

    *to_free = malloc(length ? length : 1);
    memcpy(*to_free, string, length);
    return (struct text){*to_free, *to_free + length};
}

static void assert_text(struct text text, const char *expected)
{
    ck_assert_msg(text_is(text, expected), "\"%.*s\" is not \"%s\"", (int)text_length(text), text.at, expected);
}

START_TEST(lines_and_words)
{
    char *bytes;
    struct text rest = tight("one two\n\n\tthree\n  \nlast", &bytes), line, word;

    ck_assert(text_line(&rest, &line));
    ck_assert(text_word(&line, &word));
    assert_text(word, "one");
    ck_assert(text_word(&line, &word));
    assert_text(word, "two");
    ck_assert(!text_word(&line, &word));
    ck_assert(text_line(&rest, &line));
    ck_assert(text_word(&line, &word));
    assert_text(word, "three");
    ck_assert(text_line(&rest, &line));
    ck_assert(!text_word(&line, &word));
    ck_assert(text_line(&rest, &line));
    assert_text(line, "last");
    ck_assert(!text_line(&rest, &line));
    free(bytes);
    rest = tight("", &bytes);
    ck_assert(!text_line(&rest, &line));
    free(bytes);
}
END_TEST

START_TEST(numbers_of_64_bits)
{
    static const char *const wrong[] = {"", "-1", "+1", "1.0", "0x10", "1e3", "18446744073709551616", "99999999999999999999999",
                                        "12a", " 1"};
    uint64_t value;
    double decimal;

    ck_assert(text_u64(text_of("0"), &value) && value == 0);
    ck_assert(text_u64(text_of("18446744073709551615"), &value) && value == UINT64_MAX);
    ck_assert(text_u64(text_of("0000000000000000000000000000000042"), &value) && value == 42);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(!text_u64(text_of(wrong[i]), &value), "\"%s\"", wrong[i]);
    ck_assert(text_decimal(text_of("0.20"), &decimal) && decimal == 0.20);
    ck_assert(text_decimal(text_of("1234.56"), &decimal) && decimal == 1234.56);
    ck_assert(text_decimal(text_of("7"), &decimal) && decimal == 7);
    ck_assert(!text_decimal(text_of("-0.20"), &decimal));
    ck_assert(!text_decimal(text_of("1."), &decimal));
    ck_assert(!text_decimal(text_of(".5"), &decimal));
    ck_assert(!text_decimal(text_of("nan"), &decimal));
}
END_TEST

START_TEST(stat_of_several_kernels)
{
    /* Linux 6.1; 2.6.18, without guests; and what is wrong. */
    static const char now[] = "cpu  30 0 30 30 0 0 0 0 0 0\n"
                              "cpu0 10132153 290696 3084719 46828483 16683 0 25195 7 175628 1\n"
                              "cpu127 1 2 3 4 5 6 7 8 9 10 11\n"
                              "intr 8885917 17 2 3\nctxt 38014093\nbtime 1418183276\nprocesses 26442\nprocs_running 2\n"
                              "procs_blocked 1\nsoftirq 5057579 250191 1481983\n";
    static const char old[] = "cpu0 1 2 3 4 5 6 7 8\npage 1 2\nswap 0 0\nintr 5 1\n";
    static const char *const wrong[] = {"cpu0", "cpu0 1 2 3", "cpu0 1 2 3 -4", "cpux 1 2 3 4", "cpu0 18446744073709551616 0 0 0 0", "cpu-1 1 2 3 4"};
    struct text rest = text_of(now), line;
    struct cpu_line cpu;
    enum stat_figure figure;
    uint64_t value, figures[STAT_FIGURES] = {0};
    unsigned cpus = 0;

    while (text_line(&rest, &line)) {
        if (parse_cpu(line, &cpu) == LINE_GOOD)
            cpus++;
        if (cpus == 1 && text_is(cpu.number, "0")) {
            ck_assert_uint_eq(cpu.ticks[CPU_USER], 10132153);
            ck_assert_uint_eq(cpu.ticks[CPU_IDLE], 46828483);
            ck_assert_uint_eq(cpu.ticks[CPU_STEAL], 7);
            ck_assert_uint_eq(cpu.ticks[CPU_GUEST], 175628);
            ck_assert_uint_eq(cpu.ticks[CPU_GUEST_NICE], 1);
        }
        if (parse_stat(line, &figure, &value) == LINE_GOOD)
            figures[figure] = value;
    }
    ck_assert_uint_eq(cpus, 2);
    assert_text(cpu.number, "127");
    ck_assert_uint_eq(figures[STAT_INTERRUPTS], 8885917);
    ck_assert_uint_eq(figures[STAT_CONTEXT_SWITCHES], 38014093);
    ck_assert_uint_eq(figures[STAT_BOOT_TIME], 1418183276);
    ck_assert_uint_eq(figures[STAT_FORKS], 26442);
    ck_assert_uint_eq(figures[STAT_RUNNING], 2);
    ck_assert_uint_eq(figures[STAT_BLOCKED], 1);
    rest = text_of(old);
    ck_assert(text_line(&rest, &line));
    ck_assert_int_eq(parse_cpu(line, &cpu), LINE_GOOD);
    ck_assert_uint_eq(cpu.ticks[CPU_STEAL], 8);
    ck_assert_uint_eq(cpu.ticks[CPU_GUEST], 0);
    ck_assert(text_line(&rest, &line));
    ck_assert_int_eq(parse_stat(line, &figure, &value), LINE_OTHER);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        ck_assert_msg(parse_cpu(text_of(wrong[i]), &cpu) == LINE_BAD, "\"%s\"", wrong[i]);
    ck_assert_int_eq(parse_stat(text_of("ctxt"), &figure, &value), LINE_BAD);
    ck_assert_int_eq(parse_stat(text_of("ctxt -1"), &figure, &value), LINE_BAD);
}
END_TEST

START_TEST(memory)
{
    struct memory_line memory;
    struct text name;
    uint64_t value;

    ck_assert_int_eq(parse_memory(text_of("MemTotal:       24684084 kB"), &memory), LINE_GOOD);
    assert_text(memory.name, "MemTotal");
    ck_assert(memory.bytes && memory.value == UINT64_C(24684084) * 1024);
    ck_assert_int_eq(parse_memory(text_of("Active(anon):1 kB"), &memory), LINE_GOOD);
    assert_text(memory.name, "Active(anon)");
    ck_assert_int_eq(parse_memory(text_of("HugePages_Total:       3"), &memory), LINE_GOOD);
    ck_assert(!memory.bytes && memory.value == 3);
    ck_assert_int_eq(parse_memory(text_of("VmallocTotal:   18014398509481983 kB"), &memory), LINE_GOOD);
    ck_assert_int_eq(parse_memory(text_of("VmallocTotal:   18014398509481984 kB"), &memory), LINE_BAD); /* 2^64 bytes */
    ck_assert_int_eq(parse_memory(text_of("MemFree: -1 kB"), &memory), LINE_BAD);
    ck_assert_int_eq(parse_memory(text_of("MemFree: 1 MB"), &memory), LINE_BAD);
    ck_assert_int_eq(parse_memory(text_of("MemFree: 1 kB x"), &memory), LINE_BAD);
    ck_assert_int_eq(parse_memory(text_of("        total:    used:    free:"), &memory), LINE_BAD); /* Linux 2.4 */
    ck_assert_int_eq(parse_memory(text_of("MemFree 1 kB"), &memory), LINE_BAD);
    ck_assert_int_eq(parse_memory(text_of(":1 kB"), &memory), LINE_BAD);
    ck_assert_int_eq(parse_vmstat(text_of("pgfault 15303628"), &name, &value), LINE_GOOD);
    assert_text(name, "pgfault");
    ck_assert_uint_eq(value, 15303628);
    ck_assert_int_eq(parse_vmstat(text_of("pgfault"), &name, &value), LINE_BAD);
    ck_assert_int_eq(parse_vmstat(text_of("nr_mapped -5"), &name, &value), LINE_BAD);
}
END_TEST

START_TEST(disks_of_several_kernels)
{
    struct disk_line disk;
    struct text name, value;

    ck_assert_int_eq(parse_disk(text_of(" 254       0 vda 57099 7046 3388970 27995 8804 13021 1901224 4080 0 8788 32607 5933 24 345008 501 899 30"), &disk), LINE_GOOD);
    ck_assert_uint_eq(disk.count, 17);
    assert_text(disk.key, "254       0 vda");
    assert_text(disk.major, "254");
    assert_text(disk.minor, "0");
    assert_text(disk.name, "vda");
    ck_assert_uint_eq(disk.figures[0], 57099);
    ck_assert_uint_eq(disk.figures[16], 30);
    ck_assert_int_eq(parse_disk(text_of("8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"), &disk), LINE_GOOD); /* 4.18 */
    ck_assert_uint_eq(disk.count, 15);
    ck_assert_int_eq(parse_disk(text_of("8 0 sda 1 2 3 4 5 6 7 8 9 10 11"), &disk), LINE_GOOD); /* before */
    ck_assert_uint_eq(disk.count, 11);
    ck_assert_int_eq(parse_disk(text_of("8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"), &disk), LINE_GOOD); /* to come */
    ck_assert_uint_eq(disk.count, 17);
    ck_assert_int_eq(parse_disk(text_of("8 1 sda1 1 2 3 4"), &disk), LINE_OTHER);
    ck_assert_int_eq(parse_disk(text_of("8 1 sda1 1 2 3"), &disk), LINE_BAD);
    ck_assert_int_eq(parse_disk(text_of("8 1"), &disk), LINE_BAD);
    ck_assert_int_eq(parse_disk(text_of("a b sda 1 2 3 4 5 6 7 8 9 10 11"), &disk), LINE_BAD);
    ck_assert_int_eq(parse_disk(text_of("8 0 sda 1 2 3 4 5 6 7 8 -9 10 11"), &disk), LINE_BAD);
    ck_assert_int_eq(parse_udev(text_of("E:ID_MODEL=A=B C"), &name, &value), LINE_GOOD);
    assert_text(name, "ID_MODEL");
    assert_text(value, "A=B C");
    ck_assert_int_eq(parse_udev(text_of("S:disk/by-id/x=y"), &name, &value), LINE_OTHER);
    ck_assert_int_eq(parse_udev(text_of("E:ID_MODEL"), &name, &value), LINE_BAD);
}
END_TEST

START_TEST(interfaces)
{
    struct netdev_line netdev;

    ck_assert_int_eq(parse_netdev(text_of("  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), &netdev), LINE_GOOD);
    assert_text(netdev.name, "eth0");
    ck_assert_uint_eq(netdev.figures[0], 1);
    ck_assert_uint_eq(netdev.figures[15], 16);
    ck_assert_int_eq(parse_netdev(text_of("eth0:18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), &netdev), LINE_GOOD);
    ck_assert_uint_eq(netdev.figures[0], UINT64_MAX);
    ck_assert_int_eq(parse_netdev(text_of("eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), &netdev), LINE_GOOD);
    assert_text(netdev.name, "eth0:1");
    ck_assert_int_eq(parse_netdev(text_of("Inter-|   Receive                    |  Transmit"), &netdev), LINE_OTHER);
    ck_assert_int_eq(parse_netdev(text_of("eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"), &netdev), LINE_BAD);
    ck_assert_int_eq(parse_netdev(text_of("eth0: 18446744073709551616 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), &netdev), LINE_BAD);
    ck_assert_int_eq(parse_netdev(text_of(": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), &netdev), LINE_BAD);
    ck_assert_int_eq(parse_netdev(text_of("a b: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), &netdev), LINE_BAD);
    ck_assert_int_eq(parse_netdev(text_of("nothing"), &netdev), LINE_BAD);
}
END_TEST

START_TEST(mounts_and_their_escapes)
{
    static const char *const names[][2] = {{"/a\\040b", "/a b"}, {"/tab\\011x", "/tab\tx"}, {"/line\\012x", "/line\nx"},
                                           {"/back\\134040", "/back\\040"}, {"/\\377", "/\377"}, {"/end\\", "/end\\"},
                                           {"/\\04", "/\\04"}, {"/\\400", "/\\400"}, {"/\\08x", "/\\08x"}, {"", ""}};
    struct mount_line mount;
    char to[64];

    ck_assert_int_eq(parse_mount(text_of("we\\040ird /a\\040b tmpfs rw,relatime 0 0"), &mount), LINE_GOOD);
    assert_text(mount.device, "we\\040ird");
    assert_text(mount.point, "/a\\040b");
    assert_text(mount.type, "tmpfs");
    assert_text(mount.key, "we\\040ird /a\\040b tmpfs");
    ck_assert(!mount.readonly);
    ck_assert_int_eq(parse_mount(text_of("/dev/sda / ext4 ro"), &mount), LINE_GOOD);
    ck_assert(mount.readonly);
    ck_assert_int_eq(parse_mount(text_of("/dev/sda / ext4 rw,errors=ro,nosuid,ro 0 0"), &mount), LINE_GOOD);
    ck_assert(mount.readonly);
    ck_assert_int_eq(parse_mount(text_of("/dev/sda / ext4 rw,root,,errors=remount-ro 0 0"), &mount), LINE_GOOD);
    ck_assert(!mount.readonly);
    ck_assert_int_eq(parse_mount(text_of("/dev/sda / ext4"), &mount), LINE_BAD);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        parse_unescape(text_of(names[i][0]), to);
        ck_assert_str_eq(to, names[i][1]);
    }
}
END_TEST

START_TEST(load_and_pressure)
{
    double load[3];
    uint64_t total;
    bool full;

    ck_assert(parse_load(text_of("0.20 1.18 12.05 1/80 11206\n"), load));
    ck_assert(load[0] == 0.20 && load[1] == 1.18 && load[2] == 12.05);
    ck_assert(!parse_load(text_of(""), load));
    ck_assert(!parse_load(text_of("0.20 x 1"), load));
    ck_assert(!parse_load(text_of("0.20 1.18"), load));
    ck_assert_int_eq(parse_pressure(text_of("some avg10=0.00 avg60=1.00 avg300=0.00 total=33857529"), &full, &total), LINE_GOOD);
    ck_assert(!full && total == 33857529);
    ck_assert_int_eq(parse_pressure(text_of("full avg10=0.00 total=7"), &full, &total), LINE_GOOD);
    ck_assert(full && total == 7);
    ck_assert_int_eq(parse_pressure(text_of("most total=7"), &full, &total), LINE_OTHER);
    ck_assert_int_eq(parse_pressure(text_of("some avg10=0.00"), &full, &total), LINE_BAD);
    ck_assert_int_eq(parse_pressure(text_of("some total=-7"), &full, &total), LINE_BAD);
}
END_TEST

START_TEST(a_line_without_end)
{
    size_t length = 1 << 20;
    char *bytes = malloc(length);
    struct text rest = {bytes, bytes + length}, line;
    struct cpu_line cpu;
    struct memory_line memory;
    struct disk_line disk;
    struct netdev_line netdev;
    struct mount_line mount;

    memset(bytes, '7', length);
    ck_assert(text_line(&rest, &line));
    ck_assert_uint_eq(text_length(line), length);
    ck_assert_int_eq(parse_cpu(line, &cpu), LINE_OTHER);
    ck_assert_int_eq(parse_memory(line, &memory), LINE_BAD);
    ck_assert_int_eq(parse_disk(line, &disk), LINE_BAD);
    ck_assert_int_eq(parse_netdev(line, &netdev), LINE_BAD);
    ck_assert_int_eq(parse_mount(line, &mount), LINE_BAD);
    free(bytes);
}
END_TEST

/* ---- Items ---------------------------------------------------------------------------------------------------------------- */

static void count_forgotten(void *context, struct item *item)
{
    (void)item;
    ++*(unsigned *)context;
}

static unsigned pass_of_interfaces(struct items *items, uint64_t pass, unsigned first, unsigned count, unsigned *forgotten)
{
    unsigned made = 0;

    for (unsigned i = first; i < first + count; i++) {
        char key[32];
        size_t length = (size_t)snprintf(key, sizeof(key), "veth%u", (i * 7919) % (first + count));
        struct item *item = items_find(items, key, length);

        if (item) {
            ck_assert_str_eq(item->key, key);
            item->seen = pass;
        } else if ((item = items_add(items, key, length, pass))) {
            made++;
            ck_assert_uint_eq(item->handles[1], 0);
        }
    }
    items_end(items, pass, count_forgotten, forgotten);
    return made;
}

START_TEST(five_thousand_interfaces_come_and_go)
{
    struct items items;
    unsigned forgotten = 0;

    items_init(&items, 2, 5000);
    ck_assert_uint_eq(pass_of_interfaces(&items, 1, 0, 4001, &forgotten), 4001);
    ck_assert_uint_eq(pass_of_interfaces(&items, 2, 0, 4001, &forgotten), 0);
    ck_assert_uint_eq(forgotten, 0);
    ck_assert_uint_eq(pass_of_interfaces(&items, 3, 0, 6007, &forgotten), 999); /* the ceiling */
    ck_assert_uint_eq(items.count, 5000);
    ck_assert_uint_eq(forgotten, 0);
    ck_assert_uint_eq(pass_of_interfaces(&items, 4, 0, 10, &forgotten), 0);
    ck_assert_uint_eq(items.count, 10);
    ck_assert_uint_eq(forgotten, 4990);
    ck_assert_str_eq(items.list[0]->key, "veth0");
    ck_assert_ptr_null(items_expected(&items, "veth0", 5)); /* the line ends */
    ck_assert_ptr_null(items_expected(&items, "veth00 17", 9));
    ck_assert_ptr_null(items_expected(&items, "veth1 17", 8));
    ck_assert_ptr_eq(items_expected(&items, "veth0 17", 8), items.list[0]);
    ck_assert_uint_eq(items.next, 1);
    ck_assert_ptr_nonnull(items_add(&items, "new", 3, 5));
    items_drop(&items);
    ck_assert_ptr_null(items_find(&items, "new", 3));
    ck_assert_ptr_null(items_find(&items, "veth", 4));
    items_free(&items, count_forgotten, &forgotten);
    ck_assert_uint_eq(forgotten, 5000);
}
END_TEST

/* ---- Files ---------------------------------------------------------------------------------------------------------------- */

START_TEST(files_are_read_again)
{
    char folder[] = "/tmp/check_system.XXXXXX", path[64], next[64];
    struct buffer buffer = {NULL, 0};
    struct file file;
    struct text text;
    FILE *out;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/f", folder);
    snprintf(next, sizeof(next), "%s/g", folder);
    ck_assert(file_init(&file, folder, "f"));
    ck_assert_int_eq(file_read(&file, &buffer, &text), ENOENT);
    out = fopen(path, "w");
    fputs("one", out);
    fclose(out);
    ck_assert_int_eq(file_read(&file, &buffer, &text), 0);
    assert_text(text, "one");
    out = fopen(next, "w"); /* another file under the same name, larger than the buffer at first */
    for (unsigned i = 0; i < 100000; i++)
        fputs("0123456789", out);
    fclose(out);
    ck_assert_int_eq(rename(next, path), 0);
    ck_assert_int_eq(file_read(&file, &buffer, &text), 0);
    ck_assert_uint_eq(text_length(text), 1000000);
    ck_assert_int_eq(truncate(path, (off_t)BUFFER_MAX + 1), 0);
    ck_assert_int_eq(file_read(&file, &buffer, &text), EFBIG);
    ck_assert_uint_le(buffer.size, BUFFER_MAX);
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_int_eq(file_read(&file, &buffer, &text), 0);
    ck_assert_uint_eq(text_length(text), 0);
    file_free(&file);
    unlink(path);
    rmdir(folder);
    ck_assert(file_init(&file, "/proc", "self/mounts"));
    ck_assert(file_changed(&file)); /* not open: nobody knows */
    ck_assert_int_eq(file_read(&file, &buffer, &text), 0);
    ck_assert(text_length(text) > 0);
    ck_assert_int_ge(file.fd, 0); /* the kernel makes it anew */
    file_free(&file);
    free(buffer.bytes);
}
END_TEST

/* ---- Mounts that hang ------------------------------------------------------------------------------------------------------ */

static sem_t hang, inside; /* of a test, which is a process of its own */

static int ask(const char *path, struct statvfs *result)
{
    memset(result, 0, sizeof(*result));
    if (strncmp(path, "/hang", 5) == 0) {
        sem_post(&inside);
        while (sem_wait(&hang) < 0)
            ;
    }
    if (strcmp(path, "/error") == 0) {
        errno = EACCES;
        return -1;
    }
    result->f_blocks = 17;
    return 0;
}

static bool readable(int fd, int wait_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, wait_ms) == 1;
}

START_TEST(mounts_are_asked_and_one_that_hangs_is_left)
{
    const char *const paths[] = {"/good", "/error", "/hang1", "/hang2", "/after"};
    struct probe *probes[5];
    struct prober prober = {.ask = ask};
    size_t begun;

    sem_init(&hang, 0, 0);
    sem_init(&inside, 0, 0);
    for (size_t i = 0; i < 5; i++)
        probes[i] = probe_new(paths[i]);
    for (unsigned turn = 0; turn < 3; turn++) { /* the same thread each time */
        ck_assert_int_eq(prober_hand(&prober, probes, 2), 0);
        ck_assert(readable(prober_fd(&prober), 30000));
        ck_assert(!probe_busy(probes[0]) && probes[0]->answered && probes[0]->error == 0 && probes[0]->result.f_blocks == 17);
        ck_assert(!probe_busy(probes[1]) && probes[1]->answered && probes[1]->error == EACCES);
    }
    ck_assert_int_eq(prober_hand(&prober, probes, 5), 0);
    sem_wait(&inside);
    begun = prober_leave(&prober);
    ck_assert_uint_eq(begun, 3);
    ck_assert_ptr_null(prober.worker);
    ck_assert_int_eq(prober_hand(&prober, probes + begun, 5 - begun), 0);
    sem_wait(&inside);
    begun += prober_leave(&prober);
    ck_assert_uint_eq(begun, 4);
    ck_assert_int_eq(prober_hand(&prober, probes + begun, 1), 0);
    ck_assert(readable(prober_fd(&prober), 30000));
    ck_assert(!probe_busy(probes[4]) && probes[4]->answered);
    ck_assert(probe_busy(probes[2]) && probe_busy(probes[3]));
    /* One is unmounted while its thread is inside, the other comes back. */
    probe_leave(probes[2]);
    sem_post(&hang);
    sem_post(&hang);
    for (unsigned i = 0; i < 30000 && probe_busy(probes[3]); i++)
        usleep(1000);
    ck_assert(!probe_busy(probes[3]) && probes[3]->answered && probes[3]->result.f_blocks == 17);
    prober_stop(&prober);
    ck_assert_ptr_null(prober.worker);
    /* Stopped while a thread is inside. */
    ck_assert_int_eq(prober_hand(&prober, probes + 3, 1), 0);
    sem_wait(&inside);
    prober_stop(&prober);
    ck_assert_ptr_null(prober.worker);
    sem_post(&hang);
    for (size_t i = 0; i < 5; i++)
        if (i != 2)
            probe_leave(probes[i]);
    prober_stop(&prober);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("system");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(all, 120);
    tcase_add_test(all, lines_and_words);
    tcase_add_test(all, numbers_of_64_bits);
    tcase_add_test(all, stat_of_several_kernels);
    tcase_add_test(all, memory);
    tcase_add_test(all, disks_of_several_kernels);
    tcase_add_test(all, interfaces);
    tcase_add_test(all, mounts_and_their_escapes);
    tcase_add_test(all, load_and_pressure);
    tcase_add_test(all, a_line_without_end);
    tcase_add_test(all, five_thousand_interfaces_come_and_go);
    tcase_add_test(all, files_are_read_again);
    tcase_add_test(all, mounts_are_asked_and_one_that_hangs_is_left);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
