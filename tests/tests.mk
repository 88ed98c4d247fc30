# Unit tests; small plugins to test the host with; fuzzers.
if WITH_CHECK
check_PROGRAMS += tests/unit/check_ring tests/unit/check_series tests/unit/check_feed tests/unit/check_core \
	tests/unit/check_config tests/unit/check_loader tests/unit/check_reload
tests_unit_check_ring_SOURCES = tests/unit/check_ring.c
tests_unit_check_ring_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_check_ring_LDADD = libcore.a $(CHECK_LIBS)
tests_unit_check_series_SOURCES = tests/unit/check_series.c
tests_unit_check_series_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_check_series_LDADD = libcore.a $(CHECK_LIBS)
tests_unit_check_feed_SOURCES = tests/unit/check_feed.c
tests_unit_check_feed_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_check_feed_LDADD = libcore.a $(CHECK_LIBS)
tests_unit_check_core_SOURCES = tests/unit/check_core.c
tests_unit_check_core_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_check_core_LDADD = libcore.a $(CHECK_LIBS)
tests_unit_check_config_SOURCES = tests/unit/check_config.c
tests_unit_check_config_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_check_config_LDADD = libcore.a $(CHECK_LIBS) $(CONFUSE_LIBS)
tests_unit_check_loader_SOURCES = tests/unit/check_loader.c
tests_unit_check_loader_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_check_loader_LDADD = libcore.a $(CHECK_LIBS) -ldl
# With less patience.
tests_unit_check_reload_SOURCES = tests/unit/check_reload.c core/instance.c core/reload.c
tests_unit_check_reload_CPPFLAGS = $(TEST_CPPFLAGS) -DINSTANCE_START_NS=INT64_C\(8000000000\) -DINSTANCE_STUCK_NS=INT64_C\(1000000000\)
tests_unit_check_reload_LDADD = libcore.a $(CHECK_LIBS) $(CONFUSE_LIBS) -ldl
check_PROGRAMS += tests/unit/check_prometheus
tests_unit_check_prometheus_SOURCES = tests/unit/check_prometheus.c plugins/prometheus/model.c plugins/prometheus/model.h \
	plugins/prometheus/distribution.c plugins/prometheus/distribution.h plugins/prometheus/number.c plugins/prometheus/number.h
tests_unit_check_prometheus_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/prometheus
tests_unit_check_prometheus_LDADD = $(CHECK_LIBS) -lpthread
check_PROGRAMS += tests/unit/check_queue tests/unit/check_power
tests_unit_check_queue_SOURCES = tests/unit/check_queue.c tests/unit/labels.h
tests_unit_check_queue_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/push
tests_unit_check_queue_LDADD = libpush.la $(CHECK_LIBS) -lpthread
tests_unit_check_power_SOURCES = tests/unit/check_power.c
tests_unit_check_power_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/push
tests_unit_check_power_LDADD = libpush.la $(CHECK_LIBS) -lpthread
check_PROGRAMS += tests/unit/check_push
tests_unit_check_push_SOURCES = tests/unit/check_push.c $(PUSH)
tests_unit_check_push_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/push -DPUSH_NAME='"test"'
tests_unit_check_push_LDADD = libpush.la $(CHECK_LIBS) -lpthread
if WITH_REMOTE_WRITE
if WITH_PROTOBUF_C
check_PROGRAMS += tests/unit/check_remote_write
tests_unit_check_remote_write_SOURCES = tests/unit/check_remote_write.c $(REMOTE_WRITE_ENCODE) plugins/remote_write/verdict.c
nodist_tests_unit_check_remote_write_SOURCES = tests/unit/remote_write_1.pb-c.c tests/unit/remote_write_2.pb-c.c
tests_unit_check_remote_write_CPPFLAGS = $(TEST_CPPFLAGS) $(PROTOBUF_C_CFLAGS) $(CURL_CFLAGS) -I$(srcdir)/plugins/remote_write \
	-I$(srcdir)/plugins/push -I.
