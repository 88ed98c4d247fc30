"""A receiver of remote write that takes everything, for the benchmarks that push."""
import http.server, threading

class Receiver(http.server.ThreadingHTTPServer):
    """Counts bytes of bodies; says that all is written."""
    daemon_threads = True

    def __init__(self, **more):
        self.bytes, self.requests, self.stopped, self.counting = 0, 0, False, threading.Lock()
        super().__init__(('127.0.0.1', more.get('at', 0)), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = 'http://127.0.0.1:%d/write' % self.server_port

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        length = int(self.headers['Content-Length'])
        self.rfile.read(length)
        with self.server.counting:
            self.server.bytes += length
            self.server.requests += 1
        self.send_response_only(204)
        self.send_header('X-Prometheus-Remote-Write-Samples-Written', '1000000')
        self.end_headers()
    def log_message(self, *_): pass
