/* layout.c - where everything of weir_plugin.h lies, on machines with 64-bit pointers (x86_64, aarch64), and the numbers in it.
 *
 * Compiled by test_abi.sh, as C and as C++, and with -fshort-enums.  A change of the header has to touch this file.  Until the first
 * release lines may change; from then on lines are only added, and the sizes of what grows are raised.
 */
#include <weir_plugin.h>

#ifndef __LP64__
#error "these are the offsets of 64-bit machines"
#endif

#ifdef __cplusplus
#define ASSERT(condition, text) static_assert(condition, text)
#else
#define ASSERT(condition, text) _Static_assert(condition, text)
#endif
#define SIZE(struct_name, bytes) ASSERT(sizeof(struct struct_name) == (bytes), "size of " #struct_name)
#define FIELD(struct_name, field, bytes) ASSERT(offsetof(struct struct_name, field) == (bytes), #struct_name "." #field)
#define VALUE(name, number) ASSERT((name) == (number), #name)


SIZE(weir_list, 16);
FIELD(weir_list, items, 0);
FIELD(weir_list, count, 8);

SIZE(weir_rows, 16);
FIELD(weir_rows, rows, 0);
FIELD(weir_rows, count, 8);

SIZE(weir_option, 96);
FIELD(weir_option, name, 0);
FIELD(weir_option, dflt, 8);
FIELD(weir_option, help, 16);
FIELD(weir_option, choices, 24);
FIELD(weir_option, rows, 32);
FIELD(weir_option, service, 40);
FIELD(weir_option, row_size, 48);
FIELD(weir_option, offset, 56);
FIELD(weir_option, min, 64);
FIELD(weir_option, max, 72);
FIELD(weir_option, type, 80);
FIELD(weir_option, flags, 84);
FIELD(weir_option, service_version, 88);

SIZE(weir_family, 32);
FIELD(weir_family, size, 0);
FIELD(weir_family, kind, 4);
FIELD(weir_family, name, 8);
FIELD(weir_family, unit, 16);
FIELD(weir_family, help, 24);

SIZE(weir_label, 16);
FIELD(weir_label, name, 0);
FIELD(weir_label, value, 8);

SIZE(weir_group, 72);
FIELD(weir_group, size, 0);
FIELD(weir_group, name, 8);
FIELD(weir_group, interval_ns, 16);
FIELD(weir_group, timeout_ns, 24);
FIELD(weir_group, context, 32);
FIELD(weir_group, kind, 40);
FIELD(weir_group, offset_ns, 48);
FIELD(weir_group, interval_min_ns, 56);
FIELD(weir_group, priority, 64);
FIELD(weir_group, reserved, 68);

SIZE(weir_value, 16);
FIELD(weir_value, series, 0);
FIELD(weir_value, flags, 4);
FIELD(weir_value, value, 8);

SIZE(weir_exemplar, 32);
FIELD(weir_exemplar, labels, 0);
FIELD(weir_exemplar, nlabels, 8);
FIELD(weir_exemplar, value, 16);
FIELD(weir_exemplar, time_ns, 24);

SIZE(weir_pass, 40);
FIELD(weir_pass, size, 0);
FIELD(weir_pass, group, 4);
FIELD(weir_pass, context, 8);
FIELD(weir_pass, deadline_ns, 16);
FIELD(weir_pass, time_ns, 24);
FIELD(weir_pass, number, 32);

SIZE(weir_sample, 32);
FIELD(weir_sample, head, 0);
FIELD(weir_sample, time_ns, 8);
FIELD(weir_sample, bits, 16);
FIELD(weir_sample, aux, 24);

SIZE(weir_batch, 48);
FIELD(weir_batch, size, 0);
FIELD(weir_batch, flags, 4);
FIELD(weir_batch, source, 8);
FIELD(weir_batch, reserved, 12);
FIELD(weir_batch, source_name, 16);
FIELD(weir_batch, lost, 24);
FIELD(weir_batch, samples, 32);
FIELD(weir_batch, nsamples, 40);

SIZE(weir_series_info, 64);
FIELD(weir_series_info, size, 0);
FIELD(weir_series_info, kind, 4);
FIELD(weir_series_info, family, 8);
FIELD(weir_series_info, labelset, 12);
FIELD(weir_series_info, group, 16);
FIELD(weir_series_info, source, 20);
FIELD(weir_series_info, name, 24);
FIELD(weir_series_info, unit, 32);
FIELD(weir_series_info, help, 40);
FIELD(weir_series_info, labels, 48);
FIELD(weir_series_info, nlabels, 56);

SIZE(weir_host, 208);
FIELD(weir_host, size, 0);
FIELD(weir_host, abi_minor, 4);
FIELD(weir_host, log, 8);
FIELD(weir_host, fail, 16);
FIELD(weir_host, name, 24);
FIELD(weir_host, now_ns, 32);
FIELD(weir_host, wall_ns, 40);
FIELD(weir_host, wait_fd, 48);
FIELD(weir_host, secret, 56);
FIELD(weir_host, group, 64);
FIELD(weir_host, group_end, 72);
FIELD(weir_host, family, 80);
FIELD(weir_host, series, 88);
FIELD(weir_host, release, 96);
FIELD(weir_host, sweep, 104);
FIELD(weir_host, publish, 112);
FIELD(weir_host, publish_exemplars, 120);
FIELD(weir_host, due, 128);
FIELD(weir_host, next_pass, 136);
FIELD(weir_host, series_info, 144);
FIELD(weir_host, exemplar_labels, 152);
FIELD(weir_host, current, 160);
FIELD(weir_host, service_enter, 168);
FIELD(weir_host, service_leave, 176);
FIELD(weir_host, listen, 184);
FIELD(weir_host, print, 192);
FIELD(weir_host, call_wait, 200);

