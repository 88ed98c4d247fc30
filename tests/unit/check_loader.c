/* check_loader.c - plugins: the good are loaded, each bad one is refused with its reason; and what a fault in one leaves. */
#include "assertions.h"
#include "fatal.h"
#include "loader.h"
#include "log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void host_log(struct weir_self *self, int level, const char *format, ...)
{
    (void)self;
    (void)level;
    (void)format;
}
static const struct weir_host host = {.size = sizeof(host), .log = host_log};
static char folder[64];
static const char *folders[1] = {folder};
static struct loader *loader;
static char why[1024];

/* A folder of our own, with a copy of the plugin that may be spoilt. */
static void take(const char *name)
{
    const char *from = getenv("TEST_PLUGIN_DIR");
    char command[1024];

    ck_assert_msg(from != NULL, "TEST_PLUGIN_DIR is not set");
    snprintf(command, sizeof(command), "cp -L '%s/%s.so' '%s/' && chmod 755 '%s/%s.so'", from, name, folder, folder, name);
    ck_assert_int_eq(system(command), 0);
}
static char *file_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s.so", folder, name);
    return path;
}
static void setup(void)
{
    strcpy(folder, "/tmp/weir-loader-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    loader = loader_new(folders, 1, &host);
}
static void teardown(void)
{
    char command[128];

    loader_free(loader);
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}
static void refused(const char *name, const char *reason)
{
    ck_assert_ptr_null(loader_load(loader, name, why, sizeof(why)));
    ck_assert_msg(strstr(why, reason) != NULL, "\"%s\" does not say \"%s\"", why, reason);
}

START_TEST(good_ones_are_loaded_each_as_itself)
{
    const struct loader_plugin *good, *nonsense;

    take("good");
    take("nonsense");
    good = loader_load(loader, "good", why, sizeof(why));
    ck_assert_msg(good != NULL, "%s", why);
    nonsense = loader_load(loader, "nonsense", why, sizeof(why));
    ck_assert_msg(nonsense != NULL, "%s", why);
    ck_assert_ptr_ne((void *)(uintptr_t)good->description.collect, (void *)(uintptr_t)nonsense->description.collect);
    ck_assert_ptr_eq(loader_load(loader, "good", why, sizeof(why)), good);
    ck_assert_str_eq(loader_owner((void *)(uintptr_t)good->description.collect), "good");
    ck_assert_ptr_null(loader_owner(&host));
}
END_TEST

START_TEST(a_smaller_struct_is_loaded_with_zeroes_behind)
{
    const struct loader_plugin *old;

    take("old_size");
    old = loader_load(loader, "old_size", why, sizeof(why));
    ck_assert_msg(old != NULL, "%s", why);
    ck_assert(old->description.stop == NULL && old->description.interrupt == NULL);
}
END_TEST

START_TEST(smaller_option_rows_are_read_by_their_stride)
{
    const struct loader_plugin *older;
    const struct weir_option *options;

    take("older");
    older = loader_load(loader, "older", why, sizeof(why));
    ck_assert_msg(older != NULL, "%s", why);
    options = older->description.options;
    ck_assert_uint_eq(older->description.option_stride, sizeof(*options));
    ck_assert_str_eq(options[0].name, "word");
    ck_assert_str_eq(options[1].name, "number");
    ck_assert_int_eq(options[1].max, 9);
    ck_assert_uint_eq(options[0].service_version, 0);
    ck_assert_uint_eq(options[1].service_version, 0);
    ck_assert_ptr_null(options[2].name);
    ck_assert(older->description.flush == NULL && older->description.commands == NULL);
}
END_TEST

START_TEST(bad_ones_are_refused_with_their_reason)
{
    refused("absent", "there is no absent.so in ");
    refused("../good", "a plugin's name is made of a-z, 0-9 and _");
    take("other_major");
    refused("other_major", "speaks version 2 of the plugin contract, this core speaks 1; build it again");
    take("no_symbol");
    refused("no_symbol", "does not export weir_plugin_v1: it is no plugin of weir");
    take("refuses");
    refused("refuses", "refuses to work here; its reason is in the log");
    take("wrong_name");
    refused("wrong_name", "it calls itself \"another_name\"; the file must be named after it");
    take("wrong_size");
    refused("wrong_size", "its description has a size of 16 bytes");
    take("bad_options");
    refused("bad_options", "option \"far\" lies outside of the config struct of 8 bytes");
}
END_TEST

START_TEST(spoilt_files_are_refused)
{
    struct stat info;
    int fd;

    take("good");
    ck_assert_int_eq(chmod(file_of("good"), 0757), 0);
    refused("good", "can be changed by others (mode 0757); chmod go-w it");
    ck_assert_int_eq(chmod(file_of("good"), 0755), 0);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    refused("good", "can be changed by others (mode 0777); chmod go-w it");
    ck_assert_int_eq(chmod(folder, 0700), 0);
    ck_assert_int_eq(stat(file_of("good"), &info), 0);
    ck_assert_int_eq(truncate(file_of("good"), info.st_size / 2), 0);
    refused("good", "is truncated; install it again");
    ck_assert_int_eq(truncate(file_of("good"), 30), 0);
    refused("good", "is truncated; install it again");
    take("good");
    fd = open(file_of("good"), O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "\x28\x00", 2, 18), 2); /* e_machine: ARM */
    close(fd);
    refused("good", "is for another architecture (ELF machine 40); build it for this one");
    fd = open(file_of("good"), O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, "#!/bin/sh\n", 10), 10);
    close(fd);
    refused("good", "is not a shared object");
    unlink(file_of("good"));
    ck_assert_int_eq(mkdir(file_of("good"), 0755), 0);
    refused("good", "is not a regular file");
}
END_TEST

