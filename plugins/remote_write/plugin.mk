REMOTE_WRITE_ENCODE = plugins/remote_write/encode.c plugins/remote_write/encode.h plugins/remote_write/compress.c plugins/remote_write/compress.h
if WITH_REMOTE_WRITE
plugin_LTLIBRARIES += remote_write.la
remote_write_la_SOURCES = plugins/remote_write/remote_write.c $(REMOTE_WRITE_ENCODE) \
	plugins/remote_write/verdict.c plugins/remote_write/verdict.h $(PUSH_HTTP)
remote_write_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(CURL_CFLAGS) -I$(srcdir)/plugins/push -DPUSH_NAME='"remote_write"'
remote_write_la_CFLAGS = $(PLUGIN_CFLAGS)
remote_write_la_LDFLAGS = $(PLUGIN_LDFLAGS)
remote_write_la_LIBADD = libpush_http.la libpush.la $(CURL_LIBS) $(SNAPPY_LIBS) -lpthread
endif
