# Small plugins that tests load: well-behaved ones, and each kind of bad one.  Never installed.
TEST_PLUGIN_LDFLAGS = $(PLUGIN_LDFLAGS) -rpath /nowhere
TEST_PLUGIN_ANY_SYMBOL = $(AM_LDFLAGS) -module -avoid-version -shared -rpath /nowhere

check_LTLIBRARIES += tests/plugins/good.la tests/plugins/hang.la tests/plugins/crash.la tests/plugins/nonsense.la \
	tests/plugins/other_major.la tests/plugins/no_symbol.la tests/plugins/refuses.la tests/plugins/wrong_name.la \
	tests/plugins/bad_options.la tests/plugins/old_size.la tests/plugins/counter.la tests/plugins/stage.la tests/plugins/stage_user.la \
	tests/plugins/wrong_size.la tests/plugins/older.la tests/plugins/outside.la tests/plugins/released.la tests/plugins/leak.la \
	tests/plugins/awkward.la tests/plugins/everything.la tests/plugins/crowd.la tests/plugins/script.la \
	tests/plugins/churn.la tests/plugins/calls.la
tests_plugins_churn_la_SOURCES = tests/plugins/churn.c tests/plugins/small.h
tests_plugins_churn_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_calls_la_SOURCES = tests/plugins/calls.c
tests_plugins_calls_la_LDFLAGS = $(TEST_PLUGIN_ANY_SYMBOL)
tests_plugins_crowd_la_SOURCES = tests/plugins/crowd.c tests/plugins/small.h
tests_plugins_crowd_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_script_la_SOURCES = tests/plugins/script.c tests/plugins/small.h
tests_plugins_script_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_everything_la_SOURCES = tests/plugins/everything.c
tests_plugins_everything_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_good_la_SOURCES = tests/plugins/good.c
tests_plugins_good_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_hang_la_SOURCES = tests/plugins/hang.c
tests_plugins_hang_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_crash_la_SOURCES = tests/plugins/crash.c
tests_plugins_crash_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_nonsense_la_SOURCES = tests/plugins/nonsense.c
tests_plugins_nonsense_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_counter_la_SOURCES = tests/plugins/counter.c
tests_plugins_counter_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_refuses_la_SOURCES = tests/plugins/refuses.c
tests_plugins_refuses_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_wrong_name_la_SOURCES = tests/plugins/wrong_name.c
tests_plugins_wrong_name_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_bad_options_la_SOURCES = tests/plugins/bad_options.c
tests_plugins_bad_options_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_old_size_la_SOURCES = tests/plugins/old_size.c
tests_plugins_old_size_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_other_major_la_SOURCES = tests/plugins/other_major.c
tests_plugins_other_major_la_LDFLAGS = $(TEST_PLUGIN_ANY_SYMBOL)
tests_plugins_no_symbol_la_SOURCES = tests/plugins/no_symbol.c
tests_plugins_no_symbol_la_LDFLAGS = $(TEST_PLUGIN_ANY_SYMBOL)
tests_plugins_stage_la_SOURCES = tests/plugins/stage.c tests/plugins/stage.h tests/plugins/small.h
tests_plugins_stage_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_stage_user_la_SOURCES = tests/plugins/stage_user.c tests/plugins/stage.h tests/plugins/small.h
tests_plugins_stage_user_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_wrong_size_la_SOURCES = tests/plugins/wrong_size.c tests/plugins/small.h
tests_plugins_wrong_size_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_older_la_SOURCES = tests/plugins/older.c tests/plugins/small.h
tests_plugins_older_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_outside_la_SOURCES = tests/plugins/outside.c tests/plugins/small.h
tests_plugins_outside_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_released_la_SOURCES = tests/plugins/released.c tests/plugins/small.h
tests_plugins_released_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_leak_la_SOURCES = tests/plugins/leak.c tests/plugins/small.h
tests_plugins_leak_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_awkward_la_SOURCES = tests/plugins/awkward.c tests/plugins/small.h
tests_plugins_awkward_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
if WITH_POOL
check_LTLIBRARIES += tests/plugins/tour.la
tests_plugins_tour_la_SOURCES = tests/plugins/tour.c tests/plugins/small.h
tests_plugins_tour_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(PQ_CFLAGS)
tests_plugins_tour_la_LDFLAGS = $(TEST_PLUGIN_LDFLAGS)
tests_plugins_tour_la_LIBADD = $(PQ_LIBS)
endif
