/* check_core.c - the small parts of the core: schedule, service, secret, process, arena, strbuf. */
#include "assertions.h"
#include "process.h"
#include "schedule.h"
#include "secret.h"
#include "service.h"
#include "util/arena.h"
#include "util/clock.h"
#include "util/strbuf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define S CLOCK_SECOND_NS

static int add(struct schedule *schedule, struct series_group *group, int64_t own_ns, int64_t interval_ns, int64_t now, int64_t wall)
{
    const struct weir_group description = {.size = sizeof(description), .name = "g", .interval_ns = own_ns};

    return schedule_add(schedule, group, &description, interval_ns, 5 * S, now, wall);
}

START_TEST(first_turn_at_once_then_on_the_grid)
{
    struct series_group group = {0};
    struct schedule schedule = {0};
    struct schedule_entry *entry;
    int64_t now = 1000 * S, wall = 7 * 15 * S + 4 * S; /* four seconds past the grid */

    ck_assert_int_eq(add(&schedule, &group, 0, 15 * S, now, wall), WEIR_OK);
    entry = schedule_due(&schedule, now);
    ck_assert_ptr_nonnull(entry);
    ck_assert_int_eq(entry->timeout_ns, 5 * S);
    schedule_began(&schedule, entry, now);
    schedule_ended(&schedule, entry, now + S, WEIR_PASS_OK);
    ck_assert_int_eq(schedule_next_ns(&schedule), now + 11 * S);
    ck_assert_ptr_null(schedule_due(&schedule, now + 11 * S - 1));
    ck_assert_uint_eq(atomic_load(&group.missed), 0);
    schedule_free(&schedule);
}
END_TEST

START_TEST(missed_turns_are_counted_and_not_made_up)
{
    struct series_group group = {0};
    struct schedule schedule = {0};
    struct schedule_entry *entry;

    add(&schedule, &group, 10 * S, 15 * S, 100 * S, 0);
    entry = schedule_due(&schedule, 100 * S);
    schedule_began(&schedule, entry, 100 * S);
    schedule_ended(&schedule, entry, 100 * S, WEIR_PASS_OK);
    entry = schedule_due(&schedule, 112 * S);
    schedule_began(&schedule, entry, 112 * S);
    ck_assert_uint_eq(atomic_load(&group.late_ns_last), 2 * S);
    schedule_ended(&schedule, entry, 145 * S, WEIR_PASS_OK); /* 120, 130, 140 went by */
    ck_assert_uint_eq(atomic_load(&group.missed), 3);
    ck_assert_int_eq(schedule_next_ns(&schedule), 150 * S);
    schedule_free(&schedule);
}
END_TEST

/* Groups with ids from 1. */
static void number(struct series_group *groups, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        groups[i].id = i + 1;
}

START_TEST(groups_due_together_run_in_order_and_none_starves)
{
    struct series_group groups[3] = {0};
    struct schedule schedule = {0};

    number(groups, 3);
    for (unsigned i = 0; i < 3; i++)
        add(&schedule, &groups[i], S, S, 100 * S - i, 2 * i); /* clocks are never read at one moment */
    for (unsigned i = 0; i < 3; i++) {
        struct schedule_entry *entry = schedule_find(&schedule, i + 1);

        schedule_began(&schedule, entry, 100 * S);
        schedule_ended(&schedule, entry, 100 * S, WEIR_PASS_OK);
        ck_assert_int_eq(entry->due_ns, 101 * S);
    }
    for (unsigned i = 0; i < 9; i++) {
        struct schedule_entry *entry = schedule_due(&schedule, 101 * S + i * 2 * S);

        ck_assert_ptr_eq(entry->group, &groups[i % 3]);
        schedule_began(&schedule, entry, 101 * S + i * 2 * S);
        schedule_ended(&schedule, entry, 101 * S + (i + 1) * 2 * S, WEIR_PASS_OK); /* each takes twice its interval */
    }
    schedule_remove(&schedule, &groups[0]);
    ck_assert_uint_eq(schedule.count, 2);
    ck_assert_ptr_eq(schedule_due(&schedule, 200 * S)->group, &groups[1]);
    schedule_free(&schedule);
}
END_TEST

