"""What programs do that use the official Python client, on a whole cluster.

`client.py NAMESPACE` runs every step with the credentials of KUBECONFIG, in a namespace that is there. It ends with an
exception at the first thing that is not as expected.
"""

import json
import os
import subprocess
import sys
import threading
import time

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.leaderelection import leaderelection
from kubernetes.leaderelection.electionconfig import Config as ElectionConfig
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import portforward, stream

NAMESPACE = sys.argv[1]
IMAGE = "keelson.io/hello:1"
LIMIT = 90


def refused(code, call, *args, **named):
    """Calls what the server must refuse with `code`; gives the Status."""
    try:
        call(*args, **named)
    except ApiException as error:
        assert error.status == code, error
        return json.loads(error.body)
    raise AssertionError(f"{call.__name__} was not refused with {code}")


def until(what, look):
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {LIMIT} s for {what}")


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"app": "python"}), data=data)


def objects_are_written_and_read(core):
    made = core.create_namespaced_config_map(NAMESPACE, config_map("one", a="1"))
    assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo, made
    status = refused(409, core.create_namespaced_config_map, NAMESPACE, config_map("one"))
    assert status["reason"] == "AlreadyExists" and status["details"]["name"] == "one", status
    made.data["a"] = "2"
    replaced = core.replace_namespaced_config_map("one", NAMESPACE, made)
    assert replaced.data == {"a": "2"} and replaced.metadata.resource_version != made.metadata.resource_version
    status = refused(409, core.replace_namespaced_config_map, "one", NAMESPACE, made)
    assert status["reason"] == "Conflict", status
    status = refused(422, core.create_namespaced_config_map, NAMESPACE, config_map("Bad_Name"))
    assert status["details"]["causes"][0]["field"] == "metadata.name", status
    core.create_namespaced_config_map(NAMESPACE, config_map("dry"), dry_run="All")
    assert refused(404, core.read_namespaced_config_map, "dry", NAMESPACE)["reason"] == "NotFound"


def patches_of_all_types_are_taken(core):
    core.patch_namespaced_config_map("one", NAMESPACE, {"data": {"b": "3"}})
    core.patch_namespaced_config_map("one", NAMESPACE, [{"op": "add", "path": "/data/c", "value": "4"}])
    found = core.patch_namespaced_config_map(
        "one", NAMESPACE, {"data": {"a": None}}, _content_type="application/merge-patch+json"
    )
    assert found.data == {"b": "3", "c": "4"}, found.data
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"b": "5"}}
    how = {"_content_type": "application/apply-patch+yaml", "field_manager": "python"}
    assert refused(409, core.patch_namespaced_config_map, "one", NAMESPACE, applied, **how)["reason"] == "Conflict"
    found = core.patch_namespaced_config_map("one", NAMESPACE, applied, force=True, **how)
    assert found.data["b"] == "5", found.data
    assert any(entry.manager == "python" and entry.operation == "Apply" for entry in found.metadata.managed_fields)


def lists_are_paged_and_selected(core):
    for index in range(5):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{index}"))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, limit=2, _continue=token, label_selector="app=python")
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == ["one"] + [f"page-{index}" for index in range(5)], names
    found = core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=page-3")
    assert [item.metadata.name for item in found.items] == ["page-3"]
    assert any(item.metadata.name == "page-3" for item in core.list_config_map_for_all_namespaces().items)
    core.delete_collection_namespaced_config_map(NAMESPACE, field_selector="metadata.name!=one", label_selector="app=python")
    found = core.list_namespaced_config_map(NAMESPACE, label_selector="app=python")
    assert [item.metadata.name for item in found.items] == ["one"]


def changes_are_watched(core):
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="app=python")

    def change():
        core.create_namespaced_config_map(NAMESPACE, config_map("seen"))
        core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"a": "1"}})
        core.delete_namespaced_config_map("seen", NAMESPACE)

    thread = threading.Thread(target=change)
    thread.start()
    seen, watching = [], watch.Watch()
    for event in watching.stream(
        core.list_namespaced_config_map,
        NAMESPACE,
        label_selector="app=python",
        resource_version=listed.metadata.resource_version,
        timeout_seconds=LIMIT,
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if event["type"] == "DELETED":
            watching.stop()
    thread.join()
    assert seen == [("ADDED", "seen"), ("MODIFIED", "seen"), ("DELETED", "seen")], seen
    # Without a version: what is there comes first; the server ends the watch.
    events = watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, label_selector="app=python", timeout_seconds=1)
    assert [(event["type"], event["object"].metadata.name) for event in events] == [("ADDED", "one")]