tests_unit_check_remote_write_LDADD = libpush_http.la libpush.la $(CHECK_LIBS) $(PROTOBUF_C_LIBS) $(CURL_LIBS) $(SNAPPY_LIBS) -lpthread
GENERATED_MESSAGES = tests/unit/remote_write_1.pb-c.c tests/unit/remote_write_1.pb-c.h tests/unit/remote_write_2.pb-c.c \
	tests/unit/remote_write_2.pb-c.h
CLEANFILES += $(GENERATED_MESSAGES)
$(tests_unit_check_remote_write_OBJECTS): $(GENERATED_MESSAGES)
endif
endif
if WITH_OTLP
if WITH_PROTOBUF_C
check_PROGRAMS += tests/unit/check_otlp
tests_unit_check_otlp_SOURCES = tests/unit/check_otlp.c tests/unit/labels.h plugins/otlp/encode.c plugins/otlp/verdict.c
nodist_tests_unit_check_otlp_SOURCES = tests/unit/otlp.pb-c.c
tests_unit_check_otlp_CPPFLAGS = $(TEST_CPPFLAGS) $(PROTOBUF_C_CFLAGS) $(CURL_CFLAGS) -I$(srcdir)/plugins/otlp \
	-I$(srcdir)/plugins/push -I.
tests_unit_check_otlp_LDADD = libpush_http.la libpush.la $(CHECK_LIBS) $(PROTOBUF_C_LIBS) $(CURL_LIBS) -lpthread
OTLP_MESSAGES = tests/unit/otlp.pb-c.c tests/unit/otlp.pb-c.h
CLEANFILES += $(OTLP_MESSAGES)
$(tests_unit_check_otlp_OBJECTS): $(OTLP_MESSAGES)
endif
endif
EXTRA_DIST += tests/unit/assertions.h tests/unit/remote_write_1.proto tests/unit/remote_write_2.proto tests/unit/otlp.proto
tests/unit/%.pb-c.c tests/unit/%.pb-c.h: tests/unit/%.proto
	$(AM_V_GEN)$(MKDIR_P) tests/unit && $(PROTOC_C) -I$(srcdir) --c_out=. $(srcdir)/tests/unit/$*.proto
if WITH_STATSD
check_PROGRAMS += tests/unit/check_statsd
tests_unit_check_statsd_SOURCES = tests/unit/check_statsd.c $(STATSD_LINES) $(STATSD_SOCKETS)
tests_unit_check_statsd_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/statsd -I$(srcdir)/plugins/prometheus
tests_unit_check_statsd_LDADD = $(CHECK_LIBS) -lpthread -lm
endif
if WITH_GRAPHITE
check_PROGRAMS += tests/unit/check_graphite
tests_unit_check_graphite_SOURCES = tests/unit/check_graphite.c tests/unit/labels.h $(GRAPHITE_LINES)
tests_unit_check_graphite_CPPFLAGS = $(TEST_CPPFLAGS) $(GRAPHITE_INCLUDES)
tests_unit_check_graphite_LDADD = libpush.la $(CHECK_LIBS) -lm
endif
if WITH_SYSTEM
check_PROGRAMS += tests/unit/check_system
tests_unit_check_system_SOURCES = tests/unit/check_system.c plugins/system/file.c plugins/system/items.c \
	plugins/system/parse.c plugins/system/probe.c
tests_unit_check_system_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/system
tests_unit_check_system_LDADD = $(CHECK_LIBS) -lpthread
endif
if WITH_PG_STATS
check_PROGRAMS += tests/unit/check_pg_stats
tests_unit_check_pg_stats_SOURCES = tests/unit/check_pg_stats.c $(PG_STATS_PARTS) $(PG_STATS_QUERIES)
tests_unit_check_pg_stats_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/pg_stats
tests_unit_check_pg_stats_LDADD = $(CHECK_LIBS) -lm
endif
if WITH_HTTP
if WITH_PROMETHEUS
check_PROGRAMS += tests/unit/check_plugins
tests_unit_check_plugins_SOURCES = tests/unit/check_plugins.c plugins/http/auth.c plugins/prometheus/negotiate.c \
	plugins/prometheus/number.c
