if WITH_HTTP
plugin_LTLIBRARIES += http.la
http_la_SOURCES = plugins/http/http.c plugins/http/auth.c plugins/http/auth.h plugins/http/weir_http.h
http_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(MICROHTTPD_CFLAGS)
http_la_CFLAGS = $(PLUGIN_CFLAGS)
http_la_LDFLAGS = $(PLUGIN_LDFLAGS)
http_la_LIBADD = $(MICROHTTPD_LIBS) $(CRYPT_LIBS) -lpthread
include_HEADERS += plugins/http/weir_http.h
endif