START_TEST(another_interval_lies_on_its_own_grid)
{
    struct series_group groups[2] = {0};
    struct schedule schedule = {0};
    struct schedule_entry *entry;

    number(groups, 2);
    add(&schedule, &groups[0], 0, 60 * S, 100 * S, 0);
    add(&schedule, &groups[1], 60 * S, 60 * S, 100 * S, 0);
    for (unsigned i = 0; i < 2; i++) {
        entry = schedule_due(&schedule, SCHEDULE_NEVER); /* the first turns */
        ck_assert_ptr_eq(entry->group, &groups[i]);
        schedule_began(&schedule, entry, 100 * S);
        schedule_ended(&schedule, entry, 100 * S, WEIR_PASS_OK);
    }
    ck_assert_ptr_null(schedule_due(&schedule, SCHEDULE_NEVER));
    schedule_retime(&schedule, 15 * S, 2 * S, 110 * S, 7 * 15 * S + 4 * S);
    ck_assert_uint_eq(groups[0].interval_ns, 15 * S);
    ck_assert_uint_eq(groups[1].interval_ns, 60 * S);
    entry = schedule_find(&schedule, 1);
    ck_assert_int_eq(entry->due_ns, 121 * S); /* four seconds past the grid now, eleven to the next turn */
    ck_assert_int_eq(entry->timeout_ns, 2 * S);
    ck_assert_int_eq(schedule_find(&schedule, 2)->due_ns, 160 * S); /* it has an interval of its own */
    ck_assert_int_eq(schedule_next_ns(&schedule), 121 * S);
    ck_assert_ptr_null(schedule_find(&schedule, 3));
    schedule_free(&schedule);
}
END_TEST

START_TEST(offsets_move_turns_on_the_grid)
{
    static const int64_t offsets[] = {0, 2 * S, 14 * S, 15 * S, 152 * S, -1 * S, INT64_MAX, INT64_MIN};
    struct series_group group = {.id = 1};

    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        struct schedule schedule = {0};
        const struct weir_group description = {.size = sizeof(description), .name = "g", .offset_ns = offsets[i]};
        const int64_t now = 1000 * S, wall = 7 * 15 * S + 4 * S, phase = (offsets[i] % (15 * S) + 15 * S) % (15 * S);
        struct schedule_entry *entry;

        ck_assert_int_eq(schedule_add(&schedule, &group, &description, 15 * S, 5 * S, now, wall), WEIR_OK);
        entry = schedule_due(&schedule, now); /* the first at once */
        ck_assert_ptr_nonnull(entry);
        schedule_began(&schedule, entry, now);
        schedule_ended(&schedule, entry, now, WEIR_PASS_OK);
        ck_assert_int_eq((wall + entry->due_ns - now) % (15 * S), phase);
        ck_assert(entry->due_ns > now && entry->due_ns <= now + 15 * S);
        schedule_retime(&schedule, 10 * S, 5 * S, now, wall);
        ck_assert_int_eq((wall + entry->due_ns - now) % (10 * S), (offsets[i] % (10 * S) + 10 * S) % (10 * S));
        ck_assert(entry->due_ns > now && entry->due_ns <= now + 10 * S);
        schedule_free(&schedule);
    }
}
END_TEST

/* The turn at `now` ends at once, so. */
static int64_t turn(struct schedule *schedule, struct schedule_entry *entry, int64_t now, enum weir_pass_status outcome)
{
    ck_assert_ptr_eq(schedule_due(schedule, now), entry);
    schedule_began(schedule, entry, now);
    schedule_ended(schedule, entry, now, outcome);
    return entry->due_ns;
}

