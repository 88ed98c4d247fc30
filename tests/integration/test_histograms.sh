#!/bin/bash
# Histograms, summaries and exemplars on the page: as OpenMetrics' own reader, promtool and a Prometheus take them.
. "$(dirname "$0")/functions.sh"
. "$here/prometheus.sh"
use_test_plugins

# Not in the order of a page, and with bounds in several forms.
page() { # COUNT: of the last bucket; TRACE: of its exemplar
    cat <<EOF
# HELP shop_request_duration_seconds_bucket How long requests took
# TYPE shop_request_duration_seconds_bucket histogram
# UNIT shop_request_duration_seconds_bucket seconds
shop_request_duration_seconds_bucket{le="+Inf",path="/"} $1 # {trace_id="$2",note="a \"b\""} 7.5
shop_request_duration_seconds_bucket{le="1",path="/"} 90 # {trace_id="first"} 0.7 1700000000 # {trace_id="second"} 0.8
shop_request_duration_seconds_bucket{le=".10",path="/"} 0
shop_request_duration_seconds_bucket{le="1000000",path="/"} 99
shop_request_duration_seconds_bucket{le="+Inf",path=",le="} 1
shop_request_duration_seconds_bucket{le="1",path=",le="} 1
# TYPE shop_request_duration_seconds_count histogram
# UNIT shop_request_duration_seconds_count seconds
shop_request_duration_seconds_count{path="/"} $1
shop_request_duration_seconds_count{path=",le="} 1
# TYPE shop_request_duration_seconds_sum histogram
# UNIT shop_request_duration_seconds_sum seconds
shop_request_duration_seconds_sum{path=",le="} 0.5
shop_request_duration_seconds_sum{path="/"} 250.5
# TYPE shop_items_sum summary
shop_items_sum 7
# HELP shop_items Items of an order
# TYPE shop_items summary
shop_items{quantile="1"} 2
shop_items{quantile=".5"} 1
# TYPE shop_items_count summary
shop_items_count 7
# HELP shop_orders_total Orders
# TYPE shop_orders_total counter
shop_orders_total 8 # {} 3
# HELP shop_visits Counted, but not called _total
# TYPE shop_visits counter
shop_visits 8 # {trace_id="x"} 1
EOF
}
page 100 slow > "$scratch/page"
start_postgresql "$pg_bin" || exit 1
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "prometheus", "script", "pool", "pg_stats" }
interval = "300ms"
http { listen = "127.0.0.1:0" }
prometheus { }
script "a" { file = "$scratch/page" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "postgres" }
pg_stats "a" { pool = "a" groups = { "process_idle" } }
EOF
export PGAPPNAME=sleeper
mkfifo "$scratch/sleeper"
psql -X -q postgres < "$scratch/sleeper" & # idle as long as nobody closes it
exec 7> "$scratch/sleeper"
start_weir "$scratch/weir.conf" || exit 1
wait_until "a bucket is shown" has_metric shop_request_duration_seconds_bucket
wait_until "idle sessions are shown" metric_is 1 pg_process_idle_seconds_count 'application_name="sleeper"'

