"""Shared by the scripts of this folder: a scratch node of real processes, minisign signing, HTTP over unix sockets and
TCP, and how a script tells what it saw.

A script has `check()`, which gives (faults, checked): a list of what was seen against README.md's right column, and one
line about what was checked. `judge(check)` prints `holds: ...` (exit 0), `fault: ...` (exit 1) or `not run: ...`
(exit 2: a tool is missing, a node did not start, the programs speak another language).
KEEP=1 leaves the scratch folders."""
import atexit, base64, contextlib, hashlib, http.client, json, os, secrets, shutil, signal, socket, struct, subprocess, sys
import tempfile, threading, time, traceback

HERE = os.path.dirname(os.path.abspath(__file__))
# Operators have listeners of their own: the helpers of Node and Proxy send what is an operator's there. What must take effect
# for a check to make sense is approved by a second person where one alone may not do it. A session is opened anew before the
# agent ends it. Nothing else differs from the cd.py that the scripts were written with.
BIN = os.path.abspath(os.environ.get('CONDUCTOR_BIN_DIR', 'target/release'))
NODE = '0' * 32  # the node's own log
LONG = '--long' in sys.argv
BOUND = 1500 if LONG else 85  # seconds for a script


class NotRun(Exception):
    """The check could not be made."""


try:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
except ImportError:
    Ed25519PrivateKey = None


def random_id():
    return secrets.token_hex(16)


# --- what a script says ------------------------------------------------------------------------------------------

def judge(check):
    """Runs a check within its bound, cleans up, says the verdict as the last line, and exits."""
    def out_of_time(*_):
        raise NotRun(f'took longer than {BOUND} s')

    def ended(*_):
        raise NotRun('ended from outside')
    signal.signal(signal.SIGALRM, out_of_time)
    signal.signal(signal.SIGTERM, ended)
    signal.alarm(BOUND)
    try:
        if Ed25519PrivateKey is None:
            raise NotRun('python3 has no module cryptography')
        for program in ('conductor', 'conductord', 'conductor-signer'):
            if not os.access(f'{BIN}/{program}', os.X_OK):
                raise NotRun(f'no {program} in {BIN}; set CONDUCTOR_BIN_DIR')
        faults, checked = check()
        code, line = (1, 'fault: ' + '; '.join(faults)) if faults else (0, 'holds: ' + checked)
    except NotRun as e:
        code, line = 2, f'not run: {e}'
    except Exception as e:
        traceback.print_exc()
        code, line = 2, f'not run: {type(e).__name__}: {e}'
    signal.alarm(0)
    clean_up()
    sys.stderr.flush()
    print(' '.join(line.split()), flush=True)
    os._exit(code)  # threads of a load may still wait for answers


def only_long(seconds):
    if not LONG:
        raise NotRun(f'takes {seconds} s; add --long')


# --- operations --------------------------------------------------------------------------------------------------
# All texts of operations stand here. If the project renames a field, add the new spelling here and nowhere else.

class Share:
    """A part of all subjects, in percent; its field has had several names, see SHARE_SPELLINGS."""
    def __init__(self, percent):
        self.percent = percent


# (field, how the value is written); the first that the agent understands is used.
SHARE_SPELLINGS = (
    ('hundredths', lambda p: str(round(p * 100))),
    ('basis_points', lambda p: str(round(p * 100))),
    ('percent', lambda p: f'{p:g}'),
    ('share', lambda p: f'{p:g} %'),
    ('share', lambda p: f'{p:g}%'),
    ('share', lambda p: f'{p:g}'),
)


class Op:
    """An operation: its name, the object that it changes, and its arguments in order."""
    def __init__(self, name, object, /, **args):
        self.name, self.object, self.args = name, object, args

    def words(self, spelling=SHARE_SPELLINGS[0]):
        out = [self.name]
        for field, value in self.args.items():
            out += [spelling[0], spelling[1](value.percent)] if isinstance(value, Share) else [field, value]
        return out

    def has_share(self):
        return any(isinstance(v, Share) for v in self.args.values())


