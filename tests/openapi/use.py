"""Checks the agent's OpenAPI document, makes a client from it, and does a workload's and an operator's work with that.
Arguments: the document, the agent's sockets for workloads and for operators, a scratch folder. Standard input: the tenant's name and uid, its token, and
an operator's session, a line each. Prints what it got, as JSON."""
import importlib, json, os, subprocess, sys
import httpx, openapi_spec_validator

document, workloads, operators, folder = sys.argv[1:]
tenant, uid, token, session = sys.stdin.read().split()
here = os.path.dirname(os.path.abspath(__file__))

with open(document) as f:
    openapi_spec_validator.validate(json.load(f))
subprocess.run([sys.executable, '-m', 'openapi_python_client', 'generate', '--path', document, '--meta', 'none',
                '--output-path', f'{folder}/conductor_client', '--config', f'{here}/config.yml', '--fail-on-warning'],
               check=True, stdout=sys.stderr)
sys.path.insert(0, folder)
client = importlib.import_module('conductor_client')
models = importlib.import_module('conductor_client.models')


def caller(socket, bearer):
    transport = httpx.HTTPTransport(uds=socket)
    return client.AuthenticatedClient(base_url='http://agent', token=bearer, httpx_args={'transport': transport})


workload, operator = caller(workloads, token), caller(operators, session)


def ask(name, who, *path, **more):
    """The answer of a route, as the type that the document says."""
    return importlib.import_module(f'conductor_client.api.default.{name}').sync_detailed(*path, client=who, **more)


work = dict(tenant_id=tenant)
started = ask('run_start', workload, body=models.StartRun(
    **work, workflow_type='etl', env=models.Env.REHEARSAL, actor_type=models.ActorType.SERVICE, subject=None)).parsed
run = started.run_id
step = ask('step_start', workload, run, body=models.StartStep(**work, name='extract')).parsed
finished = ask('step_finish', workload, run, step.step, body=models.FinishStep(
    **work, outcome=models.Outcome.SUCCEEDED, duration_us=5, bytes_in=1.0, bytes_out=2)).parsed
beat = ask('run_heartbeat', workload, run, body=models.OfTenant(**work)).parsed
shown = ask('run_show', workload, run, tenant_id=tenant).parsed
ended = ask('run_finish', workload, run, body=models.FinishRun(**work, outcome=models.Outcome.SUCCEEDED)).parsed
flag = ask('flag_evaluate', workload, 'run/etl', body=models.OfrepRequest(context=models.FlagContext(targeting_key='a'))).parsed
no_flag = ask('flag_evaluate', workload, 'run/none', body=models.OfrepRequest()).parsed
foreign = ask('flag_evaluate', workload, 'run/etl', body=models.OfrepRequest(context=models.FlagContext(tenant_id='globex')))
denied = ask('usage', workload, uid).parsed
page = ask('receipt_list', operator, uid, from_='-3', limit=2).parsed
detail = ask('tenant_show', operator, uid).parsed
usage = ask('usage', operator, uid, range_='24h', format_=models.UsageFormat.JSON).parsed
cost = ask('cost', operator, uid, range_='24h').parsed
stream = ask('stream', operator)
print(json.dumps({
    'types': [type(x).__name__ for x in (started, step, finished, beat, shown, ended, flag, no_flag, denied, page, detail,
                                         usage, cost, stream.parsed)],
    'run': shown.to_dict(), 'ended': ended.to_dict(), 'flag': flag.to_dict(), 'no_flag': no_flag.to_dict(),
    'foreign': [foreign.status_code, foreign.parsed.to_dict()], 'denied': denied.to_dict(),
    'receipts': len(page.receipts), 'workflows': detail.control.workflows,
    'steps': usage.totals.steps_executed, 'rows': len(cost.rows), 'stream': stream.status_code,
}))
