if WITH_OTLP
plugin_LTLIBRARIES += otlp.la
otlp_la_SOURCES = plugins/otlp/otlp.c plugins/otlp/encode.c plugins/otlp/encode.h plugins/otlp/verdict.c plugins/otlp/verdict.h \
	$(PUSH_HTTP)
otlp_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(CURL_CFLAGS) -I$(srcdir)/plugins/push -DPUSH_NAME='"otlp"'
otlp_la_CFLAGS = $(PLUGIN_CFLAGS)
otlp_la_LDFLAGS = $(PLUGIN_LDFLAGS)
otlp_la_LIBADD = libpush_http.la libpush.la $(CURL_LIBS) -lpthread
endif