def kill_set(selector='*/*'):
    return Op('kill.set', f'kill {selector}', selector=selector, drain='false')


def kill_clear(selector='*/*'):
    return Op('kill.clear', f'kill {selector}', selector=selector)


def ramp_set(selector, percent):
    return Op('ramp.set', f'ramp {selector}', selector=selector, share=Share(percent))


def ramp_cap(selector, percent):
    return Op('ramp.cap', f'ramp {selector}', selector=selector, share=Share(percent))


def plan_set(selector, steps):
    return Op('plan.set', f'plan {selector}', selector=selector, steps=steps)


def quota_set(quota, limit):
    return Op('quota.set', f'quota {quota}', quota=quota, limit=str(limit))


def tenant_create(uid, name):
    return Op('tenant.create', f'tenant {uid}', tenant_uid=uid, tenant_id=name)


def workflow_register(workflow):
    return Op('workflow.register', f'workflow {workflow}', workflow=workflow)


def token_issue(token, secret):
    return Op('token.issue', f'token {token}', token=token, name='t', secret_sha256=hashlib.sha256(secret).hexdigest())


def token_revoke(token):
    return Op('token.revoke', f'token {token}', token=token)


def peer_allow(uid):
    return Op('peer.allow', f'peer {uid}', uid=str(uid))


def peer_deny(uid):
    return Op('peer.deny', f'peer {uid}', uid=str(uid))


def operator_suspend(person):
    return Op('operator.suspend', f'person {person}', person=person)


def operator_resume(person):
    return Op('operator.resume', f'person {person}', person=person)


def operator_roles(person, roles):
    return Op('operator.roles', f'person {person}', person=person, roles=roles)


def operator_enrol(person, name, key, roles='admin approver operator viewer'):
    statement = f'conductor/keys/v1\nperson: {person}\nname: {name}\npublic_key: {key.public}\n'
    proof = base64.b64encode(key.sign(statement, 'conductor/keys/v1')['signature'].encode()).decode()
    return Op('operator.enrol', f'key {key.id[::-1].hex().upper()}', person=person, name=name, public_key=key.public,
              roles=roles, proof=proof)


def time_confirm(incident, now_us):
    return Op('time.confirm', 'clock', incident=incident, now_us=str(now_us))


def command_text(node_id, tenant, op, words, base, command_id, now, life, object=None):
    args = ''.join(f'arg {words[i]}: {words[i + 1]}\n' for i in range(1, len(words), 2))
    return (f'conductor/command/v1\ncommand_id: {command_id}\naudience: node {node_id}\ntenant: {tenant}\n'
            f'object: {object or op.object}\nbase: {base or "none"}\noperation: {op.name}\n{args}reason: test\n'
            f'issued_at_us: {now}\nexpires_at_us: {now + life * 1_000_000}\nnonce: {random_id()}\n')


def approval_text(node_id, tenant, command_id, text, now, life):
    return (f'conductor/approval/v1\ncommand_id: {command_id}\n'
            f'command_digest: {hashlib.sha256(text.encode()).hexdigest()}\nnode: {node_id}\ntenant: {tenant}\n'
            f'verdict: approve\nissued_at_us: {now}\nexpires_at_us: {now + life * 1_000_000}\nnonce: {random_id()}\n')


def session_text(node_id, transport, challenge, now):
    return (f'conductor/session/v1\nnode: {node_id}\ntransport: {transport}\nchallenge: {challenge}\n'
            f'issued_at_us: {now}\nscope: read\n')


# --- talking to an agent -----------------------------------------------------------------------------------------

class OneWrite:
    """Headers and body in one write, so that an agent that does not read a body (E3) disturbs no other check."""
    def _send_output(self, message_body=None, encode_chunked=False):
        self._buffer.extend((b'', b''))
        head = b'\r\n'.join(self._buffer)
        del self._buffer[:]
        if isinstance(message_body, str):
            message_body = message_body.encode()
        self.send(head + (message_body or b''))