#ifndef __SANITIZE_ADDRESS__
START_TEST(a_fault_is_named_and_raised_again)
{
    const struct loader_plugin *crash;
    const struct weir_pass pass = {.size = sizeof(pass), .number = 2};
    int pipes[2], status;
    char text[1024] = "";
    ssize_t length;
    pid_t child;

    take("crash");
    crash = loader_load(loader, "crash", why, sizeof(why));
    ck_assert_msg(crash != NULL, "%s", why);
    ck_assert_int_eq(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        if (fatal_install() < 0 || fatal_thread_begin("crash/orders") < 0)
            _exit(1);
        crash->description.collect(NULL, &pass);
        _exit(0);
    }
    close(pipes[1]);
    length = read(pipes[0], text, sizeof(text) - 1);
    ck_assert_int_gt(length, 0);
    ck_assert_str_eq(text, "weir: fatal SIGSEGV in plugin \"crash\", on the thread of instance \"crash/orders\"\n");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    close(pipes[0]);
}
END_TEST
#endif

START_TEST(lines_are_cleaned_and_limited)
{
    char text[65536] = "";
    size_t length = 0, lines = 0;
    int pipes[2], kept = dup(STDERR_FILENO);
    uint64_t before = log_suppressed();

    ck_assert_int_eq(pipe(pipes), 0);
    dup2(pipes[1], STDERR_FILENO);
    log_line("a/b", WEIR_WARNING, "odd \n\x1b[31m%%n \xff \xc3\xa9");
    for (int i = 0; i < 100; i++)
        log_line("a/b", WEIR_WARNING, "repeated %d", i);
    log_line("a/c", WEIR_WARNING, "repeated %d", 0);
    log_line(NULL, WEIR_DEBUG, "not at this level");
    log_level_set(WEIR_DEBUG);
    log_line(NULL, WEIR_DEBUG, "%5000d", 1);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(pipes[1]);
    for (ssize_t got; (got = read(pipes[0], text + length, sizeof(text) - 1 - length)) > 0;)
        length += (size_t)got;
    close(pipes[0]);
    for (const char *s = text; *s; s++)
        lines += *s == '\n';
    ck_assert_uint_eq(lines, 1 + 5 + 1 + 1);
    ck_assert_uint_eq(log_suppressed() - before, 95);
    ck_assert_ptr_nonnull(strstr(text, "Z warning a/b: odd \\x0A\\x1B[31m%n \\xFF \xc3\xa9\n"));
    ck_assert_ptr_null(strstr(text, "not at this level"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loader");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    umask(022);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, good_ones_are_loaded_each_as_itself);
    tcase_add_test(all, a_smaller_struct_is_loaded_with_zeroes_behind);
    tcase_add_test(all, smaller_option_rows_are_read_by_their_stride);
    tcase_add_test(all, bad_ones_are_refused_with_their_reason);
    tcase_add_test(all, spoilt_files_are_refused);
#ifndef __SANITIZE_ADDRESS__
    tcase_add_test(all, a_fault_is_named_and_raised_again);
#endif
    tcase_add_test(all, lines_are_cleaned_and_limited);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