START_TEST(what_failed_is_tried_again_soon_and_ever_less)
{
    static const int64_t tries[] = {105 * S, 135 * S, 195 * S, 300 * S, 540 * S, 600 * S, 900 * S};
    struct series_group group = {.id = 1};
    struct schedule schedule = {0};
    struct schedule_entry *entry;
    int64_t now = 100 * S;

    add(&schedule, &group, 300 * S, 15 * S, now, now);
    entry = schedule_find(&schedule, 1);
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        now = turn(&schedule, entry, now, WEIR_PASS_FAILED);
        ck_assert_int_eq(now, tries[i]);
    }
    ck_assert_int_eq(turn(&schedule, entry, now, WEIR_PASS_OK), 1200 * S);
    ck_assert_int_eq(turn(&schedule, entry, 1200 * S, WEIR_PASS_KEPT), 1500 * S); /* it has values */
    ck_assert_int_eq(turn(&schedule, entry, 1500 * S, WEIR_PASS_FAILED), 1515 * S);
    ck_assert_int_eq(turn(&schedule, entry, 1515 * S, WEIR_PASS_KEPT), 1545 * S); /* it has none */
    ck_assert_int_eq(turn(&schedule, entry, 1545 * S, WEIR_PASS_OK), 1800 * S);
    ck_assert_uint_eq(atomic_load(&group.missed), 0);
    ck_assert_uint_eq(atomic_load(&group.interval_ns), 300 * S);
    /* An extra turn that takes longer than it is to the next one costs that; not more. */
    turn(&schedule, entry, 1800 * S, WEIR_PASS_FAILED);
    schedule_began(&schedule, schedule_due(&schedule, 1815 * S), 1815 * S);
    schedule_ended(&schedule, entry, 2110 * S, WEIR_PASS_FAILED);
    ck_assert_uint_eq(atomic_load(&group.missed), 1);
    ck_assert_int_eq(entry->due_ns, 2130 * S);
    schedule_free(&schedule);
}
END_TEST

START_TEST(what_comes_as_often_as_the_instance_has_no_extra_turns)
{
    static const int64_t own[] = {0, 5 * S, 15 * S, 20 * S};
    struct series_group group = {.id = 1};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        struct schedule schedule = {0};
        const struct weir_group description = {.size = sizeof(description), .name = "g", .interval_ns = own[i], .offset_ns = 2 * S};
        const int64_t interval = own[i] ? own[i] : 15 * S;
        struct schedule_entry *entry;
        int64_t now = 100 * S;
        unsigned turns = 0;

        schedule_add(&schedule, &group, &description, 15 * S, 5 * S, now, now);
        entry = schedule_find(&schedule, 1);
        for (; now < 100 * S + 100 * interval; turns++)
            now = turn(&schedule, entry, now, WEIR_PASS_FAILED);
        ck_assert_uint_ge(turns, 100);
        ck_assert_uint_le(turns, 102); /* the first, and one extra */
        schedule_free(&schedule);
    }
}
END_TEST

/* The order that schedule.h promises, by looking at all of them. */
static struct schedule_entry *first_of(const struct schedule *schedule, int64_t now)
{
    struct schedule_entry *first = NULL;

    for (size_t i = 0; i < schedule->count; i++) {
        struct schedule_entry *entry = schedule->entries[i];

        if (!entry->heap || entry->due_ns > now)
            continue;
        if (!first || entry->priority < first->priority ||
            (entry->priority == first->priority &&
             (entry->due_ns < first->due_ns || (entry->due_ns == first->due_ns && entry->serial < first->serial))))
            first = entry;
    }
    return first;
}
START_TEST(a_thousand_groups_come_and_go_in_order)
{
    static struct series_group groups[1000];
    struct schedule schedule = {0};
    int64_t now = 100 * S;
    uint32_t ids[1000];

    number(groups, 1000);
    srand(3);
    for (unsigned round = 0; round < 20000; round++) {
        struct series_group *group = &groups[rand() % 1000];
        struct schedule_entry *entry = schedule_find(&schedule, group->id), *turn;

        if (entry && rand() % 4 == 0) {
            schedule_remove(&schedule, group);
            ck_assert_ptr_null(schedule_find(&schedule, group->id));
        } else if (!entry) {
            const struct weir_group description = {.size = sizeof(description), .name = "g", .priority = (uint32_t)rand() % 3,
                                                   .interval_ns = (1 + rand() % 3) * S, .offset_ns = rand()};

            schedule_add(&schedule, group, &description, S, S, now, now);
        }
        if (rand() % 100 == 0) {
            size_t room = (size_t)rand() % 1000, listed = schedule_list(&schedule, now, ids, room);

            for (size_t i = 0; i < listed; i++) {
                turn = schedule_due(&schedule, now);
                ck_assert_ptr_eq(turn, first_of(&schedule, now));
                ck_assert_uint_eq(turn->group->id, ids[i]);
                schedule_began(&schedule, turn, now);
                schedule_ended(&schedule, turn, now, WEIR_PASS_OK);
            }
            ck_assert(listed == room || !first_of(&schedule, now));
        }
        turn = schedule_due(&schedule, now);
        ck_assert_ptr_eq(turn, first_of(&schedule, now));
        if (turn) {
            schedule_began(&schedule, turn, now);
            ck_assert(!schedule_is_due(&schedule, turn, now));
            schedule_ended(&schedule, turn, now + rand() % S, WEIR_PASS_OK);
        }
        now += rand() % 10000000;
    }
    ck_assert_uint_gt(schedule.count, 500);
    schedule_free(&schedule);
}
END_TEST

