"""A name server that knows nothing: "silent.*" is never answered, every other name does not exist.

resolver.py ADDRESS LOG: listens on port 53 of the address, and writes each name asked for into the log.
"""
import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
log = open(sys.argv[2], 'w', buffering=1)
print('ready', file=log)
while True:
    query, client = server.recvfrom(4096)
    labels, at = [], 12
    while at < len(query) and query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode('latin-1'))
        at += 1 + query[at]
    print('.'.join(labels), file=log)
    if labels[:1] != ['silent']:
        # A response, recursion available, NXDOMAIN; the question comes back.
        server.sendto(query[:2] + b'\x81\x83' + query[4:6] + b'\0' * 6 + query[12:at + 5], client)
