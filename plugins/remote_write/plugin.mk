if WITH_REMOTE_WRITE
plugin_LTLIBRARIES += remote_write.la
REMOTE_WRITE_QUEUE = plugins/remote_write/queue.c plugins/remote_write/queue.h plugins/remote_write/segment.c \
	plugins/remote_write/segment.h plugins/remote_write/checkpoint.c plugins/remote_write/checkpoint.h \
	plugins/remote_write/directory.c plugins/remote_write/directory.h plugins/remote_write/crc32c.c plugins/remote_write/crc32c.h
remote_write_la_SOURCES = plugins/remote_write/remote_write.c $(REMOTE_WRITE_QUEUE) \
	plugins/remote_write/answer.c plugins/remote_write/answer.h plugins/remote_write/catalog.c plugins/remote_write/catalog.h \
	plugins/remote_write/encode.c plugins/remote_write/encode.h plugins/remote_write/record.c plugins/remote_write/record.h \
	plugins/remote_write/relabel.c plugins/remote_write/relabel.h plugins/remote_write/send.c plugins/remote_write/send.h
remote_write_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(CURL_CFLAGS)
remote_write_la_CFLAGS = $(PLUGIN_CFLAGS)
remote_write_la_LDFLAGS = $(PLUGIN_LDFLAGS)
remote_write_la_LIBADD = $(CURL_LIBS) $(SNAPPY_LIBS) -lpthread
endif