static void *leave_later(void *port)
{
    usleep(20000);
    service_leave(port);
    return NULL;
}
START_TEST(closing_a_service_waits_for_those_inside)
{
    struct service_port port;
    const void *table;
    void *provider;
    pthread_t thread;

    service_port_init(&port, "s", 1);
    ck_assert_int_eq(service_enter(&port, 0, &table, &provider), WEIR_EAGAIN);
    service_open(&port, "table", (void *)"state");
    ck_assert_int_eq(service_enter(&port, 0, &table, &provider), WEIR_OK);
    ck_assert_str_eq(table, "table");
    ck_assert_int_eq(service_close(&port, false, clock_now_ns() + S / 100), WEIR_ETIMEOUT);
    ck_assert_int_eq(service_enter(&port, clock_now_ns() + 60 * S, &table, &provider), WEIR_EAGAIN);
    pthread_create(&thread, NULL, leave_later, &port);
    ck_assert_int_eq(service_close(&port, false, clock_now_ns() + 60 * S), WEIR_OK);
    pthread_join(thread, NULL);
    service_port_destroy(&port);
}
END_TEST

static void *open_later(void *port)
{
    usleep(20000);
    service_open(port, "other", NULL);
    return NULL;
}
static void *shut_later(void *port)
{
    usleep(20000);
    service_shut(port);
    return NULL;
}
START_TEST(a_successor_is_waited_for)
{
    struct service_port port;
    const void *table;
    void *provider;
    pthread_t thread;

    service_port_init(&port, "s", 1);
    service_open(&port, "table", NULL);
    ck_assert_int_eq(service_close(&port, true, clock_now_ns()), WEIR_OK);
    ck_assert_int_eq(service_enter(&port, clock_now_ns() + S / 100, &table, &provider), WEIR_EAGAIN);
    pthread_create(&thread, NULL, open_later, &port);
    ck_assert_int_eq(service_enter(&port, clock_now_ns() + 60 * S, &table, &provider), WEIR_OK);
    ck_assert_str_eq(table, "other");
    service_leave(&port);
    pthread_join(thread, NULL);
    ck_assert_int_eq(service_close(&port, true, clock_now_ns()), WEIR_OK);
    pthread_create(&thread, NULL, shut_later, &port);
    ck_assert_int_eq(service_enter(&port, clock_now_ns() + 60 * S, &table, &provider), WEIR_EAGAIN);
    pthread_join(thread, NULL);
    service_port_destroy(&port);
}
END_TEST

/* Providers come and go while many are inside: nobody is ever inside a closed one. */
struct crowd {
    struct service_port port;
    _Atomic int alive; /* what the table points at; 0 while nobody may be inside */
    _Atomic bool ends;
    _Atomic unsigned entered;
};
static void *come_and_go(void *context)
{
    struct crowd *crowd = context;
    const void *table;
    void *provider;

    while (!atomic_load(&crowd->ends)) {
        if (service_enter(&crowd->port, clock_now_ns() + S, &table, &provider) < 0)
            continue;
        if (!atomic_load((const _Atomic int *)table))
            abort();
        atomic_fetch_add(&crowd->entered, 1);
        service_leave(&crowd->port);
    }
    return NULL;
}
START_TEST(nobody_is_inside_a_closed_service)
{
    static struct crowd crowd;
    pthread_t threads[4];

    service_port_init(&crowd.port, "s", 1);
    for (unsigned i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, come_and_go, &crowd);
    for (unsigned i = 0; i < 2000 || atomic_load(&crowd.entered) < 100; i++) {
        atomic_store(&crowd.alive, 1);
        service_open(&crowd.port, (const void *)&crowd.alive, NULL);
        ck_assert_int_eq(service_close(&crowd.port, i % 2, clock_now_ns() + 60 * S), WEIR_OK);
        atomic_store(&crowd.alive, 0);
    }
    atomic_store(&crowd.ends, true);
    service_shut(&crowd.port);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    service_port_destroy(&crowd.port);
}
END_TEST

