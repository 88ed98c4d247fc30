// otlp_decode.js - decodes requests of OTLP with OpenTelemetry's own messages for JavaScript, which are made from its .proto files.
//
// otlp_decode.js MODULES: reads a body a line, in base64, and prints for each a line of JSON: whether the messages make the same bytes
// of it again, and its data points, each with all that is told of it.  Integers of 64 bits are texts, doubles their bits; what is not
// there, which the messages have as null, is what proto3 says.
'use strict';
const path = require('path'), readline = require('readline');
const modules = path.resolve(process.argv[2]);
const root = require(path.join(modules, 'build/src/generated/root.js')).opentelemetry.proto;
const Request = root.collector.metrics.v1.ExportMetricsServiceRequest;
const { AGGREGATION_TEMPORALITY_CUMULATIVE } = root.metrics.v1.AggregationTemporality;

function bits(value) {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return bytes.toString('hex');
}

function hex(bytes) {
    return Buffer.from(bytes ?? []).toString('hex');
}

function attributes(list) {
    return list.map(({ key, value }) => [key, value.value, value[value.value]]);
}

function* points(request) {
    for (const { resource, scopeMetrics } of request.resourceMetrics)
        for (const { scope, metrics } of scopeMetrics)
            for (const metric of metrics) {
                const data = metric[metric.data];
                for (const point of data.dataPoints)
                    yield {
                        resource: attributes(resource.attributes), scope: scope.name, version: scope.version,
                        name: metric.name, help: metric.description ?? '', unit: metric.unit ?? '', kind: metric.data,
                        cumulative: metric.data === 'sum' && data.aggregationTemporality === AGGREGATION_TEMPORALITY_CUMULATIVE,
                        monotonic: metric.data === 'sum' && data.isMonotonic,
                        attributes: attributes(point.attributes), flags: point.flags ?? 0,
                        time: point.timeUnixNano.toString(), start: (point.startTimeUnixNano ?? 0).toString(),
                        int: point.value === 'asInt' ? point.asInt.toString() : null,
                        double: point.value === 'asDouble' ? bits(point.asDouble) : null,
                        exemplars: point.exemplars.map(one => [
                            one.timeUnixNano.toString(), one.value === 'asDouble' ? one.asDouble : null, hex(one.traceId), hex(one.spanId),
                            attributes(one.filteredAttributes)]),
                    };
            }
}

readline.createInterface({ input: process.stdin }).on('line', line => {
    const body = Buffer.from(line, 'base64'), request = Request.decode(body);
    const again = Buffer.from(Request.encode(request).finish());
    console.log(JSON.stringify({ same: again.equals(body), points: [...points(request)] }));
});
