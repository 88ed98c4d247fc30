if WITH_PROMETHEUS
plugin_LTLIBRARIES += prometheus.la
prometheus_la_SOURCES = plugins/prometheus/prometheus.c plugins/prometheus/model.c plugins/prometheus/model.h \
	plugins/prometheus/distribution.c plugins/prometheus/distribution.h \
	plugins/prometheus/render.c plugins/prometheus/render.h plugins/prometheus/number.c plugins/prometheus/number.h \
	plugins/prometheus/negotiate.c plugins/prometheus/negotiate.h plugins/prometheus/image.c plugins/prometheus/image.h
prometheus_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(ZLIB_CFLAGS)
prometheus_la_CFLAGS = $(PLUGIN_CFLAGS)
prometheus_la_LDFLAGS = $(PLUGIN_LDFLAGS)
prometheus_la_LIBADD = $(ZLIB_LIBS) -lpthread -lm
endif
