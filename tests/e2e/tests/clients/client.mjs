// What programs do that use the official JavaScript client, on a whole cluster.
//
// `node client.mjs NAMESPACE` runs every step with the credentials of KUBECONFIG, in a namespace that is there. It ends with
// an error at the first thing that is not as expected.

import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { PassThrough } from 'node:stream';
import * as k8s from '@kubernetes/client-node';

const namespace = process.argv[2];
const LIMIT_MS = 90_000;

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, look) {
    for (const deadline = Date.now() + LIMIT_MS; Date.now() < deadline; ) {
        const found = await look();
        if (found) return found;
        await pause(100);
    }
    assert.fail(`waited ${LIMIT_MS} ms for ${what}`);
}

// Awaits a call that the server must refuse; gives the Status.
async function refused(code, call) {
    try {
        await call;
    } catch (error) {
        assert.equal(error.code, code, String(error));
        return typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
    }
    assert.fail(`not refused with ${code}`);
}

const map = (name, data) => ({ metadata: { name, labels: { app: 'js' } }, data });
const kind = (type) => k8s.setHeaderOptions('Content-Type', type);

async function objectsAreWrittenAndRead() {
    const made = await core.createNamespacedConfigMap({ namespace, body: map('one', { a: '1' }) });
    assert.ok(made.metadata.uid && made.metadata.creationTimestamp instanceof Date);
    const twice = core.createNamespacedConfigMap({ namespace, body: map('one') });
    assert.equal((await refused(409, twice)).reason, 'AlreadyExists');
    made.data.a = '2';
    await core.replaceNamespacedConfigMap({ namespace, name: 'one', body: made });
    const stale = core.replaceNamespacedConfigMap({ namespace, name: 'one', body: made });
    assert.equal((await refused(409, stale)).reason, 'Conflict');
    const wrong = await refused(422, core.createNamespacedConfigMap({ namespace, body: map('Bad_Name') }));
    assert.equal(wrong.details.causes[0].field, 'metadata.name');
    await refused(404, core.readNamespacedConfigMap({ namespace, name: 'none' }));
}

async function patchesOfAllTypesAreTaken() {
    const patch = (body, type, more = {}) =>
        core.patchNamespacedConfigMap({ namespace, name: 'one', body, ...more }, kind(type));
    await patch({ data: { b: '3' } }, k8s.PatchStrategy.StrategicMergePatch);
    await patch([{ op: 'add', path: '/data/c', value: '4' }], k8s.PatchStrategy.JsonPatch);
    const merged = await patch({ data: { a: null } }, k8s.PatchStrategy.MergePatch);
    assert.deepEqual(merged.data, { b: '3', c: '4' });
    const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one' }, data: { b: '5' } };
    const how = { fieldManager: 'js' };
    assert.equal((await refused(409, patch(applied, k8s.PatchStrategy.ServerSideApply, how))).reason, 'Conflict');
    const found = await patch(applied, k8s.PatchStrategy.ServerSideApply, { ...how, force: true });
    assert.equal(found.data.b, '5');
    assert.ok(found.metadata.managedFields.some((entry) => entry.manager === 'js' && entry.operation === 'Apply'));
}

async function listsArePaged() {
    for (let index = 0; index < 5; index += 1) {
        await core.createNamespacedConfigMap({ namespace, body: map(`page-${index}`) });
    }
    const names = [];
    let token;
    do {
        const page = await core.listNamespacedConfigMap({ namespace, limit: 2, _continue: token, labelSelector: 'app=js' });
        names.push(...page.items.map((item) => item.metadata.name));
        token = page.metadata._continue;
    } while (token);
    assert.deepEqual(names, ['one', 'page-0', 'page-1', 'page-2', 'page-3', 'page-4']);
    await core.deleteCollectionNamespacedConfigMap({ namespace, fieldSelector: 'metadata.name!=one', labelSelector: 'app=js' });
    const left = await core.listNamespacedConfigMap({ namespace, labelSelector: 'app=js' });
    assert.deepEqual(left.items.map((item) => item.metadata.name), ['one']);
}

async function change(name) {
    await core.createNamespacedConfigMap({ namespace, body: map(name) });
    const body = { data: { a: '1' } };
    await core.patchNamespacedConfigMap({ namespace, name, body }, kind(k8s.PatchStrategy.MergePatch));
    await core.deleteNamespacedConfigMap({ namespace, name });
}

async function changesAreWatched() {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const { metadata } = await core.listNamespacedConfigMap({ namespace });
    const seen = [];
    const watch = new k8s.Watch(config);
    const done = new Promise((resolve, reject) => {
        const query = { resourceVersion: metadata.resourceVersion, labelSelector: 'app=js', timeoutSeconds: 60 };
        const heard = (type, object) => {
            seen.push([type, object.metadata.name]);
            if (type === 'DELETED') resolve();
        };
        watch.watch(path, query, heard, reject).then((controller) => done.then(() => controller.abort()), reject);
    });
    await Promise.all([done, change('seen')]);
    assert.deepEqual(seen, [['ADDED', 'seen'], ['MODIFIED', 'seen'], ['DELETED', 'seen']]);
}

async function anInformerKeepsWhatThereIs() {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: 'app=js' });
    const informer = k8s.makeInformer(config, path, list, 'app=js');
    const seen = [];
    for (const type of ['add', 'update', 'delete']) {
        informer.on(type, (object) => seen.push([type, object.metadata.name]));
    }
    // The client tells the end of its own watch as an error, too.
    const errors = [];
    informer.on('error', (error) => errors.push(error));
    await informer.start();
    await until('the first object', () => seen.length === 1);
    await change('kept');
    await until('three more changes', () => seen.length === 4);
    assert.deepEqual(seen, [['add', 'one'], ['add', 'kept'], ['update', 'kept'], ['delete', 'kept']]);
    assert.deepEqual(informer.list(namespace).map((item) => item.metadata.name), ['one']);
    assert.deepEqual(errors, []);
    await informer.stop();
}

