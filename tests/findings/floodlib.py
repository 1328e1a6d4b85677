"""A load of many keep-alive connections by epoll, in a child process, as another user if asked. As the one that the scripts
were written with, but that a flood of commands goes to the operators' listener."""
import json, os, re, select, signal, socket, time


def http(method, path, body=b'', bearer=''):
    """One request as bytes."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    authorization = f'authorization: Bearer {bearer}\r\n' if bearer else ''
    return (f'{method} {path} HTTP/1.1\r\nhost: a\r\n{authorization}content-type: application/json\r\n'
            f'content-length: {len(body)}\r\n\r\n').encode() + body


def connect(target, source):
    if isinstance(target, str):
        s = socket.socket(socket.AF_UNIX)
        s.connect(target)
    else:
        s = socket.socket()
        if source:
            s.bind((source, 0))
        s.connect(tuple(target))
    s.setblocking(False)
    return s


def answers(buffer):
    """Takes the whole answers from the front of a buffer: (statuses, rest)."""
    statuses = []
    while (end := buffer.find(b'\r\n\r\n')) >= 0:
        length = re.search(rb'content-length: (\d+)', buffer[:end], re.I)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(buffer) < whole:
            break
        statuses.append(buffer[9:12].decode())
        buffer = buffer[whole:]
    return statuses, buffer


def flood(target, request, seconds, connections, uid=None, pipeline=1, source=None):
    """Sends `request` over and over on each connection, `pipeline` of them before an answer comes."""
    if re.match(rb'[A-Z]+ /v1/(commands|approvals|sessions)[ /?]', request):
        target = (target[0], getattr(target[1], 'operators', target[1])) if isinstance(target, tuple) else (
            getattr(target, 'operators', target))
    if uid is not None and os.getuid() == 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    poll, open_ones, counts = select.epoll(), {}, {}
    for _ in range(connections):
        try:
            s = connect(target, source)
            s.send(request * pipeline)
        except OSError:
            continue
        open_ones[s.fileno()] = [s, b'']
        poll.register(s, select.EPOLLIN)
    opened, end = len(open_ones), time.time() + seconds
    while open_ones and time.time() < end:
        for fd, _ in poll.poll(.2):
            s, buffer = open_ones[fd]
            try:
                data = s.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b''
            if not data:
                poll.unregister(fd)
                s.close()
                del open_ones[fd]
                continue
            statuses, open_ones[fd][1] = answers(buffer + data)
            for status in statuses:
                counts[status] = counts.get(status, 0) + 1
            try:
                s.send(request * len(statuses))
            except OSError:
                pass
    for s, _ in open_ones.values():
        s.close()
    return {'connections': opened, 'statuses': counts}


class Flood:
    """flood() in a child process."""
    def __init__(self, *arguments, **more):
        self.read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(self.read_end)
            try:
                out = flood(*arguments, **more)
            except BaseException as e:
                out = {'error': repr(e)}
            os.write(write_end, json.dumps(out).encode())
            os._exit(0)
        os.close(write_end)

    def wait(self):
        with os.fdopen(self.read_end, 'rb') as f:
            out = json.loads(f.read() or b'{}')
        os.waitpid(self.pid, 0)
        return out

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()