lines() { # FORMAT NAME: its samples, as they stand on the page
    curl -sf -H "Accept: $1" "$url/metrics" | grep "^$2" | grep -v '^#'
}
openmetrics='application/openmetrics-text;version=1.0.0' text='text/plain;version=0.0.4'
cat > "$scratch/expected" <<'EOF'
shop_request_duration_seconds_bucket{le="1.0",path=",le="} 1
shop_request_duration_seconds_bucket{le="+Inf",path=",le="} 1
shop_request_duration_seconds_sum{path=",le="} 0.5
shop_request_duration_seconds_count{path=",le="} 1
shop_request_duration_seconds_bucket{le="0.1",path="/"} 0
shop_request_duration_seconds_bucket{le="1.0",path="/"} 90 # {trace_id="second"} 0.8 TIME
shop_request_duration_seconds_bucket{le="1e+06",path="/"} 99
shop_request_duration_seconds_bucket{le="+Inf",path="/"} 100 # {note="a \"b\"",trace_id="slow"} 7.5 TIME
shop_request_duration_seconds_sum{path="/"} 250.5
shop_request_duration_seconds_count{path="/"} 100
EOF
same() { diff "$scratch/expected" - > "$scratch/difference" || { cat "$scratch/difference"; return 1; }; }
timeless() { sed -E 's/(# \{.*\} [0-9.]+) [0-9.]+$/\1 TIME/'; }
check "OpenMetrics: in order, with exemplars" same < <(lines "$openmetrics" shop_request | timeless)
sed -Ei 's/ # .*//; s/le="1\.0"/le="1"/' "$scratch/expected"
check "text 0.0.4: bounds as Go writes them, no exemplars" same < <(lines "$text" shop_request)
check "one TYPE for all parts" [ "$(curl -sf "$url/metrics" | grep -c '^# TYPE shop_request_duration_seconds')" = 1 ]
check "a summary" [ "$(lines "$openmetrics" shop_items | tr '\n' ';')" = 'shop_items{quantile="0.5"} 1;shop_items{quantile="1.0"} 2;shop_items_sum 7;shop_items_count 7;' ]
check "an exemplar of a counter" grep -qE '^shop_orders_total 8 # \{\} 3 [0-9.]+$' <(lines "$openmetrics" shop_orders)
check "none of one that OpenMetrics cannot call a counter" [ "$(lines "$openmetrics" shop_visits)" = 'shop_visits 8' ]
check "postgres_exporter's histogram is one" grep -q '^# TYPE pg_process_idle_seconds histogram' <(curl -sf "$url/metrics")
check "its bounds are those of the exporter" [ "$(lines "$text" pg_process_idle_seconds_bucket | grep sleeper | grep -oE 'le="[^"]*"' | tr '\n' ' ')" = \
    'le="1" le="2" le="5" le="15" le="30" le="60" le="90" le="120" le="300" le="+Inf" ' ]

cat > "$scratch/read.py" <<'EOF'
import gzip, sys, urllib.request
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
def get(accept, gz):
    request = urllib.request.Request(sys.argv[1] + '/metrics', headers={'Accept': accept, **({'Accept-Encoding': 'gzip'} if gz else {})})
    with urllib.request.urlopen(request) as answer:
        body = answer.read()
        return (gzip.decompress(body) if answer.headers.get('Content-Encoding') == 'gzip' else body).decode()
for gz in False, True:
    for turn in range(3):
        families = {f.name: f for f in openmetrics.text_string_to_metric_families(get(sys.argv[2], gz))}
        assert families['shop_request_duration_seconds'].type == 'histogram' and families['shop_request_duration_seconds'].unit == 'seconds'
        assert families['shop_request_duration_seconds'].documentation == 'How long requests took'
        found = {s.exemplar.labels['trace_id']: s.exemplar for s in families['shop_request_duration_seconds'].samples if s.exemplar}
        assert set(found) == {'second', 'slow'} and found['slow'].value == 7.5, found
        assert families['shop_items'].type == 'summary' and families['shop_orders'].samples[0].exemplar.value == 3
        families = {f.name: f for f in parser.text_string_to_metric_families(get(sys.argv[3], gz))}
        assert families['shop_request_duration_seconds'].type == 'histogram' and len(families['shop_request_duration_seconds'].samples) == 10
EOF
check "OpenMetrics' own reader takes both formats, compressed too" python3 "$scratch/read.py" "$url" "$openmetrics" "$text"
strict() { curl -sf -H "Accept: $1" "$url/metrics" | python3 "$here/exposition.py" "${@:2}"; }
check "our own strict reader takes the one" strict "$openmetrics" --openmetrics
check "and the other" strict "$text"
linted() { # promtool speaks of other families too, which are named as those of others are
    curl -sf "$url/metrics" > "$scratch/linted" && grep -q '^shop_request' "$scratch/linted" || return 1
    promtool check metrics < "$scratch/linted" > "$scratch/lint" 2>&1
    case $? in 0 | 3) ;; *) cat "$scratch/lint"; return 1 ;; esac # 3: it has complaints
    ! grep -E 'shop_(request|items|orders)' "$scratch/lint"
}
check "promtool has nothing against the histogram" linted

# A Prometheus that keeps exemplars.
echo '' > "$scratch/rules.yml"
start_prometheus --enable-feature=exemplar-storage
wait_until "Prometheus: a quantile" query_is 'round(histogram_quantile(0.5, shop_request_duration_seconds_bucket{path="/"}), 0.001)' 0.6
exemplars() { # the traces of the buckets
    curl -sf --data-urlencode 'query=shop_request_duration_seconds_bucket' -d start=$(($(date +%s) - 600)) -d end=$(($(date +%s) + 600)) \
        "$api/api/v1/query_exemplars" | jq -r '[.data[].exemplars[].labels.trace_id] | unique | join(" ")'
}
exemplars_are() { [ "$(exemplars)" = "$1" ]; }
wait_until "Prometheus: the exemplars" exemplars_are "second slow"
page 200 slower > "$scratch/page.new"
mv "$scratch/page.new" "$scratch/page"
wait_until "a new exemplar comes after the old one" exemplars_are "second slow slower"
check "Prometheus had no complaint" sh -c "! grep -E 'level=(warn|error)' $scratch/prometheus.log | grep -v 'A TSDB lockfile'"
check "no exemplar was refused" metric_is 0 weir_refused_total 'instance="script/a"' 'reason="exemplar"'

# What is no histogram is refused, and the rest goes on.
{ page 300 last; printf '# TYPE x histogram\nx{le="1"} 1\n# TYPE y_bucket histogram\ny_bucket{le="much"} 1\n# TYPE shop_items_count gauge\nshop_items_count{a="b"} 1\n'
  printf '# TYPE long_total counter\nlong_total 1 # {a="%0200d"} 1\n' 0; } > "$scratch/page.new"
mv "$scratch/page.new" "$scratch/page"
wait_until "the others come" metric_is 300 shop_request_duration_seconds_count 'path="/"'
for name in x y_bucket shop_items_count; do
    check "$name is refused" log_has "\"$name\" is refused"
done
wait_until "an exemplar that is too long is counted" metric_at_least 1 weir_refused_total 'instance="script/a"' 'reason="exemplar"'
check "its value is there" metric_is 1 long_total
exec 7>&-
stop_weir
finish