async function aPodIsSpokenTo() {
    const script = 'echo began; echo said >&2; mkdir /tmp/w; echo a page >/tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w';
    const containers = [{ name: 'main', image: 'keelson.io/hello:1', command: ['sh', '-c', script] }];
    await core.createNamespacedPod({ namespace, body: { metadata: { name: 'box' }, spec: { containers } } });
    const phase = async () => (await core.readNamespacedPodStatus({ namespace, name: 'box' })).status.phase;
    await until('the pod to run', async () => (await phase()) === 'Running');
    await until('the log', async () => (await core.readNamespacedPodLog({ namespace, name: 'box' })).includes('said'));
    await logsAreFollowed();
    await commandsRun();
    await portsAreForwarded();
    await core.deleteNamespacedPod({ namespace, name: 'box', gracePeriodSeconds: 0 });
    await until('the pod to go', async () => {
        const found = await core.listNamespacedPod({ namespace, fieldSelector: 'metadata.name=box' });
        return found.items.length === 0;
    });
}

async function logsAreFollowed() {
    const output = new PassThrough();
    const controller = await new k8s.Log(config).log(namespace, 'box', 'main', output, { follow: true, tailLines: 2 });
    let text = '';
    output.on('data', (part) => (text += part));
    await until('two lines', () => text.split('\n').length === 3);
    controller.abort();
}

async function commandsRun() {
    const exec = new k8s.Exec(config);
    const run = async (command, input, tty = false) => {
        const [stdout, stderr, stdin] = [new PassThrough(), new PassThrough(), new PassThrough()];
        const found = { out: '', err: '' };
        stdout.on('data', (part) => (found.out += part));
        stderr.on('data', (part) => (found.err += part));
        const status = new Promise((resolve, reject) => {
            exec.exec(namespace, 'box', 'main', command, stdout, stderr, input === undefined ? null : stdin, tty, resolve)
                .then((socket) => socket.on('error', reject), reject);
        });
        if (input !== undefined) stdin.write(input);
        found.status = await status;
        return found;
    };
    const good = await run(['sh', '-c', 'read line; echo out $line; echo err >&2'], 'heard\n');
    assert.deepEqual([good.out, good.err, good.status.status], ['out heard\n', 'err\n', 'Success']);
    const bad = await run(['sh', '-c', 'exit 7']);
    assert.equal(bad.status.reason, 'NonZeroExitCode');
    assert.deepEqual(bad.status.details.causes, [{ reason: 'ExitCode', message: '7' }]);
    const terminal = await run(['sh', '-c', 'test -t 1 && echo a terminal'], '', true);
    assert.equal(terminal.out, 'a terminal\r\n');
}

async function portsAreForwarded() {
    const forward = new k8s.PortForward(config);
    const server = net.createServer((socket) => forward.portForward(namespace, 'box', [8080], socket, null, socket));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const page = await new Promise((resolve, reject) => {
        const url = `http://127.0.0.1:${server.address().port}/`;
        const request = http.get(url, { agent: false }, (response) => {
            let text = '';
            response.on('data', (part) => (text += part));
            response.on('end', () => resolve(text));
        });
        request.on('error', reject);
    });
    assert.equal(page, 'a page\n');
    server.close();
}

async function workloadsScale() {
    const labels = { app: 'web' };
    const containers = [{ name: 'main', image: 'keelson.io/hello:1', command: ['sleep', '98752'] }];
    const template = { metadata: { labels }, spec: { containers, terminationGracePeriodSeconds: 1 } };
    const spec = { replicas: 1, selector: { matchLabels: labels }, template };
    await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: 'web' }, spec } });
    const ready = async () => (await apps.readNamespacedDeploymentStatus({ namespace, name: 'web' })).status.readyReplicas;
    await until('one pod', async () => (await ready()) === 1);
    const body = { spec: { replicas: 2 } };
    const scale = await apps.patchNamespacedDeploymentScale({ namespace, name: 'web', body }, kind(k8s.PatchStrategy.MergePatch));
    assert.equal(scale.status.selector, 'app=web');
    await until('two pods', async () => (await ready()) === 2);
    await apps.deleteNamespacedDeployment({ namespace, name: 'web' });
}

async function anyKindIsReadAndApplied() {
    const objects = k8s.KubernetesObjectApi.makeApiClient(config);
    const text = `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: loaded, namespace: ${namespace}}\ndata: {octal: '0644'}\n`;
    const [object] = k8s.loadAllYaml(text);
    await objects.create(object);
    const patched = await objects.patch(
        { ...object, data: { more: 'here' } }, undefined, undefined, 'js', undefined, k8s.PatchStrategy.StrategicMergePatch,
    );
    assert.deepEqual(patched.data, { octal: '0644', more: 'here' });
    const found = await objects.read({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'loaded', namespace } });
    assert.deepEqual(found.data, patched.data);
    await objects.delete(object);
    const version = await config.makeApiClient(k8s.VersionApi).getCode();
    assert.equal(version.minor, '36');
}

await objectsAreWrittenAndRead();
await patchesOfAllTypesAreTaken();
await listsArePaged();
await changesAreWatched();
await anInformerKeepsWhatThereIs();
await anyKindIsReadAndApplied();
await aPodIsSpokenTo();
await workloadsScale();
// Sockets of streams that the client left open would keep this process.
process.exit(0);