tests_unit_check_plugins_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/prometheus
tests_unit_check_plugins_LDADD = $(CHECK_LIBS) $(CRYPT_LIBS) -lm
endif
endif
endif

include tests/plugins/plugins.mk

if FUZZ
FUZZ_FLAGS = $(AM_CFLAGS) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
FUZZERS = tests/fuzz/fuzz_config tests/fuzz/fuzz_http tests/fuzz/fuzz_obfuscate tests/fuzz/fuzz_system
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c core/config.c core/mistakes.c core/outline.c core/schema.c core/secret.c core/log.c \
	core/util/arena.c core/util/strbuf.c
tests_fuzz_fuzz_config_CPPFLAGS = $(TEST_CPPFLAGS)
tests_fuzz_fuzz_config_CFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_config_LDADD = $(CONFUSE_LIBS)
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz_http.c plugins/http/http.c plugins/http/auth.c
tests_fuzz_fuzz_http_CPPFLAGS = $(TEST_CPPFLAGS) $(MICROHTTPD_CFLAGS)
tests_fuzz_fuzz_http_CFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_http_LDADD = $(MICROHTTPD_LIBS) $(CRYPT_LIBS)
tests_fuzz_fuzz_obfuscate_SOURCES = tests/fuzz/fuzz_obfuscate.c plugins/pg_stats/obfuscate.c
tests_fuzz_fuzz_obfuscate_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/pg_stats
tests_fuzz_fuzz_obfuscate_CFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_system_SOURCES = tests/fuzz/fuzz_system.c plugins/system/parse.c
tests_fuzz_fuzz_system_CPPFLAGS = $(TEST_CPPFLAGS) -I$(srcdir)/plugins/system
tests_fuzz_fuzz_system_CFLAGS = $(FUZZ_FLAGS)
if WITH_REMOTE_WRITE
FUZZERS += tests/fuzz/fuzz_remote_write
tests_fuzz_fuzz_remote_write_SOURCES = tests/fuzz/fuzz_remote_write.c $(REMOTE_WRITE_ENCODE) plugins/remote_write/verdict.c \
	plugins/push/answer.c plugins/push/checkpoint.c plugins/push/crc32c.c plugins/push/parts.c plugins/push/record.c \
	plugins/push/segment.c
tests_fuzz_fuzz_remote_write_CPPFLAGS = $(TEST_CPPFLAGS) $(CURL_CFLAGS) -I$(srcdir)/plugins/remote_write -I$(srcdir)/plugins/push
tests_fuzz_fuzz_remote_write_CFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_remote_write_LDADD = $(CURL_LIBS) $(SNAPPY_LIBS)
endif
if WITH_OTLP
FUZZERS += tests/fuzz/fuzz_otlp
tests_fuzz_fuzz_otlp_SOURCES = tests/fuzz/fuzz_otlp.c plugins/otlp/encode.c plugins/otlp/verdict.c plugins/push/answer.c \
	plugins/push/parts.c plugins/push/record.c
tests_fuzz_fuzz_otlp_CPPFLAGS = $(TEST_CPPFLAGS) $(CURL_CFLAGS) -I$(srcdir)/plugins/otlp -I$(srcdir)/plugins/push
tests_fuzz_fuzz_otlp_CFLAGS = $(FUZZ_FLAGS)
tests_fuzz_fuzz_otlp_LDADD = $(CURL_LIBS)
endif
check_PROGRAMS += $(FUZZERS)
fuzzers: $(FUZZERS)
.PHONY: fuzzers
endif
EXTRA_DIST += tests/fuzz/corpus
