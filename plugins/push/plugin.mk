# What pushes through a queue on disk.  Two files each plugin compiles itself, with its own PUSH_NAME; all others are compiled once.
PUSH = plugins/push/push.c plugins/push/push.h
PUSH_HTTP = plugins/push/http_push.c plugins/push/http_push.h $(PUSH)
EXTRA_LTLIBRARIES += libpush.la libpush_http.la
libpush_la_SOURCES = plugins/push/sender.c plugins/push/sender.h plugins/push/backoff.h plugins/push/catalog.c plugins/push/catalog.h \
	plugins/push/record.c plugins/push/record.h plugins/push/relabel.c plugins/push/relabel.h plugins/push/queue.c plugins/push/queue.h \
	plugins/push/segment.c plugins/push/segment.h plugins/push/checkpoint.c plugins/push/checkpoint.h plugins/push/directory.c \
	plugins/push/directory.h plugins/push/crc32c.c plugins/push/crc32c.h
libpush_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
libpush_la_CFLAGS = $(PLUGIN_CFLAGS)
libpush_http_la_SOURCES = plugins/push/http_carrier.c plugins/push/http_carrier.h plugins/push/answer.c plugins/push/answer.h \
	plugins/push/parts.c plugins/push/parts.h
libpush_http_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(CURL_CFLAGS)
libpush_http_la_CFLAGS = $(PLUGIN_CFLAGS)