class TcpConnection(OneWrite, http.client.HTTPConnection):
    pass


class UnixConnection(OneWrite, http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__('a', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


# Seconds; the agent ends a session after 15 minutes.
SESSION_LIFE = 600


class AgentSocket(str):
    """The path of an agent's socket for workloads; `operators` is that for operators."""
    def __new__(cls, path, operators):
        self = super().__new__(cls, path)
        self.operators = operators
        return self


class AgentPort(int):
    """The same of a TCP port."""
    def __new__(cls, port, operators):
        self = super().__new__(cls, port)
        self.operators = operators
        return self


def is_of_operators(path, bearer):
    """Whether a request is for a listener of operators."""
    return bearer.startswith('cds_') or path.split('?')[0] in (
        '/v1/sessions/challenge', '/v1/sessions', '/v1/commands', '/v1/approvals')


class Client:
    """Keeps one connection. target: the path of a unix socket, or (host, port). Answers are (status, dict)."""
    def __init__(self, target, bearer='', timeout=30):
        self.target, self.bearer, self.timeout, self.connection, self.connected_to = target, bearer, timeout, None, None

    def request(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if self.bearer:
            headers['authorization'] = 'Bearer ' + self.bearer
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault('content-type', 'application/json')
        for last in (False, True):
            target = self.target
            if isinstance(target, AgentSocket) and is_of_operators(path, self.bearer):
                target = target.operators
            if target != self.connected_to:
                self.connection, self.connected_to = None, target
            if self.connection is None:
                self.connection = (UnixConnection(target, self.timeout) if isinstance(target, str)
                                   else TcpConnection(*target, timeout=self.timeout))
            try:
                self.connection.request(method, path, body, headers)
                response = self.connection.getresponse()
                content = response.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.connection.close()
                self.connection = None
                if last:
                    raise
            except OSError:
                self.connection.close()
                self.connection = None
                raise
        try:
            answer = json.loads(content)
        except ValueError:
            answer = content.decode('utf8', 'replace')
        return response.status, answer if isinstance(answer, dict) else {'content': answer}

    def get(self, path, **more):
        return self.request('GET', path, **more)

    def post(self, path, body, **more):
        return self.request('POST', path, body, **more)

    def tried(self, method, path, body=None):
        """As request, but a connection that fails is status 0."""
        try:
            return self.request(method, path, body)
        except (OSError, http.client.HTTPException) as e:
            return 0, {'reasons': [repr(e)]}


def effective(status, answer):
    return status == 200 and answer.get('status') == 'effective'


def told(status, answer):
    """An answer in few words."""
    return f'{status} {answer.get("status") if isinstance(answer.get("status"), str) else ""} {answer.get("reasons") or ""}'.strip()


def run_body(tenant, workflow='etl', **more):
    return {'tenant_id': tenant.name, 'workflow_type': workflow, 'env': 'rehearsal', 'actor_type': 'service', **more}


def start_run(client, tenant, **more):
    return client.tried('POST', '/v1/runs', run_body(tenant, **more))


def finish_run(client, tenant, run):
    return client.tried('POST', f'/v1/runs/{run}/finish', {'tenant_id': tenant.name, 'outcome': 'succeeded'})


def websocket_upgrade(token, path='/v1/stream'):
    key = base64.b64encode(os.urandom(16)).decode()
    return (f'GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n'
            f'sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n').encode()


# --- keys, nodes, tenants ----------------------------------------------------------------------------------------

class Key:
    """An operator's key. With id and secret of another key: the same secret under another key id."""
    def __init__(self, name, path, secret=None, id=None):
        self.name, self.path, self.pubfile = name, path, path + '.pub'
        if secret is None:
            run([f'{BIN}/conductor', 'key', 'new', '--out', path, '--unencrypted'])
            with open(path) as f:
                raw = base64.b64decode(f.read().split('\n')[1])
            id, secret = raw[54:62], Ed25519PrivateKey.from_private_bytes(raw[62:94])
        self.id, self.secret = id, secret
        self.public = base64.b64encode(b'Ed' + id + secret.public_key().public_bytes_raw()).decode()
        if not os.path.exists(self.pubfile):
            with open(self.pubfile, 'w') as f:
                f.write(f'untrusted comment: minisign public key\n{self.public}\n')

    def sign(self, text, comment):
        signature = self.secret.sign(hashlib.blake2b(text.encode()).digest())
        of_both = base64.b64encode(self.secret.sign(signature + comment.encode())).decode()
        signature = base64.b64encode(b'ED' + self.id + signature).decode()
        return {'text': text, 'public_key': self.public,
                'signature': f'untrusted comment: t\n{signature}\ntrusted comment: {comment}\n{of_both}\n'}


def run(command, **more):
    """Runs a program that must succeed."""
    r = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
    if r.returncode:
        raise NotRun(f'{os.path.basename(command[0])} {command[1]}: rc {r.returncode}: {(r.stderr + r.stdout).strip()[:200]}')
    return r.stdout.strip()


class Tenant:
    def __init__(self, name):
        self.uid, self.name, self.token_id, self.secret = random_id(), name, random_id(), secrets.token_bytes(32)
        self.token = f'cdw_{self.uid}_{self.token_id}_{self.secret.hex()}'


NODES, FOLDERS, MOUNTS = [], [], []


def scratch(mode=0o711):
    folder = tempfile.mkdtemp(prefix='cd-')
    os.chmod(folder, mode)
    FOLDERS.append(folder)
    return folder


@atexit.register
def clean_up():
    while NODES:
        NODES.pop().close()
    while MOUNTS:
        subprocess.run(['umount', '-l', MOUNTS.pop()], capture_output=True)
    while FOLDERS:
        folder = FOLDERS.pop()
        if not os.environ.get('KEEP'):
            shutil.rmtree(folder, ignore_errors=True)


def small_disk(megabytes):
    """A file system of its own; goes with the other scratch things."""
    folder = scratch()
    r = subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={megabytes}m', 'tmpfs', folder], capture_output=True, text=True)
    if r.returncode:
        raise NotRun(f'mount -t tmpfs: {r.stderr.strip()}')
    MOUNTS.append(folder)
    return folder


def shim(name):
    """Compiles name.c and gives what LD_PRELOAD needs."""
    out = f'{scratch()}/{name}.so'
    if not shutil.which('cc'):
        raise NotRun(f'no cc to compile {name}.c')
    run(['cc', '-shared', '-fPIC', '-O1', '-o', out, f'{HERE}/{name}.c', '-ldl'])
    return out


class Dial:
    """A number in a file that a shim reads while the program runs."""
    def __init__(self, folder, name):
        self.path = f'{folder}/{name}'
        self.set(0)

    def set(self, value):
        with open(self.path, 'r+b' if os.path.exists(self.path) else 'wb') as f:
            f.write(struct.pack('<q', value))


class Node:
    """conductord and conductor-signer in a scratch folder. persons: names; roles: {name: 'a,b'} where not all."""
    def __init__(self, persons=('ana', 'ben'), roles=None, plain=False, tenant_sockets=False, data=None, files=None,
                 env=None, start=True):
        self.folder, self.env, self.files = scratch(), dict(env or {}), files
        self.agent = self.signer = None
        self.sessions, self.spelling = {}, None
        NODES.append(self)
        self.socket = AgentSocket(f'{self.folder}/agent.sock', f'{self.folder}/operator.sock')
        self.signer_socket = f'{self.folder}/signer.sock'
        self.config, self.trust = f'{self.folder}/c.toml', f'{self.folder}/trust.toml'
        self.data = data or f'{self.folder}/data'
        self.keys = {p: Key(p, f'{self.folder}/{p}') for p in persons}
        run([f'{BIN}/conductor-signer', 'init', '--dir', f'{self.folder}/signer', '--unencrypted'])
        command = self.init_command(self.folder, self.data) + ['--trust-out', self.trust]
        for p in persons:
            role = (roles or {}).get(p)
            command += ['--operator', f'{p}:{role}={self.keys[p].pubfile}' if role else f'{p}={self.keys[p].pubfile}']
        if tenant_sockets:
            self.tenant_sockets = f'{self.folder}/tenants'
            os.mkdir(self.tenant_sockets)
            command += ['--tenant-sockets', self.tenant_sockets]
        self.id = run(command)
        if plain:
            self.listen_plain()
        if start:
            self.start_signer()
            self.must_start()

    def init_command(self, folder, data):
        return [f'{BIN}/conductord', 'init', '--config', f'{folder}/c.toml', '--data', data, '--keys', f'{folder}/keys',
                '--name', 'n1', '--environment', 'rehearsal', '--signer-key', f'{self.folder}/signer/signer.pub',
                '--signer-socket', self.signer_socket, '--listen', f'unix:{folder}/agent.sock']

    def listen_plain(self):
        ports = []
        for _ in range(2):
            with socket.socket() as s:
                s.bind(('127.0.0.1', 0))
                ports.append(s.getsockname()[1])
        self.port = AgentPort(*ports)
        with open(self.config) as f:
            text = f.read().replace('allow_plain = false\n', '')
        for field, port in zip(('listen', 'listen_operators'), ports):
            text = text.replace(f'\n{field} = [', f'\n{field} = ["http://127.0.0.1:{port}", ')
        with open(self.config, 'w') as f:
            f.write('allow_plain = true\n' + text)

    def start_signer(self, at=None):
        with open(f'{self.folder}/signer.log', 'a') as log:
            self.signer = subprocess.Popen([f'{BIN}/conductor-signer', 'run', '--dir', f'{self.folder}/signer', '--socket',
                                            at or self.signer_socket], stdout=log, stderr=log)
        end = time.time() + 10
        while not os.path.exists(at or self.signer_socket) and time.time() < end:
            time.sleep(.05)

    def start(self, wait=60):
        """Seconds until the agent said that it is ready; None if it did not."""
        began = time.time()

        def limit_files():
            if self.files:
                import resource
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))
        with open(f'{self.folder}/agent.log', 'a') as log:
            self.agent = subprocess.Popen([f'{BIN}/conductord', 'run', '--config', self.config], stdout=log, stderr=log,
                                          env={**os.environ, **self.env}, preexec_fn=limit_files)
        self.sessions = {}
        while time.time() - began < wait:
            if self.agent.poll() is not None:
                return None
            if Client(self.socket, timeout=2).tried('GET', '/readyz')[0] == 200:
                return time.time() - began
            time.sleep(.02)
        return None

    def must_start(self, wait=60):
        if self.start(wait) is None:
            raise NotRun(f'the agent did not start: {self.log(2)}')

    def running(self):
        return self.agent is not None and self.agent.poll() is None

    def kill(self):
        if self.agent:
            self.agent.kill()
            self.agent.wait()
            self.agent = None

    def stop(self):
        if self.agent:
            self.agent.terminate()
            try:
                self.agent.wait(20)
            except subprocess.TimeoutExpired:
                pass
            self.kill()

    def kill_signer(self):
        if self.signer:
            self.signer.kill()  # also ends one that was stopped with SIGSTOP
            self.signer.wait()
            self.signer = None

    def close(self):
        self.kill()
        self.kill_signer()

    # people

    def session(self, who, transport='unix', target=None, fresh=False):
        opened = self.sessions.get((who, transport), ('', 0))[1]
        if fresh or time.monotonic() - opened > SESSION_LIFE:
            if transport == 'plain':
                # Whoever opens a session over TCP means the operators' port, now and from then on.
                self.port = getattr(self.port, 'operators', self.port)
                target = ('127.0.0.1', self.port)
            client = Client(target or self.socket)
            status, challenge = client.post('/v1/sessions/challenge', {})
            if status != 200:
                raise NotRun(f'challenge: {told(status, challenge)}')
            text = session_text(self.id, transport, challenge['challenge'], challenge['node']['now_us'])
            status, answer = client.post('/v1/sessions', self.keys[who].sign(text, 'conductor/session/v1'))
            if status != 200:
                raise NotRun(f'session: {told(status, answer)}')
            self.sessions[(who, transport)] = answer['token'], time.monotonic()
        return self.sessions[(who, transport)][0]

    def reader(self, who='ana'):
        return Client(self.socket, self.session(who))

    def now(self):
        return self.reader().get('/v1/node')[1]['now_us']

    def state(self, tenant, who='ana'):
        return self.reader(who).get(f'/v1/tenants/{tenant}')[1]['control']

    def person(self, name):
        return next(k['person'] for k in self.state(NODE)['operators'].values() if k['name'] == name)

    def preview(self, who, tenant, op):
        return self.reader(who).post(f'/v1/tenants/{tenant}/preview', {'operation': self.words(op, who, tenant)})

    def words(self, op, who, tenant):
        """The operation's words, with the name that this agent has for a share."""
        if op.has_share() and self.spelling is None:
            for spelling in SHARE_SPELLINGS:
                status, _ = self.reader(who).post(f'/v1/tenants/{tenant}/preview', {'operation': op.words(spelling)})
                if status == 200:
                    self.spelling = spelling
                    break
            else:
                raise NotRun(f'the agent knows none of the spellings of {op.name}: see SHARE_SPELLINGS in cd.py')
        return op.words(self.spelling or SHARE_SPELLINGS[0])

    def text(self, who, tenant, op, tightens=False, command_id=None, life=60):
        """A command's text. With `tightens` the agent is not asked for anything first."""
        command_id, object = command_id or random_id(), None
        words = self.words(op, who, tenant)
        if tightens:
            base, now = 'none', time.time_ns() // 1000
        else:
            status, preview = self.preview(who, tenant, op)
            if status != 200:
                raise NotRun(f'preview of {op.name}: {told(status, preview)} {preview.get("detail", "")}')
            base = 'none' if preview['class'] == 'tighten' else preview['base']
            object, now = preview.get('object'), self.now()
        return command_text(self.id, tenant, op, words, base, command_id, now, life, object)

    def signed(self, who, text):
        return self.keys[who].sign(text, 'conductor/command/v1')

    def send_text(self, who, text, timeout=30):
        return Client(self.socket, timeout=timeout).tried('POST', '/v1/commands', self.signed(who, text))

    def send(self, who, tenant, op, timeout=30, **more):
        return self.send_text(who, self.text(who, tenant, op, **more), timeout)

    def do(self, who, tenant, op, **more):
        """Sends a command that must take effect for the check to make sense."""
        for _ in range(15):
            text = self.text(who, tenant, op, **more)
            status, answer = self.send_text(who, text)
            if answer.get('status') == 'requested':
                # One admin would be left, or one person took enough away alone: somebody else agrees.
                others = [p for p in self.keys if p != who]
                status, answer = self.approve(others[0], tenant, answer['command_id'], text) if others else (status, answer)
            if effective(status, answer):
                return answer
            if answer.get('reasons') != ['signer_unavailable']:
                break
            time.sleep(1)
        raise NotRun(f'{op.name}: {told(status, answer)}')

    def approve(self, who, tenant, command_id, text, life=60):
        approval = approval_text(self.id, tenant, command_id, text, self.now(), life)
        return Client(self.socket).tried('POST', '/v1/approvals', self.keys[who].sign(approval, 'conductor/approval/v1'))

    def tenant(self, name, runs=None, workflows=('etl',), who='ana'):
        t = Tenant(name)
        self.do(who, NODE, tenant_create(t.uid, name))
        self.do(who, t.uid, token_issue(t.token_id, t.secret))
        for workflow in workflows:
            self.do(who, t.uid, workflow_register(workflow))
        if runs:
            self.do(who, t.uid, quota_set('concurrent_runs', runs))
        return t

    # looking

    def sizes(self, tenant):
        """Size of a log, and the size that the signer signed last."""
        log = self.reader().get(f'/v1/tenants/{tenant}/checkpoint')[1]
        try:
            signed = int(log['checkpoint']['text'].split('\n')[1])
        except (KeyError, TypeError, ValueError, IndexError):
            signed = 0
        return log['size'], signed

    def all_signed(self, tenant, wait=30):
        """Waits until a log is signed to its end; its size, or None."""
        end = time.time() + wait
        while time.time() < end:
            size, signed = self.sizes(tenant)
            if size == signed:
                return size
            time.sleep(.1)
        return None

    def memory(self):
        """Resident megabytes."""
        with open(f'/proc/{self.agent.pid}/status') as f:
            return next(int(line.split()[1]) // 1024 for line in f if line.startswith('VmRSS'))

    def open_files(self):
        return len(os.listdir(f'/proc/{self.agent.pid}/fd'))

    def log(self, lines=20):
        with open(f'{self.folder}/agent.log') as f:
            return '\n'.join(f.read().strip().split('\n')[-lines:])

    def cli(self, *arguments, key='ana', timeout=60, agent=None):
        env = {**os.environ, 'CONDUCTOR_AGENT': agent or f'unix:{self.socket.operators}', 'CONDUCTOR_KEY': self.keys[key].path,
               'XDG_STATE_HOME': f'{self.folder}/state'}
        return subprocess.run([f'{BIN}/conductor', *arguments], capture_output=True, text=True, timeout=timeout, env=env)

    def check(self):
        """`conductord check`: (whether state and logs agree, what it said)."""
        r = subprocess.run([f'{BIN}/conductord', 'check', '--config', self.config], capture_output=True, text=True, timeout=60)
        return r.returncode == 0, (r.stdout + r.stderr).strip()


def said(result):
    """What a command of `cli` answered, in few words."""
    return f'rc {result.returncode} {" ".join((result.stdout + result.stderr).split())[:150]}'


def share_admitted(client, tenant, workflow, subjects=100):
    """The part of so many subjects whose runs are admitted: the effect of a ramp."""
    admitted = 0
    for i in range(subjects):
        status, answer = start_run(client, tenant, workflow=workflow, subject=f'subject-{i}')
        if status == 200:
            admitted += 1
            finish_run(client, tenant, answer['run_id'])
    return admitted / subjects


# --- helpers for attacks -----------------------------------------------------------------------------------------

def as_uid(uid, action):
    """Runs action in a child as another user (where this one is root) and gives what it returned."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            out = action()
        except BaseException as e:
            out = {'error': repr(e)}
        os.write(write_end, json.dumps(out).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, 'rb') as f:
        out = json.loads(f.read())
    os.waitpid(pid, 0)
    if isinstance(out, dict) and 'error' in out:
        raise NotRun(out['error'])
    return out


def in_background(action, *arguments):
    thread = threading.Thread(target=action, args=arguments, daemon=True)
    thread.start()
    return thread


class Proxy:
    """Stands between a client and a unix socket. `upward(data, client)` and `downward(data, client)` give what to pass on;
    None hangs up. `state` is a dict for each connection."""
    def __init__(self, path, target, upward=None, downward=None):
        self.path, self.upward, self.downward = path, upward, downward
        self.target = getattr(target, 'operators', target)  # these scripts stand between an agent and its operators
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        in_background(self.serve)

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            in_background(self.connect, client)

    def connect(self, client):
        state = {}
        try:
            agent = socket.socket(socket.AF_UNIX)
            agent.connect(self.target)
        except OSError:
            client.close()
            return
        in_background(self.pump, client, agent, self.upward, state, client)
        self.pump(agent, client, self.downward, state, client)

    @staticmethod
    def pump(source, sink, change, state, client):
        try:
            while data := source.recv(65536):
                data = change(data, state, client) if change else data
                if data is None:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