SIZE(weir_service, 24);
FIELD(weir_service, name, 0);
FIELD(weir_service, version, 8);
FIELD(weir_service, reserved, 12);
FIELD(weir_service, table, 16);

SIZE(weir_command, 40);
FIELD(weir_command, name, 0);
FIELD(weir_command, arguments, 8);
FIELD(weir_command, summary, 16);
FIELD(weir_command, run, 24);
FIELD(weir_command, flags, 32);
FIELD(weir_command, reserved, 36);

SIZE(weir_plugin, 176);
FIELD(weir_plugin, size, 0);
FIELD(weir_plugin, abi_minor, 4);
FIELD(weir_plugin, roles, 8);
FIELD(weir_plugin, flags, 12);
FIELD(weir_plugin, name, 16);
FIELD(weir_plugin, version, 24);
FIELD(weir_plugin, summary, 32);
FIELD(weir_plugin, options, 40);
FIELD(weir_plugin, services, 48);
FIELD(weir_plugin, option_stride, 56);
FIELD(weir_plugin, service_stride, 60);
FIELD(weir_plugin, config_size, 64);
FIELD(weir_plugin, check, 72);
FIELD(weir_plugin, create, 80);
FIELD(weir_plugin, start, 88);
FIELD(weir_plugin, reconfigure, 96);
FIELD(weir_plugin, collect, 104);
FIELD(weir_plugin, consume, 112);
FIELD(weir_plugin, flush, 120);
FIELD(weir_plugin, stop, 128);
FIELD(weir_plugin, destroy, 136);
FIELD(weir_plugin, interrupt, 144);
FIELD(weir_plugin, provider_changed, 152);
FIELD(weir_plugin, commands, 160);
FIELD(weir_plugin, command_stride, 168);
FIELD(weir_plugin, reserved, 172);

SIZE(weir_text, 16);
FIELD(weir_text, size, 0);
FIELD(weir_text, version, 4);
FIELD(weir_text, render, 8);

VALUE(WEIR_OK, 0);
VALUE(WEIR_KEEP, 1);
VALUE(WEIR_RESTART, 2);
VALUE(WEIR_EFAIL, -1);
VALUE(WEIR_ECONFIG, -2);
VALUE(WEIR_EAGAIN, -3);
VALUE(WEIR_ETIMEOUT, -4);
VALUE(WEIR_EINTR, -5);
VALUE(WEIR_ENOMEM, -6);
VALUE(WEIR_ELIMIT, -7);
VALUE(WEIR_ESTALE, -8);
VALUE(WEIR_EINVAL, -9);
VALUE(WEIR_ERROR, 3);
VALUE(WEIR_WARNING, 4);
VALUE(WEIR_NOTICE, 5);
VALUE(WEIR_INFO_LEVEL, 6);
VALUE(WEIR_DEBUG, 7);
VALUE(WEIR_BOOL, 1);
VALUE(WEIR_INT, 2);
VALUE(WEIR_SIZE, 3);
VALUE(WEIR_DURATION, 4);
VALUE(WEIR_STRING, 5);
VALUE(WEIR_SECRET, 6);
VALUE(WEIR_ENUM, 7);
VALUE(WEIR_LIST, 8);
VALUE(WEIR_SERVICE, 9);
VALUE(WEIR_SECTION, 10);
VALUE(WEIR_REQUIRED, 1);
VALUE(WEIR_RELOADABLE, 2);
VALUE(WEIR_DEPRECATED, 4);
VALUE(WEIR_TITLE, 8);
VALUE(WEIR_UNKNOWN, 0);
VALUE(WEIR_GAUGE, 1);
VALUE(WEIR_COUNTER, 2);
VALUE(WEIR_INFO, 3);
VALUE(WEIR_HISTOGRAM, 4);
VALUE(WEIR_SUMMARY, 5);
VALUE(WEIR_F64, 0);
VALUE(WEIR_U64, 1);
VALUE(WEIR_S_U64, 1);
VALUE(WEIR_S_STALE, 2);
VALUE(WEIR_S_MARK, 4);
VALUE(WEIR_S_RELEASED, 8);
VALUE(WEIR_S_START, 16);
VALUE(WEIR_S_EXEMPLAR, 32);
VALUE(WEIR_PASS_OK, 0);
VALUE(WEIR_PASS_KEPT, 1);
VALUE(WEIR_PASS_FAILED, 2);
VALUE(WEIR_B_SNAPSHOT, 1);
VALUE(WEIR_B_GAP, 2);
VALUE(WEIR_SOURCE, 1);
VALUE(WEIR_SINK, 2);
VALUE(WEIR_PROVIDER, 4);
VALUE(WEIR_SINGLE, 1);
VALUE(WEIR_EXCLUSIVE, 2); VALUE(WEIR_ALIKE, 4);
VALUE(WEIR_OFFLINE, 1);

/* Names that are part of the contract. */
VALUE(WEIR_NO_SERIES, 0u);
VALUE(WEIR_SERIES_INDEX, 0x00ffffffu);
VALUE(WEIR_TEXT_VERSION, 1u);