START_TEST(secrets)
{
    char path[] = "/tmp/weir-secret-XXXXXX", buffer[64], why[400];
    int fd = mkstemp(path);
    struct weir_secret *file = secret_from_file(path), *text = secret_from_text("word");

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(secret_read(file, buffer, sizeof(buffer), why, sizeof(why)), WEIR_EFAIL);
    ck_assert_ptr_nonnull(strstr(why, "is empty"));
    ck_assert_int_eq(write(fd, "pass word\n", 10), 10);
    ck_assert_int_eq(secret_read(file, buffer, sizeof(buffer), why, sizeof(why)), 9);
    ck_assert_str_eq(buffer, "pass word");
    ck_assert_int_eq(secret_read(file, buffer, 9, why, sizeof(why)), WEIR_EFAIL);
    ck_assert_int_eq(fchmod(fd, 0644), 0);
    ck_assert_int_eq(secret_check(file, why, sizeof(why)), WEIR_EFAIL);
    ck_assert_ptr_nonnull(strstr(why, "others can read it; chmod 0600 it"));
    unlink(path);
    ck_assert_int_eq(secret_check(file, why, sizeof(why)), WEIR_EFAIL);
    ck_assert_ptr_nonnull(strstr(why, "No such file"));
    ck_assert_int_eq(secret_read(text, buffer, sizeof(buffer), why, sizeof(why)), 4);
    ck_assert(!secret_equal(file, text));
    secret_free(file);
    secret_free(text);
    close(fd);
}
END_TEST

START_TEST(process_figures_are_plausible)
{
    struct process_figures figures;

    ck_assert_int_eq(process_read(&figures), WEIR_OK);
    ck_assert_uint_gt(figures.resident_bytes, 100000);
    ck_assert_uint_ge(figures.open_fds, 3);
    ck_assert_uint_ge(figures.threads, 1);
    ck_assert(figures.start_seconds > 1.6e9 && figures.start_seconds < (double)time(NULL) + 60);
}
END_TEST

START_TEST(arena_and_strbuf_keep_their_ceilings)
{
    struct arena arena = {.ceiling = 10000};
    struct strbuf buffer = {.ceiling = 100};

    ck_assert_ptr_nonnull(arena_alloc(&arena, 9000));
    ck_assert_ptr_null(arena_alloc(&arena, 2000));
    ck_assert_ptr_nonnull(arena_alloc(&arena, 500));
    ck_assert_str_eq(arena_copy(&arena, "abc", 2), "ab");
    arena_free(&arena);
    strbuf_printf(&buffer, "%s-%d", "x", 5);
    ck_assert_str_eq(buffer.text, "x-5");
    for (unsigned i = 0; i < 50; i++)
        strbuf_add(&buffer, "0123456789", 10);
    ck_assert(buffer.failed);
    ck_assert_uint_lt(buffer.length, 100);
    strbuf_clear(&buffer);
    ck_assert(!buffer.failed);
    strbuf_free(&buffer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(all, 120);
    tcase_add_test(all, first_turn_at_once_then_on_the_grid);
    tcase_add_test(all, missed_turns_are_counted_and_not_made_up);
    tcase_add_test(all, groups_due_together_run_in_order_and_none_starves);
    tcase_add_test(all, another_interval_lies_on_its_own_grid);
    tcase_add_test(all, offsets_move_turns_on_the_grid);
    tcase_add_test(all, what_failed_is_tried_again_soon_and_ever_less);
    tcase_add_test(all, what_comes_as_often_as_the_instance_has_no_extra_turns);
    tcase_add_test(all, a_thousand_groups_come_and_go_in_order);
    tcase_add_test(all, closing_a_service_waits_for_those_inside);
    tcase_add_test(all, a_successor_is_waited_for);
    tcase_add_test(all, nobody_is_inside_a_closed_service);
    tcase_add_test(all, secrets);
    tcase_add_test(all, process_figures_are_plausible);
    tcase_add_test(all, arena_and_strbuf_keep_their_ceilings);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
