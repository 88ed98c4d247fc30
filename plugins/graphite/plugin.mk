if WITH_GRAPHITE
plugin_LTLIBRARIES += graphite.la
GRAPHITE_LINES = plugins/graphite/lines.c plugins/graphite/lines.h $(TEMPLATE) $(NUMBER)
GRAPHITE_INCLUDES = -I$(srcdir)/plugins/graphite -I$(srcdir)/plugins/push -I$(srcdir)/plugins/statsd -I$(srcdir)/plugins/prometheus
graphite_la_SOURCES = plugins/graphite/graphite.c plugins/graphite/tcp_carrier.c plugins/graphite/tcp_carrier.h $(GRAPHITE_LINES) \
	$(LOOKUP) $(PUSH)
graphite_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(GRAPHITE_INCLUDES) -DPUSH_NAME='"graphite"'
graphite_la_CFLAGS = $(PLUGIN_CFLAGS)
graphite_la_LDFLAGS = $(PLUGIN_LDFLAGS)
graphite_la_LIBADD = libpush.la -lpthread -lm
endif