def a_pod_is_spoken_to(core):
    script = "echo began; echo said >&2; mkdir /tmp/w; echo a page >/tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w"
    container = client.V1Container(name="main", image=IMAGE, command=["sh", "-c", script])
    spec = client.V1PodSpec(containers=[container], termination_grace_period_seconds=1)
    core.create_namespaced_pod(NAMESPACE, client.V1Pod(metadata=client.V1ObjectMeta(name="box"), spec=spec))
    until("the pod to run", lambda: core.read_namespaced_pod_status("box", NAMESPACE).status.phase == "Running")
    until("the log", lambda: "said" in core.read_namespaced_pod_log("box", NAMESPACE))
    assert core.read_namespaced_pod_log("box", NAMESPACE, tail_lines=2).count("\n") == 2
    follow = watch.Watch()
    for line in follow.stream(core.read_namespaced_pod_log, "box", NAMESPACE):
        assert line in ("began", "said"), line
        follow.stop()
    commands_run(core)
    forward = portforward(core.connect_get_namespaced_pod_portforward, "box", NAMESPACE, ports="8080")
    connection = forward.socket(8080)
    connection.settimeout(LIMIT)
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while part := connection.recv(1024):
        answer += part
    assert answer.endswith(b"a page\n"), answer
    assert forward.error(8080) is None, forward.error(8080)
    core.delete_namespaced_pod("box", NAMESPACE, grace_period_seconds=0)
    until("the pod to go", lambda: not core.list_namespaced_pod(NAMESPACE, field_selector="metadata.name=box").items)


def commands_run(core):
    def run(*command, **options):
        options = {"stdin": False, "stdout": True, "stderr": True, "tty": False, **options}
        return stream(core.connect_get_namespaced_pod_exec, "box", NAMESPACE, command=list(command), **options)

    assert run("echo", "to and fro") == "to and fro\n"
    session = run("sh", "-c", "read line; echo out $line; echo err >&2; exit 7", stdin=True, _preload_content=False)
    session.write_stdin("heard\n")
    session.run_forever(timeout=LIMIT)
    assert session.read_stdout() == "out heard\n"
    assert session.read_stderr() == "err\n"
    assert session.returncode == 7, session.returncode
    binary = run("head", "-c", "256", "/dev/zero", binary=True)
    assert binary == bytes(256), binary


def workloads_scale(api):
    apps = client.AppsV1Api(api)
    labels = {"app": "web"}
    container = client.V1Container(name="main", image=IMAGE, command=["sleep", "98751"])
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[container], termination_grace_period_seconds=1),
    )
    spec = client.V1DeploymentSpec(replicas=1, selector=client.V1LabelSelector(match_labels=labels), template=template)
    apps.create_namespaced_deployment(NAMESPACE, client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec))
    ready = lambda wanted: apps.read_namespaced_deployment_status("web", NAMESPACE).status.ready_replicas == wanted
    until("one pod", lambda: ready(1))
    scale = apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 2}})
    assert scale.spec.replicas == 2 and scale.status.selector == "app=web", scale
    until("two pods", lambda: ready(2))
    apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")
    core = client.CoreV1Api(api)
    until("the pods to go", lambda: not core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items)


def kinds_are_found_at_run_time(api):
    found = dynamic.DynamicClient(api)
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"a": "1"}}
    maps.server_side_apply(body=body, namespace=NAMESPACE, field_manager="python")
    assert maps.get(name="dynamic", namespace=NAMESPACE).data.a == "1"
    assert found.resources.get(api_version="apps/v1", kind="Deployment").namespaced
    utils.create_from_dict(api, {**body, "metadata": {"name": "from-dict", "namespace": NAMESPACE}})
    maps.delete(name="dynamic", namespace=NAMESPACE)


def one_of_two_leads(core):
    """Two candidates; the first leads until it ends, then the second."""
    led = []
    program = [sys.executable, os.path.abspath(__file__), NAMESPACE, "lead"]
    first = subprocess.Popen([*program, "first"], stdout=subprocess.PIPE, text=True)
    led.append(first.stdout.readline().strip())
    second = subprocess.Popen([*program, "second"], stdout=subprocess.PIPE, text=True)
    time.sleep(2)
    lease = client.CoordinationV1Api().read_namespaced_lease("leader", NAMESPACE)
    assert lease.spec.holder_identity == "first", lease
    first.kill()
    first.wait()
    led.append(second.stdout.readline().strip())
    second.kill()
    second.wait()
    assert led == ["first leads", "second leads"], led


def lead(identity):
    lock = LeaseLock("leader", NAMESPACE, identity)
    started = lambda: print(f"{identity} leads", flush=True)
    how = ElectionConfig(lock, lease_duration=4, renew_deadline=3, retry_period=1, onstarted_leading=started, onstopped_leading=None)
    leaderelection.LeaderElection(how).run()


def main():
    config.load_kube_config()
    if sys.argv[2:3] == ["lead"]:
        return lead(sys.argv[3])
    api = client.ApiClient()
    core = client.CoreV1Api(api)
    assert client.VersionApi(api).get_code().minor == "36"
    assert client.CoreApi(api).get_api_versions().versions == ["v1"]
    objects_are_written_and_read(core)
    patches_of_all_types_are_taken(core)
    lists_are_paged_and_selected(core)
    changes_are_watched(core)
    kinds_are_found_at_run_time(api)
    a_pod_is_spoken_to(core)
    workloads_scale(api)
    one_of_two_leads(core)


main()
